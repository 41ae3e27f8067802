"""On the default corpus: laws from branches off trunks agree with laws from separate runs, for less."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from project import ROOT
from scaling.benchmark import trunks as benchmark

pytestmark = pytest.mark.smoke
"""Run beside what reads the smoke study, which leaves more time than the rest of `make test`."""
SNAKEMAKE = Path(sys.executable).parent / "snakemake"
LENGTHS = (400, 800, 1600)
"""Steps: 2,800 in all of a size, of which branches with a trunk of 1,280 train 1,840."""
SHAPES = [
    {"n_layer": 1, "d_model": 8, "n_head": 1},
    {"n_layer": 1, "d_model": 16, "n_head": 1},
    {"n_layer": 2, "d_model": 16, "n_head": 2},
    {"n_layer": 2, "d_model": 32, "n_head": 2},
]
RECIPE = {"n_ctx": 32, "B": 512, "S": LENGTHS[-1], "warmup": 50, "noise_steps": 0, "snapshots": 1}
CHANGE = {
    "corpus": {"transfer": []},
    "run": RECIPE,
    "grid": {"size": {"shape": SHAPES}, "long": {"shape": SHAPES, "S": list(LENGTHS[:-1])}},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A copy of the repository where the small grid was trained both ways, and what that gave."""
    root = tmp_path_factory.mktemp("trunks")
    ways = {way: benchmark.WAYS[way] for way in ("branches", "separate wsd")}
    return root, benchmark.measure(ROOT, SNAKEMAKE, root, ways=ways, change=CHANGE)


def to_do(root, change):
    """Jobs of each rule that a dry run of the study by branches, changed, would start."""
    study = {**change, "study": "branches"}
    (root / "again.yaml").write_text(yaml.safe_dump(study))
    target = "results/studies/branches/tables/runs.parquet"
    command = [
        SNAKEMAKE,
        "-n",
        "--quiet",
        "host",
        "--configfile",
        "studies/trunks.yaml",
        "again.yaml",
        "--",
        target,
    ]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    table = said.split("Job stats:")[-1].split("total")[0] if "Job stats:" in said else ""
    rows = [line.split() for line in table.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def test_the_laws_agree(trained):
    found = trained[1]["differences"]["separate wsd"]
    # four runs a length: that two seeds differ is not in the interval of a difference, but in those of both
    for law in ("L_NS", *(f"L_N, S = {S}" for S in LENGTHS)):
        assert found["laws"][law], "it was fitted both ways"
        for name, difference in found["laws"][law].items():
            assert difference["intervals_overlap"], (law, name, difference)
    assert abs(found["laws"][f"L_N, S = {LENGTHS[-1]}"]["alpha_N"]["value"]) < 0.02
    # seeds differ by 0.02 nats
    assert all(abs(off["mean"]) < 0.05 for off in found["losses"].values()), found["losses"]


def test_the_compute_that_is_claimed_is_saved(trained):
    mine, theirs = trained[1]["ways"].values()
    assert (mine["runs"], theirs["runs"]) == (16, 12)
    assert mine["tokens"] == 4 * 1840 * 512
    assert theirs["tokens"] == 4 * 2800 * 512
    # 0.66 by tokens, 1.46 if branches began from nothing; the clock is that of a machine with other work
    assert mine["core_seconds"] < 1.2 * theirs["core_seconds"]


def test_another_length_trains_its_own_family_alone(trained):
    root, _ = trained
    assert to_do(root, CHANGE) == {}
    longer = {"shape": SHAPES[:1], "S": 1200}
    grid = CHANGE["grid"] | {"long": [CHANGE["grid"]["long"], longer]}
    jobs = to_do(root, CHANGE | {"grid": grid})
    assert jobs["train"] == jobs["evaluate"] == 5, "a trunk and four branches"
