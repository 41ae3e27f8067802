"""Text of files, of the hub and of Debian packages, offline: folders like the hub's, and a hub made here."""

import gzip
import http.server
import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from scaling import provenance
from scaling.corpus import debian, hub, near, readers, shards, sources

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
ASKED = {"seed": 0, "test_fraction": 0.1, "train_bytes": None, "test_bytes": 10**6}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def text(seed, words=40):
    drawn = random.Random(seed)
    return f"Document {seed}: " + " ".join("".join(drawn.choices("abcdefghij", k=5)) for _ in range(words))


def some(name, count, words=40):
    return [text(f"{name}{place}", words) for place in range(count)]


def table(path, texts, rows=10, column="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"url": [f"https://example.org/{place}" for place in range(len(texts))], column: texts}
    pq.write_table(pa.table(columns), path, row_group_size=rows)


def lines(texts, column="text"):
    return "".join(json.dumps({"n": 1, column: text}) + "\n" for text in texts).encode()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(files, **keys):
    return sources.listing([{"files": files, **keys}])


def every(listing, count=1, **asked):
    """Training documents, held-out documents and records of all shards."""
    made = [shards.make(listing, shard, count, **ASKED | asked) for shard in range(count)]
    return [doc for found, _, _ in made for doc in found], [doc for _, out, _ in made for doc in out], made


def fault(call, *arguments, **keys):
    """The message of a UserError: one line."""
    with pytest.raises(provenance.UserError) as caught:
        call(*arguments, **keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(path, content, column="text", part=readers.WHOLE):
    Path(path).write_bytes(content)
    with Path(path).open("rb") as file:
        return list(readers.texts(file, str(path), column, part))


# Files


@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_every_kind_reads_the_same_documents(here, packed):
    documents = some("kind", 30)
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[packed]
    plain = "\n<|endoftext|>\n".join(documents).encode()
    assert [found for _, found in read(f"a.txt{packed}", pack(plain))] == documents
    assert read(f"a.jsonl{packed}", pack(lines(documents))) == list(enumerate(documents))
    # packed files may be several, one after another
    assert read(f"b.jsonl{packed}", pack(lines(documents[:9])) + pack(lines(documents[9:]))) == list(
        enumerate(documents)
    )
    table(here / "a.parquet", documents)
    with readers_table("a.parquet") as opened:
        groups = [readers.rows(opened, "a.parquet", "text", group) for group in range(3)]
        assert [pair for group in groups for pair in group] == list(enumerate(documents))


def readers_table(path):
    return readers.parquet(path, path, "text")


def test_line_ends_and_marks(here):
    mark = b"\xef\xbb\xbf"
    assert read("a.txt", mark + b"one\r\ntwo\r\n<|endoftext|>\r\nthree\n<|endoftext|>") == [
        (0, "one\ntwo"),
        (1, "three"),
    ]
    assert read("a.jsonl", mark + b'{"text": "one\\r\\ntwo"}\r\n\r\n{"text": null}\n') == [
        (0, "one\ntwo"),
        (2, ""),
    ]
    assert read("a.jsonl", b'{"text": "half \\ud83d"}') == [(0, None)]
    assert read("a.txt", b"no line of its own <|endoftext|> here") == [
        (0, "no line of its own <|endoftext|> here")
    ]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("paragraph of some words\n\n", "words"),
        ("a line of some words\n", "words"),
        ("€", "€"),
    ],
)
def test_long_text_is_cut_where_it_hurts_least(here, text, end):
    whole = text * (3 * 2**20 // len(text.encode()))
    found = [piece for _, piece in read("a.txt", whole.encode())]
    assert all(0 < len(piece.encode()) <= readers.LONGEST for piece in found)
    assert all(piece.endswith(end) for piece in found)
    assert "".join(found).replace("\n", "") == whole.replace("\n", "")


def test_separators_across_blocks_are_seen(here, monkeypatch):
    monkeypatch.setattr(readers, "BLOCK", 7)
    documents = some("block", 20)
    content = "\n<|endoftext|>\n".join(documents).encode()
    assert [found for _, found in read("a.txt", content)] == documents
    monkeypatch.setattr(readers, "BLOCK", 17)
    assert read("a.txt", b"one\n<|endoftext|>more") == [(0, "one\n<|endoftext|>more")]


FAULTS = [
    ("a.txt", b"fine\n\xff", "a.txt at byte 5 is no UTF-8"),
    ("b.txt", b"x" * 100_000 + b"\xc3", "b.txt at byte 100000 is no UTF-8"),
    ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}', "a.jsonl line 2 is no UTF-8"),
    ("a.jsonl", b'{"text": "a"}\n{"text": "a', "a.jsonl line 2 is no JSON"),
    ("a.jsonl", b'["text"]', "a.jsonl line 1 is no JSON object"),
    ("a.jsonl", b'{"body": "a"}', "a.jsonl line 1 has no column 'text'; set `column` to one of 'body'"),
    ("a.jsonl", b'{"text": 3}', "is no text but int"),
    ("a.txt", b"", "a.txt is empty"),
    ("a.txt.gz", gzip.compress(b""), "a.txt.gz is empty"),
    ("a.txt.gz", gzip.compress(os.urandom(5000))[:-3000], "a.txt.gz is damaged or cut short"),
    ("a.txt.gz", gzip.compress(b"a" * 500)[:-8], "a.txt.gz is damaged or cut short"),
    ("a.txt.gz", b"no gzip at all", "a.txt.gz is damaged or cut short"),
    ("a.jsonl.zst", zstandard.compress(lines(some("z", 50)))[:-50], "a.jsonl.zst is damaged or cut short"),
    ("a.jsonl.zst", zstandard.compress(lines(some("z", 50)))[:-1], "a.jsonl.zst is damaged or cut short"),
    ("a.jsonl.zst", b"no zstd at all", "a.jsonl.zst is damaged or cut short"),
]


