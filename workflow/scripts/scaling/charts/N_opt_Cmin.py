"""Best size and fewest steps for each least compute, by two roads. Kaplan et al. 2020, figure 14."""

from functools import partial

import altair as alt

from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold

PANELS = {
    "N": ("N_opt_Cmin", f"best {theme.N_TITLE}"),
    "S": ("S_min", "fewest training steps S_min"),
}
"""The law of each panel's points and the title of its y."""
LINES = (
    "fit to the points, with its band",
    "optimum of the fitted L(N, S_min), with its band",
    "paper's slope",
)
ENVELOPE, LAW, SLOPE = LINES
COLOURS = {ENVELOPE: theme.INK, LAW: theme.CATEGORY_COLOURS[0], SLOPE: theme.MUTED}
LEAST_SPAN = 10
"""An axis of y spans this factor at least, so that an exponent near 0 looks like one."""
MOST, HARDLY = 0.5, 0.1
"""More than half of a budget goes to what grows faster than the power MOST of it; what grows no faster than
HARDLY hardly grows: tenfold compute makes it 1.26 times as large."""


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fits N_opt_Cmin, S_min and allocation."""
    found = fitted.allocated(fits)
    points, lines = [], []
    for quantity, (law, _) in PANELS.items():
        rows = fitted.points(fits[law], tables["runs"])
        points += [{"quantity": quantity, **row} for row in rows]
        lines += curves(quantity, fits[law], found.get("lines"), theme.domain([row["x"] for row in rows]))
    names = [name for name in LINES if any(line["line"] == name for line in lines)]
    panels = []
    for quantity, (_, title) in PANELS.items():
        own, drawn = ([row for row in rows if row["quantity"] == quantity] for rows in (points, lines))
        ends = theme.domain([row["x"] for row in own])
        panels.append(panel(title, own, drawn, names, COLOURS, ends))
    told = [
        exponents(fits[law], found.get("exponents", {}).get(quantity))
        for quantity, (law, _) in PANELS.items()
    ]
    interval = wording.percent(fits["N_opt_Cmin"]["interval"])
    caption = (
        "Points: for each C_min, the lowest point of a parabola in ln N (left) or in ln S (right) through "
        f"the best sizes. With {interval} intervals in brackets, {' '.join(told)}{undrawn(names, found)}"
    )
    description = (
        "Two panels against least training compute in PF-days, all logarithmic: the best model size, and the "
        f"fewest steps. {caption}"
    )
    chart = alt.concat(*panels, columns=len(panels))
    data = (("measured", points), *([("fit", lines)] if lines else []))
    return Drawing(chart, description, caption, data, judged(fits, found))


def curves(quantity, fit, law, ends):
    """Rows of the lines of a panel: quantity, line, x, y and, of those with a band, low and high.

    ``law`` holds the lines of allocation.json or is None; ``ends`` are those that the paper's slope reaches.
    """
    rows = []
    if wording.certified(fit):
        rows += [{"line": ENVELOPE, **row} for row in fitted.band_rows(fit)]
    if law and law["certified"]:
        band = {"x": law["C"], **law[quantity]}
        rows += [{"line": LAW, **row} for row in fitted.band_rows({"band": band})]
    if rows:
        drawn = [row for row in rows if row["line"] == rows[0]["line"]]
        middle, (exponent,) = drawn[len(drawn) // 2], wording.exponents(fit)
        rows += [
            {"line": SLOPE, "x": x, "y": middle["y"] * (x / middle["x"]) ** exponent["published"]}
            for x in ends
        ]
    return [{"quantity": quantity, **row} for row in rows]


LEAST = (theme.least_compute_axis, theme.least_exponents)


def panel(title, points, lines, names, colours, x_ends, compute=LEAST):
    """One quantity against compute: its ``points`` and ``lines``; ``names`` are the lines of all panels.

    ``colours`` are those of every line that there could be. ``compute`` makes the encoding of x and what
    layers go with it. A line without a band is thinner.
    """
    axis, raised = compute
    y_ends = theme.domain([row["y"] for row in points + lines])
    room = max(1.0, (LEAST_SPAN * y_ends[0] / y_ends[1]) ** 0.5)
    y_ends = [y_ends[0] / room, y_ends[1] * room]
    x = partial(axis, ends=x_ends)
    y = partial(theme.log_axis, alt.Y, ends=y_ends, title=title, label=wording.si)
    scale = alt.Scale(domain=names, range=[colours[name] for name in names])
    where = {"x": x("x"), "y": y("y"), "strokeDash": fitted.dashes("line:N", names, [*colours])}
    drawn = []
    for name in names:
        rows = [row for row in lines if row["line"] == name]
        banded = [row for row in rows if "low" in row]
        area = theme.chart(banded).mark_area(style="band", color=colours[name], clip=True, aria=False)
        line = theme.chart(rows).mark_line(
            style="fit", strokeWidth=1.9 if banded else 1.3, clip=True, aria=False
        )
        drawn += [area.encode(x=x("x"), y=y("low"), y2="high:Q")] if banded else []
        drawn.append(line.encode(**where, stroke=alt.Stroke("line:N", scale=scale)))
    marks = theme.chart(points).mark_point(style="measured", filled=True, size=30, opacity=1)
    return alt.layer(
        *drawn,
        marks.encode(x=x("x"), y=y("y"), tooltip=fitted.tooltip(points, "PF-days", title)),
        *raised(x_ends),
    ).properties(width=215, height=230)


def exponents(fit, roads):
    """The exponent of a fit and by ``roads``, of allocation.json or None, beside the paper's, in words."""
    (exponent,) = wording.exponents(fit)
    along = (
        fitted.told(exponent | {"certified": True})
        if wording.certified(fit)
        else f"not told, since its fit does not pass its certificate: {wording.reasons(fit)}"
    )
    said = (
        f"{exponent['symbol']}, published {wording.published(exponent['published'])}: by the points {along}"
    )
    if not roads:
        return f"{said}."
    return (
        f"{said}; by the optimum of L(N, S_min) {fitted.told(roads['law'])}{agreement(roads['difference'])}."
    )


