"""Learning curves of every size against the tokens seen. Kaplan et al. 2020, figure 2 (left)."""

import math
from itertools import pairwise

import altair as alt

from scaling.charts import findings, steps_vs_N, theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import Finding
from scaling.provenance import UserError
from scaling.rows import finite
from scaling.selections import INTERVAL

ALIKE = ("size",)
"""Experiments whose runs differ in nothing but size, by which the finding goes: those of `long` end their
schedules sooner or later, and only some sizes have them."""
MOST = 0.9
"""Least share of pairs of neighbouring sizes in which the larger takes fewer tokens, for all of the claim."""
PAPER = "fewer tokens the larger N: exponent below 0"
TOKENS_TITLE = "tokens seen"


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and curves."""
    runs = {run["run"]: run for run in converged(tables["runs"], "size", "long")}
    curves = [
        {**theme.described(runs[row["run"]]), "step": row["step"], "x": row["tokens"], "y": row["test_loss"]}
        for row in tables["curves"]
        if row["run"] in runs and finite(row["test_loss"]) and finite(row["tokens"]) and row["tokens"] > 0
    ]
    if not curves:
        raise UserError("no learning curve of experiment size has a test loss: set test_points in the config")
    crossings, untold = measured(tables)
    ends = theme.domain([row["x"] for row in curves], room=0.02)
    x = theme.log_axis(alt.X, "x", ends, TOKENS_TITLE, wording.si)
    y = theme.loss_axis(curves)("y")
    counts = [run["N"] for run in runs.values()]
    base = theme.chart(curves).encode(
        x=x,
        y=y,
        detail="run:N",
        tooltip=[
            *theme.run_tooltip(curves),
            alt.Tooltip("step:Q", format=",d"),
            alt.Tooltip("x:Q", format=".4~s", title="tokens"),
            alt.Tooltip("y:Q", format=".4f", title="nats per token"),
        ],
    )
    beads = theme.chart(crossings).mark_point(style="bead", filled=True, size=26, opacity=1, aria=False)
    chart = alt.layer(
        base.mark_line(strokeWidth=1.4, aria=False).encode(stroke=theme.N_colour(counts, alt.Stroke)),
        base.mark_point(filled=True, size=9, opacity=1, aria=False).encode(fill=theme.N_colour(counts)),
        *([beads.encode(x=x, y=y)] if crossings else []),
    ).resolve_legend(stroke="independent")
    found = told(crossings) if crossings else findings.untold(PAPER, untold)
    sizes = sorted(set(counts))
    caption = (
        f"Each line is one of {wording.counted(len(runs), 'run')} of {wording.counted(len(sizes), 'size')}, "
        f"{wording.si(sizes[0])} to {wording.si(sizes[-1])} parameters. {said(crossings, untold)}"
    )
    description = f"Test loss falling with the tokens seen, both logarithmic. {caption}"
    data = (("learning curve", curves), *([("reached", crossings)] if crossings else []))
    return Drawing(chart, description, caption, data, found)


def measured(tables):
    """Rows of run, N, loss, x and y: the fewest tokens x in which a size reached a loss y; and why there are
    none, or None."""
    try:
        paths = steps_vs_N.paths(tables, "tokens", ALIKE)
    except UserError as error:
        return [], f"of experiment size there are {error}"
    rows = []
    for loss in steps_vs_N.levels([(run["N"], path[-1], path[0]) for run, _, path in paths], digits=3):
        best = {}
        for run, tokens, path in paths:
            seen = steps_vs_N.reached(tokens, path, loss)
            if seen is not None and seen < best.get(run["N"], (math.inf,))[0]:
                best[run["N"]] = seen, run
        if len(best) >= steps_vs_N.FEWEST:
            rows += [
                {**theme.described(run), "loss": loss, "x": seen, "y": loss}
                for _, (seen, run) in sorted(best.items())
            ]
    reason = f"no loss was reached past the warm-up by {steps_vs_N.FEWEST} sizes of experiment size"
    return rows, None if rows else reason


def told(rows):
    """The :class:`Finding` of ``rows`` of :func:`measured`.

    Holds where the whole interval of the exponent lies below zero and in MOST of the pairs of neighbouring
    sizes the larger took fewer tokens, in part where only the interval says so; does not hold where the whole
    interval lies at zero or above.
    """
    found, (less, pairs) = exponent(rows), fewer(rows)
    measured = f"tokens go with N^{interval(found)} at a fixed loss"
    where = f"the {wording.percent(INTERVAL)} interval of the exponent"
    if found["low"] >= 0:
        return Finding(PAPER, measured, findings.FAILS, f"{where} lies at zero or above")
    if found["high"] >= 0:
        return Finding(PAPER, measured, findings.OPEN, f"{where} contains zero")
    verdict = findings.HOLDS if less >= MOST * pairs else findings.PARTLY
    because = (
        f"{where} lies below zero, and the larger of two neighbouring sizes took fewer tokens to one loss in "
        f"{less} of {wording.counted(pairs, 'pair')}, where {wording.percent(MOST)} is asked for"
    )
    return Finding(PAPER, measured, verdict, because)


def exponent(rows):
    """The exponent of tokens ∝ N^exponent at a fixed loss, {value, low, high}, from resampling sizes."""
    return steps_vs_N.slope([{"x": row["N"], "y": row["x"], "loss": row["loss"]} for row in rows], "loss")


def fewer(rows):
    """In how many pairs of neighbouring sizes at one loss the larger took fewer tokens, and of how many."""
    pairs = [pair for pair in pairwise(rows) if pair[0]["loss"] == pair[1]["loss"]]
    return sum(larger["x"] < smaller["x"] for smaller, larger in pairs), len(pairs)


def said(rows, reason):
    """What the beads are and what they find, in words."""
    if not rows:
        return f"How many tokens a loss takes by size is not told, since {reason}."
    losses, (less, pairs) = sorted({row["loss"] for row in rows}), fewer(rows)
    span = f"{losses[0]:g} to {losses[-1]:g} nats" if len(losses) > 1 else f"{losses[0]:g} nats"
    return (
        "Beads: where the curves of experiment size, alike in all but size, came down past their warm-up to "
        f"{wording.counted(len(losses), 'level')} of loss, {span}. At one loss the tokens go with "
        f"N^{interval(exponent(rows))}, in brackets the {wording.percent(INTERVAL)} interval from resampling "
        f"{len({row['N'] for row in rows})} sizes; in {less} of {wording.counted(pairs, 'pair')} of "
        "neighbouring sizes the larger took fewer."
    )


def interval(found):
    """An exponent with its interval: '−0.41 (−0.50 to −0.33)'."""
    value, low, high = (wording.signed(found[key], 2) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
