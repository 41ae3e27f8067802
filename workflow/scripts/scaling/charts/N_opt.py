"""The best model size for each compute budget. Kaplan et al. 2020, section 6.1 and figure 14 (left)."""

from functools import partial

import altair as alt

from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit N_opt."""
    fit = fits["N_opt"]
    points = fitted.points(fit, tables["runs"])
    x_ends = theme.domain([point["x"] for point in points])
    y_ends = theme.domain([point["y"] for point in points])
    x = partial(theme.compute_axis, ends=x_ends)
    y = partial(theme.log_axis, alt.Y, ends=y_ends, title=f"best {theme.N_TITLE}", label=wording.si)
    (exponent,) = wording.exponents(fit)
    comparisons = [other for other in exponent["comparisons"] if "Hoffmann" in other["source"]]
    chinchilla = [("Chinchilla's slope", other["value"]) for other in comparisons]
    marks = theme.chart(points).mark_point(style="measured", filled=True, size=50, opacity=1)
    chart = alt.layer(
        *fitted.layers(fit, x, y, x_ends, chinchilla),
        marks.encode(x=x("x"), y=y("y"), tooltip=fitted.tooltip(points, "PF-days", "best N")),
        *theme.exponents(x_ends),
    )
    caption = (
        "Points: for each compute, the lowest point of a parabola in ln N through the best sizes. "
        f"{wording.finding(fit)}"
    )
    description = f"Best model size rising with training compute in PF-days, both logarithmic. {caption}"
    return Drawing(chart, description, caption, (("measured", points), *fitted.series(fit)))
