"""What figures of laws, shape and other text find of the paper's claims: each verdict by data made so."""

import copy
import math

import numpy as np
import pytest
import simulated
from scaling import selections
from scaling.charts import catalog, drawing, findings, logarithm, shape, transfer, transfer_vs_N
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY
from scaling.provenance import UserError

OF_LAWS = {
    "learning_curves": "L_C",
    "loss_vs_D": "L_D",
    "loss_vs_N": "L_N",
    "loss_vs_D_by_size": "L_ND",
    "loss_vs_NSmin": "L_NSmin",
}
REASON = "the points do not determine alpha_N, which ran into a bound"


@pytest.fixture(scope="module")
def study():
    return simulated.study()


@pytest.fixture
def fit(study):
    """The fit of L_N, certified, with a forecast inside its interval, which a test may change."""
    fit = copy.deepcopy(study["fits"]["L_N"])
    assert fit["certificate"]["passed"]
    fit["holdout"] |= {"error_percent": 0.5, "interval_percent": [-0.7, 0.8], "covered": True}
    return fit


def logarithm_errs(fit, value, se):
    """``fit``, whose logarithm errs more on runs left out by ``value`` ± ``se`` percentage points."""
    (rival,) = (rival for rival in fit["rivals"] if rival["name"] == "logarithm")
    rival["difference"] = {"value": value, "se": se}
    return fit


def failed(fit):
    return fit | {"certificate": fit["certificate"] | {"passed": False, "reasons": [REASON]}}


# --- laws -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "law"), OF_LAWS.items())
def test_charts_of_laws_find_what_their_fit_says(name, law, study):
    assert catalog.FIGURES[name].claim
    drawn = drawing.draw(name, study["tables"], study["fits"])
    assert drawn.finding == findings.of_law(study["fits"][law])
    drawn = drawing.draw(name, study["tables"], study["fits"] | {law: failed(study["fits"][law])})
    assert drawn.finding.verdict == OPEN
    assert "α_N, which ran into a bound" in drawn.finding.because


def test_charts_without_a_claim_find_nothing(study):
    for name in ("loss_vs_ND", "loss_vs_NS"):
        assert not catalog.FIGURES[name].claim
        assert drawing.draw(name, study["tables"], study["fits"]).finding is None


def test_a_law_holds_by_its_forecast(fit):
    alpha_N = fit["parameters"]["alpha_N"]
    alpha_N |= {"value": 0.07, "low": 0.06, "high": 0.08}
    found = findings.of_law(fit)
    assert found.sentence() == (
        "Holds at this scale: the fit is certified, and its forecast of the largest tenth of compute is off "
        "by +0.5 %, inside its interval of −0.7 to +0.8 %; the interval of α_N contains the paper's value."
    )
    assert (found.paper, found.measured) == ("α_N 0.076", "α_N 0.0700 (0.0600 to 0.0800)")
    fit["holdout"]["covered"] = False
    found = findings.of_law(fit)
    assert found.verdict == PARTLY
    assert "but its forecast" in found.because
    assert "outside its interval" in found.because
    fit["holdout"] |= {"error_percent": None, "reason": "too few points of less compute to forecast from"}
    found = findings.of_law(fit)
    assert found.verdict == PARTLY
    assert "a forecast is not possible: too few points" in found.because


@pytest.mark.parametrize(
    ("ends", "words"),
    [((0.05, 0.06), "lies below"), ((0.08, 0.09), "lies above"), ((0.07, 0.08), "contains")],
)
def test_the_interval_is_held_against_the_papers_value(ends, words, fit):
    fit["parameters"]["alpha_N"] |= {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}
    assert findings.of_law(fit).because.endswith(f"the interval of α_N {words} the paper's value")


def test_several_intervals_share_a_clause():
    numbers = [
        {"symbol": symbol, "low": low, "high": low + 1, "published": 1.5}
        for symbol, low in (("a", 1), ("b", 1), ("c", 2), ("d", 0))
    ]
    assert findings.beside(numbers) == (
        "the intervals of a and b contain the paper's values, the interval of c lies above the paper's "
        "value, the interval of d lies below the paper's value"
    )


def test_a_law_fails_where_a_logarithm_predicts_better(fit):
    assert findings.of_law(logarithm_errs(fit, -0.5, 0.3)).verdict == HOLDS
    found = findings.of_law(logarithm_errs(fit, -0.6, 0.3))
    assert found.verdict == FAILS
    assert "a logarithm errs less by 0.60 ± 0.30 percentage points" in found.because
    (rival,) = (rival for rival in fit["rivals"] if rival["name"] == "logarithm")
    rival["certificate"]["passed"] = False
    assert findings.of_law(fit).verdict == HOLDS


