"""What `make bench` reports."""

import sys
from pathlib import Path

import bench
import jobs
import numpy as np
import pyarrow as pa
import pytest
from scaling import counts, parquet, provenance
from scaling.benchmark import engine, fits, page, study, tokenizing, trunks
from scaling.laws import LAWS
from scaling.provenance import UserError
from scaling.training import schedules

ROOT = Path(__file__).parents[2]
RUN = {
    "run": "a", "experiments": ["size"], "N": 768, "threads": 1, "tokens_per_second": 1e5,
    "flops_per_token_attention": 2e4, "seconds_in_steps": 30.0, "seconds_total": 32.0,
}  # fmt: skip


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """Figures of a study of two runs that took 50 s on two cores of 10 GFLOP/s."""
    other = {"run": "b", "N": 3072, "experiments": ["data"], "seconds_in_steps": 50.0, "seconds_total": 52.0}
    rows = [RUN, RUN | other]
    parquet.write(tmp_path / "results/tables/runs.parquet", pa.Table.from_pylist(rows))
    monkeypatch.setattr(study, "peak_per_core", lambda cores: 1e10)
    monkeypatch.setattr(study, "run_from_nothing", lambda *arguments: 50.0)
    return study.measure(None, None, tmp_path, cores=2)


def test_idle_core_seconds_count(figures):
    assert figures["share_in_training"] == pytest.approx(80 / 100)


def test_speed_is_a_share_of_the_peak(figures):
    assert figures["runs"][0]["share_of_peak"] == pytest.approx(1e5 * 2e4 / 1e10)


def test_the_table_shows_the_sizes(figures):
    lines = study.describe(figures).splitlines()
    assert "80 of its 100 core-seconds were inside training steps: 80.0%" in lines[0]
    assert lines[1] == "evaluating, saving, logging and starting took 4.8% of the training jobs' time"
    assert lines[2] == "peak of a matrix multiplication: 10.0 GFLOP/s a core"
    assert lines[4:] == ["       768    100,000    20.0%     30.0 s"]


def test_the_peak_is_that_of_a_machine():
    assert 1e8 < study.matmul_peak() < 1e14


# --- the engine beside another ----------------------------------------------------------------------------


SECONDS = {
    "ours": [2.0, 0.010, 0.020, 0.008],
    "theirs": [9.0, 0.040, 0.040, 0.050],
    "compiled": [40.0, 0.020, 0.020, 0.020],
    "peak": [1.0, 0.001, 0.001, 0.001],
}
"""Of a contender's start, and of a step in three rounds."""


class Scripted:
    """A contender's process that answers with the seconds it is given, and says when it was asked."""

    def __init__(self, asked, name, run):
        self.asked, self.name, self.answers = asked, name, iter(SECONDS[name])
        self.work = engine.Peak.work if name == "peak" else run["B"]

    def ask(self, seconds):
        self.asked.append(self.name)
        return {"seconds": next(self.answers), "work": self.work}

    def close(self):
        self.asked.append("closed")


@pytest.fixture
def run():
    return engine.describe_run(ROOT, engine.CPU_SHAPES[0], engine.CPU)


def scripted(monkeypatch, run, names):
    asked = []
    monkeypatch.setattr(engine, "Process", lambda name, run, *_: Scripted(asked, name, run))
    return asked, engine.compete(names, run, "cpu", None, rounds=3)


def compared(monkeypatch, run, names):
    return engine.figures_of(run, scripted(monkeypatch, run, names)[1])


def test_contenders_work_in_turn(monkeypatch, run):
    asked, _ = scripted(monkeypatch, run, ["ours", "theirs"])
    assert asked == ["ours", "theirs"] * 4 + ["closed"] * 2


def test_a_rate_is_the_median_of_the_rounds_and_a_ratio_that_of_two_medians(monkeypatch, run):
    figures = compared(monkeypatch, run, ["ours", "theirs"])
    assert figures["ours"]["rates"] == pytest.approx([204_800, 102_400, 256_000])
    assert figures["ours"]["rate"] == pytest.approx(204_800)
    assert figures["ours_to_theirs"]["ratio"] == pytest.approx(4.0)
    assert figures["ours_to_theirs"]["range"] == pytest.approx([2.0, 6.25])


