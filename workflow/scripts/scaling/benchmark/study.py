"""What a study's time was spent on, against what the machine can do."""

import os
import shutil
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from scaling import parquet
from scaling.models import layers
from scaling.provenance import UserError

SIDE = 1024
SECONDS = 2.0


def matmul_peak(_=None):
    """FLOP/s of one thread multiplying fp32 matrices as training does, the median over two seconds or so."""
    torch.set_num_threads(1)
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    product = layers.product if layers.by_onednn(a, b) else torch.mm
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        tick = time.perf_counter()
        product(a, b)
        times.append(time.perf_counter() - tick)
    return 2 * SIDE**3 / sorted(times)[len(times) // 2]


def peak_per_core(cores):
    """FLOP/s of one thread while as many as ``cores`` multiply at once, as they do in a study."""
    with ProcessPoolExecutor(cores) as pool:
        return sum(pool.map(matmul_peak, range(cores))) / cores


def copy_checkout(root, target):
    """Copy what git tracks at ``root``, or would, to ``target``."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=root, text=True).split("\0"):
        if name and (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target / name)


def run_from_nothing(root, target, snakemake, cores):
    """Run the default study of the checkout at ``root`` in a copy at ``target``; return the seconds.

    Raises UserError where the study fails.
    """
    copy_checkout(root, target)
    began = time.perf_counter()
    if subprocess.run([snakemake, "--cores", str(cores)], cwd=target, check=False).returncode:
        raise UserError(f"the study in {target} failed; its last lines above say why")
    return time.perf_counter() - began


def measure(root, snakemake, scratch, cores=None):
    """Run the default study from nothing in ``scratch``; return the figures of docs/performance.md as a dict.

    ``share_in_training`` is the core-seconds inside training steps over all core-seconds of the study, idle
    ones included; ``share_beside_training`` what evaluating, saving, logging and starting take of the
    training jobs' time, imports left out; ``share_of_peak`` the FLOP/s of training, head and attention
    counted, over those of a
    matrix multiplication on the same cores before and after.
    """
    cores = cores or os.cpu_count()
    before = peak_per_core(cores)
    wall = run_from_nothing(root, scratch, snakemake, cores)
    peak = (before + peak_per_core(cores)) / 2
    runs = parquet.read(Path(scratch) / "results" / "tables" / "runs.parquet").to_pylist()
    runs.sort(key=lambda run: run["N"])
    inside = sum(run["seconds_in_steps"] * run["threads"] for run in runs)
    jobs = sum(run["seconds_total"] * run["threads"] for run in runs)
    return {
        "cores": cores,
        "seconds": wall,
        "core_seconds_in_training": inside,
        "share_in_training": inside / (wall * cores),
        "share_beside_training": 1 - inside / jobs,
        "peak_flops_per_core": peak,
        "runs": [_speed(run, peak) for run in runs],
    }


def _speed(run, peak):
    flops = run["tokens_per_second"] * run["flops_per_token_attention"]
    kept = ("run", "experiments", "N", "tokens_per_second", "seconds_in_steps", "seconds_total")
    return {name: run[name] for name in kept} | {"share_of_peak": flops / (peak * run["threads"])}


def describe(figures):
    """The figures of :func:`measure` as a table for the terminal, one line for each run of ``size``."""
    seconds, inside = figures["seconds"], figures["core_seconds_in_training"]
    lines = [
        f"the default study took {seconds:.0f} s on {figures['cores']} cores; {inside:.0f} of its"
        f" {seconds * figures['cores']:.0f} core-seconds were inside training steps:"
        f" {figures['share_in_training']:.1%}",
        f"evaluating, saving, logging and starting took {figures['share_beside_training']:.1%} of the"
        " training jobs' time",
        f"peak of a matrix multiplication: {figures['peak_flops_per_core'] / 1e9:.1f} GFLOP/s a core",
        f"{'N':>10} {'tokens/s':>10} {'of peak':>8} {'in steps':>10}",
    ]
    for run in figures["runs"]:
        if "size" in run["experiments"]:
            lines.append(
                f"{run['N']:>10,} {run['tokens_per_second']:>10,.0f} {run['share_of_peak']:>8.1%}"
                f" {run['seconds_in_steps']:>8.1f} s"
            )
    return "\n".join(lines)
