"""The best learning rate of each model size, and rules of it (Kaplan et al. 2020, equation D.1)."""

from dataclasses import dataclass

import numpy as np

from scaling import trends
from scaling.fitting.fit import FEWEST
from scaling.laws import SEED_NOISE
from scaling.selections import INTERVAL

PAPER = (0.003239, 0.0001395)
"""a and b of the paper's rule a − b ln N (equation D.1)."""
RESAMPLES = 1000
ROUNDING = 1e-9
"""Nats that an exact parabola may miss by."""
AROUND = 2
"""Rates on each side of the lowest that its parabola is fitted to."""
OFF = 2
"""Standard deviations by which losses may lie off their parabola."""


@dataclass(frozen=True)
class Best:
    """The best learning rate of a size: N, ``rate`` with the ends of its interval, ``loss`` of the parabola's
    minimum, ``drawn`` (resamples,) draws of the rate, and ``edge``: '' where the lowest loss has a higher one
    on both sides, or why there is no minimum; the rate is then that of the lowest loss."""

    N: float
    rate: float
    low: float
    high: float
    loss: float
    drawn: np.ndarray
    edge: str


@dataclass(frozen=True)
class Rules:
    """Two rules of the best rate: ``a`` − ``b`` ln N and ``value`` · (N / ``at``)^``exponent``.

    ``exponent`` is {value, low, high}; ``errors`` are what each misses the best rates by, as shares of them
    (rms over sizes): (of the logarithm, of the power).
    """

    a: float
    b: float
    value: float
    at: float
    exponent: dict
    errors: tuple

    def logarithm(self, N):
        return self.a - self.b * np.log(N)

    def power(self, N):
        return self.value * (np.asarray(N, dtype=float) / self.at) ** self.exponent["value"]


def best(N, rate, loss, *, noise=SEED_NOISE, resamples=RESAMPLES, seed=0):
    """The :class:`Best` rate of a size ``N`` from its runs' ``rate`` (runs,) and final ``loss`` (runs,).

    A parabola in ln rate about the lowest loss gives it, by least squares over AROUND rates on each side.
    Where that misses one of them by more than OFF times ``noise``, as it does next to rates that blow up, or
    ends past the lowest's neighbours, the parabola through these three gives it. The interval comes
    from doing so again with losses redrawn by ``noise``, a standard deviation in nats: that of seeds, since
    all rates of a size were measured on the same text. A draw whose lowest loss is at the edge stays there.
    """
    order = np.argsort(rate)
    x, loss = np.log(np.asarray(rate, dtype=float)[order]), np.asarray(loss, dtype=float)[order]
    lowest = int(loss.argmin())
    edge = "" if len(x) > 2 else "fewer than three rates"
    if not edge and lowest in (0, len(x) - 1):
        edge = "at or beyond the highest rate" if lowest else "at or beyond the lowest rate"
    random = np.random.default_rng([seed, round(N)])
    redrawn = loss + random.normal(0, noise, (resamples, len(x)))
    drawn = np.exp([_minimum(x, row, noise)[0] for row in redrawn])
    at, level = _minimum(x, loss, noise)
    low, high = np.quantile(drawn, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2])
    value = float(np.exp(at))
    return Best(float(N), value, float(min(low, value)), float(max(high, value)), level, drawn, edge)


def rules(found, *, seed=0):
    """The :class:`Rules` of :class:`Best` rates, one a size, that are a minimum; None below FEWEST.

    The logarithm has the least relative errors, the power the least errors of ln rate. The exponent's
    interval is wide enough for two: that of the draws of all rates, which holds if losses scatter as was
    assumed and the rule is exact, and that from resampling sizes, which sees what is not.
    """
    inner = [at for at in found if not at.edge]
    if len(inner) < FEWEST or len({at.N for at in inner}) < FEWEST:
        return None
    N, rate = (np.array([getattr(at, name) for at in inner]) for name in ("N", "rate"))
    exponent = trends.trend(N, np.log(rate), seed=seed)
    drawn = np.log([at.drawn for at in inner]).T
    by_loss = trends.slopes(np.log(N), drawn, np.ones(drawn.shape))
    low, high = np.quantile(by_loss, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2])
    exponent |= {"low": float(min(low, exponent["low"])), "high": float(max(high, exponent["high"]))}
    centre = float(np.exp(np.log(N).mean()))
    design = np.stack([np.ones(len(N)), -np.log(N)], axis=1) / rate[:, None]
    a, b = np.linalg.lstsq(design, np.ones(len(N)), rcond=None)[0]
    made = Rules(float(a), float(b), float(np.exp(np.log(rate).mean())), centre, exponent, ())
    errors = tuple(float(np.sqrt(((by / rate - 1) ** 2).mean())) for by in (made.logarithm(N), made.power(N)))
    return Rules(made.a, made.b, made.value, made.at, exponent, errors)


def _minimum(x, loss, noise):
    """ln rate and loss at the minimum of the parabola about the lowest of ``loss``; an edge as it is."""
    lowest = int(loss.argmin())
    if lowest in (0, len(x) - 1):
        return float(x[lowest]), float(loss[lowest])
    for around in (AROUND, 1):
        near = slice(max(lowest - around, 0), lowest + around + 1)
        centred = x[near] - x[lowest]
        curve, slope, level = np.polyfit(centred, loss[near], 2)
        at = -slope / (2 * curve) if curve > 0 else np.inf
        off = np.abs(level + slope * centred + curve * centred**2 - loss[near]).max()
        inside = x[lowest - 1] <= x[lowest] + at <= x[lowest + 1]
        if inside and off <= OFF * noise + ROUNDING:
            return float(x[lowest] + at), float(level + slope * at / 2)
    return float(x[lowest]), float(loss[lowest])
