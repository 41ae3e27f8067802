"""The environment's set-up: what it says where it cannot go on."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_an_old_python_is_refused_in_one_line(tmp_path):
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = subprocess.run(
        [ROOT / "envs/setup.sh", tmp_path / "venv", "envs/run.lock"],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == f"error: {old} is not Python 3.11 or newer; name one: make PYTHON=python3.12\n"
    assert not (tmp_path / "venv").exists()
