"""Test loss against model size at fixed compute and at fixed steps. Kaplan et al. 2020, figure 11."""

import altair as alt
import numpy as np

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, uncertified, untold
from scaling.charts.steps_vs_N import FEWEST, adjusted, adjustment, layers, levels, paths, slope, told
from scaling.laws import LAWS, SEED_NOISE, least_compute, least_steps, loss_at_compute
from scaling.provenance import UserError
from scaling.units import pf_days

LINE_POINTS = 60
PANELS = {"C_min": "least compute (PF-days)", "S_min": "least steps"}
"""What is fixed in each panel, and the title of its colours."""


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and curves and the fits B_crit and L_NSmin."""
    fit, critical = fits["L_NSmin"], adjustment(fits["B_crit"])
    curves = paths(tables)
    points = {fixed: measured(curves, critical, fixed) for fixed in PANELS}
    every = [row for rows in points.values() for row in rows]
    if not every:
        raise UserError(
            f"no compute was reached by {FEWEST} sizes past their warm-up: add sizes to experiment size"
        )
    lines = {
        fixed: by_law(fit, rows, fixed) if wording.certified(fit) else [] for fixed, rows in points.items()
    }
    drawn = [row for rows in lines.values() for row in rows]
    panels = [panel(points[fixed], lines[fixed], every, fixed) for fixed in PANELS if points[fixed]]
    law = " Lines: the law, S_min being C_min / (6 N B_crit(L)) where C_min is fixed." if drawn else ""
    caption = (
        f"Points: the lowest loss of any run of a size at fixed C_min (left) and at fixed S_min (right), "
        "interpolated on learning curves; "
        f"{adjusted(fits, [row['y'] for row in every])}{law} {told(fit)}"
    )
    description = (
        "Test loss against model size, both logarithmic, with least compute fixed and with least steps "
        f"fixed. {caption}"
    )
    chart = alt.concat(*panels, columns=len(panels)).resolve_scale(fill="independent", stroke="independent")
    data = (("measured", every), *([("fit", drawn)] if drawn else []))
    return Drawing(chart, description, caption, data, judged(fits["B_crit"], points))


def measured(curves, critical, fixed):
    """Rows of run, N, what is fixed, x and y: for each size and value the lowest loss of its runs.

    Where B_crit rises faster than steps do, S_min falls along a curve; a loss then counts from the fewest
    S_min at which a curve was as low.
    """
    spans = [(run, along(run, steps, loss, critical, fixed), loss) for run, steps, loss in curves]
    rows = []
    for value in levels([(run["N"], reach[0], reach[-1]) for run, reach, _ in spans], digits=1):
        found = {}
        for run, reach, path in spans:
            if reach[0] <= np.log(value) <= reach[-1]:
                loss = np.exp(np.interp(np.log(value), reach, path))
                found[run["N"]] = min(found.get(run["N"], (np.inf,)), (loss, run), key=lambda pair: pair[0])
        if len(found) >= FEWEST:
            rows += [
                {**theme.described(run), "fixed": fixed, "value": value, "x": N, "y": float(loss)}
                for N, (loss, run) in sorted(found.items())
            ]
    return rows


def along(run, steps, loss, critical, fixed):
    """ln of C_min (PF-days) or of S_min, as ``fixed`` says, along a curve of ln steps and ln loss."""
    S, B, B_crit = np.exp(steps), run["B"], critical(np.exp(loss))
    if fixed == "S_min":
        least = least_steps(S, B, B_crit)
    else:
        least = least_compute(pf_days(run["flops_per_token_6N"] * B * S), B, B_crit)
    return np.log(np.minimum.accumulate(least[::-1])[::-1])


def by_law(fit, points, fixed):
    """Rows of what is fixed, x and y of the law at each value of ``points``, between its sizes."""
    parameters = {name: found["value"] for name, found in fit["parameters"].items()}
    rows = []
    for value in sorted({row["value"] for row in points}):
        sizes = [row["x"] for row in points if row["value"] == value]
        N = np.geomspace(min(sizes), max(sizes), LINE_POINTS)
        if fixed == "S_min":
            losses = LAWS["L_NSmin"].predict({"N": N, "S_min": value}, parameters)
        else:
            losses = loss_at_compute(N, value, **parameters, **fit["adjusted_by"])
        rows += [
            {"fixed": fixed, "value": value, "x": x, "y": y}
            for x, y in zip(N.tolist(), losses.tolist(), strict=True)
        ]
    return rows


def panel(points, lines, every, fixed):
    """The chart with one thing fixed; ``every`` point decides its axes, so that the panels share them."""
    x_ends = theme.domain([row["x"] for row in every], room=0.08)
    x = theme.log_axis(alt.X, "x", x_ends, theme.N_TITLE, wording.si)
    y = theme.loss_axis(every)("y")
    title = f"{fixed}: {PANELS[fixed]}"
    return layers(points, lines, x, y, colour(points, title, fixed), "value", [
        alt.Tooltip("value:Q", format=".3~g", title=title),
        alt.Tooltip("y:Q", format=".4~g", title="test loss"),
    ])  # fmt: skip


def colour(points, title, fixed):
    """Colour by what is fixed, from little (dark) to much (light): a function from a channel to it."""
    values = sorted({row["value"] for row in points})
    ends = [values[0], values[-1]] if len(values) > 1 else [values[0] / 2, values[0] * 2]

    def encoding(channel):
        legend = None
        if channel is alt.Fill:
            legend = alt.Legend(
                **{"title": title, "orient": "top", "direction": "horizontal", "columns": 3},
                **{"type": "symbol", "symbolType": "circle", "symbolStrokeWidth": 0},
                **theme.labelled(values, wording.si if fixed == "S_min" else tens),
            )
        return channel("value:Q").scale(type="log", domain=ends, range=theme.OTHER_RAMP).legend(legend)

    return encoding


def tens(value):
    """A round number as short as a legend needs it: '2·10⁻¹⁰'."""
    return wording.scientific(value, 1).replace(" × ", "·")


def judged(fit, points):
    """The :class:`Finding`: whether one size is best at each compute and the largest at each number of steps.

    ``points`` are those of each panel, adjusted by ``fit``. It holds where both are so at every value, and
    fails where at most numbers of steps the largest size does worse than another. A best size at an end of
    those measured tells nothing, since better ones may lie beyond.
    """
    paper = "a best N at each C_min; lower the larger N at each S_min"
    if not wording.certified(fit):
        return untold(paper, uncertified(fit, "B_crit"))
    rows = {fixed: by_value(points[fixed]) for fixed in PANELS}
    for fixed, found in rows.items():
        if not found:
            return untold(paper, f"no {fixed} was reached by {FEWEST} sizes")
    computes, steps = map(len, rows.values())
    inner, falls, worse = sum(map(inside, rows["C_min"])), *tally(rows["S_min"])
    power = slope(points["S_min"], "value")
    value, low, high = (wording.readable(power[key]) for key in ("value", "low", "high"))
    if worse > steps / 2:
        verdict = FAILS
    elif not (inner or falls):
        verdict = OPEN
    else:
        verdict = HOLDS if (inner, falls) == (computes, steps) else PARTLY
    because = (
        f"at {inner} of {computes} fixed C_min a size is better than the smallest and the largest of those "
        f"that reached it; at {falls} of {steps} fixed S_min the loss falls with N, and at {worse} the "
        f"largest size does worse than another, each by more than the noise of seeds, {SEED_NOISE:g} nats"
    )
    measured = (
        f"best N inside at {inner} of {computes} C_min; at fixed S_min L ∝ N^s, s = {value} ({low} to {high})"
    )
    return Finding(paper, measured, verdict, because)


def by_value(points):
    """The points of each value of what is fixed, in order of N, from the least."""
    values = sorted({point["value"] for point in points})
    return [sorted((p for p in points if p["value"] == value), key=lambda p: p["x"]) for value in values]


def inside(points):
    """Whether the lowest loss of points in order of N lies below the first and the last, beyond the noise."""
    losses = [point["y"] for point in points]
    return min(losses) < min(losses[0], losses[-1]) - SEED_NOISE


def tally(rows):
    """In how many ``rows`` of points in order of N the loss falls, and in how many the last is not lowest.

    Beyond the noise of seeds: it falls where the last is lowest but for that, and lower than the first.
    """
    worse = [points[-1]["y"] > min(point["y"] for point in points) + SEED_NOISE for points in rows]
    lower = [points[-1]["y"] < points[0]["y"] - SEED_NOISE for points in rows]
    return sum(low and not high for low, high in zip(lower, worse, strict=True)), sum(worse)
