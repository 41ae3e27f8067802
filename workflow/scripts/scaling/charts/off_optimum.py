"""What a size other than the best costs in compute and saves in steps. Kaplan et al. 2020, figure 12."""

import math

import altair as alt
import numpy as np

from scaling.allocation import CONVERGED
from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, uncertified, untold
from scaling.laws import LAWS, efficient_excess

COSTS = {"compute": "compute, relative to the best size's", "steps": "steps, relative to the best size's"}
LINES = FIT, PAPER = "by the fitted L(N, S_min), with its band", "by the paper's constants"
DEAREST = 4
"""Excess of compute up to which sizes are shown."""
SPAN = 2
"""Sizes near the best cost little more if those tolerated span this factor; the paper's span 3.7."""


def draw(tables, fits):
    """The :class:`Drawing`, from the fits L_NSmin and allocation."""
    off = fits["allocation"]["off_optimum"]
    measured, paper = curve(off), published()
    cheap = [row["x"] for row in measured + paper if row["cost"] == "compute" and row["y"] <= DEAREST]
    x_ends = [min(cheap), max(cheap)]
    rows = [row for row in measured + paper if x_ends[0] <= row["x"] <= x_ends[1]]
    names = [name for name in LINES if any(row["line"] == name for row in rows)]
    panels = [
        panel(
            cost, [row for row in rows if row["cost"] == cost], names, x_ends, near(off), off.get("tolerated")
        )
        for cost in COSTS
    ]
    caption = sentences(fits["L_NSmin"], off)
    description = (
        "Compute and steps to one loss, relative to those of the best size, against the size relative to the "
        f"best, all logarithmic. {caption}"
    )
    chart, finding = alt.concat(*panels, columns=2), judged(fits["L_NSmin"], off)
    return Drawing(chart, description, caption, (("fit", rows),), finding)


def curve(off):
    """Rows of line, cost, x, y, low and high by the study's fit; none if it does not hold."""
    return [
        {"line": FIT, "cost": cost, "x": at["ratio"], "y": at[cost]["value"]}
        | {end: at[cost][end] for end in ("low", "high")}
        for at in off.get("curve", [])
        for cost in COSTS
        if not fitted.untold(at[cost])
    ]


def published():
    """Rows as :func:`curve`'s by the paper's constants, with no band."""
    found = LAWS["L_NSmin"].parameters
    alpha_N, alpha_S = (found[name].published for name in ("alpha_N", "alpha_S"))
    excess = efficient_excess(alpha_N=alpha_N, alpha_S=alpha_S)
    rows = []
    for ratio in np.geomspace(1 / 3, 30, 120).tolist():
        steps = ((1 + excess - ratio**-alpha_N) / excess) ** (-1 / alpha_S)
        values = {"compute": ratio * steps, "steps": steps}
        rows += [{"line": PAPER, "cost": cost, "x": ratio, "y": values[cost]} for cost in COSTS]
    return rows


def near(off):
    """The sizes, as multiples of the best, that cost little more: (smallest, largest); None if unknown."""
    ends = [off.get(end, off) for end in ("smallest", "largest")]
    return None if any(map(fitted.untold, ends)) else [end["value"] for end in ends]


def panel(cost, rows, names, x_ends, tolerated, share):
    """A cost against the size; shaded, the sizes ``tolerated`` for a ``share`` more compute, if known."""
    highest = max(row["y"] for row in rows)
    y_ends = theme.domain(
        [min(row["y"] for row in rows), min(highest, DEAREST) if cost == "compute" else highest]
    )

    def axis(channel, field, ends, title):
        return theme.log_axis(channel, field, ends=ends, title=title, label="{:g}×".format)

    def y(field):
        return axis(alt.Y, field, y_ends, COSTS[cost])

    def x(field):
        return axis(alt.X, field, x_ends, "model size, relative to the best N")

    layers = []
    if tolerated:
        shade = theme.chart([{"from": tolerated[0], "to": tolerated[1]}])
        area = shade.mark_rect(color=theme.CATEGORY_COLOURS[0], opacity=0.12, clip=True, aria=False)
        layers.append(area.encode(x=x("from"), x2="to:Q"))
        if cost == "compute":
            middle = {
                "x": math.prod(tolerated) ** 0.5,
                "text": f"at most {wording.percent(share)}\nmore compute",
            }
            text = theme.chart([middle]).mark_text(style="note", baseline="top", lineBreak="\n", aria=False)
            layers.append(text.encode(x=x("x"), y=alt.value(6), text="text:N"))
    bands = theme.chart([row for row in rows if "low" in row])
    area = bands.mark_area(style="band", clip=True, aria=False)
    layers += [area.encode(x=x("x"), y=y("low"), y2="high:Q")] if FIT in names else []
    for name in reversed(names):
        style = "fit" if name == FIT else "reference"
        line = theme.chart([row for row in rows if row["line"] == name]).mark_line(
            style=style, clip=True, aria=False
        )
        layers.append(line.encode(x=x("x"), y=y("y"), strokeDash=fitted.dashes("line:N", names, LINES)))
    return alt.layer(*layers).properties(width=215, height=230)


