"""What a run needs of a device's memory, in bytes, from its shape alone."""

from scaling import counts
from scaling.models.cross_entropy import GPU_LOGITS, MIN_ROWS

CPU_ACTIVATIONS = 2**29
"""Activations in memory at once on a CPU: more gains no speed."""
GPU_SHARE = 0.85
"""Share of a GPU's memory to plan with: the rest is for the allocator, kernels and libraries."""
STATE_SHARE = 0.6
"""Weights, gradients and optimizer state may take this share of a GPU before they are spread over several."""


def state_bytes(run):
    """Weights, gradients and optimizer state in fp32; the best weights too where patience keeps them.

    In bf16 also the copies of the weights that products read.
    """
    each = 4 * ((2 if run["optimizer"] == "adafactor" else 4) + bool(run["patience"]))
    return (each + (2 if run["precision"] == "bf16" else 0)) * counts.trainable(**run)


def head_bytes(run):
    """A chunk of logits on a GPU with what is made of it, and the head's gradient before it is added."""
    chunk = min(max(GPU_LOGITS, MIN_ROWS * run["n_vocab"]), run["B"] * run["n_vocab"])
    return 10 * chunk + 8 * run["n_vocab"] * run["d_model"]


def activation_bytes(run, *, recompute):
    """Activations that one sequence keeps for its backward pass, the head's left out: it keeps none.

    Of a Transformer's block: inputs and outputs of norms, attention and both layers. With ``recompute``,
    the input of every block, and one block whole. The residual stream is fp32 in bf16 too.
    """
    size = 2 if run["precision"] == "bf16" else 4
    d_model = run["d_model"]
    if run["architecture"] == "lstm":
        return run["n_ctx"] * size * run["n_layer"] * 8 * d_model
    block = size * (4 * d_model + 5 * run["d_attn"] + 2 * run["d_ff"]) + 4 * 2 * d_model
    if run["dropout"]:
        block += size * run["n_head"] * run["n_ctx"] + 2 * d_model
    depth = run["n_layer"] * run["reuse"]
    kept = 4 * depth * d_model + block if recompute else depth * block
    return run["n_ctx"] * (kept + 4 * 4 * d_model)