@pytest.mark.parametrize(("name", "content", "message"), FAULTS)
def test_damaged_files(here, name, content, message):
    assert message in fault(read, name, content)


def test_a_byte_of_a_packed_file_that_changed(here):
    content = bytearray(gzip.compress(lines(some("flip", 200))))
    content[-6] ^= 1  # of the checksum
    assert "a.jsonl.gz is damaged" in fault(read, "a.jsonl.gz", content)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_what_unpacks_without_end(here, monkeypatch, pack):
    monkeypatch.setattr(readers, "LIMIT", 2**20)
    name = "a.jsonl.gz" if pack is gzip.compress else "a.jsonl.zst"
    bomb = pack(b'{"text": "' + b"a" * 2**24)
    assert "line 1 is longer than 1048576 bytes" in fault(read, name, bomb)
    table(here / "a.parquet", ["a" * 2**21])
    assert "longer than 1048576" in fault(
        lambda: list(readers.rows(readers_table("a.parquet"), "a.parquet", "text", 0))
    )


def test_damaged_tables(here):
    Path("a.parquet").write_bytes(b"PAR1 no table")
    assert "a.parquet is damaged" in fault(readers_table, "a.parquet")
    pq.write_table(pa.table({"text": [1, 2], "body": ["a", "b"]}), "b.parquet")
    assert "column 'text' is int64" in fault(readers_table, "b.parquet")
    pq.write_table(pa.table({"url": ["a"], "body": ["b"]}), "c.parquet")
    assert "no column 'text'; set `column` to one of 'url', 'body'" in fault(readers_table, "c.parquet")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), "d.parquet")
    assert "d.parquet is empty" in fault(readers_table, "d.parquet")
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(bytes([0, 0, 0, 0, 2, 0, 0, 0])), pa.py_buffer(b"a\xff")]
    )
    pq.write_table(pa.table({"text": broken}), "e.parquet")
    assert "e.parquet row 0 is no UTF-8" in fault(
        lambda: list(readers.rows(readers_table("e.parquet"), "e.parquet", "text", 0))
    )


# Listings


def test_listing_of_files(here):
    Path("a").mkdir()
    Path("a/b.jsonl").write_bytes(lines(some("b", 3)))
    table(here / "a/a.parquet", some("a", 25))
    (found,) = listed(["a/*"])
    assert (found["name"], found["kind"], found["licence"]) == ("a/*", "files", "not declared")
    assert found["files"][0] | {"bytes": 0} == {
        "path": "a/a.parquet",
        "bytes": 0,
        "row_groups": 3,
        "sha256": provenance.sha256("a/a.parquet"),
    }
    assert [file["path"] for file in found["files"]] == ["a/a.parquet", "a/b.jsonl"]


def test_faults_of_files(here):
    assert "found no file for 'x/*.txt'" in fault(listed, "x/*.txt")
    Path("a.doc").write_text("text")
    assert "a.doc is of no known kind; expected .txt" in fault(listed, "a.doc")
    Path("a.parquet.gz").write_text("text")
    assert "a.parquet.gz is of no known kind" in fault(listed, "a.parquet.gz")
    Path("a.txt").touch()
    assert "a.txt of a.txt is empty" in fault(listed, "a.txt")
    Path("a.jsonl").write_bytes(lines(["a"], "body"))
    assert "set `column` to one of 'n', 'body'" in fault(listed, "a.jsonl")
    assert "twice" in fault(sources.listing, [{"files": "a.jsonl", "column": "body"}] * 2)
    found = listed("a.jsonl", column="body")
    Path("a.jsonl").write_bytes(lines(["ab"], "body"))
    assert "a.jsonl has changed since it was listed" in fault(shards.make, found, 0, 1, **ASKED)


