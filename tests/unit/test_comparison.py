"""Runs beside others: at equal N or compute, about one line, across depth, by position; four figures."""

import copy
import json
import math

import numpy as np
import pytest
import simulated
from scaling import comparison
from scaling.charts import (
    architectures,
    beside,
    drawing,
    embeddings,
    recurrent,
    transfer_vs_depth,
    wording,
)
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY
from scaling.provenance import UserError

NAMES = ("embeddings", "transfer_vs_depth", "architectures", "recurrent")
N = np.geomspace(1e3, 1e6, 9)


@pytest.fixture(scope="module")
def tables():
    return simulated.study(("size", "depth", "architecture"))["tables"]


@pytest.fixture(scope="module")
def drawings(tables):
    return {name: drawing.draw(name, tables, {}) for name in NAMES}


@pytest.fixture
def changed(tables):
    """A copy of the tables, to change."""
    return {name: copy.deepcopy(rows) for name, rows in tables.items()}


def power(N, exponent=0.07):
    return (1e13 / np.asarray(N, dtype=float)) ** exponent


def number(value, half, runs=9):
    return {"value": value, "low": value - half, "high": value + half, "runs": runs}


UNKNOWN = {"value": 1.0, "low": math.nan, "high": math.nan, "runs": 2}


# --- the analysis ---------------------------------------------------------------------------------------


def test_interpolation_is_exact_for_a_power_law_and_stays_within_its_runs():
    found = comparison.interpolate(N, power(N), [999, 1e3, 4321, 1e6, 1.01e6])
    assert np.isnan(found[[0, 4]]).all()
    assert found[1:4] == pytest.approx(power([1e3, 4321, 1e6]), rel=1e-9)


def test_interpolation_takes_runs_in_any_order_and_averages_those_of_one_size():
    found = comparison.interpolate([4.0, 1.0, 4.0], [2.0, 5.0, 8.0], [4.0, 2.0])
    assert found == pytest.approx([4.0, math.sqrt(20)])


def test_interpolation_of_several_losses_is_that_of_each():
    losses = np.stack([power(N), power(N, 0.2)], axis=1)
    found = comparison.interpolate(N, losses, [5e3, 5e4])
    assert found.shape == (2, 2)
    assert found == pytest.approx(np.stack([power([5e3, 5e4]), power([5e3, 5e4], 0.2)], axis=1))


def test_runs_above_a_line_are_told_by_how_much():
    at = np.array([5e3, 2e6])
    assert comparison.above(N, power(N), at, 1.02 * power(at)) == pytest.approx([2.0, np.nan], nan_ok=True)


def test_mean_leaves_out_what_is_not_known_and_has_an_interval_from_three_runs_on():
    found = comparison.mean([1.0, 2.0, 3.0, np.nan])
    assert found["runs"] == 3
    assert found["value"] == pytest.approx(2.0)
    assert found["low"] < 2.0 < found["high"]
    for values in ([], [np.nan], [1.0, 2.0]):
        assert math.isnan(comparison.mean(values)["low"]), values


def test_the_line_brings_the_error_of_the_runs_it_lies_between():
    losses = np.array([4.0, 4.0])
    assert comparison.of_line([1, 100], losses, [1], 0.02) == pytest.approx(0.5)
    for at in ([10], [10, 10, 10], [10, 1e4]):
        assert comparison.of_line([1, 100], losses, at, 0.02) == pytest.approx(0.5 / 2**0.5)
    assert comparison.of_line([1, 100], losses, [1e4], 0.02) == 0
    alone = comparison.mean([1.0, 2.0, 3.0, 4.0])
    wider = comparison.mean([1.0, 2.0, 3.0, 4.0], common=0.7)
    assert wider["high"] - 2.5 == pytest.approx(math.hypot(alone["high"] - 2.5, 1.645 * 0.7), rel=1e-3)
    assert 2.5 - wider["low"] == pytest.approx(math.hypot(2.5 - alone["low"], 1.645 * 0.7), rel=1e-3)


def test_intervals_of_gaps_cover_zero_about_as_often_as_they_say():
    random, covered, at = np.random.default_rng(0), 0, np.repeat(N[[1, 3, 5]], 3)
    for seed in range(200):
        line = power(N) * np.exp(random.normal(0, 0.005, len(N)))
        beside = power(at) * np.exp(random.normal(0, 0.005, len(at)))
        common = comparison.of_line(N, line, at, 0.005 * line.mean())
        gaps = comparison.above(N, line, at, beside)
        found = comparison.mean(gaps, common=common, resamples=300, seed=seed)
        covered += found["low"] <= 0 <= found["high"]
    assert 0.84 < covered / 200 < 0.96


