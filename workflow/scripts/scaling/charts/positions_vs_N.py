"""Loss at fixed positions against model size, by length of context. Kaplan et al. 2020, figure 21."""

import math
from functools import partial
from statistics import NormalDist

import altair as alt
import numpy as np

from scaling import positions, trends
from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.fitting.fit import FEWEST
from scaling.fitting.resampling import draw as resample
from scaling.provenance import UserError
from scaling.selections import INTERVAL

PAPER = "loss falls with N at every T; n_ctx 8 is better than 1024 at early tokens"
"""Of figure 21."""
ALIKE = ("architecture", "n_layer", "d_model", "d_ff", "n_head", "reuse", "D", "B", "S", "learning_rate")
"""What two runs of different contexts share where they are compared."""


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and evaluations."""
    whole = positions.of_longest(positions.at_end(tables["evaluations"], tables["runs"], "size"))
    if not whole:
        raise UserError("no run of experiment size has losses by position: evaluate it on the test split")
    n_ctx = len(whole[0][1])
    context = positions.at_end(tables["evaluations"], tables["runs"], "context")
    short = [(run, losses) for run, losses in context if len(losses) < n_ctx]
    rows = [row for run, losses in whole + short for row in points(run, losses)]
    slopes = {part: slope(whole, part) for part in positions.octaves(n_ctx)}
    early = compared(whole, short, errors(tables["evaluations"]))
    caption = sentences(whole, short, early)
    description = (
        "Test loss at fixed positions in the context falling with model size, both logarithmic, one line a "
        f"position. {caption}"
    )
    series = [(f"n_ctx {c}", [row for row in rows if row["n_ctx"] == c]) for c in contexts(rows)]
    return Drawing(chart(rows), description, caption, tuple(series), found(slopes, early, len(whole), short))


def contexts(rows):
    """The contexts of ``rows``, the longest first."""
    return sorted({row["n_ctx"] for row in rows}, reverse=True)


def points(run, losses):
    """Rows of a run's mean loss y at each octave of positions, ``to`` being the last of it."""
    parts = positions.octaves(len(losses))
    return [
        {
            **theme.described(run),
            **{"n_ctx": len(losses), "context": named(len(losses)), "from": first, "to": last},
            **{"position": between(first, last), "x": run["N"], "y": float(y)},
        }
        for (first, last), y in zip(parts, positions.averaged(losses, parts), strict=True)
    ]


def named(n_ctx):
    return f"n_ctx {n_ctx}"


def between(first, last):
    """Positions in words: '2', '5 to 8'."""
    return f"{last}" if first == last else f"{first} to {last}"


def slope(pairs, part):
    """The slope of ln loss in ln N at the positions ``part``, {value, low, high}."""
    N = np.array([run["N"] for run, _ in pairs], dtype=float)
    losses = np.array([losses for _, losses in pairs])
    return trends.trend(N, np.log(positions.averaged(losses, [part])[:, 0]))


def errors(evaluations):
    """The standard error of the last test loss of each run."""
    rows = sorted((row for row in evaluations if row["set"] == "test"), key=lambda row: row["step"] or 0)
    return {row["run"]: row["loss_se"] for row in rows}


def compared(whole, short, loss_se):
    """The shortest context against the whole one at the positions both have, in pairs of runs else alike.

    {n_ctx, pairs, value, low, high, windows}: the mean difference in per cent, its interval and the standard
    error of the windows. The two contexts were measured on other windows, whose error is common to all sizes,
    so that resampling sizes does not show it: it is added in quadrature (:func:`positions.sampling_error`).
    """
    if not short:
        return {"n_ctx": None, "pairs": 0}
    n_ctx = min(len(losses) for _, losses in short)
    partners = {alike(run): (run, losses) for run, losses in whole}
    differences, windows = [], []
    for run, losses in short:
        if len(losses) == n_ctx and alike(run) in partners:
            partner, reference = partners[alike(run)]
            early = reference[:n_ctx].mean()
            differences.append(100 * (losses.mean() / early - 1))
            error = positions.sampling_error(reference, loss_se[partner["run"]], n_ctx)
            windows.append(100 * math.hypot(error, loss_se[run["run"]]) / early)
    if not differences:
        return {"n_ctx": n_ctx, "pairs": 0}
    pairs, windows = len(differences), float(np.mean(windows))
    drawn = resample(pairs, trends.RESAMPLES, 0) @ np.array(differences) / pairs
    mean = trends.interval(np.concatenate([[np.mean(differences)], drawn]), pairs, 1)
    reach = NormalDist().inv_cdf(0.5 + INTERVAL / 2) * windows
    value, low, high = mean["value"], mean["low"], mean["high"]
    ends = {"low": value - math.hypot(value - low, reach), "high": value + math.hypot(high - value, reach)}
    return {"n_ctx": n_ctx, "pairs": pairs, "value": value, **ends, "windows": windows}


def alike(run):
    return tuple(run.get(key) for key in ALIKE)


