"""The networks against their counts, against plain torch, and against what makes them causal models."""

import pytest
import torch
from scaling import counts, models, tables
from scaling.models import cross_entropy, layers, snapshots
from scaling.provenance import UserError
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

RUN = {
    "architecture": "transformer", "n_layer": 3, "d_model": 24, "d_ff": 80, "n_head": 4, "d_attn": 24,
    "reuse": 1, "n_ctx": 16, "n_vocab": 320, "dropout": 0.0, "tied": True, "precision": "fp32",
}  # fmt: skip
NARROW = RUN | {"d_attn": 16, "tied": False}
RECURRENT = RUN | {"architecture": "recurrent", "n_layer": 2, "reuse": 4}
LSTM = RUN | {"architecture": "lstm", "d_ff": None, "n_head": None, "d_attn": None}
RUNS = [RUN, NARROW, RECURRENT, LSTM, LSTM | {"n_layer": 1, "tied": False}]
NAMES = ["transformer", "narrow-attention-untied", "recurrent", "lstm", "one-layer-lstm-untied"]
every_network = pytest.mark.parametrize("run", RUNS, ids=NAMES)
TOKENS = torch.randint(300, (4, 16), generator=torch.Generator().manual_seed(1))
TARGETS = torch.randint(300, (4, 16), generator=torch.Generator().manual_seed(2))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Products as small as these are slower on several threads, far slower where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(run):
    torch.manual_seed(0)
    return models.build(run)


def scrambled(run):
    """A network none of whose parameters is zero or one, as biases and norms are at the start."""
    model = build(run)
    for p in model.parameters():
        torch.nn.init.normal_(p, mean=0.5 if p.ndim == 1 else 0.0, std=0.2)
    return model


def gradients(model, loss):
    """Gradients of ``loss`` by the names of the parameters."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def reference(model):
    """Mean loss and the loss of every token by torch's own functions from the logits."""
    logits = model.logits(TOKENS).flatten(0, 1)
    losses = F.cross_entropy(logits, TARGETS.flatten(), reduction="none").view(TARGETS.shape)
    return losses.mean(), losses


# --- counts ---------------------------------------------------------------------------------------------


@every_network
def test_parameters_are_counted_as_torch_counts_them(run):
    named = dict(build(run).named_parameters())
    assert counts.trainable(**run) == sum(p.numel() for p in named.values())
    table = ("token_embedding.weight", "position_embedding", "output")
    assert counts.embeddings(**run) == sum(p.numel() for name, p in named.items() if name in table)
    body = [p for name, p in named.items() if name not in table]
    assert counts.non_embedding(**run) == sum(p.numel() for p in body if p.ndim == 2)
    assert counts.biases_and_norms(**run) == sum(p.numel() for p in body if p.ndim == 1)


def test_N_is_12_n_layer_d_model_squared_at_the_usual_ratio():
    assert counts.non_embedding(n_layer=12, d_model=768, d_ff=4 * 768) == 12 * 12 * 768**2


def test_a_shape_alone_is_counted_as_a_plain_transformer():
    shape = {name: RUN[name] for name in ("n_layer", "d_model", "d_ff", "n_vocab", "n_ctx")}
    assert counts.trainable(**shape) == counts.trainable(**RUN)
    assert counts.flops_per_token(**shape) == counts.flops_per_token(**RUN)


@every_network
def test_forward_flops_are_counted_as_torch_counts_them(run):
    """A backward pass costs two forward ones, so the forward count is a third of the training FLOPs."""
    with torch.device("meta"):
        model, tokens = models.build(run), torch.zeros(2, run["n_ctx"], dtype=torch.int64)
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(tokens, tokens)
    assert 3 * counter.get_total_flops() == counts.flops_per_token(**run)["attention"] * tokens.numel()


@pytest.mark.parametrize("run", [RUN, NARROW, RECURRENT], ids=NAMES[:3])
def test_training_flops_are_counted_as_torch_counts_them(run):
    with torch.device("meta"):
        model, tokens = models.build(run), torch.zeros(2, run["n_ctx"], dtype=torch.int64)
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens, tokens)[0].backward()
    assert counter.get_total_flops() == counts.flops_per_token(**run)["attention"] * tokens.numel()


