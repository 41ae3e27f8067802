import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scaling import selections
from scaling.laws import LAWS
from scaling.units import PF_DAY

FIT = Path(__file__).parents[2] / "workflow/scripts/fit.py"
SIZES = [768, 3072, 6144, 13824, 24576, 55296, 98304, 196608, 442368]
ALPHA_N, ALPHA_S = 0.076, 0.76
OPTIONS = {"resamples": 200, "seed": 0, "delta": 0.01}


def run(N, losses=(4.0,), **changes):
    """A row of runs.parquet whose last loss is the last of ``losses``."""
    row = {"run": f"N{N}", "experiments": ["size"], "N": N, "D": 10**7, "status": "finished", "warmup": 50}
    row |= {"test_loss": losses[-1], "best_test_loss": min(losses), "epochs": 0.3, "steps": 1500}
    row |= {"test_loss_se": 0.01, "best_test_loss_se": 0.01, "best_step": 1500, "tokens": 1500 * 2048}
    return row | {"N_total": N + 20000, "flops_per_token_6N": 6 * N, "flops_per_token_head": 12 * N} | changes


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
            runs.append(run(N, [loss] if best_step == 1500 else [loss, 2 * loss], run=f"N{N}_D{D}", **seen))
    return runs + [run(N, run=f"N{N}_all", D=10**8, experiments=["size", "data"]) for N in SIZES[:3]]


def test_sizes_come_back_and_what_diverged_is_listed():
    runs, curves = study(noise=0.005)
    runs[2] |= {"status": "diverged", "test_loss": None}
    runs[3]["test_loss"] = float("nan")
    runs.append(run(5000, [9.0], experiments=["shape"]))
    result, draws = selections.fit_law("L_N", runs, curves, **OPTIONS)
    assert result["data"]["excluded"] == [
        {"run": "N6144", "reason": "diverged"},
        {"run": "N13824", "reason": "its test_loss is not a number above 0"},
    ]
    assert result["data"]["inputs"]["N"] == [N for N in SIZES if N not in (6144, 13824)]
    assert result["data"]["run"][0] == "N768"
    assert "after 1500 steps" in result["method"]
    assert result["data"]["y_se"] == [0.01] * 7
    found = result["parameters"]["alpha_N"]
    assert found["low"] < 0.0735 < found["high"]  # α_N, less what 1500 steps leave unlearned
    assert found["published"] == 0.076
    assert list(draws) == ["alpha_N", "N_c"]


def test_data_limit_takes_the_best_size_for_each_subset():
    result, _ = selections.fit_law("L_D", data_study(), [], **OPTIONS)
    assert result["data"]["run"] == [f"N24576_D{D}" for D in (10**5, 10**6, 10**7)]
    assert result["data"]["runs"] == result["data"]["points"] == 3
    assert result["data"]["turned"] == 2
    found = result["parameters"]
    assert found["alpha_D"]["value"] == pytest.approx(0.075, rel=1e-6)
    assert found["D_c"]["value"] == pytest.approx(5.4e13, rel=1e-4)
    assert [left["run"] for left in result["data"]["excluded"]] == [f"N{N}_all" for N in SIZES[:3]]
    assert "0.3 epochs" in result["data"]["excluded"][0]["reason"]


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_the_frontier_has_the_exponents_of_the_curves_it_is_made_of(noise):
    alpha_C = ALPHA_N * ALPHA_S / (ALPHA_N + ALPHA_S)  # minimise L(N, S) at 6 N B S = C
    p_N = ALPHA_S / (ALPHA_N + ALPHA_S)
    runs, curves = study(noise=noise)
    envelope, _ = selections.fit_law("L_C", runs, curves, **OPTIONS)
    best, draws = selections.fit_law("N_opt", runs, curves, **OPTIONS)
    found = envelope["parameters"]["alpha_C"]
    assert found["value"] == pytest.approx(alpha_C, rel=0.03)
    assert found["low"] < alpha_C < found["high"]
    assert 20 < envelope["data"]["bracketed"] < envelope["data"]["points"]
    found = best["parameters"]["p_N"]
    assert found["value"] == pytest.approx(p_N, rel=0.03)
    assert 0.01 < found["high"] - found["low"] < 0.15
    ways = ("", "_with_head", "_with_6N_total", "_with_head_total")
    assert list(draws) == [f"{name}{way}" for way in ways for name in ("p_N", "N_e")]


def test_other_ways_to_count_flops_are_fitted_beside_the_papers():
    best, _ = selections.fit_law("N_opt", *study(), **OPTIONS)
    ours, head = best["parameters"], best["with_head"]["parameters"]
    assert head["p_N"]["value"] == pytest.approx(ours["p_N"]["value"], rel=1e-6)  # here head is 2 × 6N
    halved = ours["N_e"]["value"] * 2 ** -ours["p_N"]["value"]
    assert head["N_e"]["value"] == pytest.approx(halved, rel=1e-6)
    assert best["with_head"]["convention"] == "output head counted"
    computes = best["with_head"]["data"]["inputs"]["C"], best["data"]["inputs"]["C"]
    assert computes[0] == pytest.approx([2 * C for C in computes[1]])