def sentences(fit, off):
    """The caption: the sizes near the best, and what stopping early saves, beside the paper's."""
    said = "Compute (left) and steps (right) that a size other than the best needs for the same loss."
    paper = "Dashed: by the paper's constants of L(N, S_min)."
    if "missing" in off:
        return f"{said} {paper} The study's are not drawn, since {wording.greek(off['missing'])}."
    reason = fitted.untold(off["smallest"]) or fitted.untold(off["largest"])
    if reason:
        why = reason if wording.certified(fit) else f"{reason}: {wording.reasons(fit)}"
        return f"{said} {paper} The study's are not told, since {why}."
    early = off["against_convergence"]
    return (
        f"{said} {paper} With {wording.percent(fit['interval'])} intervals in brackets, sizes from "
        f"{beside(off['smallest'])} to {beside(off['largest'])} times the best need at most "
        f"{wording.percent(off['tolerated'])} more compute (shaded). Against training to "
        f"{wording.percent(CONVERGED)} above convergence, the best size has {beside(early['parameters'])} "
        f"times the parameters and takes {beside(early['steps'])} times fewer steps and "
        f"{beside(early['compute'], percent, percent)} less compute."
    )


def beside(number, form=wording.readable, known=wording.published):
    """A number of allocation.json with its interval and, as ``known`` writes it, what is published."""
    return f"{fitted.told(number, form)}, published {known(number['published'])},"


def percent(share):
    """A share in whole per cent."""
    return f"{100 * share:.0f} %"


def judged(fit, off):
    """The :class:`Finding`: whether the best size stops far from convergence, and sizes near it cost little.

    Far: the interval of α_N/α_S lies above what the paper calls converged. Little: sizes that cost no more
    than is tolerated span SPAN times, between the inner ends of the intervals of both. Where neither is so it
    fails if an interval rules one of them out, and is open if none does. In full only where L(N, S_min),
    which all of it follows from, forecasts the largest tenth of compute.
    """
    stops = LAWS["L_NSmin"].derived["excess"].published
    if "missing" in off:
        return untold(f"stops {percent(stops)} above convergence", wording.greek(off["missing"]))
    ends, early = [off["smallest"], off["largest"]], off["against_convergence"]
    low, high = (end["published"] for end in ends)
    paper = (
        f"stops {percent(stops)} above convergence; {low:g} to {high:g} × the best size; "
        f"{saved(early, lambda number, form: form(number['published']), wording.published)}"
    )
    if not wording.certified(fit):
        return untold(paper, uncertified(fit, "L(N, S_min)"))
    for number in (*ends, *early.values()):
        if fitted.untold(number):
            return untold(paper, fitted.untold(number))
    excess = fit["derived"]["excess"] | {"certified": True}
    measured = (
        f"stops {fitted.told(excess, precisely)} above convergence; {fitted.told(ends[0])} to "
        f"{fitted.told(ends[1])} × the best size; {saved(early, fitted.told, wording.readable)}"
    )
    span = ends[1]["low"] / ends[0]["high"]
    far, wide = excess["low"] > CONVERGED, span >= SPAN
    possible = excess["high"] > CONVERGED and ends[1]["high"] / ends[0]["low"] >= SPAN
    verdict = (OPEN if possible else FAILS, PARTLY, HOLDS)[far + wide]
    if verdict == HOLDS and not fit["holdout"]["covered"]:
        verdict = PARTLY
    because = (
        f"the best size stops {precisely(excess['low'])} or more above its converged loss, where "
        f"{wording.percent(CONVERGED)} counts as converged; sizes that need at most "
        f"{wording.percent(off['tolerated'])} more compute span a factor of {wording.readable(span)} or "
        f"more, where {SPAN} is asked for; the forecast of the largest tenth of compute by L(N, S_min) is "
        f"{wording.forecast(fit)}"
    )
    return Finding(paper, measured, verdict, because)


def saved(early, told, form):
    """What stopping early saves, of the numbers ``early``, as ``told(number, form)`` tells them."""
    parameters, steps = (told(early[key], form) for key in ("parameters", "steps"))
    share = told(early["compute"], percent)
    return f"{parameters} × the parameters, {steps} × fewer steps, {share} less compute"


def precisely(share):
    """A share in per cent as a parameter is written."""
    return f"{wording.readable(100 * share)} %"
