"""Figure 9: overfitting of runs limited by data, what stands for its limit, and whether one curve does."""

import copy
import math

import numpy as np
import pytest
import simulated
from scaling import laws, overfit, selections
from scaling.charts import drawing, overfitting, wording
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY
from scaling.provenance import UserError

PAPER = {name: p.published for name, p in laws.LAWS["L_ND"].parameters.items()}
SIZES, TOKENS = (1e6, 1e7, 1e8, 1e9), (2e7, 1e8, 5e8, 2e9, 2e10)
REASON = "the points do not determine alpha_N, which ran into a bound"


def runs_of(loss, *, noise=0.001, epochs=2.0, seed=0):
    """Runs of every size on every data set, with losses ``loss(N, D)``; the last is seen ``epochs`` times."""
    random = np.random.default_rng(seed)
    rows, most = [], TOKENS[-1]
    for N in SIZES:
        for D in TOKENS:
            value = float(loss(N, D) * np.exp(random.normal(0, noise)))
            seen = {most: epochs}.get(D, 5.0)
            rows.append(
                {
                    **{
                        "run": f"N{N:g}-D{D:g}",
                        "experiments": ["data"],
                        "status": "finished",
                        "N": N,
                        "D": D,
                    },
                    **{"epochs": seen, "tokens": seen * D, "flops_per_token_6N": 6 * N, "dropout": 0.1},
                    **{"test_loss": value, "test_loss_se": 0.002},
                    **{"best_test_loss": value, "best_test_loss_se": 0.002},
                }
            )
    return rows


def law(N, D):
    return laws.LAWS["L_ND"].predict({"N": N, "D": D}, PAPER)[0]


def fitted(runs):
    return selections.fit_law("L_ND", runs, [], resamples=60, seed=0, delta=0.01)[0]


@pytest.fixture(scope="module")
def exact():
    """Runs on the paper's law, almost without noise, and their fit."""
    runs = runs_of(law)
    fit = fitted(runs)
    assert fit["certificate"]["passed"]
    return runs, fit


def draw(runs, fit):
    return drawing.draw("overfitting", {"runs": runs}, {"L_ND": fit})


def changed(fit, **keys):
    return copy.deepcopy(fit) | keys


# --- the analysis ---------------------------------------------------------------------------------------


def test_overfitting_is_against_the_same_size_on_the_most_data():
    runs = runs_of(law, noise=0)
    runs.append(runs[4] | {"run": "again", "best_test_loss": runs[4]["best_test_loss"] - 0.1})
    most = overfit.on_most(runs)
    assert {run["D"] for run in most.values()} == {TOKENS[-1]}
    assert most[SIZES[0]]["run"] == "again"
    runs[0]["epochs"] = 0.5
    less = overfit.on_less(runs)
    assert len(less) == len(SIZES) * (len(TOKENS) - 1) - 1
    assert runs[0] not in less


def test_error_of_overfitting_is_that_of_both_losses():
    run = {"best_test_loss": 4.4, "best_test_loss_se": 0.044}
    assert overfit.excess(run, 4.0)["value"] == pytest.approx(0.1)
    assert overfit.excess(run, 4.0)["se"] == pytest.approx(0.011)
    assert overfit.excess(run, 4.0, 0.04)["se"] == pytest.approx(1.1 * math.hypot(0.01, 0.01))
    assert overfit.excess(run, 4.0, math.nan)["se"] is None
    assert overfit.excess(run | {"best_test_loss_se": None}, 4.0)["se"] is None


def test_share_explained_is_one_on_the_curve_and_less_beside_it():
    expected = np.linspace(0, 1, 20)
    assert overfit.explained(expected, expected) == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert overfit.explained(expected, np.full(20, 0.5))["value"] == pytest.approx(0, abs=1e-9)
    assert overfit.explained(expected, 1 - expected)["value"] < 0
    random = np.random.default_rng(0)
    found = overfit.explained(expected + random.normal(0, 0.15, 20), expected)
    assert found["low"] < found["value"] < found["high"] < 1
    assert overfit.explained(expected[:2], expected[:2]) is None
    assert overfit.explained(np.ones(5), np.ones(5)) is None
    assert overfit.explained([], []) is None


