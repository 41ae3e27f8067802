import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scaling import frontier
from scaling.units import PF_DAY

FIT = Path(__file__).parents[2] / "workflow/scripts/fit.py"
SIZES = [768, 3072, 6144, 13824, 24576, 55296, 98304, 196608, 442368]
ALPHA_N, ALPHA_S = 0.076, 0.76
OPTIONS = {"resamples": 200, "seed": 0, "interval": 0.9}


def run(N, losses=(4.0,), **changes):
    """A row of runs.parquet whose last loss is the last of ``losses``."""
    row = {"run": f"N{N}", "experiments": ["size"], "N": N, "D": 10**7, "status": "finished", "warmup": 50}
    row |= {"test_loss": losses[-1], "best_test_loss": min(losses), "epochs": 0.3, "steps": 1500}
    row |= {"test_loss_se": 0.01, "best_test_loss_se": 0.01, "best_step": 1500}
    return row | {"flops_per_token_6N": 6 * N, "flops_per_token_head": 12 * N} | changes


def curve(name, steps, losses, *, B=2048):
    return [
        {"run": name, "step": int(step), "tokens": int(step) * B, "test_loss": float(loss)}
        for step, loss in zip(steps, losses, strict=True)
    ]


def study(*, noise=0.0, sizes=SIZES, S=1500):
    """Tables of runs whose losses are L(N, S) = (N_c / N)^α_N + (S_c / S)^α_S, optimal near 300 steps."""
    rng = np.random.default_rng(0)
    steps = np.unique(np.geomspace(S / 100, S, 18).round())
    runs, curves = [], []
    for N in sizes:
        losses = (1.1e11 / N) ** ALPHA_N + (73 / steps) ** ALPHA_S
        losses = losses * np.exp(rng.normal(0, noise) + rng.normal(0, noise / 5, len(steps)))
        runs.append(run(N, losses.tolist()))
        curves += curve(f"N{N}", steps, losses)
    return runs, curves


def data_study():
    """Three subsets × three sizes that overfit them, and sizes on all the data, which did not see it all."""
    runs = []
    for D, epochs, best_step in ((10**5, 5.0, 300), (10**6, 5.0, 300), (10**7, 1.5, 1500)):
        for N, excess in ((3072, 1.05), (24576, 1.0), (98304, 1.02)):
            loss = (5.4e13 / D) ** 0.075 * excess
            seen = {"D": D, "epochs": epochs, "best_step": best_step, "experiments": ["data"]}
            runs.append(run(N, [loss, loss * N**0.1], run=f"N{N}_D{D}", **seen))
    return runs + [run(N, run=f"N{N}_all", D=10**8, experiments=["size", "data"]) for N in SIZES[:3]]


def test_sizes_come_back_and_what_diverged_is_listed():
    runs, curves = study(noise=0.005)
    runs[2] |= {"status": "diverged", "test_loss": None}
    runs[3]["test_loss"] = float("nan")
    runs.append(run(5000, [9.0], experiments=["shape"]))
    result, draws = frontier.fit_law("L_N", runs, curves, **OPTIONS)
    assert result["excluded"] == [
        {"run": "N6144", "reason": "diverged"},
        {"run": "N13824", "reason": "its test_loss is not a number"},
    ]
    assert result["data"]["x"] == [N for N in SIZES if N not in (6144, 13824)]
    assert result["data"]["run"][0] == "N768"
    assert "after 1500 steps" in result["method"]
    assert result["data"]["y_se"] == [0.01] * 7
    found = result["parameters"]["alpha_N"]
    assert found["low"] < 0.0735 < found["high"]  # α_N, less what 1500 steps leave unlearned
    assert found["published"] == 0.076
    assert list(draws) == ["alpha_N", "N_c"]


