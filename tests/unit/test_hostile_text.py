"""Text, tokenizers and weights of others that want to harm: each is bounded, and refused in one line."""

import gzip
import json
import struct
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zstandard
from scaling import tokens
from scaling.corpus import documents, readers, shards, sources, wheels
from scaling.models import snapshots
from scaling.provenance import UserError
from scaling.training import job
from tokenizers import Tokenizer, models

METADATA = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n\n"
DESCRIBED = "tiny-1.0.dist-info/METADATA"
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
"""Where a zip describes a member: in its directory, and before the member itself."""


def line(call, *arguments, **keys):
    """The message of a UserError: one line, and not too long a one."""
    with pytest.raises(UserError) as caught:
        call(*arguments, **keys)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


# Wheels


def wheel(path, members=(), metadata=METADATA, way=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", way) as archive:
        archive.writestr(DESCRIBED, metadata, zipfile.ZIP_STORED)
        for member, content in members:
            archive.writestr(member, content)
    return path


def patched(path, member, **fields):
    """Write other values where the zip describes ``member``: flags (to be added), packed or size."""
    content = bytearray(path.read_bytes())
    for mark, name_at, shift in ((CENTRAL, 46, 2), (LOCAL, 30, 0)):
        at = content.find(member.encode(), content.find(mark)) - name_at
        while content[at : at + 4] != mark:
            at = content.find(member.encode(), at + name_at + 1) - name_at
        for field, value in fields.items():
            place = at + shift + {"flags": 6, "size": 22}[field]
            if field == "flags":
                value |= struct.unpack_from("<H", content, place)[0]
            struct.pack_into({"flags": "<H", "size": "<I"}[field], content, place, value)
    path.write_bytes(content)
    return path


def test_wheels_of_too_many_members(tmp_path, monkeypatch):
    assert wheels.MOST_MEMBERS == 100_000
    monkeypatch.setattr(wheels, "MOST_MEMBERS", 20)
    path = wheel(tmp_path / "a.whl", [(f"tiny/{n}.py", "") for n in range(20)])
    assert "a.whl has 21 members, expected at most 20" in line(wheels.Wheel, path)
    wheels.Wheel(wheel(path, [(f"tiny/{n}.py", "") for n in range(19)]))


@pytest.mark.parametrize("way", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_wheels_packed_in_other_ways(tmp_path, way):
    opened = wheels.Wheel(wheel(tmp_path / "a.whl", [("tiny/a.py", "x = 1\n" * 999)], way=way))
    assert "tiny/a.py in " in (told := line(opened.read, "tiny/a.py"))
    assert "packed or encrypted as no wheel's members are" in told


def test_encrypted_wheels(tmp_path):
    path = patched(wheel(tmp_path / "a.whl", [("tiny/a.py", "x = 1\n")]), "tiny/a.py", flags=1)
    assert "packed or encrypted" in line(wheels.Wheel(path).read, "tiny/a.py")


def test_names_that_are_no_utf8(tmp_path):
    path = patched(wheel(tmp_path / "a.whl", [("tiny/zz.py", "x = 1\n")]), "tiny/zz.py", flags=0x800)
    path.write_bytes(path.read_bytes().replace(b"tiny/zz.py", b"tiny/\xff\xfe.py"))
    assert "a.whl is no wheel (" in line(wheels.Wheel, path)


@pytest.mark.parametrize("metadata", ["Metadata-Version: 2.1\nVersion: 1.0\n\n", "Name: tiny\n\n", ""])
def test_metadata_without_name_or_version(tmp_path, metadata):
    path = wheel(tmp_path / "a.whl", metadata=metadata)
    assert "a.whl is no wheel (no name or version in METADATA)" in line(wheels.Wheel, path)


def test_a_wheel_without_metadata_or_with_two(tmp_path):
    other = DESCRIBED.replace("tiny", "other")
    assert "(no METADATA)" in line(wheels.Wheel, wheel(tmp_path / "a.whl", [(other, METADATA)]))


def test_nothing_of_a_wheel_comes_to_the_disk(tmp_path, monkeypatch):
    """Members that lead elsewhere, links among them, are text at most."""
    secret = tmp_path / "secret"
    secret.write_text("the secret of the machine")
    link = zipfile.ZipInfo("tiny/link.py")
    link.external_attr = 0o120777 << 16
    absolute = f"{tmp_path}/absolute.py"
    members = [("../up.py", "x"), (link, str(secret)), (absolute, "x = 'absolute'")]
    path = wheel(tmp_path / "a.whl", members)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with wheels.Wheel(path) as opened:
        assert "../up.py" not in opened.names
        assert opened.read("tiny/link.py") == str(secret).encode()
        assert opened.read(absolute) == b"x = 'absolute'"
    documents.transfer([wheel(path, [*members, ("tiny/b.py", "x = 1\n" * 50)])], "code", 10**6, 0)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bomb_that_lies_about_its_size(tmp_path):
    """It gives no more than it declares, and its checksum then tells."""
    path = wheel(tmp_path / "a.whl", [("tiny/a.py", bytes(2**24))])
    opened = wheels.Wheel(patched(path, "tiny/a.py", size=10))
    assert "tiny/a.py in " in (told := line(opened.read, "tiny/a.py"))
    assert "is damaged" in told


def test_a_bomb_that_says_so(tmp_path):
    names = [f"tiny/{n:03}.py" for n in range(80)]
    path = wheel(tmp_path / "a.whl", [(name, "x") for name in names])
    for name in names:
        patched(path, name, size=2**25)
    assert f"unpacks to over {2**31} bytes; remove it" in line(wheels.Wheel, path)


# Sources


def read(path, content, column="text"):
    Path(path).write_bytes(content)
    with Path(path).open("rb") as file:
        return [text for _, text in readers.texts(file, str(path), column)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path):
    opened = readers.parquet(path, path, "text")
    return [text for _, text in readers.rows(opened, path, "text", 0)]


def test_a_column_of_parquet_that_unpacks_without_end(here, monkeypatch):
    monkeypatch.setattr(readers, "LIMIT", 2**18)
    pq.write_table(pa.table({"text": ["a" * 2**21]}), "a.parquet", compression="zstd", use_dictionary=False)
    told = line(rows, "a.parquet")
    assert "a.parquet: column 'text' unpacks to 2097" in told
    assert "in row group 0, more than 250 times what is there" in told
    pq.write_table(pa.table({"text": ["a" * 2**17]}), "b.parquet", compression="zstd", use_dictionary=False)
    assert rows("b.parquet") == ["a" * 2**17]


def test_a_value_that_stands_for_many_rows_is_in_memory_once(here):
    whole = pa.DictionaryArray.from_arrays(pa.array([0] * 4096, pa.int32()), pa.array(["a" * 2**20]))
    pq.write_table(pa.table({"text": whole}), "a.parquet", compression="zstd", store_schema=False)
    opened = readers.parquet("a.parquet", "a.parquet", "text")
    before = pa.total_allocated_bytes()
    found = readers.rows(opened, "a.parquet", "text", 0)
    assert len(next(found)[1]) == 2**20
    assert pa.total_allocated_bytes() - before < 64 * 2**20


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_packed_text_without_end_stops_at_the_most_of_a_shard(here, monkeypatch, pack):
    monkeypatch.setattr(shards, "MOST", 2**20)
    name = "a.txt.gz" if pack is gzip.compress else "a.txt.zst"
    bomb = pack(b"spam " * 2**23)
    assert len(bomb) < 2**16
    Path(name).write_bytes(bomb)
    listing = sources.listing([{"files": name}])
    asked = {"seed": 0, "test_fraction": 0.1, "train_bytes": None, "test_bytes": 10**5}
    assert line(shards.make, listing, 0, 1, **asked).startswith("corpus.shards: found 1, with which a shard")


def test_a_document_over_the_limit(here, monkeypatch):
    monkeypatch.setattr(readers, "LIMIT", 1000)
    assert "a.jsonl line 2 is longer than 1000 bytes" in line(
        read, "a.jsonl", b'{"text": "a"}\n{"text": "' + b"a" * 1000 + b'"}\n'
    )
    pq.write_table(pa.table({"text": ["a" * 1001]}), "a.parquet")
    assert "a.parquet row 0, column 'text', is longer than 1000 characters" in line(rows, "a.parquet")


def test_nested_json(here):
    assert "a.jsonl line 1 is no JSON" in line(read, "a.jsonl", b"[" * 10**6)


CHARACTERS = "a\rb\u2028c\u2029d\x85e\x0bf\x0cg\x00h"


def test_characters_that_some_take_for_line_ends_stay(here):
    expected = [CHARACTERS + "\ni"]
    plain = CHARACTERS.encode() + b"\r\ni"
    assert read("a.txt", plain) == expected
    # in JSON as they are too, but for those that it has escapes for
    loose = json.dumps({"text": CHARACTERS + "\r\ni"}, ensure_ascii=False).encode()
    assert "\u2028".encode() in loose
    assert read("a.jsonl", loose) == expected
    pq.write_table(pa.table({"text": [CHARACTERS + "\r\ni"]}), "a.parquet")
    assert rows("a.parquet") == expected


def test_one_document_only(here):
    """Of one document nothing can be held out."""
    Path("a.txt").write_text("one document, the only one there is\n" * 20)
    listing = sources.listing([{"files": "a.txt"}])
    asked = {"seed": 0, "test_fraction": 0.5, "train_bytes": None, "test_bytes": 10**5}
    found, out, _ = shards.make(listing, 0, 1, **asked)
    assert (len(found), len(out)) == (1, 0)
    shards.write("test.parquet", out, "test")
    told = line(shards.test_set, ["test.parquet"], 10**5, 0)
    assert told.startswith("the sources have no text held out for test")


# Tokens


def bpe(vocab, pattern=None, added=()):
    """A tokenizer.json without merges, as text."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    nothing = ("truncation", "padding", "normalizer", "post_processor", "decoder")
    return json.dumps(
        dict.fromkeys(nothing)
        | {"version": "1.0", "added_tokens": list(added), "pre_tokenizer": split if pattern else None}
        | {"model": {"type": "BPE", "vocab": vocab, "merges": []}}
    )


VOCAB = {"</s>": 0, "a": 1, "!": 2}
HOSTILE = {
    "a negative id": bpe(VOCAB | {"b": -1}),
    "a negative id that is added": bpe(VOCAB, added=[{"id": -3, "content": "x", "special": True}]),
    "an id over 32 bits": bpe(VOCAB | {"b": 2**32}),
    "deep nesting": "[" * 10**6,
    "deep nesting of objects": '{"model": ' * 10**5,
    "a broken pattern": bpe(VOCAB, "(a"),
    "bytes of zero": "\0" * 100,
    "no text": "",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_tokenizers(tmp_path, what):
    path = tmp_path / "tokenizer.json"
    path.write_text(HOSTILE[what])
    assert "tokenizer.json is no tokenizer.json (" in line(tokens.take_tokenizer, path, 3, "</s>")


def test_ids_of_a_tokenizer_with_gaps(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(bpe(VOCAB | {"b": 10}))
    assert tokens.take_tokenizer(path, 11, "</s>")
    assert "has 11 entries; set that" in line(tokens.take_tokenizer, path, 4, "</s>")


def test_a_pattern_that_backtracks_without_end(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(bpe(VOCAB, "(a+)+$"))
    tokenizer = tokens.load_tokenizer(path)
    told = line(tokens.write, tmp_path / "test.npy", "test", tokenizer, [["a" * 40 + "!"]], "</s>")
    assert told.startswith("the tokenizer fails on a text (")
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]


def test_more_entries_than_a_long_text_supports():
    assert "the training text yields 2" in line(tokens.train_tokenizer, [["ab"] * 10**4], 300)


@pytest.fixture
def letters(tmp_path):
    """A tokenizer of two entries, a token a letter."""
    return Tokenizer(models.BPE({tokens.END_OF_DOCUMENT: 0, "a": 1}, []))


def test_a_set_shorter_than_two_contexts_is_told(tmp_path, letters):
    # of n tokens n - 1 are predicted
    told = line(tokens.write, tmp_path / "code.npy", "code", letters, [["a" * 31]], n_ctx=16)
    assert told.startswith("code: 32 tokens are not two contexts of n_ctx 16")
    assert not list(tmp_path.iterdir())
    tokens.write(tmp_path / "code.npy", "code", letters, [["a" * 32]], n_ctx=16)
    # a shard may be short, or empty
    tokens.write(tmp_path / "shard.npy", "code", letters, [], n_ctx=None)


def test_a_set_shorter_than_two_contexts_is_told_before_the_first_step(tmp_path, letters):
    run = {"n_ctx": 16, "test_tokens": 512}
    for name, text in (("train", "a" * 99), ("code", "a" * 50), ("short", "a" * 20)):
        tokens.write(tmp_path / f"{name}.npy", name, letters, [[text]])
    assert "short" in line(job.evaluable, tmp_path / "train.npy", run, ("code", "short"))
    found = job.evaluable(tmp_path / "train.npy", run, ("code",))
    assert [index["set"] for _, index in found] == ["code"], "sets of other studies are passed over"


# Weights


DATA = struct.pack("<4f", 0, 1, 2, 3)
GOOD = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
BROKEN = {
    "a header of 2^60 bytes": ({"weight": GOOD}, 2**60),
    "a header of 2^64 bytes": ({"weight": GOOD}, 2**64 - 1),
    "offsets outside": ({"weight": GOOD | {"data_offsets": [0, 2**40]}}, None),
    "negative offsets": ({"weight": GOOD | {"data_offsets": [-16, 0]}}, None),
    "tensors that overlap": ({"weight": GOOD, "other": GOOD}, None),
    "a shape of 2^80": ({"weight": GOOD | {"shape": [2**40, 2**40]}}, None),
    "a dtype of no name": ({"weight": GOOD | {"dtype": "pickle"}}, None),
    "whole numbers": ({"weight": GOOD | {"dtype": "I32"}}, None),
    "another precision": ({"weight": GOOD | {"dtype": "F64", "data_offsets": [0, 32]}}, None),
    "another shape": ({"weight": GOOD | {"shape": [4, 1]}}, None),
    "another name": ({"weights": GOOD}, None),
    "deep nesting": (b"[" * 10**5, None),
}


def safetensors(header, length=None, data=DATA):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


@pytest.mark.parametrize("what", BROKEN)
def test_hostile_weights(tmp_path, what):
    path = tmp_path / "step000010.safetensors"
    header, length = BROKEN[what]
    path.write_bytes(safetensors(header, length, bytes(32) if what == "another precision" else DATA))
    told = line(snapshots.load, torch.nn.Linear(2, 2, bias=False), path)
    assert "step000010.safetensors is damaged (" in told
    assert "`snakemake --force " in told


def test_a_header_of_a_hundred_thousand_tensors_is_refused_unread(tmp_path):
    path = tmp_path / "step000010.safetensors"
    header = json.dumps({f"weight{index}": GOOD for index in range(100_000)}).encode()
    path.write_bytes(safetensors(header))
    told = line(snapshots.load, torch.nn.Linear(2, 2, bias=False), path)
    assert f"its header has {len(header):,} bytes, at most 4,194,304 are read" in told


def test_good_weights(tmp_path):
    path, model = tmp_path / "a.safetensors", torch.nn.Linear(2, 2, bias=False)
    path.write_bytes(safetensors({"weight": GOOD}))
    snapshots.load(model, path)
    assert model.weight.tolist() == [[0, 1], [2, 3]]