def agreement(difference):
    """Whether two roads agree: whether 0 lies within the interval of their difference; "" if it has none."""
    if fitted.untold(difference):
        return ""
    agree = "disagree" if disagree(difference) else "agree"
    return f"; the two {agree}, with a difference of {fitted.told(difference)}"


def undrawn(names, found):
    """What a caption says of a road that has no line."""
    if LAW in names:
        return ""
    reason = "its fit does not pass its certificate" if found.get("lines") else "it is not determined here"
    if not found:
        reason = "this study does not count compute as 6 N B S"
    return f" The optimum of L(N, S_min) is not drawn, since {reason}."


def judged(fits, found):
    """The :class:`Finding`: whether p_N is the paper's and p_S hardly above 0, by the points.

    p_N is where its interval contains the paper's and lies above MOST; below MOST the claim fails. It fails
    too where neither is so and an interval rules one of them out; intervals too wide for either leave it
    open. It holds in full only where the other road, the optimum of L(N, S_min), disagrees on neither.
    """
    numbers = {}
    for quantity, (law, _) in PANELS.items():
        (numbers[quantity],) = wording.exponents(fits[law])
    paper = ", ".join(map(findings.published, numbers.values()))
    for law, _ in PANELS.values():
        if not wording.certified(fits[law]):
            return untold(paper, findings.uncertified(fits[law], fits[law]["formula"]))
    size, steps = numbers["N"], numbers["S"]
    near = size["low"] <= size["published"] <= size["high"]
    grows, rests = near and size["low"] > MOST, steps["high"] <= HARDLY
    neither = OPEN if near and steps["low"] <= HARDLY else FAILS
    verdict = FAILS if size["high"] < MOST else (neither, PARTLY, HOLDS)[grows + rests]
    apart = [
        f"{roads['symbol']} is {fitted.told(roads['law'])} by the optimum of L(N, S_min), which disagrees"
        for roads in map(found.get("exponents", {}).get, PANELS)
        if roads and not fitted.untold(roads["difference"]) and disagree(roads["difference"])
    ]
    if apart and verdict == HOLDS:
        verdict = PARTLY
    because = (
        f"the interval of p_N {place(size, size['published'])}, the paper's, and {place(size, MOST)}, half "
        f"of a budget; that of p_S ends at {wording.readable(steps['high'])}, where up to {HARDLY:g} is "
        "hardly any growth"
    )
    measured = "; ".join(map(findings.interval, numbers.values()))
    return Finding(paper, measured, verdict, "; ".join([because, *apart]))


def place(number, value):
    """Where a number's interval lies: 'contains 0.73', 'lies above 0.73'."""
    side = "lies above" if number["low"] > value else "lies below" if number["high"] < value else "contains"
    return f"{side} {value:g}"


def disagree(difference):
    """Whether 0 lies outside the interval of a difference."""
    return not difference["low"] <= 0 <= difference["high"]
