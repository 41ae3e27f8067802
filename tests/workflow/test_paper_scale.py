"""The studies of large models: what they hold, what they cost, and that the paper's largest model learns."""

import json
import math

import numpy as np
import psutil
import pytest
import torch
import yaml
from project import ROOT
from scaling import counts, grid, memory, models
from scaling.charts import catalog
from scaling.training import optimizers, parallel, plan
from scaling.training.loop import Training
from snakemake.utils import update_config

D_OF_THE_PAPER = [21e6, 43e6, 86e6, 172e6, 344e6, 688e6, 1.4e9]
LARGEST = [(48, 1600), (207, 768)]
"""Layers and width of the paper's largest model and of its deepest, both of N 1.5e9."""
SEQUENCE = 16
"""Tokens of the batch that they learn here: what a step costs is then the weights alone."""
MEMORY_SHARE = 0.25
"""Share of the free memory that their weights, gradients and state may take: more takes two cores long."""


def read(name):
    """The config of a study, checked, as Snakemake puts it together."""
    config = grid.default(ROOT)
    update_config(config, yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text(encoding="utf-8")))
    return grid.check(config)


@pytest.fixture
def paper(monkeypatch):
    monkeypatch.chdir(ROOT)
    return grid.expand(read("kaplan2020"))


def of(runs, experiment):
    return [run for run in runs.values() if experiment in run["experiments"]]


def test_the_papers_study_is_the_papers_grid(paper):
    sizes = [run["N"] for run in of(paper, "size")]
    assert min(sizes) == 768
    assert max(sizes) == pytest.approx(1.5e9, rel=0.02)
    shapes = {(run["n_layer"], run["d_model"]) for run in paper.values()}
    assert {(2, 128), (6, 4288), *LARGEST} <= shapes
    usual = {"B": 2**19, "S": 250_000, "n_ctx": 1024, "warmup": 3000, "schedule": "cosine", "final": 0.0,
             "horizon": 250_000, "n_vocab": 50257, "dropout": 0.0}  # fmt: skip
    for run in of(paper, "size"):
        assert {key: run[key] for key in usual} == usual
        large = run["N"] > 1e9
        assert run["optimizer"] == ("adafactor" if large else "adam")
        rate = 0.01 if large else 0.003239 - 0.0001395 * math.log(run["N"])
        assert run["learning_rate"] == pytest.approx(rate, rel=1e-3)
    data = of(paper, "data")
    assert all(run["dropout"] == 0.1 and run["patience"] for run in data)
    for N in {run["N"] for run in data}:
        D = [run["D"] for run in data if run["N"] == N]
        assert D[-1] == "all"
        assert D[:-1] == pytest.approx(D_OF_THE_PAPER, rel=0.03)
    scans = {N: [run["B"] for run in of(paper, "batch") if run["N"] == N] for N in (3145728, 84934656)}
    assert all(min(B) < 2**19 / 16 and max(B) > 2**19 * 8 for B in scans.values())


@pytest.mark.parametrize(("study", "left_out"), [("kaplan2020", set()), ("gpu", {"architecture"})])
def test_large_studies_have_the_runs_of_every_figure(study, left_out, monkeypatch):
    monkeypatch.chdir(ROOT)
    held = set(read(study)["experiments"])
    for name, figure in catalog.FIGURES.items():
        assert set(figure.experiments) <= held | left_out, name


def test_one_gpu_trains_sizes_from_1e4_to_1e8(monkeypatch):
    monkeypatch.chdir(ROOT)
    runs = grid.expand(read("gpu"))
    sizes = [run["N"] for run in of(runs, "size")]
    assert min(sizes) < 1.5e4
    assert max(sizes) > 1e8
    assert all(memory.fits(run, 24e9) for run in runs.values())
    tokens = 2e9  # of train_bytes
    assert all(run["S"] * run["B"] < tokens for run in runs.values() if run["D"] == "all")
    shape = of(runs, "shape")
    assert all(abs(run["N"] / shape[0]["N"] - 1) < 0.05 for run in shape)


