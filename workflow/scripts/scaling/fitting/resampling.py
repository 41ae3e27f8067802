"""Whole runs drawn with replacement: points of one learning curve are not independent."""

from statistics import NormalDist

import numpy as np


def draw(runs, resamples, seed, strata=None):
    """How often each of ``runs`` is drawn, with replacement, in each resample: (resamples, runs) integers.

    ``strata`` (runs,) are what runs belong to where that is drawn first, and from each draw of one as many
    runs as it has: whatever differs between strata then shows in the draws.

    The same seed (a number or a list of them) and number of runs give the same draws, so that laws fitted to
    the same runs can be compared draw by draw.
    """
    random = np.random.default_rng(seed)
    if strata is None:
        return random.multinomial(runs, np.full(runs, 1 / runs), size=resamples)
    members = [np.flatnonzero(strata == name) for name in np.unique(strata)]
    times = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    counts = np.zeros((resamples, runs), dtype=int)
    for index, member in enumerate(members):
        share = np.full(len(member), 1 / len(member))
        counts[:, member] = random.multinomial(times[:, index] * len(member), share)
    return counts


def widening(runs, size):
    """How much less draws scatter than their fit, as a factor to make up for it: √(n / (n − K)).

    ``size`` coefficients K are fitted to ``runs`` n. With no run to spare the factor is that of one.
    """
    return (runs / max(runs - size, 1)) ** 0.5


def student(share, freedom):
    """Quantile of Student's t with ``freedom`` degrees, by expansion about the normal's.

    Abramowitz & Stegun 26.7.5: 1 % low at two degrees of freedom, exact to three digits from five on.
    """
    z = NormalDist().inv_cdf(share)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def tails(interval, runs, size):
    """The two quantiles of the draws that bound an interval of ``size`` coefficients fitted to ``runs``.

    Draws scatter too little by :func:`widening`, and know their own scatter no better than the runs to
    spare allow, hence Student's t. Nine runs, two coefficients and 90 % give 0.016 and 0.984.
    """
    reach = student(0.5 + interval / 2, max(runs - size, 1)) * widening(runs, size)
    return [NormalDist().cdf(-reach), NormalDist().cdf(reach)]
