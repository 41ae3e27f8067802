"""Loss by position in the context, by size and during training. Kaplan et al. 2020, figure 20."""

import math

import altair as alt
import numpy as np

from scaling import positions, trends
from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.fitting.fit import FEWEST
from scaling.provenance import UserError
from scaling.selections import INTERVAL

PAPER = "a power of T, steeper for larger models"
"""Of figure 20."""
T_TITLE = "position in the context T (tokens)"
CURVE_POINTS = 60
COLUMNS = 4
"""Sizes in a row of the legend, as wide as a panel."""


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and evaluations."""
    pairs = positions.of_longest(positions.at_end(tables["evaluations"], tables["runs"], "size"))
    if not pairs or len(pairs[0][1]) < 2:
        raise UserError("no run of experiment size has losses by position: evaluate it on the test split")
    runs, losses = [run for run, _ in pairs], np.array([losses for _, losses in pairs])
    powers = positions.fit(losses) if losses.shape[1] >= positions.FEWEST_POSITIONS else None
    parts = positions.bins(losses.shape[1])
    by_size = [row for run, at in pairs for row in points(run, at, parts)]
    watched, during = training(tables, runs, parts)
    lines = by_law(runs, powers, losses.shape[1]) if powers else []
    chart = alt.concat(
        sizes_panel(by_size, lines, losses.shape[1]),
        *([steps_panel(watched, during, losses.shape[1])] if during else []),
        columns=2,
    ).resolve_scale(fill="independent", stroke="independent")
    finding = found(runs, losses, powers)
    caption = sentences(runs, powers, losses, len(parts), watched, during)
    description = (
        f"Test loss falling with the position in the context, both logarithmic, one line a size, and of one "
        f"size at several steps of its training. {caption}"
    )
    data = (("measured", by_size), *([("during training", during)] if during else []))
    data += (("fit", lines),) if lines else ()
    return Drawing(chart, description, caption, data, finding)


def points(run, losses, parts):
    """Rows of a run's mean loss y in each bin of positions; x is the middle of the bin."""
    means = positions.averaged(losses, parts)
    return [
        {**theme.described(run), "from": first, "to": last, "x": positions.middle(first, last), "y": float(y)}
        for (first, last), y in zip(parts, means, strict=True)
    ]


def training(tables, runs, parts):
    """The largest of ``runs`` with several snapshots, and its :func:`points` at each; (None, []) if none."""
    by_run = positions.profiles(tables["evaluations"], runs)
    for run in reversed(runs):
        steps = by_run[run["run"]]
        if len(steps) > 1:
            rows = [{"step": step, **row} for step, at in steps.items() for row in points(run, at, parts)]
            return run, rows
    return None, []


def by_law(runs, powers, n_ctx):
    """Rows of N, x and y of the fitted power of each run where it is sound."""
    grid = np.geomspace(1, n_ctx, CURVE_POINTS)
    return [
        {**theme.described(run), "x": float(T), "y": float(y)}
        for index, run in enumerate(runs)
        if powers.sound[index]
        for T, y in zip(grid, powers.at(grid, index), strict=True)
    ]


def axes(rows, n_ctx):
    """Encodings of x and y, and the layers' common tooltip."""
    ends = theme.domain([1, n_ctx])

    def x(field):
        return theme.log_axis(alt.X, field, ends=ends, title=T_TITLE, label="{:g}".format)

    tooltip = [
        *theme.run_tooltip(rows),
        *(alt.Tooltip(f"{end}:Q", title=f"{end} position") for end in ("from", "to")),
        alt.Tooltip("y:Q", format=".3f", title="nats per token"),
    ]
    return x, theme.loss_axis(rows), tooltip


def sizes_panel(rows, lines, n_ctx):
    """Loss by position at the end of training, one line a size."""
    x, y, tooltip = axes(rows, n_ctx)
    sizes, where = {row["N"] for row in rows}, {"x": x("x"), "y": y("y")}
    colour, fill = theme.N_colour(sizes, alt.Stroke), theme.N_colour(sizes, columns=COLUMNS)
    marks = theme.chart(rows).mark_point(filled=True, size=26, opacity=0.9)
    drawn = theme.chart(lines).mark_line(strokeWidth=1.6, clip=True, aria=False)
    joined = theme.chart(rows).mark_line(strokeWidth=0.8, opacity=0.45, aria=False)
    return (
        alt.layer(
            joined.encode(**where, stroke=colour, detail="run:N"),
            *([drawn.encode(**where, stroke=colour, detail="run:N")] if lines else []),
            marks.encode(**where, fill=fill, tooltip=tooltip),
        )
        .resolve_legend(stroke="independent")
        .properties(width=235, height=260)
    )


