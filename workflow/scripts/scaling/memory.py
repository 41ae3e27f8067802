"""What a run needs of a device's memory, in bytes, from its shape alone (no torch)."""

from scaling import counts

GPU_LOGITS = 2**27
"""Logits in memory at once on a GPU: half a gigabyte, enough to fill it."""
MIN_ROWS = 256
"""Fewer rows of logits than this waste a matrix product, however large the vocabulary."""
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


def least_bytes(run, gpu_bytes, *, processes=1, parallel="auto"):
    """What ``run`` takes at least of each of ``processes`` GPUs of ``gpu_bytes``: one sequence at a time."""
    too_large = state_bytes(run) > STATE_SHARE * gpu_bytes
    sharded = parallel == "fsdp" or (parallel == "auto" and too_large)
    state = state_bytes(run) / (processes if sharded else 1)
    return state + head_bytes(run) + activation_bytes(run, recompute=run["architecture"] != "lstm")


def fits(run, gpu_bytes, *, processes=1, parallel="auto"):
    """Whether ``run`` can be trained on ``processes`` GPUs of ``gpu_bytes`` each."""
    return least_bytes(run, gpu_bytes, processes=processes, parallel=parallel) <= GPU_SHARE * gpu_bytes
