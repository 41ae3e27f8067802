"""Final loss on each kind of text against model size. Kaplan et al. 2020, figure 8 (left)."""

import math
from functools import partial

import altair as alt

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.transfer import END, measured, nearest_first

TEST = "test split"


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and evaluations."""
    final = [point for point in measured(tables) if point["stage"] == END]
    names = nearest_first(final)
    errors = {(e["run"], e["step"]): e["loss_se"] for e in tables["evaluations"] if e["set"] == "test"}
    test = {
        point["run"]: theme.with_error(
            {**theme.described(point), "set": TEST, "x": point["N"], "y": point["x"]},
            errors[point["run"], point["step"]],
        )
        for point in final
    }
    points = [*test.values(), *({**point, "x": point["N"]} for point in final)]
    ends = theme.domain([point["x"] for point in points])
    x = partial(theme.log_axis, alt.X, ends=ends, title=theme.N_TITLE, label=wording.si)
    y = theme.loss_axis(points, title="loss (nats per token)")
    mark = theme.category("set:N", names, first=TEST)
    base = theme.chart(points).encode(x=x("x"), y=y("y"), color=mark["color"])
    tooltip = ["set:N", *theme.run_tooltip(points), alt.Tooltip("y:Q", format=".3f", title="nats per token")]
    chart = alt.layer(
        base.mark_line(strokeWidth=1.4, aria=False),
        theme.error_bars(points, x, y).encode(color=mark["color"]),
        base.mark_point(filled=True, size=55, opacity=1).encode(shape=mark["shape"], tooltip=tooltip),
    )
    slopes = [f"{name} {wording.signed(slope, 3)}" for name, slope in slopes_in_N(points, [TEST, *names])]
    caption = (
        f"Loss at the end of training. {theme.bars(points)}Slope of a straight line in log-log: "
        f"{', '.join(slopes)}."
    )
    description = f"Loss on the test split and on {len(names)} other sets falling with model size. {caption}"
    return Drawing(chart, description, caption, (("measured", points),))


def slopes_in_N(points, names):
    """Pairs (set, slope by least squares of log loss in log N), for sets with two sizes or more."""
    found = []
    for name in names:
        logs = [(math.log(point["x"]), math.log(point["y"])) for point in points if point["set"] == name]
        mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
        spread = sum((x - mean_x) ** 2 for x, _ in logs)
        if spread:
            found.append((name, sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread))
    return found