def test_intervals_of_means_cover_about_as_often_as_they_say():
    random, trials = np.random.default_rng(0), 300
    hits = 0
    for _ in range(trials):
        found = comparison.mean(random.normal(1.5, 1, 9), resamples=200)
        hits += found["low"] <= 1.5 <= found["high"]
    assert 0.82 < hits / trials < 0.97


def test_a_curved_line_has_no_scatter_and_noise_has_its_own():
    curved = np.exp(1.5 - 0.08 * np.log(N) + 0.002 * np.log(N) ** 2)
    assert comparison.scatter(N, curved) == pytest.approx(0, abs=1e-9)
    assert comparison.smooth(N, curved, [2e3]) == pytest.approx(
        np.exp(1.5 - 0.08 * np.log(2e3) + 0.002 * np.log(2e3) ** 2)
    )
    random, many = np.random.default_rng(0), np.geomspace(1e3, 1e6, 400)
    noisy = power(many) * np.exp(random.normal(0, 0.01, 400))
    assert comparison.scatter(many, noisy) == pytest.approx(1.0, rel=0.1)


def test_scatter_counts_the_coefficients_of_its_line():
    random = np.random.default_rng(1)
    squares = [comparison.scatter(N, power(N) * np.exp(random.normal(0, 0.01, 9))) ** 2 for _ in range(400)]
    assert np.mean(squares) == pytest.approx(1.0, rel=0.12)


def test_scatter_is_least_in_the_count_that_the_loss_goes_by():
    random = np.random.default_rng(0)
    sizes = np.repeat(N, 3)
    total = sizes * np.tile([1.3, 2.0, 5.0], 9)
    losses = power(sizes) * np.exp(random.normal(0, 0.004, 27))
    found = comparison.scatters(sizes, total, losses)
    assert found["N"]["value"] == pytest.approx(0.4, rel=0.4)
    assert found["ratio"]["value"] == pytest.approx(found["N"]["value"] / found["N_total"]["value"])
    assert found["ratio"]["high"] < 1
    assert comparison.scatters(total, sizes, losses)["ratio"]["low"] > 1


def test_interval_of_the_ratio_of_scatters_covers_one_where_neither_count_is_better():
    random, trials = np.random.default_rng(2), 60
    hits = 0
    for _ in range(trials):
        sizes, apart = np.repeat(N, 2), random.normal(0, 0.3, 18)
        losses = power(sizes) * np.exp(random.normal(0, 0.005, 18))
        found = comparison.scatters(sizes * np.exp(apart), sizes * np.exp(-apart), losses, resamples=150)
        hits += found["ratio"]["low"] <= 1 <= found["ratio"]["high"]
    assert hits / trials > 0.8


def test_intervals_of_scatter_cover_about_as_often_as_they_say():
    random, trials, hits = np.random.default_rng(4), 100, 0
    sizes = np.repeat(N, 2)
    for _ in range(trials):
        losses = power(sizes) * np.exp(random.normal(0, 0.005, 18))
        found = comparison.scatters(sizes, sizes, losses, resamples=150)["N"]
        hits += found["low"] <= 0.5 <= found["high"]
    assert hits / trials > 0.82


def test_too_few_runs_have_no_scatter():
    assert comparison.scatters(N[:4], N[:4], power(N[:4])) is None


def test_groups_are_sizes_within_a_factor():
    assert comparison.groups([100, 30, 110, 33, 120, 36], 1.15) == [[1, 3], [5], [0, 2], [4]]
    assert comparison.groups([], 1.15) == []


def test_slope_is_common_to_groups_of_other_means():
    x, group = np.tile([0.0, 1.0, 2.0, 3.0], 3), np.repeat([0, 1, 2], 4)
    found = comparison.slope(x, 0.2 * x + np.array([5.0, -3.0, 1.0])[group], group)
    assert found == {
        "value": pytest.approx(0.2),
        "low": pytest.approx(0.2),
        "high": pytest.approx(0.2),
        "runs": 12,
    }


