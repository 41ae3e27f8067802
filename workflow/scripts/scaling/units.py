"""Quantities as the paper measures them, and how they are written."""

PF_DAY = 1e15 * 24 * 3600
"""FLOPs in one petaflop/s-day (Kaplan et al. 2020, section 1.3): 8.64e19."""


def pf_days(flops):
    """FLOPs (number or array) as PF-days."""
    return flops / PF_DAY


def compact(count):
    """An integer count, shortened only where nothing is lost: 2048 -> '2048', 8000000 -> '8M'."""
    for factor, suffix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count and count % factor == 0:
            return f"{count // factor}{suffix}"
    return str(count)