def steps_panel(run, rows, n_ctx):
    """Loss by position of one size at each of its snapshots."""
    x, y, tooltip = axes(rows, n_ctx)
    steps = sorted({row["step"] for row in rows})
    scale = alt.Scale(type="log", domain=[max(1, steps[0]), steps[-1]], range=theme.OTHER_RAMP)
    form = {"type": "symbol", "symbolType": "circle", "symbolStrokeWidth": 0}
    legend = alt.Legend(
        title=f"training step, N = {wording.si(run['N'])}",
        **{"orient": "top", "direction": "horizontal", "columns": COLUMNS},
        **form,
        **theme.labelled(steps, wording.si),
    )
    base = theme.chart(rows).encode(x=x("x"), y=y("y"))
    return (
        alt.layer(
            base.mark_line(strokeWidth=1.4, aria=False).encode(
                stroke=alt.Stroke("step:Q", scale=scale, legend=None), detail="step:N"
            ),
            base.mark_point(filled=True, size=26, opacity=0.9).encode(
                fill=alt.Fill("step:Q", scale=scale, legend=legend),
                tooltip=[*tooltip, alt.Tooltip("step:Q", format=",d")],
            ),
        )
        .resolve_legend(stroke="independent")
        .properties(width=235, height=260)
    )


def found(runs, losses, powers):
    """The finding: the largest model's exponent lies above zero, and exponents rise with N.

    HOLDS with both intervals whole above zero, PARTLY with one of them. With neither FAILS where one lies
    whole below, or where at the largest model a constant misses bins left out of the fit by no more than a
    power does; OPEN where none of this is so, and where sizes or positions are too few.
    """
    if powers is None:
        few = f"a context of {losses.shape[1]} positions is too short for a power to be fitted"
        return untold(PAPER, few)
    N = [run["N"] for run in runs]
    rise = positions.rise_of_exponent(N, powers)
    largest = exponent(powers, -1)
    if len(runs) < FEWEST or not trends.known(rise):
        few = f"{wording.counted(int(powers.inner.sum()), 'size')} with an exponent, {FEWEST} are needed"
        return Finding(PAPER, f"exponent {largest} at the largest N", OPEN, few)
    tenfold = math.log(10)
    per_decade = ranged(*(tenfold * rise[key] for key in ("value", "low", "high")), signed=True)
    measured = f"exponent {largest} at the largest N; {per_decade} per tenfold N"
    power, rising = bool(powers.sound[-1]), rise["low"] > 0
    first = (
        f"the exponent at the largest N, {largest}, {'lies above' if power else 'does not lie whole above'} "
        "zero, where a power is a logarithm"
    )
    way = "rises" if rising else "falls" if rise["high"] < 0 else "does not clearly rise"
    second = f"the exponent {way} with N ({per_decade} per tenfold N)"
    drop = positions.whole_drop(losses)
    third = f"the whole drop is {drop[0]:.2f} nats at the smallest N and {drop[-1]:.2f} at the largest"
    missed = positions.left_out(losses[-1:])
    flat = bool(missed[positions.FLAT][0] <= missed[positions.POWER][0])
    against = flat or powers.high[-1] < 0 or rise["high"] < 0
    verdict = {2: HOLDS, 1: PARTLY, 0: FAILS if against else OPEN}[power + rising]
    if flat:
        third += ", where a constant misses bins left out of the fit by no more than a power"
    joint = "and" if power == rising else "but"
    return Finding(PAPER, measured, verdict, f"{first}, {joint} {second}; {third}")


def exponent(powers, run):
    """The exponent of a run, an index, with its interval in words."""
    return ranged(powers.exponent[run], powers.low[run], powers.high[run])


def ranged(value, low, high, signed=False):
    """A number with its interval: '0.61 (0.57 to 0.65)'."""
    write = (lambda number: wording.signed(number, 2)) if signed else (lambda n: f"{n:.2f}".replace("-", "−"))
    value, low, high = map(write, (value, low, high))
    return f"{value} ({low} to {high})"


def sentences(runs, powers, losses, parts, watched, during):
    """The caption."""
    n_ctx = losses.shape[1]
    said = (
        f"Test loss at each position of a context of {n_ctx}, means over {parts} bins of positions evenly "
        f"spaced in ln T. Left: {wording.counted(len(runs), 'size')} at the end of training"
    )
    if powers is None:
        law = "."
    else:
        missed = {form: float(np.mean(each)) for form, each in positions.left_out(losses).items()}
        count = int(powers.sound.sum())
        told = ", ".join(
            f"{exponent(powers, index)} at N = {wording.si(runs[index]['N'])}"
            for index in dict.fromkeys(np.flatnonzero(powers.sound)[[0, -1]].tolist() if count else [])
        )
        exponents = f" Exponents, with {wording.percent(INTERVAL)} intervals: {told}." if told else ""
        law = (
            f"; heavier lines: L_∞ + a·T^(−α), fitted to all positions, at the {count} of them whose α and "
            f"its interval lie above zero, where a power is a logarithm.{exponents} Bins left out "
            f"of the fit are missed by {missed[positions.POWER]:.3f} nats (rms, mean of all sizes), by "
            f"{missed[positions.PLAIN]:.3f} by a power without L_∞, {missed[positions.LOGARITHM]:.3f} by a "
            f"logarithm and {missed[positions.FLAT]:.3f} by a constant."
        )
    if not during:
        return said + law
    steps = len({row["step"] for row in during})
    return f"{said}{law} Right: N = {wording.si(watched['N'])} at {steps} steps of its training."
