"""What an experiment that a study leaves out would cost, by the rates at which its own runs were trained."""

from dataclasses import dataclass

import numpy as np

from scaling.rows import finite
from scaling.trunks import tokens_trained


@dataclass(frozen=True)
class Cost:
    """Runs to train, their tokens, their FLOPs (head and attention counted), and seconds of a device.

    ``seconds`` is None where no rate is known; ``device`` is what they are seconds of: cpu (a core) or cuda.
    """

    runs: int
    tokens: float
    flops: float
    seconds: float | None
    device: str | None


def estimate(offer, runs):
    """The :class:`Cost` of ``offer``, pairs [FLOPs per token, tokens] of the runs to train.

    ``runs`` are rows of the table of runs. FLOP/s at a size are interpolated, in the logarithm of the FLOPs
    per token, between the sizes that were trained, on the device of most of them; beyond them they are those
    of the last one.
    """
    flops, tokens = np.array(offer, dtype=float).reshape(-1, 2).T
    seconds, device = None, None
    timed = [run for run in runs if finite(run.get("seconds_total")) and run["tokens"] and run.get("device")]
    if timed:
        devices = [run["device"] for run in timed]
        device = max(sorted(set(devices)), key=devices.count)
        trained, rate = rates([run for run in timed if run["device"] == device])
        seconds = float((flops * tokens / np.exp(np.interp(np.log(flops), trained, rate))).sum())
    return Cost(len(offer), float(tokens.sum()), float((flops * tokens).sum()), seconds, device)


def rates(runs):
    """Logarithms of FLOPs per token, ascending, and of the median FLOP/s of a device at each of them."""
    found = {}
    for run in runs:
        units = run["threads"] if run["device"] == "cpu" else run["processes"]
        each = run["flops_per_token_attention"]
        found.setdefault(each, []).append(each * tokens_trained(run) / (run["seconds_total"] * units))
    each = sorted(found)
    return np.log(each), np.log([np.median(found[flops]) for flops in each])
