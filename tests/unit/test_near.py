"""Near-duplicate documents: sketches, which documents go, and the script that writes them down."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scaling.corpus import near
from scaling.provenance import UserError

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
LENGTH = 1007
"""Words of a text of 1,000 shingles."""


def words(seed, count=LENGTH):
    """Words that occur nowhere else."""
    return [f"w{seed}x{place}" for place in range(count)]


def pair(similarity, seed):
    """Two texts of 1,000 shingles each, of that Jaccard similarity: they part at some word."""
    shared = round(1000 * 2 * similarity / (1 + similarity))
    first = words(seed)
    second = first[: shared + 7] + words(f"{seed}other")[shared + 7 :]
    return [" ".join(first), " ".join(second)]


def script(*arguments):
    command = [sys.executable, SCRIPTS / "duplicates.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def part(path, texts):
    found = pa.FixedSizeListArray.from_arrays(pa.array(near.sketches(texts).ravel()), near.ENTRIES)
    pq.write_table(pa.table({"text": texts, "sketch": found}), path, store_schema=False)
    return path


# texts


def test_texts_come_in_batches_of_bounded_size(tmp_path, monkeypatch):
    texts = ["a" * length for length in (10, 60, 40, 1, 250, 0, 99, 1, *[30] * 40)]
    pq.write_table(pa.table({"text": texts, "other": texts}), tmp_path / "documents.parquet")
    monkeypatch.setattr(near, "PIECE", 100)
    found = list(near.texts(tmp_path / "documents.parquet"))
    assert [text for batch in found for text in batch] == texts
    assert [len(batch) for batch in found][:4] == [2, 2, 1, 3]
    assert all(len(batch) == 1 or sum(map(len, batch)) <= 100 for batch in found)
    some = [
        text for batch in near.texts(tmp_path / "documents.parquet", np.array([0, 4, 20])) for text in batch
    ]
    assert some == [text for row, text in enumerate(texts) if row not in (0, 4, 20)]


# sketches


def test_equal_entries_are_the_jaccard_similarity():
    for similarity in (0.2, 0.5, 0.8, 0.95):
        equal = [np.equal(*near.sketches(pair(similarity, seed))).mean() for seed in range(60)]
        assert np.mean(equal) == pytest.approx(
            similarity, abs=4 * (similarity * (1 - similarity) / 1920) ** 0.5
        )


def test_entries_are_independent_of_each_other():
    equal = np.array([np.equal(*near.sketches(pair(0.5, seed))) for seed in range(200)])
    assert abs(equal.mean(0) - 0.5).max() < 0.16
    assert np.std(equal.sum(1)) == pytest.approx(32**0.5 / 2, rel=0.25)


def test_sketches_are_what_they_have_always_been():
    found = near.sketches(
        ["The loss falls as a power of the model size, of the data, and of compute.", "", "A b."]
    )
    assert found.shape == (3, 32)
    assert found.dtype == np.uint32
    assert found[:, :2].tolist() == [
        [368759198, 573869278],
        [2754321535, 2105708520],
        [254470937, 3069426634],
    ]


def test_case_and_punctuation_do_not_count_but_in_texts_of_one_shingle():
    plain, dressed = (
        "one two three four five six seven eight nine",
        "One; two (three) FOUR five six seven eight: nine!",
    )
    assert (np.equal(*near.sketches([plain, dressed]))).all()
    short = near.sketches([plain[:-5], plain[:-5], plain[:-5] + ".", "", "", "…!", "…?", "漢字", "漢字"])
    same = (short[:-1] == short[1:]).all(1).tolist()
    assert same == [True, False, False, True, False, False, False, True]


def test_sketches_do_not_depend_on_what_stands_beside(monkeypatch):
    texts = [*pair(0.5, 0), "", "short", " ".join(words("long", 3000)), *pair(0.8, 1), ""]
    alone = np.concatenate([near.sketches([text]) for text in texts])
    assert (near.sketches(texts) == alone).all()
    assert near.sketches([]).shape == (0, 32)
    monkeypatch.setattr(near, "PIECE", 20_000)
    cut = near.sketches(texts)
    whole = np.array([len(text) <= 20_000 for text in texts])
    assert (~whole).sum() == 1
    assert (cut[whole] == alone[whole]).all()
    assert (cut[~whole] == alone[~whole]).mean() > 0.9


# which documents go


def gone(*texts):
    return near.duplicates(near.sketches(list(texts))).tolist()


def test_the_first_of_each_cluster_stays():
    a, b, c = (" ".join(words(seed)) for seed in "abc")
    assert gone(a, b, a, c, b, a) == [False, False, True, False, True, True]
    assert gone("", "", "tiny", "Tiny", "tiny") == [False, True, False, False, True]
    assert gone() == []
    assert gone(a) == [False]


def test_a_chain_of_small_edits_leaves_its_first_link():
    chain = [words("a")]
    for step in range(30):
        chain.append(chain[-1][20:] + words(f"edit{step}", 20))
    assert gone(*map(" ".join, chain)) == [False] + [True] * 30


def test_similar_texts_go_and_unlike_ones_stay():
    share = {}
    for similarity in (0.97, 0.9, 0.6, 0.3):
        texts = [text for seed in range(100) for text in pair(similarity, seed)]
        found = np.array(gone(*texts))
        assert not found[::2].any()
        share[similarity] = found[1::2].mean()
    assert share[0.97] == 1
    assert share[0.9] > 0.88
    assert share[0.6] < 0.06
    assert share[0.3] == 0


def test_texts_that_share_half_of_a_template_stay_however_many_they_are():
    template = words("template", 500)
    assert not any(gone(*(" ".join(template + words(seed, 500)) for seed in range(300))))


def reference(sketches):
    """By comparing every pair that shares a band."""
    bands = sketches.reshape(len(sketches), near.BANDS, -1)
    equal = sketches[:, None] == sketches
    candidates = (bands[:, None] == bands).all(3).any(2)
    return np.tril(candidates & (equal.sum(2) >= near.EQUAL), -1).any(1)


def test_all_pairs_that_share_a_band_are_compared(monkeypatch):
    rng = np.random.default_rng(0)
    sketches = rng.integers(0, 2**32, (600, 32), dtype=np.uint32)
    sketches[rng.random((600, 32)) < 0.78] = 7
    expected = reference(sketches)
    assert 0.2 < expected.mean() < 0.8
    monkeypatch.setattr(near, "_ROWS", 50)
    near_ones = near.duplicates(sketches)
    assert not (near_ones & ~expected).any()
    monkeypatch.setattr(near, "LOOK_BACK", 600)
    assert (near.duplicates(sketches) == expected).all()
    assert near_ones.mean() > 0.6 * expected.mean()


# the script


def test_a_training_document_that_duplicates_a_test_document_goes(tmp_path):
    a, b, c, d = (" ".join(words(seed)) for seed in "abcd")
    parts = [
        part(tmp_path / "test.parquet", [a, b]),
        part(tmp_path / "shard-0.parquet", [c, a, d]),
        part(tmp_path / "shard-1.parquet", [d, c, " ".join(words("e")), b]),
        part(tmp_path / "shard-2.parquet", [" ".join(words("f"))]),
    ]
    out = tmp_path / "duplicates.parquet"
    done = script("--parts", *parts, "--out", out)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(out).to_pylist()
    assert [(row["part"], row["row"]) for row in rows] == [
        ("shard-0", 1),
        *(("shard-1", n) for n in (0, 1, 3)),
    ]
    assert done.stdout.splitlines() == [
        "shard-0: 1 of 3 documents are left out",
        "shard-1: 3 of 4 documents are left out",
        "shard-2: 0 of 1 documents are left out",
    ]
    assert near.rows_of(out, tmp_path / "shard-1.parquet").tolist() == [0, 1, 3]
    assert near.rows_of(out, "shard-2").tolist() == []


def test_parts_are_checked(tmp_path):
    good = part(tmp_path / "test.parquet", ["a"])
    bare, out = tmp_path / "bare.parquet", tmp_path / "duplicates.parquet"
    pq.write_table(pa.table({"text": ["a"]}), bare)
    done = script("--parts", good, bare, "--out", out)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {bare} is damaged (no column sketch); `snakemake --force {bare}`")
    assert done.stderr.count("\n") == 1
    assert not out.exists()
    pq.write_table(pa.table({"sketch": [[1, 2, 3]]}), bare)
    with pytest.raises(UserError, match=r"bare\.parquet is damaged \(sketches of another length\)"):
        near.read_sketches([good, bare])
    with pytest.raises(UserError, match=r"has the name of another part, test; give each part once"):
        near.read_sketches([good, good])
