"""LSTMs beside Transformers: final loss by size, and loss by position. Kaplan et al. 2020, figure 7."""

import math
from functools import partial

import altair as alt
import numpy as np

from scaling import positions
from scaling.charts import beside, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.comparison import early_and_late, growth, parts
from scaling.laws import SEED_NOISE
from scaling.trends import known

PAPER = "the same early in the context; LSTMs stop improving within 100 tokens, Transformers go on"
"""Kaplan et al. 2020, section 3.2.1 and figure 7, which give no numbers but that of the tokens."""
REMEDY = "add some to its grid"
SAME = 1.0
"""Gap in per cent of the loss up to which losses count as the same: about twice what seeds differ by."""
PAIRS = 3
NEAR = 1.5
"""Factor in N within which an LSTM and a Transformer are shown as a pair."""
TRANSFORMER, LSTM = "Transformer", "LSTM"
SHAPES = {TRANSFORMER: "circle", LSTM: "square"}


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and evaluations."""
    line = beside.transformers(tables["runs"])
    runs = beside.others(tables["runs"], "lstm", REMEDY)
    gaps, gap = beside.gaps(line, runs), beside.gap(line, runs)
    curves = by_position(tables["evaluations"], line, runs)
    shown = pairs(curves)
    series = {L: f"LSTM, {wording.counted(L, 'layer')}" for L in sorted({run["n_layer"] for run in runs})}
    left = [
        *(beside.point(run, TRANSFORMER, run["N"]) for run in line),
        *(beside.point(run, series[run["n_layer"]], run["N"]) for run in runs),
    ]
    right = [row for pair in shown for run in pair for row in path(run, curves[run["run"]][1])]
    mark = theme.category("series:N", [*series.values()], first=TRANSFORMER)
    for encoding in mark.values():
        encoding["legend"]["columns"] = 2
    panels = [beside.panel(left, left, theme.N_TITLE, mark)]
    if right:
        panels.append(by_position_panel(right))
    found = grown(curves)
    caption = (
        f"Left: final test loss of {wording.counted(len(runs), 'LSTM')} beside "
        f"{wording.counted(len(line), 'Transformer')}{beside.depths(line)}. {theme.bars(left)}"
        f"The LSTMs' differs from the Transformers' line at equal N by "
        f"{beside.percent(gap, name=f'{beside.interval_words()} ')} on average{beside.beyond(gaps)}. "
        f"{beside.of_noise()} {told(shown, found, curves)}"
    )
    description = (
        "Left, test loss against model size, both logarithmic. "
        f"Right, loss against the position in the context. {caption}"
    )
    chart = alt.concat(*panels, columns=2).resolve_scale(
        **dict.fromkeys(("color", "shape", "fill", "stroke", "strokeDash"), "independent")
    )
    data = (("final", left), *([("position", right)] if right else []))
    return Drawing(chart, description, caption, data, finding(gap, found, curves))


# --- by position ----------------------------------------------------------------------------------------


def by_position(evaluations, line, runs):
    """Losses by position on the test split at the end of each run, {run: (its row, (n_ctx,) nats)}.

    Those of the longest context alone, since others are not to be compared.
    """
    found = positions.profiles(evaluations, [*line, *runs])
    longest = max((len(losses) for steps in found.values() for losses in steps.values()), default=0)
    curves = {}
    for run in [*line, *runs]:
        losses = [*found.get(run["run"], {}).values()]
        if losses and len(losses[-1]) == longest:
            curves[run["run"]] = (run, losses[-1])
    return curves


def split(curves):
    """The runs of ``curves`` as (Transformers, LSTMs), each a list of (row, losses)."""
    return [
        [curve for curve in curves.values() if beside.of(curve[0], architecture)]
        for architecture in ("transformer", "lstm")
    ]


def pairs(curves):
    """At most PAIRS pairs (LSTM, Transformer) of about one N, rows of runs, spread over the sizes.

    For each Transformer the LSTM nearest in N, within a factor NEAR.
    """
    nearest = {}
    transformers, lstms = ([run for run, _ in part] for part in split(curves))
    for lstm in lstms:
        if not transformers:
            return []
        partner = min(transformers, key=lambda run: apart(run, lstm))
        if apart(partner, lstm) <= math.log(NEAR):
            pair = (lstm, partner)
            kept = nearest.setdefault(partner["run"], pair)
            nearest[partner["run"]] = min(kept, pair, key=lambda pair: apart(*pair))
    found = sorted(nearest.values(), key=lambda pair: pair[1]["N"])
    chosen = np.unique(np.linspace(0, len(found) - 1, min(PAIRS, len(found))).round().astype(int))
    return [found[index] for index in chosen]


def apart(run, other):
    return abs(math.log(run["N"] / other["N"]))


def path(run, losses):
    """Rows of a run's loss x by bins of positions."""
    bins = positions.bins(len(losses))
    name = LSTM if beside.of(run, "lstm") else TRANSFORMER
    return [
        {**theme.described(run), "series": name, "first": first, "last": last}
        | {"x": positions.middle(first, last), "y": float(loss)}
        for (first, last), loss in zip(bins, positions.averaged(losses, bins), strict=True)
    ]