# --- a power or a logarithm -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "verdict", "words"),
    [
        ((0.6, 0.3), HOLDS, "errs more by 0.60 ± 0.30 percentage points, 2 standard errors or more"),
        ((0.5, 0.3), OPEN, "errs more by 0.50 ± 0.30 percentage points, less than 2 standard errors"),
        ((-0.5, 0.3), OPEN, "errs less by 0.50 ± 0.30"),
        ((-0.7, 0.3), FAILS, "errs less by 0.70 ± 0.30"),
        ((0.0, 0.0), OPEN, "less than 2 standard errors"),
    ],
)
def test_the_form_that_errs_less_fits_better(difference, verdict, words, fit):
    found = logarithm.finding(logarithm_errs(fit, *difference))
    assert found.verdict == verdict
    assert words in found.because


def fitted_to(loss):
    """The fit of L_N to runs that lie on ``loss`` of N, within 0.01 %."""
    random = np.random.default_rng(0)
    sizes = np.geomspace(1e3, 1e6, 12)
    runs = [
        {
            **{"run": f"run{i}", "experiments": ["size"], "status": "finished", "N": N, "steps": 100},
            **{"test_loss": float(loss(N) * np.exp(random.normal(0, 1e-4))), "test_loss_se": 0.001},
            **{"tokens": 1e6, "flops_per_token_6N": 6 * N},
        }
        for i, N in enumerate(sizes)
    ]
    return selections.fit_law("L_N", runs, [], resamples=60, seed=0, delta=0.01)[0], runs


def test_points_of_a_power_law_and_of_a_logarithm_are_told_apart():
    fit, runs = fitted_to(lambda N: (1e13 / N) ** 0.07)
    drawn = drawing.draw("logarithm", {"runs": runs}, {"L_N": fit})
    assert drawn.finding.verdict == HOLDS
    parts = dict(drawn.data)
    power, straight = (
        [abs(row["y"]) for row in parts["residual"] if row["form"] == form] for form in logarithm.FORMS
    )
    assert max(power) < 0.1 < max(straight)
    fit, runs = fitted_to(lambda N: 0.2 * math.log(1e12 / N))
    assert drawing.draw("logarithm", {"runs": runs}, {"L_N": fit}).finding.verdict == FAILS


def test_both_forms_are_drawn_a_decade_beyond_the_sizes(study):
    fit = study["fits"]["L_N"]
    drawn = drawing.draw("logarithm", study["tables"], study["fits"])
    rows, N = dict(drawn.data)["fit"], fit["data"]["inputs"]["N"]
    for form in logarithm.FORMS:
        xs = [row["x"] for row in rows if row["form"] == form]
        assert (min(xs), max(xs)) == pytest.approx((min(N) / 10, max(N) * 10))
    power, straight = (
        [row for row in rows if row["form"] == form and row["x"] > max(N)] for form in logarithm.FORMS
    )
    values = {name: found["value"] for name, found in fit["parameters"].items()}
    for row in power:
        assert row["y"] == pytest.approx((values["N_c"] / row["x"]) ** values["alpha_N"])
    assert all(above["y"] > below["y"] for above, below in zip(power, straight, strict=True))
    errors = [rival["error_percent"] for rival in fit["rivals"] if rival["name"] in ("law", "logarithm")]
    assert f"the power law errs by {errors[0]:.2g} % and the logarithm by {errors[1]:.2g} %" in drawn.caption


def test_a_form_that_does_not_hold_is_not_drawn(study, fit):
    (rival,) = (rival for rival in fit["rivals"] if rival["name"] == "logarithm")
    drawn = drawing.draw("logarithm", study["tables"], {"L_N": failed(fit)})
    assert drawn.finding.verdict == OPEN
    assert {row["form"] for row in dict(drawn.data)["fit"]} == {logarithm.LOGARITHM}
    rival |= {"unfitted": "more parameters than points allow"}
    rival.pop("difference")
    drawn = drawing.draw("logarithm", study["tables"], {"L_N": fit})
    assert drawn.finding.verdict == OPEN
    assert "more parameters than points allow" in drawn.finding.because
    assert "The logarithm is not drawn, since it could not be fitted" in drawn.caption
    assert {row["form"] for row in dict(drawn.data)["fit"]} == {logarithm.POWER}
    drawn = drawing.draw("logarithm", study["tables"], {"L_N": failed(fit)})
    assert [series for series, _ in drawn.data] == ["measured"]
    assert drawing.svg(drawing.specification(drawn)).count("mark-symbol role-mark") == 1


