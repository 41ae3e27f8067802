"""Test loss against data for each size, with L(D). Kaplan et al. 2020, eq. 1.2 and figure 1 (middle)."""

from functools import partial

import altair as alt

from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing, converged


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_D: the best test loss of each run of `data`."""
    fit, runs = fits["L_D"], converged(tables["runs"], "data")
    points = [
        theme.with_error(
            {**theme.described(run), "x": run["D"], "y": run["best_test_loss"]}, run["best_test_loss_se"]
        )
        for run in runs
    ]
    ends = theme.domain([point["x"] for point in points])
    x = partial(theme.log_axis, alt.X, ends=ends, title=theme.D_TITLE, label=wording.si)
    y = theme.loss_axis(points)
    sizes = {point["N"] for point in points}
    tooltip = fitted.tooltip(points, "D", "nats per token")
    base = theme.chart(points).encode(x=x("x"), y=y("y"), tooltip=tooltip)
    lines = base.mark_line(strokeWidth=1.4, aria=False)
    rings = theme.chart(fitted.points(fit, tables["runs"])).mark_point(
        style="measured", filled=False, fillOpacity=0, size=130, strokeWidth=1.3, aria=False
    )
    chart = alt.layer(
        *fitted.layers(fit, x, y, ends),
        theme.error_bars(points, x, y),
        lines.encode(stroke=theme.N_colour(sizes, alt.Stroke), detail="N:Q"),
        base.mark_point(filled=True, size=55, opacity=1).encode(fill=theme.N_colour(sizes)),
        rings.encode(x=x("x"), y=y("y")),
    ).resolve_legend(stroke="independent")
    unseen = "; the most data were seen less than once" if any(run["epochs"] < 1 for run in runs) else ""
    caption = (
        f"Each line is one of {wording.counted(len(sizes), 'model size')} at its lowest test loss{unseen}. "
        f"Rings: the lowest at each D, the points of the law. {theme.bars(points)}{wording.finding(fit)}"
    )
    description = f"Test loss falling with training tokens, both logarithmic. {caption}"
    return Drawing(
        chart, description, caption, (("measured", points), *fitted.series(fit)), findings.of_law(fit)
    )