def test_a_folder_laid_out_like_the_hub(here):
    card = {
        "license": "mit",
        "configs": [
            {"config_name": "small", "data_files": [{"split": "train", "path": "small/*.parquet"}]},
            {
                "config_name": "large",
                "data_files": [
                    {"split": "train", "path": "large/*.jsonl.zst"},
                    {"split": "validation", "path": "large/*.json.gz"},
                ],
            },
        ],
    }
    folder = here / "set"
    table(folder / "small" / "part-00000.parquet", some("small", 20))
    (folder / "large").mkdir()
    (folder / "large" / "a.jsonl.zst").write_bytes(zstandard.compress(lines(some("large", 20))))
    (folder / "large" / "b.json.gz").write_bytes(gzip.compress(lines(some("validation", 20))))
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\nA card.\n")
    spec = {"hub": "./set", "revision": "main"}
    (found,) = sources.listing([spec | {"subset": "small"}])
    assert (found["name"], found["licence"]) == ("./set (small)", "mit")
    assert [file["path"] for file in found["files"]] == ["small/part-00000.parquet"]
    (found,) = sources.listing([spec | {"subset": "large", "split": "validation"}])
    assert [file["path"] for file in found["files"]] == ["large/b.json.gz"]
    train, out, _ = every([found])
    assert {document.text for document in train + out} == set(some("validation", 20))
    assert train[0].id.startswith("./set (large) validation/large/b.json.gz#")

    assert "no subset 'huge'; set `subset` to one of 'small', 'large'" in fault(
        sources.listing, [spec | {"subset": "huge"}]
    )
    assert "several subsets; set `subset` to one of" in fault(sources.listing, [spec])
    assert "no split 'test'; set `split` to one of 'train', 'validation'" in fault(
        sources.listing, [spec | {"subset": "large", "split": "test"}]
    )
    assert "no column 'body'; set `column` to one of 'url', 'text'" in fault(
        sources.listing, [spec | {"subset": "small", "column": "body"}]
    )


def test_a_folder_without_a_card(here):
    for place in range(2):
        table(here / f"set/data/train-0000{place}-of-00002.parquet", some(place, 20))
    table(here / "set/data/test-00000-of-00001.parquet", some("test", 20))
    (found,) = sources.listing([{"hub": str(here / "set"), "revision": "main"}])
    assert [file["path"][-22:] for file in found["files"]] == [
        "00000-of-00002.parquet",
        "00001-of-00002.parquet",
    ]
    train, out, _ = every([found])
    assert {document.text for document in train + out} == {*some(0, 20), *some(1, 20)}
    assert "no subset 'a'" in fault(sources.listing, [{"hub": "./set", "revision": "main", "subset": "a"}])
    assert "no is no folder" in fault(sources.listing, [{"hub": "./no", "revision": "main"}])
    (here / "empty").mkdir()
    assert "no files of text" in fault(sources.listing, [{"hub": "./empty", "revision": "main"}])


# Shards


@pytest.fixture
def mixed(here):
    """A listing of tables of 12 row groups, of a file of lines and of a text file."""
    for place in range(3):
        table(here / f"tables/{place}.parquet", some(f"table{place}", 40))
    Path("a.jsonl").write_bytes(lines(some("lines", 50)))
    Path("b.txt").write_text("\n<|endoftext|>\n".join(some("plain", 30)))
    return sources.listing([{"files": "tables/*"}, {"files": ["a.jsonl", "b.txt"]}])


def test_the_same_documents_in_any_shards(mixed):
    train, out, _ = every(mixed)
    ids = [document.id for document in train + out]
    assert len(set(ids)) == len(ids) == 200
    assert {document.text for document in train + out} == {
        *(t for place in range(3) for t in some(f"table{place}", 40)),
        *some("lines", 50),
        *some("plain", 30),
    }
    assert 5 <= len(out) <= 40
    for count in (2, 3, 7, 12):
        others, out_others, _ = every(mixed, count)
        assert sorted(others, key=lambda d: d.id) == sorted(train, key=lambda d: d.id)
        assert sorted(out_others, key=lambda d: d.id) == sorted(out, key=lambda d: d.id)


