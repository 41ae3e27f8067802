"""Runs that share a job are trained at once by the first of its jobs; the others publish what is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jobs
import pytest
from scaling import provenance
from scaling.provenance import UserError
from scaling.training import interruption, kept, pack

RUN = jobs.RUN | {"S": 30, "horizon": 30}
LONG = 100000


def run_named(name, S=30, **more):
    return RUN | {"run": name, "S": S, "horizon": S} | more


def listed(folder, runs, percent=40):
    """What the workflow puts into the environment for ``runs``."""
    found = [{"run": run, "out": str(folder / run["run"]), "gpu_percent": percent} for run in runs]
    return {pack.VARIABLE: json.dumps(found)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    jobs.write_data(folder)
    return folder


# --- which run leads ----------------------------------------------------------------------------------------


def keep(folder, run):
    with kept.keeping(folder, run) as place:
        (place / "snapshots").mkdir()
        for name in ("run.json", "curve.parquet"):
            (place / name).touch()


def test_a_job_leads_all_whose_results_are_not_kept_longest_first(tmp_path):
    runs = [run_named("a"), run_named("b", S=50), run_named("c", B=256), run_named("d")]
    environment = listed(tmp_path, runs)
    keep(tmp_path / "d", runs[3])
    found = pack.members(runs[0] | {"experiments": ["size"]}, environment)
    assert [m["run"]["run"] for m in found] == ["c", "b", "a"]
    assert pack.members(runs[3], environment) == [], "its own results are kept"
    for run in runs[1:3]:
        keep(tmp_path / run["run"], run)
    assert pack.members(runs[0], environment) == [], "none is left beside it"
    assert pack.members(run_named("e"), environment) == [], "it does not travel with these"
    assert pack.members(runs[0], {}) == []


@pytest.mark.parametrize("said", ["[", "[1]", '[{"run": {}}]', "7"])
def test_a_list_that_is_none_is_refused_in_one_line(said):
    with pytest.raises(UserError, match=r"FRONTIER_PACK is no list of runs \(.*\): .*; unset it"):
        pack.members(RUN, {pack.VARIABLE: said})


def test_a_command_line_is_changed_in_place_of_what_it_said():
    before = ["train.py", "--run", "{}", "--requeue", "--out=here", "--minutes", "3", "--test", "t"]
    after = pack.changed(before, run="[]", out=Path("there"), gpu_percent=5, requeue=None, minutes=2)
    assert after == [
        "train.py", "--test", "t", "--run=[]", "--out=there", "--gpu-percent=5", "--minutes=2"
    ]  # fmt: skip
    assert pack.changed(["train.py", "--minutes", "3"], minutes=None) == ["train.py"]


# --- how many at once, and what becomes of them: with programs in place of training -------------------------

PROGRAM = """
import signal, sys, time
seconds, code = float(sys.argv[1]), int(sys.argv[2])
def end(number, frame):
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, end)
print("begins", flush=True)
time.sleep(seconds)
print("ends", flush=True)
sys.exit(code)
"""


def members(folder, *percents):
    runs = [run_named(f"m{i}") for i in range(len(percents))]
    return [
        {"run": run, "out": folder / run["run"], "gpu_percent": percent}
        for run, percent in zip(runs, percents, strict=True)
    ]


def command(seconds, codes=None):
    def line(member, minutes):
        code = (codes or {}).get(member["run"]["run"], 0)
        return [sys.executable, "-c", PROGRAM, str(seconds), str(code)]

    return line


def test_no_more_run_at_once_than_a_gpu_has_room_for(tmp_path, capsys):
    found = members(tmp_path, 60, 60, 40, 120, 0)
    assert pack.train(found, command=command(0.6), minutes=0) == ([0] * 5, None)
    running, said = set(), capsys.readouterr().out.splitlines()
    share = {m["run"]["run"]: m["gpu_percent"] for m in found}
    most = 0
    for line in said[1:]:
        name, what = line.split()[:2]
        (running.add if what == "begins," else running.discard)(name)
        assert sum(share[n] for n in running) <= 100 or len(running) == 1, said
        most = max(most, len(running))
    assert most == 3, "m0, m2 and m4 fit"
    assert said[0] == "trains 5 runs of this job together: m0, m1, m2, m3, m4"
    assert "  m0 begins, 1 at once" in said
    assert "  m0 has ended" in said
    assert kept.log(tmp_path / "m3").read_text() == "begins\nends\n"


def test_one_that_fails_is_named_and_the_rest_goes_on(tmp_path, capsys):
    codes, asked = pack.train(members(tmp_path, 40, 40, 40), command=command(0.3, {"m1": 3}), minutes=0)
    assert (codes, asked) == ([0, 3, 0], None)
    assert "  m1 failed with exit code 3: ends\n" in capsys.readouterr().out


def test_none_is_begun_when_the_time_limit_is_near(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pack, "START_MARGIN", 0.0)
    monkeypatch.setattr(interruption, "BEGAN", time.monotonic())
    given = []

    def noted(member, minutes):
        given.append(minutes)
        return command(2)(member, minutes)

    codes, asked = pack.train(members(tmp_path, 80, 80), command=noted, minutes=1 / 60)
    assert (codes, asked) == ([0, interruption.EXIT_CODE], None)
    assert len(given) == 1
    assert 0 < given[0] <= 0.02
    assert "its time limit of 0.0166667 min is near: not begun: m1" in capsys.readouterr().out


# --- real jobs ----------------------------------------------------------------------------------------------


def test_the_first_job_trains_all_and_the_others_publish(data):
    runs = [run_named("first"), run_named("second"), run_named("bad", D=10**9)]
    environment = listed(data, runs)
    code, said = jobs.finish(jobs.start(data, run=runs[0], out="first", environment=environment))
    assert code == 0, said
    assert "trains 3 runs of this job together: first, second, bad" in said
    assert "  bad failed with exit code 1: " in said
    assert said.endswith("s\n"), "then the log of its own training"
    assert said.count("finished after 30 steps") == 1
    (data / "second" / "run.json").unlink()
    code, said = jobs.finish(jobs.start(data, run=runs[1], out="second", environment=environment))
    assert code == 0, said
    assert "finished after 30 steps" in said
    assert said.splitlines()[-1].startswith("trained before: second")
    code, said = jobs.finish(jobs.start(data, run=runs[2], out="bad", environment=environment))
    assert code != 0
    assert "trains" not in said
    assert jobs.curve(data, "first") == jobs.curve(data, "second")


def test_the_leader_fails_as_its_own_run_does_after_the_others(data):
    runs = [run_named("broken", D=10**9), run_named("fine")]
    code, said = jobs.finish(jobs.start(data, run=runs[0], out="broken", environment=listed(data, runs)))
    assert code == 1
    assert "  fine has ended" in said
    assert kept.holds(data / "fine", runs[1])


def test_a_member_whose_folder_is_held_fails_alone(data):
    runs = [run_named("free"), run_named("held")]
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\nfrom pathlib import Path\nfrom scaling.training import locks\n"
            "with locks.held(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)",
            str(data / "held" / "training.lock"),
        ],
        cwd=jobs.SCRIPTS, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    code, said = jobs.finish(jobs.start(data, run=runs[0], out="free", environment=listed(data, runs)))
    holder.kill()
    holder.communicate()
    assert code == 0, said
    assert f"  held failed with exit code 1: error: {data / 'held'}: process {holder.pid} on " in said


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_leader_that_is_asked_to_end_has_all_saved(data, name):
    runs = [run_named(f"{name}-{i}", LONG + i) for i in range(3)]
    leader = jobs.start(data, run=runs[0], out=runs[0]["run"], eager=True, environment=listed(data, runs))
    for run in runs[1:]:  # the third, and shortest, is the leader's and waits
        jobs.wait_for_step(data, 1, out=run["run"])
    leader.send_signal(signal.Signals[name])
    code, said = jobs.finish(leader)
    assert code == interruption.EXIT_CODE, said
    assert f"{name}: not begun: {name}-0" in said
    assert f"{name}: all are asked to save" in said
    for run in runs[1:]:
        assert f"  {run['run']} was saved, to go on later" in said
        assert "SIGTERM: saved after step" in kept.log(data / run["run"]).read_text()
        assert not (data / run["run"] / "training.lock").exists()


def test_a_killed_leader_takes_all_along(data):
    runs = [run_named(f"orphan-{i}", LONG + i) for i in range(2)]
    leader = jobs.start(data, run=runs[0], out="orphan-0", eager=True, environment=listed(data, runs))
    for run in runs:
        jobs.wait_for_step(data, 1, out=run["run"])
    holders = [provenance.read_json(data / run["run"] / "training.lock")["pid"] for run in runs]
    assert os.getpid() not in holders
    leader.kill()
    leader.wait()
    leader.stdout.close()
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in holders) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in holders)
