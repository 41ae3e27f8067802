"""Learning-rate schedules, and the steps at which a run is measured."""

import math

import numpy as np
import pytest
from scaling.training import schedules

RUN = {"schedule": "cosine", "warmup": 10, "horizon": 100, "final": 0.0, "cooldown": 0.2}


def rates(steps=120, **changes):
    return [schedules.share(step, RUN | changes) for step in range(steps)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "inverse_sqrt", "wsd"])
def test_every_schedule_warms_up_linearly_to_its_peak(schedule):
    found = rates(schedule=schedule)
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(found) == pytest.approx(1.0)
    assert np.all(np.diff(found[10:]) <= 1e-12)


def test_the_cosine_is_half_way_down_in_the_middle_and_ends_near_zero():
    found = rates()
    assert found[55] == pytest.approx(0.5)
    assert found[30] == pytest.approx(0.5 * (1 + math.cos(math.pi * 20 / 90)))
    assert 0 < found[99] < 0.001


def test_the_linear_schedule_is_a_line():
    assert np.diff(rates(steps=100, schedule="linear")[10:]) == pytest.approx(-1 / 90)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_a_schedule_may_end_away_from_zero_and_before_the_run(schedule):
    found = rates(schedule=schedule, final=0.1)
    assert found[99] > 0.1
    assert found[100:] == pytest.approx([0.1] * 20)


def test_a_schedule_longer_than_the_run_is_cut_off():
    assert rates(steps=50, horizon=1000)[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 39 / 990)))


def test_wsd_is_stable_until_it_decays():
    found = rates(schedule="wsd", cooldown=0.3)
    assert found[10:71] == pytest.approx([1.0] * 61)
    assert found[85] == pytest.approx(0.5)
    assert rates(schedule="wsd", cooldown=0.001)[99:101] == [1.0, 0.0]


def test_inverse_sqrt_falls_as_the_root_of_the_step():
    found = rates(schedule="inverse_sqrt")
    assert found[39] == pytest.approx(0.5)
    assert rates(schedule="inverse_sqrt", warmup=0)[3] == pytest.approx(0.5)


def test_log_spaced_steps_are_distinct_and_end_at_the_last():
    steps = schedules.log_spaced(1500, 14, 100)
    assert (steps[0], steps[-1], len(steps)) == (15, 1500, 14)
    assert np.diff(np.log(steps)) == pytest.approx(np.full(13, math.log(100) / 13), rel=0.2)
    assert schedules.log_spaced(5, 14, 100) == [1, 2, 4, 5]
    assert schedules.log_spaced(7, 1, 100) == [7]


def test_measured_steps_lead_to_every_point():
    found = sorted(schedules.between([4, 20, 100], 8))
    assert [step for step in found if step <= 4] == [1, 2, 3, 4]
    assert [step for step in found if 4 < step <= 20] == [6, 8, 10, 12, 14, 16, 18, 20]
    assert len([step for step in found if step > 20]) == 8
    assert schedules.between([4, 20], 0) == set()
