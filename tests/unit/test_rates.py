"""Best learning rates, their rules, schedules compared, and the charts of both."""

import copy
import math

import numpy as np
import pytest
import simulated
from scaling import rates
from scaling.charts import drawing, findings, learning_rate, schedules, wording
from scaling.provenance import UserError
from scaling.training.schedules import share

GRID = 0.0014 * 2.0 ** np.arange(7)
SIZES = np.array([768, 3072, 13824, 55296, 147456])


def loss(rate, best, bend=0.04):
    return 3.5 + bend * np.log(np.asarray(rate) / best) ** 2


@pytest.fixture(scope="module")
def study():
    return simulated.study(("size", "schedule", "learning_rate"))["tables"]


@pytest.fixture
def tables(study):
    return copy.deepcopy(study)


def of(tables, experiment):
    return [run for run in tables["runs"] if experiment in run["experiments"]]


def drawn(name, tables):
    return drawing.draw(name, tables, {})


# --- best rates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("best", [0.005, 0.011, 0.015, 0.03])
def test_the_minimum_of_a_parabola_is_found(best):
    found = rates.best(1e4, GRID, loss(GRID, best), noise=0.0)
    assert found.edge == ""
    assert (found.rate, found.low, found.high) == pytest.approx((best, best, best))
    assert found.loss == pytest.approx(3.5)


def test_the_order_of_runs_does_not_matter():
    shuffled = np.random.default_rng(0).permutation(len(GRID))
    found = rates.best(1e4, GRID[shuffled], loss(GRID, 0.011)[shuffled], noise=0.0)
    assert found.rate == pytest.approx(0.011)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random, trials, hits = np.random.default_rng(1), 200, 0
    for trial in range(trials):
        losses = loss(GRID, 0.012) + random.normal(0, 0.02, len(GRID))
        found = rates.best(1e4, GRID, losses, resamples=200, seed=trial)
        hits += found.low <= 0.012 <= found.high
    assert 0.8 < hits / trials < 1


@pytest.mark.parametrize(("best", "edge"), [(1e-4, "lowest"), (1.0, "highest")])
def test_a_minimum_at_the_edge_is_none(best, edge):
    found = rates.best(1e4, GRID, loss(GRID, best))
    assert found.edge == f"at or beyond the {edge} rate"
    assert found.rate == pytest.approx(GRID[0] if edge == "lowest" else GRID[-1])


def test_two_rates_have_no_minimum():
    assert rates.best(1e4, GRID[:2], [3.5, 3.6]).edge == "fewer than three rates"


def test_a_steep_side_does_not_push_the_minimum_past_its_neighbours():
    losses = np.array([3.9, 3.6, 3.52, 3.5, 3.51, 9.0, 20.0])
    found = rates.best(1e4, GRID, losses, noise=0.0)
    assert GRID[2] <= found.rate <= GRID[4]
    assert found.rate == pytest.approx(0.0112, rel=0.2)


def test_equal_losses_have_a_finite_rate():
    found = rates.best(1e4, GRID, np.array([3.6, 3.5, 3.5, 3.5, 3.5, 3.5, 3.6]), noise=0.0)
    assert math.isfinite(found.rate)
    assert math.isfinite(found.loss)


# --- rules ----------------------------------------------------------------------------------------------


def bests(rule, noise=0.0, seed=0, **options):
    random = np.random.default_rng(seed)
    return [
        rates.best(N, GRID, loss(GRID, rule(N)) + random.normal(0, noise, 7), noise=noise, **options)
        for N in SIZES
    ]


def test_a_power_is_found_and_errs_least():
    made = rates.rules(bests(lambda N: 0.011 * (N / 24576) ** -0.3))
    assert made.exponent == pytest.approx({"value": -0.3, "low": -0.3, "high": -0.3})
    assert made.power(24576) == pytest.approx(0.011)
    assert made.errors[1] < 1e-9 < made.errors[0]


