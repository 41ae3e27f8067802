"""Loss by position: bins, powers of the position, what a short context does, and the charts of both."""

import copy
import math
import re

import numpy as np
import pytest
import simulated
from scaling import positions
from scaling.charts import catalog, drawing, findings, wording
from scaling.charts import positions as chart
from scaling.charts import positions_vs_N as fixed
from scaling.provenance import UserError

T = np.arange(1.0, 129)
SIZES = np.geomspace(1e3, 1e6, 6)


def made(exponents, floor=2.5, drop=3.0):
    """Losses by position (runs, 128) that follow L(T) exactly."""
    return floor + drop * T ** -np.array(exponents, dtype=float)[:, None]


@pytest.fixture(scope="module")
def study():
    return simulated.study(("size", "context"))["tables"]


@pytest.fixture
def tables(study):
    return copy.deepcopy(study)


def set_profiles(tables, losses):
    """Give every evaluation the losses by position that ``losses(run)`` makes."""
    runs = {run["run"]: run for run in tables["runs"]}
    for row in tables["evaluations"]:
        row["loss_by_position"] = list(map(float, losses(runs[row["run"]])))


def drawn(name, tables):
    return drawing.draw(name, tables, {})


# --- bins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_ctx", [1, 2, 8, 100, 128, 1024])
def test_bins_hold_every_position_once(n_ctx):
    parts = positions.bins(n_ctx)
    held = [T for first, last in parts for T in range(first, last + 1)]
    assert held == list(range(1, n_ctx + 1))
    assert len(parts) <= positions.BINS


def test_octaves_end_at_powers_of_two_within_the_context():
    assert positions.octaves(8) == [(1, 1), (2, 2), (3, 4), (5, 8)]
    assert positions.octaves(100)[-1] == (33, 64)


def test_averages_are_means_over_the_positions_of_a_bin():
    losses = np.array([[4.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 9.0]])
    assert positions.averaged(losses, positions.octaves(8)).tolist() == [[4.0, 3.0, 1.5, 3.0]]
    assert positions.middle(2, 2) == pytest.approx(2)
    assert positions.middle(3, 4) == pytest.approx(12**0.5)
    assert positions.whole_drop(losses)[0] == pytest.approx(4 - 3)


# --- powers ---------------------------------------------------------------------------------------------


def test_powers_without_noise_are_found():
    found = positions.fit(made([0.3, 0.6, 1.2]))
    assert found.exponent == pytest.approx([0.3, 0.6, 1.2], abs=1e-3)
    assert found.floor == pytest.approx([2.5] * 3, abs=0.01)
    assert found.drop == pytest.approx([3.0] * 3, abs=0.01)
    assert found.sound.all()
    assert found.at(T, 1) == pytest.approx(made([0.6])[0], abs=1e-3)


def test_a_logarithm_is_no_sound_power():
    noise = np.random.default_rng(0).normal(0, 0.03, (8, 128))
    falling = [positions.fit((4 - 0.2 * np.log(T) + one)[None]) for one in noise]
    assert any(found.exponent[0] > 0 for found in falling)
    for found in falling:
        assert found.low[0] < 0
        assert not found.sound[0]


def test_neither_a_single_step_nor_a_rise_is_a_sound_power():
    step = np.where(T == 1, 6.0, 4.0)
    rise = 4 - 1.0 * T**-0.5
    found = positions.fit(np.array([step, rise]))
    assert not found.sound.any()
    assert not found.inner[0]


def test_intervals_of_exponents_cover_the_truth_about_as_often_as_they_say():
    random, trials, hits = np.random.default_rng(2), 150, 0
    for trial in range(trials):
        losses = made([0.6]) + random.normal(0, 0.1, 128)
        found = positions.fit(losses, resamples=200, seed=trial)
        hits += found.low[0] <= 0.6 <= found.high[0]
    assert 0.8 < hits / trials < 0.98