def test_what_compiling_takes_is_told_from_the_cycle_it_delays(monkeypatch, run):
    figures = compared(monkeypatch, run, ["ours", "theirs", "compiled"])
    assert figures["compiled"]["start_seconds"] == pytest.approx(40 - 16 * 0.020)
    assert figures["compiled_to_ours"]["ratio"] == pytest.approx(0.5)


def test_the_peak_is_a_matrix_product_and_the_share_counts_attention(monkeypatch, run):
    figures = compared(monkeypatch, run, ["ours", "theirs", "peak"])
    per_token = 6 * 6144 + 6 * 16 * 512 + 12 * 2 * 128 * 16
    assert figures["peak"]["rate"] == pytest.approx(2 * 8192**3 / 0.001)
    assert figures["share_of_peak"] == pytest.approx(204_800 * per_token / (2 * 8192**3 / 0.001))


def test_ratios_are_summed_up_by_their_geometric_mean_and_the_smallest():
    shapes = [{"ours_to_theirs": {"ratio": ratio}} for ratio in (4.0, 0.5, 2.0)]
    assert engine.summary(shapes) == {"geometric_mean": pytest.approx(4 ** (1 / 3)), "smallest": 0.5}


def part_of(shape, **changes):
    common = {"device": "CPU, one thread", "rounds": 5, "n_vocab": 512, "n_ctx": 128, "precision": "fp32"}
    return common | {"sequences": 16, "shapes": [shape], "geometric_mean": 2.5, "smallest": 2.5} | changes


def test_the_table_of_the_engine_says_what_was_measured():
    shape = {
        "n_layer": 2, "d_model": 16, "ours": {"rate": 250_000.0}, "theirs": {"rate": 100_000.0},
        "ours_to_theirs": {"ratio": 2.5, "range": [2.25, 2.75]},
    }  # fmt: skip
    compiled = shape | {"compiled": {"start_seconds": 31.4}, "compiled_to_ours": {"ratio": 0.9}}
    lines = engine.describe({"cpu": part_of(compiled), "gpu": None}).splitlines()
    assert "CPU, one thread, fp32, n_vocab 512, n_ctx 128, 16 sequences a step" in lines[0]
    assert lines[3:] == [
        "     16       2   250,000   100,000   2.50 (2.25 to 2.75);"
        " compiled 0.90 times the engine's rate, after 31 s",
        "geometric mean of the ratios 2.50, smallest 2.50",
        "GPU: not measured, torch sees none here",
    ]
    peak = shape | {"share_of_peak": 0.456, "peak": {"rate": 7.9e14}}
    lines = engine.describe({"cpu": part_of(shape), "gpu": part_of(peak, device="A GPU")}).splitlines()
    assert lines[3] == "     16       2   250,000   100,000   2.50 (2.25 to 2.75)"
    assert lines[5] == "the engine compiled: not measured, there is no g++ here"
    assert lines[6].startswith("A GPU, fp32")
    assert lines[9].endswith("(2.25 to 2.75); 45.6% of 790 TFLOP/s")


def test_one_step_in_sixteen_measures_the_noise_and_nothing_else_comes_due(run):
    points = schedules.log_spaced(run["S"], run["test_points"], 100)
    noise = schedules.between(points, run["noise_steps"])
    assert points == [run["S"]]
    assert run["snapshots"] == 1
    assert all(len(noise & set(range(i, i + 16))) == 1 for i in range(1, 1000, 16))


def test_tokens_follow_the_law_of_zipf_and_are_the_same_in_every_process():
    ids = engine.token_ids(512)
    share = [(ids == k).mean() for k in (0, 1, 9)]
    assert share[0] / share[1] == pytest.approx(2, rel=0.02)
    assert share[0] / share[2] == pytest.approx(10, rel=0.05)
    assert (ids == engine.token_ids(512)).all()