@pytest.mark.parametrize("study", ["gpu", "kaplan2020"])
def test_a_large_study_dry_runs_and_tells_its_cost(study, bare):
    file = ["--configfile", f"studies/{study}.yaml"]
    for profile in ([], ["--profile", "slurm"]):
        jobs = bare.planned(*profile, *file, study=None)
        assert jobs["train"] == jobs["evaluate"] > 100
        assert jobs["shard"] == jobs["tokens_of_shard"] == read_shards(study)
    result = bare.snakemake(f"results/studies/{study}/plan.html", *file, study=None)
    assert result.returncode == 0, result.stdout
    told = json.loads((bare.root / f"results/studies/{study}/plan.json").read_text())
    hours = told["totals"]["device_seconds"] / 3600
    if study == "gpu":
        assert 3 < hours < 5
        assert not told["unfit"]
    else:
        assert 150 < told["totals"]["pf_days"] < 200
        assert {run["N"] for run in told["unfit"]} >= {1474560000, 1323859968, 1465122816}
        assert all("site.nodes: 2" in run["remedy"] for run in told["unfit"])


def read_shards(study):
    text = (ROOT / "studies" / f"{study}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["corpus"]["shards"]


def test_the_largest_models_have_the_weights_that_are_counted(paper):
    large = [run for run in paper.values() if run["N"] > 5e8 and run["S"] == 250_000]
    assert len({run["N"] for run in large}) == 4
    for run in large:
        with torch.device("meta"):
            model = models.build(run)
        assert sum(p.numel() for p in model.parameters()) == counts.trainable(**run)


@pytest.mark.parametrize("shape", LARGEST)
def test_the_largest_model_learns(shape, paper):
    run = next(run for run in paper.values() if (run["n_layer"], run["d_model"]) == shape)
    assert (run["optimizer"], run["precision"]) == ("adafactor", "bf16")
    n_layer = most_layers(run)
    assert n_layer >= 4, "too little free memory"
    run = run | {"n_layer": n_layer, "n_ctx": SEQUENCE, "B": SEQUENCE, "D": SEQUENCE + 1, "warmup": 0}
    run |= {"test_tokens": 2 * SEQUENCE, "noise_steps": 0}
    ids = np.random.default_rng(0).integers(0, run["n_vocab"], 2 * SEQUENCE + 1)
    auto = dict.fromkeys(("micro_batch", "parallel", "compile"), "auto")
    how = plan.make(run, device="cpu", processes=1, settings=auto)
    training = Training(run, ids, ids, how, parallel.Group("cpu"), lambda *_: None)
    losses = []
    for _ in range(2):
        training.step()
        losses.append(training.since_point["loss"] - sum(losses))
    assert training.status == "finished"
    assert training.done == 2
    assert losses[0] == pytest.approx(math.log(run["n_vocab"]), abs=1.0), "it knows nothing yet"
    assert losses[1] < losses[0] - 1, "it has seen this sequence once"
    weights = sum(p.numel() for p in training.model.parameters())
    state = sum(value.nbytes for value in optimizers.tensors(training.optimizer).values())
    assert weights == counts.trainable(**run)
    # weights and gradients in fp32, beside which Adafactor keeps next to nothing
    assert 2 * 4 * weights + state == pytest.approx(memory.state_bytes(run | {"precision": "fp32"}), rel=0.01)


def most_layers(run):
    """As many layers of ``run`` as fit into MEMORY_SHARE of the memory that is free: all, if they do."""
    room = MEMORY_SHARE * psutil.virtual_memory().available
    fewer_and_fewer = range(run["n_layer"], 0, -1)
    return next((n for n in fewer_and_fewer if memory.state_bytes(run | {"n_layer": n}) < room), 0)
