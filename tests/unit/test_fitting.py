import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from scaling import fitting
from scaling.laws import LAWS
from scaling.provenance import UserError

SIZES = np.geomspace(768, 442368, 9)
TRUTH = (0.07, 1e13)
ROUTING = Path(__file__).parents[3] / "shared/external/deepmind_routing_curves.csv.gz"


def selection(x, y, *, runs=None):
    """A selection of one point a run; with ``runs``, points (P,) belong to the runs of those indices."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    owner = np.arange(len(x)) if runs is None else np.asarray(runs)
    features, line = fitting.straight(x)
    return fitting.Selection(
        runs=[f"run{index}" for index in np.unique(owner)],
        points=lambda counts: fitting.Points(features, np.log(y)[None], counts[:, owner].astype(float)),
        line=line,
        x=x,
        y=y,
        run=[f"run{index}" for index in owner],
        method="",
        remedy="add sizes",
    )


def fit(chosen, *, resamples=200, seed=0, interval=0.9):
    return fitting.fit(LAWS["L_N"], chosen, resamples=resamples, seed=seed, interval=interval)


def noisy(rng, sigma, x=SIZES):
    return LAWS["L_N"].form.predict(x, *TRUTH) * np.exp(rng.normal(0, sigma, len(x)))


def test_parameters_come_back_exactly_without_noise_and_within_intervals_with_it():
    exact = fit(selection(SIZES, noisy(np.random.default_rng(0), 0)))[0]["parameters"]
    assert exact["alpha_N"]["value"] == pytest.approx(0.07, rel=1e-9)
    assert exact["N_c"]["value"] == pytest.approx(1e13, rel=1e-6)
    result, draws = fit(selection(SIZES, noisy(np.random.default_rng(5), 0.01)))
    for name, truth in zip(("alpha_N", "N_c"), TRUTH, strict=True):
        found = result["parameters"][name]
        assert found["low"] < truth < found["high"]
        assert found["low"] < found["value"] < found["high"]
        assert draws[name].shape == (200,)


def test_one_wild_run_hardly_moves_the_fit():
    losses = noisy(np.random.default_rng(1), 0.003)
    sound = fit(selection(SIZES, losses))[0]["parameters"]["alpha_N"]["value"]
    losses[-1] *= 2  # at the end, where it has the longest lever
    wild = fit(selection(SIZES, losses))[0]["parameters"]["alpha_N"]["value"]
    squares = -np.polyfit(np.log(SIZES), np.log(losses), 1)[0]
    assert abs(squares - sound) > 0.02
    assert abs(wild - sound) < 0.004


def test_the_objective_is_summed_and_at_its_minimum():
    rng = np.random.default_rng(2)
    losses = noisy(rng, 0.02)
    points = selection(SIZES, losses).points(np.ones((1, 9), dtype=int))
    once = fitting.solve(points)
    twice = fitting.solve(fitting.Points(points.features, points.target, 2 * points.weight))
    assert twice.objective == pytest.approx(2 * once.objective)
    assert once.objective > 0

    def objective(theta):
        return fitting.huber(points.target - points.features @ theta).sum()

    assert objective(once.theta[0]) == pytest.approx(once.objective[0])
    nudges = rng.normal(0, 1e-3, (200, 2))
    assert all(objective(once.theta[0] + nudge) > once.objective[0] for nudge in nudges)


def test_huber_is_square_inside_and_linear_outside():
    assert fitting.huber(np.array([0.0, 0.01, -0.02, 1.0]), 0.02) == pytest.approx(
        [0, 0.5e-4, 2e-4, 0.02 * 0.99]
    )


def test_whole_runs_are_resampled():
    rng = np.random.default_rng(3)
    owner = np.repeat(np.arange(9), 20)
    offsets = rng.normal(0, 0.02, 9)[owner]  # what the points of a run have in common
    x = np.geomspace(768, 442368, 180)
    losses = LAWS["L_N"].form.predict(x, *TRUTH) * np.exp(offsets)
    by_run = fit(selection(x, losses, runs=owner))[0]["parameters"]["alpha_N"]
    by_point = fit(selection(x, losses))[0]["parameters"]["alpha_N"]
    assert by_run["high"] - by_run["low"] > 2 * (by_point["high"] - by_point["low"])


def test_draws_are_seeded_and_resample_by_resample_the_same_for_the_same_runs():
    counts = fitting.draw(9, 1000, 0)
    assert (counts.sum(1) == 9).all()
    assert (counts == fitting.draw(9, 1000, 0)).all()
    assert (counts != fitting.draw(9, 1000, 1)).any()
    losses = noisy(np.random.default_rng(4), 0.01)
    first, second, other = (fit(selection(SIZES, losses), seed=seed)[1]["alpha_N"] for seed in (0, 0, 1))
    assert (first == second).all()
    assert (first != other).any()


def test_resamples_that_determine_nothing_are_dropped_and_counted():
    result, draws = fit(selection([1e3, 1e4, 1e5], [4.0, 3.5, 2.9]), resamples=300)
    same_run_thrice = (fitting.draw(3, 300, 0).max(1) == 3).sum()
    assert result["dropped"] == same_run_thrice > 0
    assert np.isnan(draws["alpha_N"]).sum() == same_run_thrice


@pytest.mark.parametrize("x", [[1e3, 1e4], [1e3, 1e4, 1e4, 1e4]])
def test_too_few_points_name_the_remedy(x):
    with pytest.raises(UserError, match="2 different N, at least 3 are needed; add sizes"):
        fit(selection(x, np.linspace(4, 3, len(x))))


def test_the_band_holds_the_fit_and_widens_outside_the_middle():
    band = fit(selection(SIZES, noisy(np.random.default_rng(6), 0.01)))[0]["band"]
    low, y, high = (np.array(band[key]) for key in ("low", "y", "high"))
    assert len(y) == 60
    assert (low < y).all()
    assert (y < high).all()
    width = np.log(high / low)
    assert width[0] > width[30] < width[-1]


def test_ninety_percent_intervals_cover_the_truth_about_so_often():
    rng = np.random.default_rng(7)
    hits = 0
    for seed in range(200):
        found = fit(selection(SIZES, noisy(rng, 0.01)), seed=seed)[0]["parameters"]["alpha_N"]
        hits += found["low"] <= TRUTH[0] <= found["high"]
    assert 0.84 <= hits / 200 <= 0.97


@pytest.mark.skipif(not ROUTING.exists(), reason="published routing curves are not beside this checkout")
def test_published_dense_models_have_an_exponent_near_0_079():
    with gzip.open(ROUTING, "rt") as file:
        last = {
            row["hyper_id"]: row
            for row in sorted(csv.DictReader(file), key=lambda row: float(row["step"]))
            if row["router_type"] == "Dense" and float(row["flop_increase"]) == 1 and row["loss_validation"]
        }
    sizes = [float(row["dense_parameter_count"]) for row in last.values()]
    losses = [float(row["loss_validation"]) for row in last.values()]
    exponent = fit(selection(sizes, losses))[0]["parameters"]["alpha_N"]
    assert 0.076 < exponent["value"] < 0.082
    assert exponent["high"] - exponent["low"] < 0.02
