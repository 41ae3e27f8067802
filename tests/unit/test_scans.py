import numpy as np
import pytest
from scaling import scans, selections
from scaling.laws import LAWS
from scaling.provenance import UserError

BATCHES = 2.0 ** np.arange(8, 16)
TRUTH = {"alpha_B": 0.2, "B_star": 3e7}
SIZES = (3000, 25000)
LEAST = 100.0


def critical(loss):
    return LAWS["B_crit"].predict({"loss": loss}, TRUTH)


def run(N, B, **changes):
    row = {"run": f"N{N}_B{B:.0f}", "experiments": ["batch"], "N": N, "B": B, "status": "finished"}
    return row | {"test_loss": 4.0, "warmup": 0} | changes


def curve(row, *, ends=3.8, noise=0.0, points=40):
    """Losses whose S_min goes as loss^-12, with the steps that the row's batch takes to them."""
    losses = np.geomspace(5.2, ends, points)
    steps = LEAST * (row["N"] / 3000) ** -0.1 * (losses / 4.5) ** -12 * (1 + critical(losses) / row["B"])
    steps = steps * np.exp(noise)
    return [
        {"run": row["run"], "step": float(step), "tokens": float(step * row["B"]), "test_loss": float(loss)}
        for step, loss in zip(steps, losses, strict=True)
    ]


def study(*, noise=0.0, ends=lambda B: 3.8, sizes=SIZES, batches=BATCHES, seed=0):
    rng = np.random.default_rng(seed)
    runs = [run(N, B) for N in sizes for B in batches]
    return runs, [
        point for row in runs for point in curve(row, ends=ends(row["B"]), noise=rng.normal(0, noise))
    ]


def fitted(runs, curves):
    return selections.fit_law("B_crit", runs, curves, resamples=200, seed=0, delta=0.01)


def test_steps_to_a_loss_are_read_off_the_curves():
    found = scans.scan(*study())
    assert len(found.N) == 2 * scans.LEVELS
    assert not found.least.any()
    expected = LEAST * (found.N[found.group] / 3000) ** -0.1 * (found.loss / 4.5) ** -12
    assert found.steps == pytest.approx(expected * (1 + critical(found.loss) / found.B), rel=2e-3)


def test_the_critical_batch_comes_back_and_is_that_of_separate_hyperbolas():
    report, draws = fitted(*study())
    assert report["certificate"]["passed"]
    for name, value in TRUTH.items():
        assert report["parameters"][name]["value"] == pytest.approx(value, rel=0.02)
    assert list(draws) == ["alpha_B", "B_star"]
    levels = report["data"]["levels"]
    assert [level["E_min"] / level["S_min"] for level in levels] == pytest.approx(report["data"]["y"])
    losses = np.array([level["loss"] for level in levels])
    assert report["data"]["y"] == pytest.approx(critical(losses), rel=0.02)
    assert [level["S_min"] for level in levels[:3]] == pytest.approx(
        LEAST * (losses[:3] / 4.5) ** -12, rel=0.02
    )


def test_noise_between_runs_is_in_the_intervals():
    inside = []
    for seed in range(10):
        report, _ = fitted(*study(noise=0.1, seed=seed))
        found = report["parameters"]["alpha_B"]
        inside.append(found["low"] < TRUTH["alpha_B"] < found["high"])
        assert found["high"] > 1.05 * found["low"]
    assert sum(inside) >= 8


def test_what_a_run_did_not_reach_is_known_to_take_longer():
    """The smallest batches end early. Their last steps are no steps to the loss, and without them at all
    the critical batch would still be right, but less sure."""
    early = dict.fromkeys(BATCHES, 3.8) | dict(zip(BATCHES[:3], (4.4, 4.2, 4.0), strict=True))
    runs, curves = study(ends=early.get)
    found = scans.scan(runs, curves)
    assert 0 < found.least.sum() < len(found.least) / 2
    assert {*found.B[found.least]} == {*BATCHES[:3]}
    short = found.least & (BATCHES[0] == found.B)
    last = max(point["step"] for point in curves if point["run"] == f"N3000_B{BATCHES[0]:.0f}")
    assert found.steps[short & (found.N[found.group] == 3000)] == pytest.approx(last)
    report, _ = fitted(runs, curves)
    assert report["data"]["censored"] == found.least.sum()
    assert report["parameters"]["alpha_B"]["value"] == pytest.approx(TRUTH["alpha_B"], rel=0.03)
    assert sum(map(sum, (level["least"] for level in report["data"]["levels"]))) == found.least.sum()