def unfitted(law, runs, curves):
    report, draws = selections.fit_law(law, runs, curves, **OPTIONS)
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
    assert "unfitted" not in selections.fit_law("N_opt", both, both_curves, **OPTIONS)[0]
    alone, _ = selections.fit_law("L_N", runs, curves, **OPTIONS)
    assert selections.fit_law("L_N", both, both_curves, **OPTIONS)[0] == alone


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
    options += ["--resamples", "300", "--seed", "0", "--delta", "0.01"]
    return subprocess.run(
        [sys.executable, str(FIT), "--law", law, *options], capture_output=True, text=True, check=False
    )


def test_the_script_writes_the_fit_and_its_draws(tables):
    done = fit_script(tables, "N_opt")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads((tables / "fit.json").read_text())
    draws = pq.read_table(tables / "draws.parquet")
    assert {"law", "formula", "latex", "inputs", "y", "y_label", "source", "versions"} <= set(result)
    assert {"parameters", "objective", "interval", "resamples", "method", "band", "rivals"} <= set(result)
    certificate = {
        "starts",
        "agreeing",
        "gradient_norm",
        "condition",
        "at_bound",
        "moved",
        "passed",
        "reasons",
    }
    assert set(result["certificate"]) == certificate
    assert set(result["holdout"]) == {"error_percent", "interval_percent", "covered", "within", "points"}
    assert {"runs", "points", "excluded"} <= set(result["data"])
    assert draws.num_rows == result["resamples"] == 300
    found = result["parameters"]["p_N"]
    ends = np.nanquantile(draws["p_N"].to_numpy(), result["quantiles"])
    assert ends == pytest.approx([found["low"], found["high"]])


def test_the_script_says_what_it_could_not_fit(tables):
    done = fit_script(tables, "L_D")
    assert done.returncode == 0
    assert done.stdout.startswith("L_D cannot be fitted: 0 usable runs")
    assert json.loads((tables / "fit.json").read_text())["unfitted"] == done.stdout.strip()
    assert pq.read_table(tables / "draws.parquet").num_rows == 0


def test_the_script_says_what_failed_its_certificate(tables):
    runs = pq.read_table(tables / "runs.parquet").slice(0, 3)
    pq.write_table(runs, tables / "runs.parquet")
    done = fit_script(tables, "L_N")
    assert done.returncode == 0
    assert re.match(r"L_N does not pass its certificate: only \d+ % of the resamples", done.stdout)


def test_a_law_that_no_experiment_of_the_study_measures_says_what_it_needs():
    runs, curves = study()
    assert re.match(
        r"B_crit .* 0 usable runs, .* add batch sizes to experiment batch", unfitted("B_crit", runs, curves)
    )
    assert re.match(r"L_Cmin .* needs B_crit\(L\), .* add experiment batch", unfitted("L_Cmin", runs, curves))
    line = unfitted("steps_examples", runs, curves)
    assert re.match(
        r"steps_examples .* no fit of its own: its hyperbolas, .*, are the levels of B_crit",
        line,
    )


@pytest.mark.parametrize("law", ["L_C", "N_opt", "L_NS"])
def test_a_forecast_does_not_lean_on_test_points_that_it_has_to_predict(law):
    runs, curves = study(noise=0.005)
    before, _ = selections.fit_law(law, runs, curves, **OPTIONS)
    selection = selections.SELECTIONS[LAWS[law].points](runs, curves, "6N")
    budget = np.sort(selection.shown.compute)[-before["holdout"]["points"]]
    sizes = {row["run"]: row["N"] for row in runs}
    for row in curves:
        if 6 * sizes[row["run"]] * row["tokens"] / PF_DAY >= budget * (1 - 1e-9):
            row["test_loss"] *= 0.99
    selection_after = selections.SELECTIONS[LAWS[law].points](runs, curves, "6N")
    kept = selection.fitted.compute < budget
    assert 0 < kept.sum() < len(kept)
    changed = selection_after.fitted.y != selection.fitted.y
    assert changed.any()
    assert not (changed & kept).any()


