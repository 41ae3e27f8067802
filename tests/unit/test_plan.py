"""How a run is executed: what fits where, what pays, and what is said of it."""

import pytest
import torch
from scaling import memory, models
from scaling.provenance import UserError
from scaling.training import plan

AUTO = {"micro_batch": "auto", "compile": "auto", "parallel": "auto"}
SMALL = {
    "run": "small", "architecture": "transformer", "n_layer": 2, "d_model": 32, "d_ff": 128, "n_head": 2,
    "d_attn": 32, "reuse": 1, "n_ctx": 128, "n_vocab": 512, "dropout": 0.0, "tied": True, "precision": "fp32",
    "optimizer": "adam", "patience": 0, "B": 2048, "S": 1500, "noise_steps": 8,
}  # fmt: skip
LARGE = SMALL | {
    "run": "large", "n_layer": 24, "d_model": 2048, "d_ff": 8192, "n_head": 16, "d_attn": 2048, "n_ctx": 1024,
    "n_vocab": 50257, "precision": "bf16", "B": 2**19, "S": 20000,
}  # fmt: skip
H200 = 139 * 2**30


def make(run, *, device="cuda", processes=1, memory_bytes=H200, **settings):
    return plan.make(
        run, device=device, processes=processes, memory_bytes=memory_bytes, settings=AUTO | settings
    )


def test_a_small_run_on_a_cpu_is_one_plain_process():
    found = make(SMALL, device="cpu", memory_bytes=None)
    assert (found.micro_batch, found.recompute, found.compile, found.parallel) == (16, False, False, "none")
    assert "not compiled" in found.reasons[2]


def test_a_batch_that_does_not_fit_is_taken_in_equal_parts():
    found = make(LARGE)
    assert 1 < found.micro_batch < 512
    assert 512 % found.micro_batch == 0
    kept = found.micro_batch * memory.activation_bytes(LARGE, recompute=False) + memory.state_bytes(LARGE)
    assert kept < H200
    twice = make(LARGE, memory_bytes=2 * H200)
    assert twice.micro_batch > found.micro_batch
    assert f"{512 // found.micro_batch} micro-batches of {found.micro_batch}" in found.reasons[1]


def test_activations_are_recomputed_where_one_sequence_does_not_fit():
    tight = memory.state_bytes(LARGE) + memory.activation_bytes(LARGE, recompute=False) // 2
    found = make(LARGE, memory_bytes=int(tight / memory.GPU_SHARE))
    assert found.recompute
    assert found.micro_batch >= 1
    assert "recomputed" in found.reasons[1]
    assert not make(LARGE).recompute


def test_a_small_run_fits_its_share_of_a_gpu():
    found = make(SMALL, memory_bytes=2**29)
    assert (found.micro_batch, found.recompute) == (16, False)


def test_a_state_too_large_for_one_gpu_is_sharded():
    assert make(LARGE, processes=8).parallel == "ddp"
    assert make(LARGE, processes=8, memory_bytes=24 * 2**30).parallel == "fsdp"
    assert make(LARGE, processes=8, parallel="fsdp").parallel == "fsdp"


def test_compiling_is_decided_by_the_length_of_the_run():
    assert make(LARGE).compile
    assert not make(LARGE | {"S": 5}).compile
    assert not make(SMALL).compile
    assert make(SMALL | {"S": 10**6}).compile
    assert "costs about 90 s" in make(LARGE).reasons[2]
    lstm = SMALL | {"S": 10**6, "architecture": "lstm", "d_ff": None, "n_head": None, "d_attn": None}
    assert not make(lstm).compile


def test_what_would_pay_but_cannot_be_is_said(monkeypatch):
    monkeypatch.setattr(plan.shutil, "which", lambda name: None)
    found = make(LARGE)
    assert not found.compile
    assert "there is no C compiler; install gcc" in found.reasons[2]


def test_a_compiled_step_of_one_part_is_halved_to_measure_its_noise():
    run = SMALL | {"S": 10**6}
    assert make(run).micro_batch == 8
    assert make(run | {"noise_steps": 0}).micro_batch == 16


def test_the_users_word_is_final():
    assert make(SMALL, micro_batch="4").micro_batch == 4
    assert make(SMALL, compile="True").compile
    assert not make(LARGE, compile="False").compile


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"processes": 3}, "small: 16 sequences a step cannot be split evenly among 3 processes"),
        ({"micro_batch": "5"}, "execution.micro_batch: found 5, expected a divisor of the 16 sequences"),
    ],
)
def test_a_batch_that_cannot_be_split_is_named(arguments, line):
    with pytest.raises(UserError, match=line):
        make(SMALL, **arguments)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", [{}, {"n_layer": 6, "d_attn": 64, "d_ff": 64}])
def test_activations_are_what_autograd_keeps(precision, recompute, shape):
    run = SMALL | {"d_model": 64, "d_ff": 256, "d_attn": 64, "precision": precision} | shape
    model = models.build(run)
    model.recompute = recompute
    parameters = {p.data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage
        return tensor

    tokens = torch.zeros(4, run["n_ctx"], dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = model.features(tokens) if precision == "fp32" else model._features(tokens)
    found = sum(storage.nbytes() for storage in kept.values())
    planned = len(tokens) * memory.activation_bytes(run, recompute=recompute)
    # with recomputation one block is planned whole, which exists in the backward pass alone
    block = len(tokens) * memory.activation_bytes(run | {"n_layer": 1}, recompute=False) if recompute else 0
    assert features.requires_grad
    assert found < planned < 1.5 * found + block, (found, planned)
