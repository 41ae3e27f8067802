"""Runs beside others: at equal N or compute, around one line of all depths, by position, across depth.

Pure functions of arrays. Numbers with an interval are {value, low, high, runs}; the interval is NaN where too
few runs are left to know one.
"""

import math
from statistics import NormalDist

import numpy as np

from scaling.fitting.resampling import draw, student, widening
from scaling.selections import INTERVAL
from scaling.trends import interval

RESAMPLES = 1000
CURVED = 2
"""Degree of the smooth line in ln x of ln loss: a power law and its curvature."""
EARLY, LATE = 1 / 16, 1 / 2
"""Shares of the context: its first sixteenth counts as early, its last half as late."""
SPARE = 2
"""Runs that a smooth line needs beyond its coefficients, for its scatter to be one."""


# --- at equal N, or at equal compute --------------------------------------------------------------------


def interpolate(x, losses, at):
    """Losses of runs at ``x`` (n,), interpolated at ``at`` (m,) in ln x and ln loss; NaN outside their range.

    ``losses`` is (n,) or (n, k), of which each column is a line; the result is (m,) or (m, k). Runs of one x
    count by the mean of their logarithms.
    """
    knots, place = np.unique(np.log(x), return_inverse=True)
    logs = np.log(np.asarray(losses, dtype=float))
    columns = logs.reshape(len(logs), -1).T
    means = [np.bincount(place, column) / np.bincount(place) for column in columns]
    # the same N by another road is the same N
    where, slack = np.log(np.asarray(at, dtype=float)), 1e-9
    inside = (where >= knots[0] - slack) & (where <= knots[-1] + slack)
    found = np.array([np.where(inside, np.interp(where, knots, mean), np.nan) for mean in means]).T
    return np.exp(found.reshape(len(where), *logs.shape[1:]))


def above(x, losses, at, beside):
    """How far the losses ``beside`` of runs at ``at`` lie above the line of others, in per cent of the line.

    Shapes as in :func:`interpolate`, ``beside`` like its result. NaN beyond the line's ends.
    """
    return 100 * (np.asarray(beside, dtype=float) / interpolate(x, losses, at) - 1)


def of_line(x, losses, at, noise):
    """Standard error, per cent, that the line itself brings to the mean of :func:`above` at ``at`` (m,).

    Its runs are off by ``noise`` nats each, and all that lies at one place is held against the same few of
    them, which resampling what lies there does not show. 0 where nothing lies inside the line's range.
    """
    weights = np.log(interpolate(x, np.exp(np.eye(len(x))), at))
    weights = weights[np.isfinite(weights[:, 0])]
    return 100 * noise * float(np.linalg.norm(weights.mean(0) / losses)) if len(weights) else 0.0


