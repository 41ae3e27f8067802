"""What a training job asks Slurm for, with small programs in place of Slurm's commands."""

import json
import os
import signal
import time
from pathlib import Path

import jobs
import pytest
from scaling.provenance import UserError
from scaling.training import kept, launch, pack, slurm
from scaling.training.interruption import EXIT_CODE

RUN = jobs.RUN | {"S": 30, "horizon": 30, "dropout": 0.0}
LONG = RUN | {"S": 100000, "horizon": 100000}
SRUN = """
here=$(dirname "$0")
echo "$@" > $here/srun.txt
env | grep -E '^(SLURM|SRUN|SBATCH)_' | sort > $here/environment.txt
for option; do
    case $option in
        --nodes=*) nodes=${option#*=}; shift;;
        --*) shift;;
        *) break;;
    esac
done
trap 'kill -USR1 $tasks' USR1
trap 'kill -KILL $tasks' TERM
node=0
while [ $node -lt $nodes ]; do
    SLURM_NODEID=$node "$@" &
    tasks="$tasks $!"
    node=$((node + 1))
done
code=0
for task in $tasks; do
    wait $task
    this=$?
    while kill -0 $task 2> /dev/null; do wait $task; this=$?; done
    [ $this -gt $code ] && code=$this
done
exit $code
"""
"""Tasks on this machine. As srun, it passes on SIGUSR1, kills all for SIGTERM, has the largest exit code."""


def commands(left="10:00", requeue='kill -KILL "$PPID"', **more):
    """Slurm's commands: how much time they say is left, and what is done to be queued again."""
    noted = 'echo "$(basename "$0") $@" >> "$(dirname "$0")/calls.txt"'
    return {"squeue": f"{noted}\necho {left}", "scontrol": f"{noted}\n{requeue}"} | more


def calls(folder):
    path = folder / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


ASKED = "squeue --noheader --jobs=7 --format=%L"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return jobs.trained(tmp_path_factory.mktemp("jobs"), RUN)


# --- time limit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("1:23", 1 + 23 / 60), ("0:05", 5 / 60), ("2:03:04", 123 + 4 / 60), ("1-02:03:04", 1563 + 4 / 60)],
)
def test_times_are_read_as_slurm_writes_them(text, minutes):
    assert slurm.parse(text) == pytest.approx(minutes)


@pytest.mark.parametrize("text", ["INVALID", "", "12", "1-", "-1:00", "1:2:3:4", "a:b"])
def test_what_is_no_time_is_none(text):
    with pytest.raises(ValueError, match="is no time"):
        slurm.parse(text)


@pytest.mark.parametrize(
    ("script", "minutes", "said"),
    [
        ("echo UNLIMITED", None, ""),
        ("echo NOT_SET", None, ""),
        ("echo '   1:30'", 1.5, ""),
        ("echo INVALID", None, "'INVALID' is no time"),
        ("true", None, "'' is no time"),
        ("echo much; echo 'squeue: error: no controller' >&2; exit 1", None, "squeue: error: no controller"),
        ("exit 3", None, "exit code 3"),
        ("exec sleep 60", None, "no answer within 0.5 s"),
    ],
)
def test_what_slurm_does_not_tell_is_said_in_a_line(tmp_path, monkeypatch, capsys, script, minutes, said):
    monkeypatch.setattr(slurm, "SECONDS", 0.5 if "sleep" in script else 10)
    for name, value in jobs.slurm(tmp_path / "bin", squeue=script).items():
        monkeypatch.setenv(name, value)
    assert slurm.minutes_left("7") == minutes
    line = f"the time limit of Slurm job 7 is not known: {ASKED}: {said}\n"
    assert capsys.readouterr().out == (line if said else "")


@pytest.mark.parametrize(("own", "least"), [(0, 10.0), (5.0, 5.0), (60.0, 10.0)])
def test_the_nearer_of_two_limits_counts(tmp_path, monkeypatch, own, least):
    monkeypatch.setattr(launch.interruption, "BEGAN", time.monotonic())
    for name, value in jobs.slurm(tmp_path / "bin", **commands()).items():
        monkeypatch.setenv(name, value)
    assert launch._limit(own, "7") == pytest.approx(least, abs=0.1)


def test_a_job_that_goes_on_running_was_not_queued_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slurm, "KILLED_WITHIN", 0.1)
    for name, value in jobs.slurm(tmp_path / "bin", scontrol="true").items():
        monkeypatch.setenv(name, value)
    slurm.requeue("7")
    assert (
        "Slurm job 7 was not queued again: scontrol requeue 7: the job still runs" in capsys.readouterr().out
    )


