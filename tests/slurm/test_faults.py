"""Whatever happens to a job, to Slurm or to the driver, runs end with what they learn undisturbed."""

import re
import signal
import time

import pytest
from cluster import wait_for
from conftest import Study, learned, work_left_behind

GRID = {"size": {"shape": [{"n_layer": 1, "d_model": d, "n_head": 1} for d in (8, 12)], "S": 5000}}
TARGET = "results/studies/lab/tables/runs.parquet"


@pytest.fixture(scope="module")
def undisturbed(lab, prepared, tmp_path_factory):
    """What the runs learn when nothing happens."""
    study = Study.copied(prepared, tmp_path_factory.mktemp("undisturbed") / "project")
    study.write(GRID)
    study.finish(TARGET)
    return learned(study.root)


@pytest.fixture
def training(lab, study, undisturbed):
    """A study whose two runs, in one job, have each saved a checkpoint: the study, and the job's id."""
    study.write(GRID)
    study.start(TARGET)
    study.saved = study.wait_for_checkpoints(2)
    (job,) = lab.jobs("RUNNING")
    return study, job


def went_on(study):
    """Assert that every run went on from the checkpoint it had, or a later one."""
    assert study.saved
    for folder, step in study.saved.items():
        logs = (study.root / "results/logs/train").glob(f"*/{folder.name}.log")
        begun = [
            int(found) for log in logs for found in re.findall(r"goes on after step (\d+)", log.read_text())
        ]
        assert begun, f"{folder.name} began anew"
        assert begun[-1] >= step
    assert all(run["resumed"] >= 1 for run in study.runs.values())


def is_whole(study, undisturbed):
    went_on(study)
    assert learned(study.root) == undisturbed
    assert work_left_behind(study.root) == []


def test_a_job_that_is_put_back_into_the_queue(lab, training, undisturbed):
    study, job = training
    assert lab.ask("scontrol", "requeue", job).returncode == 0
    assert study.end() == 0, study.told
    assert lab.jobs("RUNNING,PENDING") == []
    is_whole(study, undisturbed)


def test_a_job_that_makes_room_for_another(lab, training, undisturbed):
    study, job = training
    everything = [
        "--partition=high",
        f"--nodes={len(lab.nodes)}",
        "--exclusive",
        "--time=1",
        "--wrap=sleep 5",
    ]
    assert lab.ask("sbatch", *everything, "--output=/dev/null").returncode == 0
    wait_for(lambda: job not in lab.jobs("RUNNING"), "the job to be preempted")
    assert study.end() == 0, study.told
    is_whole(study, undisturbed)


def test_a_job_that_is_cancelled(lab, training, undisturbed):
    study, job = training
    assert lab.ask("scancel", job).returncode == 0
    assert study.end() == 0, study.told
    is_whole(study, undisturbed)


def test_a_node_that_fails(lab, training, undisturbed):
    study, job = training
    node = lab.node_of(job)
    lab.crash_node(node)
    try:
        assert study.end() == 0, study.told
    finally:
        lab.start_node(node)
        wait_for(lambda: lab.states() == {"idle"}, "the node to be back", seconds=60)
    is_whole(study, undisturbed)


def test_a_controller_that_restarts(lab, training, undisturbed):
    study, _ = training
    lab.kill_controller()
    time.sleep(10)  # so long that Snakemake asks for its jobs meanwhile
    lab.start_controller()
    assert study.end() == 0, study.told
    assert learned(study.root) == undisturbed
    assert work_left_behind(study.root) == []


def test_a_time_limit(lab, prepared, tmp_path):
    grid = {"size": {"shape": GRID["size"]["shape"][:1], "S": 30_000}}
    whole, study = (Study.copied(prepared, tmp_path / name) for name in ("whole", "disturbed"))
    for each in (whole, study):
        each.write(grid)
    whole.start(TARGET)
    study.start(TARGET, resources=["train:runtime=1", "evaluate:runtime=0"])
    study.saved = study.wait_for_checkpoints(1)
    assert whole.end() == 0, whole.told
    assert study.end() == 0, study.told
    is_whole(study, learned(whole.root))
    assert all(run["resumed"] == 0 for run in whole.runs.values())


def test_ctrl_c(lab, training, undisturbed):
    study, _ = training
    study.driver.send_signal(signal.SIGINT)
    assert study.end() != 0
    wait_for(lambda: lab.jobs("RUNNING,PENDING,COMPLETING") == [], "the job to be cancelled")
    study.finish(TARGET)
    is_whole(study, undisturbed)


def test_a_driver_that_is_killed(lab, training, undisturbed):
    study, job = training
    study.driver.kill()
    study.end()
    assert lab.jobs("RUNNING") == [job], "the job goes on without its driver"
    study.finish(TARGET)
    assert "1 Slurm jobs that an earlier snakemake had left here are cancelled" in study.told
    is_whole(study, undisturbed)


def test_a_killed_driver_whose_jobs_have_ended(lab, training, undisturbed):
    study, _ = training
    study.driver.kill()
    study.end()
    wait_for(lambda: lab.jobs("RUNNING") == [], "the job to end", seconds=120)
    study.finish(TARGET)
    assert learned(study.root) == undisturbed
    assert all(run["resumed"] == 0 for run in study.runs.values()), "nothing was trained twice"
    assert work_left_behind(study.root) == []


def test_two_drivers(lab, training, undisturbed):
    study, _ = training
    before = lab.submitted()
    second = Study(study.project)
    second.log = study.root / "second.log"
    assert second.start(TARGET).end() == 1
    assert re.search(
        r"error: process \d+ on .* drives a study here already; wait for it, or end it", second.told
    )
    assert lab.submitted() == before
    assert study.end() == 0, study.told
    assert learned(study.root) == undisturbed


def test_a_run_on_several_nodes_that_is_put_back_into_the_queue(lab, prepared, tmp_path):
    grid = {"size": {"shape": GRID["size"]["shape"][:1], "S": 3000}}
    whole, study = (Study.copied(prepared, tmp_path / name) for name in ("whole", "disturbed"))
    for each in (whole, study):  # of two addends the sum is the same however the parts of a gradient arrive
        each.write(grid, site={"gpus_per_node": 1}, execution={"processes": 2})
    whole.finish(TARGET)
    study.start(TARGET)
    study.saved = study.wait_for_checkpoints(1)
    (job,) = lab.jobs("RUNNING")
    assert lab.ask("scontrol", "requeue", job).returncode == 0
    assert study.end() == 0, study.told
    is_whole(study, learned(whole.root))
