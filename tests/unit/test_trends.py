"""Slopes in ln N and their intervals from resampling runs."""

import math

import numpy as np
import pytest
from scaling import trends

N = np.geomspace(1e3, 1e6, 8)


def test_an_exact_trend_is_found_without_spread():
    found = trends.trend(N, 2 + 0.3 * np.log(N))
    assert found == pytest.approx({"value": 0.3, "low": 0.3, "high": 0.3})
    assert trends.known(found)


def test_slope_is_that_of_least_squares_with_each_run_as_often_as_drawn():
    y = np.random.default_rng(0).normal(0, 1, 8)
    counts = np.array([[1] * 8, [0, 2, 1, 0, 3, 1, 0, 1]])
    repeated = np.repeat(np.arange(8), counts[1])
    expected = [np.polyfit(np.log(N[at]), y[at], 1)[0] for at in (np.arange(8), repeated)]
    assert trends.slopes(np.log(N), y, counts) == pytest.approx(expected)
    each = trends.slopes(np.log(N), np.stack([y, 2 * y]), counts)
    assert each == pytest.approx([expected[0], 2 * expected[1]])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random, trials, hits = np.random.default_rng(1), 300, 0
    for _ in range(trials):
        found = trends.trend(N, 0.1 * np.log(N) + random.normal(0, 0.2, 8), resamples=300)
        hits += found["low"] <= 0.1 <= found["high"]
    assert 0.82 < hits / trials < 0.98


def test_draws_of_each_number_widen_the_interval():
    y = 0.1 * np.log(N)
    drawn = y + np.random.default_rng(0).normal(0, 0.3, (500, 8))
    found = trends.trend(N, y, drawn=drawn)
    assert found["low"] < 0.05 < 0.15 < found["high"]


def test_too_few_runs_or_one_size_have_no_interval():
    assert not trends.known(trends.trend(N[:2], np.array([1.0, 2.0])))
    assert trends.trend(N[:2], np.log(N[:2]))["value"] == pytest.approx(1)
    assert math.isnan(trends.trend(np.full(5, 1e3), np.arange(5.0))["value"])


def test_three_runs_tell_a_mean_and_no_slope():
    rng = np.random.default_rng(0)
    assert not trends.known(trends.trend(np.array([1e3, 1e4, 1e5]), rng.normal(size=3)))
    assert trends.known(trends.trend(np.array([1e3, 1e4, 1e5, 1e6]), rng.normal(size=4)))
    assert trends.known(trends.interval(rng.normal(size=100), 3, 1))
    assert not trends.known(trends.interval(rng.normal(size=100), 2, 1))