def test_a_logarithm_is_found_and_errs_least():
    made = rates.rules(bests(lambda N: 0.05 - 0.0035 * np.log(N)))
    assert (made.a, made.b) == pytest.approx((0.05, 0.0035))
    assert made.logarithm(1e4) == pytest.approx(0.05 - 0.0035 * math.log(1e4))
    assert made.errors[0] < 1e-9 < made.errors[1]


def test_intervals_of_the_exponent_hold_the_truth():
    trials, hits = 60, 0
    for seed in range(trials):
        made = rates.rules(bests(lambda N: 0.011 * (N / 24576) ** -0.2, 0.02, seed, resamples=150))
        hits += made is None or made.exponent["low"] <= -0.2 <= made.exponent["high"]
    assert hits / trials > 0.85


def test_sizes_without_a_minimum_are_left_out_of_the_rules():
    found = bests(lambda N: 0.011 * (N / 24576) ** -0.3)
    edge = rates.best(10**6, GRID, loss(GRID, 1.0), noise=0.0)
    assert rates.rules([*found, edge]).exponent["value"] == pytest.approx(-0.3)
    assert rates.rules([found[0], found[1], edge, edge]) is None


# --- the figure of rates --------------------------------------------------------------------------------


def set_rates(tables, best, bend=0.3):
    for run in of(tables, "learning_rate"):
        run["test_loss"] = float(loss(run["learning_rate"], best(run["N"]), bend))


@pytest.mark.parametrize(
    ("exponent", "verdict"), [(-0.2, findings.HOLDS), (0.2, findings.FAILS), (0.0, findings.OPEN)]
)
def test_the_verdict_goes_with_the_exponent(exponent, verdict, tables):
    wobble = dict(zip(SIZES.tolist(), (1.1, 0.9, 1.0, 0.92, 1.08), strict=True))
    set_rates(tables, lambda N: 0.011 * (N / 13824) ** exponent * wobble[N])
    figure = drawn("learning_rate", tables)
    assert figure.finding.verdict == verdict
    made = rates.rules([rates.best(*size) for size in sizes_of(tables)])
    assert learning_rate.told(made) in figure.finding.measured
    assert learning_rate.told(made) in figure.caption
    less = "the power errs less" if made.errors[1] < made.errors[0] else "the logarithm errs less"
    assert less in figure.finding.because


def sizes_of(tables):
    runs = of(tables, "learning_rate")
    for N in SIZES:
        members = [run for run in runs if run["N"] == N]
        yield N, [run["learning_rate"] for run in members], [run["test_loss"] for run in members]


def test_minima_at_the_edge_are_told_and_leave_it_open(tables):
    set_rates(tables, lambda N: 0.011 if N < 4000 else 1.0)
    figure = drawn("learning_rate", tables)
    assert figure.finding.verdict == findings.OPEN
    assert "2 sizes of 5" in figure.finding.because
    assert "N = 147k (at or beyond the highest rate)" in figure.caption
    data = dict(figure.data)
    assert "fit" not in data
    kinds = [row["kind"] for row in data["best"]]
    assert kinds.count(learning_rate.EDGE) == 3
    assert all("low" not in row for row in data["best"] if row["kind"] == learning_rate.EDGE)
    drawing.svg(drawing.specification(figure))


def test_diverged_runs_are_in_the_data_and_not_in_the_parabolas(tables):
    set_rates(tables, lambda N: 0.011)
    for run in of(tables, "learning_rate"):
        if run["learning_rate"] > 0.05:
            run |= {"status": "diverged", "test_loss": math.nan}
    figure = drawn("learning_rate", tables)
    data = dict(figure.data)
    assert {row["x"] for row in data["diverged"]} == {0.088}
    assert len(data["diverged"]) == 5
    assert max(row["x"] for row in data["measured"]) == 0.044
    assert "5 runs that diverged, at rates from 0.088 on" in figure.caption
    assert [row["x"] for row in data["best"]] == pytest.approx([0.011] * 5)
    drawing.svg(drawing.specification(figure))