def test_intervals_of_slopes_cover_about_as_often_as_they_say():
    random, trials = np.random.default_rng(3), 400
    x, group, hits = np.tile([0.0, 0.7], 8), np.repeat(np.arange(8), 2), 0
    for _ in range(trials):
        found = comparison.slope(x, 0.1 * x + group + random.normal(0, 0.1, 16), group)
        hits += found["low"] <= 0.1 <= found["high"]
    assert 0.86 < hits / trials < 0.94


def test_slope_beyond_a_known_line_is_what_that_line_leaves():
    random = np.random.default_rng(5)
    x, known = np.tile([0.0, 0.7, 1.4, 2.1], 4), np.repeat(np.arange(4.0), 4) + random.normal(0, 0.1, 16)
    found = comparison.beyond(x, 0.1 * x + 0.7 * known - 2, known)
    assert [found[key] for key in ("value", "low", "high")] == pytest.approx([0.1] * 3)
    hits = 0
    for _ in range(400):
        found = comparison.beyond(x[:8], 0.7 * known[:8] + random.normal(0, 0.1, 8), known[:8])
        hits += found["low"] <= 0 <= found["high"]
    assert 0.86 < hits / 400 < 0.94
    assert comparison.beyond(x, known, 3 * x + 1) is None
    assert comparison.beyond(x[:3], known[:3], known[:3] ** 2) is None


@pytest.mark.parametrize(
    ("x", "group"), [([1.0, 2.0], [0, 0]), ([1.0, 1.0, 1.0], [0, 0, 0]), ([1.0, 2.0, 3.0], [0, 1, 2])]
)
def test_runs_too_few_or_too_alike_have_no_slope(x, group):
    assert comparison.slope(x, [1.0, 2.0, 4.0][: len(x)], group) is None


def test_early_is_a_sixteenth_of_the_context_and_late_its_half():
    losses = np.concatenate([np.full(8, 5.0), np.full(56, 4.0), np.full(64, 3.0)])
    assert comparison.early_and_late([losses]).tolist() == [[5.0, 3.0]]
    assert comparison.parts(128) == (8, 64)
    assert comparison.parts(4) == (1, 2)


def test_growth_is_how_much_more_runs_lie_above_the_line_late_than_early():
    line = np.stack([1.5 * power(N), power(N)], axis=1)
    at = np.array([2e3, 3e4, 4e5, 5e6])
    beside_it = np.stack([1.5 * power(at), 1.03 * power(at)], axis=1)
    found = comparison.growth(N, line, at, beside_it)
    for name, truth in (("early", 0.0), ("late", 3.0), ("growth", 3.0)):
        assert found[name]["value"] == pytest.approx(truth, abs=1e-9), name
        assert found[name]["runs"] == 3, name


# --- the drawings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_has_panels_a_picture_and_a_finding(name, drawings):
    drawn = drawings[name]
    spec = drawing.specification(drawn)
    assert len(spec["concat"]) >= 2
    assert "<svg" in drawing.svg(spec)
    assert drawn.caption in drawn.description
    assert drawn.finding.verdict in (HOLDS, PARTLY, FAILS, OPEN)
    told = json.dumps([drawn.finding.sentence(), drawn.finding.measured, drawn.caption])
    assert "nan" not in told
    assert "inf " not in told


def test_embeddings_has_every_run_by_both_counts(tables, drawings):
    runs = [
        run
        for run in tables["runs"]
        if {"size", "depth"} & set(run["experiments"]) and run["architecture"] == "transformer"
    ]
    rows = dict(drawings["embeddings"].data)["measured"]
    for count in ("N", "N_total"):
        drawn = {row["run"]: row for row in rows if row["count"] == count}
        assert {name: row["x"] for name, row in drawn.items()} == {run["run"]: run[count] for run in runs}
        assert {name: row["y"] for name, row in drawn.items()} == {
            run["run"]: run["test_loss"] for run in runs
        }
    assert {row["series"] for row in rows} == {"1 layer", "2 layers", "3 layers", "4 layers", "8 layers"}


def test_embeddings_tells_the_scatter_that_was_measured(tables, drawings):
    deep = [
        run
        for run in drawing.converged(tables["runs"], "depth", "size")
        if run["architecture"] == "transformer" and run["n_layer"] >= 2
    ]
    columns = ([run[name] for run in deep] for name in ("N", "N_total", "test_loss"))
    found = comparison.scatters(*map(np.array, columns))
    drawn = drawings["embeddings"]
    for count in ("N", "N_total"):
        said = f"{wording.significant(found[count]['value'], 2)} % ("
        assert said in drawn.caption, count
        assert said in drawn.finding.measured, count
    assert wording.significant(found["ratio"]["value"]) in drawn.finding.because