def test_order_is_random_and_by_seed(mixed):
    first, again, other = (every(mixed, seed=seed)[0] for seed in (0, 0, 1))
    assert first == again
    assert [d.id for d in first] != [d.id for d in other]
    assert sum(d.source != e.source for d, e in itertools.pairwise(first)) > 50
    assert {d.id for d in every(mixed, seed=1)[1]} != {d.id for d in every(mixed)[1]}


def test_every_row_is_one_shards(mixed):
    for count, units in [(1, 1), (3, 10), (10, 3), (7, 7), (64, 5)]:
        listed = [({"path": str(unit), "bytes": 10 + 90 * (unit % 3)}, None) for unit in range(units)]
        taken = [
            (int(file["path"]), row)
            for shard in range(count)
            for file, _, part in shards.own(listed, shard, count)
            for row in range(50)
            if readers.belongs(row, part)
        ]
        assert sorted(taken) == [(unit, row) for unit in range(units) for row in range(50)]


def test_shards_are_equal_whatever_the_files(here):
    """One large file beside many small ones: no shard is left with the small ones."""
    Path("large.jsonl").write_bytes(lines(some("large", 3000)))
    for i in range(20):
        Path(f"{i}.jsonl").write_bytes(lines(some(str(i), 5)))
    listing = sources.listing([{"files": "*.jsonl"}])
    _, _, made = every(listing, 4)
    sizes = [sum(map(shards.size, train)) for train, _, _ in made]
    assert max(sizes) < 1.1 * min(sizes)


@pytest.mark.parametrize("train_bytes", [None, 200_000])
def test_mixtures(here, train_bytes):
    for name, count in [("a", 3000), ("b", 900), ("c", 500)]:
        Path(f"{name}.jsonl").write_bytes(lines(some(name, count, words=30)))
    listing = sources.listing([{"files": f"{name}.jsonl"} for name in "abc"])
    weights = [5, 3, 2]
    train, out, made = every(listing, 2, train_bytes=train_bytes, weights=weights)
    sizes = [
        sum(shards.size(document) for document in train if document.source == f"{name}.jsonl")
        for name in "abc"
    ]
    for found, weight in zip(sizes, weights, strict=True):
        assert found / sum(sizes) == pytest.approx(weight / 10, rel=0.01)
    if train_bytes:
        assert sum(sizes) == pytest.approx(train_bytes, rel=0.01)
    else:  # one of the sources is used up
        used = [
            source["training"]["documents"] / source["read"]["documents"] for source in made[0][2]["sources"]
        ]
        assert max(used) > 0.85
    shares = [sum(document.source == f"{name}.jsonl" for document in out) / len(out) for name in "abc"]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.12)


