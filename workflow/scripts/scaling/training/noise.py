"""Gradient noise scale, tr(Σ)/|G|², from gradients of two batch sizes (McCandlish et al. 2018, app. A)."""

import math

COLUMNS = ("noise_scale", "noise_scale_se", "gradient_square", "gradient_variance")


def moments(small, big):
    """Unbiased |G|² and tr(Σ) per token from two pairs (tokens, squared norm of the mean gradient).

    ``small`` may be a part of ``big``. With E|G_b|² = |G|² + tr(Σ)/b for a batch of b tokens, two sizes
    give both unknowns.
    """
    (b, small_square), (B, big_square) = small, big
    gradient = (B * big_square - b * small_square) / (B - b)
    return gradient, (small_square - big_square) / (1 / b - 1 / B)


def estimate(measured):
    """Noise scale in tokens and its standard error from :func:`moments` of several steps: a dict of COLUMNS.

    The ratio of the means, since the mean of the ratios is biased; its error by jackknife over the steps,
    None below two of them. The scale is None where the gradient is lost in the noise (|G|² not positive).
    """
    count = len(measured)
    if not count:
        return dict.fromkeys(COLUMNS)
    gradient = sum(g for g, _ in measured)
    variance = sum(v for _, v in measured)
    scale = error = None
    if gradient > 0:
        scale = variance / gradient
        left_out = [(variance - v) / (gradient - g) for g, v in measured if gradient - g > 0]
        if count > 1 and len(left_out) == count:
            mean = sum(left_out) / count
            error = math.sqrt((count - 1) / count * sum((x - mean) ** 2 for x in left_out))
    return dict(zip(COLUMNS, (scale, error, gradient / count, variance / count), strict=True))