def test_flops_conventions_differ_by_head_and_attention():
    flops = counts.flops_per_token(**RUN)
    assert flops["6N"] == 6 * counts.non_embedding(**RUN)
    assert flops["head"] - flops["6N"] == 6 * 24 * 320
    assert flops["attention"] - flops["head"] == 12 * 3 * 16 * 24
    assert counts.flops_per_token(**RECURRENT)["6N"] == 4 * 6 * counts.non_embedding(**RECURRENT)
    flops = counts.flops_per_token(**LSTM)
    assert (flops["6N"], flops["attention"]) == (6 * 8 * 3 * 24**2, flops["head"])


# --- what every network is ------------------------------------------------------------------------------


@every_network
def test_a_prediction_sees_no_later_token(run):
    model = scrambled(run)
    changed = TOKENS.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 300
    before, after = model.logits(TOKENS), model.logits(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert (before[:, 9:] != after[:, 9:]).any(2).all()


@every_network
def test_sequences_of_a_batch_know_nothing_of_each_other(run):
    model = scrambled(run)
    alone = torch.cat([model.logits(sequence[None]) for sequence in TOKENS])
    torch.testing.assert_close(model.logits(TOKENS), alone, rtol=1e-4, atol=1e-5)


@every_network
def test_a_sequence_may_be_shorter_than_the_context(run):
    model = scrambled(run)
    torch.testing.assert_close(model.logits(TOKENS[:, :5]), model.logits(TOKENS)[:, :5])


@every_network
def test_a_fresh_network_guesses_evenly(run):
    mean, losses = build(run)(TOKENS, TARGETS)
    assert mean.item() == pytest.approx(torch.tensor(320.0).log().item(), abs=0.1)
    assert losses.shape == TARGETS.shape


@every_network
def test_dropout_acts_in_training_alone(run, recwarn):
    model, plain = scrambled(run | {"dropout": 0.2}), scrambled(run)
    assert not recwarn.list, "torch warns of a dropout that has no place"
    assert not torch.equal(model.logits(TOKENS), model.logits(TOKENS))
    model.eval()
    assert torch.equal(model.logits(TOKENS), plain.logits(TOKENS))


@every_network
def test_bf16_is_close_to_fp32_and_keeps_weights_and_losses_in_fp32(run):
    model, half = scrambled(run), scrambled(run | {"precision": "bf16"})
    (mean, losses), (half_mean, half_losses) = model(TOKENS, TARGETS), half(TOKENS, TARGETS)
    assert half_losses.dtype == half.logits(TOKENS).dtype == torch.float32
    assert not torch.equal(losses, half_losses)
    torch.testing.assert_close(losses, half_losses, rtol=0.05, atol=0.05)
    exact, rounded = gradients(model, mean), gradients(half, half_mean)
    for name, gradient in exact.items():
        assert rounded[name].dtype == torch.float32
        assert (rounded[name] - gradient).norm() < 0.05 * gradient.norm(), name


@pytest.mark.parametrize("n_layer", [1, 4])
def test_a_token_is_not_lost_on_its_way_through_the_layers_of_a_fresh_lstm(n_layer):
    """The first token's: all that comes out is its own, since the state starts at zero."""
    outputs = torch.randn(16, 1, 64)
    for layer in build(LSTM | {"n_layer": n_layer, "d_model": 64}).layers:
        outputs, _ = layer(outputs)
    assert 0.05 < outputs.std() < 0.5


def test_a_fresh_lstm_remembers():
    """What its cells hold fades by σ(1), not by half, at each step that brings nothing new."""
    model, nothing = build(LSTM | {"n_layer": 1}), torch.zeros(1, 1, 24)
    _, (_, cells) = model.layers[0](nothing, (nothing, nothing + 1))
    torch.testing.assert_close(cells, torch.sigmoid(nothing + 1))


@pytest.mark.parametrize("run", [RUN, RECURRENT], ids=["transformer", "recurrent"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_recomputed_activations_give_the_same_gradients_to_the_last_bit(run, dropout):
    model, calls, found = scrambled(run | {"dropout": dropout}), [], []
    model.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    for recompute in (False, True):
        model.recompute = recompute
        calls.clear()
        torch.manual_seed(3)
        found.append(gradients(model, model(TOKENS, TARGETS)[0]))
        assert len(calls) == run["reuse"] * (2 if recompute else 1)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


# --- head and matrix products ---------------------------------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of at least 7 rows and about 1000 logits: 64 tokens take several, the last one smaller."""
    monkeypatch.setattr(cross_entropy, "MIN_ROWS", 7)
    monkeypatch.setattr(cross_entropy, "CPU_LOGITS", 1000)


def check_against_torch(model):
    mean, losses = model(TOKENS, TARGETS)
    expected, each = reference(model)
    torch.testing.assert_close(losses, each)
    torch.testing.assert_close(mean, expected)
    assert not losses.requires_grad
    # a factor, since a micro-batch weighs its loss
    found, wanted = gradients(model, 0.3 * mean), gradients(model, 0.3 * expected)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS, TARGETS)[1], each)


@every_network
def test_the_head_in_chunks_is_torchs_cross_entropy(run, small_chunks):
    check_against_torch(scrambled(run))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("n_vocab", [300, 301, 333, 1000])
def test_the_head_serves_any_vocabulary(n_vocab, tied, small_chunks):
    check_against_torch(scrambled(RUN | {"n_vocab": n_vocab, "tied": tied}))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("n_vocab", [301, 320])
def test_a_head_padded_as_on_a_gpu_gives_the_same(n_vocab, tied, small_chunks, monkeypatch):
    monkeypatch.setattr(cross_entropy, "CPU_ALIGNMENT", cross_entropy.GPU_ALIGNMENT)
    monkeypatch.setattr(layers, "_ONEDNN", False)
    check_against_torch(scrambled(RUN | {"n_vocab": n_vocab, "tied": tied}))


def test_the_logits_of_all_tokens_are_never_in_memory():
    """A paper-sized vocabulary: nothing made on the way, forward or backward, is as large as the logits."""
    n_vocab, tokens, d_model = 50257, 2048, 4
    largest = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            made = operation(*args, **(kwargs or {}))
            largest.extend(t.numel() for t in tree_leaves(made) if isinstance(t, torch.Tensor))
            return made

    features = torch.randn(tokens, d_model, requires_grad=True)
    weight = torch.randn(n_vocab, d_model, requires_grad=True)
    with Watch():
        cross_entropy.cross_entropy(features, weight, torch.zeros(tokens, dtype=torch.int64))[0].backward()
    assert n_vocab < max(largest) <= cross_entropy.MIN_ROWS * n_vocab < tokens * n_vocab / 4
    assert weight.grad.abs().sum() > 0


def test_losses_stay_finite_at_extreme_logits():
    model = scrambled(NARROW)
    with torch.no_grad():
        model.output *= 1e4
    mean, losses = model(TOKENS, TARGETS)
    torch.testing.assert_close(losses, reference(model)[1])
    assert all(gradient.isfinite().all() for gradient in gradients(model, mean).values())


@pytest.mark.parametrize(("inside", "outside"), [(48, 96), (96, 48), (64, 64), (1, 4096), (4096, 1)])
def test_products_by_onednn_are_torchs_linear(inside, outside):
    torch.manual_seed(0)
    layer = layers.Linear(inside, outside)
    torch.nn.init.normal_(layer.bias)
    # a transposed input and output: neither they nor the gradient are contiguous
    x = torch.randn(5, 3, inside).transpose(0, 1).requires_grad_()
    weights = torch.randn(outside, 5, 3)
    found, expected = layer(x), F.linear(x, layer.weight, layer.bias)
    assert layers.by_onednn(x, layer.weight) == layers._ONEDNN
    torch.testing.assert_close(found, expected)
    wanted = (x, layer.weight, layer.bias)
    for mine, theirs in zip(
        torch.autograd.grad((found.permute(2, 1, 0) * weights).sum(), wanted),
        torch.autograd.grad((expected.permute(2, 1, 0) * weights).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


# --- snapshots ------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    return build(RUN)


@pytest.fixture
def stored(model, tmp_path):
    for step in (1000, 20):
        snapshots.save(model.state_dict(), tables.snapshot_path(tmp_path, step))
    return tmp_path


@every_network
def test_snapshots_come_back_in_the_order_of_their_steps(run, tmp_path):
    model = scrambled(run)
    for step in (1000, 20):
        snapshots.save(model.state_dict(), tables.snapshot_path(tmp_path, step))
    assert tables.snapshot_steps(tmp_path) == [20, 1000]
    other = build(run)
    snapshots.load(other, tables.snapshot_path(tmp_path, 20))
    assert torch.equal(model.logits(TOKENS), other.logits(TOKENS))


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b"", lambda b: b"\xff" * len(b)])
def test_a_damaged_snapshot_is_named(model, stored, damage):
    path = tables.snapshot_path(stored, 20)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"step000000020\.safetensors is damaged"):
        snapshots.load(model, path)


def test_a_snapshot_of_another_shape_is_refused(stored):
    with pytest.raises(UserError, match="is damaged"):
        snapshots.load(build(RUN | {"d_ff": 96}), tables.snapshot_path(stored, 20))
