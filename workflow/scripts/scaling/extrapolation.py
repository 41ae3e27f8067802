"""Ends of learning curves, forecast from their beginnings and from other sizes.

Kaplan et al. 2020, section 1.1, say that a curve's end can be told roughly from its beginning. Tables are
lists of rows (dicts) with the columns of runs.parquet and curves.parquet. Losses are nats per token.
"""

from dataclasses import replace

import numpy as np

from scaling import trends
from scaling.fitting import solver
from scaling.fitting.fit import FEWEST, Problem
from scaling.fitting.resampling import draw
from scaling.fitting.selection import Points
from scaling.forms import AMPLITUDE, Sum, Term
from scaling.frontier import past_warmup
from scaling.laws import LAWS
from scaling.provenance import UserError
from scaling.rows import column, finite
from scaling.scans import PACE, REMEDY, SCANS
from scaling.selections import learning_curves

HALF, QUARTER, SIZE = "first half", "first quarter", "other sizes"
STEADY_HALF, STEADY_QUARTER = "constant rate, first half", "constant rate, first quarter"
KINDS = (HALF, QUARTER, SIZE, STEADY_HALF, STEADY_QUARTER)
"""What an end is forecast from."""
DELTA = 0.01
"""Huber's δ on ln L, as the default study fits losses."""
RESAMPLES = 1000
EXPONENTS = (0.03, 3.0)
"""Between which α of a curve by itself is looked for."""
TRIED, FINER = 9, 4
"""Exponents tried at a time, and how many times between the neighbours of the best."""


def forecasts(runs, curves):
    """Every forecast as a row, for each kind without any the reason, and how many runs of each kind have none
    because the points determine no fit: (rows, {kind: reason}, {kind: runs}).

    A row has kind, run (a row of ``runs``), steps at the end, the loss predicted and measured there, error
    (predicted less measured, nats) and error_percent (that of the measured).

    HALF and QUARTER: L(N, S) fitted to the test points past warm-up in that share of the steps of every run
    of the experiments `size` and `long`. SIZE: L(N, S) fitted to the whole curves of all other sizes. The
    others are of the runs of experiment `batch` at a constant rate, whose ends no schedule bends:
    L = L_∞ + (S_c / S)^α fitted to their beginnings, L_∞ and S_c to each curve alone, one α to all.
    """
    makers = {
        HALF: lambda: beginnings(runs, curves, 1 / 2),
        QUARTER: lambda: beginnings(runs, curves, 1 / 4),
        SIZE: lambda: other_sizes(runs, curves),
        STEADY_HALF: lambda: steady(runs, curves, 1 / 2),
        STEADY_QUARTER: lambda: steady(runs, curves, 1 / 4),
    }
    by_name, rows, reasons, lost = {run["run"]: run for run in runs}, [], {}, {}
    for kind, make in makers.items():
        try:
            found = make()
        except UserError as error:
            reasons[kind] = str(error)
            continue
        lost[kind] = sum(not finite(predicted) for _, _, predicted, _ in found)
        rows += [
            {
                **{"kind": kind, "run": by_name[run], "steps": steps, "predicted": predicted},
                **{"measured": measured, "error": predicted - measured},
                "error_percent": 100 * (predicted / measured - 1),
            }
            for run, steps, predicted, measured in found
            if finite(predicted)
        ]
    return rows, reasons, lost


def summary(rows):
    """How far the forecasts ``rows`` of one kind are off: {runs, absolute, percent, bias, worst}.

    ``absolute`` (nats) and ``percent`` are medians of the error's size, ``bias`` (%) is the mean error with
    its sign, each {value, low, high} from resampling runs with their forecasts as they are, the ends NaN
    where runs are fewer than three; ``worst`` (%) is the error largest in size, with its sign.
    """
    nats, percent = column(rows, "error"), column(rows, "error_percent")
    counts = np.concatenate([np.ones((1, len(rows)), dtype=int), draw(len(rows), RESAMPLES, 0)])
    found = {
        "absolute": medians(np.abs(nats), counts),
        "percent": medians(np.abs(percent), counts),
        "bias": counts @ percent / len(rows),
    }
    intervals = {name: trends.interval(values, len(rows), 1) for name, values in found.items()}
    return {"runs": len(rows), **intervals, "worst": float(percent[np.abs(percent).argmax()])}


