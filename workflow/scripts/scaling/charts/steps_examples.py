"""Steps against examples to reach a loss, at each batch size. Kaplan et al. 2020, eq. 5.1 and figure 18."""

import altair as alt
import numpy as np

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, uncertified, untold
from scaling.charts.loss_vs_Cmin import unsure
from scaling.laws import LAWS

COLUMNS = 2
CURVE_POINTS = 40
CLOSE = 0.1
"""Scatter of ln S about the hyperbolas up to which they describe a scan: a tenth of the steps."""


def draw(tables, fits):
    """The :class:`Drawing`, from the fit B_crit: one panel for each size of its scans."""
    fit = fits["B_crit"]
    levels = fit["data"]["levels"]
    points = [point for level in levels for point in measured(level)]
    curves = [row for level in levels for row in hyperbola(level)] if wording.certified(fit) else []
    sizes = sorted({level["N"] for level in levels})
    ends = {axis: theme.domain([row[axis] for row in [*points, *curves]]) for axis in ("x", "y")}
    colour = loss_colour([level["loss"] for level in levels])
    panels = [
        panel(
            *([row for row in rows if row["N"] == N] for rows in (points, curves)), ends, colour
        ).properties(title=f"N = {wording.si(N)}")
        for N in sizes
    ]
    chart = panels[0]
    if len(panels) > 1:
        panels = [part.properties(width=210, height=250) for part in panels]
        chart = alt.concat(*panels, columns=COLUMNS)
    caption = f"{said(fit, points, curves)} {wording.finding(fit)}"
    description = (
        f"Tokens against steps to reach a loss, both logarithmic, in {wording.counted(len(sizes), 'panel')}. "
        f"{caption}"
    )
    data = (("measured", points), *([("fit", curves)] if curves else []))
    return Drawing(chart, description, caption, data, judged(fit))


def measured(level):
    """A row for each batch of a level: steps x, tokens y, and whether its run reached the loss by then."""
    return [
        {"N": level["N"], "loss": level["loss"], "B": B, "x": S, "y": B * S, "reached": not least}
        for B, S, least in zip(level["B"], level["steps"], level["least"], strict=True)
    ]


def hyperbola(level):
    """Rows of N, loss, x and y along a level's hyperbola, between its smallest batch and its largest."""
    B = np.geomspace(min(level["B"]), max(level["B"]), CURVE_POINTS)
    steps = LAWS["steps_examples"].predict({"B": B}, {name: level[name] for name in ("S_min", "E_min")})
    place = {"N": level["N"], "loss": level["loss"]}
    return [{**place, "x": x, "y": y} for x, y in zip(steps.tolist(), (B * steps).tolist(), strict=True)]


def loss_colour(losses):
    """Colour by loss, from high (dark) to low (light): a function from alt.Fill or alt.Stroke to it."""
    losses = sorted(set(losses), reverse=True)
    ends = [losses[-1], losses[0]] if len(losses) > 1 else [losses[0] * 0.9, losses[0] * 1.1]

    def colour(channel):
        legend = None
        if channel is alt.Fill:
            legend = alt.Legend(
                **{"title": "loss reached (nats per token)", "orient": "top", "direction": "horizontal"},
                **{"type": "symbol", "symbolType": "circle", "symbolStrokeWidth": 0},
                **theme.labelled([float(f"{loss:.4g}") for loss in losses], "{:g}".format),
                columns=4,
            )
        scale = alt.Scale(type="log", domain=ends, range=theme.OTHER_RAMP, reverse=True)
        return channel("loss:Q").scale(scale).legend(legend)

    return colour


def panel(points, curves, ends, colour):
    """The chart of one size: what was measured, and the hyperbolas if there are any."""
    x = theme.log_axis(alt.X, "x", ends["x"], theme.S_TITLE, wording.si)
    y = theme.log_axis(alt.Y, "y", ends["y"], "examples processed E (tokens)", wording.si)
    tooltip = [
        alt.Tooltip("N:Q", format=",d"),
        alt.Tooltip("B:Q", format=",d", title="batch (tokens)"),
        alt.Tooltip("x:Q", format=",.0f", title="steps"),
        alt.Tooltip("y:Q", format=".4~s", title="tokens"),
        alt.Tooltip("loss:Q", format=".4~g", title="test loss"),
        alt.Tooltip("reached:N"),
    ]
    reached, ended = ([row for row in points if row["reached"] is value] for value in (True, False))
    line = theme.chart(curves).mark_line(strokeWidth=1.3, clip=True, aria=False)
    filled = theme.chart(reached).mark_point(filled=True, size=34, opacity=1)
    hollow = theme.chart(ended).mark_point(filled=False, size=50, strokeWidth=1.5, opacity=1)
    stroke, where = colour(alt.Stroke), {"x": x, "y": y}
    return alt.layer(
        *([line.encode(**where, stroke=stroke, detail="loss:Q")] if curves else []),
        filled.encode(**where, fill=colour(alt.Fill), tooltip=tooltip),
        *([hollow.encode(**where, stroke=stroke, tooltip=tooltip)] if ended else []),
    ).resolve_legend(stroke="independent")


