"""Test loss against model size with and without embeddings, by depth. Kaplan et al. 2020, figure 6."""

from functools import partial

import altair as alt
import numpy as np

from scaling.charts import beside, theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.comparison import scatters, smooth
from scaling.provenance import UserError
from scaling.rows import column, need
from scaling.trends import known

PAPER = "one line in N from 2 layers on, extreme shapes apart; a line for each depth with embeddings counted"
FEWEST_LAYERS = 2
"""Layers below which models lie off the line by Kaplan et al. 2020 (caption of figure 6)."""
ONE_LINE = 1.0
"""Scatter (rms, per cent of the loss) up to which models count as on one line: about twice what seeds do."""
COUNTS = {"N_total": "parameters with embeddings", "N": theme.N_TITLE}
LINE_POINTS = 60


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs."""
    runs = [run for run in converged(tables["runs"], "depth", "size") if beside.of(run, "transformer")]
    if not runs:
        raise UserError("experiments depth and size hold no Transformer: add some to their grids")
    need(runs, "N_total", "n_layer")
    deep = [run for run in runs if run["n_layer"] >= FEWEST_LAYERS]
    found, every = (scattered(part) for part in (deep, runs))
    names = {L: wording.counted(L, "layer") for L in sorted({run["n_layer"] for run in runs})}
    rows = [
        {**beside.point(run, names[run["n_layer"]], run[count]), "count": count}
        for count in COUNTS
        for run in runs
    ]
    lines = through(deep) if found else []
    mark = theme.category("series:N", [*names.values()])
    panels = [
        beside.panel(
            [row for row in rows if row["count"] == count], rows, COUNTS[count], mark,
            lines=[partial(dashed, [row for row in lines if row["count"] == count])] if lines else (),
        )
        for count in COUNTS
    ]  # fmt: skip
    dashes = f" Dashes: a smooth line through models of {FEWEST_LAYERS} layers or more." if lines else ""
    caption = (
        f"{wording.counted(len(runs), 'Transformer')} of {wording.counted(len(names), 'depth')}, left with "
        f"embeddings counted, right without.{dashes} {theme.bars(rows)}{told(found, every)}"
    )
    description = f"Test loss falling with model size, both logarithmic, a line for each depth. {caption}"
    data = (("measured", rows), *([("fit", lines)] if lines else []))
    return Drawing(alt.concat(*panels, columns=2), description, caption, data, finding(found, every, deep))


def scattered(runs):
    """Scatter about a smooth line of each count of parameters, as :func:`scatters` gives it; None if unknown.

    One depth alone tells nothing of depths.
    """
    if len({run["n_layer"] for run in runs}) < 2:
        return None
    return scatters(*(column(runs, name) for name in ("N", "N_total", "test_loss")))


def through(runs):
    """Rows of count, x and y of the smooth line through ``runs``, for each count of parameters."""
    rows, losses = [], column(runs, "test_loss")
    for count in COUNTS:
        x = column(runs, count)
        grid = np.geomspace(x.min(), x.max(), LINE_POINTS)
        rows += [
            {"count": count, "x": place, "y": loss}
            for place, loss in zip(grid.tolist(), smooth(x, losses, grid).tolist(), strict=True)
        ]
    return rows


def dashed(rows, x, y):
    """The layer of a smooth line."""
    line = theme.chart(rows).mark_line(style="reference", strokeDash=theme.DASHES[1], clip=True, aria=False)
    return line.encode(x=x("x"), y=y("y"))


def told(found, every):
    """What the caption says of the scatter about the smooth line, and of the line that all depths share."""
    if not found:
        return "Too few runs for their scatter about a line to be told."
    both = (
        f" Models of one layer among them: {sizes(every)}." if every["N"]["runs"] > found["N"]["runs"] else ""
    )
    return f"Scatter about that line (rms, with its {beside.interval_words()}): {sizes(found)}.{both}"


def sizes(found):
    """Both scatters with their intervals: '0.62 % (0.41 to 0.80) in N, … with embeddings'."""
    return f"{beside.size(found['N'])} in N, {beside.size(found['N_total'])} with embeddings counted"


def finding(found, every, deep):
    """The :class:`Finding`, of :func:`scattered` without models of one layer and with ``every`` model.

    Decided without models of one layer, which the paper finds off the line: HOLDS if the scatter in N is
    smaller than with embeddings counted by the whole interval of their ratio and no more than ONE_LINE,
    PARTLY if it is smaller but more than that; FAILS if it is larger; OPEN where the interval contains 1.
    """
    if not found or not known(found["ratio"]):
        depths = wording.counted(len({run["n_layer"] for run in deep}), "depth")
        runs = wording.counted(len(deep), "run")
        return untold(
            PAPER,
            f"{runs} of {depths} of {FEWEST_LAYERS} layers or more are too few for a scatter about a line",
        )
    ratio = found["ratio"]
    smaller, small = ratio["high"] < 1, found["N"]["value"] <= ONE_LINE
    verdict = HOLDS if smaller and small else PARTLY if smaller else FAILS if ratio["low"] > 1 else OPEN
    because = (
        f"from {FEWEST_LAYERS} layers on, the scatter about one line in N is {times(ratio)} times that with "
        "embeddings counted (held against 1, by the whole interval), and "
        f"{wording.significant(found['N']['value'], 2)} % of the loss (held against {ONE_LINE:g} %); with "
        f"models of one layer it is {times(every['ratio'])} times"
    )
    return Finding(PAPER, f"scatter {sizes(found)}", verdict, because)


def times(ratio):
    """A ratio with its interval: '0.312 (0.224 to 0.451)'."""
    value, low, high = (wording.significant(ratio[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
