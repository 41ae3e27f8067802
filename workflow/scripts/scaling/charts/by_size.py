"""What the charts of a law of N and one more input share: points in the colour of N, the law at a few N."""

import altair as alt
import numpy as np

from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.laws import LAWS

SIZES = 6
"""Sizes at which the law is drawn where there are more than a legend names."""
CURVE_POINTS = 40


def draw(fit, runs, *, place, x, title, words, description, more=lambda ends: [], finding=None):
    """The :class:`Drawing` of a fit whose inputs are N and another.

    ``place(N, other)`` is where a point lies on x, ``title`` what its tooltip calls that; ``x(field, ends)``
    makes the encoding, ``more(ends)`` layers that go with it. ``words`` begin the caption;
    ``finding`` is what the chart finds of a claim of the paper, if it makes one.
    """
    points = [{**point, "x": place(*_inputs(fit, point))} for point in fitted.points(fit, runs)]
    lines = curves(fit, points, place) if wording.certified(fit) else []
    ends, y = theme.domain([point["x"] for point in points]), theme.loss_axis(points)

    def along(field):
        return x(field, ends=ends)

    sizes, where = {point["N"] for point in points}, {"x": along("x"), "y": y("y")}
    marks = theme.chart(points).mark_point(filled=True, size=36, opacity=0.75)
    drawn = theme.chart(lines).mark_line(strokeWidth=2, clip=True, aria=False)
    chart = alt.layer(
        theme.error_bars(points, along, y),
        marks.encode(
            **where, fill=theme.N_colour(sizes), tooltip=fitted.tooltip(points, title, "nats per token")
        ),
        *([drawn.encode(**where, stroke=theme.N_colour(sizes, alt.Stroke), detail="N:Q")] if lines else []),
        *more(ends),
    ).resolve_legend(stroke="independent")
    law = f" Lines: the law at {wording.counted(len({row['N'] for row in lines}), 'size')}." if lines else ""
    caption = f"{words}{law} {theme.bars(points)}{wording.finding(fit)}"
    data = (("measured", points), *([("fit", lines)] if lines else []))
    return Drawing(chart, f"{description} {caption}", caption, data, finding)


def curves(fit, points, place):
    """Rows of N, x and y of the law at a few of the sizes, each as far as points of about that size reach."""
    N, other = np.array([_inputs(fit, point) for point in points]).T
    sizes = np.unique(N)
    if len(sizes) > theme.MOST_NAMED:
        wanted = np.geomspace(sizes[0], sizes[-1], 2 * SIZES + 1)[1::2]
        sizes = np.unique(sizes[np.abs(np.log(sizes / wanted[:, None])).argmin(1)])
    nearest = np.abs(np.log(N / sizes[:, None])).argmin(0)
    parameters = {name: found["value"] for name, found in fit["parameters"].items()}
    rows = []
    for index, size in enumerate(sizes):
        reach = other[nearest == index]
        grid = np.geomspace(reach.min(), reach.max(), CURVE_POINTS)
        inputs = dict(zip(fit["inputs"], (np.full(CURVE_POINTS, size), grid), strict=True))
        losses = LAWS[fit["law"]].predict(inputs, parameters)
        rows += [
            {"N": float(size), "x": float(place(size, value)), "y": float(loss)}
            for value, loss in zip(grid, losses, strict=True)
        ]
    return rows


def _inputs(fit, row):
    """N and the other input of a row of :func:`fitted.points`."""
    return [row[name] for name in fit["inputs"]]
