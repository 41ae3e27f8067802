"""The best learning rate of each size, and rules of it. Kaplan et al. 2020, appendix D.6, equation D.1."""

from functools import partial

import altair as alt
import numpy as np

from scaling import rates
from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import FAILS, HOLDS, OPEN, Finding
from scaling.charts.schedules import FIELDS, SETTING, values
from scaling.fitting.fit import FEWEST
from scaling.laws import SEED_NOISE
from scaling.provenance import UserError
from scaling.rows import finite
from scaling.selections import INTERVAL

ALIKE = (*SETTING, *(field for field in FIELDS if field != "learning_rate"))
"""What the runs of one curve share; more seeds of a rate are averaged."""
LINES = POWER, LOGARITHM, PUBLISHED = "a power of N", "a − b ln N", "the paper's a − b ln N"
KINDS = INNER, EDGE = "minimum", "at or beyond an edge"
RATE_TITLE = "peak learning rate"
CURVE_POINTS = 60
COLUMNS = 4
"""Sizes in a row of the legend, as wide as a panel."""


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs: loss against rate, and the best rate against N."""
    runs = converged(tables["runs"], "learning_rate")
    curves = by_size(runs)
    if all(len(points) < 2 for _, points in curves):
        raise UserError("the experiment learning_rate holds no size at two rates: add rates to its grid")
    best = [
        rates.best(run["N"], [row["x"] for row in points], [row["y"] for row in points])
        for run, points in curves
    ]
    made = rates.rules(best)
    measured = [row for _, points in curves for row in points]
    minima = [minimum(run, at) for (run, _), at in zip(curves, best, strict=True)]
    ends = theme.domain([row["x"] for row in measured])
    lines = by_rule(made, minima, ends) if made else []
    gone = diverged(tables["runs"])
    chart = alt.concat(losses_panel(measured, minima, ends), rates_panel(minima, lines, ends), columns=2)
    chart = chart.resolve_scale(fill="independent", strokeDash="independent", shape="independent")
    caption = sentences(curves, best, made, lines, gone)
    description = (
        "Test loss against peak learning rate by model size, and the best rate against model size, "
        f"all logarithmic. {caption}"
    )
    data = [("measured", measured), ("best", minima)]
    data += [("fit", lines)] if lines else []
    data += [("diverged", gone)] if gone else []
    return Drawing(chart, description, caption, tuple(data), found(best, made))


def by_size(runs):
    """Pairs (run, points) in order of N: a run that tells the size, and a row for each of its rates x."""
    groups = {}
    for run in runs:
        key = values(run, ALIKE)
        groups.setdefault(key, {}).setdefault(run["learning_rate"], []).append(run)
    curves = []
    for at in groups.values():
        points = []
        for rate, members in sorted(at.items()):
            loss = float(np.mean([run["test_loss"] for run in members]))
            row = {**theme.described(members[0]), "x": rate, "y": loss}
            points.append(theme.with_error(row, members[0]["test_loss_se"]))
        curves.append((next(iter(at.values()))[0], points))
    return curves


def minimum(run, best):
    """A row of the best rate x of a size, the ends of its interval and the loss y there."""
    row = {key: value for key, value in theme.described(run).items() if key != "run"}
    row |= {"kind": EDGE if best.edge else INNER, "x": best.rate, "y": best.loss}
    return row if best.edge else {**row, "low": best.low, "high": best.high}


def diverged(runs):
    """Rows of N and rate x of the runs that diverged."""
    return [
        {**theme.described(run), "x": run["learning_rate"]}
        for run in runs
        if "learning_rate" in run["experiments"]
        and (run["status"] == "diverged" or not finite(run["test_loss"]))
    ]


def by_rule(made, minima, ends):
    """Rows of line, N and rate of both rules, and of the paper's where it lies between ``ends``."""
    N = np.geomspace(min(row["N"] for row in minima), max(row["N"] for row in minima), CURVE_POINTS)
    a, b = rates.PAPER
    given = {POWER: made.power(N), LOGARITHM: made.logarithm(N), PUBLISHED: a - b * np.log(N)}
    if not ((given[PUBLISHED] > ends[0]) & (given[PUBLISHED] < ends[1])).all():
        del given[PUBLISHED]
    return [
        {"line": line, "N": float(size), "rate": float(rate)}
        for line, each in given.items()
        for size, rate in zip(N, each, strict=True)
        if rate > 0
    ]


