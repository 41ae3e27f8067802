"""Tokens to a loss by model size: the exponent, the verdict, and what the chart says of it."""

import math

import numpy as np
import pytest
from scaling.charts import curves_vs_tokens, drawing, findings

SIZES = (1_000, 3_000, 9_000, 27_000, 81_000, 243_000)


def study(exponent, sizes=SIZES, off=(), long=()):
    """Runs whose tokens to any loss go with N^``exponent``, those of size i ``off``[i] e-folds later."""
    tables = {"runs": [], "curves": []}
    for experiment, N in [*(("size", N) for N in sizes), *(("long", N) for N in long)]:
        late = off[sizes.index(N)] if off and experiment == "size" else 0.0
        steps = np.unique(np.geomspace(10, 1000, 20).round())
        tokens = 2048 * steps
        scale = (N / SIZES[0]) ** exponent * math.exp(late) * (0.1 if experiment == "long" else 1.0)
        losses = 6 * (tokens / (20480 * scale)) ** -0.15
        name = f"{experiment}{N}"
        tables["runs"].append(
            {"run": name, "N": N, "experiments": [experiment], "status": "finished", "warmup": 20}
            | {"test_loss": float(losses[-1])}
        )
        tables["curves"] += [
            {"run": name, "step": int(step), "tokens": float(seen), "test_loss": float(loss)}
            for step, seen, loss in zip(steps, tokens, losses, strict=True)
        ]
    return tables


def draw(tables):
    return drawing.draw("curves_vs_tokens", tables, {})


def test_the_exponent_of_exact_curves_is_found():
    rows, reason = curves_vs_tokens.measured(study(-0.4))
    assert reason is None
    assert len({row["loss"] for row in rows}) == 5
    assert curves_vs_tokens.exponent(rows) == pytest.approx({"value": -0.4, "low": -0.4, "high": -0.4})
    assert curves_vs_tokens.fewer(rows)[0] == curves_vs_tokens.fewer(rows)[1] > 5


def test_intervals_cover_the_truth():
    random, hits = np.random.default_rng(0), 0
    for _ in range(30):
        rows, _ = curves_vs_tokens.measured(study(-0.4, off=tuple(random.normal(0, 0.15, len(SIZES)))))
        found = curves_vs_tokens.exponent(rows)
        hits += found["low"] <= -0.4 <= found["high"]
    assert hits >= 22


def test_tokens_are_interpolated_on_the_curve():
    rows, _ = curves_vs_tokens.measured(study(-0.4))
    for row in rows:
        scale = (row["N"] / SIZES[0]) ** -0.4
        assert row["x"] == pytest.approx(20480 * scale * (6 / row["loss"]) ** (1 / 0.15))
        assert row["y"] == row["loss"]


@pytest.mark.parametrize(
    ("tables", "verdict"),
    [
        (study(-0.4), findings.HOLDS),
        (study(-0.3, off=(0.0, 0.5, 0.0, 0.5, 0.0, 0.5)), findings.PARTLY),
        (study(0.4), findings.FAILS),
        (study(0.0, off=(0.3, 0.0, 0.4, 0.1, 0.0, 0.3)), findings.OPEN),
    ],
)
def test_verdict_follows_the_exponent_and_the_pairs(tables, verdict):
    found = draw(tables).finding
    assert found.verdict == verdict, found


def test_the_finding_goes_by_runs_alike_and_the_chart_shows_all():
    with_long, without = draw(study(-0.4, long=SIZES[:2])), draw(study(-0.4))
    assert with_long.finding == without.finding
    curves = dict(with_long.data)["learning curve"]
    assert {row["run"] for row in curves} == {f"size{N}" for N in SIZES} | {f"long{N}" for N in SIZES[:2]}
    assert "8 runs of 6 sizes" in with_long.caption


def test_diverged_runs_and_losses_that_are_no_numbers_are_left_out():
    tables = study(-0.4)
    tables["runs"][1]["status"] = "diverged"
    tables["curves"][5]["test_loss"] = math.nan
    drawn = draw(tables)
    assert SIZES[1] not in {row["N"] for _, rows in drawn.data for row in rows}
    assert len(dict(drawn.data)["learning curve"]) == 20 * 5 - 1
    assert drawn.finding.verdict == findings.HOLDS
    assert "NaN" not in drawing.svg(drawing.specification(drawn))


def test_too_few_sizes_leave_it_open():
    drawn = draw(study(-0.4, sizes=SIZES[:2]))
    assert drawn.finding.verdict == findings.OPEN
    assert "at least 3 are needed" in drawn.finding.because
    assert "reached" not in dict(drawn.data)
    apart = draw(study(-6.0))  # no two sizes reach the same losses
    assert apart.finding.verdict == findings.OPEN
    assert "no loss was reached" in apart.finding.because


def test_caption_tells_the_exponent_and_its_interval():
    drawn = draw(study(-0.4))
    assert "N^−0.40 (−0.40 to −0.40)" in drawn.caption
    assert drawn.finding.measured == "tokens go with N^−0.40 (−0.40 to −0.40) at a fixed loss"
    assert drawn.caption in drawn.description
    assert ">tokens seen<" in drawing.svg(drawing.specification(drawn))
