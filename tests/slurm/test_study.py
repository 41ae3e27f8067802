"""A study driven through Slurm: what it asks for, what travels together, what it learns."""

import json
import re
import subprocess

import pytest
from conftest import Study, learned, work_left_behind

SMALL = [{"n_layer": 1, "d_model": d, "n_head": 1} for d in (4, 8, 12)]
PAGE = "results/studies/lab/frontier.html"
TABLES = "results/studies/lab/tables/runs.parquet"


@pytest.fixture(scope="module")
def finished(lab, prepared, tmp_path_factory):
    """A study of three small runs, driven to its page."""
    study = Study.copied(prepared, tmp_path_factory.mktemp("finished") / "project")
    study.write({"size": {"shape": SMALL, "S": 3000}})
    study.finish()
    return study


def asked(lab, study, *fields):
    """What squeue shows of the jobs in which ``study`` trains, a list for each."""
    shown = [line.split("|") for line in lab.jobs(fields="|".join(["%Z", "%k", *fields]))]
    return [
        found
        for at, rule, *found in shown
        if at == str(study.root) and "train" in rule and "leaks" not in rule
    ]


def test_one_command_takes_a_study_from_text_to_its_page(finished):
    assert (finished.root / PAGE).stat().st_size > 0
    assert (finished.root / "results/studies/lab/tables/runs.parquet").exists()
    assert work_left_behind(finished.root) == []
    assert len(finished.runs) == 3


def test_small_runs_share_one_job_and_one_gpu(lab, finished):
    ((gpus, cores, minutes),) = asked(lab, finished, "%b", "%C", "%l")
    assert gpus == "gres:gpu:1"
    assert cores == "2", "a GPU's share of a node's cores, and so many runs at once"
    assert minutes == "16:00", "two layers of 3 minutes, and twice 5 for their evaluations"


def test_runs_of_a_pack_train_at_once(finished):
    logs = sorted(finished.root.glob("results/logs/train/*/*.log"))
    assert any(re.search("2 at once", log.read_text()) for log in logs)


def test_a_run_learns_what_it_learns_without_slurm(finished, prepared, tmp_path):
    here = Study.copied(prepared, tmp_path / "project")
    here.write({"size": {"shape": SMALL, "S": 3000}})
    done = here.project.snakemake(TABLES, "--cores", "2")
    assert done.returncode == 0, done.stdout
    assert learned(here.root) == learned(finished.root)


def test_a_finished_study_asks_slurm_for_nothing(lab, finished):
    before = lab.submitted()
    finished.finish()
    assert "Nothing to be done" in finished.told.rpartition("Using profile")[2]
    assert lab.submitted() == before


def test_a_single_run_is_trained_again_by_itself(lab, finished):
    *others, folder = sorted(path.parent for path in finished.root.glob("results/runs/*/*/run.json"))
    before, learned_before = (
        {other: (other / "run.json").stat().st_mtime_ns for other in others},
        learned(finished.root),
    )
    (folder / "run.json").unlink()
    jobs = len(asked(lab, finished))
    finished.finish(str((folder / "run.json").relative_to(finished.root)))
    finished.finish(TABLES)
    assert len(asked(lab, finished)) == jobs + 1
    assert {other: (other / "run.json").stat().st_mtime_ns for other in others} == before
    assert learned(finished.root) == learned_before
    assert json.loads((folder / "run.json").read_text())["resumed"] == 0


def test_finished_runs_that_are_forced_travel_together_too(lab, finished):
    before, jobs = learned(finished.root), len(asked(lab, finished))
    finished.finish(TABLES, "--forcerun", "train")
    assert len(asked(lab, finished)) == jobs + 1
    assert all(record["resumed"] == 0 for record in finished.runs.values())
    assert learned(finished.root) == before


def test_a_run_that_always_fails_costs_those_of_its_pack_one_start(lab, study):
    study.write({"size": {"shape": SMALL, "S": 400}, "broken": {"shape": SMALL[:1], "S": 400, "D": 10**9}})
    assert study.start(TABLES, "--retries", "0").end() == 1
    assert study.start(TABLES, "--retries", "0").end() == 1
    assert sorted(record["N"] for record in study.runs.values()) == [192, 768, 1728]
    assert "the training split holds" in study.told


def test_a_large_run_takes_several_nodes(lab, study):
    study.write({"size": {"shape": SMALL[:1], "S": 400}}, execution={"processes": 4})
    study.finish(TABLES)
    nodes, gpus = asked(lab, study, "%D", "%b")[0]
    assert (nodes, gpus) == ("2", "gres:gpu:2")
    (run,) = study.runs.values()
    assert run["processes"] == 4
    assert run["status"] == "finished"


def test_a_cluster_of_cpus_packs_runs_by_the_cores_of_a_node(lab, study):
    study.write({"size": {"shape": SMALL, "seed": [0, 1]}}, site={"gpus_per_node": 0})
    study.finish(TABLES)
    cores, gpus = asked(lab, study, "%C", "%b")[0]
    assert (cores, gpus) == ("4", "N/A"), "whatever cores the machine has that submits the job"
    assert len(study.runs) == 6


@pytest.mark.parametrize(
    ("site", "line"),
    [
        (
            {"partition": "lab"},
            "site.partition: found 'lab', but sinfo shows high, main, short; mend slurm/site.yaml",
        ),
        ({"hours": 48}, "site.hours: found 48, but sinfo shows 1 in partition main; mend slurm/site.yaml"),
        ({"gpus_per_node": 8}, "site.gpus_per_node: found 8, but sinfo shows 2 in partition main"),
        ({"memory_gb": 512}, "site.memory_gb: found 512, but sinfo shows 8 in partition main"),
    ],
)
def test_a_site_that_is_not_there_is_refused_before_anything_is_submitted(lab, study, site, line):
    study.write({"size": {"shape": SMALL, "S": 3000}}, site=site)
    before = lab.submitted()
    assert study.start().end() == 1
    assert f"error: {line}" in study.told
    assert lab.submitted() == before


def test_the_executor_without_the_profile_is_refused(lab, study):
    study.write({"size": {"shape": SMALL, "S": 3000}})
    command = ["--executor", "slurm", "--jobs", "2"]
    result = study.project.snakemake(*command)
    assert result.returncode == 1
    assert "error: jobs go to Slurm by `snakemake --profile slurm`" in result.stdout
    assert subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout == ""
