"""One law fitted to one selection: starts, certificate, intervals, forecast, rivals.

Everything is decided in the coefficients of the law's form (:mod:`scaling.forms`) and reported in the
parameters that the law is published in.
"""

from dataclasses import dataclass, replace

import numpy as np

from scaling import forms
from scaling.fitting import solver
from scaling.fitting.resampling import draw, tails, widening
from scaling.fitting.selection import largest
from scaling.provenance import UserError

FEWEST = 3
"""Runs, and different values of each input, below which nothing is fitted."""
FEWEST_DRAWS = 20
STARTS = 64
AGREE = 1e-6
"""Starts agree with the best where their objectives differ by less than this share."""
FEWEST_AGREEING, FEWEST_KEPT, MOST_STUCK = 0.5, 0.9, 0.05
"""For a certificate: shares of the starts that must agree, of the resamples that must determine a fit, and
of these the most that may end at one bound, or fewer: no more than lie outside the interval, or its end would
be the bound."""
WORST_CONDITION = 1e10
"""Condition above which coefficients cannot be told apart in double precision after squaring."""
FURTHEST = 1e-3
"""Quantile below which the end of an interval would be one of the most extreme draws, whatever they are."""
PRODUCTS = 2**22
"""Products of resamples and points whose weights are in memory at once."""
EQUAL = 1e-6
"""e-folds within which all y are taken for one."""
FAR, APART = 10, 6
"""A point is an outlier where its residual is larger than FAR times Huber's δ, so that it counts less than a
tenth of what its square would, and than APART times the median residual: a law that misfits all has none."""
ROUNDING = 1e-9
"""Nats, or e-folds, that an exact forecast may miss by."""
BAND_POINTS = 60
FOLDS = 20


def fit(law, selection, *, resamples, seed, interval, delta):
    """Fit ``law`` (with ``form``, ``parameters``, ``inputs`` and ``rivals``) to a selection of points.

    Returns the result as JSON values and the draws, {parameter: (resamples,)}, NaN for a resample that
    was dropped: one whose points determine no fit, or whose fit did not converge. Among the draws are those
    of the numbers that the points were adjusted by.
    Raises :class:`UserError` where points are too few, all alike, or determine no fit at all.
    """
    _check(law, selection)
    problem = Problem.of(selection.form or law.form, selection)
    random = np.random.default_rng(seed)
    whole = problem.start(random, delta)
    best = whole.theta[whole.objective.argmin()][None]
    values = problem.form.natural(best, problem.centre)[0]
    if not np.isfinite(values).all():
        raise UserError(f"the points of {len(selection.runs)} runs determine no fit; {selection.remedy}")

    drawn, carried = problem.resample(resamples, best, seed=seed, delta=delta)
    natural = problem.form.natural(drawn.theta, problem.centre)
    kept = drawn.converged & np.isfinite(natural).all(1)
    if kept.sum() < FEWEST_DRAWS:
        raise UserError(f"only {kept.sum()} of {resamples} resamples determine a fit; {selection.remedy}")
    low, high = tails(interval, problem.independent(), len(law.parameters))
    quantiles = [min(low, selection.tails[0]), max(high, selection.tails[1])]
    columns = dict(zip(law.parameters, natural.T, strict=True)) | carried
    draws = {name: np.where(kept, column, np.nan) for name, column in columns.items()}
    ends = np.quantile(natural[kept], quantiles, axis=0).T.tolist()
    spread = Spread(problem, best, drawn.theta[kept], quantiles)
    shown = selection.shown
    residual = np.log(shown.y) - spread.at(shown.inputs)[0]
    result = {
        "parameters": {
            name: {"value": float(value), "low": low, "high": high}
            for name, value, (low, high) in zip(law.parameters, values, ends, strict=True)
        },
        "interval": interval,
        "quantiles": quantiles,
        "resamples": resamples,
        "dropped": int(resamples - kept.sum()),
        "seed": seed,
        "delta": delta,
        "objective": float(whole.objective.min()),
        "certificate": certify(
            problem, whole, law.parameters, drawn=replace(drawn, converged=kept), quantiles=quantiles
        ),
        "holdout": forecast(law, problem, resamples, quantiles, seed=seed, delta=delta),
        "method": selection.method,
        "data": _record(selection) | {"outliers": _outliers(selection, residual, delta)},
        "rms_log_residual": float(np.sqrt(np.mean(residual**2))),
        "band": spread.band(shown.inputs) if len(law.inputs) == 1 else None,
        "rivals": compare(law, selection, seed=seed, delta=delta),
    }
    if selection.carried:
        result["adjusted_by"] = selection.carried
    return result, draws


