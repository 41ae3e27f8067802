"""Charts against N with something fixed: losses at a compute or a step, steps and examples to a loss."""

import numpy as np
import pytest
import simulated
from scaling.benchmark import chain
from scaling.charts import drawing, loss_vs_N_fixed, steps_vs_N, wording
from scaling.frontier import Critical
from scaling.laws import critical_batch, least_steps, loss_at_compute
from scaling.provenance import UserError
from scaling.units import PF_DAY

NAMES = ("loss_vs_N_fixed", "steps_vs_N")


@pytest.fixture(scope="module")
def study():
    return simulated.study(("size", "long", "batch"))


@pytest.fixture(scope="module")
def drawings(study):
    return {name: drawing.draw(name, study["tables"], study["fits"]) for name in NAMES}


@pytest.fixture(scope="module")
def exact():
    """Tables without noise of runs that follow the paper's laws, and fits of the paper's constants."""
    tables = dict(zip(("runs", "curves"), chain.study(np.random.default_rng(0), noise=0), strict=True))
    constants = chain.truth()
    B_crit = {name: {"value": constants[name]} for name in ("alpha_B", "B_star")}
    law = {name: {"value": constants[name]} for name in ("alpha_N", "N_c", "alpha_S", "S_c")}
    by = {name: constants[name] for name in B_crit}
    return tables, {"parameters": B_crit}, {"parameters": law, "adjusted_by": by}


def test_loss_at_a_compute_solves_the_law():
    constants = chain.truth()
    N, C = np.array([[1e6], [1e9]]), np.array([1e-6, 1e-2, 1e2])
    losses = loss_at_compute(N, C, **constants)
    assert losses.shape == (2, 3)
    B_crit = critical_batch(losses, alpha_B=constants["alpha_B"], B_star=constants["B_star"])
    S_min = C * PF_DAY / (6 * N * B_crit)
    by_law = (constants["N_c"] / N) ** constants["alpha_N"] + (constants["S_c"] / S_min) ** constants[
        "alpha_S"
    ]
    assert losses == pytest.approx(by_law, rel=1e-9)


def test_points_and_lines_are_the_law_where_the_runs_follow_it(exact):
    tables, B_crit, law = exact
    critical, curves = steps_vs_N.adjustment(B_crit), steps_vs_N.paths(tables)
    for fixed in loss_vs_N_fixed.PANELS:
        points = loss_vs_N_fixed.measured(curves, critical, fixed)
        lines = loss_vs_N_fixed.by_law(law, points, fixed)
        agree(points, lines, lambda row: row["value"], rel=0.01)
    points = steps_vs_N.measured(curves, critical)
    lines = steps_vs_N.by_law(law, points)
    agree(points, lines, lambda row: (row["loss"], row["of"]), rel=0.2)


def agree(points, lines, group, rel):
    """Points are where the lines of their group are, as near as interpolation between test points is."""
    groups = {group(row) for row in points}
    assert len(groups) >= 4
    for name in groups:
        x, y = np.log([(row["x"], row["y"]) for row in lines if group(row) == name]).T
        found = [row for row in points if group(row) == name and x[0] <= np.log(row["x"]) <= x[-1]]
        assert len(found) >= steps_vs_N.FEWEST - 1
        for row in found:
            assert row["y"] == pytest.approx(np.exp(np.interp(np.log(row["x"]), x, y)), rel=rel)


def test_examples_are_steps_at_the_critical_batch(drawings, study):
    critical = steps_vs_N.adjustment(study["fits"]["B_crit"])
    for part in ("measured", "fit"):
        rows = dict(drawings["steps_vs_N"].data)[part]
        by_panel = {of: [row for row in rows if row["of"] == of] for of in steps_vs_N.PANELS}
        for S, E in zip(*by_panel.values(), strict=True):
            assert (S["x"], S["loss"]) == (E["x"], E["loss"])
            assert E["y"] == pytest.approx(S["y"] * critical(S["loss"]))


def test_the_run_that_was_quickest_or_lowest_counts(study):
    critical, curves = Critical({"alpha_B": 0.2, "B_star": 1e-9}, {}), steps_vs_N.paths(study["tables"])
    points = steps_vs_N.measured(curves, critical)
    assert points
    for row in (row for row in points if row["of"] == "S"):
        ends = [(steps, loss) for run, steps, loss in curves if run["N"] == row["N"]]
        reached = [
            np.exp(np.interp(-np.log(row["loss"]), -loss, steps))
            for steps, loss in ends
            if loss[-1] <= np.log(row["loss"]) <= loss[0]
        ]
        assert row["y"] == pytest.approx(min(reached))  # a batch far above B_crit is not adjusted
    for row in loss_vs_N_fixed.measured(curves, critical, "S_min"):
        ends = [(steps, loss) for run, steps, loss in curves if run["N"] == row["N"]]
        reached = [
            np.exp(np.interp(np.log(row["value"]), steps, loss))
            for steps, loss in ends
            if steps[0] <= np.log(row["value"]) <= steps[-1]
        ]
        assert row["y"] == pytest.approx(min(reached))


