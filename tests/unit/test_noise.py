"""The gradient noise scale against gradients whose noise is known."""

import math

import numpy as np
import pytest
from scaling.training import noise

DIMENSIONS, SIGNAL, VARIANCE = 500, 0.04, 8.0
"""|G|² and tr(Σ) per token: a noise scale of 200 tokens."""


def measured(rng, steps, small=64, big=512):
    """Moments of steps whose batch gradients have the known signal and noise."""
    direction = np.full(DIMENSIONS, math.sqrt(SIGNAL / DIMENSIONS))
    found = []
    for _ in range(steps):
        parts = [
            direction + rng.normal(size=DIMENSIONS) * math.sqrt(VARIANCE / DIMENSIONS / tokens)
            for tokens in (small, big - small)
        ]
        whole = (small * parts[0] + (big - small) * parts[1]) / big
        found.append(noise.moments((small, parts[0] @ parts[0]), (big, whole @ whole)))
    return found


def test_signal_and_noise_come_back_without_bias():
    found = np.array(measured(np.random.default_rng(0), 4000))
    mean, error = found.mean(axis=0), found.std(axis=0) / math.sqrt(len(found))
    assert np.all(np.abs(mean - [SIGNAL, VARIANCE]) < 4 * error)
    assert np.all(error / [SIGNAL, VARIANCE] < 0.02)


def test_the_error_bar_covers_the_truth_as_often_as_it_should():
    rng = np.random.default_rng(1)
    off = []
    for _ in range(400):
        found = noise.estimate(measured(rng, 30))
        off.append((found["noise_scale"] - VARIANCE / SIGNAL) / found["noise_scale_se"])
    assert 0.60 < np.mean(np.abs(off) < 1) < 0.76
    assert 0.90 < np.mean(np.abs(off) < 2) < 0.98


def test_nothing_measured_is_nothing_known():
    assert set(noise.estimate([]).values()) == {None}
    alone = noise.estimate([(0.1, 2.0)])
    assert alone["noise_scale"] == pytest.approx(20)
    assert alone["noise_scale_se"] is None


def test_a_gradient_lost_in_the_noise_has_no_scale():
    found = noise.estimate([(0.1, 2.0), (-0.3, 2.0)])
    assert found["noise_scale"] is None
    assert found["gradient_square"] == pytest.approx(-0.1)
    assert found["gradient_variance"] == pytest.approx(2.0)
