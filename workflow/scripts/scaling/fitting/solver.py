"""Many small robust fits at once: Σ_p weight · huber(target − f(θ; u)), summed and never averaged.

Averaging makes a quasi-Newton method stop where it starts, since its tolerances see a gradient that the
number of points has divided away.
"""

from dataclasses import dataclass, fields

import numpy as np

TOLERANCE = 1e-7
"""A gradient is zero below this share of the largest that the points could exert on its coefficient."""
ITERATIONS = 500
STALLED = 1e14
"""Damping at which a problem is given up."""
LEVELLING = 0.01
"""Share of each coefficient's own curvature in the damping, against steps along what points leave open."""
NUDGE, BEND = 0.1, 0.75
"""Share of a step at which the bending of f is felt; largest correction for it, as a share of the step."""
CHUNK = 2**15
"""Products of problems and points worked on at once, so that their gradients stay in the cache."""


@dataclass(frozen=True)
class Solution:
    """R fits: coefficients ``theta`` (R, K) and how far they ``moved`` (R,) from their start, the largest;
    the summed loss ``objective`` (R,); ``gradient`` (R,), its largest component, each as a share of what the
    points could exert; whether it ``converged`` (R,); the ``condition`` (R,) of the curvature, each
    coefficient scaled to its own, infinite where the points leave a coefficient open."""

    theta: np.ndarray
    moved: np.ndarray
    objective: np.ndarray
    gradient: np.ndarray
    converged: np.ndarray
    condition: np.ndarray


