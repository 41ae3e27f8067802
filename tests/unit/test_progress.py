"""What a watcher is told of a study."""

import json
import os

import pytest
from scaling import progress

SHAPE = {"n_layer": 1, "d_model": 8, "d_ff": 32, "n_head": 1, "n_ctx": 16, "n_vocab": 300, "B": 100, "S": 50}


@pytest.fixture
def study(tmp_path):
    """Three runs: one done, one half way, one not begun."""
    runs = [SHAPE | {"run": name, "data": "here"} for name in ("first", "second", "third")]
    for run in runs[:2]:
        (tmp_path / "here" / run["run"]).mkdir(parents=True)
    (tmp_path / "here/first/run.json").write_text(json.dumps({"tokens_per_second": 100.0, "test_loss": 3.0}))
    (tmp_path / "here/first/evaluation.parquet").touch()
    second = {"step": 25, "tokens_per_second": 50.0, "test_loss": None}
    (tmp_path / "here/second/progress.json").write_text(json.dumps(second))
    return runs, tmp_path


def test_states_come_from_the_folders(study):
    assert [state["state"] for state in progress.states(*study)] == ["done", "running", "waiting"]


def test_the_time_left_follows_the_measured_rates(study):
    """2500 tokens at 50 a second, then 5000 at the 100 of the run most like it, one at a time."""
    assert progress.seconds_left(progress.states(*study)) == pytest.approx(2500 / 50 + 5000 / 100)
    assert (
        progress.seconds_left([state for state in progress.states(*study) if state["state"] == "waiting"])
        is None
    )


def test_the_report_is_a_line_and_one_for_each_run_in_training(study):
    assert progress.report(*study).splitlines() == [
        "1 of 3 runs trained, 1 evaluated, 1 training, about 2 min of training left",
        "  second: step 25 of 50, 50 tokens/s",
    ]


def test_a_run_that_fell_silent_is_not_training(study):
    path = study[1] / "here/second/progress.json"
    os.utime(path, (path.stat().st_mtime - 120,) * 2)
    assert [state["state"] for state in progress.states(*study)] == ["done", "waiting", "waiting"]
