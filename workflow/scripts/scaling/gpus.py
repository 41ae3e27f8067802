"""How many GPUs this machine has, told without loading torch."""

from pathlib import Path


def count(environment, devices=Path("/dev")):
    """Nvidia GPUs below ``devices`` that ``environment`` (CUDA_VISIBLE_DEVICES) leaves visible."""
    present = sum(path.name.removeprefix("nvidia").isdigit() for path in devices.glob("nvidia*"))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    return min(present, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))
