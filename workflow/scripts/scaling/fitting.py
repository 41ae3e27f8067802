"""The engine: robust fits that are straight in log coordinates, with intervals from whole runs.

It knows no law by name. Points of one learning curve are not independent, so what is resampled is always
the run: a :class:`Selection` says what each resample of the runs leaves to fit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from scaling.provenance import UserError

DELTA = 0.01
"""Where Huber's loss on ln L turns from squares to absolute values. The paper's 0.02 nats between seeds are
0.005 of a loss near 4; δ is twice that, so that ordinary runs count in full and a failed one does not."""
FEWEST = 3
"""Runs, and different x, below which two parameters have no interval."""
FEWEST_DRAWS = 20
BAND_POINTS = 60


@dataclass(frozen=True)
class Points:
    """What R resamples leave to fit: Σ_k ``features``[p, k] · θ_k ≈ ``target``[r, p], weighted.

    ``features`` (P, K), near unit scale; ``target`` (R, P) or (1, P), natural logarithms, ignored where
    ``weight`` (R, P) is zero.
    """

    features: np.ndarray
    target: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Selection:
    """The points that a law is fitted to, and the runs that they come from.

    ``points(counts)`` maps how often each of ``runs`` was drawn, (R, runs) integers, to :class:`Points`;
    ``line(theta)`` maps coefficients (R, K) to intercept and slope, (R,) each, of ln y against ln x, NaN
    where they give none. ``x``, ``y``, ``run`` and ``y_se`` (or None) are the points of the full set of
    runs, as drawn in a chart. ``method`` is a sentence, ``remedy`` what to do where points are too few,
    ``excluded`` maps runs left out to the reason, ``facts`` join the record of the points.
    """

    runs: list[str]
    points: Callable
    line: Callable
    x: np.ndarray
    y: np.ndarray
    run: list[str]
    method: str
    remedy: str
    excluded: dict[str, str] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    y_se: np.ndarray | None = None


@dataclass(frozen=True)
class Solution:
    """R fits: coefficients ``theta`` (R, K), NaN where the points left them undetermined; the summed Huber
    loss ``objective`` (R,); ``converged`` (R,)."""

    theta: np.ndarray
    objective: np.ndarray
    converged: np.ndarray


def straight(x):
    """Features (P, 2) of a straight line in ln x, centred and scaled, and the function back to a line."""
    u = np.log(x)
    centre, scale = u.mean(), u.std() or 1.0

    def line(theta):
        slope = theta[:, 1] / scale
        return theta[:, 0] - slope * centre, slope

    return np.stack([np.ones_like(u), (u - centre) / scale], axis=1), line


def huber(residual, delta=DELTA):
    """Huber's loss: r²/2 within δ, δ · (|r| − δ/2) outside."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def solve(points, *, delta=DELTA, tolerance=1e-9, iterations=5000):
    """Minimise Σ weight · huber(target − features · θ; δ), summed and not averaged, for R resamples at once.

    Iteratively reweighted least squares: each round solves its normal equations exactly and can only lower
    the objective, which is convex. A resample has converged when its gradient, as a share of the largest
    that its points could exert, is below ``tolerance``. Points that do not determine θ (fewer than two
    different x for a line) give NaN.
    """
    features, weight = points.features, points.weight
    rows, k = len(weight), features.shape[1]
    target = np.where(weight > 0, points.target, 0.0)
    products = (features[:, :, None] * features[:, None, :]).reshape(-1, k * k)
    theta, objective = np.full((rows, k), np.nan), np.full(rows, np.nan)
    converged = np.zeros(rows, dtype=bool)
    spread = np.linalg.eigvalsh((weight @ products).reshape(-1, k, k))
    todo = np.flatnonzero(spread[:, 0] > 1e-9 * spread[:, -1])
    robust, reach = np.ones((len(todo), len(features))), np.abs(features).max(0)
    weight, target = weight[todo], target[todo]
    for _ in range(iterations):
        if not todo.size:
            break
        pull = weight * robust
        normal = (pull @ products).reshape(-1, k, k)
        solution = np.linalg.solve(normal, ((pull * target) @ features)[:, :, None])[:, :, 0]
        residual = target - solution @ features.T
        gradient = (weight * np.clip(residual, -delta, delta)) @ features
        done = (np.abs(gradient) <= tolerance * delta * weight.sum(1, keepdims=True) * reach).all(1)
        theta[todo], converged[todo] = solution, done
        objective[todo[done]] = (weight * huber(residual, delta))[done].sum(1)
        robust = (delta / np.maximum(np.abs(residual), delta))[~done]
        todo, weight, target = todo[~done], weight[~done], target[~done]
    return Solution(theta, objective, converged)


