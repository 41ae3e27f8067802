import numpy as np
import pytest
from scaling import forms
from scaling.fitting import solver
from scaling.laws import LAWS

LINE = forms.power()
FREE = (np.full(2, -np.inf), np.full(2, np.inf))
DELTA = 0.01


def noisy_line(rng, points=9, sigma=0.02):
    u = np.linspace(-3, 3, points)[None]
    return u, 1.4 - 0.07 * u[0] + rng.normal(0, sigma, points)


def objective(form, theta, u, v, weight, delta=DELTA):
    return (weight * solver.huber(v - form.evaluate(theta[None], u)[0][0], delta)).sum()


def minimise(form, u, v, start, *, weight=None, bounds=None, delta=DELTA):
    weight = np.ones((len(start), len(v))) if weight is None else weight
    return solver.minimise(form, u, v, weight, start, bounds or form.bounds(u, v), delta)


def test_huber_is_square_inside_and_linear_outside():
    assert solver.huber(np.array([0.0, 0.01, -0.02, 1.0]), 0.02) == pytest.approx(
        [0, 0.5e-4, 2e-4, 0.02 * 0.99]
    )


@pytest.mark.parametrize("delta", [1e-4, 1e-2, 10.0])
def test_what_is_found_is_the_minimum_of_the_sum(delta):
    rng = np.random.default_rng(2)
    u, v = noisy_line(rng)
    found = minimise(LINE, u, v, np.zeros((1, 2)), delta=delta)
    assert found.converged[0]
    assert found.objective[0] == pytest.approx(objective(LINE, found.theta[0], u, v, 1.0, delta))
    assert found.objective[0] > 0
    for nudge in rng.normal(0, 1e-3, (200, 2)):
        assert objective(LINE, found.theta[0] + nudge, u, v, 1.0, delta) > found.objective[0]
    if delta == 10.0:
        slope, intercept = np.polyfit(u[0], v, 1)
        assert found.theta[0] == pytest.approx([-slope, intercept])


def test_what_is_only_the_least_that_it_could_be_pulls_one_way():
    u, v = noisy_line(np.random.default_rng(2))
    least = np.zeros(9, dtype=bool)
    least[-1] = True

    def solve(last, least):
        target, weight = np.append(v[:-1], last), np.ones((1, 9))
        return solver.minimise(LINE, u, target, weight, np.zeros((1, 2)), FREE, DELTA, least)

    without = solver.minimise(LINE, u[:, :-1], v[:-1], np.ones((1, 8)), np.zeros((1, 2)), FREE, DELTA)
    below, above = (solve(v[-1] + shift, least) for shift in (-0.5, 0.5))
    assert below.theta == pytest.approx(without.theta, abs=1e-6)
    assert below.objective == pytest.approx(without.objective)
    assert above.theta == pytest.approx(solve(v[-1] + 0.5, None).theta, abs=1e-6)
    assert above.theta[0, 0] < without.theta[0, 0] - 1e-3


def test_a_coefficient_whose_points_are_all_left_out_leaves_the_others_known():
    form = forms.Hyperbolas(np.repeat([0, 1], 6))
    rng = np.random.default_rng(0)
    u = np.array([np.repeat([-0.1, 0.1], 6) + rng.normal(0, 0.05, 12), np.tile(np.linspace(-2, 2, 6), 2)])
    v = form.evaluate(np.array([[5.0, 0.3, 4.0, 5.0]]), u)[0][0]
    weight = np.array([np.ones(12), np.repeat([1.0, 0.0], 6)])
    found = minimise(form, u, v, form.starts(u, v, rng, 2), weight=weight)
    assert found.converged.all()
    assert found.theta[:, :3] == pytest.approx(np.array([[5.0, 0.3, 4.0]] * 2), abs=1e-4)
    assert (found.condition < 1e6).all()
    weight[1] = 0.0
    assert np.isinf(minimise(form, u, v, form.starts(u, v, rng, 2), weight=weight).condition[1])


