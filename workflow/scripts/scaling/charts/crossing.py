"""Where L(C_min) would meet L(D) of the tokens that its best size sees. Kaplan et al. 2020, figure 15."""

import math
from functools import partial

import altair as alt
import numpy as np

from scaling.allocation import PUBLISHED_CROSSING
from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, PARTLY, Finding, untold
from scaling.laws import LAWS
from scaling.provenance import UserError

LINES = {
    "L(C_min), of the best sizes": ("L_Cmin",),
    "L(D), of the tokens that they see": ("D_opt", "L_D"),
}
"""Each line and the laws that make it, each a function of what the one before it predicts."""
REACHES = MEASURED, EXTRAPOLATED = "where measured", "extrapolated"
BEYOND = 100
"""How many times the study's largest compute the lines reach where they do not meet further on."""
FARTHEST = 1e12
"""A crossing further than this many times the study's largest compute is told and not drawn."""
LINE_POINTS = 120
NEARLY_ALL = 0.95
"""Share of draws that must meet: as many as lie above the lower end of a 90 % interval."""


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fits L_Cmin, D_opt, L_D and allocation.

    Raises UserError if neither line can be drawn.
    """
    absent = {name: lacking(laws, fits) for name, laws in LINES.items()}
    names = [name for name in LINES if not absent[name]]
    if not names:
        raise UserError(f"neither line can be drawn: {'; '.join(dict.fromkeys(absent.values()))}")
    computes = [C for law in ("L_Cmin", "D_opt") if found(law, fits) for C in inputs(fits[law])]
    low, largest = min(computes), max(computes)
    points = fitted.points(fits["L_Cmin"], tables["runs"]) if found("L_Cmin", fits) else []
    crossing = fits["allocation"]["crossing"]
    met = meeting(crossing, largest)
    ends = [low, largest * BEYOND]
    if met:
        ends = [min(low, met["x"] / BEYOND), max(ends[1], met["x"] * (met["x"] / low) ** 0.8)]
    rows = [row for name in names for row in curve(name, fits, ends)]
    chart = layered(points, rows, names, met, theme.domain(ends, room=0.02))
    caption = " ".join(sentences(fits, absent, crossing, largest))
    description = f"Two lines of test loss against least training compute in PF-days, logarithmic. {caption}"
    data = (("measured", points), ("fit", rows), ("crossing", [met] if met else []))
    finding = judged(fits, absent, crossing, largest)
    return Drawing(chart, description, caption, tuple((name, part) for name, part in data if part), finding)


def found(law, fits):
    """Whether a study has a fit of ``law``, certified or not."""
    return law in fits and "unfitted" not in fits[law]


def lacking(laws, fits):
    """Why the line that ``laws`` make cannot be drawn; None if it can."""
    for law in laws:
        if not found(law, fits):
            return fits.get(law, {}).get("unfitted", f"{law} is not fitted in this study")
        if not wording.certified(fits[law]):
            return f"the fit of {law} does not pass its certificate: {wording.reasons(fits[law])}"
    return None


def inputs(fit):
    """The values (P,) of a fit's one input."""
    (values,) = fit["data"]["inputs"].values()
    return values


def predicted(law, fits, values):
    """What the fit of ``law`` predicts at ``values`` of its input."""
    parameters = {name: one["value"] for name, one in fits[law]["parameters"].items()}
    return LAWS[law].predict({LAWS[law].inputs[0]: values}, parameters)


def curve(name, fits, ends):
    """Rows of line, reach, part, x and y between ``ends``: measured in the middle, extrapolated about it.

    Measured is where every law of the line is: at computes of its points whose tokens lie among those of L_D.
    """
    x = np.geomspace(*ends, LINE_POINTS)
    y, measured = x, np.full(len(x), True)
    for law in LINES[name]:
        values = inputs(fits[law])
        measured &= (min(values) <= y) & (y <= max(values))
        y = predicted(law, fits, y)
    part = np.concatenate([[0], np.cumsum(np.diff(measured.astype(int)) != 0)])
    rows = []
    for index in range(part[-1] + 1):
        (at,) = np.nonzero(part == index)
        reach = MEASURED if measured[at[0]] else EXTRAPOLATED
        for i in [*at, *([at[-1] + 1] if at[-1] + 1 < len(x) else [])]:  # parts meet
            rows.append({"line": name, "reach": reach, "part": index, "x": float(x[i]), "y": float(y[i])})
    return rows


