"""A run that is killed, asked to end or short of time goes on to the same curve and weights, bit for bit."""

import json
import shutil
import signal
import time

import jobs
import numpy as np
import pytest
from scaling.training.interruption import EXIT_CODE


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder with the data and a run that was never interrupted, in ``whole``."""
    folder = tmp_path_factory.mktemp("jobs")
    jobs.write_data(folder)
    code, said = jobs.finish(jobs.start(folder, out="whole"))
    assert code == 0, said
    return folder


def assert_same(folder, out):
    assert jobs.curve(folder, out) == jobs.curve(folder, "whole")
    assert jobs.weights(folder, out) == jobs.weights(folder, "whole")
    evaluated = [(folder / name / "evaluated.json").read_bytes() for name in (out, "whole")]
    assert evaluated[0] == evaluated[1]
    assert jobs.names(folder / out) == [
        "checkpoints", "curve.parquet", "evaluated.json", "run.json", "snapshots"
    ]  # fmt: skip
    assert [p.name for p in (folder / out / "checkpoints").iterdir()] == ["finished"]


def test_a_run_killed_again_and_again_ends_the_same(data):
    for step in (1, 20, 130, 131, 480):
        process = jobs.start(data, eager=True, out="killed")
        jobs.wait_for_step(data, step, out="killed")
        process.kill()
        assert jobs.finish(process)[0] == -signal.SIGKILL
        assert not (data / "killed" / "run.json").exists()
    code, said = jobs.finish(jobs.start(data, out="killed"))
    assert code == 0, said
    assert "goes on after step" in said
    assert_same(data, "killed")
    assert json.loads((data / "killed" / "run.json").read_text())["resumed"] == 5


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_run_asked_to_end_saves_and_goes_on(data, name):
    process = jobs.start(data, eager=True, out=name)
    jobs.wait_for_step(data, 30, out=name)
    process.send_signal(signal.Signals[name])
    code, said = jobs.finish(process)
    assert code == EXIT_CODE
    assert f"{name}: saved after step" in said
    assert "Traceback" not in said
    assert [path.name for path in (data / name).iterdir()] == ["checkpoints"], "neither lock nor progress"
    assert jobs.finish(jobs.start(data, out=name))[0] == 0
    assert_same(data, name)


def test_a_time_limit_that_comes_near_saves_and_ends(data):
    code, said = jobs.finish(jobs.start(data, "--minutes", "0.5", out="limit"))
    assert code == EXIT_CODE
    assert "its time limit of 0.5 min is near: saved after step" in said
    assert jobs.finish(jobs.start(data, "--minutes", "60", out="limit"))[0] == 0
    assert_same(data, "limit")


def test_a_run_on_other_text_begins_anew(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    process = jobs.start(tmp_path / "data", eager=True, out="other")
    jobs.wait_for_step(tmp_path / "data", 30, out="other")
    process.kill()
    jobs.finish(process)
    ids = np.load(tmp_path / "data/train.npy")
    jobs.write_set(tmp_path / "data/train.npy", ids[::-1].copy())
    code, said = jobs.finish(jobs.start(tmp_path / "data", out="other"))
    assert code == 0, said
    assert "is of other text; trained anew" in said
    assert "goes on after" not in said
    assert json.loads((tmp_path / "data/other/run.json").read_text())["resumed"] == 0


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(data):
    process = jobs.start(data, eager=True, out="damaged")
    jobs.wait_for_step(data, 30, out="damaged")
    process.kill()
    jobs.finish(process)
    newest = max((data / "damaged" / "checkpoints").glob("step*"))
    whole = (newest / "tensors.safetensors").read_bytes()
    (newest / "tensors.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    code, said = jobs.finish(jobs.start(data, out="damaged"))
    assert code == 0, said
    assert f"{newest} is damaged" in said
    assert f"goes on after step {int(newest.name[4:]) - 1}\n" in said
    assert_same(data, "damaged")


def test_an_early_stopped_run_goes_on_to_the_same_end(data):
    run = jobs.RUN | {
        "D": 300,
        "S": 600,
        "horizon": 600,
        "patience": 2,
        "test_points": 20,
        "learning_rate": 0.05,
    }
    assert jobs.finish(jobs.start(data, run=run, out="patient"))[0] == 0
    process = jobs.start(data, run=run, eager=True, out="impatient")
    jobs.wait_for_step(data, 12, out="impatient")
    process.kill()
    jobs.finish(process)
    assert jobs.finish(jobs.start(data, run=run, out="impatient"))[0] == 0
    record = json.loads((data / "patient" / "run.json").read_text())
    assert record["status"] == "stopped"
    assert jobs.curve(data, "patient") == jobs.curve(data, "impatient")
    assert jobs.weights(data, "patient") == jobs.weights(data, "impatient")


def test_a_second_process_is_told_who_trains(data):
    run = jobs.RUN | {"S": 100000, "horizon": 100000}
    first = jobs.start(data, run=run, eager=True, out="shared")
    jobs.wait_for_step(data, 1, out="shared")
    began = time.monotonic()
    code, said = jobs.finish(jobs.start(data, run=run, out="shared"))
    assert code == 1
    assert f"process {first.pid} on " in said
    assert "Traceback" not in said
    assert time.monotonic() - began < 30
    first.kill()
    jobs.finish(first)
    reached = max(int(path.name[4:]) for path in (data / "shared" / "checkpoints").glob("step*"))
    third = jobs.start(data, run=run, eager=True, out="shared")
    jobs.wait_for_step(data, reached + 1, out="shared")
    third.kill()
    assert "has ended; taken over" in jobs.finish(third)[1]
