"""The network against its counts and against what makes it a causal language model."""

import pytest
import torch
from scaling import counts, models, tables
from scaling.models import snapshots
from scaling.provenance import UserError
from torch.utils.flop_counter import FlopCounterMode

RUN = {"n_layer": 3, "d_model": 24, "d_ff": 80, "n_head": 4, "n_ctx": 16, "n_vocab": 300}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.build(RUN)


def test_parameters_are_counted_as_torch_counts_them(model):
    assert counts.trainable(**RUN) == sum(p.numel() for p in model.parameters())
    matrices = [p for name, p in model.blocks.named_parameters() if p.ndim == 2]
    assert counts.non_embedding(**RUN) == sum(p.numel() for p in matrices)


def test_N_is_12_n_layer_d_model_squared_at_the_usual_ratio():
    assert counts.non_embedding(n_layer=12, d_model=768, d_ff=4 * 768) == 12 * 12 * 768**2


def test_flops_are_counted_as_torch_counts_them(model):
    """A backward pass costs two forward ones, so a third of the training FLOPs is the forward count."""
    counter = FlopCounterMode(display=False)
    with counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(torch.zeros(2, RUN["n_ctx"], dtype=torch.int64))
    per_token = counter.get_total_flops() / (2 * RUN["n_ctx"])
    assert counts.flops_per_token(**RUN)["attention"] / 3 == pytest.approx(per_token)


def test_flops_conventions_differ_by_head_and_attention():
    flops = counts.flops_per_token(**RUN)
    assert flops["6N"] == 6 * counts.non_embedding(**RUN)
    assert flops["head"] - flops["6N"] == 6 * 24 * 300
    assert flops["attention"] - flops["head"] == 12 * 3 * 16 * 24


def test_a_prediction_sees_no_later_token(model):
    tokens = torch.randint(300, (1, 16))
    changed = tokens.clone()
    changed[0, 9] = (changed[0, 9] + 1) % 300
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[0, :9], after[0, :9])
    assert not torch.allclose(before[0, 9:], after[0, 9:])


def test_a_fresh_network_guesses_evenly(model):
    logits = model(torch.randint(300, (4, 16)))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(300, (64,)))
    assert loss.item() == pytest.approx(torch.tensor(300.0).log().item(), abs=0.1)


@pytest.fixture
def stored(model, tmp_path):
    for step in (1000, 20):
        snapshots.save(model, tables.snapshot_path(tmp_path, step))
    return tmp_path


def test_snapshots_come_back_in_the_order_of_their_steps(model, stored):
    assert tables.snapshot_steps(stored) == [20, 1000]
    other = models.build(RUN)
    snapshots.load(other, tables.snapshot_path(stored, 20))
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b"", lambda b: b"\xff" * len(b)])
def test_a_damaged_snapshot_is_named(model, stored, damage):
    path = tables.snapshot_path(stored, 20)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"step000000020\.safetensors cannot be loaded"):
        snapshots.load(model, path)


def test_a_snapshot_of_another_shape_is_refused(stored):
    with pytest.raises(UserError, match="cannot be loaded"):
        snapshots.load(models.build(RUN | {"d_ff": 96}), tables.snapshot_path(stored, 20))