def test_a_bound_that_the_law_breaks_still_pulls():
    """That small batches were not done after very many steps says, by itself, that B_crit is large."""
    runs, curves = study(sizes=SIZES[:1])
    steps = {}
    for row in runs:
        if row["B"] <= 1024:  # as if it had trained on for ever at its loss of 4.4
            of_run = [point for point in curves if point["run"] == row["run"]]
            for point in of_run:
                point["test_loss"] = max(point["test_loss"], 4.4)
            steps[row["B"]] = of_run[-1]["step"] * 100
            of_run[-1]["step"] = steps[row["B"]]
    plain = fitted(*study(sizes=SIZES[:1]))[0]["data"]["y"][-1]
    assert fitted(runs, curves)[0]["data"]["y"][-1] > 2 * plain


def test_of_several_learning_rates_the_quickest_counts():
    runs, curves = study(sizes=SIZES[:1])
    slow = [run(3000, B, run=f"slow_B{B:.0f}") for B in BATCHES]
    worse = [point | {"step": point["step"] * 1.5} for row in slow for point in curve(row)]
    found = scans.scan([*slow, *runs], [*worse, *curves])
    alone = scans.scan(runs, curves)
    assert {row["run"] for row in found.runs} == {row["run"] for row in runs}
    assert found.steps == pytest.approx(alone.steps)


def test_levels_begin_after_the_warm_up_has_set_the_pace():
    runs, curves = study()
    late = scans.scan([row | {"warmup": 40} for row in runs], curves)
    assert late.level.max() < scans.scan(runs, curves).level.max()
    assert late.steps.min() >= scans.PACE * 40 * 0.95


def test_sizes_and_losses_without_enough_batches_are_named():
    runs, curves = study()
    few, few_curves = study(sizes=(99000,), batches=BATCHES[:3])
    found = scans.scan([*runs, *few], [*curves, *few_curves])
    assert set(found.excluded) == {row["run"] for row in few}
    assert "fewer than 4 batch sizes" in found.excluded["N99000_B256"]
    with pytest.raises(UserError, match="no size was trained with 4 batch sizes; add batch sizes"):
        scans.scan(few, few_curves)
    shallow = [p for p in curves if not (p["run"].startswith("N3000") and p["test_loss"] < 4.3)]
    found = scans.scan(runs, shallow)
    assert found.unreached
    assert all(N == 3000 and loss < 4.3 for N, loss in found.unreached)
    with pytest.raises(UserError, match="its runs have no B"):
        scans.scan([row | {"B": None} for row in runs], curves)


def test_sizes_that_disagree_widen_the_interval():
    """Runs are drawn by size first: what is measured of two sizes must hold for others."""
    runs, curves = study(noise=0.03)
    found = {}
    for factor in (1.0, 3.0):
        other = [point | {"step": point["step"]} for point in curves]
        for point in other:
            if point["run"].startswith(f"N{SIZES[1]}"):
                B = float(point["run"].split("_B")[1])
                B_crit = critical(point["test_loss"])[0]
                point["step"] *= (1 + factor * B_crit / B) / (1 + B_crit / B)
        _, draws = fitted(runs, other)
        at = np.array([draws["B_star"] / 4.3 ** (1 / draws["alpha_B"])])
        found[factor] = np.quantile(np.log(at), [0.05, 0.95])
    assert np.ptp(found[3.0]) > 2 * np.ptp(found[1.0])
    assert found[3.0][0] < np.log(1.3 * critical(4.3)[0])
    assert found[3.0][1] > np.log(2.3 * critical(4.3)[0])


def test_levels_that_are_hardly_apart_are_refused():
    runs, curves = study(sizes=SIZES[:1], ends=lambda B: 5.15)
    with pytest.raises(UserError, match="hardly any loss lies on the curves of 4 batch sizes"):
        scans.scan(runs, curves)


def test_a_size_that_comes_down_to_no_level_is_named():
    runs, curves = study()
    high = [run(N, B) for N in (99000,) for B in BATCHES]
    above = [point | {"test_loss": point["test_loss"] + 1.0} for row in high for point in curve(row)]
    low = [point for point in curves if point["test_loss"] < 4.5]
    found = scans.scan([*runs, *high], [*low, *above])
    assert set(found.excluded) == {row["run"] for row in high}
    assert "reached none of the losses" in found.excluded["N99000_B256"]


def test_the_noise_scale_stands_beside_each_level():
    runs, curves = study()
    rng = np.random.default_rng(0)
    for point in curves:
        square = 1e-4 * rng.uniform(0.9, 1.1)
        point |= {"gradient_square": square, "gradient_variance": square * critical(point["test_loss"])[0]}
    levels = fitted(runs, curves)[0]["data"]["levels"]
    for level in levels[1:-1]:
        assert level["noise_scale"] == pytest.approx(critical(level["loss"])[0], rel=0.1)
        assert 0 < level["noise_scale_se"] < 0.1 * level["noise_scale"]
    assert all(level["noise_scale"] is None for level in fitted(*study())[0]["data"]["levels"])