def test_noise_of_the_common_text_moves_all_exponents_together():
    noise = np.random.default_rng(3).normal(0, 0.1, 128)
    found = positions.fit(made([0.5, 0.5]) + noise)
    assert np.corrcoef(found.drawn.T)[0, 1] > 0.99


def test_a_rise_of_exponents_with_N_is_found():
    exponents = 0.4 + 0.05 * np.log(SIZES / SIZES[0])
    noise = np.random.default_rng(4).normal(0, 0.02, 128)
    rise = positions.rise_of_exponent(SIZES, positions.fit(made(exponents) + noise))
    assert 0 < rise["low"] < rise["value"] < rise["high"]
    assert rise["value"] == pytest.approx(0.05, abs=0.02)


def test_the_true_form_misses_least_of_what_was_left_out():
    power, logarithm, constant = made([0.6]), (4 - 0.3 * np.log(T))[None], np.full((1, 128), 3.0)
    plain = (5 * T**-0.1)[None]
    for losses, form in (
        (power, positions.POWER),
        (plain, positions.PLAIN),
        (logarithm, positions.LOGARITHM),
        (constant, positions.FLAT),
    ):
        missed = positions.left_out(losses)
        assert missed[form][0] < 5e-3
    missed = positions.left_out(power)
    assert missed[positions.POWER][0] < min(
        missed[form][0] for form in positions.FORMS if form != positions.POWER
    )


def test_few_positions_are_refused():
    with pytest.raises(ValueError, match="7 positions"):
        positions.fit(np.ones((1, 7)))


def test_error_of_early_positions_is_that_of_their_windows():
    random, errors, means = np.random.default_rng(5), [], []
    for _ in range(400):
        windows = 3 + random.normal(0, 2, (64, 128)) + random.normal(0, 1.0, (64, 1))
        se = windows.mean(1).std(ddof=1) / 8
        errors.append(positions.sampling_error(windows.mean(0), se, 8))
        means.append(windows[:, :8].mean())
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.15)


def test_a_context_one_longer_has_no_neighbours_to_tell_the_scatter():
    assert positions.sampling_error(np.linspace(4, 3, 9), 0.02, 8) == pytest.approx(0.02)


# --- rows -----------------------------------------------------------------------------------------------


def test_profiles_are_those_of_sound_rows_of_the_test_split(tables):
    runs = [run for run in tables["runs"] if "size" in run["experiments"]]
    broken, without = runs[0]["run"], runs[1]["run"]
    for row in tables["evaluations"]:
        if row["run"] == broken:
            row["loss_by_position"][3] = math.nan
        if row["run"] == without:
            row["loss_by_position"] = None
    found = positions.profiles(tables["evaluations"], runs)
    assert set(found) == {run["run"] for run in runs[2:]}
    last = positions.at_end(tables["evaluations"], tables["runs"], "size")
    for run, losses in last:
        rows = [r for r in tables["evaluations"] if r["run"] == run["run"] and r["set"] == "test"]
        assert losses.tolist() == max(rows, key=lambda row: row["step"])["loss_by_position"]
    assert [run["N"] for run, _ in last] == sorted(run["N"] for run in runs[2:])


# --- the figure by position -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slope", "verdict"),
    [(0.05, findings.HOLDS), (-0.05, findings.PARTLY)],
)
def test_the_verdict_goes_with_the_exponents(slope, verdict, tables):
    noise = np.random.default_rng(6).normal(0, 0.02, 128)
    set_profiles(
        tables, lambda run: (made([0.6 + slope * math.log(run["N"] / 1e4)])[0] + noise)[: run["n_ctx"]]
    )
    figure = drawn("positions", tables)
    assert figure.finding.verdict == verdict
    assert ("rises" if slope > 0 else "falls") in figure.finding.because


