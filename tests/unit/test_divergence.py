"""Which losses have left their history for good, and which have not."""

import math

import numpy as np
import pytest
from scaling.training.divergence import History


def steps_until(losses, steps=1000):
    history = History(steps)
    return next((i for i, loss in enumerate(losses) if history.diverged(loss)), None)


def learning(steps=1000):
    rng = np.random.default_rng(0)
    return 3 + 3 * np.exp(-np.arange(steps) / 100) + rng.normal(size=steps) * 0.2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_divergence_at_once(bad):
    losses = learning()
    losses[300] = bad
    assert steps_until(losses) == 300


def test_a_run_that_learns_has_not_diverged():
    assert steps_until(learning()) is None


def test_a_spike_that_returns_is_none():
    losses = learning()
    losses[500:540] = 9
    assert steps_until(losses) is None


def test_a_loss_that_stays_away_is_divergence():
    losses = learning()
    losses[500:] = 5.2
    assert steps_until(losses) == 549, "a window of a twentieth of the run, all of it above"


def test_a_loss_that_never_learns_but_rises_is_divergence():
    assert steps_until([6.2, 30, *np.full(998, 7.0)]) == 50


def test_a_loss_that_stays_where_it_began_is_none():
    assert steps_until(6.2 + np.random.default_rng(0).normal(size=1000) * 0.2) is None


def test_the_history_is_restored_to_the_last_digit():
    losses = learning()
    losses[500:] = 5.2
    history = History(1000)
    for loss in losses[:520]:
        history.diverged(loss)
    again = History(1000)
    again.restore(history.state())
    assert again.state() == history.state()
    assert [again.diverged(x) for x in losses[520:560]].index(True) == 29