def huber(residual, delta):
    """Huber's loss: r²/2 within δ, δ · (|r| − δ/2) outside."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def minimise(form, u, target, weight, start, bounds, delta, least=None):
    """Minimise the loss of R problems that share their inputs; returns a :class:`Solution`.

    ``form`` a :class:`scaling.forms.Form` of K coefficients; ``u`` (V, P) its inputs; ``target`` (P,)
    logarithms; ``weight`` (R, P), zero for points that a problem is without; ``start`` (R, K) or (1, K);
    ``bounds`` two arrays (K,) that no coefficient leaves; ``delta`` Huber's δ; ``least`` (P,) is true where
    the target is only the least that it could be, so that a prediction above it is no error.

    Newton's method on the curvature of the points within δ, damped by that of the parabolas which bound
    Huber's loss from above (the matrix of reweighted least squares). With much damping a step cannot but
    lower a convex loss; with none it is exact once the points within δ are settled. Steps are corrected for
    the bending of f (geodesic acceleration; Transtrum & Sethna 2012), without which some starts are still
    creeping along the floor of a valley after hundreds of steps.
    """
    rows, points = weight.shape
    start = np.broadcast_to(start, (rows, form.size))
    size = max(1, CHUNK // points)
    chunks = [slice(begin, begin + size) for begin in range(0, rows, size)]
    # a wild step may overflow; its loss is then infinite and it is not taken
    with np.errstate(all="ignore"):
        return joined(
            [_Problems(form, u, target, weight[at], bounds, delta, least).solve(start[at]) for at in chunks]
        )


def joined(parts):
    """Solutions of several sets of problems as one."""
    columns = ([getattr(part, field.name) for part in parts] for field in fields(Solution))
    return Solution(*map(np.concatenate, columns))


def unsolved(rows, size):
    """The solution of ``rows`` problems of ``size`` coefficients that cannot be posed."""
    nothing, infinite = np.full((rows, size), np.nan), np.full(rows, np.inf)
    return Solution(nothing, np.zeros(rows), infinite, infinite, np.zeros(rows, dtype=bool), infinite)


class _Problems:
    """What the steps of a chunk of problems share; those that have ended are left out as they end."""

    def __init__(self, form, u, target, weight, bounds, delta, least):
        self.form, self.u, self.delta, self.least = form, u, delta, least
        self.target, self.weight = target, weight
        self.low, self.high = bounds

    def solve(self, start):
        rows = len(start)
        found = Solution(
            theta=np.array(start),
            moved=np.zeros(rows),
            objective=np.full(rows, np.inf),
            gradient=np.full(rows, np.inf),
            converged=np.zeros(rows, dtype=bool),
            condition=np.full(rows, np.inf),
        )
        at = np.arange(rows)
        theta = np.clip(start, self.low, self.high)
        residual, jacobian = self._residual(*self.form.evaluate(theta, self.u))
        damping = np.ones(rows)
        for iteration in range(ITERATIONS + 1):
            objective = self._objective(residual)
            descent, gradient = self._descent(theta, residual, jacobian)
            done = gradient <= TOLERANCE
            ended = done | (damping > STALLED) | ~np.isfinite(objective) | (iteration == ITERATIONS)
            if ended.any():
                index = at[ended]
                found.theta[index], found.objective[index] = theta[ended], objective[ended]
                found.gradient[index], found.converged[index] = gradient[ended], done[ended]
                found.moved[index] = np.abs(theta[ended] - start[index]).max(1)
                found.condition[index] = self._condition(residual, jacobian, ended)
                go = ~ended
                self.weight, at = self.weight[go], at[go]
                theta, residual, jacobian = theta[go], residual[go], jacobian[go]
                objective, descent, damping = objective[go], descent[go], damping[go]
            if not at.size:
                break
            step = self._step(theta, residual, jacobian, descent, damping)
            trial = np.clip(theta + step, self.low, self.high)
            moved, slopes = self._residual(*self.form.evaluate(trial, self.u))
            # the slack lets the last steps pass, whose gain is lost in rounding
            better = self._objective(moved) <= objective * (1 + 1e-14)
            theta[better], residual[better], jacobian[better] = trial[better], moved[better], slopes[better]
            damping = np.where(better, np.maximum(damping / 8, 1e-12), damping * 8)
        return found

    def _residual(self, value, slopes):
        """How far the target lies above what is predicted (R, P), and the slopes of the prediction."""
        residual = self.target - value
        if self.least is None:
            return residual, np.array(slopes)
        met = self.least & (residual < 0)
        return np.where(met, 0.0, residual), np.where(met[:, None], 0.0, slopes)

    def _objective(self, residual):
        total = (self.weight * huber(residual, self.delta)).sum(1)
        return np.where(np.isfinite(total), total, np.inf)

    def _descent(self, theta, residual, jacobian):
        """Where the objective falls (R, K), zero for what a bound holds; its largest share (R,)."""
        pull = self.weight * np.clip(residual, -self.delta, self.delta)
        descent = (jacobian @ pull[:, :, None])[:, :, 0]
        held = ((theta <= self.low) & (descent < 0)) | ((theta >= self.high) & (descent > 0))
        descent = np.where(held, 0.0, descent)
        reach = self.delta * (np.abs(jacobian) @ self.weight[:, :, None])[:, :, 0]
        return descent, (np.abs(descent) / np.maximum(reach, 1e-300)).max(1)

    def _condition(self, residual, jacobian, ended):
        jacobian = jacobian[ended]
        pull = self.weight[ended] * self.delta / np.maximum(np.abs(residual[ended]), self.delta)
        normal = np.nan_to_num((jacobian * pull[:, None]) @ jacobian.transpose(0, 2, 1))
        scale = np.sqrt(np.einsum("rkk->rk", normal))
        # a coefficient of points that are all left out touches no other
        idle = (scale == 0) & (np.arange(self.form.size) >= self.form.wanted)
        scale = np.where(scale > 0, scale, 1.0)
        normal = normal / (scale[:, :, None] * scale[:, None, :])
        values = np.linalg.eigvalsh(normal + idle[:, :, None] * np.eye(self.form.size))
        return np.nan_to_num(values[:, -1] / np.maximum(values[:, 0], 0.0), nan=np.inf, posinf=np.inf)

    def _step(self, theta, residual, jacobian, descent, damping):
        size, damping = np.abs(residual), damping[:, None]
        pull = self.weight * ((size <= self.delta) + damping * self.delta / np.maximum(size, self.delta))
        normal = (jacobian * pull[:, None]) @ jacobian.transpose(0, 2, 1)
        free = descent != 0
        normal = normal * (free[:, :, None] & free[:, None, :])
        diagonal = np.einsum("rkk->rk", normal)
        diagonal *= 1 + LEVELLING * damping
        diagonal[diagonal <= 1e-12 * diagonal.max(1, keepdims=True)] = 1.0
        scale = 1 / np.sqrt(diagonal)
        normal = normal * scale[:, :, None] * scale[:, None, :]
        np.einsum("rkk->rk", normal)[:] += 1e-13

        def solve(vector):
            return scale * np.linalg.solve(normal, (scale * vector)[:, :, None])[:, :, 0]

        step = solve(descent)
        nudged = self.form.evaluate(theta + NUDGE * step, self.u)[0]
        rise = (nudged - self.target + residual) / NUDGE - (step[:, None] @ jacobian)[:, 0]
        bending = np.nan_to_num(pull * rise / NUDGE)
        turn = -solve(np.where(free, (jacobian @ bending[:, :, None])[:, :, 0], 0.0))
        small = np.abs(turn).max(1) <= BEND * np.abs(step).max(1)
        return step + np.where(small[:, None], turn, 0.0)
