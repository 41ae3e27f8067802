"""Test loss against model size with L(N). Kaplan et al. 2020, equation 1.1 and figure 1 (right)."""

import math

import altair as alt

from scaling.charts import laws, theme, wording
from scaling.charts.drawing import Drawing


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_N."""
    fit = fits["L_N"]
    points = laws.points(fit, tables["runs"])
    reasons = {item["run"]: item["reason"] for item in fit["excluded"]}
    excluded = [
        {
            **laws.described(run, run["run"]),
            "x": run["N"],
            "y": run["test_loss"],
            "reason": reasons[run["run"]],
        }
        for run in tables["runs"]
        if run["run"] in reasons and "size" in run["experiments"] and math.isfinite(run["test_loss"])
    ]
    shown = points + excluded
    x_ends = theme.domain([point["x"] for point in shown])
    y_ends = theme.domain([value for point in shown for value in (point["y"], point.get("low", point["y"]))])

    def x(field):
        return theme.log_axis(alt.X, field, x_ends, theme.N_TITLE, wording.si)

    def y(field):
        return theme.log_axis(alt.Y, field, y_ends, theme.LOSS_TITLE, theme.plain_label)

    hint = laws.tooltip("N", "nats per token")
    layers = [
        *theme.fit_layers(fit, x, y, [("paper's slope", wording.exponent(fit)["published"])]),
        laws.error_bars(points, x, y),
        theme.chart(points)
        .mark_point(style="measured", filled=True, size=55, opacity=1)
        .encode(x=x("x"), y=y("y"), tooltip=hint),
    ]
    if excluded:
        crosses = theme.chart(excluded).mark_point(
            style="excluded", shape=theme.CROSS, size=70, filled=False, opacity=1
        )
        layers.append(crosses.encode(x=x("x"), y=y("y"), tooltip=[*hint, alt.Tooltip("reason:N")]))
    left_out = f" Crosses: {wording.counted(len(excluded), 'run')} left out of the fit." if excluded else ""
    caption = f"Bars: one standard error of the test loss. {wording.finding(fit)}{left_out}"
    description = (
        f"Test loss in nats per token falling with non-embedding parameters, both logarithmic. {caption}"
    )
    data = (("measured", points), ("left out of the fit", excluded), ("fit", theme.band_rows(fit)))
    return Drawing(alt.layer(*layers), description, caption, data)