def test_losses_that_do_not_fall_with_position_fail(tables):
    noise = np.random.default_rng(7).normal(0, 0.05, 128)
    set_profiles(tables, lambda run: 4 - 0.05 * math.log(run["N"]) + noise[: run["n_ctx"]])
    figure = drawn("positions", tables)
    assert figure.finding.verdict == findings.FAILS
    assert "does not lie whole above zero" in figure.finding.because
    assert "a constant misses" in figure.finding.because
    assert "fit" not in dict(figure.data)


def test_a_power_that_cannot_be_told_from_a_logarithm_leaves_it_open(tables):
    noise = np.random.default_rng(7).normal(0, 0.1, 128)
    set_profiles(tables, lambda run: (5 - 0.4 * np.log(T) + noise)[: run["n_ctx"]])
    finding = drawn("positions", tables).finding
    assert finding.verdict == findings.OPEN
    assert "does not lie whole above zero" in finding.because
    assert "a constant" not in finding.because


def test_two_sizes_cannot_tell(tables):
    sizes = sorted((run for run in tables["runs"] if "size" in run["experiments"]), key=lambda run: run["N"])
    kept = {run["run"] for run in sizes[:2]}
    tables["runs"] = [run for run in tables["runs"] if run["run"] in kept]
    figure = drawn("positions", tables)
    assert figure.finding.verdict == findings.OPEN
    assert "nan" not in f"{figure.caption}{figure.finding}"
    drawing.svg(drawing.specification(figure))


def test_a_short_context_is_drawn_without_a_power(tables):
    set_profiles(tables, lambda run: [4.0, 3.5, 3.2, 3.1])
    figure = drawn("positions", tables)
    assert figure.finding.verdict == findings.OPEN
    assert "too short" in figure.finding.because
    assert "fit" not in dict(figure.data)
    drawing.svg(drawing.specification(figure))


def test_diverged_sizes_are_left_out():
    tables = simulated.study(("size",), diverged=6144)["tables"]
    data = dict(drawn("positions", tables).data)
    assert 6144 not in {row["N"] for rows in data.values() for row in rows}


def test_without_losses_by_position_there_is_no_figure(tables):
    for row in tables["evaluations"]:
        row["loss_by_position"] = []
    for name, draw in (("positions", chart.draw), ("positions_vs_N", fixed.draw)):
        assert name in catalog.FIGURES
        with pytest.raises(UserError, match="losses by position"):
            draw(tables, {})


def test_figure_shows_what_was_measured(tables):
    figure = drawn("positions", tables)
    data = dict(figure.data)
    pairs = positions.at_end(tables["evaluations"], tables["runs"], "size")
    assert len({row["N"] for row in data["measured"]}) == len(pairs)
    run, losses = pairs[-1]
    rows = [row for row in data["measured"] if row["run"] == run["run"]]
    for row in rows:
        assert row["y"] == pytest.approx(losses[row["from"] - 1 : row["to"]].mean())
    steps = {row["step"] for row in data["during training"]}
    assert len(steps) == 4
    assert {row["N"] for row in data["during training"]} == {run["N"]}
    ends = [row for row in data["during training"] if row["step"] == max(steps)]
    assert [row["y"] for row in ends] == [row["y"] for row in rows]
    powers = positions.fit(np.array([losses for _, losses in pairs]))
    assert chart.exponent(powers, -1) in figure.caption
    assert chart.exponent(powers, -1) in figure.finding.measured
    assert f"over {len(rows)} bins" in figure.caption


# --- the figure at fixed positions ----------------------------------------------------------------------


def profile(falls, better):
    """Losses by position of a run: falling with N as ``falls(T)``, better by a share where n_ctx is 8."""
    noise = np.random.default_rng(8).normal(0, 0.02, 128)

    def losses(run):
        at = T[: run["n_ctx"]]
        level = (3 + 2 * at**-0.6) * (run["N"] / 1e4) ** -falls(at)
        return level * (1 - better if run["n_ctx"] == 8 else 1) + noise[: len(at)]

    return losses


def everywhere(T):
    return np.full(len(T), 0.05)


def not_at_first(T):
    return np.where(T < 2, -0.02, 0.05)


