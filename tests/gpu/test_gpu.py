"""Training on one GPU: the same bytes twice, also where the job is killed; a large run, its speed printed.

make test-gpu
"""

import json
import random
import subprocess

import jobs
import numpy as np
import pytest
from scaling import counts

CUDA = ("--device", "cuda")
LONG = jobs.RUN | {"S": 6000, "horizon": 6000}
LARGE = jobs.RUN | {
    "n_layer": 12, "d_model": 768, "d_ff": 3072, "n_head": 12, "d_attn": 768, "n_ctx": 1024, "N": 84934656,
    "dropout": 0.0, "precision": "bf16", "D": "all", "B": 65536, "S": 300, "warmup": 10, "horizon": 300,
    "learning_rate": 1e-3, "test_tokens": 4096, "test_points": 2, "noise_steps": 0, "snapshots": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with data and a run of LONG, trained without interruption."""
    return trained(tmp_path_factory.mktemp("gpu"), LONG, "whole")


def trained(folder, run, out, *options):
    if not (folder / "train.npy").exists():
        jobs.write_data(folder)
    code, said = jobs.finish(jobs.start(folder, *CUDA, *options, run=run, out=out), timeout=300)
    assert code == 0, said
    return folder


def test_a_run_is_the_same_twice(whole):
    trained(whole, LONG, "again")
    assert jobs.weights(whole, "again") == jobs.weights(whole, "whole")
    assert jobs.curve(whole, "again") == jobs.curve(whole, "whole")


def test_a_run_killed_again_and_again_ends_the_same(whole):
    rng, kills = random.Random(3), 0
    for _ in range(4):
        process = jobs.start(whole, *CUDA, run=LONG, out="killed")
        try:
            process.communicate(timeout=rng.uniform(11, 19))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    trained(whole, LONG, "killed")
    assert kills > 1
    assert json.loads((whole / "killed" / "run.json").read_text())["resumed"] > 0
    assert jobs.weights(whole, "killed") == jobs.weights(whole, "whole")
    assert jobs.curve(whole, "killed") == jobs.curve(whole, "whole")


@pytest.mark.parametrize("compiled", ["False", "True"])
def test_a_large_run_ends_and_says_how_fast_it_was(tmp_path, compiled):
    ids = np.random.default_rng(1).integers(0, 32, 4_000_000).astype(np.uint16)
    jobs.write_set(tmp_path / "train.npy", ids)
    jobs.write_set(tmp_path / "test.npy", ids[:200_000])
    trained(tmp_path, LARGE, "large", "--compile", compiled)
    record = json.loads((tmp_path / "large" / "run.json").read_text())
    assert jobs.curve(tmp_path, "large")[-1]["flops"] > 2**53
    rate = counts.flops_per_token(**LARGE)["attention"] * record["tokens_per_second"]
    print(f"\ncompiled {compiled}: {record['tokens_per_second']:,.0f} tokens/s, {rate:.3g} FLOP/s")
