"""Final loss on each kind of text against model size. Kaplan et al. 2020, figure 8 (left)."""

import math

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
    other = [{**point, "x": point["N"]} for point in final]
    test = {
        point["run"]: theme.with_error(
            {
                "run": point["run"],
                "N": point["N"],
                "step": point["step"],
                "set": TEST,
                "x": point["N"],
                "y": point["x"],
            },
            point["x"],
            errors[point["run"], point["step"]],
        )
        for point in final
    }
    points = [*test.values(), *other]
    x_ends = theme.domain([point["x"] for point in points])
    y_ends = theme.domain([value for point in points for value in (point["y"], point.get("low", point["y"]))])

    def x(field):
        return theme.log_axis(alt.X, field, x_ends, theme.N_TITLE, wording.si)

    def y(field):
        return theme.log_axis(alt.Y, field, y_ends, "loss (nats per token)", theme.plain_label)

    mark = theme.category("set:N", names, first=TEST)
    base = theme.chart(points).encode(x=x("x"), y=y("y"), color=mark["color"])
    bars = theme.chart([point for point in points if "low" in point])
    chart = alt.layer(
        base.mark_line(strokeWidth=1.4, aria=False),
        bars.mark_rule(strokeWidth=1, aria=False).encode(
            x=x("x"), y=y("low"), y2="high:Q", color=mark["color"]
        ),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            shape=mark["shape"],
            tooltip=[
                alt.Tooltip("set:N"),
                alt.Tooltip("run:N"),
                alt.Tooltip("N:Q", format=",d"),
                alt.Tooltip("y:Q", format=".3f", title="nats per token"),
            ],
        ),
    )
    slopes = [f"{name} {slope:.3f}" for name, slope in slopes_in_N(points, [TEST, *names])]
    caption = (
        "Loss at the end of training; bars: one standard error. Slope in log-log, a straight line through each "
        f"set's points: {', '.join(slopes)}."
    )
    description = (
        f"Loss on the test split and {len(names)} kinds of other text falling with model size. {caption}"
    )
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