def meeting(crossing, largest):
    """The row of the point where the lines meet: x and y, ends of both; None if it is not told or too far."""
    if any(fitted.untold(crossing.get(key, crossing)) for key in ("C", "loss")):
        return None
    C, loss = crossing["C"], crossing["loss"]
    if abs(math.log(C["value"] / largest)) > math.log(FARTHEST):
        return None
    told = [
        f"{symbol} {form(crossing[key]['value'])}"
        for key, symbol, form in (
            ("C", "C*", lambda value: f"{multiple(value / largest)} largest C"),
            ("N", "N*", wording.si),
            ("D", "D*", lambda value: f"{wording.si(value)} tokens"),
            ("loss", "L*", wording.readable),
        )
        if not fitted.untold(crossing[key])
    ]
    x = {"x": C["value"], "x_low": C["low"], "x_high": C["high"]}
    return {**x, "y": loss["value"], "low": loss["low"], "high": loss["high"], "text": "\n".join(told)}


def multiple(ratio):
    """A ratio in words that need no raised exponent, as fonts without them would change the label's face."""
    return f"{wording.words(ratio) if ratio >= 1 else f'{ratio:.3g}'} ×"


def count(value):
    """A count as a reader says it; as a power of ten where no word goes so far."""
    return wording.words(value) if 1 <= value < 1e15 else wording.scientific(value)


def layered(points, rows, names, met, ends):
    """The chart: points, lines, solid where they are measured, and the crossing with its interval."""
    losses = [{"y": row["y"]} for row in points + rows]
    x, y = partial(theme.least_compute_axis, ends=ends), theme.loss_axis(losses)
    colours = alt.Scale(
        domain=names, range=[(theme.INK, theme.CATEGORY_COLOURS[1])[[*LINES].index(n)] for n in names]
    )
    stroke = alt.Stroke(
        "line:N", scale=colours, legend=alt.Legend(title=None, orient="top", columns=1, symbolSize=400)
    )
    reaches = [reach for reach in REACHES if any(row["reach"] == reach for row in rows)]
    line = theme.chart(rows).mark_line(strokeWidth=1.9, clip=True, aria=False)
    layers = [
        line.encode(
            x=x("x"),
            y=y("y"),
            stroke=stroke,
            detail="part:O",
            strokeDash=fitted.dashes("reach:N", reaches, REACHES),
        )
    ]
    if points:
        marks = theme.chart(points).mark_point(style="measured", filled=True, size=22, opacity=1)
        layers.append(
            marks.encode(x=x("x"), y=y("y"), tooltip=fitted.tooltip(points, "PF-days", "nats per token"))
        )
    if met:
        here = theme.chart([met])
        rule = here.mark_rule(style="error", clip=True, aria=False)
        bead = here.mark_point(style="bead", filled=True, size=75, opacity=1)
        text = here.mark_text(
            style="measured",
            align="left",
            baseline="top",
            dx=9,
            dy=-13 * len(met["text"].split("\n")),
            lineBreak="\n",
            fontSize=11,
            aria=False,
        )
        layers += [
            rule.encode(x=x("x_low"), x2="x_high:Q", y=y("y")),
            rule.encode(x=x("x"), y=y("low"), y2="high:Q"),
            bead.encode(x=x("x"), y=y("y"), tooltip=[alt.Tooltip("text:N", title="crossing")]),
            text.encode(x=x("x"), y=y("y"), text="text:N"),
        ]
    return alt.layer(*layers, *theme.least_exponents(ends))