def test_the_papers_rule_is_drawn_where_it_lies_among_the_rates(tables):
    set_rates(tables, lambda N: 0.011 * (N / 13824) ** -0.2)
    lines = dict(drawn("learning_rate", tables).data)["fit"]
    assert {row["line"] for row in lines} == set(learning_rate.LINES)
    for run in list(of(tables, "learning_rate")):
        if run["learning_rate"] < 0.003:
            tables["runs"].remove(run)
    figure = drawn("learning_rate", tables)
    assert learning_rate.PUBLISHED not in {row["line"] for row in dict(figure.data)["fit"]}
    assert "outside these rates: 0.0023 at the smallest N" in figure.caption


def test_runs_of_another_optimizer_are_no_seeds_of_a_rate(tables):
    runs = of(tables, "learning_rate")
    curves = learning_rate.by_size(drawing.converged(runs, "learning_rate"))
    others = [{**run, "run": f"{run['run']}-w", "optimizer": "adamw"} for run in runs]
    seeds = [{**run, "run": f"{run['run']}-1", "seed": 1} for run in runs]
    assert len(learning_rate.by_size(runs + others)) == 2 * len(curves)
    assert len(learning_rate.by_size(runs + seeds)) == len(curves)


def test_one_rate_a_size_is_no_figure(tables):
    tables["runs"] = [run for run in of(tables, "learning_rate") if run["learning_rate"] == 0.011]
    with pytest.raises(UserError, match="two rates"):
        drawn("learning_rate", tables)


# --- the figure of schedules ----------------------------------------------------------------------------


def set_losses(tables, apart):
    """Losses of the experiment schedule: seeds scatter by 0.01, others lie ``apart(run)`` from their mean."""
    for run in of(tables, "schedule"):
        key = tuple(run[field] for field in schedules.FIELDS)
        base = key[:4] == ("cosine", 50, simulated.S, 0.0) and run["learning_rate"] == 0.02
        run["test_loss"] = 3.5 + (0.01 * (run["seed"] - 2) if base else apart(run))


def decays(run):
    return share(run["S"], run) <= 0.1


def far(value, names):
    return lambda run: value if run["schedule"] in names else 0.01


@pytest.mark.parametrize(
    ("apart", "verdict", "worst"),
    [
        (far(0.04, ["wsd"]), findings.HOLDS, "stable until the last 20 %"),
        (far(0.06, ["wsd"]), findings.PARTLY, "stable until the last 20 %"),
        (far(-0.3, ["linear"]), findings.FAILS, "linear"),
        (lambda run: 0.1, findings.FAILS, ""),  # alike, and far from the base
        (far(2.0, ["constant", "inverse_sqrt"]), findings.HOLDS, ""),
    ],
)
def test_the_verdict_goes_with_schedules_that_warm_up_and_decay(apart, verdict, worst, tables):
    set_losses(tables, apart)
    finding = drawn("schedules", tables).finding
    assert finding.verdict == verdict
    assert f"furthest is {worst}" in finding.because
    assert "of 7 schedules" in finding.because


def test_those_that_do_not_decay_or_warm_up_are_told_apart(tables):
    for run in of(tables, "schedule"):
        run["warmup"] = 0 if run["warmup"] == 600 else run["warmup"]
    set_losses(tables, lambda run: 0.0 if run["warmup"] == 0 or decays(run) else 0.5)
    figure = drawn("schedules", tables)
    assert "+0.500 (3 that end above 10 % of the peak)" in figure.caption
    assert "+0.000 (1 that do not warm up)" in figure.caption
    assert "of 6 schedules" in figure.finding.because


def test_one_seed_cannot_tell(tables):
    tables["runs"] = [run for run in tables["runs"] if run["seed"] == 0]
    figure = drawn("schedules", tables)
    assert figure.finding.verdict == findings.OPEN
    assert "one seed" in figure.finding.because
    assert "Band" not in figure.caption
    drawing.svg(drawing.specification(figure))


def test_too_few_schedules_cannot_tell_and_one_is_no_figure(tables):
    runs = of(tables, "schedule")
    base = [run for run in runs if run["seed"] or (run["schedule"] == "linear" and run["final"])]
    finding = drawn("schedules", {**tables, "runs": base}).finding
    assert finding.verdict == findings.OPEN
    assert "1 schedule beside the base" in finding.because
    with pytest.raises(UserError, match="one schedule alone"):
        drawn("schedules", {**tables, "runs": [run for run in runs if run["seed"]]})