def test_share_explained_has_an_interval_that_covers():
    random, hits, noise = np.random.default_rng(0), 0, 0.2
    for _ in range(200):
        expected = random.normal(0, 1, 25)
        found = overfit.explained(expected + random.normal(0, noise, 25), expected, resamples=200)
        hits += found["low"] <= 1 - noise**2 / (1 + noise**2) <= found["high"]
    assert 0.75 < hits / 200 < 0.98


def test_enough_data_is_the_inverse_of_overfitting():
    D = overfit.enough_data(1e8, 0.02, **PAPER)
    assert laws.overfitting(1e8, D, **PAPER) == pytest.approx(0.02)
    assert math.isclose(D, 5e3 * 1e8**0.74, rel_tol=0.1)  # eq. 4.4


# --- the chart ------------------------------------------------------------------------------------------


def test_points_lie_on_the_curve_where_runs_follow_the_law(exact):
    runs, fit = exact
    drawn = draw(runs, fit)
    rows = dict(drawn.data)
    assert len(rows["loss"]) == len(runs)
    points = rows["overfitting"]
    assert {row["limit"] for row in points} == {overfitting.MEASURED}
    assert len(points) == len(SIZES) * (len(TOKENS) - 1)
    power = fit["derived"]["data_exponent"]["value"]
    for row in points:
        assert row["x"] == pytest.approx(row["N"] ** power / row["D"])
        limit = next(r for r in runs if r["N"] == row["N"] and r["D"] == TOKENS[-1])
        run = next(r for r in runs if r["run"] == row["run"])
        assert row["y"] == pytest.approx(100 * (run["best_test_loss"] / limit["best_test_loss"] - 1))
    values = {name: found["value"] for name, found in fit["parameters"].items()}
    curve = [row for row in rows["fit"] if row["panel"] == "overfitting"]
    for row in curve:
        N = 3e7
        assert row["y"] == pytest.approx(100 * laws.overfitting(N, N**power / row["x"], **values))
    for row in (row for row in rows["fit"] if row["panel"] == "loss"):
        assert row["y"] == pytest.approx(laws.LAWS["L_ND"].predict(row, values)[0])
    assert {row["D"] for row in rows["fit"] if row["panel"] == "loss"} == set(TOKENS)
    assert "with the measured L(N, ∞)" in drawn.caption
    assert "L(N, ∞) is the loss of the same size on 20G tokens (the paper's: on 22B)." in drawn.caption
    assert wording.finding(fit) in drawn.caption


def test_runs_limited_by_compute_do_not_stand_for_the_limit_alone(exact):
    most = TOKENS[-1]
    runs = runs_of(lambda N, D: law(N, D) * {most: 1.1}.get(D, 1), epochs=0.3)
    for run in runs:
        run["dropout"] = 0.0 if run["D"] == TOKENS[-1] else 0.1
    fit = fitted(runs)
    assert fit["certificate"]["passed"]
    drawn = draw(runs, fit)
    points = dict(drawn.data)["overfitting"]
    found = {limit: [row for row in points if row["limit"] == limit] for limit in overfitting.LIMITS}
    assert len(found[overfitting.MEASURED]) == len(found[overfitting.OF_LAW]) == 16
    values = {name: parameter["value"] for name, parameter in fit["parameters"].items()}
    for row in found[overfitting.OF_LAW]:
        assert row["y"] == pytest.approx(100 * laws.overfitting(row["N"], row["D"], **values), abs=1.0)
    assert "L(N, ∞) is the law's; rings: it is the loss of the same size on 20G tokens" in drawn.caption
    assert (
        "saw those 0.3 times, so that compute limits them, and had dropout 0 in place of 0.1" in drawn.caption
    )
    assert drawn.finding.verdict == PARTLY  # by the losses on the most data there is no such curve
    assert "with the law's L(N, ∞)" in drawn.finding.because


def test_errors_tell_where_overfitting_exceeds_zero(exact):
    runs, fit = exact
    runs = [run | {"best_test_loss_se": 0.05} for run in runs]
    points = dict(draw(runs, fit).data)["overfitting"]
    above = sum(row["y"] > 2 * (row["high"] - row["y"]) for row in points)
    assert 0 < above < len(points)
    assert (
        f"of {len(points)} runs that saw their D once or more, above zero by 2 standard errors in {above}."
        in (draw(runs, fit).caption)
    )


