"""The points that a law is fitted to, and the runs that they come from."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from scaling.forms import Form

SHARE = 10
"""The largest tenth of compute is what a forecast has to predict."""


@dataclass(frozen=True)
class Shown:
    """Points as a chart shows them and a forecast has to predict them.

    ``inputs`` name -> (P,), ``y`` (P,), ``owner`` (P,) indices of runs, ``compute`` (P,) of any unit.
    """

    inputs: dict[str, np.ndarray]
    y: np.ndarray
    owner: np.ndarray
    compute: np.ndarray
    y_se: np.ndarray | None = None


@dataclass(frozen=True)
class Selection:
    """The points of a fit.

    ``runs`` are names; ``inputs`` (name -> (P,), positive, in the order of the form's), ``owner`` (P,) and
    ``compute`` (P,) are those of the points that are fitted. ``points(counts)`` maps how often each run was
    drawn, (R, runs) integers, to targets (R, P) or (1, P), natural logarithms, and weights (R, P).
    ``shown`` are the points as drawn; ``form`` replaces the law's own where what is fitted is not the law
    itself but something that implies it. ``method`` is a sentence, ``remedy`` what to do where points are
    too few, ``excluded`` maps runs left out to the reason, ``facts`` join the record of the points.
    """

    runs: list[str]
    inputs: dict[str, np.ndarray]
    owner: np.ndarray
    compute: np.ndarray
    points: Callable
    shown: Shown
    method: str
    remedy: str
    form: Form | None = None
    excluded: dict[str, str] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)


def plain(runs, inputs, y, compute, *, method, remedy, owner=None, y_se=None, **more):
    """A :class:`Selection` of points that are the same in every resample, only more or less often there.

    ``inputs`` name -> (P,), ``y`` (P,), ``compute`` (P,); ``owner`` (P,) indices into ``runs``, which may
    be left out where each run has one point.
    """
    owner = np.arange(len(runs)) if owner is None else owner
    target = np.log(y)[None]
    return Selection(
        runs=runs,
        inputs=inputs,
        owner=owner,
        compute=compute,
        points=lambda counts: (target, counts[:, owner].astype(float)),
        shown=Shown(inputs, y, owner, compute, y_se),
        method=method,
        remedy=remedy,
        **more,
    )


def largest(compute):
    """Which points hold the largest tenth of compute: (P,) booleans, at least one point.

    Points of equal compute stay together. None are held out where that would leave none to fit.
    """
    count = max(1, round(len(compute) / SHARE))
    held = compute >= np.sort(compute)[-count] * (1 - 1e-12)
    return held if not held.all() else np.zeros(len(compute), dtype=bool)
