import math

import pytest
from scaling.frontier import SELECTIONS
from scaling.laws import LAWS


def test_published_constants_repeat_the_papers_arithmetic():
    doubled = LAWS["L_N"].published(2e6) / LAWS["L_N"].published(1e6)
    assert doubled == pytest.approx(0.95, abs=0.002)  # section 1.2: doubling N takes 5 % off the loss
    assert LAWS["L_N"].published(1.5e9) == pytest.approx(2.30, abs=0.01)  # the paper's largest model
    assert LAWS["L_C"].published(1.0) == pytest.approx(2.57, abs=0.01)
    assert LAWS["L_C"].published(1.6e7) == pytest.approx(1.0)
    assert LAWS["N_opt"].published(10.0) / LAWS["N_opt"].published(1.0) == pytest.approx(7.59, abs=0.01)


@pytest.mark.parametrize("name", LAWS)
def test_a_law_is_a_line_in_log_log_and_back(name):
    law = LAWS[name]
    exponent, scale = (parameter.published for parameter in law.parameters.values())
    at_one, at_e = (math.log(law.published(x)) for x in (1.0, math.e))
    assert law.form.from_line(at_one, at_e - at_one) == pytest.approx((exponent, scale), rel=1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_entries_are_complete(name):
    law = LAWS[name]
    assert law.points in SELECTIONS
    exponent, scale = law.parameters.values()  # charts take the one without a unit for the exponent
    assert exponent.unit is None
    assert scale.unit
    assert all(parameter.symbol in law.formula and parameter.place for parameter in law.parameters.values())
    assert law.source.startswith("Kaplan et al. 2020")


def test_later_values_stand_beside_the_papers():
    comparisons = {other.value: other.source for other in LAWS["N_opt"].parameters["p_N"].comparisons}
    assert LAWS["N_opt"].parameters["p_N"].published == 0.88
    assert "C_min" in comparisons[0.73]
    assert "Hoffmann" in comparisons[0.5]


def test_a_flat_line_has_a_finite_scale():
    for slope in (0.0, 1e-9, -1e-9):
        exponent, scale = LAWS["L_N"].form.from_line(1.4, slope)
        assert exponent == -slope
        assert 0 < scale < float("inf")
