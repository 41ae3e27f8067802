"""Shingles of evaluation sets that stand in the training text."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scaling.corpus import leaks, near
from scaling.provenance import UserError

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


def words(seed, count=107):
    """Words that occur nowhere else; 107 make 100 shingles."""
    return " ".join(f"w{seed}x{place}" for place in range(count))


def documents(path, *texts):
    pq.write_table(pa.table({"text": list(texts)}), path)
    return path


@pytest.fixture
def sets(tmp_path):
    """`test` has three documents of 100 shingles, `books` two of 100, `tiny` one of a single shingle."""
    return [
        documents(tmp_path / "test.parquet", words(1), words(2), words(3)),
        documents(tmp_path / "books.parquet", words(4), words(5)),
        documents(tmp_path / "tiny.parquet", "no more than this"),
    ]


def script(*arguments):
    command = [sys.executable, SCRIPTS / "leaks.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def part_of(path, sets, *texts, duplicates=None):
    out = path.with_suffix(".leaks.parquet")
    leaks.write(documents(path, *texts), sets, out, duplicates)
    return out


def test_what_is_seen_anywhere_in_training_is_reported(sets, tmp_path):
    halves = words(2).split()
    parts = [
        part_of(tmp_path / "a.parquet", sets, words(9), words(1).upper(), "No more THAN this!"),
        part_of(tmp_path / "b.parquet", sets, " ".join(halves[:50]), words(8), " ".join(halves[43:60])),
        part_of(tmp_path / "c.parquet", sets, words(5, 40)),
    ]
    assert leaks.report(parts, sets) == {
        "test": {"shingles": 300, "seen": 153, "share": 0.51, "documents": 3, "leaked": 2},
        "books": {"shingles": 200, "seen": 33, "share": 0.165, "documents": 2, "leaked": 0},
        "tiny": {"shingles": 1, "seen": 1, "share": 1.0, "documents": 1, "leaked": 1},
    }


def test_nothing_leaks_from_other_text(sets, tmp_path):
    report = leaks.report([part_of(tmp_path / "a.parquet", sets, words(9), "", "!")], sets)
    assert all(found["seen"] == found["leaked"] == 0 for found in report.values())


def test_duplicates_that_are_left_out_leak_nothing(sets, tmp_path):
    gone = tmp_path / "duplicates.parquet"
    rows = [{"part": "a", "row": 1}, {"part": "a", "row": 300}, {"part": "b", "row": 0}]
    pq.write_table(pa.Table.from_pylist(rows, schema=near.FOUND), gone)
    texts = [words(n) for n in range(100, 700)]
    texts[1], texts[300], texts[301] = words(1), words(2), words(3)
    for name, seen in (("a", 100), ("b", 300)):
        path = documents(tmp_path / f"{name}.parquet", *texts)
        out = tmp_path / f"{name}.out.parquet"
        done = script("--documents", path, "--duplicates", gone, "--sets", *sets, "--out", out)
        assert done.returncode == 0, done.stderr
        assert leaks.report([out], sets)["test"]["seen"] == seen
    done = script("--documents", path, "--sets", *sets, "--out", tmp_path / "none.parquet")
    assert done.returncode == 0, done.stderr


def test_seen_agrees_with_sets_of_hashes():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abc"), 60)) for _ in range(200)]
    halves = [texts[:100], texts[100:]]
    train, held = [np.concatenate([hashes for hashes, _ in near.shingled(half)]) for half in halves]
    first, second = leaks._distinct([held]), leaks._distinct([held[:500]])
    found = leaks.seen([halves[0][:30], [], halves[0][30:]], [first, second, np.empty(0, np.uint64)])
    assert [array.tolist() for array in found[:2]] == [
        np.isin(first, train).tolist(),
        np.isin(second, train).tolist(),
    ]
    assert 0.1 < found[0].mean() < 0.9
    assert len(found[2]) == 0


def test_a_part_made_with_another_set_is_refused(sets, tmp_path):
    part = part_of(tmp_path / "a.parquet", sets, words(9))
    documents(sets[1], words(4))
    with pytest.raises(
        UserError, match=r"a\.leaks\.parquet is damaged \(made with another set books\); `snakemake"
    ):
        leaks.report([part], sets)