# --- one problem ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A form and the points of a selection: their inputs ``u`` (V, P) about the ``centre`` (V,) of their
    logarithms, the ``target`` ln y (P,), and the form's bounds."""

    form: object
    selection: object
    centre: np.ndarray
    u: np.ndarray
    target: np.ndarray
    bounds: tuple

    @classmethod
    def of(cls, form, selection):
        """The problem of fitting ``form`` to ``selection``."""
        logs = np.log(np.array(list(selection.fitted.inputs.values())))
        centre = logs.mean(1)
        u, target = logs - centre[:, None], np.log(selection.fitted.y)
        return cls(form, selection, centre, u, target, form.bounds(u, target))

    def variant(self, selection):
        """The problem of ``selection``, in the coefficients of this one."""
        u = np.log(np.array(list(selection.fitted.inputs.values()))) - self.centre[:, None]
        target, form = np.log(selection.fitted.y), selection.form or self.form
        return replace(self, form=form, selection=selection, u=u, target=target)

    def resample(self, resamples, start, *, seed, delta, ahead=False):
        """Fits of ``resamples`` draws of whole runs from ``start`` (1, K), and what the points of each were
        adjusted by: {name: (resamples,)}.

        With ``ahead`` of points of less compute alone than a forecast has to predict. Where the selection has
        variants the resamples are shared out among them, in their order.
        """
        variants = self.selection.variants
        if not variants:
            counts = draw(len(self.selection.runs), resamples, seed, self.selection.strata)
            budget = self.selection.budget() if ahead else np.inf
            return self.solve(counts, start, delta, budget=budget), {}
        parts, carried = [], []
        for index, variant in enumerate(variants[:resamples]):
            share = len(range(index, resamples, len(variants)))
            if variant is None:
                parts.append(solver.unsolved(share, self.form.size))
                carried += [dict.fromkeys(self.selection.carried, np.nan)] * share
                continue
            counts, budget = draw(len(variant.runs), share, [seed, index]), np.inf
            if ahead:
                budget = variant.budget()
            parts.append(self.variant(variant).solve(counts, start, delta, budget=budget))
            carried += [variant.carried] * share
        return solver.joined(parts), {
            name: np.array([row[name] for row in carried]) for name in self.selection.carried
        }

    def solve(self, counts, start, delta, *, budget=np.inf):
        """Fits of resamples ``counts`` (R, runs) from ``start`` (1, K), of points of less than ``budget``.

        A fit that its points leave open counts as not converged. Weights are made for some resamples at a
        time, since all of them would not fit in memory for many points.
        """
        rows, kept = max(1, PRODUCTS // self.u.shape[1]), self.selection.fitted.compute < budget
        parts = []
        for begin in range(0, len(counts), rows):
            weight = self.selection.weights(counts[begin : begin + rows])
            parts.append(self._minimise(weight * kept, start, delta))
        return solver.joined(parts)

    def start(self, random, delta, *, budget=np.inf):
        """Fits of the full set of runs from STARTS starts, of points of less than ``budget``."""
        used = self.selection.fitted.compute < budget
        starts = self.form.starts(self.u[:, used], self.target[used], random, STARTS)
        return self._minimise(np.broadcast_to(used.astype(float), (STARTS, len(used))), starts, delta)

    def _minimise(self, weight, start, delta):
        least = self.selection.fitted.least
        found = solver.minimise(self.form, self.u, self.target, weight, start, self.bounds, delta, least)
        return replace(found, converged=found.converged & (found.condition < WORST_CONDITION))

    def at_bound(self, theta):
        """Which coefficients (..., K) are at a bound."""
        low, high = self.bounds
        return (theta <= low) | (theta >= high)

    def independent(self):
        """How many independent observations there are: runs, or values of a single input if fewer."""
        runs = len(self.selection.runs)
        different = [len(np.unique(x)) for x in self.selection.fitted.inputs.values()]
        return min(runs, different[0]) if len(different) == 1 else runs


def _check(law, selection):
    for name, values in {**selection.shown.inputs, law.y: selection.shown.y}.items():
        for index in np.flatnonzero(~(np.isfinite(values) & (values > 0)))[:1]:
            run = selection.runs[selection.shown.owner[index]]
            raise UserError(f"{name} of {run} is {values[index]:g}, expected a number above 0")
    for name, x in selection.fitted.inputs.items():
        different = len(np.unique(x))
        if different < FEWEST:
            found = f"{name} takes {different} value{'s' if different > 1 else ''}"
            raise UserError(f"{found}, at least {FEWEST} are needed; {selection.remedy}")
    points, needed = len(selection.shown.y), len(law.parameters) + 1
    if points < needed:
        raise UserError(f"{points} points, at least {needed} are needed; {selection.remedy}")
    if np.ptp(np.log(selection.shown.y)) < EQUAL:
        raise UserError(f"every {law.y} is {selection.shown.y[0]:g}, so that nothing varies; check the data")
    logs = np.log(np.array(list(selection.fitted.inputs.values())))
    u = logs - logs.mean(1, keepdims=True)
    if np.linalg.cond(u @ u.T) > WORST_CONDITION:
        names = " and ".join(selection.fitted.inputs)
        raise UserError(
            f"{names} move together, so that their effects cannot be told apart; {selection.remedy}"
        )


def _record(selection):
    shown = selection.shown
    return {
        "runs": len(selection.runs),
        "points": len(shown.y),
        "excluded": [{"run": run, "reason": reason} for run, reason in selection.excluded.items()],
        "run": [selection.runs[index] for index in shown.owner],
        "inputs": {name: x.tolist() for name, x in shown.inputs.items()},
        "y": shown.y.tolist(),
        "y_se": None
        if shown.y_se is None
        else [se if np.isfinite(se) else None for se in shown.y_se.tolist()],
    } | selection.facts


def _outliers(selection, residual, delta):
    """Runs with points shown that the law misses by far (FAR, APART), in order: a list of dicts {run, points,
    residual, reason}, ``residual`` the largest of them in e-folds, above the law if positive."""
    size = np.abs(residual)
    wild = size > max(FAR * delta, APART * np.median(size))
    found = []
    for owner in np.unique(selection.shown.owner[wild]):
        missed = residual[wild & (selection.shown.owner == owner)]
        worst = float(missed[np.abs(missed).argmax()])
        share, side = 100 * np.expm1(min(worst, 700.0)), "above" if worst > 0 else "below"
        count = f"{len(missed)} point{'s' if len(missed) > 1 else ''}"
        reason = f"{count} up to {abs(share):.0f} % {side} the law, down-weighted by Huber's loss"
        found.append(
            {"run": selection.runs[owner], "points": len(missed), "residual": worst, "reason": reason}
        )
    return found


# --- predictions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """Predictions of a fit and of its draws: ``best`` (1, K), ``theta`` (R, K), and the quantiles between."""

    problem: Problem
    best: np.ndarray
    theta: np.ndarray
    quantiles: list

    def at(self, inputs):
        """ln y (1 + R, Q) at ``inputs`` (name -> (Q,)): the fit first, then its draws."""
        u = np.log(np.array(list(inputs.values()))) - self.problem.centre[: len(inputs), None]
        both = np.concatenate([self.best, self.theta])
        return self.problem.form.predict(both, u, self.problem.centre)

    def band(self, inputs):
        """The fitted line over the range of its one input, with the interval of the draws."""
        ((name, x),) = inputs.items()
        grid = np.geomspace(x.min(), x.max(), BAND_POINTS)
        lines = np.exp(self.at({name: grid}))
        low, high = np.quantile(lines[1:], self.quantiles, axis=0)
        return {"x": grid.tolist(), "y": lines[0].tolist(), "low": low.tolist(), "high": high.tolist()}


# --- certificate ----------------------------------------------------------------------------------------


def certify(problem, whole, names, drawn=None, quantiles=None):
    """What can be said for a fit: JSON values, with ``reasons`` in words where it did not pass.

    ``whole`` are the fits from all starts, ``names`` those of the coefficients; ``drawn``, if there are any,
    the fits of the resamples, and ``quantiles`` those of them that bound the intervals.
    """
    first = whole.objective.argmin()
    best, objective, condition = whole.theta[first], whole.objective[first], float(whole.condition[first])
    agreeing = int((whole.objective <= objective * (1 + AGREE) + AGREE**2).sum())
    ends = zip(names, problem.at_bound(best), strict=False)
    at_bound = [name for name, reached in ends if reached]
    gradient, moved = float(whole.gradient[first]), bool(whole.moved[first] > 0)
    reasons = {
        f"its gradient is {gradient:.0e} of what it could be, not zero": gradient > solver.TOLERANCE,
        "the best fit is where it started": not moved,
        f"only {agreeing} of {STARTS} starts agree with the best": agreeing < FEWEST_AGREEING * STARTS,
        f"the points do not determine {' and '.join(at_bound)}, which ran into a bound": at_bound,
        "its parameters cannot be told apart": not condition < WORST_CONDITION,
    }
    if drawn is not None:
        kept, (low, high) = drawn.converged.mean(), problem.bounds
        theta = drawn.theta[drawn.converged]
        stuck = max((theta <= low).mean(0).max(), (theta >= high).mean(0).max())
        reasons |= {
            f"only {100 * kept:.0f} % of the resamples determine a fit": kept < FEWEST_KEPT,
            f"in {100 * stuck:.2g} % of the resamples a parameter ran into a bound": (
                stuck > min(MOST_STUCK, quantiles[0])
            ),
            f"{problem.independent()} runs or values are too few for intervals of {len(names)} parameters": (
                quantiles[0] < FURTHEST
            ),
        }
        reasons |= dict.fromkeys(problem.selection.doubts, True)
    return {
        "starts": STARTS,
        "agreeing": agreeing,
        "gradient_norm": gradient,
        "condition": condition if np.isfinite(condition) else None,
        "at_bound": at_bound,
        "moved": moved,
        "passed": not any(reasons.values()),
        "reasons": [reason for reason, failed in reasons.items() if failed],
    }


# --- forecast -------------------------------------------------------------------------------------------


def forecast(law, problem, resamples, quantiles, *, seed, delta):
    """How well the law, fitted without the largest tenth of compute, predicts it: JSON values.

    ``error_percent`` is how far the mean of the points held out lies above its forecast, ``interval_percent``
    how far it might by the forecast's own interval, ``covered`` whether it does; ``within`` is how many
    points lie each in their own. A forecast is a draw of the fit and, for each run, a residual of the fit
    at random: what the next run would show, not where the law lies. Where too little is left to fit, these
    are None and ``reason`` says so.
    """
    fitted, shown = problem.selection.fitted, problem.selection.shown
    held, budget = largest(shown.compute), problem.selection.budget()
    kept = fitted.compute < budget
    keys = ("error_percent", "interval_percent", "covered", "within")
    nothing = dict.fromkeys(keys) | {"points": int(held.sum())}
    least = {name: len(np.unique(x[kept])) for name, x in fitted.inputs.items()}
    if not held.any() or (~held).sum() < len(law.parameters) + 2 or min(least.values()) < FEWEST:
        return nothing | {"reason": "too few points of less compute to forecast from"}

    random = np.random.default_rng(seed)
    whole = problem.start(random, delta, budget=budget)
    best = whole.theta[whole.objective.argmin()][None]
    drawn, _ = problem.resample(resamples, best, seed=seed, delta=delta, ahead=True)
    spread = Spread(problem, best, drawn.theta[drawn.converged], quantiles)
    ahead = {name: x[held] for name, x in shown.inputs.items()}
    behind = {name: x[~held] for name, x in shown.inputs.items()}
    line, known = (forms.exp(spread.at(inputs)) for inputs in (ahead, behind))
    residual = _departure(law, shown.y[~held], known[0])
    line = line[np.isfinite(line).all(1)]
    if not np.isfinite(residual).all() or len(line) < FEWEST_DRAWS:
        return nothing | {"reason": "the points of less compute determine no fit"}
    runs, owner = np.unique(shown.owner[held], return_inverse=True)
    scatter = residual * widening(problem.independent(), len(law.parameters))
    noise = random.choice(scatter, (len(line) - 1, len(runs)))[:, owner]
    measured = _departure(law, shown.y[held], line[0])
    expected = _departure(law, line[1:], line[0]) + noise
    low, high = np.quantile(expected, quantiles, axis=0)
    ends = np.quantile(expected.mean(1), quantiles)

    def percent(departure):
        share = departure / line[0].mean() if law.y == "loss" else np.expm1(np.clip(departure, -700, 700))
        return float(100 * share)

    return {
        "error_percent": percent(measured.mean()),
        "interval_percent": [percent(end) for end in ends],
        "covered": bool(ends[0] - ROUNDING <= measured.mean() <= ends[1] + ROUNDING),
        "within": int(((low - ROUNDING <= measured) & (measured <= high + ROUNDING)).sum()),
        "points": int(held.sum()),
    }


def _departure(law, y, line):
    """How far ``y`` lies from ``line``: in nats for a loss, whose seeds differ by as much at any size, in
    e-folds for anything else."""
    return y - line if law.y == "loss" else np.log(y) - np.log(line)


# --- rivals ---------------------------------------------------------------------------------------------


def compare(law, selection, *, seed, delta):
    """The law beside its rivals, by how well each predicts runs that it was not fitted to.

    A list of JSON values, the law first: ``name``, ``formula``, ``parameters`` (values), ``objective``,
    ``certificate``, ``error_percent`` (leaving out each run in turn, or each twentieth of them) and, for a
    rival, ``difference`` {value, se} of that error to the law's, paired by run. Empty for a law without
    rivals.
    """
    own = {"law": (law.form, law.formula, list(law.parameters))} if law.rivals else {}
    rivals = {name: (rival.form, rival.formula, rival.parameters) for name, rival in law.rivals.items()}
    found, errors = [], {}
    for name, (form, formula, parameters) in {**own, **rivals}.items():
        entry = {"name": name, "formula": formula}
        if len(selection.shown.y) <= form.size:
            found.append(entry | {"unfitted": "more parameters than points allow"})
            continue
        problem = Problem.of(form, selection)
        whole = problem.start(np.random.default_rng(seed), delta)
        first = whole.objective.argmin()
        values = form.natural(whole.theta[first][None], problem.centre)[0]
        errors[name] = _out_of_fold(problem, whole.theta[first][None], delta)
        if not np.isfinite(errors[name]).all():
            found.append(entry | {"unfitted": "without one of the runs the points determine no fit"})
            continue
        entry |= {
            "parameters": dict(zip(parameters, values.tolist(), strict=True)),
            "objective": float(whole.objective[first]),
            "certificate": certify(problem, whole, parameters),
            "error_percent": float(100 * errors[name].mean()),
        }
        if name != "law" and np.isfinite(errors["law"]).all():
            difference = 100 * (errors[name] - errors["law"])
            se = difference.std(ddof=1) / len(difference) ** 0.5
            entry["difference"] = {"value": float(difference.mean()), "se": float(se)}
        found.append(entry)
    return found


def _out_of_fold(problem, best, delta):
    """Mean |error of ln y| of each run that has points, as predicted without it: (runs,)."""
    owner, runs = problem.selection.fitted.owner, len(problem.selection.runs)
    fold = np.arange(runs) % min(runs, FOLDS)
    left = (fold != np.arange(fold.max() + 1)[:, None]).astype(int)
    found = problem.solve(left, best, delta)
    predicted = problem.form.evaluate(found.theta, problem.u)[0]
    predicted[~found.converged] = np.nan
    error = np.abs(predicted[fold[owner], np.arange(len(owner))] - problem.target)
    which = np.unique(owner, return_inverse=True)[1]
    return np.bincount(which, error) / np.bincount(which)