def chart(rows):
    """Loss against N, coloured by position; dashes tell the contexts."""
    x_ends, places = theme.domain([row["x"] for row in rows]), sorted({row["to"] for row in rows})
    x = partial(theme.log_axis, alt.X, ends=x_ends, title=theme.N_TITLE, label=wording.si)
    y = theme.loss_axis(rows)
    words = {row["to"]: row["position"] for row in rows}
    scale = alt.Scale(type="log", domain=[1, max(2, places[-1])])
    form = {"type": "symbol", "symbolType": "circle", "symbolStrokeWidth": 0, "orient": "top"}
    legend = alt.Legend(
        title="position in the context T (tokens)", **form, **theme.labelled(places, words.__getitem__)
    )
    kinds = [named(n_ctx) for n_ctx in contexts(rows)]
    dashes = [list(theme.DASHES[index % len(theme.DASHES)]) for index in range(len(kinds))]
    shapes = [theme.CATEGORY_SHAPES[index % len(theme.CATEGORY_SHAPES)] for index in range(len(kinds))]
    kind = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolSize=500)
    base = theme.chart(rows).encode(x=x("x"), y=y("y"))
    tooltip = [
        *theme.run_tooltip(rows),
        "position:N",
        alt.Tooltip("n_ctx:Q"),
        alt.Tooltip("y:Q", format=".3f", title="nats per token"),
    ]
    return alt.layer(
        base.mark_line(strokeWidth=1.6, aria=False).encode(
            stroke=alt.Stroke("to:Q", scale=scale, legend=None),
            strokeDash=alt.StrokeDash("context:N", scale=alt.Scale(domain=kinds, range=dashes), legend=kind),
            detail="to:N",
        ),
        base.mark_point(filled=True, size=42, opacity=1).encode(
            fill=alt.Fill("to:Q", scale=scale, legend=legend),
            shape=alt.Shape("context:N", scale=alt.Scale(domain=kinds, range=shapes), legend=None),
            tooltip=tooltip,
        ),
    ).resolve_legend(stroke="independent", strokeDash="independent", shape="independent")


def found(slopes, early, sizes, short):
    """The finding: loss falls with N at every position, and a short context does better at early ones.

    The first holds where the interval of every slope lies below zero, the second where that of the mean
    difference does: HOLDS with both, PARTLY with one. With neither FAILS where the interval of a slope or of
    the difference lies above zero; OPEN where none does, and where either lacks runs.
    """
    if sizes < FEWEST or not all(map(trends.known, slopes.values())):
        return untold(PAPER, f"{wording.counted(sizes, 'size')} with losses by position, {FEWEST} are needed")
    flattest = max(slopes, key=lambda part: slopes[part]["value"])
    steepest = min(slopes, key=lambda part: slopes[part]["value"])
    ends = f"slopes of ln L in ln N from {told(slopes[flattest], 3)} to {told(slopes[steepest], 3)}"
    if early["pairs"] < FEWEST:
        pairs = wording.counted(early["pairs"], "pair")
        return Finding(PAPER, ends, OPEN, f"{pairs} of runs alike but for their context, {FEWEST} are needed")
    difference = f"{told(early, 1)} %"
    measured = f"{ends}; n_ctx {early['n_ctx']} against the whole context, early: {difference}"
    rising = [part for part, number in slopes.items() if number["high"] >= 0]
    falls, better = not rising, early["high"] < 0
    where = f"at all {len(slopes)} positions" if falls else f"at T = {', '.join(between(*p) for p in rising)}"
    first = f"the interval of the slope {'lies' if falls else 'does not lie'} below zero {where}"
    way = "lower" if better else "higher" if early["low"] > 0 else "neither clearly lower nor higher"
    second = f"with n_ctx {early['n_ctx']} the loss at its positions is {way} ({difference})"
    against = early["low"] > 0 or any(number["low"] > 0 for number in slopes.values())
    verdict = {2: HOLDS, 1: PARTLY, 0: FAILS if against else OPEN}[falls + better]
    return Finding(PAPER, measured, verdict, f"{first}, {'and' if falls == better else 'but'} {second}")


def told(number, places):
    """A signed number with its interval: '−0.060 (−0.065 to −0.055)'."""
    value, low, high = (wording.signed(number[key], places) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def sentences(whole, short, early):
    """The caption."""
    n_ctx = len(whole[0][1])
    said = (
        f"Test loss at the end of training at the first two positions and in each octave after them, "
        f"{wording.counted(len(whole), 'run')} of a context of {n_ctx} tokens."
    )
    if not short:
        return f"{said} No run of a shorter context has losses by position."
    lengths = " or ".join(str(length) for length in sorted({len(losses) for _, losses in short}))
    said = (
        f"{said} Dashed: {wording.counted(len(short), 'run')} of a context of {lengths}, measured on as many "
        f"tokens, so that each position is a mean over more windows."
    )
    if early["pairs"] < FEWEST:
        return said
    return (
        f"{said} Mean of {early['pairs']} pairs alike but for the context: with n_ctx {early['n_ctx']} the "
        f"loss at positions 1 to {early['n_ctx']} differs by {told(early, 1)} %. The "
        f"{wording.percent(INTERVAL)} interval is from resampling sizes and from the windows, which differ "
        f"between contexts (one standard error {early['windows']:.1f} %)."
    )