def test_steps_that_fall_along_a_curve_count_from_the_fewest():
    run = {"B": 100, "flops_per_token_6N": 6.0}
    loss = np.log([4.0, 3.0, 2.9])
    critical = Critical({"alpha_B": 0.1, "B_star": 1e8}, {})
    S = least_steps(np.array([100, 120, 300]), 100, critical(np.exp(loss)))
    assert S[1] < S[0]
    found = loss_vs_N_fixed.along(run, np.log([100, 120, 300]), loss, critical, "S_min")
    assert np.exp(found) == pytest.approx([S[1], S[1], S[2]])


def test_levels_are_round_and_reached_by_three_sizes():
    spans = [(1, 0.0, 5.0), (2, 1.0, 6.0), (2, 0.5, 3.0), (3, 2.0, 7.0), (4, 6.5, 8.0)]
    found = steps_vs_N.levels(spans, digits=1)
    assert len(found) == steps_vs_N.LEVELS
    assert all(float(f"{value:.0e}") == value for value in found)
    assert np.exp(2.0) < found[0] < found[-1] < np.exp(6.0)
    assert steps_vs_N.levels(spans[:3], digits=1) == []
    assert steps_vs_N.levels([(1, 0, 1), (2, 2, 3), (3, 4, 5)], digits=1) == []


@pytest.mark.parametrize("name", NAMES)
def test_captions_tell_the_fit_and_how_far_the_critical_batch_was_measured(name, drawings, study):
    fits, caption = study["fits"], drawings[name].caption
    for parameter in wording.exponents(fits["L_NSmin"]):
        assert f"{parameter['symbol']} = {wording.readable(parameter['value'])} (90 % interval" in caption
    known = fits["B_crit"]["data"]["inputs"]["loss"]
    rows = dict(drawings[name].data)["measured"]
    losses = [row["y"] for row in rows] if name == NAMES[0] else [row["loss"] for row in rows[::2]]
    beyond = sum(not min(known) <= loss <= max(known) for loss in losses)
    assert 0 < beyond < len(losses)
    assert f"{beyond} of {len(losses)} points lie beyond." in caption
    assert caption in drawings[name].description


@pytest.mark.parametrize("name", NAMES)
def test_a_law_that_is_not_certified_is_not_drawn(name, drawings, study):
    failed = {"certificate": {"passed": False, "reasons": ["alpha_S ran into a bound"]}}
    fits = study["fits"] | {law: study["fits"][law] | failed for law in ("B_crit", "L_NSmin")}
    drawn = drawing.draw(name, study["tables"], fits)
    assert dict(drawn.data).keys() == {"measured"}
    assert dict(drawn.data)["measured"] == dict(drawings[name].data)["measured"]
    assert "Lines:" not in drawn.caption
    assert "is not drawn, since it does not pass its certificate: α_S ran into a bound." in drawn.caption
    assert "which does not pass its certificate: α_S ran into a bound. It was measured" in drawn.caption
    text = drawing.svg(drawing.specification(drawn))
    assert "mark-line" not in text
    assert "mark-line" in drawing.svg(drawing.specification(drawings[name]))


@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_share_no_loss_are_named(name, study):
    every = [run for run in study["tables"]["runs"] if "size" in run["experiments"]]
    runs = [run | {"experiments": ["size", "batch"]} for run in every[:3]]
    kept = {run["run"]: index for index, run in enumerate(runs)}
    curves = [
        row | {"test_loss": row["test_loss"] / 10 ** kept[row["run"]], "step": row["step"] * 10**k}
        for row in study["tables"]["curves"]
        if row["run"] in kept and row["step"] >= 50
        for k in [4 * kept[row["run"]]]
    ]
    curves = [row | {"tokens": row["step"] * 2048} for row in curves]
    with pytest.raises(UserError, match="add sizes to experiment size"):
        drawing.draw(name, {"runs": runs, "curves": curves}, study["fits"])


def test_a_loss_that_fewer_than_three_sizes_reached_has_no_points():
    critical = Critical({"alpha_B": 0.2, "B_star": 1e8}, {})
    spans = [(10, 5.0, 4.0), (20, 4.6, 3.6), (30, 4.2, 3.2), (40, 3.8, 2.8)]
    curves = [
        ({"run": str(N), "N": N, "B": 100}, np.log([10, 100]), np.log([high, low])) for N, high, low in spans
    ]
    of = {
        loss: [] for loss in steps_vs_N.levels([(N, np.log(low), np.log(high)) for N, high, low in spans], 2)
    }
    for row in steps_vs_N.measured(curves, critical):
        of[row["loss"]].append(row["N"])
    reached = {loss: sum(low <= loss <= high for _, high, low in spans) for loss in of}
    assert {len(set(sizes)) for sizes in of.values()} == {0, steps_vs_N.FEWEST}
    assert all((reached[loss] >= steps_vs_N.FEWEST) == bool(sizes) for loss, sizes in of.items())
