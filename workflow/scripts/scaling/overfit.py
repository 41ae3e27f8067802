"""Overfitting of runs limited by data, and how well one curve describes it (Kaplan et al. 2020, section 4.2).

δL = L(N, D) / L(N, ∞) − 1 is how much a limited data set costs a size. The paper takes the loss of the same
size on all its data for L(N, ∞), from runs that were trained until they had seen it several times.
"""

import math

import numpy as np

from scaling.fitting.resampling import draw
from scaling.rows import finite
from scaling.trends import RESAMPLES, interval, known


def on_most(runs):
    """The run of each size on the most data that any of ``runs`` had, {N: row}; of several the lowest.

    ``runs`` are rows of runs.parquet with a finite ``best_test_loss``, which is what counts.
    """
    most = max(run["D"] for run in runs)
    ranked = sorted(
        (run for run in runs if run["D"] == most), key=lambda run: run["best_test_loss"], reverse=True
    )
    return {run["N"]: run for run in ranked}


def on_less(runs):
    """Those of ``runs`` that had less than the most data and saw it once or more: limited by data."""
    most = max(run["D"] for run in runs)
    return [run for run in runs if run["D"] < most and run["epochs"] >= 1]


def excess(run, limit, limit_se=None):
    """δL of a run against a loss without limit of data: {value, se}; se None where an error is unknown.

    ``limit_se`` is None for a limit that was not measured. Two measured losses count as independent.
    """
    ratio, se = run["best_test_loss"] / limit, run["best_test_loss_se"]
    if not finite(se) or (limit_se is not None and not finite(limit_se)):
        return {"value": ratio - 1, "se": None}
    shares = (se / run["best_test_loss"], (limit_se or 0) / limit)
    return {"value": ratio - 1, "se": ratio * math.hypot(*shares)}


def explained(measured, expected, *, resamples=RESAMPLES, seed=0):
    """The share of the variance of ``measured`` (runs,) that ``expected`` explains: {value, low, high}.

    One less the mean square of their differences over the variance: 1 where they agree, 0 where their mean
    would do as well, negative where it would do better. The ends are those of an interval from resampling
    runs. None with fewer than three runs, or where the measured do not vary.
    """
    measured, expected = np.asarray(measured, dtype=float), np.asarray(expected, dtype=float)
    runs = len(measured)
    if not runs:
        return None
    share = np.concatenate([np.ones((1, runs)), draw(runs, resamples, seed)]) / runs
    variance = share @ measured**2 - (share @ measured) ** 2
    usable = variance > 1e-9 * max(variance.max(initial=0), 1e-12)
    values = np.full(len(variance), np.nan)
    values[usable] = 1 - (share @ (measured - expected) ** 2)[usable] / variance[usable]
    found = interval(values, runs, 1)
    return found if known(found) else None


def enough_data(N, share, *, alpha_N, N_c, alpha_D, D_c):
    """Tokens D at which a size ``N`` overfits by a ``share`` of its loss, by the parameters of L_ND.

    The inverse of :func:`scaling.laws.overfitting` (eq. 4.3); with a share of 0.02 the paper's is eq. 4.4.
    """
    return (N / N_c) ** (alpha_N / alpha_D) * D_c / ((1 + share) ** (1 / alpha_D) - 1)
