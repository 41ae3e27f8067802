"""Loss on other text as the test loss and an offset: the mean, its drift, and their intervals."""

import math

import numpy as np
import pytest
import simulated
from scaling.offsets import offset, offsets

TEST = np.linspace(3.0, 4.5, 8)


def test_a_constant_offset_has_no_drift_and_no_spread():
    found = offset(TEST, TEST + 0.25)
    assert found["runs"] == 8
    assert found["mean"] == pytest.approx({"value": 0.25, "low": 0.25, "high": 0.25})
    assert found["drift"] == pytest.approx({"value": 0, "low": 0, "high": 0}, abs=1e-12)


def test_drift_is_the_slope_of_the_offset_against_the_test_loss():
    noise = np.random.default_rng(0).normal(0, 0.02, 8)
    loss = TEST + 0.5 - 0.2 * (TEST - TEST.mean()) + noise
    found = offset(TEST, loss)
    assert found["mean"]["value"] == pytest.approx((loss - TEST).mean())
    assert found["drift"]["value"] == pytest.approx(np.polyfit(TEST, loss - TEST, 1)[0])
    assert found["drift"]["low"] < found["drift"]["value"] < found["drift"]["high"] < 0
    assert found["mean"]["low"] < 0.5 < found["mean"]["high"]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random, trials = np.random.default_rng(1), 300
    hits = {"mean": 0, "drift": 0}
    for _ in range(trials):
        found = offset(TEST, TEST + 0.3 + random.normal(0, 0.05, 8), resamples=200)
        for name, truth in (("mean", 0.3), ("drift", 0.0)):
            hits[name] += found[name]["low"] <= truth <= found[name]["high"]
    for name, count in hits.items():
        assert 0.82 < count / trials < 0.97, name


@pytest.mark.parametrize("runs", [1, 2])
def test_too_few_runs_have_no_interval(runs):
    found = offset(TEST[:runs], TEST[:runs] + 0.25)
    assert found["mean"]["value"] == pytest.approx(0.25)
    assert math.isnan(found["mean"]["low"])
    assert math.isnan(found["drift"]["high"])


def test_runs_of_one_test_loss_have_no_drift():
    found = offset(np.full(5, 3.0), np.array([3.1, 3.2, 3.3, 3.2, 3.1]))
    assert found["mean"]["low"] < found["mean"]["value"] < found["mean"]["high"]
    assert math.isnan(found["drift"]["value"])
    assert math.isnan(found["drift"]["low"])


def test_offsets_are_those_of_sizes_at_the_end_of_training():
    tables = simulated.study(("size", "data"), diverged=6144)["tables"]
    found = offsets(tables["runs"], tables["evaluations"])
    assert list(found) == list(simulated.SETS)
    assert {result["runs"] for result in found.values()} == {len(simulated.SIZES) - 1}
    ends = {
        run["run"]: run["steps"]
        for run in tables["runs"]
        if "size" in run["experiments"] and run["status"] != "diverged"
    }
    final = {
        (e["run"], e["set"]): e["loss"] for e in tables["evaluations"] if e["step"] == ends.get(e["run"])
    }
    for name, truth in simulated.SETS.items():
        mean = np.mean([final[run, name] - final[run, "test"] for run in ends])
        assert found[name]["mean"]["value"] == pytest.approx(mean)
        assert mean == pytest.approx(truth, abs=0.1)


def test_runs_without_steps_have_offsets():
    runs = [
        {"run": str(N), "N": N, "experiments": ["size"], "status": "finished", "test_loss": 3.0}
        for N in (1, 2, 3)
    ]
    evaluations = [
        {"run": str(N), "step": None, "set": name, "loss": 4 - N / 10 + apart}
        for N in (1, 2, 3)
        for name, apart in (("test", 0.0), ("code", 0.5))
    ]
    assert offsets(runs, evaluations)["code"]["mean"]["value"] == pytest.approx(0.5)