def losses_panel(rows, minima, x_ends):
    """Test loss against peak rate, one curve a size, with the minimum of each."""
    x = partial(theme.log_axis, alt.X, ends=x_ends, title=RATE_TITLE, label="{:g}".format)
    y = theme.loss_axis(rows)
    sizes, where = {row["N"] for row in rows}, {"x": x("x"), "y": y("y")}
    colour, fill = theme.N_colour(sizes, alt.Stroke), theme.N_colour(sizes, columns=COLUMNS)
    tooltip = [
        *theme.run_tooltip(rows),
        alt.Tooltip("x:Q", format=".3g", title=RATE_TITLE),
        alt.Tooltip("y:Q", format=".3f", title="nats per token"),
    ]
    inner = [row for row in minima if row["kind"] == INNER]
    found = theme.chart(inner)
    joined = theme.chart(rows).mark_line(strokeWidth=1.4, aria=False)
    return (
        alt.layer(
            joined.encode(**where, stroke=colour, detail="N:Q"),
            theme.error_bars(rows, x, y),
            theme.chart(rows)
            .mark_point(filled=True, size=32, opacity=1)
            .encode(**where, fill=fill, tooltip=tooltip),
            found.mark_rule(style="error", strokeWidth=1.4, clip=True, aria=False).encode(
                x=x("low"), x2="high:Q", y=y("y")
            ),
            found.mark_point(style="bead", shape="diamond", size=60, opacity=1, filled=True).encode(**where),
        )
        .resolve_legend(stroke="independent")
        .properties(width=235, height=260)
    )


def rates_panel(minima, lines, ends):
    """The best rate against N with its interval, on an axis of all rates that were tried, and rules of it."""
    x_ends = theme.domain([row["N"] for row in minima])

    def x():
        return theme.log_axis(alt.X, "N", ends=x_ends, title=theme.N_TITLE, label=wording.si)

    def y(field):
        title = "best peak learning rate"
        return theme.log_axis(alt.Y, field, ends=ends, title=title, label="{:g}".format)

    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in minima)]
    shapes = [["circle", "triangle-up"][KINDS.index(kind)] for kind in kinds]
    legend = alt.Legend(title=None, orient="top", symbolFillColor=theme.INK)
    shape = alt.Shape(
        "kind:N", scale=alt.Scale(domain=kinds, range=shapes), legend=legend if len(kinds) > 1 else None
    )
    layers = []
    names = [line for line in LINES if any(row["line"] == line for row in lines)]
    for name in names:
        style = "fit" if name != PUBLISHED else "reference"
        line = theme.chart([row for row in lines if row["line"] == name])
        line = line.mark_line(style=style, clip=True, aria=False)
        layers.append(line.encode(x=x(), y=y("rate"), strokeDash=fitted.dashes("line:N", names, LINES)))
    known = theme.chart([row for row in minima if "low" in row])
    layers.append(known.mark_rule(style="error", aria=False).encode(x=x(), y=y("low"), y2="high:Q"))
    marks = theme.chart(minima).mark_point(filled=True, size=60, opacity=1)
    tooltip = [
        alt.Tooltip("N:Q", format=",d"),
        "kind:N",
        alt.Tooltip("x:Q", format=".3g", title="best rate"),
        alt.Tooltip("low:Q", format=".3g"),
        alt.Tooltip("high:Q", format=".3g"),
    ]
    fill = theme.N_colour([row["N"] for row in minima]).legend(None)
    layers.append(marks.encode(x=x(), y=y("x"), fill=fill, shape=shape, tooltip=tooltip))
    return alt.layer(*layers).properties(width=235, height=260)