def test_a_run_saves_before_the_time_limit_and_its_job_is_queued_again(data, tmp_path):
    environment = jobs.slurm(tmp_path / "bin", **commands("0:31"))
    started = jobs.start(data, "--requeue", run=LONG, eager=True, out="limit", environment=environment)
    code, said = jobs.finish(started)
    assert code == -signal.SIGKILL, said
    assert "Slurm job 7 has 0.5 min left" in said
    assert " min is near: saved after step" in said
    assert "Slurm job 7 is queued again" in said
    assert calls(tmp_path / "bin") == [ASKED, "scontrol requeue 7"]
    assert kept.reached(data / "limit") > 0


def test_several_processes_ask_once(data, tmp_path):
    environment = jobs.slurm(tmp_path / "bin", **commands("0:31"))
    two = ("--requeue", "--processes", "2", "--threads", "2")
    code, said = jobs.finish(jobs.start(data, *two, run=LONG, out="two", environment=environment))
    assert code == -signal.SIGKILL, said
    assert "min is near: saved after step" in said
    assert calls(tmp_path / "bin") == [ASKED, "scontrol requeue 7"]


def test_only_a_job_that_is_told_so_asks_slurm(data, tmp_path):
    environment = jobs.slurm(tmp_path / "bin", **commands("0:01"))
    code, said = jobs.finish(jobs.start(data, run=RUN, out="interactive", environment=environment))
    assert code == 0, said
    assert calls(tmp_path / "bin") == []


def test_a_run_that_a_signal_ends_is_not_queued_again(data, tmp_path):
    environment = jobs.slurm(tmp_path / "bin", **commands())
    process = jobs.start(data, "--requeue", run=LONG, eager=True, out="signal", environment=environment)
    jobs.wait_for_step(data, 3, out="signal")
    process.send_signal(signal.SIGTERM)
    code, said = jobs.finish(process)
    assert code == EXIT_CODE, said
    assert calls(tmp_path / "bin") == [ASKED]


def test_without_slurms_answers_a_run_goes_on_and_its_job_ends(data, tmp_path):
    refused = commands("0:31", "echo 'Requested operation is presently disabled' >&2; exit 1")
    environment = jobs.slurm(tmp_path / "bin", **refused)
    code, said = jobs.finish(
        jobs.start(data, "--requeue", run=LONG, eager=True, out="refused", environment=environment)
    )
    assert code == EXIT_CODE, said
    assert "was not queued again: scontrol requeue 7: Requested operation is presently disabled\n" in said
    environment = jobs.slurm(tmp_path / "bin", squeue="exit 1", scontrol="exit 1")
    code, said = jobs.finish(jobs.start(data, "--requeue", run=RUN, out="deaf", environment=environment))
    assert code == 0, said
    assert "the time limit of Slurm job 7 is not known" in said


# --- packs --------------------------------------------------------------------------------------------------


def listed(folder, runs):
    found = [{"run": run, "out": str(folder / run["run"]), "gpu_percent": 10} for run in runs]
    return {pack.VARIABLE: json.dumps(found)}


def test_a_pack_near_its_time_limit_is_queued_again_as_a_whole(data, tmp_path):
    runs = [RUN | {"run": "ends", "S": 1}, LONG | {"run": "goes on"}]
    environment = jobs.slurm(tmp_path / "bin", **commands("0:32")) | listed(data, runs)
    code, said = jobs.finish(
        jobs.start(data, "--requeue", run=runs[0], eager=True, out="ends", environment=environment)
    )
    assert code == -signal.SIGKILL, said
    assert "  ends has ended" in said
    assert "  goes on was saved, to go on later" in said
    assert calls(tmp_path / "bin") == [ASKED, "scontrol requeue 7"]


def test_a_time_limit_too_short_for_a_checkpoint_does_not_go_round_and_round(data, tmp_path):
    runs = [LONG | {"run": name} for name in ("short", "shorter")]
    environment = jobs.slurm(tmp_path / "bin", **commands("0:20")) | listed(data, runs)
    code, said = jobs.finish(jobs.start(data, "--requeue", run=runs[0], out="short", environment=environment))
    assert code == EXIT_CODE, said
    assert "not begun: short, shorter" in said
    assert "Slurm job 7 is not queued again: no checkpoint was reached" in said
    assert calls(tmp_path / "bin") == [ASKED]