@pytest.mark.parametrize(
    ("by", "exponent", "noise", "verdict"),
    [
        ("N", 0.07, 0.003, HOLDS),
        ("N_total", 0.07, 0.003, FAILS),
        ("N", 0.4, 0.02, PARTLY),
        ("N", 0.0, 0.01, OPEN),
    ],
)
def test_verdict_on_embeddings_goes_by_the_count_that_the_loss_follows(changed, by, exponent, noise, verdict):
    random = np.random.default_rng(0)
    for run in changed["runs"]:
        run["test_loss"] = float(power(run[by], exponent) * np.exp(random.normal(0, noise)))
    assert drawing.draw("embeddings", changed, {}).finding.verdict == verdict


def test_embeddings_are_decided_by_the_whole_interval(tables):
    deep = [run for run in tables["runs"] if run["n_layer"] > 1]
    for ratio, verdict in ((number(0.8, 0.1), HOLDS), (number(0.8, 0.3), OPEN), (number(1.4, 0.3), FAILS)):
        found = {"N": number(0.6, 0.2), "N_total": number(0.75, 0.2), "ratio": ratio}
        assert embeddings.finding(found, found, deep).verdict == verdict


def test_models_of_one_layer_do_not_decide_but_are_told(changed):
    random = np.random.default_rng(0)
    for run in changed["runs"]:
        noise = np.exp(random.normal(0, 0.003))
        run["test_loss"] = float(power(run["N"]) * noise * (1.1 if run["n_layer"] == 1 else 1))
    drawn = drawing.draw("embeddings", changed, {})
    assert drawn.finding.verdict == HOLDS
    assert "with models of one layer it is" in drawn.finding.because
    assert "Models of one layer among them" in drawn.caption


def test_one_depth_of_two_layers_or_more_tells_nothing(changed):
    changed["runs"] = [run for run in changed["runs"] if run["n_layer"] in (1, 2)]
    drawn = drawing.draw("embeddings", changed, {})
    assert drawn.finding.verdict == OPEN
    assert "1 depth" in drawn.finding.because
    assert "fit" not in dict(drawn.data)


def test_recurrent_runs_lie_at_N_and_at_their_compute(tables, drawings):
    rows = dict(drawings["recurrent"].data)["measured"]
    runs = {run["run"]: run for run in tables["runs"]}
    reused = [row for row in rows if row["series"] != recurrent.STANDARD]
    assert "9 recurrent Transformers" in drawings["recurrent"].caption
    assert "8 standard ones of 1 to 4 layers" in drawings["recurrent"].caption
    assert {row["series"] for row in reused} == {"used 2 times", "used 4 times", "used 8 times"}
    for row in reused:
        run = runs[row["run"]]
        times = run["reuse"] if row["against"] == "compute" else 1
        assert row["x"] == pytest.approx(run["N"] * times)
    for row in rows:
        if row["series"] == recurrent.STANDARD:
            assert row["x"] == runs[row["run"]]["N"]


@pytest.mark.parametrize(
    ("factor", "noise", "verdict", "said"),
    [
        (0.99, 0, HOLDS, "lower at equal N, −1.0 %"),
        (1.02, 0, PARTLY, "higher at equal N, +2.0 %"),
        (0.5, 0, PARTLY, "lower at equal compute"),
        (0.95, 0.4, OPEN, "not told apart at equal N"),
    ],
)
def test_verdict_on_recurrent_runs_goes_by_their_losses(changed, factor, noise, verdict, said):
    random = np.random.default_rng(0)
    for run in changed["runs"]:
        run["test_loss"] = float(power(run["N"]))
        if run["architecture"] == "recurrent":
            run["test_loss"] *= float(factor * np.exp(random.normal(0, noise)))
    found = drawing.draw("recurrent", changed, {}).finding
    assert found.verdict == verdict, found
    assert said in found.because


