"""Test loss against model size with L(N). Kaplan et al. 2020, equation 1.1 and figure 1 (right)."""

from functools import partial

import altair as alt

from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_N."""
    fit = fits["L_N"]
    points = fitted.points(fit, tables["runs"])
    ends = theme.domain([point["x"] for point in points])
    x = partial(theme.log_axis, alt.X, ends=ends, title=theme.N_TITLE, label=wording.si)
    y = theme.loss_axis(points)
    marks = theme.chart(points).mark_point(style="measured", filled=True, size=55, opacity=1)
    chart = alt.layer(
        *fitted.layers(fit, x, y, ends),
        theme.error_bars(points, x, y),
        marks.encode(x=x("x"), y=y("y"), tooltip=fitted.tooltip(points, "N", "nats per token")),
    )
    caption = f"{theme.bars(points)}{wording.finding(fit)}"
    description = f"Test loss falling with non-embedding parameters, both logarithmic. {caption}"
    return Drawing(
        chart, description, caption, (("measured", points), *fitted.series(fit)), findings.of_law(fit)
    )
