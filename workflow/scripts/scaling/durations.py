"""How long a run takes on a device, from its shape and a stated rate (no torch)."""

from scaling import counts

GPU_FLOPS = {"fp32": 2e13, "bf16": 2e14}
"""FLOP/s that an eager step is taken to reach on a GPU where its kernels are large."""
LAUNCH_SECONDS = 6e-6
"""What it costs a CPU to launch one kernel on a GPU."""
KERNELS_PER_LAYER = 70
"""Kernels of one layer, forward and backward, in eager mode."""
CPU_STEP_SECONDS = 2e-3
"""What a step on a CPU takes beside its products."""


def gpu_step(run, flops_per_second, processes=1, parts=1):
    """Seconds of a training step on GPUs, each of which reaches ``flops_per_second``, a dict by precision.

    ``processes`` share the batch; ``parts`` are the micro-batches of each. A small model's step takes as long
    as its kernels take to launch.
    """
    products = _flops(run) / (flops_per_second[run["precision"]] * processes)
    return max(products, parts * KERNELS_PER_LAYER * run["n_layer"] * run["reuse"] * LAUNCH_SECONDS)


def cpu_step(run, flops_per_second, processes=1):
    """Seconds of a training step on ``processes`` cores, each of which reaches ``flops_per_second``."""
    return CPU_STEP_SECONDS + _flops(run) / (flops_per_second * processes)


def _flops(run):
    """FLOPs of a step, head and attention counted."""
    return counts.flops_per_token(**run)["attention"] * run["B"]