def test_contenders_have_the_same_parameters_and_begin_at_the_same_loss(run):
    ids = engine.token_ids(512)
    ours, theirs = engine.Ours(run, ids, "cpu"), engine.Theirs(run, ids, "cpu")
    ours.step()
    assert ours.training.since_point["loss"] == pytest.approx(theirs.step(), abs=0.05)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (ours.training.model, theirs.model)]
    assert sizes[0] == sizes[1] == counts.trainable(**run)


def test_a_GPU_is_measured_where_there_is_one(monkeypatch):
    monkeypatch.setattr(engine, "_part", lambda root, scratch, device, names, *_: [device, *names])
    for seen, expected in (False, None), (True, ["cuda", "ours", "theirs", "peak"]):
        monkeypatch.setattr(engine.torch.cuda, "is_available", lambda seen=seen: seen)
        figures = engine.measure(ROOT, None)
        assert figures["gpu"] == expected
        assert figures["cpu"][:3] == ["cpu", "ours", "theirs"]


def test_both_contenders_train(run, tmp_path):
    found = engine.compete(["ours", "theirs"], run, "cpu", tmp_path, rounds=1, burst=0.05)
    figures = engine.figures_of(run, found)
    assert all(1e3 < figures[name]["rate"] < 1e7 for name in ("ours", "theirs"))
    assert 0.05 < figures["ours_to_theirs"]["ratio"] < 50


def test_a_contender_that_fails_is_named(run, tmp_path):
    with pytest.raises(UserError, match=r"bench: ours at d_model 16 on cpu: KeyError: 'sgd'"):
        engine.compete(["ours"], run | {"optimizer": "sgd"}, "cpu", tmp_path)


def test_each_part_has_a_file(monkeypatch, tmp_path, capsys):
    for module in (engine, study, fits, page, trunks, tokenizing):
        monkeypatch.setattr(module, "measure", lambda *arguments, name=module.__name__: {"of": name})
        monkeypatch.setattr(module, "describe", lambda figures: figures["of"])
    every = {f"{name}.json" for name in ("engine", "study", "fits", "page", "trunks", "tokens")}
    for part, files in (["engine"], {"engine.json"}), ([], every):
        monkeypatch.setattr(sys, "argv", ["bench.py", *part, "--out", str(tmp_path)])
        bench.main()
        assert set(jobs.names(tmp_path)) == files
    assert provenance.read_json(tmp_path / "study.json") == {"of": "scaling.benchmark.study"}
    assert capsys.readouterr().out.split()[-1] == "scaling.benchmark.tokenizing"


def test_coverage_of_every_law_and_the_speed_are_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(fits, "REPETITIONS", 2)
    monkeypatch.setattr(fits, "RESAMPLES", 40)
    monkeypatch.setattr(fits, "CHAINS", 1)
    figures = fits.measure(tmp_path / "runs.parquet")
    assert set(figures["coverage"]) == {*LAWS, "L_C of studies", "N_opt of studies", "the chain"}
    assert figures["coverage"]["L_ND"].keys() == {*LAWS["L_ND"].parameters, "forecast", "certified"}
    assert all(share in (0, 0.5, 1) for found in figures["coverage"].values() for share in found.values())
    assert figures["chinchilla"] is None
    assert "No speed: `snakemake --configfile studies/chinchilla.yaml`" in fits.describe(figures)

    N, D = np.geomspace(1e7, 1e10, 30), np.tile([1e9, 1e10, 1e11], 10)
    points = pa.table({"N": N, "tokens": D, "test_loss": LAWS["chinchilla"].published(N=N, D=D)})
    parquet.write(tmp_path / "runs.parquet", points)
    monkeypatch.setattr(fits, "LAWS", {"chinchilla": LAWS["chinchilla"]})
    monkeypatch.setattr(fits, "study_truth", dict)
    speed = fits.measure(tmp_path / "runs.parquet")["chinchilla"]
    assert speed["points"] == 30
    assert 0 < speed["seconds_point_fit"] < speed["seconds_4000_resamples"] + 1 < 20
    assert speed["parameters"]["alpha"] == pytest.approx(0.34, rel=1e-3)
