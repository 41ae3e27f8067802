"""Test loss against data for each model size, with L(D). Kaplan et al. 2020, equation 1.2 and figure 9."""

import math

import altair as alt

from scaling.charts import laws, theme, wording
from scaling.charts.drawing import Drawing, converged


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_D: the best test loss of each run of `data`."""
    fit = fits["L_D"]
    fitted = set(fit["data"]["run"])
    points = [
        theme.with_error(
            {
                **laws.described(run, run["run"]),
                "x": run["D"],
                "y": run["best_test_loss"],
                "in_fit": run["run"] in fitted,
            },
            run["best_test_loss"],
            run["best_test_loss_se"],
        )
        for run in converged(tables["runs"], "data")
        if math.isfinite(run["best_test_loss"])
    ]
    x_ends = theme.domain([point["x"] for point in points])
    y_ends = theme.domain([value for point in points for value in (point["y"], point.get("low", point["y"]))])

    def x(field):
        return theme.log_axis(alt.X, field, x_ends, theme.D_TITLE, wording.si)

    def y(field):
        return theme.log_axis(alt.Y, field, y_ends, theme.LOSS_TITLE, theme.plain_label)

    sizes = [point["N"] for point in points]
    base = theme.chart(points).encode(
        x=x("x"),
        y=y("y"),
        color=theme.N_colour(sizes),
        tooltip=laws.tooltip("training tokens", "nats per token"),
    )
    rings = theme.chart([point for point in points if point["in_fit"]])
    chart = alt.layer(
        *theme.fit_layers(fit, x, y, [("paper's slope", wording.exponent(fit)["published"])]),
        laws.error_bars(points, x, y),
        base.mark_line(strokeWidth=1.4, aria=False).encode(detail="N:Q"),
        base.mark_point(filled=True, size=55, opacity=1),
        rings.mark_point(
            style="measured", filled=False, fillOpacity=0, size=130, strokeWidth=1.3, aria=False
        ).encode(x=x("x"), y=y("y")),
    )
    caption = (
        f"Each line is one model size ({len(set(sizes))} sizes), trained until the test loss stopped falling; "
        f"bars: one standard error. Rings mark the points of the fit. {wording.finding(fit)}"
    )
    description = f"Test loss in nats per token falling with training tokens, both logarithmic. {caption}"
    return Drawing(chart, description, caption, (("measured", points), ("fit", theme.band_rows(fit))))