def test_recurrent_runs_that_are_worse_at_N_and_cost_nothing_fail():
    assert recurrent.finding({"N": number(1, 0.5), "compute": number(-1, 0.5)}).verdict == FAILS
    assert recurrent.finding({"N": number(0, 0.5), "compute": number(-1, 0.5)}).verdict == FAILS
    assert recurrent.finding({"N": number(0, 0.5), "compute": number(0, 0.5)}).verdict == OPEN
    assert recurrent.finding({"N": number(-1, 0.5), "compute": UNKNOWN}).verdict == OPEN


def test_the_gap_of_each_reuse_is_told_and_runs_beyond_the_line_too(changed):
    for run in changed["runs"]:
        run["test_loss"] = float(power(run["N"]) * (1 - run["reuse"] / 100))
    changed["runs"] = [
        run for run in changed["runs"] if "size" not in run["experiments"] or run["N"] < 60_000
    ]
    drawn = drawing.draw("recurrent", changed, {})
    assert "at equal N −1.0 % " in drawn.caption
    assert "for 2 uses, −3.0 % " in drawn.caption
    assert "for 4 uses, −7.1 % " in drawn.caption
    assert "beyond the line left out)" in drawn.caption.split("at equal compute")[1]


@pytest.mark.parametrize(("name", "architecture"), [("recurrent", "recurrent"), ("architectures", "lstm")])
def test_what_an_architecture_lacks_is_said(changed, name, architecture):
    kept = [run for run in changed["runs"] if run["architecture"] != architecture]
    with pytest.raises(UserError, match=f"holds no {architecture} run: add some to its grid"):
        drawing.draw(name, {**changed, "runs": kept}, {})
    kept = [run for run in changed["runs"] if "size" not in run["experiments"] or run["N"] == 768]
    with pytest.raises(UserError, match="fewer than two sizes"):
        drawing.draw(name, {**changed, "runs": kept}, {})
    for run in changed["runs"]:
        run["status"] = "diverged" if run["architecture"] == architecture else run["status"]
    with pytest.raises(UserError, match="diverged"):
        drawing.draw(name, changed, {})


# --- LSTMs ----------------------------------------------------------------------------------------------


def test_architectures_pairs_runs_of_about_one_size(tables, drawings):
    data = dict(drawings["architectures"].data)
    runs = {run["run"]: run for run in tables["runs"]}
    assert {row["series"] for row in data["final"]} == {
        "Transformer", "LSTM, 1 layer", "LSTM, 2 layers", "LSTM, 4 layers",
    }  # fmt: skip
    shown = {row["run"] for row in data["position"]}
    sizes = sorted(runs[name]["N"] for name in shown if runs[name]["architecture"] == "lstm")
    partners = sorted(runs[name]["N"] for name in shown if runs[name]["architecture"] != "lstm")
    assert len(sizes) == len(partners) == architectures.PAIRS
    assert all(max(a / b, b / a) <= architectures.NEAR for a, b in zip(sizes, partners, strict=True))


def test_runs_of_other_sizes_are_no_pair():
    def curves(**sizes):
        return {
            f"{architecture}{N}": ({"run": f"{architecture}{N}", "architecture": architecture, "N": N}, None)
            for architecture, several in sizes.items()
            for N in several
        }

    assert architectures.pairs(curves(transformer=[1000, 9000], lstm=[1600])) == []
    assert architectures.pairs(curves(transformer=[], lstm=[1600])) == []
    found = architectures.pairs(curves(transformer=[1000, 9000], lstm=[1400, 900, 8000, 30_000]))
    assert [(lstm["N"], partner["N"]) for lstm, partner in found] == [(900, 1000), (8000, 9000)]


def test_positions_are_means_over_bins_at_the_end_of_training(tables, drawings):
    last = {}
    for row in tables["evaluations"]:
        if row["set"] == "test":
            last[row["run"]] = max(last.get(row["run"], row), row, key=lambda row: row["step"])
    rows = dict(drawings["architectures"].data)["position"]
    assert {row["first"] for row in rows} >= {1, 2}
    for row in rows:
        losses = last[row["run"]]["loss_by_position"][row["first"] - 1 : row["last"]]
        assert row["y"] == pytest.approx(np.mean(losses))


def positions_of(changed, lstm):
    """Give every run losses by position: Transformers 1.5 and 1 times a power law early and late in the
    context, LSTMs ``lstm(early, late, random)`` of that."""
    random, runs = np.random.default_rng(0), {run["run"]: run for run in changed["runs"]}
    for row in changed["evaluations"]:
        run = runs[row["run"]]
        early, late = (factor * power(run["N"]) for factor in (1.5, 1.0))
        if run["architecture"] == "lstm":
            early, late = lstm(early, late, random)
        row["loss_by_position"] = [float(early)] * 64 + [float(late)] * 64