@pytest.mark.parametrize(
    ("falls", "better", "verdict"),
    [
        (everywhere, 0.1, findings.HOLDS),
        (everywhere, -0.1, findings.PARTLY),
        (everywhere, 0.0, findings.PARTLY),
        (not_at_first, 0.1, findings.PARTLY),
        (not_at_first, -0.1, findings.FAILS),
    ],
)
def test_the_verdict_goes_with_slopes_and_with_the_short_context(falls, better, verdict, tables):
    set_profiles(tables, profile(falls, better))
    finding = drawn("positions_vs_N", tables).finding
    assert finding.verdict == verdict
    assert ("at T = 1" in finding.because) == (falls is not_at_first)
    words = {0.1: "is lower", -0.1: "is higher", 0.0: "neither"}
    assert words[better] in finding.because


def test_slopes_and_differences_lost_in_noise_leave_it_open(tables):
    random = np.random.default_rng(9)
    set_profiles(tables, lambda run: random.uniform(3, 4) + np.zeros(run["n_ctx"]))
    assert drawn("positions_vs_N", tables).finding.verdict == findings.OPEN


def test_the_difference_is_that_of_pairs_alike_but_for_the_context(tables):
    set_profiles(tables, profile(everywhere, 0.1))
    whole = positions.at_end(tables["evaluations"], tables["runs"], "size")
    short = positions.at_end(tables["evaluations"], tables["runs"], "context")
    errors = fixed.errors(tables["evaluations"])
    early = fixed.compared(whole, short, errors)
    assert early["pairs"] == 4
    assert early["value"] == pytest.approx(-10, abs=0.5)
    assert early["low"] < -10 < early["high"]
    wider = fixed.compared(whole, short, {run: 3 * error for run, error in errors.items()})
    assert wider["windows"] > 2 * early["windows"]
    assert wider["high"] - wider["low"] > 1.5 * (early["high"] - early["low"])
    other = [({**run, "S": 3000}, losses) for run, losses in short]
    assert fixed.compared(whole, other, errors)["pairs"] == 0


def test_without_pairs_it_cannot_be_told(tables):
    for run in tables["runs"]:
        if run["n_ctx"] == 8:
            run["S"] = 7
    figure = drawn("positions_vs_N", tables)
    assert figure.finding.verdict == findings.OPEN
    assert "0 pairs" in figure.finding.because
    assert "nan" not in f"{figure.caption}{figure.finding}"


def test_few_sizes_cannot_tell_and_are_drawn(tables):
    sizes = [run for run in tables["runs"] if "size" in run["experiments"]][:2]
    short = [run for run in tables["runs"] if "context" in run["experiments"]][:1]
    figure = drawn("positions_vs_N", {**tables, "runs": sizes + short})
    assert figure.finding.verdict == findings.OPEN
    drawing.svg(drawing.specification(figure))


def test_points_are_means_over_octaves_of_both_contexts(tables):
    figure = drawn("positions_vs_N", tables)
    data = dict(figure.data)
    assert list(data) == ["n_ctx 128", "n_ctx 8"]
    assert {row["to"] for row in data["n_ctx 8"]} == {1, 2, 4, 8}
    assert {row["to"] for row in data["n_ctx 128"]} == {1, 2, 4, 8, 16, 32, 64, 128}
    pairs = {
        run["run"]: losses
        for name in ("size", "context")
        for run, losses in positions.at_end(tables["evaluations"], tables["runs"], name)
    }
    for row in data["n_ctx 8"] + data["n_ctx 128"]:
        assert row["y"] == pytest.approx(pairs[row["run"]][row["from"] - 1 : row["to"]].mean())
    early = fixed.compared(
        *(positions.at_end(tables["evaluations"], tables["runs"], name) for name in ("size", "context")),
        fixed.errors(tables["evaluations"]),
    )
    assert wording.signed(early["value"], 1) in figure.caption
    assert re.search(r"4 pairs", figure.caption)
