"""Two envelopes against compute, as trained and adjusted by B_crit. Kaplan et al. 2020, figure 13."""

from functools import partial

import altair as alt

from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing

TRAINED, ADJUSTED = "as trained, C", "adjusted, C_min"


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fits L_C and L_Cmin."""
    ways = {ADJUSTED: fits["L_Cmin"], TRAINED: fits["L_C"]}
    points = {
        way: [{**point, "way": way} for point in fitted.points(fit, tables["runs"])]
        for way, fit in ways.items()
    }
    every = [point for rows in points.values() for point in rows]
    ends, y = theme.domain([point["x"] for point in every]), theme.loss_axis(every)
    x, mark = partial(theme.compute_axis, ends=ends), theme.category("way:N", [TRAINED], first=ADJUSTED)
    marks = theme.chart(every).mark_point(filled=True, size=26, opacity=0.9)
    tooltip = [alt.Tooltip("way:N", title="compute"), *fitted.tooltip(every, "PF-days", "nats per token")]
    chart = alt.layer(
        *lines(ways, x, y, mark["color"]),
        marks.encode(x=x("x"), y=y("y"), **mark, tooltip=tooltip),
        *theme.exponents(ends),
    )
    caption = (
        "Points: the lowest loss of any size at each compute. Squares: compute as trained. "
        f"{wording.finding(fits['L_C'])} Circles: compute adjusted to batches far below the critical one, "
        f"C_min = C / (1 + B / B_crit(L)) with {fitted.adjustment(fits['L_Cmin'])}. "
        f"{wording.finding(fits['L_Cmin'])}"
    )
    description = (
        "Test loss falling with training compute in PF-days, as trained and as little as it could have been, "
        f"both axes logarithmic. {caption}"
    )
    drawn = [
        {**row, "way": way} for way, fit in ways.items() for _, rows in fitted.series(fit) for row in rows
    ]
    data = (*((way, rows) for way, rows in points.items()), *([("fit", drawn)] if drawn else []))
    return Drawing(chart, description, caption, data)


def lines(ways, x, y, colour):
    """Layers of the law of each way that is certified, told apart by dashes; the adjusted has its band."""
    names = {way: label(way, fit) for way, fit in ways.items() if wording.certified(fit)}
    if not names:
        return []
    dash = fitted.dashes("line:N", names.values(), [label(way, fit) for way, fit in ways.items()])
    rows = [
        {**row, "way": way, "line": name}
        for way, name in names.items()
        for row in fitted.band_rows(ways[way])
    ]
    line = theme.chart(rows).mark_line(style="fit", clip=True, aria=False)
    drawn = [line.encode(x=x("x"), y=y("y"), color=colour, strokeDash=dash)]
    if ADJUSTED in names:
        area = theme.chart(fitted.band_rows(ways[ADJUSTED])).mark_area(style="band", clip=True, aria=False)
        drawn.insert(0, area.encode(x=x("x"), y=y("low"), y2="high:Q"))
    return drawn


def label(way, fit):
    """What the legend says of a way's line: its slope, and the band of the one that has one."""
    (exponent,), (compute,) = wording.exponents(fit), fit["inputs"]
    band = f", with its {wording.percent(fit['interval'])} band" if way == ADJUSTED else ""
    return f"{compute}: slope {wording.readable(exponent['value'])}{band}"
