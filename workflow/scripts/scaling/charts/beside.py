"""What the charts of runs beside the Transformers of `size` share: series of losses, and gaps in words."""

import math
from functools import partial

import altair as alt

from scaling.charts import theme, wording
from scaling.charts.drawing import converged
from scaling.comparison import above, mean, of_line
from scaling.laws import SEED_NOISE
from scaling.provenance import UserError
from scaling.rows import column
from scaling.selections import INTERVAL
from scaling.trends import known

PANEL = {"width": 225, "height": 260}


def transformers(runs):
    """The Transformers of `size`, in order of N, that others are held against.

    Raises UserError where there are fewer than two sizes, which make no line.
    """
    found = [run for run in converged(runs, "size") if of(run, "transformer")]
    if len({run["N"] for run in found}) < 2:
        raise UserError("experiment size holds fewer than two sizes of Transformers: add some to its grid")
    return found


def depths(runs):
    """What a caption says of the depths of ``runs``, since at one N that matters too: ' of 1 to 5 layers'."""
    least, most = (find(run["n_layer"] for run in runs) for find in (min, max))
    return f" of {least} to {wording.counted(most, 'layer')}" if most > least else ""


def others(runs, architecture, remedy):
    """The runs of ``architecture`` in experiment `architecture`; UserError with ``remedy`` if none."""
    found = [run for run in runs if "architecture" in run["experiments"] and of(run, architecture)]
    if not found:
        raise UserError(f"experiment architecture holds no {architecture} run: {remedy}")
    return converged(found, "architecture")


def of(run, architecture):
    """Whether a run is of ``architecture``; runs that do not say are Transformers."""
    return (run.get("architecture") or "transformer") == architecture


def point(run, series, x):
    """A row of a chart: the final test loss of ``run`` at ``x`` with its error's ends."""
    return theme.with_error(
        {**theme.described(run), "series": series, "x": x, "y": run["test_loss"]}, run["test_loss_se"]
    )


def gaps(line, runs, x=lambda run: run["N"]):
    """How far the final losses of ``runs`` lie above those of ``line`` at equal ``x``, per cent: (runs,).

    NaN for runs beyond the sizes of the line.
    """
    places = [[x(run) for run in part] for part in (line, runs)]
    return above(places[0], column(line, "test_loss"), places[1], column(runs, "test_loss"))


def gap(line, runs, x=lambda run: run["N"]):
    """The mean of :func:`gaps` with its interval, the noise of the line's own runs in it."""
    places = [[x(run) for run in part] for part in (line, runs)]
    common = of_line(places[0], column(line, "test_loss"), places[1], SEED_NOISE)
    return mean(gaps(line, runs, x), common=common)


def panel(rows, every, title, mark, label=wording.si, lines=()):
    """Loss against x, both logarithmic: the ``rows`` of :func:`point` by series, each with its line.

    ``every`` row of the figure decides the losses' axis, so that panels share it; ``mark`` are the encodings
    of :func:`theme.category`; ``lines`` are layers to lie below, functions of the encodings of x and y.
    """
    ends = theme.domain([row["x"] for row in rows])
    x = partial(theme.log_axis, alt.X, ends=ends, title=title, label=label)
    y = theme.loss_axis(every)
    base = theme.chart(rows).encode(x=x("x"), y=y("y"), color=mark["color"])
    tooltip = [
        alt.Tooltip("series:N"),
        *theme.run_tooltip(rows),
        alt.Tooltip("x:Q", format=".4~g", title=title),
        alt.Tooltip("y:Q", format=".4~r", title="nats per token"),
    ]
    return alt.layer(
        *(line(x, y) for line in lines),
        base.mark_line(strokeWidth=1.4, aria=False),
        theme.error_bars(rows, x, y).encode(color=mark["color"]),
        base.mark_point(filled=True, size=55, opacity=1).encode(shape=mark["shape"], tooltip=tooltip),
    ).properties(**PANEL)


def percent(number, places=1, name=""):
    """A difference in per cent with its interval, if it has one: '+1.2 % (+0.3 to +2.1)'.

    ``name`` is what stands before the interval in its brackets. A mean of no runs is 'an unknown amount'.
    """
    if not math.isfinite(number["value"]):
        return "an unknown amount"
    value, *ends = (
        wording.signed(number[key], places)
        for key in ("value", "low", "high")
        if known(number) or key == "value"
    )
    return f"{value} % ({name}{' to '.join(ends)})" if ends else f"{value} %"


def size(number, places=2):
    """A share in per cent that has no sign, with its interval, if it has one: '0.62 % (0.41 to 0.80)'."""
    return percent(number, places).replace("+", "")


def interval_words():
    """'90 % interval', as captions call what stands in brackets."""
    return f"{wording.percent(INTERVAL)} interval"


def of_noise():
    """What a caption says of what is in its intervals."""
    return f"Intervals are from resampling these runs and from {SEED_NOISE:g} nats of noise in the others'."


def beyond(values):
    """What a caption says of gaps that are NaN, in brackets: ' (2 runs beyond the line left out)', or ''."""
    missing = sum(value != value for value in values)
    return f" ({wording.counted(missing, 'run')} beyond the line left out)" if missing else ""


def too_few(runs, what, having=""):
    """Why ``runs``, a number of ``what``, decide nothing, a clause."""
    return f"{wording.counted(runs, what)}{having} within the sizes of the Transformers of size are too few"
