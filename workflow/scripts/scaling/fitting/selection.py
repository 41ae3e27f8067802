"""The points that a law is fitted to, and the runs that they come from."""

from dataclasses import dataclass, field, replace

import numpy as np

from scaling.forms import Form

SHARE = 10
"""The largest tenth of compute is what a forecast has to predict."""


@dataclass(frozen=True)
class Points:
    """P points: ``inputs`` name -> (P,), ``y`` (P,) and its standard error or None, all in their own units.

    ``owner`` (P,) are indices of the runs they belong to, ``compute`` (P,) is what has been spent when a
    point is known, in any unit: no forecast from less may use it. ``least`` (P,) is true where y is only the
    least that it could be: what was looked for had not come by the end of the run.
    """

    inputs: dict[str, np.ndarray]
    y: np.ndarray
    owner: np.ndarray
    compute: np.ndarray
    y_se: np.ndarray | None = None
    least: np.ndarray | None = None


@dataclass(frozen=True)
class Selection:
    """What a law is fitted to: the names of the ``runs`` and the points that are ``fitted``, whose inputs are
    in the order of the form's.

    ``shown`` are the points that a chart shows and a forecast has to predict; ``form`` replaces the law's own
    where what is fitted is not the law itself but something that implies it. ``method`` is a sentence,
    ``remedy`` what to do where points are too few, ``excluded`` maps runs left out to the reason, ``facts``
    join the record of the points.

    ``strata`` (runs,) are what the runs belong to where these are drawn first (:func:`resampling.draw`).

    Points that were adjusted by another fit come with its draws: ``variants`` are the same selection
    adjusted by each of some of them, None where that has too few points, among which the resamples are shared
    out; ``carried`` are the numbers that this one was adjusted by, ``tails`` the quantiles that bound their
    intervals, and ``doubts`` why they may not hold.
    """

    runs: list[str]
    fitted: Points
    shown: Points
    method: str
    remedy: str
    form: Form | None = None
    excluded: dict[str, str] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    strata: np.ndarray | None = None
    variants: tuple = ()
    carried: dict[str, float] = field(default_factory=dict)
    tails: tuple[float, float] = (0.5, 0.5)
    doubts: tuple[str, ...] = ()

    def budget(self):
        """The compute from which on points are held out, to be predicted; infinite where none can be."""
        held = largest(self.shown.compute)
        return self.shown.compute[held].min() if held.any() else np.inf

    def weights(self, counts):
        """Weights (R, P) of the fitted points where each run was drawn ``counts`` (R, runs) times."""
        return counts[:, self.fitted.owner].astype(float)


def plain(runs, inputs, y, compute, *, owner=None, y_se=None, reach=None, **more):
    """A :class:`Selection` whose points are fitted as they are shown.

    ``owner`` may be left out where each run has one point. ``reach`` (P,) is the compute of what a point
    rests on, where that is more than it stands at, as for one between two test points. ``more`` are the
    other fields of a selection.
    """
    shown = Points(inputs, y, np.arange(len(runs)) if owner is None else owner, compute, y_se)
    fitted = shown if reach is None else replace(shown, compute=reach)
    return Selection(runs, fitted, shown, **more)


def largest(compute):
    """Which points hold the largest tenth of compute: (P,) booleans, at least one point.

    Points of equal compute stay together. None are held out where that would leave none to fit.
    """
    count = max(1, round(len(compute) / SHARE))
    held = compute >= np.sort(compute)[-count] * (1 - 1e-12)
    return held if not held.all() else np.zeros(len(compute), dtype=bool)
