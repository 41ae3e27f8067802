"""The best model size for each compute budget. Kaplan et al. 2020, section 6.1 and figure 14 (left)."""

import altair as alt

from scaling.charts import laws, theme, wording
from scaling.charts.drawing import Drawing

CHINCHILLA = 0.50
"""Exponent of N_opt in compute of Hoffmann et al. 2022 (first approach)."""


def draw(tables, fits):
    """The :class:`Drawing`, from the fit N_opt."""
    fit = fits["N_opt"]
    points = laws.points(fit, tables["runs"])
    x_ends = theme.domain([point["x"] for point in points])
    y_ends = theme.domain([point["y"] for point in points])

    def x(field):
        return theme.compute_axis(field, x_ends)

    def y(field):
        return theme.log_axis(alt.Y, field, y_ends, "best size N (non-embedding parameters)", wording.si)

    slopes = [("paper's slope", wording.exponent(fit)["published"]), ("Chinchilla's slope", CHINCHILLA)]
    chart = alt.layer(
        *theme.fit_layers(fit, x, y, slopes),
        theme.chart(points)
        .mark_point(style="measured", filled=True, size=50, opacity=1)
        .encode(x=x("x"), y=y("y"), tooltip=laws.tooltip("PF-days", "best N")),
        *theme.exponents(x_ends),
    )
    caption = (
        f"Points: the size on the envelope of the learning curves at each compute. {wording.finding(fit)}"
    )
    description = f"Best model size rising with training compute in PF-days, both logarithmic. {caption}"
    return Drawing(chart, description, caption, (("measured", points), ("fit", theme.band_rows(fit))))
