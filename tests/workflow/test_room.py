"""A disk that is full or read-only: a line, nothing damaged, and it goes on once there is room."""

import subprocess

import pytest
from project import with_corpus
from scaling import provenance, verifying

SMALL, LARGE = "2m", "200m"
"""Sizes of the disk: too small for the study's text, and large enough for all of it."""


def mount(folder, option):
    """Mount a disk at ``folder``, or mount it in another way."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", folder], check=True)


@pytest.fixture
def full(tmp_path):
    """A project whose results/ is a small disk of its own; a study of two sizes."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "project").mkdir()
    project = with_corpus(tmp_path / "project", tmp_path / "wheels")
    project.study(
        lambda study: study.update(
            experiments=["size"],
            grid={"size": {"shape": [{"n_layer": 1, "d_model": width, "n_head": 1} for width in (4, 8)]}},
        )
    )
    results = project.root / "results"
    mount(results, f"size={SMALL}")
    yield project
    subprocess.run(["umount", results], check=True)


def lines(result):
    """The errors in what Snakemake said, each once."""
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    return list(dict.fromkeys(line for line in result.stdout.splitlines() if line.startswith("error: ")))


def test_a_full_disk_is_told_and_the_study_goes_on_once_there_is_room(smoke, full):
    results = full.root / "results"
    target = "results/studies/smoke/tables/runs.parquet"
    said = lines(full.snakemake(target))
    assert any("results/: the disk is full; mend that and run snakemake again" in line for line in said), said
    assert not verifying.verify(results).damaged, "nothing half-written has its name"

    (said,) = lines(full.snakemake(target))
    assert "nothing can be written to results/: the disk is full" in said, "before the first job"

    subprocess.run(["mount", "-o", f"remount,size={LARGE}", results], check=True)
    result = full.snakemake(target)
    assert result.returncode == 0, result.stdout
    assert verifying.verify(results).sound
    for curve in results.glob("runs/*/*/curve.parquet"):
        other = smoke.root / curve.relative_to(full.root)
        assert provenance.sha256(curve) == provenance.sha256(other)

    later = "results/studies/smoke/fits/L_N.json"
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    subprocess.run(["mount", "-o", "remount,ro", results], check=True)
    (said,) = lines(full.snakemake(later))
    assert "nothing can be written to results/: the file system is read-only" in said
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
    subprocess.run(["mount", "-o", "remount,rw", results], check=True)
    result = full.snakemake(later)
    assert result.returncode == 0, result.stdout
