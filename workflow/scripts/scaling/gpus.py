"""GPUs, told without loading torch: how many this machine has, and how much of one a run can fill."""

from pathlib import Path

SHARES = ((10**6, 10), (10**7, 25), (10**8, 50))
"""Below each N, the percentage of a GPU that a run is taken to fill."""


def count(environment, devices=Path("/dev")):
    """Nvidia GPUs below ``devices`` that ``environment`` (CUDA_VISIBLE_DEVICES) leaves visible."""
    present = sum(path.name.removeprefix("nvidia").isdigit() for path in devices.glob("nvidia*"))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    return min(present, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))


def share(N):
    """Percentage of a GPU that a run of ``N`` parameters can fill: small ones leave room for others."""
    return next((percent for most, percent in SHARES if most > N), 100)