@pytest.mark.parametrize(
    ("lstm", "verdict"),
    [
        (lambda early, late, random: (early, 1.03 * late), HOLDS),
        (lambda early, late, random: (0.97 * early, 1.03 * late), HOLDS),
        (lambda early, late, random: (1.02 * early, 1.05 * late), PARTLY),
        (lambda early, late, random: (0.95 * early, 0.98 * late), PARTLY),
        (lambda early, late, random: (1.05 * early, 1.02 * late), FAILS),
        (lambda early, late, random: (1.02 * early, 1.02 * late), FAILS),
        (lambda early, late, random: (early, late * np.exp(random.normal(0, 0.1))), OPEN),
    ],
)
def test_verdict_on_lstms_goes_by_their_gap_early_and_late(changed, lstm, verdict):
    positions_of(changed, lstm)
    found = drawing.draw("architectures", changed, {}).finding
    assert found.verdict == verdict, found


def test_gaps_of_lstms_are_told(changed):
    for run in changed["runs"]:
        run["test_loss"] = float(power(run["N"]) * (1.04 if run["architecture"] == "lstm" else 1))
    positions_of(changed, lambda early, late, random: (1.01 * early, 1.03 * late))
    drawn = drawing.draw("architectures", changed, {})
    for text in (drawn.caption, drawn.finding.measured):
        for gap in ("+4.0 % (", "+1.0 % (", "+3.0 % ("):
            assert gap in text
    assert "over the first 8 positions" in drawn.finding.because
    assert "a change of +2.0 %" in drawn.finding.because


def test_without_losses_by_position_the_final_losses_are_drawn_and_nothing_is_told(changed):
    drawn = drawing.draw("architectures", {**changed, "evaluations": []}, {})
    assert [name for name, _ in drawn.data] == ["final"]
    assert drawn.finding.verdict == OPEN
    assert "0 LSTM" in drawn.finding.because
    assert "<svg" in drawing.svg(drawing.specification(drawn))


def test_lstms_beyond_all_transformers_have_no_gap(changed):
    for run in changed["runs"]:
        run["N"] *= 1000 if run["architecture"] == "lstm" else 1
    drawn = drawing.draw("architectures", changed, {})
    assert drawn.finding.verdict == OPEN
    assert "equal N by an unknown amount on average (12 runs beyond the line left out)" in drawn.caption
    assert "nan" not in drawn.caption


def test_other_contexts_and_losses_that_are_not_numbers_are_left_out(changed):
    expected = drawing.draw("architectures", changed, {})
    lstm = next(run for run in changed["runs"] if run["architecture"] == "lstm")
    odd = {**lstm, "run": "odd", "test_loss": math.nan}
    short = {"run": odd["run"], "step": 1, "set": "test", "loss": 3.0, "loss_by_position": [3.0] * 8}
    changed["runs"].append(odd)
    changed["evaluations"].append(short)
    assert drawing.draw("architectures", changed, {}).finding == expected.finding
    changed["runs"][-1]["test_loss"] = lstm["test_loss"]
    assert drawing.draw("architectures", changed, {}).finding.because == expected.finding.because


# --- depth and other text -------------------------------------------------------------------------------


def by_depth(changed, slope, noise=0.0):
    """Losses that the test loss and an offset of each set make up, and ``slope(set)`` times ln depth."""
    random, runs = np.random.default_rng(0), {run["run"]: run for run in changed["runs"]}
    for row in changed["evaluations"]:
        run = runs[row["run"]]
        row["loss"] = float(power(run["N"]))
        if row["set"] != "test":
            row["loss"] += simulated.SETS[row["set"]] + float(random.normal(0, noise))
            row["loss"] += slope(row["set"]) * math.log(run["n_layer"])


def test_groups_of_one_size_have_a_panel_each(tables, drawings):
    rows = dict(drawings["transfer_vs_depth"].data)["measured"]
    runs = {run["run"]: run for run in tables["runs"]}
    groups = {row["group"] for row in rows}
    assert len(drawing.specification(drawings["transfer_vs_depth"])["concat"]) == len(groups) == 4
    for group in groups:
        members = {row["run"] for row in rows if row["group"] == group}
        sizes = [runs[name]["N"] for name in members]
        assert max(sizes) <= transfer_vs_depth.WIDTH * min(sizes)
        assert len({runs[name]["n_layer"] for name in members}) > 1
    assert {row["set"] for row in rows} == {transfer_vs_depth.TEST, *simulated.SETS}


