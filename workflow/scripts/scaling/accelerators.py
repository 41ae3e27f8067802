"""Accelerators that plans are priced on, and how a budget is written."""

import contextlib
import re

from scaling.provenance import UserError
from scaling.units import PF_DAY

PEAKS = {
    "NVIDIA B200": 2.25e15,
    "NVIDIA H200": 9.89e14,
    "NVIDIA H100 SXM": 9.89e14,
    "NVIDIA H100 PCIe": 7.56e14,
    "NVIDIA A100": 3.12e14,
    "NVIDIA L40S": 3.62e14,
    "NVIDIA L4": 1.21e14,
    "NVIDIA RTX 4090": 1.65e14,
    "NVIDIA V100": 1.25e14,
    "NVIDIA T4": 6.5e13,
    "AMD MI300X": 1.307e15,
    "Google TPU v6e": 9.18e14,
    "Google TPU v5p": 4.59e14,
    "Google TPU v5e": 1.97e14,
    "Google TPU v4": 2.75e14,
}
"""Peak FLOP/s of one device by its maker's data sheet: dense matrix products in bfloat16, in float16 of V100
and T4, which have no bfloat16."""
USUAL = "NVIDIA H100 SXM"
UTILISATION = 0.4
"""The share of its peak that training of a large model reaches, as long as nobody has measured it."""
AMOUNT = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(flops?|pf-days?)?\s*", re.IGNORECASE)


def budget(text):
    """FLOPs of a budget as it is written: '1e21', '1e21 FLOPs' or '12 PF-days'; raises UserError."""
    found = AMOUNT.fullmatch(str(text))
    expected = "expected a number above 0 of FLOPs, or of PF-days: 1e21, or '12 PF-days'"
    try:
        flops = float(found[1]) * (PF_DAY if (found[2] or "").lower().startswith("pf") else 1)
    except (TypeError, ValueError):
        raise UserError(f"budget: found {str(text)!r}, {expected}") from None
    if not 0 < flops < 1e40:
        raise UserError(f"budget: found {str(text)!r}, {expected}")
    return flops


def peak(name):
    """Peak FLOP/s of an accelerator: a number, or a part of a name that no other has; raises UserError."""
    number = AMOUNT.fullmatch(name)
    if number and number[2] is None:
        with contextlib.suppress(ValueError):
            if 0 < float(number[1]) < 1e20:
                return float(number[1])
    found = [known for known in PEAKS if name.lower() in known.lower()]
    exact = [known for known in found if known.lower() == name.lower()]
    if len(exact or found) != 1:
        among = ", ".join(found or PEAKS)
        raise UserError(f"accelerator: found {name!r}, expected one of {among}, or its peak FLOP/s")
    return PEAKS[(exact or found)[0]]
