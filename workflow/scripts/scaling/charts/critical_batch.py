"""The critical batch size against loss, with the gradient noise scale. Kaplan et al. 2020, figure 10."""

from functools import partial
from statistics import median

import altair as alt

from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding
from scaling.laws import VARIABLES
from scaling.rows import finite

MARKS = ["filled: E_min / S_min of a hyperbola", "hollow: gradient noise scale, measured in training"]
AGREE = 1.5
"""Factor within which critical batch sizes at one loss agree: a batch that far off costs a quarter more steps
or examples than B_crit itself (Kaplan et al. 2020, eq. 5.1)."""


def draw(tables, fits):
    """The :class:`Drawing`, from the fit B_crit."""
    fit = fits["B_crit"]
    data = fit["data"]
    points = [
        {"N": level["N"], "x": level["loss"], "y": y, "S_min": level["S_min"], "E_min": level["E_min"]}
        for level, y in zip(data["levels"], data["y"], strict=True)
    ]
    scales = noise_scales(fit)
    sizes = {point["N"] for point in points}
    x_ends = theme.domain([point["x"] for point in points])
    y_ends = theme.domain([point["y"] for point in [*points, *scales]])
    x = partial(theme.log_axis, alt.X, ends=x_ends, title=theme.LOSS_TITLE, label="{:g}".format)
    y = partial(theme.log_axis, alt.Y, ends=y_ends, title=VARIABLES["B_crit"], label=wording.si)
    # a log axis has no zero, so bars that reach it end with the chart
    shown = [{**row, "low": max(row["low"], y_ends[0])} if "low" in row else row for row in scales]
    stroke, tooltip = theme.N_colour(sizes, alt.Stroke), described()
    hollow = theme.chart(shown).mark_point(shape="diamond", filled=False, size=50, strokeWidth=1.5, opacity=1)
    filled = theme.chart(points).mark_point(filled=True, size=60, opacity=1)
    made_of = [alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("S_min", "E_min")]
    chart = alt.layer(
        *fitted.layers(fit, x, y, x_ends),
        theme.error_bars(shown, x, y).encode(stroke=stroke, opacity=alt.value(0.6)),
        hollow.encode(x=x("x"), y=y("y"), stroke=stroke, tooltip=tooltip),
        filled.encode(x=x("x"), y=y("y"), fill=theme.N_colour(sizes), tooltip=[*tooltip, *made_of]),
    ).resolve_legend(stroke="independent")
    if scales:
        chart = chart.properties(title=alt.Title(MARKS, anchor="start", frame="group", fontSize=11))
    caption = (
        f"Filled points: B_crit = E_min / S_min of {wording.counted(len(points), 'hyperbola')}, one for each "
        f"loss of each of {wording.counted(len(sizes), 'size')}. Loss rises to the right, so that training "
        f"runs from right to left. {wording.finding(fit)} Behind the points are {data['steps']} numbers of "
        f"steps, which the law is fitted to all at once. {compared(scales, shown, len(points))}"
    )
    description = f"Critical batch size falling with test loss, both logarithmic. {caption}"
    parts = (("measured", points), *([("noise scale", scales)] if scales else []), *fitted.series(fit))
    return Drawing(chart, description, caption, parts, judged(fit, points, scales))


def noise_scales(fit):
    """Rows of the levels whose noise scale is known: N, loss x, noise scale y, its error's ends, and its
    ratio to their B_crit."""
    return [
        theme.with_error(
            {
                "N": level["N"],
                "x": level["loss"],
                "y": level["noise_scale"],
                "ratio": level["noise_scale"] / y,
            },
            level["noise_scale_se"],
        )
        for level, y in zip(fit["data"]["levels"], fit["data"]["y"], strict=True)
        if finite(level["noise_scale"]) and level["noise_scale"] > 0
    ]


def compared(scales, shown, levels):
    """How the noise scales compare with B_crit at so many ``levels``; ``shown``: as the chart cuts them."""
    if not scales:
        return "The gradient noise scale is known at none of these losses."
    ratios = [row["ratio"] for row in scales]
    low, middle, high = (
        wording.significant(ratio, 2) for ratio in (min(ratios), median(ratios), max(ratios))
    )
    cut = "Those that meet the axis of losses reach below it. " if shown != scales else ""
    return (
        f"Hollow points: the gradient noise scale of the test points about that loss, known at {len(scales)} "
        f"of {levels}. {theme.bars(scales)}{cut}It is {low} to {high} times B_crit, {middle} times in the "
        "median."
    )


def described():
    """The part of a tooltip that hyperbolas and noise scales share."""
    return [
        alt.Tooltip("N:Q", format=",d"),
        alt.Tooltip("x:Q", format=".4~g", title="test loss"),
        alt.Tooltip("y:Q", format=".4~r", title="tokens"),
    ]


def judged(fit, points, scales):
    """The :class:`Finding`: whether B_crit is a power of the loss, and the same for every size."""
    law = findings.of_law(fit, "alpha_B")
    told = law.measured
    if scales and law.verdict != OPEN:
        told += f"; noise scale {wording.significant(median(row['ratio'] for row in scales), 2)} × B_crit"
    apart, losses = between_sizes(points), len({point["x"] for point in points})
    if not apart:
        verdict = PARTLY if law.verdict == HOLDS else law.verdict
        because = "no two sizes of the scan reached one loss, so that they cannot be compared"
    else:
        agree = median(apart) <= AGREE
        worse = {} if agree else {HOLDS: PARTLY, PARTLY: FAILS}
        verdict = worse.get(law.verdict, law.verdict)
        least, middle, most = map(wording.significant, (min(apart), median(apart), max(apart)))
        because = (
            f"between sizes B_crit at one loss differs by a factor of {middle} in the median ({least} to "
            f"{most}, at {len(apart)} of {losses} losses), where up to {AGREE:g} counts as the same"
        )
    return Finding(f"{law.paper}, whatever N", told, verdict, f"{law.because}; {because}")


def between_sizes(points):
    """For each loss that several sizes reached, the largest B_crit there over the smallest."""
    at = {}
    for point in points:
        at.setdefault(point["x"], []).append(point["y"])
    return [max(batches) / min(batches) for batches in at.values() if len(batches) > 1]
