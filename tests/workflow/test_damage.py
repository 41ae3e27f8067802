"""What becomes of a file that is damaged: the stage that reads it names it, and `make verify` does."""

import random
import subprocess
import sys
from pathlib import Path

import damage
import pytest
from scaling import provenance
from scaling.charts import catalog

RULES = {
    *("prose", "transfer", "tokenizer", "tokens", "leaks", "manifest", "train", "evaluate", "tables"),
    *("fit", "allocation", "exponents", "planner", "figure", "page", "report", "huggingface"),
}
"""Rules that read what others have made."""
SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


@pytest.fixture(scope="module")
def copied(smoke, tmp_path_factory):
    """A copy of the finished smoke study, a run of it exported too."""
    project = damage.linked(smoke, tmp_path_factory.mktemp("damage") / "project")
    folder = next((project.root / "results/runs").glob("*/transformer-*"))
    project.exported = f"{folder.relative_to(project.root)}/huggingface"
    result = project.snakemake(project.exported)
    assert result.returncode == 0, result.stdout
    return project


def verify(folder):
    """Exit code and lines of `make verify`."""
    command = [sys.executable, SCRIPTS / "verify.py", "--results", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_a_damaged_file_costs_nothing_of_what_was_made_from_it(copied):
    """Damage is newer than what was made from it, all of which Snakemake would remove and make again."""
    (path,) = copied.root.glob("results/data/*/*/test.npy")
    content = path.read_bytes()
    made = set((copied.root / "results").rglob("*"))
    path.unlink()
    path.write_bytes(damage.KINDS["a bit flipped"](content))
    name = path.relative_to(copied.root)
    result = copied.snakemake()
    assert result.returncode == 1
    (line,) = {line for line in result.stdout.splitlines() if line.startswith("error: ")}
    assert line.startswith(f"error: {name} is damaged (")
    assert f"`snakemake --force {name}`" in line
    assert set((copied.root / "results").rglob("*")) == made
    result = copied.snakemake("--force", name)
    assert result.returncode == 0, result.stdout
    assert path.read_bytes() == content
    assert "train" not in copied.planned()


def test_every_stage_notices_every_damaged_file_that_it_reads(copied):
    """Each declared input of a job of every rule: cut short, emptied, with a bit flipped."""
    summary = copied.snakemake("--detailed-summary", "all", copied.exported)
    assert summary.returncode == 0, summary.stdout
    found = damage.stages(copied, summary.stdout)
    assert set(found) >= RULES
    for memory in copied.root.glob("results/runs/*/*/evaluated.json"):
        provenance.remove(memory)  # or evaluating would go by it and read no weights
    run, wrong, cases = damage.Stages(copied), [], 0
    for rule, (command, inputs) in found.items():
        if rule == "tables":  # those of one run stand for all
            first = Path(next(name for name in inputs if name.endswith("run.json"))).parent
            inputs = [name for name in inputs if Path(name).parent == first or name.endswith("study.json")]
        if rule == "figure":
            read = catalog.FIGURES[command[command.index("--name") + 1]].tables
            inputs = [name for name in inputs if "/tables/" not in name or Path(name).stem in read]
        for name in inputs:
            cases += 1
            wrong += damage.unnoticed(copied, run, command, name)
    run.close()
    assert not wrong, "\n".join(wrong)
    assert cases > 60


def test_verify_finds_every_file_sound_and_each_that_is_not(copied):
    results = copied.root / "results"
    code, lines = verify(results)
    assert code == 0, lines
    files = [path for path in results.rglob("*") if path.is_file() and provenance.record_of(path).exists()]
    assert lines[-1].startswith(f"{results}: {len(files)} files of ")
    rng, damaged = random.Random(1), []
    for path in rng.sample(files, 30):
        content, kind = path.read_bytes(), rng.choice([*damage.KINDS])
        path.unlink()
        path.write_bytes(damage.KINDS[kind](content))
        damaged.append(path)
    (results / "by_hand.json").write_text("{}")
    code, lines = verify(results)
    assert code == 1
    told = [line for line in lines if line.startswith("error: ")]
    assert {line.split()[1] for line in told} == {str(path) for path in damaged}
    assert all("`snakemake --force " in line for line in told)
    assert f"no record: {results / 'by_hand.json'}" in lines
    assert lines[-1].endswith("30 damaged, 1 without a record")