@pytest.mark.parametrize(
    ("slope", "noise", "verdict", "said"),
    [
        (lambda name: 0.0, 0.005, HOLDS, "for 6 of 6 sets"),
        (lambda name: 0.02, 0.0, HOLDS, "for 6 of 6 sets"),
        (lambda name: 0.1 * (name in ("code", "cloud")), 0.005, PARTLY, "for 4 of 6 sets"),
        (lambda name: -0.1 * (name != "code"), 0.005, FAILS, "for 1 of 6 sets"),
        (lambda name: 0.0, 0.4, OPEN, "reaches further than 0.1 either side"),
    ],
)
def test_verdict_on_depth_goes_by_what_it_does_to_each_set(changed, slope, noise, verdict, said):
    by_depth(changed, slope, noise)
    found = drawing.draw("transfer_vs_depth", changed, {}).finding
    assert found.verdict == verdict, found
    assert said in found.because


def test_what_the_test_loss_explains_is_no_effect_of_depth(changed):
    by_depth(changed, lambda name: 0.0, noise=0.001)
    runs = {run["run"]: run for run in changed["runs"]}
    for row in changed["evaluations"]:
        by_test = 1.0 if row["set"] == "test" else 0.6
        row["loss"] += by_test * 0.2 * math.log(runs[row["run"]]["n_layer"])
        row["loss"] += (by_test - 1) * float(power(runs[row["run"]]["N"]))
    drawn = drawing.draw("transfer_vs_depth", changed, {})
    assert drawn.finding.verdict == HOLDS
    assert drawn.finding.measured == "+0.00 to +0.00 nats per token from 1 to 8 layers"
    assert f"the test loss changes by {wording.signed(0.2 * math.log(8), 2)} (" in drawn.caption


def test_the_effect_of_depth_is_told_over_its_whole_range(changed):
    by_depth(changed, lambda name: 0.1 if name == "code" else 0.0)
    drawn = drawing.draw("transfer_vs_depth", changed, {})
    effect = wording.signed(0.1 * math.log(8), 2)
    assert f"code {effect} ({effect} to {effect})" in drawn.caption
    assert f"the largest is that of code, {effect}" in drawn.finding.because
    assert drawn.finding.measured == f"+0.00 to {effect} nats per token from 1 to 8 layers"


def test_two_runs_of_one_size_have_no_error(changed):
    kept = [
        run
        for run in changed["runs"]
        if run["N"] == 12 * 2 * 45**2 or (run["n_layer"], run["d_model"]) == (1, 64)
    ]
    depth = [run for run in kept if "depth" in run["experiments"]]
    assert len(depth) == 2
    drawn = drawing.draw("transfer_vs_depth", {**changed, "runs": depth}, {})
    assert drawn.finding.verdict == OPEN
    assert "too few" in drawn.caption


def test_depths_that_were_not_evaluated_on_other_text_are_no_figure(changed):
    alone = [row for row in changed["evaluations"] if row["set"] == "test"]
    with pytest.raises(UserError, match="evaluated on other text: add shapes to its grid, or a set to"):
        drawing.draw("transfer_vs_depth", {**changed, "evaluations": alone}, {})


def test_diverged_depths_are_left_out(changed):
    run = next(run for run in changed["runs"] if "depth" in run["experiments"] and run["n_layer"] == 8)
    run["status"] = "diverged"
    for row in changed["evaluations"]:
        if row["run"] == run["run"]:
            row["loss"] = math.nan
    for name in ("transfer_vs_depth", "embeddings"):
        rows = dict(drawing.draw(name, changed, {}).data)["measured"]
        assert run["run"] not in {row["run"] for row in rows}, name


def test_shares_and_differences_are_told_with_what_interval_they_have():
    assert beside.percent(number(1.25, 0.5)) == "+1.2 % (+0.8 to +1.8)"
    assert beside.percent(UNKNOWN) == "+1.0 %"
    assert beside.size(number(0.62, 0.2)) == "0.62 % (0.42 to 0.82)"
    assert embeddings.times(number(0.5, 0.1)) == "0.500 (0.400 to 0.600)"
