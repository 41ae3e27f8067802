"""How the learning rate moves over a run, and at which steps a run is measured."""

import math

from scaling import trunks


def share(step, run):
    """Share of the peak learning rate at ``step`` (0-based) of ``run``: linear warm-up, then its schedule.

    ``cosine`` (the paper's, section 2.2) and ``linear`` fall from the end of the warm-up to the share
    ``final`` at step ``horizon``; ``wsd`` (warm-up, stable, decay) stays at the peak and falls linearly over
    the last ``cooldown`` share of the horizon; ``constant`` stays; ``inverse_sqrt`` falls as 1/√step from
    the end of the warm-up (Vaswani et al. 2017, section 5.3). After its horizon a schedule stays where it
    ended. The first step already learns, and so does the last of the horizon: the end would be reached one
    step after it.
    """
    warmup = run["warmup"]
    if step < warmup:
        return (step + 1) / warmup
    if run["schedule"] == "constant":
        return 1.0
    if run["schedule"] == "inverse_sqrt":
        return math.sqrt(max(1, warmup) / (step + 1))
    begin, horizon = warmup, run["horizon"]
    if run["schedule"] == "wsd":
        begin = trunks.fall(run)
    done = 1.0 if step >= horizon else max(0.0, (step - begin) / (horizon - begin))
    left = 0.5 * (1 + math.cos(math.pi * done)) if run["schedule"] == "cosine" else 1 - done
    return run["final"] + (1 - run["final"]) * left


def log_spaced(last, count, ratio):
    """Up to ``count`` distinct steps from ``last / ratio`` to ``last``, evenly spaced in their logarithm."""
    if count == 1:
        return [last]
    return sorted({max(1, round(last * ratio ** (i / (count - 1) - 1))) for i in range(count)})


def between(points, count):
    """Up to ``count`` steps, evenly spread, of those that lead to each of ``points`` since the one before."""
    found, before = set(), 0
    for point in points:
        gap = point - before
        found |= {before + math.ceil(gap * (i + 1) / count) for i in range(count)}
        before = point
    return found
