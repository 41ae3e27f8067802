import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scaling import forms
from scaling.benchmark import fits as simulated
from scaling.fitting import fit as engine
from scaling.fitting import resampling
from scaling.fitting.selection import largest, plain
from scaling.laws import LAWS
from scaling.provenance import UserError

SIZES = np.geomspace(768, 442368, 9)
TRUTH = {"alpha_N": 0.07, "N_c": 1e13}
POINTS = Path(__file__).parents[3] / "shared/external/chinchilla_runs.csv"


def select(x, y, *, runs=None, compute=None):
    """A selection of one point a run; with ``runs``, points (P,) belong to the runs of those indices."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    owner = np.arange(len(x)) if runs is None else np.asarray(runs)
    names = [f"run{index}" for index in range(owner.max() + 1)]
    compute = x if compute is None else compute
    return plain(names, {"N": x}, y, compute, owner=owner, method="", remedy="add sizes")


def fit(chosen, *, law="L_N", resamples=200, seed=0, delta=0.01):
    return engine.fit(LAWS[law], chosen, resamples=resamples, seed=seed, interval=0.9, delta=delta)


def noisy(rng, sigma, x=SIZES):
    return LAWS["L_N"].predict({"N": x}, TRUTH) * np.exp(rng.normal(0, sigma, len(x)))


# --- parameters and intervals ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAWS)
def test_published_constants_come_back_from_losses_without_noise(name):
    result = simulated.simulated_fit(name, 0, resamples=100, noise=0.0)
    for key, constant in simulated.truth(name).items():
        assert result["parameters"][key]["value"] == pytest.approx(constant, rel=1e-3)
    assert result["certificate"]["passed"], result["certificate"]["reasons"]
    assert result["holdout"]["covered"] is True
    assert abs(result["holdout"]["error_percent"]) < 1e-3


@pytest.mark.parametrize(
    ("name", "repetitions"), [("L_N", 40), ("L_ND", 20), ("L_NS", 40), ("chinchilla", 40), ("N_opt", 40)]
)
def test_intervals_hold_about_as_often_as_they_say(name, repetitions):
    """The benchmark `fits` does this for every law with 400 repetitions."""
    shares = simulated.coverage(name, repetitions=repetitions, resamples=200)
    assert shares.pop("certified") == 1.0
    for what, share in shares.items():
        assert share >= 0.75, what


def test_intervals_miss_when_points_of_a_run_pass_for_runs():
    hits = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        owner = np.repeat(np.arange(9), 20)
        x = np.geomspace(768, 442368, 180)
        losses = LAWS["L_N"].predict({"N": x}, TRUTH) * np.exp(rng.normal(0, 0.02, 9)[owner])
        for runs in (owner, None):
            found = fit(select(x, losses, runs=runs))[0]["parameters"]["alpha_N"]
            hits.append(found["low"] <= TRUTH["alpha_N"] <= found["high"])
    by_run, by_point = np.array(hits).reshape(20, 2).sum(0)
    assert by_run >= 15
    assert by_point <= 12


def test_values_lie_in_their_intervals_and_draws_are_kept():
    result, draws = fit(select(SIZES, noisy(np.random.default_rng(5), 0.01)))
    for name in TRUTH:
        found = result["parameters"][name]
        assert found["low"] < found["value"] < found["high"]
        assert draws[name].shape == (200,)
        ends = np.nanquantile(draws[name], result["quantiles"])
        assert ends == pytest.approx([found["low"], found["high"]])


def test_one_wild_run_hardly_moves_the_fit():
    losses = noisy(np.random.default_rng(1), 0.003)
    sound = fit(select(SIZES, losses))[0]["parameters"]["alpha_N"]["value"]
    losses[-1] *= 2  # at the end, where it has the longest lever
    wild = fit(select(SIZES, losses))[0]["parameters"]["alpha_N"]["value"]
    squares = -np.polyfit(np.log(SIZES), np.log(losses), 1)[0]
    assert abs(squares - sound) > 0.02
    assert abs(wild - sound) < 0.004


def test_draws_are_seeded_and_resample_by_resample_the_same_for_the_same_runs():
    counts = resampling.draw(9, 1000, 0)
    assert (counts.sum(1) == 9).all()
    assert (counts == resampling.draw(9, 1000, 0)).all()
    assert (counts != resampling.draw(9, 1000, 1)).any()
    losses = noisy(np.random.default_rng(4), 0.01)
    first, second, other = (fit(select(SIZES, losses), seed=seed)[1]["alpha_N"] for seed in (0, 0, 1))
    assert (first == second).all()
    assert (first != other).any()


def test_strata_are_drawn_first_and_then_as_many_runs_as_they_have():
    strata = np.array([1, 1, 1, 2, 2, 5])
    counts = resampling.draw(6, 3000, 0, strata)
    times = np.array([counts[:, strata == name].sum(1) / (strata == name).sum() for name in (1, 2, 5)])
    assert (times == times.round()).all()
    assert (times.sum(0) == 3).all()
    assert (times.max(0) == 3).mean() == pytest.approx(3 / 27, abs=0.02)
    assert counts.mean(0) == pytest.approx(np.ones(6), abs=0.06)


def test_students_quantiles_are_those_of_the_tables():
    for freedom, quantile in ((2, 2.920), (5, 2.015), (10, 1.812), (30, 1.697)):
        assert resampling.student(0.95, freedom) == pytest.approx(quantile, rel=0.013)


def test_fewer_runs_and_more_parameters_reach_further_into_the_tails():
    lows = [resampling.tails(0.9, *case)[0] for case in ((1000, 2), (20, 2), (9, 2), (9, 4))]
    assert lows[0] == pytest.approx(0.05, abs=0.001)
    assert lows == sorted(lows, reverse=True)
    assert resampling.tails(0.9, 4, 4) == pytest.approx([0, 1]), (
        "no run to spare: the lowest and highest draw"
    )


def test_the_band_holds_the_fit_and_widens_outside_the_middle():
    band = fit(select(SIZES, noisy(np.random.default_rng(6), 0.01)))[0]["band"]
    low, y, high = (np.array(band[key]) for key in ("low", "y", "high"))
    assert len(y) == 60
    assert (low < y).all()
    assert (y < high).all()
    width = np.log(high / low)
    assert width[0] > width[30] < width[-1]


def test_many_points_are_resampled_a_few_at_a_time(monkeypatch):
    chosen = select(SIZES, noisy(np.random.default_rng(3), 0.01))
    at_once = fit(chosen)[1]["alpha_N"]
    monkeypatch.setattr(engine, "PRODUCTS", 7 * len(SIZES))
    assert (fit(chosen)[1]["alpha_N"] == at_once).all()


# --- certificate ----------------------------------------------------------------------------------------


def test_resamples_that_determine_nothing_are_dropped_counted_and_certified():
    result, draws = fit(select([1e3, 1e4, 1e5], [4.0, 3.5, 2.9]), resamples=300)
    same_run_thrice = (resampling.draw(3, 300, 0).max(1) == 3).sum()
    assert result["dropped"] == same_run_thrice > 0
    assert np.isnan(draws["alpha_N"]).sum() == same_run_thrice
    share = round(100 * (1 - same_run_thrice / 300))
    assert not result["certificate"]["passed"]
    assert result["certificate"]["reasons"] == [
        f"only {share} % of the resamples determine a fit",
        "3 runs or values are too few for intervals of 2 parameters",
    ]


def test_a_term_that_the_points_do_not_show_fails_the_certificate():
    rng = np.random.default_rng(0)
    N, D = np.exp(rng.uniform(np.log(1e6), np.log(1e9), (2, 60)))
    losses = (8.8e13 / N) ** 0.076 * np.exp(rng.normal(0, 0.003, 60))  # nothing of D in it, and no floor
    runs = [f"run{index}" for index in range(60)]
    chosen = plain(runs, {"N": N, "D": D}, losses, N * D, method="", remedy="")
    certificate = fit(chosen, law="chinchilla")[0]["certificate"]
    assert not certificate["passed"]
    assert certificate["at_bound"]
    assert any("ran into a bound" in reason for reason in certificate["reasons"])


def test_a_certificate_says_how_many_starts_agree():
    certificate = simulated.simulated_fit("chinchilla", 3, resamples=100)["certificate"]
    assert certificate["starts"] == 64
    assert 60 < certificate["agreeing"] <= 64
    assert certificate["gradient_norm"] < 1e-7
    assert 10 < certificate["condition"] < 1e6
    assert certificate["moved"] is True
    assert certificate["reasons"] == []


@pytest.mark.parametrize(
    "losses",
    [
        4 * np.exp(np.random.default_rng(0).normal(0, 0.02, 9)),  # no trend
        0.5 * SIZES**0.05 * np.exp(np.random.default_rng(1).normal(0, 0.005, 9)),  # rising with N
        4 * np.exp(np.random.default_rng(2).normal(0, 1.0, 9)),  # nothing but scatter
    ],
)
def test_losses_that_do_not_fall_fail_the_certificate(losses):
    certificate = fit(select(SIZES, losses))[0]["certificate"]
    assert not certificate["passed"]
    assert any("bound" in reason for reason in certificate["reasons"])


@pytest.fixture
def solved():
    """A problem, its fits from all starts, and a function to what its certificate has against it."""
    chosen = simulated.simulate("chinchilla", np.random.default_rng(0))
    problem = engine.Problem.of(LAWS["chinchilla"].form, chosen)
    whole = problem.start(np.random.default_rng(0), 0.01)
    names = list(LAWS["chinchilla"].parameters)

    def reasons(drawn=whole, quantiles=(0.05, 0.95), **changed):
        found = engine.certify(problem, replace(whole, **changed), names, drawn, quantiles)
        assert found["passed"] == (not found["reasons"])
        return found["reasons"]

    return problem, whole, reasons


def test_each_fault_fails_the_certificate_alone(solved):
    problem, whole, reasons = solved
    assert reasons() == []
    first, worse = whole.objective.argmin(), whole.objective * np.where(np.arange(64) < 24, 1, 2)
    agreeing = (worse <= worse.min() * (1 + 1e-6)).sum()
    assert reasons(objective=worse) == [f"only {agreeing} of 64 starts agree with the best"]
    assert reasons(gradient=np.full(64, 3e-3)) == ["its gradient is 3e-03 of what it could be, not zero"]
    assert reasons(condition=np.full(64, np.inf)) == ["its parameters cannot be told apart"]
    assert reasons(moved=np.zeros(64)) == ["the best fit is where it started"]
    stuck = whole.theta.copy()
    stuck[first, 4] = problem.bounds[0][4]
    assert reasons(theta=stuck) == ["the points do not determine E, which ran into a bound"]
    few = "56 runs or values are too few for intervals of 5 parameters"
    assert reasons(quantiles=(1e-4, 1 - 1e-4)) == [few]


def test_what_the_resamples_tell_against_a_fit(solved):
    problem, whole, reasons = solved
    lost = replace(whole, converged=np.arange(64) >= 7)
    assert reasons(lost) == ["only 89 % of the resamples determine a fit"]
    for count, said in ((3, None), (4, "6.2")):
        theta = whole.theta.copy()
        theta[:count, 4] = problem.bounds[0][4]
        expected = [f"in {said} % of the resamples a parameter ran into a bound"] if said else []
        assert reasons(replace(whole, theta=theta)) == expected
    theta[1:] = whole.theta[1:]  # one of 64 is more than lie outside an interval of narrow tails
    expected = ["in 1.6 % of the resamples a parameter ran into a bound"]
    assert reasons(replace(whole, theta=theta), quantiles=(0.01, 0.99)) == expected


def test_runs_at_one_value_of_an_input_are_one_observation():
    x = np.repeat(SIZES[::3], 5)
    result = fit(select(x, noisy(np.random.default_rng(3), 0.01, x)))[0]
    assert result["data"]["runs"] == 15
    assert result["quantiles"] == pytest.approx(resampling.tails(0.9, 3, 2))


# --- forecast -------------------------------------------------------------------------------------------


def test_the_largest_tenth_of_compute_is_held_out():
    assert largest(np.arange(24.0)).nonzero()[0].tolist() == [22, 23]
    assert largest(np.array([3.0, 1.0, 2.0])).tolist() == [True, False, False]
    assert largest(np.array([1.0, 2.0, 2.0, 2.0])).sum() == 3, "equal computes stay together"
    assert largest(np.ones(5)).sum() == 0, "nothing would be left to fit"


def test_a_forecast_knows_nothing_of_what_it_predicts():
    losses = noisy(np.random.default_rng(8), 0.003)
    before = fit(select(SIZES, losses))[0]["holdout"]
    assert before["covered"] is True
    low, high = before["interval_percent"]
    assert -3 < low < -0.1, "what runs differ by, and a little for the law's own doubt"
    assert 0.1 < high < 3
    assert before["points"] == before["within"] == 1
    losses[-1] *= 1.2
    after = fit(select(SIZES, losses))[0]["holdout"]
    assert after["covered"] is False
    assert after["within"] == 0
    line = -np.polyfit(np.log(SIZES[:-1]), np.log(losses[:-1]), 1)
    predicted = np.exp(-line[0] * np.log(SIZES[-1]) - line[1])
    assert after["error_percent"] == pytest.approx(100 * (losses[-1] / predicted - 1), abs=0.5)


def test_a_forecast_allows_for_what_seeds_differ_by_in_nats():
    """The scatter of large losses is the same in nats, and so larger as a share, at small ones."""
    rng, x = np.random.default_rng(4), np.geomspace(1e3, 1e9, 20)
    losses = LAWS["L_N"].predict({"N": x}, {"alpha_N": 0.1, "N_c": 1e12}) + rng.normal(0, 0.05, 20)
    low, high = fit(select(x, losses))[0]["holdout"]["interval_percent"]
    assert high - low > 100 * 2.4 * 0.05 / losses[-1]


def test_points_of_one_run_err_together_in_a_forecast():
    rng, runs = np.random.default_rng(5), 12
    x = np.geomspace(1e3, 1e9, 10 * runs)
    owner = np.repeat(np.arange(runs), 10)
    losses = LAWS["L_N"].predict({"N": x}, TRUTH) + rng.normal(0, 0.05, runs)[owner]
    holdout = fit(select(x, losses, runs=owner))[0]["holdout"]
    assert holdout["points"] == 12
    low, high = holdout["interval_percent"]
    assert high - low > 100 * 2 * 0.05 / losses[-1], "no smaller for ten points than for one"


def test_too_little_to_forecast_from_is_said():
    holdout = fit(select([1e3, 1e4, 1e5, 1e6], [4.0, 3.5, 2.9, 2.5]))[0]["holdout"]
    assert holdout["covered"] is holdout["error_percent"] is holdout["within"] is None
    assert holdout["points"] == 1
    assert "too few points" in holdout["reason"]


# --- rivals ---------------------------------------------------------------------------------------------


def rivals(losses, x=SIZES):
    return {rival["name"]: rival for rival in fit(select(x, losses))[0]["rivals"]}


def test_the_form_that_made_the_points_predicts_runs_best():
    rng, x = np.random.default_rng(9), np.geomspace(1e3, 1e9, 24)
    scatter = np.exp(rng.normal(0, 0.003, 24))
    floor = rivals((1e6 / x) ** 0.3 * scatter + 2.0, x)
    assert floor["law"]["error_percent"] > 3 * floor["with irreducible term"]["error_percent"]
    difference = floor["with irreducible term"]["difference"]
    assert difference["value"] < -2 * difference["se"]
    assert floor["with irreducible term"]["parameters"]["L_inf"] == pytest.approx(2.0, rel=0.05)
    logarithm = rivals(0.22 * np.log(1e12 / x) * scatter, x)
    assert logarithm["logarithm"]["difference"]["value"] < -2 * logarithm["logarithm"]["difference"]["se"]
    assert logarithm["logarithm"]["parameters"] == pytest.approx({"k": 0.22, "N_0": 1e12}, rel=0.2)
    line = rivals(noisy(rng, 0.003, x), x)
    assert line["logarithm"]["difference"]["value"] > 2 * line["logarithm"]["difference"]["se"]
    difference = line["with irreducible term"]["difference"]
    assert abs(difference["value"]) < 2 * difference["se"]


def test_a_rival_with_too_many_parameters_is_not_fitted():
    found = rivals([4.0, 3.5, 2.9], [1e3, 1e4, 1e5])
    assert found["with irreducible term"]["unfitted"] == "more parameters than points allow"


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [[1e3, 1e4], [1e3, 1e4, 1e4, 1e4]])
def test_too_few_points_name_the_remedy(x):
    with pytest.raises(UserError, match="N takes 2 values, at least 3 are needed; add sizes"):
        fit(select(x, np.linspace(4, 3, len(x))))


@pytest.mark.parametrize("loss", [0.0, -1.0, np.nan, np.inf])
def test_a_loss_that_is_no_positive_number_is_named(loss):
    losses = np.linspace(4, 3, 9)
    losses[4] = loss
    with (
        pytest.raises(UserError, match=f"loss of run4 is {loss:g}, expected a number above 0"),
        np.errstate(all="ignore"),
    ):
        fit(select(SIZES, losses))


def test_an_input_that_is_no_positive_number_is_named():
    with (
        pytest.raises(UserError, match="N of run0 is 0, expected a number above 0"),
        np.errstate(all="ignore"),
    ):
        fit(select([0, *SIZES[1:]], np.linspace(4, 3, 9)))


def test_losses_that_are_all_equal_are_refused():
    for losses in (np.full(9, 4.0), 4 + 1e-7 * np.arange(9)):
        with pytest.raises(UserError, match="every loss is 4, so that nothing varies"):
            fit(select(SIZES, losses))


def test_inputs_that_move_together_are_refused():
    losses = noisy(np.random.default_rng(0), 0.01)
    runs = [f"run{index}" for index in range(9)]
    chosen = plain(runs, {"N": SIZES, "D": 20 * SIZES}, losses, SIZES, method="", remedy="vary D alone")
    with pytest.raises(UserError, match=r"N and D move together, .*; vary D alone"):
        fit(chosen, law="chinchilla")


def test_points_fewer_than_parameters_are_refused():
    rng = np.random.default_rng(0)
    N, D = np.exp(rng.uniform(10, 20, (2, 5)))
    runs = [f"run{index}" for index in range(5)]
    chosen = plain(runs, {"N": N, "D": D}, rng.uniform(3, 4, 5), N * D, method="", remedy="add runs")
    with pytest.raises(UserError, match="5 points, at least 6 are needed; add runs"):
        fit(chosen, law="chinchilla")


# --- published points -----------------------------------------------------------------------------------


@pytest.mark.skipif(not POINTS.exists(), reason="the published points are not beside this checkout")
def test_published_points_of_chinchilla_are_fitted_as_well_as_anyone_has():
    with POINTS.open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["loss"]))[:-5]
    N, C, loss = (
        np.array([float(row[key]) for row in rows]) for key in ("Model Size", "Training FLOP", "loss")
    )
    found = simulated.time_chinchilla(N, C / (6 * N), loss, rounds=1)
    assert found["points"] == 240
    assert found["objective"] <= 1.01828e-3
    values = {key: found["parameters"][key] for key in ("E", "alpha", "beta")}
    assert values == pytest.approx({"E": 1.817, "alpha": 0.347, "beta": 0.367}, rel=0.01)
    assert found["agreeing"] >= 0.95 * found["starts"]
    assert found["seconds_point_fit"] < 0.5
    assert found["seconds_4000_resamples"] < 10


def test_what_is_fitted_may_imply_the_law_and_not_be_it():
    chosen = simulated.simulate("N_opt", np.random.default_rng(1))
    assert isinstance(chosen.form, forms.Valley)
    result, draws = fit(chosen, law="N_opt")
    assert list(draws) == ["p_N", "N_e"]
    assert list(result["data"]["inputs"]) == ["C"]
    middle = len(result["band"]["x"]) // 2
    predicted = LAWS["N_opt"].predict(
        {"C": result["band"]["x"][middle]}, {k: v["value"] for k, v in result["parameters"].items()}
    )
    assert result["band"]["y"][middle] == pytest.approx(predicted[0])