def said(fit, points, curves):
    """What points and lines are, in words."""
    data, ended = fit["data"], sum(not point["reached"] for point in points)
    batches, losses = data["batches"], {point["loss"] for point in points}
    sentences = [
        f"Points: what each of {wording.counted(len(batches), 'batch size')}, {wording.si(batches[0])} to "
        f"{wording.si(batches[-1])} tokens, took to come down to {len(losses)} losses on its learning curve."
    ]
    if ended:
        sentences.append(
            f"Hollow: {ended} of the {len(points)}, whose runs ended before they reached the loss; it takes "
            "more than that."
        )
    if data["unreached"]:
        sentences.append(
            "Left out, since too few batch sizes came down to them: "
            f"{wording.counted(len(data['unreached']), 'level')}."
        )
    if curves:
        sentences.append(
            "Lines: (S / S_min − 1)(E / E_min − 1) = 1, fitted to each loss of each size by itself; "
            f"E_min / S_min, the critical batch size, is {wording.si(min(data['y']))} to "
            f"{wording.si(max(data['y']))} tokens."
        )
    return " ".join(sentences)


def judged(fit):
    """The :class:`Finding`: whether hyperbolas describe the scan, and better than powers do.

    Better or worse is what differs by more than :func:`unsure`; what does not is open.
    """
    paper = "(S/S_min − 1)(E/E_min − 1) = 1"
    if not wording.certified(fit):
        return untold(paper, uncertified(fit, "B_crit"))
    levels = fit["data"]["levels"]
    off, power = scatter(levels, from_hyperbola), scatter(levels, from_power)
    sizes = sorted({level["N"] for level in levels})
    own = {N: [level for level in levels if level["N"] == N] for N in sizes}
    each = [f"{wording.percent(scatter(own[N], from_hyperbola))} at N = {wording.si(N)}" for N in sizes]
    runs = fit["data"]["runs"]
    better, worse = off < power * (1 - unsure(runs)), power < off * (1 - unsure(runs))
    verdict = (HOLDS if off <= CLOSE else PARTLY) if better else FAILS if worse else OPEN
    because = (
        f"steps scatter by {wording.percent(off)} about the hyperbolas, where up to {wording.percent(CLOSE)} "
        f"is held to be close, and by {wording.percent(power)} about powers S ∝ B^(−k) with as many "
        f"parameters, where {wording.counted(runs, 'run')} tell apart what differs by "
        f"{wording.percent(round(unsure(runs), 2))}"
    )
    return Finding(paper, f"steps within {wording.percent(off)} rms ({', '.join(each)})", verdict, because)


def scatter(levels, residuals):
    """Root mean square of ``residuals`` (of ln S) of levels, made up for the two numbers fitted to each."""
    parts = [residuals(*reached(level), level) for level in levels]
    spare = sum(len(part) - 2 for part in parts)
    return float((sum((part**2).sum() for part in parts) / spare) ** 0.5)


def reached(level):
    """B and ln S of the batches (at least FEWEST_BATCHES) whose runs reached the loss of a level."""
    kept = ~np.array(level["least"])
    return np.array(level["B"])[kept], np.log(level["steps"])[kept]


def from_hyperbola(B, steps, level):
    """How far ln ``steps`` lie above the level's hyperbola."""
    parameters = {name: level[name] for name in ("S_min", "E_min")}
    return steps - np.log(LAWS["steps_examples"].predict({"B": B}, parameters))


def from_power(B, steps, level):
    """How far ln ``steps`` lie above the power of B that is nearest to them."""
    return steps - np.polyval(np.polyfit(np.log(B), steps, 1), np.log(B))