def mean(values, *, common=0.0, resamples=RESAMPLES, seed=0):
    """The mean of ``values`` (runs,), NaN left out, with its interval from resampling runs.

    ``common`` is a standard error that all have in common, which is added in quadrature.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    runs = len(values)
    if not runs:
        return {"value": math.nan, "low": math.nan, "high": math.nan, "runs": 0}
    drawn = draw(runs, resamples, seed) @ values / runs
    found = interval(np.concatenate([[values.mean()], drawn]), runs, 1)
    value, reach = found["value"], NormalDist().inv_cdf(0.5 + INTERVAL / 2) * common
    low, high = (math.hypot(value - found[end], reach) for end in ("low", "high"))
    return {"value": value, "low": value - low, "high": value + high, "runs": runs}


# --- one line for all depths ----------------------------------------------------------------------------


def smooth(x, losses, at):
    """The line of :func:`scatter` through ``losses`` (n,) at ``x`` (n,), told at ``at`` (m,)."""
    middle = np.log(x).mean()
    line = np.polyfit(np.log(x) - middle, np.log(losses), CURVED)
    return np.exp(np.polyval(line, np.log(at) - middle))


def scatter(x, losses, counts=None):
    """Scatter of ``losses`` (n,) about one smooth line in ``x`` (n,), per cent of the loss.

    It is the root of the sum of squares over the runs to spare, n less the line's coefficients. The line is
    quadratic in log-log (:data:`CURVED`), so that the curvature of L(N) is not taken for scatter, fitted by
    least squares. ``counts`` (draws, n) are how often each run counts; the result is then (draws,), NaN where
    a draw has too few different runs.
    """
    single = counts is None
    counts = np.ones((1, len(x))) if single else np.asarray(counts, dtype=float)
    reach = np.log(x) - np.log(x).mean()
    terms = np.vander(reach / max(np.abs(reach).max(), 1e-9), CURVED + 1)
    logs = np.log(losses)
    found = np.full(len(counts), np.nan)
    for index in np.flatnonzero((counts > 0).sum(1) >= CURVED + 1 + SPARE):
        weights = np.sqrt(counts[index])
        line = np.linalg.lstsq(terms * weights[:, None], logs * weights, rcond=None)[0]
        found[index] = 100 * np.sqrt(
            counts[index] @ (logs - terms @ line) ** 2 / (counts[index].sum() - CURVED - 1)
        )
    return float(found[0]) if single else found


def scatters(N, N_total, losses, *, resamples=RESAMPLES, seed=0):
    """Scatter of ``losses`` (n,) about a line in ``N`` and about one in ``N_total``, and their ratio.

    A dict of ``N``, ``N_total`` (per cent) and ``ratio`` (the first by the second), from the same draws of
    runs. They scatter less than the runs they are drawn from, and are widened for it. None where there are
    too few runs for a line.
    """
    runs = len(losses)
    if runs < CURVED + 1 + SPARE:
        return None
    drawn = np.concatenate([np.ones((1, runs)), draw(runs, resamples, seed)])
    found = {"N": scatter(N, losses, drawn), "N_total": scatter(N_total, losses, drawn)}
    for values in found.values():
        values[1:] *= widening(runs, CURVED + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found["ratio"] = found["N"] / found["N_total"]
    return {name: {**interval(values, runs, CURVED + 1), "runs": runs} for name, values in found.items()}


# --- across depth ---------------------------------------------------------------------------------------


def groups(sizes, width):
    """Groups of ``sizes`` that lie within a factor ``width``, by index, from small to large.

    Each begins at the smallest size that is in none yet.
    """
    found = []
    for index in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if found and sizes[index] <= width * sizes[found[-1][0]]:
            found[-1].append(index)
        else:
            found.append([index])
    return found


def slope(x, y, group):
    """Slope of ``y`` (n,) in ``x`` (n,), the same in every group, with its interval.

    Groups have means of their own, so that what differs between them does not count. The interval is that of
    least squares, Student's t with a degree of freedom less for each group and for the slope: runs of one
    group are too few to be resampled. None where no run is left to know the scatter by, or x does not differ.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    members = [np.flatnonzero(np.asarray(group) == name) for name in np.unique(group)]
    for values in (x, y):
        for member in members:
            values[member] -= values[member].mean()
    freedom, spread = len(x) - len(members) - 1, float(x @ x)
    if freedom < 1 or spread < 1e-9:
        return None
    value = float(x @ y) / spread
    error = math.sqrt(float(((y - value * x) ** 2).sum()) / freedom / spread)
    reach = student(0.5 + INTERVAL / 2, freedom) * error
    return {"value": value, "low": value - reach, "high": value + reach, "runs": len(x)}


def beyond(x, y, known):
    """Slope of ``y`` (n,) in ``x`` (n,) beyond a straight line in ``known`` (n,), with its interval.

    By least squares of y in both, Student's t with three degrees of freedom less than runs. None where no run
    is left to know the scatter by, or x and ``known`` cannot be told apart.
    """
    x, y, known = (np.asarray(values, dtype=float) for values in (x, y, known))
    terms, freedom = np.stack([x, known, np.ones(len(x))], axis=1), len(x) - 3
    if freedom < 1 or np.linalg.matrix_rank(terms, tol=1e-6) < 3:
        return None
    found = np.linalg.lstsq(terms, y, rcond=None)[0]
    variance = float(((y - terms @ found) ** 2).sum()) / freedom
    error = math.sqrt(variance * np.linalg.inv(terms.T @ terms)[0, 0])
    reach, value = student(0.5 + INTERVAL / 2, freedom) * error, float(found[0])
    return {"value": value, "low": value - reach, "high": value + reach, "runs": len(x)}


# --- by position in the context -------------------------------------------------------------------------


def early_and_late(positions):
    """Mean losses (runs, 2) early and late in the context, of ``positions`` (runs, n_ctx).

    Early is the first sixteenth of the context, late its last half (:data:`EARLY`, :data:`LATE`).
    """
    positions = np.asarray(positions, dtype=float)
    first, last = parts(positions.shape[1])
    return np.stack([positions[:, :first].mean(1), positions[:, -last:].mean(1)], axis=1)


def parts(n_ctx):
    """How many positions are early and how many late in a context of ``n_ctx``."""
    return max(1, round(n_ctx * EARLY)), max(1, round(n_ctx * LATE))


def growth(x, early_late, at, beside, *, noise=0.0, resamples=RESAMPLES, seed=0):
    """Gaps of runs to the line of others at equal N, early and late in the context, and how they grow.

    ``x`` (n,) and ``early_late`` (n, 2) are the line's, ``at`` (m,) and ``beside`` (m, 2) those of the runs
    beside it. A dict of ``early``, ``late`` and ``growth`` (late less early), means over the runs inside the
    line's range, in per cent; the three come of the same draws. The line's runs are off by ``noise``
    nats, early as late, so that growth knows nothing of it.
    """
    early, late = above(x, early_late, at, beside).T
    own = [of_line(x, losses, at, noise) for losses in np.asarray(early_late, dtype=float).T]
    gaps = {"early": (early, own[0]), "late": (late, own[1]), "growth": (late - early, 0.0)}
    return {
        name: mean(values, common=error, resamples=resamples, seed=seed)
        for name, (values, error) in gaps.items()
    }
