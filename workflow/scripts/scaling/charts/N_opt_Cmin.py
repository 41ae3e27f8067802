"""Best size and fewest steps for each least compute, by two roads. Kaplan et al. 2020, figure 14."""

from functools import partial

import altair as alt

from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing

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


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fits N_opt_Cmin, S_min and allocation."""
    found = fitted.allocated(fits)
    points, lines = [], []
    for quantity, (law, _) in PANELS.items():
        rows = fitted.points(fits[law], tables["runs"])
        points += [{"quantity": quantity, **row} for row in rows]
        lines += curves(quantity, fits[law], found.get("lines"), theme.domain([row["x"] for row in rows]))
    names = [name for name in LINES if any(line["line"] == name for line in lines)]
    panels = [
        panel(
            title, *([row for row in rows if row["quantity"] == quantity] for rows in (points, lines)), names
        )
        for quantity, (_, title) in PANELS.items()
    ]
    told = [exponents(quantity, fits, found) for quantity in PANELS]
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
    return Drawing(chart, description, caption, (("measured", points), *([("fit", lines)] if lines else [])))


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


def panel(title, points, lines, names):
    """One quantity against C_min: its ``points`` and ``lines``; ``names`` are the lines of both panels."""
    x_ends = theme.domain([point["x"] for point in points])
    y_ends = theme.domain([row["y"] for row in points + lines])
    room = max(1.0, (LEAST_SPAN * y_ends[0] / y_ends[1]) ** 0.5)
    y_ends = [y_ends[0] / room, y_ends[1] * room]
    x = partial(theme.least_compute_axis, ends=x_ends)
    y = partial(theme.log_axis, alt.Y, ends=y_ends, title=title, label=wording.si)
    scale = alt.Scale(domain=names, range=[COLOURS[name] for name in names])
    where = {"x": x("x"), "y": y("y"), "strokeDash": fitted.dashes("line:N", names, LINES)}
    drawn = []
    for name in names:
        rows = [row for row in lines if row["line"] == name]
        area = theme.chart([row for row in rows if "low" in row]).mark_area(
            style="band", color=COLOURS[name], clip=True, aria=False
        )
        line = theme.chart(rows).mark_line(
            style="fit", strokeWidth=1.1 if name == SLOPE else 1.9, clip=True, aria=False
        )
        drawn += [area.encode(x=x("x"), y=y("low"), y2="high:Q")] if name != SLOPE else []
        drawn.append(line.encode(**where, stroke=alt.Stroke("line:N", scale=scale)))
    marks = theme.chart(points).mark_point(style="measured", filled=True, size=30, opacity=1)
    return alt.layer(
        *drawn,
        marks.encode(x=x("x"), y=y("y"), tooltip=fitted.tooltip(points, "PF-days", title)),
        *theme.least_exponents(x_ends),
    ).properties(width=215, height=230)


def exponents(quantity, fits, found):
    """An exponent by both roads and how they compare, beside the paper's, in words."""
    fit = fits[PANELS[quantity][0]]
    (exponent,) = wording.exponents(fit)
    along = (
        fitted.told(exponent | {"certified": True})
        if wording.certified(fit)
        else f"not told, since its fit does not pass its certificate: {wording.reasons(fit)}"
    )
    said = (
        f"{exponent['symbol']}, published {wording.published(exponent['published'])}: by the points {along}"
    )
    roads = found.get("exponents", {}).get(quantity)
    if not roads:
        return f"{said}."
    return (
        f"{said}; by the optimum of L(N, S_min) {fitted.told(roads['law'])}{agreement(roads['difference'])}."
    )


def agreement(difference):
    """Whether two roads agree: whether 0 lies within the interval of their difference; "" if it has none."""
    if fitted.untold(difference):
        return ""
    agree = difference["low"] <= 0 <= difference["high"]
    return f"; the two {'agree' if agree else 'disagree'}, with a difference of {fitted.told(difference)}"


def undrawn(names, found):
    """What a caption says of a road that has no line."""
    if LAW in names:
        return ""
    reason = "its fit does not pass its certificate" if found.get("lines") else "it is not determined here"
    if not found:
        reason = "this study does not count compute as 6 N B S"
    return f" The optimum of L(N, S_min) is not drawn, since {reason}."
