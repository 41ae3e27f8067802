"""Runs whose loss the other runs of a study do not explain, whatever law they follow."""

from dataclasses import replace

import numpy as np

from scaling.fitting.fit import Problem
from scaling.fitting.selection import Points
from scaling.fitting.solver import huber

WILD = 0.2
"""e-folds between a run's loss and what the others foretell: 18 % below, 22 % above."""
APART = 6
"""How many times as far as the median of the others it lies."""
EASED = 0.5
"""Share of its misfit that no fit of all runs can do away with, at least. One at the end of a range, where
the others foretell little, is just met by the fit of all."""
FEWEST = 5
"""Runs below which none can be told from the rest; of as many runs at most one is wild."""
SPARE = 2
"""Points beyond the coefficients that must be left."""
CANDIDATES = 12
TRACE = 8
"""Points of a learning curve that stand for it."""


def wild(form, selection, *, seed, delta):
    """Runs of a selection that a fit of ``form`` to the others misses by far: {run: reason}.

    One run is taken at a time, that without which the others are fitted best. It is wild if the median of its
    points lies WILD from what the others foretell, APART times as far as the median run of theirs, and if its
    absence eases the fit by EASED of its misfit (Huber's loss, ``delta``). The search ends with the first
    that is not.
    """
    found, left = {}, _thinned(selection)
    for _ in range(len(selection.runs) // FEWEST):
        problem = Problem.of(form, left)
        whole = problem.start(np.random.default_rng(seed), delta)
        first = whole.objective.argmin()
        best = whole.theta[first][None]
        candidates = np.abs(_missed(problem, best)[0]).argsort()[::-1][:CANDIDATES]
        counts = np.ones((len(candidates), len(left.runs)), dtype=int)
        counts[np.arange(len(candidates)), candidates] = 0
        if left.weights(counts).sum(1).min() < form.size + SPARE:
            break
        without = problem.solve(counts, best, delta)
        objective = np.where(without.converged, without.objective, np.inf)
        row = objective.argmin()
        others = without.theta[row][None]
        run, missed = candidates[row], _missed(problem, others)[0]
        usual = np.median(np.abs(np.delete(missed, run)))
        far = abs(missed[run]) > max(WILD, APART * usual)
        misfit = huber(_residual(problem, others), delta)[0, left.fitted.owner == run].sum()
        if not far or whole.objective[first] - objective[row] < EASED * misfit:
            break
        share, side = 100 * abs(np.expm1(missed[run])), "above" if missed[run] > 0 else "below"
        found[left.runs[run]] = f"its loss is {share:.0f} % {side} what the other runs foretell"
        left = _without(left, run)
    return found


def _residual(problem, theta):
    return problem.target - problem.form.evaluate(theta, problem.u)[0]


def _missed(problem, theta):
    """Median residual of each run, in e-folds, positive above the fits ``theta`` (R, K): (R, runs)."""
    residual = _residual(problem, theta)
    owner = problem.selection.fitted.owner
    runs = range(len(problem.selection.runs))
    return np.stack([np.median(residual[:, owner == run], axis=1) for run in runs], axis=1)


def _thinned(selection):
    """``selection`` with TRACE points of each run at most, evenly from all of its own."""
    owner = selection.fitted.owner
    places = [np.flatnonzero(owner == run) for run in range(len(selection.runs))]
    even = [np.linspace(0, len(at) - 1, min(len(at), TRACE)).round().astype(int) for at in places]
    return _only(selection, np.concatenate([at[thin] for at, thin in zip(places, even, strict=True)]))


def _without(selection, run):
    kept = _only(selection, np.flatnonzero(selection.fitted.owner != run))
    owner = kept.fitted.owner - (kept.fitted.owner > run)
    names = [name for index, name in enumerate(selection.runs) if index != run]
    return replace(kept, runs=names, fitted=replace(kept.fitted, owner=owner))


def _only(selection, points):
    """``selection`` of some of its ``points`` (indices)."""
    fitted = selection.fitted
    inputs = {name: x[points] for name, x in fitted.inputs.items()}
    columns = (fitted.y, fitted.owner, fitted.compute)
    return replace(selection, fitted=Points(inputs, *(column[points] for column in columns)))
