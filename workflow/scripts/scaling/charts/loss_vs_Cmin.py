"""Two envelopes against compute, as trained and adjusted by B_crit. Kaplan et al. 2020, figure 13."""

from functools import partial

import altair as alt

from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, OPEN, Finding, untold

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
    return Drawing(chart, description, caption, data, judged(fits["L_C"], fits["L_Cmin"]))


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


def judged(trained, adjusted):
    """The :class:`Finding`: whether losses scatter less about a power of C_min than about one of C.

    Less or more is what differs by more than :func:`unsure`. It holds in full only where L(C_min) is itself
    a law that holds, and fails where a logarithm does better.
    """
    numbers = {"C_min": adjusted["parameters"]["alpha_C"], "C": trained["parameters"]["alpha_C"]}
    paper = ", ".join(f"{findings.published(number)} of {of}" for of, number in numbers.items())
    for fit in (adjusted, trained):
        if not wording.certified(fit):
            return untold(paper, findings.uncertified(fit, fit["formula"]))
    measured = "; ".join(f"{findings.interval(number)} of {of}" for of, number in numbers.items())
    of_least, of_own = (fit["rms_log_residual"] for fit in (adjusted, trained))
    runs, law = min(fit["data"]["runs"] for fit in (adjusted, trained)), findings.of_law(adjusted)
    if law.verdict == FAILS or of_own < of_least * (1 - unsure(runs)):
        verdict = FAILS
    else:
        verdict = law.verdict if of_least < of_own * (1 - unsure(runs)) else OPEN
    because = (
        f"losses scatter by {wording.percent(of_least)} about the power of C_min and by "
        f"{wording.percent(of_own)} about that of C, where {wording.counted(runs, 'run')} tell apart what "
        f"differs by {wording.percent(round(unsure(runs), 2))}; of L(C_min), {law.because}"
    )
    return Finding(paper, measured, verdict, because)


def unsure(runs):
    """The share of the scatter of ``runs`` about a law of two numbers that is by chance: 1 / √(2 (n − 2))."""
    return (2 * max(runs - 2, 1)) ** -0.5
