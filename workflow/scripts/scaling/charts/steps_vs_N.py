"""Least steps and least examples to fixed losses against model size. Kaplan et al. 2020, figure 19."""

import altair as alt
import numpy as np

from scaling import frontier
from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, Finding, uncertified, untold
from scaling.charts.steps_examples import loss_colour
from scaling.fitting import resampling
from scaling.laws import critical_batch, least_steps
from scaling.provenance import UserError
from scaling.rows import column
from scaling.selections import INTERVAL

LEVELS = 5
"""What is held fixed takes about so many values, evenly spaced in their logarithm."""
FEWEST = 3
"""Sizes that must have reached a value."""
LINE_POINTS = 200
RESAMPLES = 1000
PANELS = {"S": "least training steps S_min", "E": "least examples E_min (tokens)"}


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and curves and the fits B_crit and L_NSmin."""
    fit, critical = fits["L_NSmin"], adjustment(fits["B_crit"])
    points = measured(paths(tables), critical)
    if not points:
        raise UserError(
            f"no loss was reached by {FEWEST} sizes past their warm-up: add sizes to experiment size"
        )
    lines = by_law(fit, points) if wording.certified(fit) else []
    colour = loss_colour([row["loss"] for row in points])
    panels = [
        panel(*([row for row in rows if row["of"] == what] for rows in (points, lines)), title, colour)
        for what, title in PANELS.items()
    ]
    law = (
        " Lines: S_min = S_c / (L − (N_c/N)^α_N)^(1/α_S), which grows without end as L nears what a size "
        "converges to."
        if lines
        else ""
    )
    caption = (
        "Points: the fewest steps S_min (left) and examples E_min = S_min · B_crit(L) (right) in which a run "
        "of each size reached a loss, interpolated on its learning curve; "
        f"{adjusted(fits, [row['loss'] for row in points if row['of'] == 'S'])}{law} {told(fit)}"
    )
    description = f"Steps and examples to a loss against model size, both logarithmic. {caption}"
    data = (("measured", points), *([("fit", lines)] if lines else []))
    chart = alt.concat(*panels, columns=len(panels))
    return Drawing(chart, description, caption, data, judged(fits["B_crit"], points))


def adjustment(fit):
    """B_crit(L) of a fit as :class:`frontier.Critical`."""
    return frontier.Critical({name: found["value"] for name, found in fit["parameters"].items()}, {})


def paths(tables, along="step", experiments=frontier.CURVES):
    """Triples of a run of ``experiments`` and its learning curve past the warm-up: ln of the steps (or what
    else a test point says ``along`` it), and of the lowest loss so far."""
    kept, traces, _ = frontier.past_warmup(tables["runs"], tables["curves"], experiments)
    return [
        (
            run,
            np.log(column(traces[run["run"]], along)),
            np.minimum.accumulate(np.log(column(traces[run["run"]], "test_loss"))),
        )
        for run in kept
    ]


def reached(along, path, loss):
    """Where a learning curve of :func:`paths` came down to ``loss``, by interpolation; None if nowhere."""
    if not path[-1] <= np.log(loss) <= path[0]:
        return None
    return float(np.exp(np.interp(-np.log(loss), -path, along)))


def measured(curves, critical):
    """Rows of run, N, loss, of ("S" or "E"), x and y: the fewest S_min of any run of a size to a loss."""
    losses = levels([(run["N"], loss[-1], loss[0]) for run, _, loss in curves], digits=2)
    rows = []
    for loss in losses:
        found = {}
        for run, steps, path in curves:
            S = reached(steps, path, loss)
            if S is not None:
                S_min = least_steps(S, run["B"], critical(loss))
                found[run["N"]] = min(found.get(run["N"], (np.inf,)), (S_min, run), key=lambda pair: pair[0])
        for N, (S_min, run) in sorted(found.items()) if len(found) >= FEWEST else []:
            place = {**theme.described(run), "loss": loss, "x": N}
            rows += [
                {**place, "of": what, "y": float(value)}
                for what, value in (("S", S_min), ("E", S_min * critical(loss)))
            ]
    return rows


def levels(spans, digits):
    """About LEVELS values, rounded to significant ``digits``, between which FEWEST sizes have data.

    ``spans`` are triples of N and the ln of the ends of a curve of that size.
    """
    ends = {}
    for N, low, high in spans:
        lowest, highest = ends.get(N, (np.inf, -np.inf))
        ends[N] = min(low, lowest), max(high, highest)
    if len(ends) < FEWEST:
        return []
    low = sorted(low for low, _ in ends.values())[FEWEST - 1]
    high = sorted(high for _, high in ends.values())[-FEWEST]
    values = np.exp(np.linspace(low, high, LEVELS + 2)[1:-1]) if low < high else []
    return sorted({float(f"{value:.{digits - 1}e}") for value in values})


def by_law(fit, points):
    """Rows of loss, of, x and y of the law at each loss of ``points``, for sizes that ever reach it."""
    values = {name: found["value"] for name, found in fit["parameters"].items()}
    sizes = [row["x"] for row in points]
    N = np.geomspace(min(sizes), max(sizes), LINE_POINTS)
    rows = []
    for loss in sorted({row["loss"] for row in points}):
        above = loss - (values["N_c"] / N) ** values["alpha_N"]
        steps = values["S_c"] / above[above > 0] ** (1 / values["alpha_S"])
        B_crit = critical_batch(loss, **fit["adjusted_by"])
        for what, y in (("S", steps), ("E", steps * B_crit)):
            rows += [
                {"loss": loss, "of": what, "x": x, "y": value}
                for x, value in zip(N[above > 0].tolist(), y.tolist(), strict=True)
            ]
    return rows


def panel(points, lines, title, colour):
    """The chart of one quantity against N."""
    x_ends, y_ends = (theme.domain([row[end] for row in points], room=0.08) for end in ("x", "y"))
    x = theme.log_axis(alt.X, "x", x_ends, theme.N_TITLE, wording.si)
    y = theme.log_axis(alt.Y, "y", y_ends, title, wording.si)
    return layers(points, lines, x, y, colour, "loss", [
        alt.Tooltip("loss:Q", format=".4~g", title="test loss"),
        alt.Tooltip("y:Q", format=".4~s", title=title),
    ])  # fmt: skip


def layers(points, lines, x, y, colour, fixed, tooltip):
    """Points and, if there are any, lines, in the ``colour`` of what is ``fixed``."""
    dots = theme.chart(points).mark_point(filled=True, size=36, opacity=1)
    line = theme.chart(lines).mark_line(strokeWidth=1.6, clip=True, aria=False)
    drawn = [line.encode(x=x, y=y, stroke=colour(alt.Stroke), detail=f"{fixed}:Q")] if lines else []
    tips = [*theme.run_tooltip(points), *tooltip]
    return (
        alt.layer(*drawn, dots.encode(x=x, y=y, fill=colour(alt.Fill), tooltip=tips))
        .properties(width=215, height=230)
        .resolve_legend(stroke="independent")
    )


def told(fit):
    """What was measured beside what is published; the page tells elsewhere what follows from it."""
    return wording.finding(fit | {"derived": {}})


def adjusted(fits, losses):
    """By which B_crit(L) points at ``losses`` are adjusted, and how many of them lie beyond its own."""
    fit = fits["B_crit"]
    known = fit["data"]["inputs"]["loss"]
    low, high = min(known), max(known)
    beyond = sum(not low <= loss <= high for loss in losses)
    doubt = "" if wording.certified(fit) else f", which does not pass its certificate: {wording.reasons(fit)}"
    values = {name: found["value"] for name, found in fit["parameters"].items()}
    return (
        f"adjusted by {fitted.adjustment({'adjusted_by': values})}{doubt}. It was measured at losses of "
        f"{low:.3g} to {high:.3g}; {beyond} of {wording.counted(len(losses), 'point')} lie beyond."
    )


def judged(fit, points):
    """The :class:`Finding`: whether steps and examples to a loss fall with N; ``fit`` adjusted the points."""
    paper = "both fall with N"
    if not wording.certified(fit):
        return untold(paper, uncertified(fit, "B_crit"))
    steps = [point for point in points if point["of"] == "S"]
    found = slope(steps, "loss")
    value, low, high = (wording.readable(found[key]) for key in ("value", "low", "high"))
    verdict = HOLDS if found["high"] < 0 else FAILS if found["low"] > 0 else OPEN
    place = {HOLDS: "wholly below 0", FAILS: "wholly above 0", OPEN: "on both sides of 0"}[verdict]
    sizes, losses = (len({point[key] for point in steps}) for key in ("x", "loss"))
    because = (
        f"at {losses} losses, reached by {sizes} sizes, the slope of ln S_min against ln N has an interval "
        f"{place}, and so has that of ln E_min, which is S_min · B_crit(L), one multiple of it at one loss"
    )
    return Finding(paper, f"S_min and E_min ∝ N^s, s = {value} ({low} to {high})", verdict, because)


def slope(points, group, *, resamples=RESAMPLES, seed=0):
    """The slope of ln y against ln x of rows ``points``, by least squares: {value, low, high}.

    Points of one ``group``, a column, share a level of their own, all share the slope. The ends are those of
    an interval from resampling sizes, the values of x, whole: points of one size lie on the same learning
    curves. There are at least three sizes.
    """
    x, y = np.log([(point["x"], point["y"]) for point in points]).T
    sizes, size = np.unique(x, return_inverse=True)
    _, which = np.unique([point[group] for point in points], return_inverse=True)
    counts = np.concatenate([np.ones((1, len(sizes))), resampling.draw(len(sizes), resamples, seed)])[:, size]
    member = (which[:, None] == np.arange(which.max() + 1)).astype(float)
    of_group = np.maximum(counts @ member, 1)  # a group that no draw is of has no points to centre
    x, y = (values - ((counts * values) @ member / of_group)[:, which] for values in (x, y))
    spread = (counts * x**2).sum(1)
    usable = spread > 1e-9 * spread[0]
    slopes = (counts * x * y).sum(1)[usable] / spread[usable]
    low, high = np.quantile(slopes[1:], resampling.tails(INTERVAL, len(sizes), 2))
    return {"value": float(slopes[0]), "low": float(low), "high": float(high)}
