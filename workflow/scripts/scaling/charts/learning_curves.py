"""Learning curves of every size against compute, with their envelope and the law fitted to it.

Kaplan et al. 2020, figures 1 (left) and 2 (right).
"""

import math
from functools import partial

import altair as alt

from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.units import pf_days


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and curves and the fit L_C."""
    fit, sizes = fits["L_C"], {run["run"]: run for run in converged(tables["runs"], "size", "long")}
    counts = sorted({run["N"] for run in sizes.values()})
    curves = [
        {
            **theme.described(sizes[point["run"]]),
            "step": point["step"],
            "x": pf_days(point["flops"]),
            "y": point["test_loss"],
        }
        for point in tables["curves"]
        if point["run"] in sizes and math.isfinite(point["test_loss"])
    ]
    envelope = fitted.points(fit, tables["runs"])
    x_ends = theme.domain([point["x"] for point in curves], room=0.02)
    x = partial(theme.compute_axis, ends=x_ends)
    y = theme.loss_axis(curves)
    base = theme.chart(curves).encode(
        x=x("x"),
        y=y("y"),
        detail="run:N",
        tooltip=[
            *theme.run_tooltip(curves),
            alt.Tooltip("step:Q", format=",d"),
            alt.Tooltip("x:Q", format=".3~e", title="PF-days"),
            alt.Tooltip("y:Q", format=".4f", title="nats per token"),
        ],
    )
    beads = theme.chart(envelope).mark_point(style="bead", filled=True, size=12, opacity=1, aria=False)
    chart = alt.layer(
        base.mark_line(strokeWidth=1.4, aria=False).encode(stroke=theme.N_colour(counts, alt.Stroke)),
        base.mark_point(filled=True, size=9, opacity=1, aria=False).encode(fill=theme.N_colour(counts)),
        *fitted.layers(fit, x, y, x_ends),
        beads.encode(x=x("x"), y=y("y")),
        *theme.exponents(x_ends),
    ).resolve_legend(stroke="independent")
    caption = (
        f"Each line is one of {len(sizes)} runs of {len(counts)} sizes, {wording.si(counts[0])} to "
        f"{wording.si(counts[-1])} parameters. Beads mark the envelope, "
        f"the lowest loss for each compute. {wording.finding(fit)}"
    )
    description = f"Test loss falling with training compute in PF-days, both logarithmic. {caption}"
    data = (("learning curve", curves), ("envelope", envelope), *fitted.series(fit))
    return Drawing(chart, description, caption, data, findings.of_law(fit))
