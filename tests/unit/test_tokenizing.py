"""What `bench.py tokens` measures."""

import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from project import WORDS
from scaling import grid, tokens
from scaling.benchmark import tokenizing

ROOT = Path(__file__).parents[2]
SECONDS = {"library": [2.0, 1.0, 4.0], "shard": [4.0, 2.0, 5.0], "libraries": [2.0] * 3, "shards": [5.0] * 3}


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """1.3 MB of random words in 300 documents."""
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("documents") / "train.parquet"
    pq.write_table(pa.table({"text": [" ".join(rng.choices(WORDS, k=700)) for _ in range(300)]}), path)
    return path


def test_figures_are_medians_and_their_ratios():
    figures = tokenizing.figures_of(512, 8_000_000, SECONDS)
    assert figures == {
        "n_vocab": 512, "library": 4e6, "shard": 2e6, "ratio": 0.5, "range": [0.5, 0.8],
        "speedup": 1.6, "library_speedup": 2.0,
    }  # fmt: skip
    lines = tokenizing.describe({"bytes": 8_000_000, "rounds": 3, "vocabularies": [figures]}).splitlines()
    assert lines[0].startswith("tokenizing 8.0 MB on one thread, medians of 3 rounds")
    assert lines[3:] == [
        "    512     4.00     2.00   0.50 (0.50 to 0.80); two shards × 1.60, two of the library's × 2.00"
    ]


def test_both_are_measured(documents, tmp_path):
    figures = tokenizing.measure(ROOT, None, tmp_path / "new", documents, vocabularies=[300], rounds=1)
    (found,) = figures["vocabularies"]
    assert figures["bytes"] > 1e6
    assert 0.1e6 < found["shard"] < 100e6
    assert 0.2 < found["speedup"] < 8
    ids, index = tokens.load(tmp_path / "new" / "1.npy")
    assert index["documents"] == (ids == 0).sum() == 300, "the second of two at once wrote all of it"


def test_a_shard_is_written_about_as_fast_as_the_library_encodes(documents, tmp_path, monkeypatch):
    """In time of the CPU, since other work beside this test may take the other."""
    monkeypatch.setattr(tokenizing.time, "perf_counter", time.process_time)
    tokenizer = tmp_path / "tokenizer.json"
    tokens.train_tokenizer(tokenizing.near.texts(documents), 300).save(str(tokenizer))
    seconds = {tokenizing.library: [], tokenizing.shard: []}
    for _ in range(5):
        for what, found in seconds.items():
            found.append(what(tokenizer, documents, tmp_path / "0.npy"))
    library, shard = (min(found) for found in seconds.values())
    assert library / shard > 0.6


def test_documents_that_are_there_are_taken(tmp_path):
    config = grid.default(ROOT)
    config["corpus"]["lock"] = str(ROOT / config["corpus"]["lock"])
    path = tmp_path / "results/data" / grid.corpus_id(config) / "documents/train.parquet"
    path.parent.mkdir(parents=True)
    path.touch()
    for name in ("config.yaml", "slurm", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert tokenizing.training_text(tmp_path, None, tmp_path / "scratch") == path
