"""Final loss on each kind of text against model size. Kaplan et al. 2020, figure 8 (left)."""

import math
from functools import partial

import altair as alt
import numpy as np

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.charts.transfer import END, apart, measured, nearest_first
from scaling.fitting.fit import FEWEST
from scaling.selections import INTERVAL
from scaling.trends import known, trend

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
    slopes = slopes_in_N(points, [TEST, *names])
    interval = f" and its {wording.percent(INTERVAL)} interval" if len(test) >= FEWEST else ""
    told = ", ".join(f"{name} {apart(slope, 4)}" for name, slope in slopes.items())
    caption = (
        f"Loss at the end of training. {theme.bars(points)}Slope of a straight line in log-log{interval}: "
        f"{told}."
    )
    description = f"Loss on the test split and on {len(names)} other sets falling with model size. {caption}"
    return Drawing(
        chart, description, caption, (("measured", points),), finding(slopes, parted(points, names))
    )


def slopes_in_N(points, names):
    """Slopes of ln loss in ln N with their intervals, by set, for sets with two sizes or more."""
    found = {}
    for name in names:
        rows = [point for point in points if point["set"] == name]
        N, loss = np.array([[point["x"], point["y"]] for point in rows], dtype=float).T
        found[name] = trend(N, np.log(loss))
    return {name: slope for name, slope in found.items() if math.isfinite(slope["value"])}


def parted(points, names):
    """How much the slope of each set lies above the test split's, {set: slope}: that of their ratio in N."""
    test = {point["run"]: point["y"] for point in points if point["set"] == TEST}
    ratios = [{**point, "y": point["y"] / test[point["run"]]} for point in points if point["set"] in names]
    return slopes_in_N(ratios, names)


def finding(slopes, apart_from_test):
    """The :class:`Finding` that loss on other text falls with model size as the test loss does.

    It holds if the whole interval of every set's slope lies below zero, in part if that of one does. If none
    does it fails where half of the slopes or more are flatter than the test split's by the whole interval,
    and is open otherwise. Where the test split's does not, the sizes are too few or too near to tell.
    """
    paper = "falls with N on every set, as the test loss does"
    sets = {name: slope for name, slope in slopes.items() if name != TEST and known(slope)}
    if not sets:
        return untold(paper, "too few sizes have losses on other text for the interval of a slope")
    if not slopes[TEST]["high"] < 0:
        reason = f"the test loss itself does not fall for sure, its slope is {apart(slopes[TEST], 4)}"
        return untold(paper, reason)
    falling = sum(slope["high"] < 0 for slope in sets.values())
    flatter = sum(difference["low"] > 0 for difference in apart_from_test.values())
    none = FAILS if 2 * flatter >= len(sets) else OPEN
    decided = "" if falling else f"; {flatter} are flatter than it by the whole interval"
    alike = sum(difference["low"] <= 0 <= difference["high"] for difference in apart_from_test.values())
    steepest, flattest = (pick(sets, key=lambda name: sets[name]["value"]) for pick in (min, max))
    spread = " to ".join(
        dict.fromkeys(wording.signed(sets[name]["value"], 4) for name in (steepest, flattest))
    )
    return Finding(
        paper,
        f"slopes {spread}, test split {apart(slopes[TEST], 4)}",
        HOLDS if falling == len(sets) else PARTLY if falling else none,
        f"the whole interval of the slope lies below zero for {falling} of "
        f"{wording.counted(len(sets), 'set')} of other text, from {steepest} {apart(sets[steepest], 4)} to "
        f"{flattest} {apart(sets[flattest], 4)}; the difference from the test split's has zero in its "
        f"interval for {alike} (a constant offset in nats makes a slope flatter){decided}",
    )
