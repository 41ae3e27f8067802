"""Runs whose loss the other runs of a study do not explain, whatever law they follow."""

from dataclasses import replace

import numpy as np

from scaling.fitting import fit
from scaling.fitting.selection import Points
from scaling.fitting.solver import huber

WILD = 0.2
"""e-folds between a run's loss and what the others foretell: 18 % below, 22 % above."""
APART = 6
"""How many times as far as the median of the others it lies."""
EASED = 0.5
"""Share of its misfit that no fit of all runs can do away with, at least."""
FEWEST = 5
"""Runs below which none can be told from the rest; of as many runs at most one is wild."""
SPARE = 2
"""Points beyond the coefficients that must be left."""
CANDIDATES = 12
"""Runs, the furthest from the fit of all, that are tried."""
TRACE = 8
"""Points of a learning curve that stand for it."""
UNEXPLAINED = "what the other runs foretell"
"""How the reason for which a run is left out ends."""
MOST = 7.0
"""e-folds that are told in full."""
STUCK = 1e-2
"""Gradient, as a share of what it could be, of a fit that has ended at a bound: good enough to judge by."""


def wild(forms, selection, *, seed, delta):
    """Runs that a fit to the others of a selection misses by far, {run: reason}, and a doubt or None.

    One run is taken at a time, that without which the others are fitted best. It is wild if the median of its
    points lies WILD from what the others foretell, APART times as far as the median run of theirs, and if its
    absence eases the fit by EASED of its misfit (Huber's loss, ``delta``). The search ends with the first
    that is not, or with one in FEWEST runs: if there are more, that is the doubt.

    ``forms`` are what is fitted, from poor to rich. A poor one takes the ends of a range for wild, so that
    runs are left out by the last alone, for which there must be more than twice as many as coefficients; by
    another they are doubted.
    """
    found, left, most = {}, _thinned(selection), len(selection.runs) // FEWEST
    if not most:
        return found, None
    *poor, rich = forms
    if len(selection.runs) <= 2 * rich.size and poor:
        one = _furthest(poor[-1], left, seed, delta)
        return found, one and f"{left.runs[one[0]]}: {one[1]}, which are too few to leave it out"
    while one := _furthest(rich, left, seed, delta):
        run, reason = one
        if len(found) == most:
            return found, f"{left.runs[run]}: {reason}, but no more than {most} may be left out"
        found[left.runs[run]] = reason
        left = _without(left, run)
    return found, None


def _furthest(form, selection, seed, delta):
    """The index of a run that is wild and the reason, or None."""
    problem = fit.Problem.of(form, selection)
    whole = problem.start(np.random.default_rng(seed), delta)
    first = whole.objective.argmin()
    best = whole.theta[first][None]
    candidates = np.abs(_missed(problem, best)[0]).argsort()[::-1][:CANDIDATES]
    counts = np.ones((len(candidates), len(selection.runs)), dtype=int)
    counts[np.arange(len(candidates)), candidates] = 0
    if selection.weights(counts).sum(1).min() < form.size + SPARE:
        return None
    without = problem.solve(counts, best, delta)
    known = without.condition < fit.WORST_CONDITION
    objective = np.where(known & (without.gradient < STUCK), without.objective, np.inf)
    row = objective.argmin()
    others = without.theta[row][None]
    run, missed = candidates[row], _missed(problem, others)[0]
    usual = np.median(np.abs(np.delete(missed, run)))
    far = abs(missed[run]) > max(WILD, APART * usual)
    misfit = huber(_residual(problem, others), delta)[0, selection.fitted.owner == run].sum()
    if not far or whole.objective[first] - objective[row] < EASED * misfit:
        return None
    share, side = 100 * abs(np.expm1(min(missed[run], MOST))), "above" if missed[run] > 0 else "below"
    return run, f"its loss is {share:,.0f} % {side} {UNEXPLAINED}"


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