def found(best, made):
    """The finding: the best rate falls with N.

    HOLDS where the interval of the power rule's exponent lies below zero, FAILS where it lies above; OPEN
    where it contains zero or fewer than three sizes have a minimum inside their rates.
    """
    paper = published()
    if made is None:
        inner = sum(not at.edge for at in best)
        return Finding(
            paper,
            "–",
            OPEN,
            f"{wording.counted(inner, 'size')} of {len(best)} with a minimum inside its rates, {FEWEST} are "
            "needed",
        )
    exponent = told(made)
    measured = f"{rule(made)}; exponent of a power {exponent}"
    falls, rises = made.exponent["high"] < 0, made.exponent["low"] > 0
    verdict = HOLDS if falls else FAILS if rises else OPEN
    place = "lies below zero" if falls else "lies above zero" if rises else "contains zero"
    by_logarithm, by_power = (wording.percent(round(error, 3)) for error in made.errors)
    less = "the power" if made.errors[1] < made.errors[0] else "the logarithm"
    sizes = sum(not at.edge for at in best)
    return Finding(
        paper,
        measured,
        verdict,
        f"the interval of the exponent of {sizes} best rates, {exponent}, {place}; {less} errs less (a power "
        f"by {by_power}, a − b ln N by {by_logarithm})",
    )


def published():
    """The paper's rule."""
    return f"{rates.PAPER[0]} − {rates.PAPER[1]} ln N"


def rule(made):
    """The fitted logarithm in words."""
    sign = "−" if made.b >= 0 else "+"
    return f"{wording.significant(made.a)} {sign} {wording.significant(abs(made.b))} ln N"


def told(made):
    """The exponent with its interval."""
    value, low, high = (wording.signed(made.exponent[key], 2) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def sentences(curves, best, made, lines, gone):
    """The caption."""
    runs = sum(len(points) for _, points in curves)
    edges = [f"N = {wording.si(at.N)} ({at.edge})" for at in best if at.edge]
    said = (
        f"Left: final test loss of {wording.counted(runs, 'run')} of {wording.counted(len(curves), 'size')} "
        f"against their peak learning rate. {theme.bars([row for _, points in curves for row in points])}"
        f"Diamonds: minima of parabolas in ln rate through the lowest loss and up to {rates.AROUND} on each "
        f"side (one where those lie off it by more than {rates.OFF * SEED_NOISE:g} nats), with "
        f"{wording.percent(INTERVAL)} intervals from losses redrawn by the paper's {SEED_NOISE} nats "
        "between seeds, since all rates were measured on the same text. "
    )
    if edges:
        said += f"No minimum, and left out of the rules: {', '.join(edges)}. "
    if gone:
        said += f"Left out: {wording.counted(len(gone), 'run')} that diverged, " + rates_of(gone)
    said += "Right: the best rates against N."
    if made is None:
        return said
    missed = [wording.percent(round(error, 3)) for error in made.errors]
    value, at = wording.significant(made.value), wording.si(made.at)
    said += (
        f" Rules of them: {rule(made)}, off by {missed[0]} (rms), and {value} · (N / {at})^α with α = "
        f"{told(made)}, off by {missed[1]}; its interval takes in those from redrawing losses and "
        f"from resampling sizes. The paper's rule: {published()}"
    )
    if not any(row["line"] == PUBLISHED for row in lines):
        said += f", outside these rates: {paper_at(best[0].N)} at the smallest N"
    return f"{said}."


def paper_at(N):
    """The paper's rate at ``N``, in words."""
    a, b = rates.PAPER
    return wording.significant(a - b * float(np.log(N)), 2)


def rates_of(gone):
    """From which rate on runs diverged."""
    return f"at rates from {wording.significant(min(row['x'] for row in gone), 2)} on. "