def test_a_fit_that_fails_its_certificate_is_not_drawn(exact):
    runs, fit = exact
    failed = changed(fit, certificate=fit["certificate"] | {"passed": False, "reasons": [REASON]})
    drawn = draw(runs, failed)
    assert "fit" not in dict(drawn.data)
    assert drawn.finding.verdict == OPEN
    assert drawn.finding.measured == "–"
    assert "α_N, which ran into a bound" in drawn.finding.because
    for row in dict(drawn.data)["overfitting"]:
        assert row["x"] == pytest.approx(row["N"] ** 0.74 / row["D"])  # the paper's exponent
    assert "of the paper's exponents" in drawn.caption
    assert "Lines" not in drawn.caption


def test_runs_without_errors_or_limits():
    runs = runs_of(law, noise=0.001)
    for run in runs:
        run["best_test_loss_se"] = None
    drawn = draw(runs, fitted(runs))
    assert "Bars" not in drawn.caption
    assert not any("low" in row for row in dict(drawn.data)["overfitting"])
    for run in runs[4:10:5]:
        run["status"] = "diverged"
    points = dict(draw(runs, fitted(runs)).data)["overfitting"]
    assert {row["N"] for row in points} == set(SIZES[2:])
    alone = [run for run in runs if run["D"] == TOKENS[0]]
    with pytest.raises(UserError, match="add `D: all`"):
        draw(alone, fitted(runs))


# --- the finding ----------------------------------------------------------------------------------------


def factor(fit, low, high):
    fit = copy.deepcopy(fit)
    number = fit["derived"]["data_exponent"]
    number |= {"value": (low + high) / 2, "low": low, "high": high}
    fit["holdout"] |= {"error_percent": 0.1, "interval_percent": [-1, 1], "covered": True}
    return fit


def share(value):
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


MEASURED, OF_LAW = overfitting.LIMITS


@pytest.mark.parametrize(
    ("shares", "ends", "covered", "verdict"),
    [
        ({MEASURED: 0.95, OF_LAW: 0.99}, (0.7, 0.8), True, HOLDS),
        ({MEASURED: 0.95, OF_LAW: None}, (0.7, 0.8), True, HOLDS),
        ({MEASURED: 0.95, OF_LAW: None}, (0.8, 0.9), True, PARTLY),
        ({MEASURED: 0.95, OF_LAW: None}, (0.7, 0.8), False, PARTLY),
        ({MEASURED: 0.85, OF_LAW: 0.99}, (0.7, 0.8), True, PARTLY),
        ({MEASURED: 0.30, OF_LAW: 0.95}, (0.7, 0.8), True, PARTLY),
        ({MEASURED: 0.30, OF_LAW: 0.45}, (0.7, 0.8), True, FAILS),
        ({MEASURED: None, OF_LAW: None}, (0.7, 0.8), True, OPEN),
    ],
)
def test_the_finding_follows_curve_factor_and_forecast(shares, ends, covered, verdict, exact):
    fit = factor(exact[1], *ends)
    fit["holdout"]["covered"] = covered
    found = overfitting.finding(fit, {limit: value and share(value) for limit, value in shares.items()})
    assert found.verdict == verdict
    assert found.paper == "8× the model, 4.7× the data"
    low, high = (f"{8**end:.1f}" for end in ends)
    assert f"({low} to {high})" in found.measured


def test_runs_on_the_papers_law_mostly_hold():
    verdicts = []
    for seed in range(6):  # forecast and factor each lie in a 90 % interval
        runs = runs_of(law, seed=seed)
        verdicts.append(draw(runs, fitted(runs)).finding.verdict)
    assert set(verdicts) <= {HOLDS, PARTLY}
    assert verdicts.count(HOLDS) >= 3, verdicts


def test_overfitting_that_another_ratio_governs_is_no_such_curve():
    runs = runs_of(lambda N, D: law(1e8, D * (N / 1e8) ** 0.6) * (1e8 / N) ** 0.02)
    assert draw(runs, fitted(runs)).finding.verdict != HOLDS


def test_simulated_study_is_told_in_full():
    study = simulated.study(("size", "data"), transfer={})
    drawn = drawing.draw("overfitting", study["tables"], study["fits"])
    assert drawn.caption in drawn.description
    assert "nan" not in drawn.caption + drawn.finding.sentence()
