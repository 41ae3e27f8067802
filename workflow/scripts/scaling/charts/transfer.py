"""Loss on other text against test loss, during training and after. Kaplan et al. 2020, figure 8 (right)."""

import math

import altair as alt

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.offsets import ends, offsets
from scaling.provenance import UserError
from scaling.selections import INTERVAL
from scaling.trends import known

DURING, END = "during training", "end of training"
TELLING = 0.5
"""Nats per nat of test loss: an offset that may drift by more either way is not known to be constant."""


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and evaluations."""
    points = measured(tables)
    names = nearest_first(points)
    x_ends = [min(point["x"] for point in points) - 0.1, max(point["x"] for point in points) + 0.1]
    y_ends = [min(x_ends[0], *(point["y"] for point in points)), max(point["y"] for point in points) + 0.1]

    def x(field):
        axis = alt.Axis(title=theme.LOSS_TITLE, tickCount=6)
        return alt.X(field, type="quantitative").scale(domain=x_ends, nice=False).axis(axis)

    def y(field):
        axis = alt.Axis(title="loss on the other text (nats per token)", tickCount=7)
        return alt.Y(field, type="quantitative").scale(domain=y_ends, nice=False).axis(axis)

    mark = theme.category("set:N", names)
    legend = alt.Legend(title=None, orient="bottom", symbolType="circle", symbolFillColor=theme.MUTED)
    marks = theme.chart(points).encode(
        x=x("x"),
        y=y("y"),
        **mark,
        size=alt.Size("stage:O").scale(domain=[DURING, END], range=[16, 70]).legend(legend),
        tooltip=[
            "set:N",
            *theme.run_tooltip(points),
            alt.Tooltip("step:Q", format=",d"),
            alt.Tooltip("x:Q", format=".3f", title="test loss"),
            alt.Tooltip("y:Q", format=".3f", title="loss on this set"),
        ],
    )
    ends = [max(x_ends[0], y_ends[0]), min(x_ends[1], y_ends[1])]
    place = ends[0] + 0.75 * (ends[1] - ends[0])
    equal = theme.chart([{"end": end} for end in ends]).mark_line(
        style="reference", strokeDash=theme.DASHES[1], aria=False
    )
    label = theme.chart([{"end": place, "label": "equal loss"}]).mark_text(
        style="note", align="left", dx=4, dy=12, aria=False
    )
    chart = alt.layer(
        equal.encode(x=x("end"), y=y("end")),
        label.encode(x=x("end"), y=y("end"), text="label:N"),
        theme.error_bars(points, x, y).encode(color=mark["color"]),
        marks.mark_point(filled=True, opacity=0.9),
    )
    sizes = len({point["run"] for point in points})
    found = offsets(tables["runs"], tables["evaluations"])
    told = [f"{name} {apart(found[name]['mean'])}" for name in names if name in found]
    stages = "during training and at its end" if DURING in {p["stage"] for p in points} else "at its end"
    caption = (
        f"{wording.counted(sizes, 'run')}, each {stages}. {theme.bars(points)}Mean offset from the test loss "
        f"at the end, in nats per token, with its {wording.percent(INTERVAL)} interval: "
        f"{', '.join(told)}."
    )
    description = f"Loss on {len(names)} sets of other text against in-distribution test loss. {caption}"
    return Drawing(chart, description, caption, (("measured", points),), finding(found))


def finding(found):
    """The :class:`Finding` that loss on other text is the test loss and a constant, ``found`` as by offsets.

    An offset counts as constant where the interval of its drift contains zero and is narrow enough to tell,
    within TELLING either side; as drifting where it does not contain zero. The claim holds if every one is
    constant, in part if half of them or more are, and not if more than half drift.
    """
    paper, drifts = "constant", {name: o["drift"] for name, o in found.items() if known(o["drift"])}
    if not drifts:
        return untold(paper, "too few sizes have losses on other text for the interval of a drift")
    zero = [drift for drift in drifts.values() if drift["low"] <= 0 <= drift["high"]]
    constant = sum(max(-drift["low"], drift["high"]) <= TELLING for drift in zero)
    wide, drifting, sets = len(zero) - constant, len(drifts) - len(zero), len(drifts)
    if 2 * constant >= sets:
        verdict = HOLDS if constant == sets else PARTLY
    else:
        verdict = FAILS if 2 * drifting > sets else OPEN
    largest = max(drifts, key=lambda name: abs(drifts[name]["value"]))
    ends = [pick(drift["value"] for drift in drifts.values()) for pick in (min, max)]
    spread = " to ".join(dict.fromkeys(wording.signed(end, 3) for end in ends))
    vague = f", for {wide} it is wider than ±{TELLING:g}, too wide to tell" if wide else ""
    return Finding(
        paper,
        f"drifts by {spread} nats per nat of test loss",
        verdict,
        f"the interval of the drift contains zero for {len(zero)} of {wording.counted(sets, 'set')} of other "
        f"text{vague}; the largest drift, of {largest}, is {apart(drifts[largest], 3)} nats per nat of test "
        "loss",
    )


def measured(tables):
    """One row per size, snapshot and transfer set: test loss x, loss y and its error's ends, stage, step."""
    sizes = {run["run"]: run for run in converged(tables["runs"], "size")}
    found = [e for e in tables["evaluations"] if e["run"] in sizes and math.isfinite(e["loss"])]
    test = {(e["run"], e["step"]): e["loss"] for e in found if e["set"] == "test"}
    last = ends(found)
    points = [
        theme.with_error(
            {
                **theme.described(sizes[e["run"]]),
                "step": e["step"],
                "set": e["set"],
                "stage": END if (e["step"] or 0) == last.get(e["run"]) else DURING,
                "x": test[e["run"], e["step"]],
                "y": e["loss"],
            },
            e["loss_se"],
        )
        for e in found
        if e["set"] != "test" and (e["run"], e["step"]) in test
    ]
    if not points:
        remedy = "add one to corpus.transfer in the config, or to finished.transfer"
        raise UserError(f"no run was evaluated on a transfer set: {remedy}")
    return sorted(points, key=lambda point: (point["N"], point["step"] or 0, point["set"]))


def apart(offset, places=2):
    """An offset in words: '+0.28 (+0.25 to +0.31)'; the interval only where there is one."""
    value, low, high = (wording.signed(offset[key], places) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})" if math.isfinite(offset["low"]) else value


def nearest_first(points):
    """Names of the sets, by the lowest loss the study reaches on each."""
    lowest = {}
    for point in points:
        lowest[point["set"]] = min(point["y"], lowest.get(point["set"], math.inf))
    return sorted(lowest, key=lowest.get)
