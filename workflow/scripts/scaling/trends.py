"""How a number of each run goes with model size: a slope in ln N, its interval from resampling whole runs."""

import math

import numpy as np

from scaling.fitting.resampling import draw, tails
from scaling.selections import INTERVAL

RESAMPLES = 1000
SPARE = 2
"""Runs beyond the coefficients of a fit that its interval needs."""


def trend(N, y, *, drawn=None, resamples=RESAMPLES, seed=0):
    """The slope of ``y`` (runs,) in ln ``N`` (runs,), {value, low, high}; the ends as :func:`interval`'s.

    ``drawn`` (resamples, runs), if given, are draws of y from its own error, one row a resample of runs.
    """
    counts = draw(len(N), resamples if drawn is None else len(drawn), seed)
    whole = slopes(np.log(N), y, np.ones((1, len(N))))
    return interval(
        np.concatenate([whole, slopes(np.log(N), y if drawn is None else drawn, counts)]), len(N), 2
    )


def slopes(x, y, counts):
    """Slopes of ``y`` in ``x`` (runs,) by least squares, weighted by ``counts`` (draws, runs): (draws,).

    ``y`` is (runs,) or (draws, runs). NaN where a draw holds one value of x alone.
    """
    total = counts.sum(1)
    centred = x - (counts @ x / total)[:, None]
    spread = (counts * centred**2).sum(1)
    # draws of a single run leave rounding, no spread
    usable = spread > 1e-9 * max(np.ptp(x) ** 2, 1e-9)
    found = np.full(len(counts), np.nan)
    found[usable] = (counts * centred * y).sum(1)[usable] / spread[usable]
    return found


def interval(values, runs, size):
    """The first of ``values`` and the interval of the others, draws of a fit of ``size`` coefficients to
    ``runs``: {value, low, high}. The ends are NaN where fewer than two runs are left to know the scatter by:
    resamples of three cannot leave the range of the slopes between them, however wide an interval is asked.
    """
    value, drawn = float(values[0]), values[1:][np.isfinite(values[1:])]
    if runs - size < SPARE or not len(drawn) or not math.isfinite(value):
        return {"value": value, "low": math.nan, "high": math.nan}
    low, high = np.quantile(drawn, tails(INTERVAL, runs, size))
    return {"value": value, "low": float(low), "high": float(high)}


def known(number):
    """Whether a number of :func:`interval` has its ends."""
    return math.isfinite(number["low"]) and math.isfinite(number["high"])