def by_position_panel(rows):
    """Loss against position in the colour of N, LSTMs dashed."""
    ends = theme.domain([row["x"] for row in rows])
    x = partial(
        theme.log_axis, alt.X, ends=ends, title="position in the context (tokens)", label="{:g}".format
    )
    y = theme.loss_axis(rows, title="loss at the position (nats per token)")
    sizes = {row["N"] for row in rows}
    colour = theme.N_colour(sizes)
    colour["legend"]["columns"] = 3
    legend = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolSize=500)
    dash = alt.Scale(domain=list(SHAPES), range=list(theme.DASHES[: len(SHAPES)]))
    tooltip = [
        alt.Tooltip("series:N"),
        *theme.run_tooltip(rows),
        alt.Tooltip("first:Q", title="from position"),
        alt.Tooltip("last:Q", title="to position"),
        alt.Tooltip("y:Q", format=".4~r", title="nats per token"),
    ]
    lines = theme.chart(rows).mark_line(strokeWidth=1.6, aria=False)
    lines = lines.encode(
        x=x("x"),
        y=y("y"),
        detail="run:N",
        stroke=theme.N_colour(sizes, alt.Stroke),
        strokeDash=alt.StrokeDash("series:N", scale=dash, legend=legend),
    )
    points = [
        theme.chart([row for row in rows if row["series"] == name])
        .mark_point(filled=True, shape=shape, size=34, opacity=1)
        .encode(x=x("x"), y=y("y"), fill=colour, tooltip=tooltip)
        for name, shape in SHAPES.items()
    ]
    return alt.layer(lines, *points).properties(**beside.PANEL).resolve_legend(stroke="independent")


def grown(curves):
    """Gaps of the LSTMs to the Transformers' line at equal N, of :func:`growth`; None if unknown."""
    transformers, lstms = split(curves)
    if not lstms or len({run["N"] for run, _ in transformers}) < 2:
        return None
    ends = []
    for part in (transformers, lstms):
        ends += [[run["N"] for run, _ in part], early_and_late([losses for _, losses in part])]
    return growth(*ends, noise=SEED_NOISE)


# --- in words -------------------------------------------------------------------------------------------


def told(shown, found, curves):
    """What the caption says of the losses by position."""
    if not shown:
        return "No losses by position of an LSTM and a Transformer of about one size."
    said = (
        f"Right: test loss by position at the end of training, means over log-spaced bins of positions, of "
        f"{wording.counted(len(shown), 'pair')} of about one N, LSTMs dashed."
    )
    if found is None:
        return said
    early, late = parts(n_ctx(curves))
    return (
        f"{said} Over the first {wording.counted(early, 'position')} the loss of all LSTMs differs from "
        f"the Transformers' at equal N by {beside.percent(found['early'])}, over the last {late} by "
        f"{beside.percent(found['late'])}."
    )


def n_ctx(curves):
    return len(next(iter(curves.values()))[1])


def finding(gap, found, curves):
    """The :class:`Finding`, of the mean ``gap`` of final losses and of :func:`grown`; gaps in per cent.

    LSTMs do as well early where their gap there is at most SAME or its interval reaches zero. HOLDS if they
    do, and late in the context the gap is above zero and above the early one by the whole intervals; PARTLY
    if it grows by the whole interval but one of the others is missing; FAILS if it shrinks by the whole
    interval, or grows by less than SAME by the whole interval; OPEN otherwise.
    """
    if found is None or not all(map(known, found.values())):
        runs = 0 if found is None else found["growth"]["runs"]
        return untold(PAPER, beside.too_few(runs, "LSTM", " with losses by position"))
    early, late, more = found["early"], found["late"], found["growth"]
    alike, ahead, grows = early["low"] <= 0 or early["value"] <= SAME, late["low"] > 0, more["low"] > 0
    verdict = FAILS if more["high"] < SAME else OPEN
    if grows:
        verdict = HOLDS if alike and ahead else PARTLY
    first, last = parts(n_ctx(curves))
    because = (
        f"the loss of {wording.counted(more['runs'], 'LSTM')} differs from the Transformers' at equal N by "
        f"{beside.percent(early)} over the first {first} positions (as good up to +{SAME:g} %) and by "
        f"{beside.percent(late)} over the last {last}, a change of {beside.percent(more)} (both held against "
        "zero by the whole interval)"
    )
    measured = (
        f"LSTMs' loss at equal N: {beside.percent(gap)} at the end, {beside.percent(early)} early in the "
        f"context, {beside.percent(late)} late"
    )
    return Finding(PAPER, measured, verdict, because)
