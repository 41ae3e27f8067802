"""Ends of learning curves forecast from their beginnings and from other sizes, and what the chart says."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scaling import extrapolation
from scaling.charts import drawing, findings, wording
from scaling.charts import extrapolation as chart
from scaling.extrapolation import HALF, KINDS, QUARTER, SIZE, STEADY_HALF, STEADY_QUARTER
from scaling.fitting.fit import Problem
from scaling.frontier import past_warmup
from scaling.laws import LAWS
from scaling.provenance import UserError

SIZES = (1_000, 4_000, 16_000, 64_000, 256_000)
LAW = {"alpha_N": 0.07, "N_c": 1e12, "alpha_S": 0.6, "S_c": 60.0}
ALPHA = 0.45


def run(name, N, steps, experiment, **more):
    """A row of runs and the rows of its curve; ``more`` may replace ``loss``, a function of the step."""
    loss = more.pop("loss")
    tested = sorted({round(step) for step in np.geomspace(steps / 100, steps, 24)})
    losses = [float(loss(step)) for step in tested]
    tokens = {"tokens": steps * 2048, "flops_per_token_6N": 6 * N, "B": 2048, "S": steps, "steps": steps}
    row = {"run": name, "N": N, "experiments": [experiment], "status": "finished", "test_loss": losses[-1]}
    curve = [
        {"run": name, "step": step, "tokens": step * 2048, "test_loss": value}
        for step, value in zip(tested, losses, strict=True)
    ]
    return row | tokens | {"warmup": steps // 50, "schedule": "cosine"} | more, curve


def tables(sizes=SIZES, steady=True, noise=0.0, bend=lambda kind, N: 1.0):
    """A study whose curves are L(N, S) and, at a constant rate, powers with a floor each; the last loss of
    each is multiplied by ``bend``."""
    random, found = np.random.default_rng(0), []
    for N in sizes:
        for steps in (1000, 3000):
            found.append(
                run(
                    *(f"size{N}-{steps}", N, steps, "size" if steps == 1000 else "long"),
                    loss=lambda S, N=N: LAWS["L_NS"].predict({"N": N, "S": S}, LAW)[0],
                )
            )
    for index, N in enumerate(sizes[:3] * 2 if steady else ()):
        floor, scale = 2.5 + 0.2 * index, 3.0 + index
        loss = lambda S, floor=floor, scale=scale: floor + (scale / S) ** ALPHA  # noqa: E731
        found.append(run(f"steady{index}", N, 800 + 300 * index, "batch", loss=loss, schedule="constant"))
    for row, curve in found:
        for point in curve:
            point["test_loss"] *= math.exp(random.normal(0, noise))
        curve[-1]["test_loss"] *= bend(row["schedule"], row["N"])
        row["test_loss"] = curve[-1]["test_loss"]
    return {"runs": [row for row, _ in found], "curves": [point for _, curve in found for point in curve]}


def by_kind(study):
    rows, reasons, lost = extrapolation.forecasts(study["runs"], study["curves"])
    assert not any(lost.values())
    return {kind: [row for row in rows if row["kind"] == kind] for kind in KINDS}, reasons


def draw(study):
    return drawing.draw("extrapolation", study, {})


# --- forecasts ------------------------------------------------------------------------------------------


def test_curves_that_follow_the_law_are_forecast_exactly():
    found, reasons = by_kind(tables())
    assert not reasons
    assert {kind: len(rows) for kind, rows in found.items()} == {
        **dict.fromkeys((HALF, QUARTER, SIZE), 10),
        **dict.fromkeys((STEADY_HALF, STEADY_QUARTER), 6),
    }
    for kind in (HALF, QUARTER, SIZE):
        assert [row["error_percent"] for row in found[kind]] == pytest.approx([0] * 10, abs=1e-4), kind
    for kind in (STEADY_HALF, STEADY_QUARTER):
        # α is found to a few per cent of itself
        assert [row["error_percent"] for row in found[kind]] == pytest.approx([0] * 6, abs=0.1), kind


def test_the_shared_exponent_of_curves_at_a_constant_rate_is_found():
    study = tables()
    members = [row for row in study["runs"] if row["schedule"] == "constant"]
    _, traces, _ = past_warmup(members, study["curves"], ("batch",))
    parts = [
        [np.array([point[name] for point in trace], dtype=float) for name in ("step", "test_loss")]
        for trace in traces.values()
    ]
    assert extrapolation.exponent(parts) == pytest.approx(ALPHA, rel=0.02)


def test_a_loss_that_falls_at_the_end_is_forecast_too_high_by_as_much():
    bent = tables(bend=lambda schedule, N: 0.95)
    found, straight = by_kind(bent)[0], by_kind(tables())[0]
    for kind in (HALF, QUARTER, STEADY_HALF, STEADY_QUARTER):
        for row, other in zip(found[kind], straight[kind], strict=True):
            assert row["predicted"] == pytest.approx(other["predicted"])  # no forecast has seen the end
            assert row["measured"] == pytest.approx(0.95 * other["measured"])
            assert row["error_percent"] == pytest.approx(100 * (1 / 0.95 - 1), abs=0.15)
            assert row["error"] == pytest.approx(row["predicted"] - row["measured"])


def test_a_size_is_forecast_without_its_own_curves():
    study = tables(steady=False)
    odd = {row["run"] for row in study["runs"] if row["N"] == SIZES[2]}
    for row in (*study["runs"], *study["curves"]):
        if row["run"] in odd:
            row["test_loss"] *= 1.1
    for row in by_kind(study)[0][SIZE]:
        if row["run"]["N"] == SIZES[2]:
            assert row["error_percent"] == pytest.approx(100 * (1 / 1.1 - 1), abs=1e-3)
        else:
            assert abs(row["error_percent"]) < 5


def test_points_before_the_end_of_the_warmup_are_left_out():
    study = tables()
    warmup = {
        row["run"]: row["warmup"] * (4 if row["schedule"] == "constant" else 1) for row in study["runs"]
    }
    for point in study["curves"]:
        if point["step"] < warmup[point["run"]]:
            point["test_loss"] *= 1.5
    found, _ = by_kind(study)
    assert max(abs(row["error_percent"]) for rows in found.values() for row in rows) < 0.15


def test_diverged_runs_are_left_out():
    study = tables()
    study["runs"][0]["status"] = "diverged"
    found, _ = by_kind(study)
    assert len(found[HALF]) == 9
    assert study["runs"][0] not in [row["run"] for rows in found.values() for row in rows]


def test_too_few_sizes_are_told_kind_by_kind():
    found, reasons = by_kind(tables(SIZES[:3]))
    assert set(reasons) == {SIZE}
    assert "at least 4" in reasons[SIZE]
    assert len(found[HALF]) == 6
    _, reasons = by_kind(tables(SIZES[:2], steady=False))
    assert set(reasons) == set(KINDS)


def test_runs_on_a_schedule_and_runs_of_few_points_are_no_constant_ones():
    study = tables()
    for row in study["runs"]:
        row["schedule"] = "cosine"
    assert "constant" in by_kind(study)[1][STEADY_HALF]
    study = tables()
    steps = {row["run"]: row["steps"] for row in study["runs"] if row["schedule"] == "constant"}
    study["curves"] = [p for p in study["curves"] if p["step"] > 0.24 * steps.get(p["run"], 0)]
    _, reasons = by_kind(study)
    assert set(reasons) == {STEADY_QUARTER}


# --- summary --------------------------------------------------------------------------------------------


def test_medians_of_draws_are_those_of_what_was_drawn():
    random = np.random.default_rng(0)
    for n in (4, 5, 9):
        values, counts = random.normal(size=n), random.multinomial(n, [1 / n] * n, size=50)
        expected = [np.median(np.repeat(values, count)) for count in counts]
        assert extrapolation.medians(values, counts) == pytest.approx(expected)


def test_summary_tells_size_and_sign_of_the_errors():
    rows = [{"error": e, "error_percent": 25 * e} for e in (0.01, -0.02, 0.04, 0.02, -0.08)]
    found = extrapolation.summary(rows)
    assert found["runs"] == 5
    assert found["absolute"]["value"] == pytest.approx(0.02)
    assert found["percent"]["value"] == pytest.approx(0.5)
    assert found["bias"]["value"] == pytest.approx(-0.15)
    assert found["worst"] == pytest.approx(-2)
    assert found["absolute"]["low"] <= 0.02 <= found["absolute"]["high"]
    assert math.isnan(extrapolation.summary(rows[:2])["bias"]["low"])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random, trials, hits = np.random.default_rng(1), 200, {"bias": 0, "percent": 0}
    truth = {"bias": 0.5, "percent": 0.5 + 0.0}
    for _ in range(trials):
        errors = random.uniform(0, 1, 12)
        found = extrapolation.summary([{"error": e, "error_percent": e} for e in errors])
        for name in hits:
            hits[name] += found[name]["low"] <= truth[name] <= found[name]["high"]
    for name, count in hits.items():
        assert 0.82 < count / trials < 0.99, name


# --- chart ----------------------------------------------------------------------------------------------


def test_verdict_follows_the_errors():
    assert draw(tables()).finding.verdict == findings.HOLDS
    half = draw(tables(bend=lambda schedule, N: 0.9 if schedule == "cosine" else 1.0)).finding
    assert half.verdict == findings.PARTLY
    assert "in 2 of 5 kinds" in half.because
    assert draw(tables(bend=lambda schedule, N: 0.9)).finding.verdict == findings.FAILS
    numbers = {HALF: extrapolation.summary([{"error": 0.0, "error_percent": 0.0}] * 2)}
    assert chart.finding(numbers).verdict == findings.OPEN


def test_verdict_is_held_against_the_spread_of_runs_in_nats():
    def judged(nats):
        rows = [{"error": nats, "error_percent": 100 * nats / 4}] * 4
        return chart.finding({HALF: extrapolation.summary(rows)}).verdict

    assert judged(0.049) == judged(-0.049) == findings.HOLDS
    assert judged(0.051) == judged(-0.051) == findings.FAILS


def test_chart_shows_every_forecast_and_caption_says_how_far_off_they_are():
    study = tables(noise=0.005, bend=lambda schedule, N: 0.98)
    drawn, (found, _) = draw(study), by_kind(study)
    (_, points), (_, spread) = drawn.data
    assert len(points) == sum(map(len, found.values()))
    assert {row["from"] for row in points} == set(KINDS)
    for kind, rows in found.items():
        told = extrapolation.summary(rows)
        assert f"{told['percent']['value']:.2f} %" in drawn.caption
        assert f"mean {wording.signed(told['bias']['value'], 2)} %" in drawn.caption
        assert f"worst {wording.signed(told['worst'], 2)} %" in drawn.caption
        assert sorted(row["y"] for row in points if row["from"] == kind) == pytest.approx(
            sorted(row["error_percent"] for row in rows)
        )
    losses = [row["measured"] for rows in found.values() for row in rows if row["run"]["N"] == SIZES[4]]
    assert [row["high"] for row in spread if row["N"] == SIZES[4]] == pytest.approx([5 / np.mean(losses)] * 2)
    assert drawn.caption in drawn.description
    text = drawing.svg(drawing.specification(drawn))
    assert "NaN" not in text


def test_caption_says_what_could_not_be_forecast():
    drawn = draw(tables(steady=False))
    assert f"Without forecasts: {STEADY_HALF}; {STEADY_QUARTER} (no run of experiment batch" in drawn.caption
    assert drawn.finding.verdict == findings.HOLDS


def test_runs_without_a_fit_are_counted_and_not_drawn(monkeypatch):
    solve = Problem.solve

    def failing(*arguments, **more):
        found = solve(*arguments, **more)
        return replace(found, converged=found.converged & (np.arange(len(found.converged)) != 1))

    monkeypatch.setattr(Problem, "solve", failing)
    drawn = draw(tables())
    (_, points), _ = drawn.data
    left = [row for row in points if row["from"] == SIZE]
    assert len(left) == 8
    assert SIZES[1] not in [row["N"] for row in left]
    assert "other sizes (8 of 10 runs, no fit for the others): 0.00 %" in drawn.caption
    assert "NaN" not in drawing.svg(drawing.specification(drawn))


def test_too_few_curves_cannot_be_drawn():
    with pytest.raises(UserError, match="no end of a learning curve can be forecast"):
        draw(tables(SIZES[:2], steady=False) | {"fits": {}})