def test_data_limit_takes_the_best_size_for_each_subset():
    result, _ = frontier.fit_law("L_D", data_study(), [], **OPTIONS)
    assert result["data"]["run"] == [f"N24576_D{D}" for D in (10**5, 10**6, 10**7)]
    assert result["data"]["runs"] == 9
    assert result["data"]["turned"] == 2
    found = result["parameters"]
    assert found["alpha_D"]["value"] == pytest.approx(0.075, rel=1e-6)
    assert found["D_c"]["value"] == pytest.approx(5.4e13, rel=1e-4)
    assert found["alpha_D"]["high"] - found["alpha_D"]["low"] > 0.001  # the best is not always drawn
    assert [left["run"] for left in result["excluded"]] == [f"N{N}_all" for N in SIZES[:3]]
    assert "0.3 epochs" in result["excluded"][0]["reason"]


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_the_frontier_has_the_exponents_of_the_curves_it_is_made_of(noise):
    alpha_C = ALPHA_N * ALPHA_S / (ALPHA_N + ALPHA_S)  # minimise L(N, S) at 6 N B S = C
    p_N = ALPHA_S / (ALPHA_N + ALPHA_S)
    runs, curves = study(noise=noise)
    envelope, _ = frontier.fit_law("L_C", runs, curves, **OPTIONS)
    best, draws = frontier.fit_law("N_opt", runs, curves, **OPTIONS)
    found = envelope["parameters"]["alpha_C"]
    assert found["value"] == pytest.approx(alpha_C, rel=0.03)
    assert found["low"] < alpha_C < found["high"]
    assert 20 < envelope["data"]["bracketed"] < envelope["data"]["points"]
    found = best["parameters"]["p_N"]
    assert found["value"] == pytest.approx(p_N, rel=0.03)
    assert 0.01 < found["high"] - found["low"] < 0.15
    assert list(draws) == ["p_N", "N_e", "p_N_with_head", "N_e_with_head"]


def test_other_ways_to_count_flops_are_fitted_beside_the_papers():
    best, _ = frontier.fit_law("N_opt", *study(), **OPTIONS)
    ours, head = best["parameters"], best["with_head"]["parameters"]
    assert head["p_N"]["value"] == pytest.approx(ours["p_N"]["value"], rel=1e-6)  # here head is 2 × 6N
    halved = ours["N_e"]["value"] * 2 ** -ours["p_N"]["value"]
    assert head["N_e"]["value"] == pytest.approx(halved, rel=1e-6)
    assert "head" in best["with_head"]["x_label"]
    assert best["with_head"]["data"]["x"][0] == pytest.approx(2 * best["data"]["x"][0])


def test_curves_start_after_warm_up_never_rise_and_are_not_extrapolated():
    runs = [run(N, warmup=10) for N in (1000, 2000, 4000)]
    curves = []
    for row in runs:
        curves += curve(row["run"], [5, 10, 100, 1000], [1.0, 6.0, 4.0, 5.0])
    iso = frontier.interpolate(runs, curves, "6N")
    assert iso.compute[[0, -1]] * PF_DAY == pytest.approx([6 * 2000 * 2048 * 10, 6 * 2000 * 2048 * 1000])
    losses = np.exp(iso.loss)
    assert np.nanmax(np.where(np.isfinite(losses), losses, np.nan)) <= 6.0  # 1.0 was before warm-up
    assert losses[1][[0, -1]] == pytest.approx([6.0, 4.0])  # the lowest so far, not the last
    assert np.isinf(losses[0][-1])
    assert np.isinf(losses[2][0])
    middle = np.interp(np.log(30.0), np.log([10, 100]), np.log([6.0, 4.0]))
    at = np.log(6 * 2000 * 2048 * 30 / PF_DAY)
    assert np.interp(at, np.log(iso.compute), iso.loss[1]) == pytest.approx(middle, abs=2e-3)


def test_a_resample_has_its_own_envelope():
    selection = frontier.envelope(*study(), "6N")
    counts = np.ones((2, 9), dtype=int)
    counts[1, 4] = 0
    points = selection.points(counts)
    full, without = points.target
    lost = np.array(selection.run) == "N24576"
    assert lost.any()
    assert (without[lost] > full[lost]).all()
    assert (without[~lost] == full[~lost]).all()
    assert np.exp(full) == pytest.approx(selection.y)


