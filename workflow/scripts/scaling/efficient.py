"""What the frontier's laws are fitted to: the lowest loss, the best size, steps and data at each compute.

Selections as in :mod:`scaling.selections`. With ``critical``, a :class:`scaling.frontier.Critical`, compute
is C_min.
"""

from dataclasses import replace

import numpy as np

from scaling import forms, frontier
from scaling.fitting.selection import Points, Selection, plain
from scaling.rows import CONVENTIONS, enough
from scaling.units import PF_DAY

OVERLAP_REMEDY = "add sizes to experiment size, nearer to each other"
VALLEY_REMEDY = "train smaller sizes for longer (experiment long), or add sizes between them"


def envelope(runs, curves, convention, critical=None):
    """L(C), or L(C_min): the lowest loss of any run of the frontier's experiments at each compute that two
    runs reach.

    Where only one run has data there is no choice of size, hence no frontier: that leaves out the beginning
    of the smallest run and the end of the largest. So does where the smallest or the largest size of the
    study is the best: one smaller, or larger, might be better still, and the loss flattens towards the end
    of the largest for want of it. So does where a run that has ended had done better with less compute.
    ``bracketed`` counts the computes at which the best size has a worse one
    on both sides (:func:`frontier.bracketed`); at the others a smaller size, had it been trained for
    longer, might have reached a lower loss. The envelope is that of all runs; the runs that it lies on are
    resampled. Taking the lowest of the runs drawn gave intervals on one side of the value, since that is
    never below the lowest of all, and twice as wide as the scatter of simulated studies.
    """
    iso = frontier.interpolate(runs, curves, CONVENTIONS[convention], critical)
    best = iso.N[iso.loss.argmin(0)]
    inner = (np.isfinite(iso.loss).sum(0) > 1) & (best > iso.N.min()) & (best < iso.N.max()) & iso.lowest
    what = "computes whose best size is neither the smallest nor the largest"
    enough(np.flatnonzero(inner), iso.excluded, OVERLAP_REMEDY, what)
    budgets, losses = iso.compute[inner], iso.loss[:, inner]
    lowest = losses.argmin(0)
    on_it, owner = np.unique(lowest, return_inverse=True)
    return plain(
        [iso.runs[index]["run"] for index in on_it],
        {"C_min" if critical else "C": budgets},
        np.exp(losses.min(0)),
        budgets,
        reach=np.take_along_axis(iso.reach[:, inner], lowest[None], axis=0)[0],
        owner=owner,
        method="Lower envelope of the learning curves of experiments size and long, past warm-up, at "
        "computes that two runs or more reach, whose best size is neither the smallest nor the largest, and "
        "where no run had done better with less; "
        f"{_compute(convention, critical)}.",
        remedy=OVERLAP_REMEDY,
        excluded=iso.excluded,
        doubts=frontier.lone(iso, inner),
        facts={"bracketed": int(iso.bracketed[:, inner].any(0).sum())},
    )


def efficient_batches(runs, curves, convention, critical):
    """B_opt(C_min): the critical batch size at the loss of the envelope of each C_min."""
    found = envelope(runs, curves, convention, critical)
    points = replace(found.shown, y=critical(found.shown.y))
    fitted = replace(points, compute=found.fitted.compute)
    method = f"B_crit at the losses of the envelope. {found.method}"
    return replace(found, shown=points, fitted=fitted, method=method)


def best_sizes(runs, curves, convention, critical=None):
    """N_opt(C), or N_opt(C_min): the size in the valley of the losses at each compute (:func:`_valley`)."""

    def size(iso):
        return np.repeat(iso.N[:, None], len(iso.compute), axis=1)

    return _valley(runs, curves, convention, critical, "N", size)


def best_data(runs, curves, convention, critical):
    """D_opt(C_min): the tokens seen by the size in the valley, at the critical batch size.

    Training at B_crit takes twice the tokens of training far below it: D = 2 C_min / FLOPs per token (6.3).
    """

    def tokens(iso):
        return 2 * PF_DAY * iso.compute / iso.flops_per_token[:, None]

    return _valley(runs, curves, convention, critical, "D", tokens)


def best_steps(runs, curves, convention, critical):
    """S_min(C_min): the steps of the size in the valley, C_min / (FLOPs per token · B_crit).

    B_crit is that of the lowest loss at each compute.
    """

    def steps(iso):
        return PF_DAY * iso.compute / (iso.flops_per_token[:, None] * critical(np.exp(iso.loss.min(0))))

    return _valley(runs, curves, convention, critical, "S", steps)


def _valley(runs, curves, convention, critical, name, quantity):
    """What of ``quantity``, a function from an :class:`frontier.IsoCompute` to (runs, G), is best at each
    compute: the vertex of a parabola in its logarithm through the lowest losses.

    At every compute where the frontier is ``bracketed`` (and no run had done better with less), the window
    is the best size and up to two on either side. What is shown are the vertices of separate parabolas, one a
    compute. The law is fitted to all
    windows at once (:class:`forms.Valley`): one curvature for all and a vertex that moves as a power of C.
    The windows are those of the full set of runs; a resample reweights their points. What is drawn are
    sizes, all runs of one together: the valley is not quite a parabola, and what that does to its vertex
    shows only when a size is missing. Refitting separate parabolas to each resample gave intervals three
    times as wide on simulated studies.
    """
    iso = frontier.interpolate(runs, curves, CONVENTIONS[convention], critical)
    x = quantity(iso)
    vertex = np.array([
        frontier.vertex(np.log(values[window]), losses[window])
        for window, values, losses in zip(iso.bracketed.T, x.T, iso.loss.T, strict=True)
    ])  # fmt: skip
    inside = np.isfinite(vertex)
    what = "computes whose best size has a worse one on both sides"
    enough(np.flatnonzero(inside), iso.excluded, VALLEY_REMEDY, what)
    budgets, losses = iso.compute[inside], iso.loss[:, inside]
    run, place = np.nonzero(iso.bracketed[:, inside])
    compute = "C_min" if critical else "C"
    windows = {compute: budgets[place], name: x[:, inside][run, place]}
    first, size = np.unique(iso.N, return_index=True, return_inverse=True)[1:]
    best = size[losses.argmin(0)]
    return Selection(
        runs=[iso.runs[index]["run"] for index in first],
        fitted=Points(windows, np.exp(losses[run, place]), size[run], iso.reach[:, inside][run, place]),
        shown=Points({compute: budgets}, np.exp(vertex[inside]), best, budgets),
        form=forms.Valley(),
        method=f"Parabolas in ln {name} through the best size at each compute and up to two on either side, "
        "with one curvature and a vertex that moves as a power of C; resampled by size; "
        f"{_compute(convention, critical)}.",
        remedy=VALLEY_REMEDY,
        excluded=iso.excluded,
        doubts=frontier.lone(iso, inside),
    )


def _compute(convention, critical):
    """How compute is counted, in words."""
    adjusted = ", C_min = C / (1 + B / B_crit(L))" if critical else ""
    return f"{CONVENTIONS[convention].words} FLOPs{adjusted}"
