"""Loss on other text against depth at about one size. Kaplan et al. 2020, figure 24."""

import math

import altair as alt

from scaling.charts import beside, theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.comparison import beyond, groups, slope
from scaling.offsets import ends
from scaling.provenance import UserError
from scaling.rows import finite

PAPER = "no dependence on depth"
"""Kaplan et al. 2020, appendix D.8 and figure 24: loss on other text depends on test loss alone."""
TEST = "test split"
WIDTH = 1.15
"""Factor within which sizes count as one."""
SMALL = 0.05
"""Nats below which an effect of depth is small: by as much runs differ from one to the next (ibid., D.6)."""
UNSEEN = 2 * SMALL
"""Half-width in nats of an interval that is too wide to tell."""


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and evaluations: a panel for each size."""
    rows = measured(tables)
    names = nearest_first(rows)
    depths = sorted({row["x"] for row in rows})
    sizes = sorted({row["group"] for row in rows})
    y = theme.loss_axis(rows, title="loss (nats per token)")
    mark = theme.category("set:N", names, first=TEST)
    panels = [panel([row for row in rows if row["group"] == size], depths, y, mark) for size in sizes]
    found = {name: effect(rows, name) for name in names}
    runs = len({row["run"] for row in rows})
    caption = (
        f"{wording.counted(runs, 'run')} of {wording.counted(len(sizes), 'size')}, within "
        f"{wording.percent(round(WIDTH - 1, 3))} each, at the end of training. {theme.bars(rows)}"
        f"{told(found, itself(rows), depths)}"
    )
    description = (
        f"Loss on the test split and on {wording.counted(len(names), 'other set')} against depth, both "
        f"logarithmic, a panel for each size. {caption}"
    )
    chart = alt.concat(*panels, columns=len(panels))
    return Drawing(chart, description, caption, (("measured", rows),), finding(found, depths))


def measured(tables):
    """A row for each run of `depth` and set: depth x, loss y and its error's ends, group of sizes.

    ``group`` is the mean N of the group, ``test`` the run's loss on the test split. Raises UserError where
    no two depths of about one size were evaluated on other text.
    """
    runs = [run for run in converged(tables["runs"], "depth") if beside.of(run, "transformer")]
    kept = {run["run"] for run in runs}
    found = [row for row in tables["evaluations"] if row["run"] in kept and finite(row["loss"])]
    last = ends(found)
    final = {}
    for row in found:
        if last.get(row["run"]) == (row["step"] or 0):
            final.setdefault(row["run"], {})[row["set"]] = row
    runs = [run for run in runs if run["run"] in final]
    rows = []
    for group in groups([run["N"] for run in runs], WIDTH):
        members = [runs[index] for index in group]
        if len({run["n_layer"] for run in members}) > 1:
            rows += of_group(members, final)
    if not rows:
        raise UserError(
            "experiment depth holds no two depths of about one size that were evaluated on other text: "
            "add shapes to its grid, or a set to corpus.transfer"
        )
    return rows


def of_group(members, final):
    """The rows of the runs of one group; ``final`` are evaluations by run and set."""
    group = round(sum(run["N"] for run in members) / len(members))
    return [
        theme.with_error(
            {
                **theme.described(run),
                "group": group,
                "set": TEST if name == "test" else name,
                "x": run["n_layer"],
                "y": row["loss"],
                "test": final[run["run"]]["test"]["loss"],
            },
            row["loss_se"],
        )
        for run in members
        for name, row in final[run["run"]].items()
    ]


def nearest_first(rows):
    """Names of the sets, the test split left out, by the lowest loss on each."""
    names = {row["set"] for row in rows} - {TEST}
    return sorted(names, key=lambda name: min(row["y"] for row in rows if row["set"] == name))


def panel(rows, depths, y, mark):
    """One size's losses against depth."""
    reach = theme.domain(depths, room=0.1)

    def x(field):
        scale = alt.X(field, type="quantitative").scale(type="log", domain=reach, nice=False)
        return scale.axis(alt.Axis(title="layers", grid=False, **theme.labelled(depths, str)))

    base = theme.chart(rows).encode(x=x("x"), y=y("y"), color=mark["color"])
    tooltip = [
        "set:N",
        *theme.run_tooltip(rows),
        alt.Tooltip("x:Q", title="layers"),
        alt.Tooltip("y:Q", format=".3f", title="nats per token"),
        alt.Tooltip("test:Q", format=".3f", title="test loss"),
    ]
    return alt.layer(
        base.mark_line(strokeWidth=1.4, aria=False),
        theme.error_bars(rows, x, y).encode(color=mark["color"]),
        base.mark_point(filled=True, size=50, opacity=1).encode(shape=mark["shape"], tooltip=tooltip),
    ).properties(width=112, height=240, title=f"N about {wording.si(rows[0]['group'], 2)}")