def test_figure_shows_rates_and_their_sums(tables):
    figure = drawn("schedules", tables)
    data, runs = dict(figure.data), of(tables, "schedule")
    assert len(data["measured"]) == len(runs) == 15
    assert sum(row["base"] for row in data["measured"]) == 5
    by_run = {run["run"]: run for run in runs}
    for row in data["measured"]:
        run = by_run[row["run"]]
        expected = sum(run["learning_rate"] * share(step, run) for step in range(run["S"]))
        assert row["x"] == pytest.approx(expected)
        assert row["y"] == run["test_loss"]
    names = {row["name"] for row in data["rate"]}
    assert names == {row["name"] for row in data["measured"]}
    assert len(names) == 11
    assert {"cosine (base)", "linear, to 10 %", "cosine, peak 0.010", "constant"} <= names
    halfway = [row for row in data["rate"] if row["name"] == f"cosine, over {2 * simulated.S} steps"]
    assert halfway[-1]["y"] == pytest.approx(0.01, rel=0.05)
    seeds = [row["y"] for row in data["measured"] if row["base"]]
    assert f"{np.mean(seeds):.3f} ± {np.std(seeds, ddof=1):.3f}" in figure.caption


def test_every_schedule_looks_different(tables):
    names = {tuple([kind] * 6): f"{kind}" for kind in schedules.KINDS}
    names |= {("cosine", index): f"cosine {index}" for index in range(7)}
    marks = schedules.appearance(names, ("cosine",) * 6)
    looks = zip(*(marks[channel]["scale"]["range"] for channel in ("color", "shape")), strict=True)
    assert len({repr(look) for look in looks}) == len(names)


def test_runs_that_differ_in_more_than_the_schedule_are_left_out(tables):
    stray = next(run for run in of(tables, "schedule") if run["schedule"] == "constant")
    stray["S"] = 700
    figure = drawn("schedules", tables)
    assert stray["run"] not in {row["run"] for row in dict(figure.data)["measured"]}
    assert "1 run that" in figure.caption
    stray |= {"S": simulated.S, "optimizer": "adamw"}
    assert "1 run that" in drawn("schedules", tables).caption


def test_a_schedule_counts_as_far_as_its_run_went(tables):
    run = next(run for run in of(tables, "schedule") if run["schedule"] == "constant")
    run |= {"status": "stopped", "steps": simulated.S // 2}
    data = dict(drawn("schedules", tables).data)
    (row,) = (row for row in data["measured"] if row["run"] == run["run"])
    assert row["x"] == pytest.approx(
        run["learning_rate"] * sum(share(step, run) for step in range(run["steps"]))
    )
    assert max(row["x"] for row in data["rate"] if row["name"] == "constant") == run["steps"]


def test_diverged_schedules_are_told(tables):
    run = next(run for run in of(tables, "schedule") if run["schedule"] == "constant")
    run |= {"status": "diverged", "test_loss": math.nan}
    figure = drawn("schedules", tables)
    assert "1 run of the experiment diverged" in figure.caption
    drawing.svg(drawing.specification(figure))


def test_ratio_of_scatter_has_the_interval_of_normal_scatter():
    random = np.random.default_rng(3)
    text = schedules.ratio(0.02, 8, 0.02, 5)
    low, high = map(float, text.split("(")[1].rstrip(")").split(" to "))
    drawn = [
        np.std(random.normal(size=8), ddof=1) / np.std(random.normal(size=5), ddof=1) for _ in range(4000)
    ]
    # the ratio of samples of equal spread lies between 1 / high and 1 / low as often as the interval says
    inside = np.mean([1 / high <= value <= 1 / low for value in drawn])
    assert inside == pytest.approx(0.9, abs=0.03)
    assert schedules.ratio(0.02, 8, 0.0, 5) == ""
    assert wording.significant(1.0, 2) in text