def sentences(fits, absent, crossing, largest):
    """The caption's sentences: the lines and their exponents, then where they meet, or why they do not."""
    for name, laws in LINES.items():
        if absent[name]:
            yield f"{name}, is not drawn, since {absent[name]}."
            continue
        exponents = [(fits[law], exponent) for law in laws for exponent in wording.exponents(fits[law])]
        told = [
            wording.measured(one, f"{wording.percent(fit['interval'])} interval") for fit, one in exponents
        ]
        yield f"{name}: {' and '.join(told)}."
    if any(absent.values()):
        yield "Without both there is no crossing to tell."
        return
    reason = fitted.untold(crossing.get("C", crossing))
    if reason:
        yield f"No crossing: {reason}."
        return
    times = {key: crossing["C"][key] / largest for key in ("value", "low", "high")} | {"certified": True}
    told = [
        f"{symbol} = {fitted.told(crossing[key], form)}{unit}, published {known(crossing[key]['published'])}"
        for key, symbol, form, unit, known in quantities()
    ]
    yield f"They meet, with intervals in brackets, at {'; '.join(told)}."
    yield (
        f"C* is {fitted.told(times)} times the study's largest compute, {wording.readable(largest)} PF-days."
    )
    if crossing["crossing_share"] < 1:
        yield f"They meet in {wording.percent(crossing['crossing_share'])} of the draws."
    if not (fitted.untold(crossing["loss"]) or meeting(crossing, largest)):
        yield "That is too far to draw."


def quantities():
    """What is told of a crossing: its key, symbol, how it is written, its unit, how the published is."""
    return (
        ("C", "C*", wording.readable, " PF-days", wording.published),
        ("N", "N*", count, "", count),
        ("D", "D*", count, " tokens", count),
        ("loss", "L*", wording.readable, "", wording.published),
    )


def judged(fits, absent, crossing, largest):
    """The :class:`Finding`: whether the lines meet, beyond the ``largest`` compute that they are fitted to.

    ``absent`` are reasons why a line is not drawn, by name, None for those that are.
    """
    paper = ", ".join(
        f"{symbol} {known(PUBLISHED_CROSSING[key])}{unit}" for key, symbol, _, unit, known in quantities()
    )
    reasons = dict.fromkeys(filter(None, absent.values()))
    if reasons:
        return untold(paper, "; ".join(reasons))
    if "missing" in crossing:
        return apart(fits, crossing, paper)
    C, share = crossing["C"], crossing["crossing_share"]
    if fitted.untold(C):
        few = f"the lines meet in {wording.percent(share)} of the draws, too few to tell where"
        return untold(paper, few if share < NEARLY_ALL else fitted.untold(C))
    measured = "; ".join(
        f"{symbol} {fitted.told(crossing[key], form)}{unit}"
        for key, symbol, form, unit, _ in quantities()
        if not fitted.untold(crossing[key])
    )
    beyond = C["low"] > largest
    because = (
        f"the lines meet in {wording.percent(share)} of the draws, where {wording.percent(NEARLY_ALL)} is "
        f"asked for, and the interval of C* begins at {multiple(C['low'] / largest)} the largest compute "
        f"that the frontier is fitted to, {'beyond' if beyond else 'not beyond'} what was measured"
    )
    return Finding(paper, measured, HOLDS if beyond and share >= NEARLY_ALL else PARTLY, because)


def apart(fits, crossing, paper):
    """The :class:`Finding` where the lines do not meet: it fails if they do not by any ends of intervals."""
    alpha_C, p_D, alpha_D = (
        fits[law]["parameters"][name]
        for law, name in (("L_Cmin", "alpha_C"), ("D_opt", "p_D"), ("L_D", "alpha_D"))
    )
    slowest = min(p_D["low"] * alpha_D[end] for end in ("low", "high"))
    if alpha_C["high"] >= slowest:
        return untold(paper, wording.greek(crossing["missing"]))
    because = (
        f"L(D) of the efficient runs falls as C_min^(−{wording.readable(slowest)}) at the slowest, by the "
        "ends of the intervals of α_D and p_D, and L(C_min) as "
        f"C_min^(−{wording.readable(alpha_C['high'])}) at the fastest, so that they do not meet"
    )
    measured = "; ".join(map(findings.interval, (alpha_C, alpha_D, p_D)))
    return Finding(paper, measured, FAILS, because)