def effect(rows, name):
    """By how much the loss on set ``name`` moves at one test loss from the fewest layers to the most.

    {value, low, high, runs} in nats: the slope in ln depth beyond a straight line in the test loss, over runs
    of all sizes, times the range of depths. The test loss itself moves with depth, and loss on other text
    moves with the test loss, by less or more than it; neither is to count. None where runs are too few. The
    error comes from the scatter of runs and not from loss_se, most of which is common to runs that were
    evaluated on the same text.
    """
    members = [row for row in rows if row["set"] == name]
    layers = [math.log(row["x"]) for row in members]
    return over(layers, beyond(layers, [row["y"] for row in members], [row["test"] for row in members]))


def itself(rows):
    """By how much the test loss moves at one size from the fewest layers to the most, as :func:`effect`."""
    members = [row for row in rows if row["set"] == TEST]
    layers = [math.log(row["x"]) for row in members]
    return over(layers, slope(layers, [row["y"] for row in members], [row["group"] for row in members]))


def over(layers, found):
    """A slope in ln depth, if there is one, as the change over the range of ``layers``, ln depths."""
    span = max(layers) - min(layers)
    return found and found | {key: found[key] * span for key in ("value", "low", "high")}


def moves(effect):
    """Whether depth moves the loss on a set: by more than SMALL, and its interval excludes zero.

    None where the interval contains zero and is too wide to tell.
    """
    if effect["low"] <= 0 <= effect["high"]:
        return None if effect["high"] - effect["low"] > 2 * UNSEEN else False
    return abs(effect["value"]) > SMALL


def told(found, test, depths):
    """The effect of depth on each set and on the ``test`` loss, in sentences."""
    known = [f"{name} {nats(effect)}" for name, effect in found.items() if effect]
    if not known:
        return "Runs are too few to tell how loss on other text goes with depth."
    span = f"From {depths[0]} to {depths[-1]} layers"
    first = f"{span} the test loss changes by {nats(test)} nats at one size. " if test else ""
    return (
        f"{first}{span} loss on other text changes, at one test loss, in nats per token with its "
        f"{beside.interval_words()}: {', '.join(known)}."
    )


def nats(effect):
    """An effect with its interval: '+0.02 (−0.01 to +0.05)'."""
    value, low, high = (wording.signed(effect[key], 2) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def finding(found, depths):
    """The :class:`Finding`, of the effects of depth by set.

    A set is steady where the interval of its effect contains zero or the effect is at most SMALL. HOLDS if
    every set is, PARTLY if half of them or more are, FAILS if fewer; OPEN where the interval of a set that
    contains zero is wider than UNSEEN either side, or unknown, and the sets that are told do not fail.
    """
    if any(effect is None for effect in found.values()):
        return untold(PAPER, "runs of several depths at one size are too few to know the error of a slope")
    moved = {name: moves(effect) for name, effect in found.items()}
    steady = sum(value is False for value in moved.values())
    unknown, sets = sum(value is None for value in moved.values()), wording.counted(len(moved), "set")
    low, high = min(found.values(), key=lambda e: e["value"]), max(found.values(), key=lambda e: e["value"])
    least, most = (wording.signed(e["value"], 2) for e in (low, high))
    span = f"from {depths[0]} to {depths[-1]} layers"
    measured = (
        f"{least} to {most} nats per token {span}" if len(found) > 1 else f"{nats(low)} nats per token {span}"
    )
    if 2 * (steady + unknown) < len(moved):
        verdict = FAILS
    elif unknown:
        verdict = OPEN
    else:
        verdict = HOLDS if steady == len(moved) else PARTLY
    wide = f"; of {unknown} the interval reaches further than {UNSEEN:g} either side" if unknown else ""
    largest = max(found, key=lambda name: abs(found[name]["value"]))
    because = (
        f"for {steady} of {sets} the loss at one test loss does not move with depth: {span} its change has "
        f"an interval that contains zero or is at most {SMALL:g} nats{wide}; the largest is that of "
        f"{largest}, {nats(found[largest])}"
    )
    return Finding(PAPER, measured, verdict, because)
