"""The compute-efficient frontier: learning curves on a common grid of compute, and where they are lowest.

Tables are lists of rows (dicts) with the columns of runs.parquet and curves.parquet. Losses are nats per
token, compute is in PF-days.
"""

from dataclasses import dataclass

import numpy as np

from scaling.laws import critical_batch, least_compute
from scaling.rows import column, enough, finite, need, sound
from scaling.units import pf_days

GRID_POINTS = 60
NEIGHBOURS = 2
"""Sizes on each side of the best one that a parabola in ln N goes through."""
CURVES = ("size", "long")
"""Experiments whose learning curves make the frontier: all sizes alike, and small ones trained on."""
LONE = 0.3
"""e-folds below its neighbours, or below every other run at its compute, that no training explains."""
CURVE_REMEDY = "add sizes to experiment size, or train for longer than the warm-up"


@dataclass(frozen=True)
class Critical:
    """B_crit(L) of a study as its points are adjusted by it: its parameters, ``draws`` {parameter: (R,)} of
    them, the ``losses`` between which it was measured, the ``tails`` of the draws outside an interval, and
    why it may not hold, in words."""

    parameters: dict[str, float]
    draws: dict[str, np.ndarray]
    losses: tuple[float, float] = (0.0, np.inf)
    tails: tuple[float, float] = (0.5, 0.5)
    doubts: tuple[str, ...] = ()

    def __call__(self, loss):
        """B_crit (tokens) at a loss (nats per token)."""
        return critical_batch(loss, **self.parameters)

    def variants(self, most):
        """This with each of its draws, up to ``most`` of them, in place of the parameters."""
        columns = [column[np.isfinite(column)][:most] for column in self.draws.values()]
        return [
            Critical(dict(zip(self.draws, map(float, values), strict=True)), {})
            for values in zip(*columns, strict=True)
        ]


@dataclass(frozen=True)
class IsoCompute:
    """Learning curves on a common grid of compute.

    ``runs``: rows in order of N; ``compute`` (G,) PF-days; ``loss`` (runs, G) ln of the lowest loss so far,
    infinite where a run has no data; ``reach`` (runs, G) the compute of the test point that a loss leans on,
    at that compute or after it; ``lowest`` (G,) whether no run had done better with less compute: where runs
    have ended and larger ones are still behind, the frontier has a gap; ``bracketed`` (runs, G) as
    :func:`bracketed` finds them, where ``lowest``; ``N`` and ``flops_per_token`` (runs,) as they are counted.
    """

    runs: list[dict]
    N: np.ndarray
    flops_per_token: np.ndarray
    compute: np.ndarray
    loss: np.ndarray
    reach: np.ndarray
    lowest: np.ndarray
    bracketed: np.ndarray
    excluded: dict[str, str]


def interpolate(runs, curves, counting, critical=None):
    """Learning curves of the experiments CURVES on 60 log-spaced computes, as :class:`IsoCompute`.

    A curve starts where its warm-up ends: before that its loss tells of the schedule, not of the size. It
    never rises: what counts at a compute is the lowest loss up to there. Between test points ln L is
    linear in ln C; nothing is extrapolated. ``counting`` names the columns of FLOPs per token and of N; with
    ``critical``, a :class:`Critical`, compute is C_min, by the lowest loss so far.

    The grid spans the computes that at least two runs reach.
    """
    kept, traces, excluded = past_warmup(runs, curves)
    need(kept, counting.flops, counting.N, *(["B"] if critical else []))
    spans = {}
    for run in kept:
        points = traces[run["run"]]
        compute = pf_days(column(points, "tokens") * run[counting.flops])
        loss = np.minimum.accumulate(np.log(column(points, "test_loss")))
        if critical:
            compute = least_compute(compute, run["B"], critical(np.exp(loss)))
        spans[run["run"]] = np.log(compute), loss
    first = sorted(compute[0] for compute, _ in spans.values())[1]
    last = sorted(compute[-1] for compute, _ in spans.values())[-2]
    grid = np.linspace(first, max(first, last), GRID_POINTS)
    loss = np.array([np.interp(grid, *spans[run["run"]], left=np.inf, right=np.inf) for run in kept])
    reach = np.array([_next(spans[run["run"]][0], grid) for run in kept])
    sizes, best = column(kept, counting.N), loss.min(0)
    lowest = best <= np.minimum.accumulate(best)
    return IsoCompute(
        *(kept, sizes, column(kept, counting.flops), np.exp(grid), loss, np.exp(reach)),
        *(lowest, bracketed(sizes, loss) & lowest, excluded),
    )


