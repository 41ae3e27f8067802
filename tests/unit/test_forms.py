import numpy as np
import pytest
from scaling import forms
from scaling.laws import LAWS

EVERY = {
    **{name: law.form for name, law in LAWS.items()},
    **{f"{name}, {rival}": found.form for name, law in LAWS.items() for rival, found in law.rivals.items()},
    "valley": forms.Valley(),
    "hyperbolas": forms.Hyperbolas(np.repeat([0, 1, 2], 10)),
}
IMPLIED = ("valley", "hyperbolas")
"""Forms of more coefficients than parameters."""


def problem(form, seed=0, points=30):
    """Centred inputs, losses near four, and ten sets of coefficients in the form's own range."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(-4, 4, (2, points))
    v = np.log(4) + rng.normal(0, 0.2, points)
    return u, v, form.starts(u, v, rng, 10)


@pytest.mark.parametrize("form", EVERY.values(), ids=EVERY)
def test_gradients_are_those_of_the_values(form):
    u, _, theta = problem(form)
    value, gradient = form.evaluate(theta, u)
    assert gradient.shape == (10, form.size, 30)
    for k in range(form.size):
        nudge = 1e-6 * np.eye(form.size)[k]
        numeric = (form.evaluate(theta + nudge, u)[0] - form.evaluate(theta - nudge, u)[0]) / 2e-6
        assert gradient[:, k] == pytest.approx(numeric, rel=1e-5, abs=1e-7)
    assert np.isfinite(value).all()


@pytest.mark.parametrize("name", [name for name in EVERY if name not in IMPLIED])
def test_parameters_and_coefficients_turn_into_each_other(name):
    form = EVERY[name]
    theta, centre = problem(form)[2], np.array([17.0, 23.0])
    assert form.internal(form.natural(theta, centre), centre) == pytest.approx(theta, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("form", EVERY.values(), ids=EVERY)
def test_starts_lie_within_the_bounds_and_far_apart(form):
    u, v, theta = problem(form)
    low, high = form.bounds(u, v)
    assert low.shape == high.shape == (form.size,)
    assert (theta > low).all()
    assert (theta < high).all()
    assert (np.ptp(theta, axis=0) > 0.01).all()


def at(form, parameters, **inputs):
    """y by ``parameters`` at ``inputs``, uncentred."""
    u = np.log(np.array([np.atleast_1d(x) for x in inputs.values()], dtype=float))
    theta = form.internal(np.array([parameters], dtype=float), np.zeros(len(u)))
    return np.exp(form.evaluate(theta, u)[0][0])


def test_values_are_those_of_the_formulas():
    N, D = np.array([1e6, 1e8]), np.array([1e9, 1e8])
    assert at(LAWS["L_N"].form, [0.076, 8.8e13], N=N) == pytest.approx((8.8e13 / N) ** 0.076)
    alpha_N, N_c, alpha_D, D_c = 0.076, 6.4e13, 0.103, 1.8e13
    expected = ((N_c / N) ** (alpha_N / alpha_D) + D_c / D) ** alpha_D
    assert at(LAWS["L_ND"].form, [alpha_N, N_c, alpha_D, D_c], N=N, D=D) == pytest.approx(expected)
    expected = 1.69 + 406.4 / N**0.34 + 410.7 / D**0.28
    assert at(LAWS["chinchilla"].form, [0.34, 406.4, 0.28, 410.7, 1.69], N=N, D=D) == pytest.approx(expected)
    L = np.array([2.0, 4.0])
    assert at(LAWS["B_crit"].form, [0.21, 2.1e8], L=L) == pytest.approx(2.1e8 / L ** (1 / 0.21))
    assert at(LAWS["steps_examples"].form, [5e3, 5e8], B=N) == pytest.approx(5e3 + 5e8 / N)
    assert at(LAWS["N_opt"].form, [0.88, 1.6e9], C=N) == pytest.approx(1.6e9 * N**0.88)
    assert at(forms.Irreducible(forms.power()), [0.3, 1e9, 1.7], N=N) == pytest.approx((1e9 / N) ** 0.3 + 1.7)
    assert at(forms.Logarithm(), [0.22, 1e12], N=N) == pytest.approx(0.22 * np.log(1e12 / N))


def test_the_bottom_of_a_valley_moves_as_a_power_of_compute():
    centre = np.array([-10.0, 14.0])
    # ln y = (n − 0.7 c − 0.2)², in centred logarithms
    theta = np.array([[0.04, 0.28, 0.49, -0.4, 1.0, -1.4], [0, 0, 0, 0, -1.0, 0]])
    p, scale = forms.Valley().natural(theta, centre)[0]
    assert p == pytest.approx(0.7)
    assert np.log(scale) == pytest.approx(14.0 + 0.2 + 0.7 * 10.0)
    bottom = forms.Valley().predict(theta, np.array([[0.0, 2.0]]), centre)
    assert bottom[0] == pytest.approx([14.2, 15.6])
    assert np.isnan(bottom[1]).all(), "a ridge has no bottom"


def test_hyperbolas_share_a_critical_batch_and_have_a_least_number_of_steps_each():
    L, B, group = np.array([3.0, 3.0, 4.0, 4.0]), np.array([1e4, 1e6, 1e4, 1e6]), np.array([0, 0, 1, 1])
    centre, S_min = np.log([3.5, 1e5]), np.array([900.0, 200.0])
    u = np.log([L, B]) - centre[:, None]
    alpha_B, B_star = 0.21, 2.1e8
    theta = [1 / alpha_B, np.log(B_star) - centre[0] / alpha_B - centre[1], *np.log(S_min)]
    form, theta = forms.Hyperbolas(group), np.array([theta])
    critical = B_star / L ** (1 / alpha_B)
    assert np.exp(form.evaluate(theta, u)[0][0]) == pytest.approx(S_min[group] * (1 + critical / B))
    assert form.natural(theta, centre)[0] == pytest.approx([alpha_B, B_star])
    assert np.exp(form.predict(theta, u[:1], centre)[0]) == pytest.approx(critical)


def test_a_flat_line_has_a_finite_scale():
    for slope in (0.0, 1e-9, -1e-9):
        exponent, scale = forms.power().natural(np.array([[slope, 1.4]]), np.array([14.0]))[0]
        assert exponent == slope
        assert 0 < scale < float("inf")


def test_exponents_are_bounded_at_zero_and_amplitudes_where_a_term_is_not_alone():
    u, v = np.zeros((2, 3)), np.log([3.0, 4.0, 5.0])
    falling, rising = forms.power().bounds(u, v), forms.power(forms.RISING).bounds(u, v)
    assert [ends[0] for ends in falling] == [0, forms.STEEPEST]
    assert [ends[0] for ends in rising] == [-forms.STEEPEST, 0]
    assert np.isinf([ends[1] for ends in (*falling, *rising)]).all()
    for ends in LAWS["chinchilla"].form.bounds(u, v):
        assert np.isfinite(ends).all()
