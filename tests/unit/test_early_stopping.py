"""When runs on limited data are best stopped: the bound, who lies above it, and what the chart says of it."""

import math

import numpy as np
import pytest
from scaling import stopping
from scaling.charts import drawing, early_stopping, findings
from scaling.laws import earliest_stop
from scaling.provenance import UserError

WHOLE = 10_000_000
L_ND = {"alpha_N": 0.08, "N_c": 1e12, "alpha_D": 0.1, "D_c": 1e12}
L_NS = {"alpha_N": 0.08, "N_c": 1e12, "alpha_S": 0.5, "S_c": 20.0}
SIZES, DATA = (3_000, 24_000), (12_000, 48_000, 192_000)


def run(N, D, best, loss, steps=1000, **more):
    """A row of runs whose test loss was lowest, ``loss``, at the step ``best``, and its curve."""
    name, tested = f"N{N}-D{D}", sorted({10, 30, 100, 300, steps, best})
    row = {"run": name, "N": N, "D": D, "experiments": ["data"], "status": "stopped", "steps": steps}
    row |= {"best_step": best, "best_test_loss": loss, "best_test_loss_se": 0.01, "warmup": 20}
    row["test_loss"] = loss + 0.2 * (best < steps)
    curve = [
        {"run": name, "step": step, "test_loss": loss + 0.1 * abs(math.log(step / best)), "train_loss": 3.0}
        for step in tested
    ]
    return row | more, curve


def study(factors, sizes=SIZES, data=DATA, certified=True, excess=0.5):
    """Tables and fits in which each run on limited data stops at a factor, in turn, of its bound."""
    found, factors = [], list(factors)
    for index, (N, D) in enumerate((N, D) for N in sizes for D in data):
        above = excess / (1 + index)
        best = round(factors[index % len(factors)] * earliest_stop(above, alpha_S=0.5, S_c=20.0))
        found.append(run(N, D, best, limit(N) + above, steps=max(1000, 10 * best)))
    found += [run(N, WHOLE, 1000, limit(N)) for N in sizes]
    fits = {
        law: {
            "law": law,
            "parameters": {name: {"value": value} for name, value in values.items()},
            "certificate": {"passed": certified, "reasons": [] if certified else ["its points are few"]},
        }
        for law, values in (("L_ND", L_ND), ("L_NS", L_NS))
    }
    tables = {"runs": [row for row, _ in found], "curves": [point for _, curve in found for point in curve]}
    for row in tables["runs"]:
        row["experiments"] = ["data", "size"]
    return tables, fits


def limit(N):
    return (L_ND["N_c"] / N) ** L_ND["alpha_N"]


def draw(tables, fits):
    return drawing.draw("early_stopping", tables, fits)


# --- the runs and their bound ---------------------------------------------------------------------------


def test_runs_limited_by_data_are_those_that_turned_on_less_than_all():
    rows, curves = zip(
        run(3000, 12_000, 100, 5.0),
        run(3000, 48_000, 1000, 4.5),  # still falling
        run(3000, WHOLE, 300, 4.0),  # on all the data
        run(9000, 12_000, 30, 5.0, status="diverged"),
        run(9000, 24_000, 30, 5.0, best_test_loss=math.nan),
        run(9000, 48_000, 30, 5.0, best_step=None),
        run(9000, 96_000, 30, 5.0, experiments=["size"]),
        strict=True,
    )
    found = stopping.limited(list(rows), [point for curve in curves for point in curve])
    assert found == [{"run": rows[0], "step": 100, "low": 30, "high": 300}]


def test_without_a_curve_the_gap_reaches_to_the_end():
    rows = [run(3000, 12_000, 100, 5.0)[0], run(3000, WHOLE, 1000, 4.0)[0]]
    assert stopping.limited(rows, []) == [{"run": rows[0], "step": 100, "low": 100, "high": 1000}]


def test_bound_is_that_of_the_excess_over_the_law_at_infinite_data():
    excess = 0.1  # (20 / S)^0.5 = 0.1 at S = 2000
    row = {"N": 24_000, "best_test_loss": limit(24_000) + excess, "best_test_loss_se": 0.02}
    found = stopping.bound(row, L_ND, L_NS)
    assert found["excess"] == pytest.approx(excess)
    assert found["steps"] == pytest.approx(2000)
    assert found["low"] == pytest.approx(20 / 0.12**2)
    assert found["high"] == pytest.approx(20 / 0.08**2)
    assert stopping.bound(row | {"best_test_loss_se": 0.2}, L_ND, L_NS)["high"] == math.inf
    assert stopping.bound(row | {"best_test_loss_se": None}, L_ND, L_NS)["high"] == pytest.approx(2000)
    assert stopping.bound(row | {"best_test_loss": limit(24_000)}, L_ND, L_NS) is None


def test_shares_have_the_interval_of_wilson():
    found = stopping.share(9, 10, 0.95)
    assert (found["low"], found["high"]) == pytest.approx((0.596, 0.982), abs=1e-3)
    assert stopping.share(0, 10, 0.9)["low"] == 0
    assert stopping.share(10, 10, 0.9)["high"] == pytest.approx(1)
    random, hits = np.random.default_rng(0), 0
    for count in random.binomial(24, 0.85, 400):
        found = stopping.share(int(count), 24, 0.9)
        hits += found["low"] <= 0.85 <= found["high"]
    assert 0.85 < hits / 400 < 0.97


