"""Lint, format and the agreement of the environment's files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["snakefmt", "--check", "Snakefile", "workflow"],
        ["snakemake", "--lint"],
    ],
    ids=" ".join,
)
def test_clean(command):
    result = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_conda_environment_agrees_with_the_lock():
    lock = (ROOT / "envs/run.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock, re.M))
    pinned["pytorch"] = re.search(r"torch==([\d.]+)", (ROOT / "envs/setup.sh").read_text(encoding="utf-8"))[1]
    dependencies = yaml.safe_load((ROOT / "envs/scaling.yaml").read_text(encoding="utf-8"))["dependencies"]
    versions = dict(dependency.split("=") for dependency in dependencies)
    versions.pop("python")
    assert versions == {name: pinned[name] for name in versions}
    wanted = (ROOT / "envs/run.in").read_text(encoding="utf-8").split("# torch's own")[0]
    named = {re.split(r"[<=\s]", line)[0] for line in wanted.splitlines() if line and line[0] != "#"}
    ours = {name for name in named if not name.startswith("snakemake")}
    assert ours <= set(versions), "jobs need no Snakemake of their own"


@pytest.mark.parametrize("name", ["run", "dev"])
def test_every_locked_package_has_hashes(name):
    lines = (ROOT / f"envs/{name}.lock").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    assert lines
    assert all("--hash=sha256:" in line for line in lines if not line.startswith("#"))
