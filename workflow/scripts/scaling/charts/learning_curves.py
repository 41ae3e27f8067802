"""Learning curves of every size against compute, with their envelope and the law fitted to it.

Kaplan et al. 2020, figures 1 (left) and 2 (right).
"""

import math

import altair as alt

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.units import pf_days


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and curves and the fit L_C."""
    fit, sizes = fits["L_C"], {run["run"]: run for run in converged(tables["runs"], "size")}
    curves = [
        {
            "run": point["run"],
            "shape": wording.shape(sizes[point["run"]]),
            "N": sizes[point["run"]]["N"],
            "step": point["step"],
            "x": pf_days(point["flops"]),
            "y": point["test_loss"],
        }
        for point in tables["curves"]
        if point["run"] in sizes and math.isfinite(point["test_loss"])
    ]
    envelope = [
        {"run": run, "x": x, "y": y}
        for run, x, y in zip(fit["data"]["run"], fit["data"]["x"], fit["data"]["y"], strict=True)
    ]
    x_ends = theme.domain([point["x"] for point in curves], room=0.02)
    y_ends = theme.domain([point["y"] for point in curves])

    def x(field):
        return theme.compute_axis(field, x_ends)

    def y(field):
        return theme.log_axis(alt.Y, field, y_ends, theme.LOSS_TITLE, theme.plain_label)

    base = theme.chart(curves).encode(
        x=x("x"),
        y=y("y"),
        color=theme.N_colour([run["N"] for run in sizes.values()]),
        detail="run:N",
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("shape:N"),
            alt.Tooltip("N:Q", format=",d"),
            alt.Tooltip("step:Q", format=",d"),
            alt.Tooltip("x:Q", format=".3~e", title="PF-days"),
            alt.Tooltip("y:Q", format=".4f", title="nats per token"),
        ],
    )
    chart = alt.layer(
        base.mark_line(strokeWidth=1.4, aria=False),
        base.mark_point(filled=True, size=9, opacity=1, aria=False),
        *theme.fit_layers(fit, x, y, [("paper's slope", wording.exponent(fit)["published"])]),
        theme.chart(envelope)
        .mark_point(style="measured", size=26, filled=False, fillOpacity=0, strokeWidth=1.1, aria=False)
        .encode(x=x("x"), y=y("y")),
        *theme.exponents(x_ends),
    )
    smallest, largest = min(r["N"] for r in sizes.values()), max(r["N"] for r in sizes.values())
    caption = (
        f"Each line is one run ({len(sizes)} sizes, {wording.si(smallest)} to {wording.si(largest)} parameters); "
        f"rings mark the envelope, the lowest loss at each compute. {wording.finding(fit)}"
    )
    description = (
        f"Test loss in nats per token falling with training compute in PF-days, both logarithmic. {caption}"
    )
    data = (("learning curve", curves), ("envelope", envelope), ("fit", theme.band_rows(fit)))
    return Drawing(chart, description, caption, data)
