"""Loss by position in the context, as a power of the position (Kaplan et al. 2020, figure 20).

A position T counts from 1: the loss there is that of the token predicted from T tokens.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scaling import trends
from scaling.fitting.resampling import tails
from scaling.rows import finite, sound
from scaling.selections import INTERVAL

BINS = 16
"""About as many bins a whole context is shown in."""
RESAMPLES = 1000
EXPONENTS = np.round(np.arange(-1.0, 4.001, 0.02), 10)
"""Exponents among which that of a power is sought; at the ends of the range there is none."""
FEWEST_POSITIONS = 8
"""Positions below which no power is fitted."""
FORMS = POWER, PLAIN, LOGARITHM, FLAT = "power with a constant", "plain power", "logarithm", "constant"


@dataclass(frozen=True)
class Powers:
    """L(T) = floor + drop · T^−exponent of several runs.

    ``exponent``, ``floor``, ``drop`` (runs,), floor and drop in nats; ``low`` and ``high`` (runs,) of the
    exponent's interval; ``drawn`` (resamples, runs) draws of it; ``sound`` (runs,) is true where the exponent
    lies inside the range it was sought in and, with its interval, above zero, so that the loss falls and a
    logarithm does not do as well.
    """

    exponent: np.ndarray
    low: np.ndarray
    high: np.ndarray
    floor: np.ndarray
    drop: np.ndarray
    drawn: np.ndarray
    sound: np.ndarray

    @property
    def inner(self):
        """Whether the exponent of each run lies inside the range it was sought in: (runs,)."""
        return (self.exponent > EXPONENTS[0]) & (self.exponent < EXPONENTS[-1])

    def at(self, T, run):
        """Losses of the fit of ``run``, an index, at positions ``T``."""
        return self.floor[run] + self.drop[run] * np.asarray(T, dtype=float) ** -self.exponent[run]


def profiles(evaluations, runs):
    """Losses by position on the test split, {run: {step: (n_ctx,) nats}}, of ``runs`` that have them.

    ``evaluations`` and ``runs`` are rows of the tables; positions that are not numbers leave a row out.
    """
    kept, found = {run["run"] for run in runs}, {}
    for row in evaluations:
        losses = row.get("loss_by_position")
        if (
            row["run"] in kept
            and row["set"] == "test"
            and losses
            and all(map(finite, [row["loss"], *losses]))
        ):
            found.setdefault(row["run"], {})[row["step"] or 0] = np.array(losses, dtype=float)
    return {run: dict(sorted(by_step.items())) for run, by_step in found.items()}


def at_end(evaluations, runs, experiment):
    """Pairs (run, losses by position at its last snapshot) of ``experiment``, in order of N."""
    members = sound(runs, (experiment,), "test_loss")[0]
    found = profiles(evaluations, members)
    return [(run, list(found[run["run"]].values())[-1]) for run in members if run["run"] in found]


def of_longest(pairs):
    """Those of ``pairs`` (run, losses) whose context is the longest of them, one for each N."""
    longest = max((len(losses) for _, losses in pairs), default=0)
    return list({run["N"]: (run, losses) for run, losses in pairs if len(losses) == longest}.values())


def bins(n_ctx, count=BINS):
    """Bins of positions 1 to ``n_ctx``, about ``count`` evenly spaced in ln T: pairs (first, last)."""
    edges = sorted({round(edge) for edge in np.geomspace(1, n_ctx + 1, count + 1)})
    return [(first, after - 1) for first, after in pairwise(edges)]


def octaves(n_ctx):
    """Bins that each end at a power of two, as far as ``n_ctx`` reaches: (1, 1), (2, 2), (3, 4), (5, 8), …"""
    ends = [2**power for power in range(int(math.log2(n_ctx)) + 1)]
    return [(end // 2 + 1, end) for end in ends]


def middle(first, last):
    """The position at the middle of a bin: the geometric mean of those in it."""
    return float(np.exp(np.log(np.arange(first, last + 1)).mean()))


def averaged(losses, parts):
    """Mean loss in each of the bins ``parts``, of losses (…, n_ctx): (…, bins)."""
    return np.stack([losses[..., first - 1 : last].mean(-1) for first, last in parts], axis=-1)


def fit(losses, *, resamples=RESAMPLES, seed=0):
    """:class:`Powers` of ``losses`` (runs, n_ctx), by least squares over all positions.

    The basis (T^−α − 1)/α is a logarithm at α = 0, so an interval that contains 0 cannot tell a power from
    one. Intervals come from drawing the residuals of positions anew; every run draws the same positions,
    since all were measured on the same text. ValueError where positions are fewer than FEWEST_POSITIONS.
    """
    runs, n_ctx = losses.shape
    if n_ctx < FEWEST_POSITIONS:
        raise ValueError(f"{n_ctx} positions, at least {FEWEST_POSITIONS} are needed")
    T = np.arange(1.0, n_ctx + 1)
    exponent = _exponents(losses, T, _power)
    coefficients = [_solve(_power(T, alpha), row) for alpha, row in zip(exponent, losses, strict=True)]
    fitted = np.array([_power(T, alpha) @ c for alpha, c in zip(exponent, coefficients, strict=True)])
    chosen = np.random.default_rng(seed).integers(n_ctx, size=(resamples, n_ctx))
    spare = (n_ctx / (n_ctx - 3)) ** 0.5
    redrawn = fitted + spare * (losses - fitted)[:, chosen].transpose(1, 0, 2)
    drawn = _exponents(redrawn.reshape(-1, n_ctx), T, _power).reshape(resamples, runs)
    low, high = np.quantile(drawn, tails(INTERVAL, n_ctx, 3), axis=0)
    # a + b (T^−α − 1)/α is floor + drop T^−α
    a, b = np.array(coefficients).T
    steep = np.where(exponent == 0, np.nan, exponent)
    floor, drop = a - b / steep, b / steep
    inside = (low > 0) & (high < EXPONENTS[-1]) & (exponent < EXPONENTS[-1]) & (drop > 0)
    return Powers(exponent, low, high, floor, drop, drawn, inside)


def left_out(losses):
    """How far each form misses bins that were left out of its fit, {form: (runs,)}, nats, rms over bins.

    ``losses`` (runs, n_ctx). Each bin of :func:`bins` but the first and the last is left out in turn, all its
    positions with it.
    """
    n_ctx = losses.shape[1]
    T, parts = np.arange(1.0, n_ctx + 1), bins(n_ctx)[1:-1]
    missed = {form: np.zeros(len(losses)) for form in FORMS}
    for first, last in parts:
        out = (first <= T) & (last >= T)
        for form in FORMS:
            predicted = _predict(form, losses[:, ~out], T[~out], T[out])
            missed[form] += (predicted.mean(1) - losses[:, out].mean(1)) ** 2
    return {form: np.sqrt(squares / len(parts)) for form, squares in missed.items()}


def whole_drop(losses):
    """By how many nats ``losses`` (…, n_ctx) fall from the first position to the second half of them."""
    return losses[..., 0] - losses[..., losses.shape[-1] // 2 :].mean(-1)


def rise_of_exponent(N, powers):
    """The slope of the exponent in ln N, {value, low, high}, over the runs with an exponent inside the range.

    Its draws resample runs and, in each, the residuals of positions. NaN where there are too few of them.
    """
    kept = powers.inner
    if kept.sum() < 2:
        return {"value": math.nan, "low": math.nan, "high": math.nan}
    return trends.trend(np.asarray(N, dtype=float)[kept], powers.exponent[kept], drawn=powers.drawn[:, kept])


def sampling_error(losses, loss_se, upto):
    """Standard error of the mean loss at positions 1 to ``upto``, from the windows that were measured.

    ``losses`` (n_ctx,) are means over windows, ``loss_se`` the error of their mean. Neighbouring positions
    past ``upto`` tell how much one position scatters; what loss_se holds beyond that is common to the
    positions of a window.
    """
    steps = np.diff(losses[upto:])
    within = (steps**2).mean() / 2 if len(steps) else 0.0
    between = max(loss_se**2 - within / len(losses), 0.0)
    return math.sqrt(between + within / upto)


def _power(T, alpha):
    second = -np.log(T) if alpha == 0 else (T**-alpha - 1) / alpha
    return np.stack([np.ones_like(T), second], axis=1)


def _plain(T, alpha):
    return (T**-alpha)[:, None]


def _solve(design, y):
    return np.linalg.lstsq(design, y, rcond=None)[0]


def _exponents(y, T, design):
    """The exponent of each row of ``y`` (rows, n) by least squares: of the grid, refined by a parabola."""
    bases = np.stack([np.linalg.qr(design(T, alpha))[0] for alpha in EXPONENTS])
    squares = (y**2).sum(1) - ((bases.transpose(0, 2, 1) @ y.T) ** 2).sum(1)
    best = squares.argmin(0)
    at, rows = np.clip(best, 1, len(EXPONENTS) - 2), np.arange(len(y))
    before, here, after = (squares[at + shift, rows] for shift in (-1, 0, 1))
    bend = before + after - 2 * here
    shift = np.where(bend > 0, (before - after) / (2 * np.where(bend > 0, bend, 1)), 0)
    refined = EXPONENTS[at] + np.clip(shift, -1, 1) * (EXPONENTS[1] - EXPONENTS[0])
    return np.where(best == at, refined, EXPONENTS[best])


def _predict(form, losses, T, new):
    """Losses (runs, new) that ``form``, fitted to ``losses`` (runs, T), gives at positions ``new``."""
    if form == FLAT:
        return np.repeat(losses.mean(1)[:, None], len(new), axis=1)
    if form == LOGARITHM:
        return np.array([_power(new, 0) @ _solve(_power(T, 0), row) for row in losses])
    design = _power if form == POWER else _plain
    exponents = _exponents(losses, T, design)
    return np.array(
        [design(new, a) @ _solve(design(T, a), row) for a, row in zip(exponents, losses, strict=True)]
    )