def draw(runs, resamples, seed):
    """How often each of ``runs`` is drawn, with replacement, in each resample: (resamples, runs) integers.

    The same seed and number of runs give the same draws, so that laws fitted to the same runs can be
    compared draw by draw.
    """
    return np.random.default_rng(seed).multinomial(runs, np.full(runs, 1 / runs), size=resamples)


def tails(interval, runs):
    """The two quantiles of the draws that bound an interval.

    Draws scatter less than their fit by a factor √((n − 2)/n), two parameters having been fitted to n runs;
    the quantiles are moved outwards to make up for it. Nine runs and 90 % give 0.031 and 0.969.
    """
    reach = NormalDist().inv_cdf(0.5 + interval / 2) * (runs / (runs - 2)) ** 0.5
    return [NormalDist().cdf(-reach), NormalDist().cdf(reach)]


def fit(law, selection, *, resamples, seed, interval):
    """Fit ``law`` (its ``form`` and the names of its ``parameters``) to a selection of runs.

    Returns the result as JSON values (parameters with intervals, the points, a band for predictions) and
    the draws, {parameter: (resamples,)}, NaN for a resample that was dropped: one whose points do not
    determine the law or whose fit did not converge.
    Raises :class:`UserError` with fewer than three different x, or if the runs, or all but a few resamples
    of them, determine no fit.
    """
    runs, distinct = len(selection.runs), len(np.unique(selection.x))
    if distinct < FEWEST:
        raise UserError(f"{distinct} different {law.x}, at least {FEWEST} are needed; {selection.remedy}")
    full = solve(selection.points(np.ones((1, runs), dtype=int)))
    drawn = solve(selection.points(draw(runs, resamples, seed)))
    intercepts, slopes = selection.line(np.concatenate([full.theta, drawn.theta]))
    if not (full.converged[0] and np.isfinite(slopes[0])):
        raise UserError(f"the points of {runs} runs determine no fit; {selection.remedy}")
    kept = drawn.converged & np.isfinite(slopes[1:])
    if kept.sum() < FEWEST_DRAWS:
        raise UserError(f"only {kept.sum()} of {resamples} resamples determine a fit; {selection.remedy}")

    quantiles = tails(interval, min(runs, distinct))
    values = dict(zip(law.parameters, law.form.from_line(intercepts, slopes), strict=True))
    draws = {parameter: np.where(kept, value[1:], np.nan) for parameter, value in values.items()}
    ends = {parameter: np.quantile(value[kept], quantiles).tolist() for parameter, value in draws.items()}
    grid = np.geomspace(selection.x.min(), selection.x.max(), BAND_POINTS)
    lines = np.exp(intercepts[:, None] + slopes[:, None] * np.log(grid))
    low, high = np.quantile(lines[1:][kept], quantiles, axis=0)
    residual = np.log(selection.y) - intercepts[0] - slopes[0] * np.log(selection.x)
    result = {
        "parameters": {
            parameter: {"value": float(value[0]), "low": ends[parameter][0], "high": ends[parameter][1]}
            for parameter, value in values.items()
        },
        "interval": interval,
        "quantiles": quantiles,
        "resamples": resamples,
        "dropped": int(resamples - kept.sum()),
        "seed": seed,
        "delta": DELTA,
        "objective": float(full.objective[0]),
        "method": selection.method,
        "data": {
            "runs": runs,
            "points": len(selection.x),
            "run": selection.run,
            "x": selection.x.tolist(),
            "y": selection.y.tolist(),
            "y_se": None if selection.y_se is None else selection.y_se.tolist(),
        }
        | selection.facts,
        "excluded": [{"run": run, "reason": reason} for run, reason in selection.excluded.items()],
        "rms_log_residual": float(np.sqrt(np.mean(residual**2))),
        "band": {"x": grid.tolist(), "y": lines[0].tolist(), "low": low.tolist(), "high": high.tolist()},
    }
    return result, draws