def test_a_source_that_is_not_read_to_its_end(here):
    """What is asked for comes from all units of a source, of any kind, and no more than that is read."""
    Path("a.jsonl").write_bytes(lines(some("a", 3000)))
    table(here / "b.parquet", some("b", 3000))
    listing = sources.listing([{"files": "a.jsonl"}, {"files": "b.parquet"}])
    train, _, record = shards.make(listing, 0, 1, **ASKED | {"train_bytes": 60_000}, weights=[1, 1])
    assert sum(map(shards.size, train)) == pytest.approx(60_000, rel=0.01)
    assert all(source["read"]["bytes"] < 40_000 for source in record["sources"])
    assert len({int(d.id.rpartition("#")[2]) // 10 for d in train if d.source == "b.parquet"}) >= 10
    assert max(int(d.id.rpartition("#")[2]) for d in train if d.source == "b.parquet") > 2000


def test_limits_and_what_is_dropped(here):
    Path("a.jsonl").write_bytes(
        lines([*some("a", 200), "short", "zero \0" * 30, None]) + b'{"text": "half \\ud83d"}\n'
    )
    listing = listed("a.jsonl")
    _, out, record = shards.make(listing, 0, 1, **ASKED | {"test_bytes": 2000, "test_fraction": 0.5})
    (source,) = record["sources"]
    assert source["dropped"] == {"under 100 bytes": 2, "zero bytes": 1, "half a surrogate pair": 1}
    assert source["read"]["documents"] == 200
    # each counts up to a sixteenth of test_bytes, and is cut there when the set is written
    counted = sum(min(2000 // 16, shards.size(document)) for document in out)
    assert source["held_out"] == {"documents": len(out), "bytes": pytest.approx(counted, abs=3 * len(out))}
    assert 2000 <= source["held_out"]["bytes"] < 2130
    # cut when it is written, but known by the whole
    shards.write("test.parquet", out, "test", 2000 // 16)
    assert all(len(text.encode()) <= 2000 // 16 for text in pq.read_table("test.parquet")["text"].to_pylist())
    sketches, _ = near.read_sketches(["test.parquet"])
    np.testing.assert_array_equal(sketches, near.sketches([document.text for document in out]))
    json.dumps(record)


def test_copies_are_on_one_side(here):
    Path("a.jsonl").write_bytes(lines(some("a", 200) * 10))
    train, out, _ = every(listed("a.jsonl"), 3, test_fraction=0.3)
    assert out
    assert not {document.text for document in train} & {document.text for document in out}


def test_a_file_is_read_once_however_many_links_lead_to_it(here):
    Path("a.jsonl").write_bytes(lines(some("a", 5)))
    Path("b.jsonl").symlink_to("a.jsonl")
    (found,) = sources.listing([{"files": ["*.jsonl", "./a.jsonl"]}])
    assert len(found["files"]) == 1


@pytest.mark.parametrize(
    ("card", "line"),
    [
        ("license: 5", "cannot be read as a data set"),
        ("configs: [{config_name: default, data_files: ../outside.jsonl}]", "which is not in"),
    ],
)
def test_an_odd_card_is_one_line(here, card, line):
    Path("outside.jsonl").write_bytes(lines(some("a", 5)))
    Path("repo").mkdir()
    Path("repo/train.jsonl").write_bytes(lines(some("b", 5)))
    Path("repo/README.md").write_text(f"---\n{card}\n---\n")
    assert line in fault(sources.listing, [{"hub": "./repo", "revision": "main"}])


def test_a_source_whose_weight_is_less_than_a_document_is_named(here):
    Path("a.jsonl").write_bytes(lines(some("a", 400)))
    Path("b.jsonl").write_bytes(lines(["word " * 40_000] * 3))
    listing = sources.listing([{"files": "a.jsonl"}, {"files": "b.jsonl"}])
    message = fault(every, listing, 1, weights=[0.99, 0.01], train_bytes=50_000)
    assert message.startswith("of b.jsonl not one document is in shard 0 of 1 by its weight, beside a.jsonl")


def test_too_much_text_for_a_shard(here, monkeypatch):
    """The number of shards that is asked for is enough, and not many times too large."""
    monkeypatch.setattr(shards, "MOST", 20_000)
    monkeypatch.setattr(readers, "BLOCK", 1000)
    Path("a.jsonl").write_bytes(lines(some("a", 500)))
    table(here / "c.parquet", some("c", 200))
    for name, total in (("a.jsonl", 500 * 255), ("c.parquet", 200 * 255)):
        message = fault(every, listed(name))
        assert message.startswith("corpus.shards: found 1, with which a shard has more than 20000 bytes")
        needed = int(message.split("set it to ")[1].split()[0])
        assert total / 20_000 <= needed <= 2 * total / 20_000
        every(listed(name), needed)
    message = fault(every, listed("a.jsonl"), 2, train_bytes=100_000)
    assert "corpus.shards: found 2" in message
    assert "set it to 7 or more" in message


def test_a_source_with_nothing_for_a_shard(here):
    Path("a.jsonl").write_bytes(lines(some("a", 2)))
    assert "a.jsonl has no text for training in shard" in fault(every, listed("a.jsonl"), 5)


def test_memory_does_not_grow_with_a_file(here):
    chunk = lines(some("memory", 1000, words=1600))
    with Path("large.jsonl").open("wb") as file:
        for _ in range(300 * 2**20 // len(chunk)):
            file.write(chunk)
    program = (
        "import resource; from scaling.corpus import shards, sources; "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "listing = sources.listing([{'files': 'large.jsonl'}]); "
        "made = shards.make(listing, 3, 100, seed=0, test_fraction=0.1, train_bytes=None, test_bytes=10**6); "
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, len(made[0]))"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    grown, count = map(int, result.stdout.split())
    assert count > 200
    assert grown < 60


# Scripts


def script(name, *arguments):
    command = [sys.executable, SCRIPTS / f"{name}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_from_files_to_sets(here):
    Path("a.jsonl").write_bytes(lines(some("a", 60) * 5))
    table(here / "b.parquet", some("b", 100))
    specs = json.dumps([{"files": "a.jsonl"}, {"files": "b.parquet"}])
    assert script("sources", "--specs", specs, "--out", "sources.json").returncode == 0
    bounds = ["--seed", 0, "--test-fraction", 0.5, "--test-bytes", 40_000, "--weights", 1, 1]
    part = ["--listing", "sources.json", "--shard", 0, "--shards", 1, "--record", "0.json"]
    result = script("shard", *part, *bounds, "--train", "train.parquet", "--held-out", "0.parquet")
    assert result.returncode == 0, result.stderr
    # the same bytes in another process, of another hash seed
    asked = ASKED | {"test_fraction": 0.5, "test_bytes": 40_000, "weights": [1, 1]}
    found, held_out, record = shards.make(provenance.read_json("sources.json"), 0, 1, **asked)
    shards.write("again.parquet", found, "train")
    assert Path("again.parquet").read_bytes() == Path("train.parquet").read_bytes()
    assert provenance.read_json("0.json") == record
    train = pq.read_table("train.parquet")
    assert train.schema.names == ["id", "source", "version", "set", "text", "sketch"]
    assert set(train["set"].to_pylist()) == {"train"}
    expected = near.sketches(train["text"].to_pylist())
    assert train["sketch"].to_pylist() == expected.tolist()

    bounds = ["--test-bytes", 20_000, "--seed", 0]
    result = script("held_out", "--parts", "0.parquet", *bounds, "--out", "test.parquet")
    assert result.returncode == 0, result.stderr
    test = pq.read_table("test.parquet")["text"].to_pylist()
    held_out = pq.read_table("0.parquet")["text"].to_pylist()
    assert sum(map(len, test)) <= 20_000
    assert len(test) == len(set(test))
    assert len(held_out) > len(set(held_out))

    transfer = ["--name", "mine", "--max-bytes", 20_000, "--seed", 0, "--out"]
    spec = json.dumps({"set": "mine", "files": "a.*"})
    result = script("transfer_text", "--spec", spec, *transfer, "set.parquet")
    assert result.returncode == 0, result.stderr
    found = pq.read_table("set.parquet")
    assert set(found["set"].to_pylist()) == {"mine"}
    texts = found["text"].to_pylist()
    assert len(texts) == len(set(texts))
    assert 14_000 < sum(map(len, texts)) <= 20_000

    Path("no.jsonl").write_bytes(lines(["short"]))
    message = fault(shards.transfer, {"files": "no.jsonl"}, "mine", 20_000, 0)
    assert message == "corpus.transfer, set mine: no.jsonl has no text; name another source"
    shards.write("0.parquet", [], "test")
    assert "no text held out for test; raise corpus.test_fraction" in fault(
        shards.test_set, ["0.parquet"], 20_000, 0
    )


def test_transfer_sets_are_of_many_units(here):
    table(here / "a.parquet", some("a", 4000), rows=100)
    found = shards.transfer({"files": "a.parquet"}, "mine", 100_000, 0)
    groups = {int(document.id.rpartition("#")[2]) // 100 for document in found}
    assert 12 <= len(groups) <= 20
    assert sum(map(shards.size, found)) > 90_000
    long = [text(place, words=20_000) for place in range(3)]
    Path("long.jsonl").write_bytes(lines(long))
    found = shards.transfer({"files": "long.jsonl"}, "mine", 100_000, 0)
    assert [shards.size(document) for document in found] == pytest.approx([100_000 / 16] * 3, abs=10)


def test_row_groups_are_small(here, monkeypatch):
    monkeypatch.setattr(shards, "GROUP", 5000)
    Path("a.jsonl").write_bytes(lines([*some("a", 100), text("long", 2000)]))
    train, _, _ = every(listed("a.jsonl"))
    shards.write("a.parquet", train, "train")
    assert pq.read_table("a.parquet")["id"].to_pylist() == [document.id for document in train]
    assert pq.ParquetFile("a.parquet").num_row_groups >= 5
    shards.write("none.parquet", [], "test")
    assert pq.read_table("none.parquet").schema.names == shards.SKETCHED.names


# A hub on this machine


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers, as far as is asked here, like the hub: one data set, a folder's files at one commit."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        if not re.search("/datasets/", self.path):
            return self.answer(b"{}", 404, {})
        if self.server.faults:
            status, code = self.server.faults.pop(0)
            return self.answer(b"{}", status, {"X-Error-Code": code} if code else {})
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        start = "/api/datasets/owner/set"
        if path.startswith("/datasets/owner/set/resolve/"):
            file = self.server.folder / path.split("/", 6)[6]
            if self.server.gated and file.suffix != ".md":
                return self.answer(b"", 403, {"X-Error-Code": "GatedRepo"})
            if not file.is_file():
                return self.answer(b"", 404, {"X-Error-Code": "EntryNotFound"})
            return self.content(file.read_bytes())
        if path == start or path.startswith(f"{start}/revision/"):
            if path.rpartition("/")[2] not in ("set", "main", COMMIT):
                return self.answer(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
            return self.json(
                {"id": "owner/set", "sha": COMMIT, "cardData": {"license": "odc-by"}, "siblings": []}
            )
        if path.startswith((f"{start}/tree/", f"{start}/paths-info/")):
            if self.command == "POST":
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                asked = urllib.parse.parse_qs(form)["paths"]
                files = [self.server.folder / name for name in asked]
            else:
                under = self.server.folder / path.removeprefix(f"{start}/tree/{COMMIT}").strip("/")
                files = sorted(under.glob("*"))
            return self.json([self.described(file) for file in files])
        return self.answer(b"{}", 401, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_POST = do_GET

    def described(self, file):
        name = file.relative_to(self.server.folder).as_posix()
        if file.is_dir():
            return {"type": "directory", "oid": "a" * 40, "size": 0, "path": name}
        entry = {"type": "file", "oid": "b" * 40, "size": file.stat().st_size, "path": name}
        if name.endswith(".parquet"):
            entry["lfs"] = {"oid": provenance.sha256(file), "size": entry["size"], "pointerSize": 130}
        return entry

    def content(self, content):
        headers = {"X-Repo-Commit": COMMIT, "ETag": '"etag"', "Accept-Ranges": "bytes"}
        if asked := self.headers.get("Range"):
            first, last = (int(place) for place in asked.removeprefix("bytes=").split("-"))
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self.answer(content[first : last + 1], 206, headers)
        return self.answer(content, 200, headers)

    def json(self, value):
        self.answer(json.dumps(value).encode(), 200, {"Content-Type": "application/json"})

    def answer(self, content, status, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(here, monkeypatch):
    """The hub at a local port, with its folder; `datasets` and huggingface_hub ask there."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.faults, server.asked, server.gated = here / "remote", [], [], False
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    asked_at(f"http://127.0.0.1:{server.server_port}", here, monkeypatch)
    yield server
    server.shutdown()
    server.server_close()


def asked_at(endpoint, cache, monkeypatch):
    import datasets

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache / "cache"))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", endpoint)
    monkeypatch.setattr(
        datasets.config, "HUB_DATASETS_URL", endpoint + "/datasets/{repo_id}/resolve/{revision}/{path}"
    )
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    huggingface_hub.HfFileSystem.clear_instance_cache()
    monkeypatch.setattr(hub, "PAUSES", (0.01, 0.01))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


SPEC = {"hub": "owner/set", "revision": "main"}


def test_a_data_set_of_the_hub(served):
    table(served.folder / "data/train-00000-of-00001.parquet", some("hub", 4000, words=100), rows=100)
    listing = sources.listing([SPEC])
    (found,) = listing
    assert (found["revision"], found["licence"]) == (COMMIT, "odc-by")
    (file,) = found["files"]
    assert file["sha256"] == provenance.sha256(served.folder / file["path"])
    assert file["row_groups"] == 40
    assert "hf_secret" not in json.dumps(listing)
    # a branch may move on at any time: all but the first question is about the commit
    assert sum("main" in path for _, path, _ in served.asked) == 1
    served.asked.clear()
    train, out, _ = shards.make(listing, 3, 20, **ASKED)
    assert {document.text for document in train + out} < set(some("hub", 4000, words=100))
    assert len(train + out) == 200
    assert {document.version for document in train} == {COMMIT}
    spans = [asked.removeprefix("bytes=").split("-") for _, _, asked in served.asked if asked]
    fetched = sum(int(last) - int(first) + 1 for first, last in spans)
    assert fetched < 2 * sum(map(shards.size, train + out))


def test_lines_of_the_hub(served):
    served.folder.mkdir()
    card = {"license": "mit", "configs": [{"config_name": "en", "data_files": "en/*.json.gz"}]}
    (served.folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")
    (served.folder / "en").mkdir()
    (served.folder / "en/a.json.gz").write_bytes(gzip.compress(lines(some("hub", 200))))
    listing = sources.listing([SPEC | {"subset": "en"}])
    assert listing[0]["files"][0]["blob_id"] == "b" * 40
    train, out, _ = every(listing, 3)
    assert {document.text for document in train + out} == set(some("hub", 200))
    found = shards.transfer(SPEC | {"subset": "en", "set": "mine"}, "mine", 20_000, 0)
    assert sum(map(shards.size, found)) > 15_000
    # a fault of the server while a file is read
    served.faults += [(503, None)]
    assert len(every(listing)[0]) == len(train)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([(404, "RevisionNotFound")], "has no revision 'main'; set `revision` to one of its branches"),
        ([(401, "RepoNotFound")], "does not exist or is private; check the name, or set HF_TOKEN"),
        ([(403, "GatedRepo")], "is gated; ask for access on its page and set HF_TOKEN"),
        ([(500, None)] * 9, "the hub answered 500; try again later"),
    ],
)
def test_what_the_hub_refuses(served, answers, message):
    served.faults += answers
    found = fault(sources.listing, [SPEC])
    assert found.startswith("owner/set of the Hugging Face hub ")
    assert message in found
    assert "hf_secret" not in found


def test_a_hub_that_answers_late(served):
    table(served.folder / "train.parquet", some("hub", 40))
    served.faults += [(500, None), (429, None)]
    assert sources.listing([SPEC])[0]["revision"] == COMMIT


@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl.gz"])
def test_files_that_are_gated(served, name):
    """The hub describes such a data set to everybody, and refuses its files."""
    if name.endswith("parquet"):
        table(served.folder / name, some("hub", 40))
    else:
        served.folder.mkdir()
        (served.folder / name).write_bytes(gzip.compress(lines(some("hub", 40))))
    listing = sources.listing([SPEC])
    served.gated = True
    for call in (lambda: sources.listing([SPEC]), lambda: shards.make(listing, 0, 1, **ASKED)):
        assert "is gated" in fault(call)


def test_access_that_ends_while_it_is_read(served):
    table(served.folder / "train.parquet", some("hub", 40))
    (source,) = listing = sources.listing([SPEC])
    (file,) = source["files"]
    with sources.Reader() as reader:
        assert len(list(reader.texts(source, file, 0))) == 10
        served.gated = True
        assert "is gated" in fault(lambda: list(reader.texts(source, file, 1)))
    huggingface_hub.HfFileSystem.clear_instance_cache()
    served.faults += [(401, "RepoNotFound")]
    assert "does not exist or is private" in fault(shards.make, listing, 0, 1, **ASKED)


def test_a_hub_out_of_reach(here, monkeypatch):
    asked_at("http://127.0.0.1:9", here, monkeypatch)
    assert "the hub is out of reach (ConnectError); check the network and HF_ENDPOINT" in fault(
        sources.listing, [SPEC]
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "cannot be read offline; unset HF_HUB_OFFLINE" in fault(sources.listing, [SPEC])


# Debian packages


@pytest.fixture
def package(here, monkeypatch):
    """An apt-get that serves one package, made here."""
    root = here / "root"
    control = "Package: mine-doc\nVersion: 1:2.0-1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: c\n"
    manual = "<html><style>p {}</style><p>" + text("html") + " &amp; more</p><script>x()</script></html>"
    members = {
        "DEBIAN/control": control.encode(),
        "usr/share/doc/mine-doc/a.txt.gz": gzip.compress(text("gz").encode()),
        "usr/share/doc/mine-doc/b.html": manual.encode(),
        "usr/share/doc/mine-doc/changelog.gz": gzip.compress(text("changelog").encode()),
        "usr/share/dictd/c.dict.dz": gzip.compress(text("dict").encode()),
        "usr/share/games/fortunes/d": text("caf\xe9").encode("latin-1"),
        "usr/share/games/fortunes/d.dat": b"\0\1" * 100,
        "usr/bin/e.txt": text("elsewhere").encode(),
    }
    for name, content in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    made = here / "mine-doc_1%3a2.0-1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, made], check=True, capture_output=True)
    served = here / "bin" / "apt-get"
    served.parent.mkdir()
    served.write_text(
        f'#!/bin/sh\ncase "$2" in mine-doc*) cp {made} . ;; '
        '*) echo "E: Unable to locate package $2" >&2; exit 100 ;; esac\n'
    )
    served.chmod(0o755)
    monkeypatch.setenv("PATH", f"{served.parent}:{os.environ['PATH']}")
    return made


def test_debian_packages(package, monkeypatch):
    listing = sources.listing([{"debian": ["mine-doc"]}])
    (file,) = listing[0]["files"]
    assert file == {
        "path": "mine-doc",
        "version": "1:2.0-1",
        "bytes": package.stat().st_size,
        "sha256": provenance.sha256(package),
    }
    train, out, _ = every(listing, 2, test_fraction=0.2)
    found = sorted(document.text.strip() for document in train + out)
    assert found == sorted([text("gz"), text("html") + " & more", text("dict"), text("caf\xe9")])
    assert {document.source for document in train} == {"Debian mine-doc"}
    assert "cannot fetch none-such: Unable to locate package" in fault(
        sources.listing, [{"debian": ["none-such"]}]
    )
    package.write_bytes(package.read_bytes() + b"\n")
    assert "is another file than was listed" in fault(every, listing)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "need apt-get and dpkg-deb, which are not here" in fault(
        sources.listing, [{"debian": ["mine-doc"]}]
    )


def test_a_debian_package_without_text(package, monkeypatch):
    monkeypatch.setattr(debian, "MEMBER", debian.re.compile("(no) (such)"))
    listing = sources.listing([{"debian": ["mine-doc"]}])
    assert "holds no text that is read; name another" in fault(every, listing)