def medians(values, counts):
    """The median of ``values`` (n,) in draws that hold each ``counts`` (R, n) times, n in all: (R,)."""
    order = np.argsort(values)
    total, last = counts[:, order].cumsum(1), counts[0].sum()
    ends = [(total >= rank).argmax(1) for rank in ((last + 1) // 2, last // 2 + 1)]
    return values[order][np.array(ends)].mean(0)


# --- by the law of all curves ---------------------------------------------------------------------------


def beginnings(runs, curves, share):
    """Ends forecast by L(N, S) from the first ``share`` of the steps of every curve: tuples of run, steps,
    predicted, measured. Runs without a test point there are left out.

    Raises UserError where too few points are left, or where they determine no fit.
    """
    selection = learning_curves(runs, curves, "6N")
    end, owner, S = ends(selection), selection.fitted.owner, selection.fitted.inputs["S"]
    kept = share * S[end][owner] >= S
    part = _only(selection.fitted, kept)
    N, steps = (len(np.unique(x)) for x in part.inputs.values())
    if min(N, steps) < FEWEST or len(part.y) <= len(LAWS["L_NS"].parameters):
        raise UserError(
            f"{len(part.y)} test points past warm-up in that part of the curves, of {N} sizes, are too few"
        )
    problem = Problem.of(LAWS["L_NS"].form, replace(selection, fitted=part))
    best, told = _fitted(problem), np.unique(part.owner)
    return _rows(selection, told, end[told], _at(problem, best, selection, end[told])[0])


def other_sizes(runs, curves):
    """Ends forecast by L(N, S) from the whole curves of all other sizes: tuples as of :func:`beginnings`.

    The loss predicted is NaN where the other sizes determine no fit. Raises UserError where there are too
    few sizes, or none can be left out.
    """
    selection = learning_curves(runs, curves, "6N")
    end, N = ends(selection), selection.fitted.inputs["N"]
    sizes, size = np.unique(N[end], return_inverse=True)
    if len(sizes) <= FEWEST:
        raise UserError(f"{len(sizes)} sizes, at least {FEWEST + 1} are needed to leave one out")
    problem = Problem.of(LAWS["L_NS"].form, selection)
    best = _fitted(problem)
    left = (size != np.arange(len(sizes))[:, None]).astype(int)
    found = problem.solve(left, best, DELTA)
    if not found.converged.any():
        raise UserError("without one of the sizes the curves determine no fit")
    predicted = _at(problem, found.theta, selection, end)
    predicted[~found.converged] = np.nan
    return _rows(selection, np.arange(len(end)), end, predicted[size, np.arange(len(end))])


def ends(selection):
    """The index of the last point of each run of ``selection`` (runs,)."""
    owner, S = selection.fitted.owner, selection.fitted.inputs["S"]
    return np.array(
        [np.flatnonzero(owner == run)[S[owner == run].argmax()] for run in range(owner.max() + 1)]
    )


def _only(points, kept):
    """Those of ``points`` that are ``kept`` (P,)."""
    inputs = {name: x[kept] for name, x in points.inputs.items()}
    return Points(inputs, points.y[kept], points.owner[kept], points.compute[kept])


def _fitted(problem):
    """The best coefficients (1, K); raises UserError where the points determine none."""
    whole = problem.start(np.random.default_rng(0), DELTA)
    first = whole.objective.argmin()
    if not whole.converged[first]:
        raise UserError("the points determine no fit of L(N, S)")
    return whole.theta[first][None]


def _at(problem, theta, selection, at):
    """The law's loss (R, P) with coefficients ``theta`` at the points ``at`` (P,) of ``selection``."""
    u = np.log(np.array([x[at] for x in selection.fitted.inputs.values()])) - problem.centre[:, None]
    return np.exp(problem.form.evaluate(theta, u)[0])


def _rows(selection, told, end, predicted):
    S, y = selection.fitted.inputs["S"], selection.fitted.y
    return [
        (selection.runs[run], float(S[last]), float(loss), float(y[last]))
        for run, last, loss in zip(told, end, predicted, strict=True)
    ]


# --- each curve by itself -------------------------------------------------------------------------------


def steady(runs, curves, share):
    """Ends of curves at a constant rate, each forecast from the first ``share`` of its own steps: tuples as
    of :func:`beginnings`. Points within PACE times the warm-up are left out, as in a batch scan.

    Raises UserError where fewer than three curves have three test points there.
    """
    members = [run for run in runs if set(SCANS) & set(run["experiments"])]
    members = [run for run in members if run.get("schedule") == "constant"]
    if not members:
        raise UserError(f"no run of experiment {' or '.join(SCANS)} has a constant rate")
    kept, traces, _ = past_warmup(members, curves, SCANS, REMEDY)
    paths = [[column(traces[run["run"]], name) for name in ("step", "test_loss")] for run in kept]
    known = [
        (PACE * run["warmup"] <= S) & (share * S[-1] >= S) for run, (S, _) in zip(kept, paths, strict=True)
    ]
    told = [index for index, part in enumerate(known) if part.sum() >= FEWEST]
    if len(told) < FEWEST:
        found = f"{len(told)} curves have {FEWEST} test points past {PACE} times the warm-up in that part"
        raise UserError(f"{found}, at least {FEWEST} are needed")
    parts = [[values[known[index]] for values in paths[index]] for index in told]
    alpha = exponent(parts)
    found = alone(parts, alpha)
    rows = []
    for index, (a, floor), converged in zip(told, found.theta, found.converged, strict=True):
        S, loss = (values[-1] for values in paths[index])
        predicted = float(np.exp(a - alpha * np.log(S)) + np.exp(floor)) if converged else np.nan
        rows.append((kept[index]["run"], float(S), predicted, float(loss)))
    return rows


def exponent(parts):
    """The α at which ``parts`` of curves, pairs of steps and losses, are fitted best together."""
    grid = np.geomspace(*EXPONENTS, TRIED)
    for _ in range(FINER):
        best = int(np.argmin([alone(parts, alpha).objective.sum() for alpha in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        grid, middle = np.geomspace(low, high, TRIED), grid[best]
    return float(middle)


def alone(parts, alpha):
    """L = L_∞ + A · S^−α fitted to each of ``parts`` by itself: a :class:`solver.Solution` whose coefficients
    are ln A and ln L_∞."""
    form = Sum((Term(0, AMPLITUDE, fixed=alpha), Term()))
    steps, losses = (np.concatenate(values) for values in zip(*parts, strict=True))
    owner = np.repeat(np.arange(len(parts)), [len(S) for S, _ in parts])
    u, target = np.log(steps)[None], np.log(losses)
    weight = (owner == np.arange(len(parts))[:, None]).astype(float)
    start = []
    for S, loss in parts:
        floor = 0.8 * loss.min()
        start.append([np.mean(np.log(loss - floor) + alpha * np.log(S)), np.log(floor)])
    return solver.minimise(form, u, target, weight, np.array(start), form.bounds(u, target), DELTA)