def test_a_minimum_counts_only_between_sizes_that_have_data():
    sizes = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 32.0])
    inf = np.inf
    losses = np.array(
        [
            [5.0, 3.0, inf, 5.0],
            [4.0, 4.0, inf, 4.5],
            [3.0, 5.0, 3.0, 4.0],
            [4.0, 6.0, 4.0, 3.0],
            [5.0, 7.0, 5.0, inf],
            [5.5, 7.0, 5.0, 4.0],
            [6.0, 8.0, 6.0, inf],
        ]
    )
    found = frontier.bracketed(sizes, losses).T.tolist()
    assert found[0] == [True] * 6 + [False]  # the best, two sizes on either side, every run of a size
    assert not any(found[1])  # the smallest is best
    assert not any(found[2])  # the best is the smallest that has data
    assert found[3] == [False, True, True, True, False, True, False]


def unfitted(law, runs, curves):
    report, draws = frontier.fit_law(law, runs, curves, **OPTIONS)
    assert "parameters" not in report
    assert draws == {}
    return report["unfitted"]


def test_too_little_to_fit_is_said_in_one_line_with_a_remedy():
    runs, curves = study(sizes=SIZES[:3])
    diverged = [runs[0] | {"status": "diverged"}, *runs[1:]]
    line = unfitted("L_N", diverged, curves)
    assert re.match(r"L_N .* 2 usable runs, .* N768 is left out, diverged; add sizes", line)
    assert re.match(r"L_D .* 0 usable runs, .* add smaller subsets D", unfitted("L_D", runs, curves))
    brief, brief_curves = study(S=200)
    line = unfitted("L_C", [row | {"warmup": 200} for row in brief], brief_curves)
    assert re.match(r"L_C .* N768 is left out, has 1 test points past its warm-up.* warm-up", line)
    line = unfitted("N_opt", brief, brief_curves)
    assert re.match(r"N_opt .* 0 computes whose best size .* train smaller sizes", line)
    assert "\n" not in line


def test_small_sizes_trained_on_join_the_frontier_but_not_L_N():
    runs, curves = study(S=200)
    longer, longer_curves = study(sizes=SIZES[:4], S=4000)
    longer = [row | {"run": f"{row['run']}-long", "experiments": ["long"]} for row in longer]
    longer_curves = [row | {"run": f"{row['run']}-long"} for row in longer_curves]
    both, both_curves = [*runs, *longer], [*curves, *longer_curves]
    assert "unfitted" not in frontier.fit_law("N_opt", both, both_curves, **OPTIONS)[0]
    alone, _ = frontier.fit_law("L_N", runs, curves, **OPTIONS)
    assert frontier.fit_law("L_N", both, both_curves, **OPTIONS)[0] == alone


@pytest.fixture
def tables(tmp_path):
    for name, rows in zip(("runs", "curves"), study(noise=0.005), strict=True):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    return tmp_path


def fit_script(folder, law):
    paths = {
        "runs": "runs.parquet",
        "curves": "curves.parquet",
        "out": "fit.json",
        "bootstrap": "draws.parquet",
    }
    options = [part for key, name in paths.items() for part in (f"--{key}", str(folder / name))]
    return subprocess.run(
        [sys.executable, str(FIT), "--law", law, *options], capture_output=True, text=True, check=False
    )


def test_the_script_writes_the_fit_and_its_draws(tables):
    done = fit_script(tables, "N_opt")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads((tables / "fit.json").read_text())
    draws = pq.read_table(tables / "draws.parquet")
    assert {"law", "formula", "latex", "x", "x_label", "y", "y_label", "source", "versions"} <= set(result)
    assert {"parameters", "interval", "resamples", "method", "data", "excluded", "band"} <= set(result)
    assert draws.num_rows == result["resamples"] == 1000
    found = result["parameters"]["p_N"]
    ends = np.nanquantile(draws["p_N"].to_numpy(), result["quantiles"])
    assert ends == pytest.approx([found["low"], found["high"]])


def test_the_script_says_what_it_could_not_fit(tables):
    done = fit_script(tables, "L_D")
    assert done.returncode == 0
    assert done.stdout.startswith("L_D cannot be fitted: 0 usable runs")
    assert json.loads((tables / "fit.json").read_text())["unfitted"] == done.stdout.strip()
    assert pq.read_table(tables / "draws.parquet").num_rows == 0