# --- shape ----------------------------------------------------------------------------------------------


def shaped(study, losses, se=0.001):
    """The finding of figure 5 with ``losses`` by property, the best of it and the base at 4 nats."""
    tables = {"runs": [dict(run) for run in study["tables"]["runs"]]}
    runs = drawing.converged(tables["runs"], "shape")
    base, panels = shape.arranged(runs)
    base |= {"test_loss": 4.0, "test_loss_se": se}
    for varied, members in panels.items():
        for run in members[1:]:
            run |= {"test_loss": losses.get(varied, 4.0), "test_loss_se": se}
    return drawing.draw("shape", tables, {}).finding


def test_shape_holds_where_the_worst_stays_within_three_per_cent(study):
    found = shaped(study, {shape.ASPECT: 4.08})
    assert found.verdict == HOLDS
    reach = 1.645 * 100 * 0.001 * math.hypot(1 / 4.08, 1 / 4.0) * 1.02
    assert found.measured == f"within 2.0 % ({2 - reach:.1f} to {2 + reach:.1f}) over a 22-fold range"
    assert shaped(study, {shape.ASPECT: 4.08}, se=0.05).verdict != HOLDS


def test_shape_holds_in_part_where_some_proportions_matter(study):
    found = shaped(study, {shape.ASPECT: 4.2})
    assert found.verdict == PARTLY
    assert "by feed-forward ratio 0.0 % (0.0 to 0.0), by aspect ratio 5.0 % (" in found.because
    assert shaped(study, dict.fromkeys(shape.PROPERTIES, 4.2)).verdict == FAILS
    assert shaped(study, dict.fromkeys(shape.PROPERTIES, 4.2), se=0.05).verdict == OPEN


def test_shape_leaves_out_networks_that_have_no_such_proportions(study):
    tables = copy.deepcopy(study["tables"])
    whole = drawing.draw("shape", tables, {})
    lstm = next(run for run in tables["runs"] if run["experiments"] == ["shape"])
    tables["runs"].append(lstm | {"run": "lstm", "architecture": "lstm", "d_ff": None, "n_head": None})
    assert drawing.draw("shape", tables, {}).caption == whole.caption
    with pytest.raises(UserError, match="no Transformer"):
        drawing.draw("shape", {"runs": tables["runs"][-1:]}, {})


def test_two_shapes_tell_nothing(study):
    runs = drawing.converged(study["tables"]["runs"], "shape")
    base, panels = shape.arranged(runs)
    few = {"runs": panels[shape.ASPECT][:2]}
    assert few["runs"][0] is base
    assert drawing.draw("shape", few, {}).finding.verdict == OPEN


def test_shape_is_held_against_the_slope_in_N(study):
    tables = {"runs": [dict(run) for run in study["tables"]["runs"]]}
    for run in tables["runs"]:
        run["test_loss"] = run["N"] ** -0.05 * 6
    (clause,) = shape.as_much({"value": 0.02, "low": 0.01, "high": 0.03}, tables["runs"])
    smaller = [f"{100 * (1 - (1 + increase) ** -20):.2g}" for increase in (0.02, 0.01, 0.03)]
    assert clause == "a model {} % ({} to {}) smaller loses as much".format(*smaller)
    few = [run for run in tables["runs"] if "size" not in run["experiments"]]
    assert shape.as_much({"value": 0.02, "low": 0.01, "high": 0.03}, few) == []


# --- other text -----------------------------------------------------------------------------------------


def drift(value, low, high):
    mean = {"value": 1.0, "low": 0.9, "high": 1.1}
    return {"runs": 8, "mean": mean, "drift": {"value": value, "low": low, "high": high}}


FLAT, DRIFTING, WIDE = drift(0.01, -0.02, 0.03), drift(-0.2, -0.3, -0.1), drift(0.1, -0.9, 0.9)
UNKNOWN = drift(0.1, math.nan, math.nan)


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        ([FLAT, FLAT], HOLDS, "zero for 2 of 2 sets"),
        ([FLAT, DRIFTING], PARTLY, "zero for 1 of 2 sets"),
        ([FLAT, DRIFTING, DRIFTING], FAILS, "the largest drift, of set1, is −0.200 (−0.300 to −0.100) nats"),
        ([FLAT, WIDE, WIDE], OPEN, "for 2 it is wider than ±0.5, too wide to tell"),
        ([FLAT, FLAT, WIDE], PARTLY, "zero for 3 of 3 sets"),
        ([UNKNOWN], OPEN, "too few sizes"),
        ([], OPEN, "too few sizes"),
    ],
)
def test_offsets_are_constant_where_they_do_not_drift(found, verdict, words):
    found = transfer.finding({f"set{index}": offset for index, offset in enumerate(found)})
    assert found.verdict == verdict
    assert words in found.because
    assert "nan" not in found.because + found.measured


