"""Loss on other text against test loss, during training and at its end. Kaplan et al. 2020, figure 8 (right)."""

import math

import altair as alt

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.provenance import UserError

DURING, END = "during training", "end of training"


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and evaluations."""
    points = measured(tables)
    names = nearest_first(points)
    x_ends = [min(point["x"] for point in points) - 0.1, max(point["x"] for point in points) + 0.1]
    y_ends = [min(x_ends[0], *(point["y"] for point in points)), max(point["y"] for point in points) + 0.1]
    x = alt.X("x:Q").scale(domain=x_ends, nice=False).axis(alt.Axis(title=theme.LOSS_TITLE, tickCount=6))
    y = alt.Y("y:Q").scale(domain=y_ends, nice=False)
    y = y.axis(alt.Axis(title="loss on the other text (nats per token)", tickCount=7))
    stage = alt.Size("stage:N").scale(domain=[DURING, END], range=[16, 70])
    stage = stage.legend(
        alt.Legend(title=None, orient="bottom", symbolType="circle", symbolFillColor=theme.MUTED)
    )
    marks = theme.chart(points).encode(
        x=x,
        y=y,
        **theme.category("set:N", names),
        size=stage,
        tooltip=[
            alt.Tooltip("set:N"),
            alt.Tooltip("run:N"),
            alt.Tooltip("N:Q", format=",d"),
            alt.Tooltip("step:Q", format=",d"),
            alt.Tooltip("x:Q", format=".3f", title="test loss"),
            alt.Tooltip("y:Q", format=".3f", title="loss on this set"),
        ],
    )
    bars = theme.chart([point for point in points if "low" in point]).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q", color=theme.category("set:N", names)["color"]
    )
    ends = [max(x_ends[0], y_ends[0]), min(x_ends[1], y_ends[1])]
    equal = theme.chart([{"x": end, "y": end} for end in ends]).encode(x=x, y=y)
    place = ends[0] + 0.75 * (ends[1] - ends[0])
    label = theme.chart([{"x": place, "y": place, "label": "equal loss"}]).encode(x=x, y=y, text="label:N")
    chart = alt.layer(
        equal.mark_line(style="reference", strokeDash=theme.DASHES[1], aria=False),
        label.mark_text(style="note", align="left", dx=4, dy=12, aria=False),
        bars.mark_rule(strokeWidth=1, aria=False),
        marks.mark_point(filled=True, opacity=0.9),
    )
    offsets = [f"{name} {offset:+.2f}" for name, offset in mean_offsets(points, names)]
    caption = (
        f"{wording.counted(len({point['run'] for point in points}), 'size')}, each at snapshots during training "
        "(small marks) and at its end (large); bars: one standard error. Mean offset from the test loss at the end "
        f"of training, nats per token: {', '.join(offsets)}."
    )
    description = f"Loss on {len(names)} kinds of other text against in-distribution test loss. {caption}"
    return Drawing(chart, description, caption, (("measured", points),))


def measured(tables):
    """One row per size, snapshot and transfer set: test loss x, loss y with its error's ends, stage, N, step."""
    sizes = {run["run"]: run for run in converged(tables["runs"], "size")}
    found = [e for e in tables["evaluations"] if e["run"] in sizes and math.isfinite(e["loss"])]
    test = {(e["run"], e["step"]): e["loss"] for e in found if e["set"] == "test"}
    last = {run: max((step for name, step in test if name == run), default=None) for run in sizes}
    points = [
        theme.with_error(
            {
                "run": e["run"],
                "N": sizes[e["run"]]["N"],
                "step": e["step"],
                "set": e["set"],
                "stage": END if e["step"] == last[e["run"]] else DURING,
                "x": test[e["run"], e["step"]],
                "y": e["loss"],
            },
            e["loss"],
            e["loss_se"],
        )
        for e in found
        if e["set"] != "test" and (e["run"], e["step"]) in test
    ]
    if not points:
        raise UserError("no run was evaluated on a transfer set: add one to corpus.transfer in the config")
    return sorted(points, key=lambda point: (point["N"], point["step"], point["set"]))


def mean_offsets(points, names):
    """Pairs (set, mean over the sizes of its loss less the test loss at the end of training)."""
    offsets = {
        name: [p["y"] - p["x"] for p in points if p["set"] == name and p["stage"] == END] for name in names
    }
    return [(name, sum(values) / len(values)) for name, values in offsets.items() if values]


def nearest_first(points):
    """Names of the sets, by the lowest loss the study reaches on each."""
    return sorted(
        {point["set"] for point in points},
        key=lambda name: min(point["y"] for point in points if point["set"] == name),
    )
