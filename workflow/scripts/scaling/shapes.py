"""Shapes of Transformers for a number of parameters: layers, width and heads that divide.

pages/templates/planner.js says the same in the page; a test holds the two against each other.
"""

import math

ASPECT = 64
"""d_model / n_layer of a size whose shape nobody has chosen; from 10 to 250 the loss moves by a few percent
(Kaplan et al. 2020, figure 5)."""
ASPECTS = (24, ASPECT, 160)
"""Of a deep, a middling and a wide shape."""
UNITS = ((2048, 128), (256, 64), (64, 32), (0, 8))
"""From which d_model on it is a multiple of what."""
HEADS = ((1024, 128), (128, 64), (32, 16), (0, 8))
"""From which d_model on a head has which width, or the largest half of it that divides d_model."""
OFF = 1.3
"""A shape that misses the wanted size by a larger factor is none of it, unless there is no other."""


def width(N, aspect=ASPECT):
    """d_model of N = 12 · n_layer · d_model² parameters at d_model = ``aspect`` · n_layer, in fractions."""
    return (N * aspect / 12) ** (1 / 3)


def near(N):
    """Shapes {n_layer, d_model, d_ff, n_head} with about ``N`` parameters, from deep to wide, none twice.

    Of each aspect, the width and the layers that come nearest to ``N`` at a width within a quarter of it.
    """
    found = []
    for aspect in ASPECTS:
        wanted = width(N, aspect)
        unit = _step(UNITS, wanted)
        first, last = (max(1, _nearest(share * wanted / unit)) for share in (0.75, 1.25))
        options = [_shape(N, unit * count) for count in range(first, last + 1)]
        best = min(options, key=lambda shape: (_miss(N, shape), abs(shape["d_model"] - wanted)))
        if best not in found:
            found.append(best)
    close = [shape for shape in found if _miss(N, shape) <= OFF]
    return close or [min(found, key=lambda shape: _miss(N, shape))]


def _shape(N, d_model):
    n_layer = max(1, _nearest(N / (12 * d_model**2)))
    head = _step(HEADS, d_model)
    while d_model % head:
        head //= 2
    return {"n_layer": n_layer, "d_model": d_model, "d_ff": 4 * d_model, "n_head": d_model // head}


def _miss(N, shape):
    """By which factor, at least 1, a shape misses ``N``; to the percent, below which aspect decides."""
    ratio = 12 * shape["n_layer"] * shape["d_model"] ** 2 / N
    return _nearest(100 * max(ratio, 1 / ratio)) / 100


def _nearest(value):
    """The nearest whole number; halves go up, as in JavaScript."""
    return math.floor(value + 0.5)


def _step(table, value):
    return next(step for least, step in table if value >= least)