def text(study, change, sizes=None):
    """The tables of ``study`` in which ``change`` makes a loss on other text of a test loss and N."""
    tables = copy.deepcopy(study["tables"])
    N = {run["run"]: run["N"] for run in tables["runs"] if "size" in run["experiments"]}
    kept = sorted(set(N.values()))[:sizes]
    tables["evaluations"] = [row for row in tables["evaluations"] if N.get(row["run"]) in kept]
    test = {(row["run"], row["step"]): row["loss"] for row in tables["evaluations"] if row["set"] == "test"}
    for row in tables["evaluations"]:
        if row["set"] != "test":
            row["loss"] = change(row["set"], test[row["run"], row["step"]], N[row["run"]])
    return tables


def test_transfer_finds_constant_and_drifting_offsets(study):
    constant = drawing.draw("transfer", text(study, lambda name, loss, N: loss + 0.5), {})
    assert constant.finding.verdict == HOLDS
    drifting = drawing.draw("transfer", text(study, lambda name, loss, N: 1.3 * loss), {})
    assert drifting.finding.verdict == FAILS
    assert "+0.300 (+0.300 to +0.300)" in drifting.finding.because
    few = drawing.draw("transfer", text(study, lambda name, loss, N: 1.3 * loss, sizes=2), {})
    assert few.finding.verdict == OPEN


def test_loss_on_other_text_falls_with_size_where_its_slope_does(study):
    same = drawing.draw("transfer_vs_N", text(study, lambda name, loss, N: 1.3 * loss), {})
    assert same.finding.verdict == HOLDS
    assert "for 6 of 6 sets" in same.finding.because
    assert "zero in its interval for 6 " in same.finding.because
    rising = {"code", "cloud"}
    partly = text(study, lambda name, loss, N: N**0.01 if name in rising else 1.3 * loss)
    found = drawing.draw("transfer_vs_N", partly, {}).finding
    assert found.verdict == PARTLY
    assert "for 4 of 6 sets" in found.because
    assert "zero in its interval for 4 " in found.because
    assert found.measured.startswith("slopes −0.0")
    assert " to +0.0100, test split −0.0" in found.measured
    flat = drawing.draw("transfer_vs_N", text(study, lambda name, loss, N: 4.0), {})
    assert flat.finding.verdict == FAILS


def test_slopes_of_other_text_that_are_lost_in_noise_leave_it_open():
    def number(value, half):
        return {"value": value, "low": value - half, "high": value + half}

    slopes = {transfer_vs_N.TEST: number(-0.06, 0.01), "code": number(-0.04, 0.1)}
    assert transfer_vs_N.finding(slopes, {"code": number(0.02, 0.1)}).verdict == OPEN
    assert transfer_vs_N.finding(slopes, {"code": number(0.02, 0.01)}).verdict == FAILS


def test_slopes_of_other_text_have_the_intervals_of_the_truth(study):
    drawn = text(study, lambda name, loss, N: 5 * N**-0.05)
    points = dict(drawing.draw("transfer_vs_N", drawn, {}).data)["measured"]
    slopes = transfer_vs_N.slopes_in_N(points, ["code"])
    assert slopes["code"] == pytest.approx({"value": -0.05, "low": -0.05, "high": -0.05})


def test_sizes_too_few_for_a_slope_tell_nothing(study):
    found = drawing.draw("transfer_vs_N", text(study, lambda name, loss, N: loss, sizes=2), {})
    assert found.finding.verdict == OPEN
    assert "interval" not in found.caption
    assert "nan" not in found.caption
    tables = text(study, lambda name, loss, N: loss)
    runs = sorted({row["run"] for row in tables["evaluations"]})
    for row in tables["evaluations"]:
        row["loss"] = 4.0 + 0.1 * (runs.index(row["run"]) % 2)
    found = drawing.draw("transfer_vs_N", tables, {}).finding
    assert found.verdict == OPEN
    assert "the test loss itself does not fall for sure" in found.because
