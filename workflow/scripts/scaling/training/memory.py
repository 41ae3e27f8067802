"""What a run needs of a device's memory, in bytes, from its shape alone."""

from scaling import counts

CPU_ACTIVATIONS = 2**29
"""Activations in memory at once on a CPU: more gains no speed."""
GPU_SHARE = 0.85
"""Share of a GPU's memory to plan with: the rest is for the allocator, kernels and libraries."""
STATE_SHARE = 0.6
"""Weights, gradients and optimizer state may take this share of a GPU before they are spread over several."""


def state_bytes(run):
    """Weights, gradients and optimizer state in fp32; the best weights too where patience keeps them."""
    copies = 2 if run["optimizer"] == "adafactor" else 4
    return 4 * (copies + bool(run["patience"])) * counts.trainable(**run)


def activation_bytes(run, *, recompute):
    """Activations that one sequence keeps for its backward pass, the head's left out: it keeps none.

    Of a Transformer's block: inputs and outputs of norms, attention and both layers. With ``recompute``,
    the input of every block, and one block whole.
    """
    size = 2 if run["precision"] == "bf16" else 4
    d_model = run["d_model"]
    if run["architecture"] == "lstm":
        return run["n_ctx"] * size * run["n_layer"] * 8 * d_model
    block = 6 * d_model + 5 * run["d_attn"] + 2 * run["d_ff"]
    if run["dropout"]:
        block += 2 * d_model + run["n_head"] * run["n_ctx"]
    depth = run["n_layer"] * run["reuse"]
    kept = depth * d_model + block if recompute else depth * block
    return run["n_ctx"] * size * (kept + 4 * d_model)