# --- verdict --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factors", "verdict", "count"),
    [
        ([1.5], findings.HOLDS, 6),
        ([1.5, 1.5, 0.1], findings.PARTLY, 4),
        ([1.5, 0.1, 0.1], findings.FAILS, 2),
        ([0.1], findings.FAILS, 0),
    ],
)
def test_verdict_follows_the_share_above_the_bound(factors, verdict, count):
    drawn = draw(*study(factors))
    assert drawn.finding.verdict == verdict
    assert drawn.finding.measured.startswith(f"{count} of 6 runs")
    assert f"{count} of 6 lie at or above it" in drawn.caption


def test_a_step_below_the_bound_counts_if_the_gap_to_the_next_test_point_reaches_it():
    tables, fits = study([0.9], excess=0.55)
    drawn = draw(tables, fits)
    assert drawn.finding.verdict == findings.HOLDS
    assert "0 by the test point of lowest loss" in drawn.finding.because
    assert "0 of 6 lie at or above it, 6 if the gap is allowed for" in drawn.caption
    for row in tables["runs"]:
        if row["D"] < WHOLE:
            point = {"run": row["run"], "step": row["best_step"] + 1, "test_loss": 9.0, "train_loss": 3.0}
            tables["curves"].append(point)
    assert draw(tables, fits).finding.verdict == findings.FAILS


def test_uncertified_fits_leave_it_open_and_steps_are_shown_against_data():
    drawn = draw(*study([1.5], certified=False))
    assert drawn.finding.verdict == findings.OPEN
    assert "L_ND is not certified: its points are few" in drawn.finding.because
    assert "its points are few" in drawn.caption
    points = dict(drawn.data)["stop"]
    assert [row["x"] for row in points] == [row["D"] for row in points]


def test_too_few_runs_leave_it_open():
    drawn = draw(*study([1.5], data=DATA[:2]))
    assert drawn.finding.verdict == findings.OPEN
    assert "only 4 runs" in drawn.finding.because


def test_runs_without_an_excess_have_no_bound():
    tables, fits = study([1.5])
    limited = [row for row in tables["runs"] if row["D"] < WHOLE]
    limited[0]["best_test_loss"] = 1.0
    drawn = draw(tables, fits)
    assert drawn.finding.measured.startswith("5 of 5 runs")
    assert "1 run whose loss lies at L(N, ∞) or below it have no bound" in drawn.caption
    for row in limited:
        row["best_test_loss"] = 1.0
    drawn = draw(tables, fits)
    assert drawn.finding.verdict == findings.OPEN
    assert len(dict(drawn.data)["stop"]) == 6


def test_a_study_in_which_no_run_turned_is_open():
    tables, fits = study([1.5])
    for row in tables["runs"]:
        row["best_step"] = row["steps"]
    drawn = draw(tables, fits)
    assert drawn.finding.verdict == findings.OPEN
    assert "stop" not in dict(drawn.data)
    assert "no run on limited data" in drawn.finding.because
    assert "NaN" not in drawing.svg(drawing.specification(drawn))


# --- chart ----------------------------------------------------------------------------------------------


def test_left_panel_shows_steps_bounds_and_their_errors():
    tables, fits = study([1.5])
    by_name = {row["run"]: row for row in tables["runs"]}
    for row in dict(draw(tables, fits).data)["stop"]:
        source = by_name[row["run"]]
        assert row["y"] == source["best_step"]
        assert row["low"] < row["y"] < row["high"]
        assert row["x"] == pytest.approx(row["y"] / 1.5, rel=0.02)
        assert row["x_low"] < row["x"]
        assert row["x"] < row.get("x_high", math.inf) < math.inf or "x_high" not in row


def test_right_panel_shows_the_size_that_turned_on_most_data_sets():
    tables, fits = study([1.5])
    turned = next(row for row in tables["runs"] if row["N"] == SIZES[1] and row["D"] == DATA[0])
    turned["best_step"] = turned["steps"]
    drawn = draw(tables, fits)
    rows = dict(drawn.data)["learning curve"]
    assert {row["N"] for row in rows} == {SIZES[0]}
    assert {row["D"] for row in rows} == {*DATA, WHOLE}
    assert {row["train"] for row in rows} == {3.0}
    assert sum(row["lowest"] for row in rows) == len(DATA)
    assert "3k parameters on 4 data sets, 12k to 10M tokens" in drawn.caption
    assert drawn.caption in drawn.description
    text = drawing.svg(drawing.specification(drawn))
    assert "NaN" not in text
    assert ">train loss<" in text


def test_a_study_without_train_losses_shows_test_losses_alone():
    tables, fits = study([1.5])
    for point in tables["curves"]:
        del point["train_loss"]
    drawn = draw(tables, fits)
    assert "train" not in drawn.caption
    assert ">train loss<" not in drawing.svg(drawing.specification(drawn))


def test_without_learning_curves_it_cannot_be_drawn():
    tables, fits = study([1.5])
    with pytest.raises(UserError, match="no run of experiment data has a learning curve"):
        early_stopping.draw(tables | {"curves": []}, fits)