# --- several nodes ------------------------------------------------------------------------------------------

NODES = ("--processes", "2", "--nodes", "2", "--threads", "4")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_nodes_learn_what_one_process_does(data, tmp_path, parallel):
    environment = jobs.slurm(tmp_path / "bin", **commands(srun=SRUN))
    environment |= {"SLURM_NTASKS": "1", "SLURM_CPUS_PER_TASK": "1", "SRUN_CPUS_PER_TASK": "1"}
    arguments = (*NODES, "--parallel", parallel, "--requeue")
    code, said = jobs.finish(jobs.start(data, *arguments, run=RUN, out=parallel, environment=environment))
    assert code == 0, said
    assert f"2 processes, {parallel}" in said
    for mine, theirs in zip(jobs.curve(data, parallel), jobs.curve(data, "whole"), strict=True):
        assert mine["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-4)
    options = (tmp_path / "bin" / "srun.txt").read_text().partition("python")[0].split()
    wanted = {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=2", "--kill-on-bad-exit=1"}
    assert wanted <= set(options)
    assert (tmp_path / "bin" / "environment.txt").read_text() == "SLURM_JOB_ID=7\n"
    assert calls(tmp_path / "bin") == [ASKED], "the tasks do not ask"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_nodes_that_are_asked_to_end_save(data, tmp_path, name):
    environment = jobs.slurm(tmp_path / "bin", srun=SRUN)
    out = f"nodes-{name}"
    process = jobs.start(data, *NODES, run=LONG, eager=True, out=out, environment=environment)
    jobs.wait_for_step(data, 3, out=out)
    process.send_signal(signal.Signals[name])
    code, said = jobs.finish(process)
    assert code == EXIT_CODE, said
    assert "saved after step" in said
    assert [path.name for path in (data / out).iterdir()] == ["checkpoints"], "neither lock nor progress"


def test_nodes_save_before_the_time_limit_and_their_job_is_queued_again(data, tmp_path):
    environment = jobs.slurm(tmp_path / "bin", **commands("0:31", srun=SRUN))
    process = jobs.start(data, *NODES, "--requeue", run=LONG, out="late", environment=environment)
    code, said = jobs.finish(process)
    assert code == -signal.SIGKILL, said
    assert "min is near: saved after step" in said
    assert calls(tmp_path / "bin") == [ASKED, "scontrol requeue 7"]


def test_a_killed_launcher_takes_its_nodes_along(data, tmp_path):
    environment = jobs.slurm(tmp_path / "bin", srun=SRUN)
    process = jobs.start(data, *NODES, run=LONG, eager=True, out="nodes", environment=environment)
    jobs.wait_for_step(data, 3, out="nodes")
    holder = Path("/proc") / str(json.loads((data / "nodes" / "training.lock").read_text())["pid"])
    process.kill()
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 20
    while holder.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not holder.exists()


@pytest.mark.parametrize(
    ("environment", "arguments", "line"),
    [
        ({}, {}, r"execution\.nodes: found 2, but this is no Slurm job"),
        (
            {"SLURM_JOB_ID": "7"},
            {"processes": 3},
            r"execution\.processes: found 3, expected a multiple of the 2",
        ),
        ({"SLURM_JOB_ID": "7", "PATH": "/nowhere"}, {}, r"execution\.nodes: found 2, but no srun on PATH"),
    ],
)
def test_what_several_nodes_lack_is_said_in_a_line(tmp_path, monkeypatch, environment, arguments, line):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    several = {"run": RUN, "out": tmp_path, "nodes": 2, "processes": 4, "threads": 4, "minutes": 0}
    with pytest.raises(UserError, match=line):
        launch.launch(several | {"requeue": False} | arguments)
    assert launch.MASTER not in os.environ


# --- ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ended", "code", "told"), [(True, 134, 0), (False, 134, 134), (True, 75, 75)])
def test_a_failure_after_the_end_of_a_run_costs_no_attempt(monkeypatch, tmp_path, ended, code, told):
    looks = iter([False, ended])
    monkeypatch.setattr(launch, "_trained_before", lambda arguments: next(looks))
    monkeypatch.setattr(launch, "_start", lambda arguments: (code, False))
    monkeypatch.delenv(pack.VARIABLE, raising=False)
    assert launch.launch({"run": {"run": "one"}, "out": tmp_path, "requeue": False}) == told