def test_few_sizes_of_several_lengths_do_not_pass_for_many():
    """A parabola through sizes three times apart is biased; only a size that is missing shows it."""
    truth = {"alpha": 0.35, "A": 400.0, "beta": 0.37, "B": 2000.0, "E": 1.8}
    rng, B, runs, curves = np.random.default_rng(0), 2**19, [], []
    for N in np.geomspace(1e7, 3e9, 6):
        for S in (3000, 10000, 30000):
            steps = np.geomspace(S / 12, S, 12).round()
            losses = LAWS["chinchilla"].predict({"N": N, "D": B * steps}, truth) + rng.normal(0, 0.01)
            name = f"N{N:.0f}-{S}"
            runs.append(run(N, losses.tolist(), run=name, warmup=0))
            curves += curve(name, steps, losses, B=B)
    result, _ = selections.fit_law("N_opt", runs, curves, **(OPTIONS | {"resamples": 1000}))
    found = result["parameters"]["p_N"]
    assert result["data"]["runs"] == 6
    assert found["low"] < 0.37 / 0.72 < found["high"]
    assert found["value"] > 0.55, "biased as it is, which the interval has to allow for"


# --- laws of two inputs ---------------------------------------------------------------------------------


def test_overfitting_comes_back_from_runs_limited_by_data():
    law, runs = LAWS["L_ND"], []
    for D in (10**6, 10**7, 10**8, 10**9):
        for N in (10**5, 10**6, 10**7, 10**8):
            loss = float(law.published(N=N, D=D)[0])
            runs.append(run(N, [loss, loss + 0.1], run=f"N{N}_D{D}", D=D, epochs=3.0, experiments=["data"]))
    runs.append(run(10**6, [9.0], run="brief", D=10**10, experiments=["data"]))
    result, draws = selections.fit_law("L_ND", runs, [], **OPTIONS)
    for key, parameter in law.parameters.items():
        assert result["parameters"][key]["value"] == pytest.approx(parameter.published, rel=1e-3)
    assert result["data"]["excluded"][0]["run"] == "brief"
    derived = result["derived"]["data_exponent"]
    assert derived["value"] == pytest.approx(0.076 / 0.103, rel=1e-3)
    assert derived["low"] <= derived["value"] <= derived["high"]
    assert len(draws["alpha_N"]) == 200


def test_learning_curves_past_warm_up_give_L_NS():
    result, _ = selections.fit_law("L_NS", *study(), **OPTIONS)
    assert result["parameters"]["alpha_N"]["value"] == pytest.approx(ALPHA_N, rel=1e-3)
    assert result["parameters"]["alpha_S"]["value"] == pytest.approx(ALPHA_S, rel=1e-3)
    assert min(result["data"]["inputs"]["S"]) >= 50
    assert result["data"]["runs"] == 9


def token_study():
    """Three sizes on each of four numbers of tokens, by Hoffmann's law; one run saw its data twice."""
    runs = []
    for tokens in (10**8, 4 * 10**8, 10**9, 10**10):
        for N in (10**6, 10**7, 10**8):
            loss = float(LAWS["chinchilla"].published(N=N, D=tokens)[0])
            runs.append(run(N, [loss], run=f"N{N}_{tokens}", tokens=tokens, N_total=2 * N))
    return [*runs, run(10**6, [9.0], run="again", tokens=10**8, epochs=2.0)]


def test_chinchilla_is_fitted_to_tokens_seen_once_by_both_counts_of_N():
    result, _ = selections.fit_law("chinchilla", token_study(), [], **OPTIONS)
    for key, parameter in LAWS["chinchilla"].parameters.items():
        assert result["parameters"][key]["value"] == pytest.approx(parameter.published, rel=1e-3)
    assert result["data"]["excluded"] == [{"run": "again", "reason": "saw its D 2 times: limited by data"}]
    total = result["with_6N_total"]
    assert total["convention"] == "embeddings counted in N"
    assert total["parameters"]["alpha"]["value"] == pytest.approx(0.34, rel=1e-3)
    assert total["parameters"]["A"]["value"] == pytest.approx(406.4 * 2**0.34, rel=1e-3)
    without = [{key: value for key, value in row.items() if key != "N_total"} for row in token_study()]
    result, _ = selections.fit_law("chinchilla", without, [], **OPTIONS)
    assert "parameters" in result
    assert "with_6N_total" not in result, "nothing was counted that way"


def test_exponents_that_are_all_zero_imply_no_number():
    law = LAWS["chinchilla"]
    zero = {"value": 0.0, "low": 0.0, "high": 0.1}
    result = {"parameters": dict.fromkeys(law.parameters, zero), "quantiles": [0.05, 0.95]}
    draws = {name: np.zeros(10) for name in law.parameters}
    assert selections._published(law, result, draws)["derived"] == {}


def test_runs_that_differ_in_tokens_have_no_law_in_N_alone():
    line = unfitted("L_N", token_study(), [])
    assert "saw 1e+08 to 1e+10 tokens" in line
    assert "such as chinchilla" in line
    stopped = [row | {"status": "stopped"} for row in token_study()]
    assert "parameters" in selections.fit_law("L_N", stopped, [], **OPTIONS)[0]