def _next(compute, grid):
    """The first of ``compute``, in order, at or after each point of ``grid``; infinite past the last."""
    return np.append(compute, np.inf)[np.searchsorted(compute, grid - 1e-9)]


def past_warmup(runs, curves, experiments=CURVES, remedy=CURVE_REMEDY):
    """Runs of ``experiments``, {run: rows of its curve past the warm-up}, and why others are left out.

    Single test points far below both neighbours (:func:`_dips`) are left out too, and their run is named.
    Raises UserError where fewer than three have two such points.
    """
    kept, excluded = sound(runs, experiments, "test_loss")
    traces = {run["run"]: [] for run in kept}
    warmup = {run["run"]: run["warmup"] for run in kept}
    for row in sorted(curves, key=lambda row: row["step"]):
        past = row["run"] in traces and row["step"] >= warmup[row["run"]]
        if past and finite(row["test_loss"]) and row["test_loss"] > 0:
            traces[row["run"]].append(row)
    dips = {}
    for run, trace in traces.items():
        low = _dips(trace)
        traces[run] = [row for index, row in enumerate(trace) if not low[index]]
        if low.any():
            steps = ", ".join(str(trace[index]["step"]) for index in np.flatnonzero(low))
            dips[run] = f"test points far below those on either side are left out, at step {steps}"
    for run, trace in traces.items():
        if len(trace) < 2:
            excluded[run] = f"has {len(trace)} test points past its warm-up, 2 are needed"
    kept = [run for run in kept if run["run"] not in excluded]
    enough(kept, excluded, remedy)
    return kept, traces, dips | excluded


def _dips(trace):
    """Which test points lie more than LONE e-folds below the points before and after them: (P,) booleans.

    Curves are made into lowest losses so far, so that one such point would stand for all that follow it. The
    first point is held against the two after it; the last against the one before it, where the fall must be
    LONE more than the steepest before.
    """
    loss = np.log(column(trace, "test_loss"))
    low = np.zeros(len(loss), dtype=bool)
    if len(loss) < 3:
        return low
    low[1:-1] = np.minimum(loss[:-2], loss[2:]) - loss[1:-1] > LONE
    low[0] = loss[1:3].min() - loss[0] > LONE
    *before, last = -np.diff(loss[~low])
    low[-1] = bool(before) and last - max(*before, 0) > LONE
    return low


def lone(iso, where):
    """Doubts, in words, about runs LONE e-folds below every other at one of the computes ``where`` (G,)."""
    loss = iso.loss[:, where]
    first, second = np.sort(loss, axis=0)[:2]
    far = np.isfinite(second) & (second - first > LONE)
    names = dict.fromkeys(iso.runs[index]["run"] for index in loss.argmin(0)[far])
    return tuple(
        f"the loss of {run} is more than {100 * -np.expm1(-LONE):.0f} % below every other at its compute"
        for run in names
    )


def bracketed(sizes, losses):
    """Which points lie around a minimum over size that has a neighbour on both sides: (runs, G) booleans.

    ``sizes`` (runs,), in order; ``losses`` (runs, G), infinite without data. True for the best size, and
    for up to two sizes with data on either side of it. False throughout where the best is the smallest or
    the largest that has data: smaller ones have ended and larger ones are still warming up or absent, and
    they might be better still.
    """
    distinct, which = np.unique(sizes, return_inverse=True)
    lowest = np.array([losses[which == index].min(0) for index in range(len(distinct))])
    data = np.isfinite(lowest)
    rank = data.cumsum(0) - 1
    best = np.take_along_axis(rank, lowest.argmin(0)[None], axis=0)
    inner = (best > 0) & (best < data.sum(0) - 1)
    window = data & inner & (np.abs(rank - best) <= NEIGHBOURS)
    return window[which] & np.isfinite(losses)


def vertex(size, loss):
    """ln N at the minimum of a parabola through points around it; NaN if it has none among them."""
    if not size.size:
        return np.nan
    square, slope, _ = np.polyfit(size - size.mean(), loss, 2)
    vertex = size.mean() - slope / (2 * square) if square > 0 else np.nan
    return vertex if size.min() < vertex < size.max() else np.nan