def test_the_objective_is_summed_over_the_points():
    u, v = noisy_line(np.random.default_rng(2))
    once, twice = (
        minimise(LINE, u, v, np.zeros((1, 2)), weight=np.full((1, 9), weight)) for weight in (1.0, 2.0)
    )
    assert twice.objective == pytest.approx(2 * once.objective)
    assert twice.theta == pytest.approx(once.theta)


def test_problems_are_solved_one_by_one_however_many_there_are():
    rng = np.random.default_rng(3)
    u, v = noisy_line(rng)
    weight = rng.multinomial(9, np.full(9, 1 / 9), size=8000).astype(float)
    together = minimise(LINE, u, v, np.zeros((8000, 2)), weight=weight)
    assert solver.CHUNK < 8000 * 9, "more than one chunk"
    for row in (0, 4000, 7999):
        alone = minimise(LINE, u, v, np.zeros((1, 2)), weight=weight[row : row + 1])
        assert together.theta[row] == pytest.approx(alone.theta[0], rel=1e-6)


def test_points_without_weight_count_for_nothing():
    u, v = noisy_line(np.random.default_rng(4))
    spoiled, weight = v.copy(), np.ones((1, 9))
    spoiled[3], weight[0, 3] = 1e6, 0
    kept = np.arange(9) != 3
    assert minimise(LINE, u, spoiled, np.zeros((1, 2)), weight=weight, bounds=FREE).theta == pytest.approx(
        minimise(LINE, u[:, kept], v[kept], np.zeros((1, 2)), bounds=FREE).theta
    )


def test_what_the_points_leave_open_has_an_infinite_condition():
    u, v = noisy_line(np.random.default_rng(4))
    weight = np.zeros((2, 9))
    weight[0, 4], weight[1, 2:4] = 9, 1
    found = minimise(LINE, u, v, np.zeros((2, 2)), weight=weight)
    assert found.condition[0] > 1e12
    assert found.condition[1] < 100


def test_a_form_of_five_coefficients_is_found_from_everywhere():
    """Without the correction for bending, some starts are still on their way when they are given up."""
    law, rng = LAWS["chinchilla"], np.random.default_rng(2)
    C = np.repeat(np.geomspace(6e18, 3e21, 9), 25)  # sizes about the best at nine budgets
    N = 0.1 * C**0.5 * np.exp(rng.uniform(-1.5, 1.5, 225))
    inputs = {"N": N, "D": C / (6 * N)}
    x = np.log(list(inputs.values()))
    u = x - x.mean(1)[:, None]
    constants = {"alpha": 0.35, "A": 480.0, "beta": 0.37, "B": 2100.0, "E": 1.8}
    v = np.log(law.predict(inputs, constants)) + rng.normal(0, 0.007, 225)
    found = minimise(law.form, u, v, law.form.starts(u, v, rng, 300), delta=1e-3)
    assert found.converged.mean() > 0.99
    assert (found.objective < found.objective.min() * (1 + 1e-6)).mean() > 0.99
    assert (found.moved > 0.1).mean() > 0.9


def test_bounds_hold_and_a_coefficient_at_one_does_not_stop_the_others():
    u, v = noisy_line(np.random.default_rng(6))
    bounds = np.array([0.1, -10.0]), np.array([5.0, 10.0])
    found = minimise(LINE, u, v, np.array([[1.0, 0.0]]), bounds=bounds)
    assert found.converged[0]
    assert found.theta[0, 0] == 0.1
    best = min(objective(LINE, np.array([0.1, a]), u, v, 1.0) for a in np.linspace(1.3, 1.5, 4001))
    assert found.objective[0] == pytest.approx(best, rel=1e-4)


def test_a_start_without_a_value_is_not_converged():
    u, v = noisy_line(np.random.default_rng(6))
    found = minimise(forms.Logarithm(), u, v, np.array([[5.0, 1.0], [0.3, 4.0]]))
    assert found.converged.tolist() == [False, True]
    assert np.isinf(found.objective[0])
