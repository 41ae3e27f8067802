"""How the learning rate moves over a run, and at which steps a run is measured."""

import math


def cosine(step, *, steps, warmup):
    """Share of the peak learning rate at ``step`` (0-based): linear warm-up, then a cosine to zero.

    The paper's schedule (Kaplan et al. 2020, section 2.2). The first step already learns and the last
    still does: zero would be reached one step after it.
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def log_spaced(last, count, ratio):
    """Up to ``count`` distinct steps from ``last / ratio`` to ``last``, evenly spaced in their logarithm."""
    if count == 1:
        return [last]
    return sorted({max(1, round(last * ratio ** (i / (count - 1) - 1))) for i in range(count)})
