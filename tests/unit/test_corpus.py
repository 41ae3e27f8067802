"""Corpus stage: small wheels, built here, to documents."""

import ast
import gzip
import hashlib
import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scaling import provenance
from scaling.corpus import clean, dedup, documents, extract, wheels

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
WORDS = ("apple", "river", "stone", "cloud", "engine", "garden", "window", "letter", "market", "bridge")


def sentences(seed, words=60):
    """Prose that shares no eight words with that of another seed."""
    drawn = random.Random(seed).choices(WORDS, k=words)
    return " ".join(["The", *drawn, "of", f"part {seed}."])


def build(folder, name, files, version="1.0", header="License-Expression: MIT\n", readme="A readme.\n"):
    """A wheel that pip accepts; ``files`` maps paths to text or bytes."""
    info = f"{name}-{version}.dist-info"
    described = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{header}\n{readme}"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", described)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def module(*docstrings):
    return "".join(f'def f{place}():\n    """{text}"""\n' for place, text in enumerate(docstrings))


@pytest.fixture
def pair(tmp_path):
    """Two wheels of 40 modules in 20 folders; the second paragraph of a module is in both wheels."""
    paths = []
    for name in ("alpha", "beta"):
        files = {
            f"{name}/{n // 2}/m{n % 2}.py": module(sentences(f"{name}{n}"), sentences(n)) for n in range(40)
        }
        paths.append(build(tmp_path, name, files))
    return paths


def script(name, *arguments):
    command = [sys.executable, SCRIPTS / f"{name}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# wheels


def test_fetch_takes_the_pinned_wheel_only(tmp_path, monkeypatch):
    wheel = build(tmp_path / "index", "tiny", {"tiny.py": ""})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    out = tmp_path / "out" / "tiny.whl"
    wheels.fetch(f"tiny==1.0 --hash=sha256:{sha(wheel)}", out)
    assert sha(out) == sha(wheel)
    assert wheels.lock(["tiny"]) == f"tiny==1.0 \\\n    --hash=sha256:{sha(wheel)}\n"

    bad = script("wheel", "--pin", f"tiny==1.0 --hash=sha256:{'0' * 64}", "--out", tmp_path / "bad.whl")
    assert bad.returncode == 1
    assert bad.stderr.startswith("error: cannot fetch tiny==1.0: THESE PACKAGES DO NOT MATCH THE HASHES")
    assert bad.stderr.count("\n") == 1
    assert not (tmp_path / "bad.whl").exists()


def test_a_disk_that_pip_found_full_is_told(tmp_path, monkeypatch):
    said = (
        "ERROR: Exception:\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device\n"
    )
    failed = subprocess.CompletedProcess([], 2, "", said)
    monkeypatch.setattr(wheels.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(provenance.UserError, match=r"has no room for what pip downloads \(No space left on"):
        wheels.fetch(f"tiny==1.0 --hash=sha256:{'0' * 64}", tmp_path / "tiny.whl")


@pytest.mark.parametrize("pin", ["tiny", "tiny==1.0", "-r other.txt", "tiny==1.0 --hash=md5:0"])
def test_malformed_pin(tmp_path, pin):
    with pytest.raises(provenance.UserError, match="is not 'name==version"):
        wheels.fetch(pin, tmp_path / "out.whl")


def test_members_that_leave_the_wheel_are_ignored(tmp_path):
    path = build(tmp_path, "tiny", {"../evil.py": "x", "tiny/../../evil.py": "x", "tiny/a..b.py": "x"})
    assert [name for name in wheels.Wheel(path).names if name.endswith(".py")] == ["tiny/a..b.py"]


def test_zip_bombs(tmp_path, monkeypatch):
    big = build(tmp_path, "big", {"big/a.py": "#" * 5000, "big/b.json.gz": gzip.compress(b" " * 5000)})
    monkeypatch.setattr(wheels, "MEMBER_LIMIT", 4000)
    for name in ("big/a.py", "big/b.json.gz"):
        with pytest.raises(provenance.UserError, match=rf"{name} in .* unpacks to over 4000 bytes"):
            wheels.Wheel(big).read(name)
    monkeypatch.setattr(wheels, "WHEEL_LIMIT", 5000)
    with pytest.raises(provenance.UserError, match="unpacks to over 5000 bytes"):
        wheels.Wheel(big)


def test_damaged_wheels(tmp_path):
    path = build(tmp_path, "tiny", {"tiny.py": "x = 'findable'"})
    path.write_bytes(path.read_bytes().replace(b"findable", b"replaced"))
    with pytest.raises(provenance.UserError, match=r"tiny\.py in .* is damaged"):
        wheels.Wheel(path).read("tiny.py")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(provenance.UserError, match="is no wheel"):
        wheels.Wheel(path)


@pytest.mark.parametrize(
    ("header", "licence"),
    [
        ("License: long text\nLicense-Expression: MIT\n", "MIT"),
        ("License: Files: *\nClassifier: License :: OSI Approved :: BSD License\n", "BSD License"),
        ("License: Apache 2.0\nClassifier: License :: OSI Approved\n", "Apache 2.0"),
        ("", "not declared"),
    ],
)
def test_licence(tmp_path, header, licence):
    assert wheels.Wheel(build(tmp_path, "tiny", {}, header=header)).licence == licence


# extraction


SOURCE = '''#!/usr/bin/env python
"""Module."""
# pylint: a message to a tool

# it's one comment
# of two lines
word = "a # sign and \\"quotes\\" and '\'\'\'"
class A[T]:  # newer than some Pythons
    r"""Raw \\n."""
    attribute = 1
    """Attribute, \\"quoted\\"."""
    def f(self):
        \'\'\'Single
        quotes.\'\'\'
        return f"""{self} is no docstring""", """nor
        is this"""
    f.__doc__ = """Assigned."""
add_newdoc("a", "b", """Added.""")
'''


def test_docstrings_are_found_whatever_the_grammar():
    assert list(extract.docstrings(SOURCE)) == [
        "Module.",
        "Raw \\n.",
        'Attribute, "quoted".',
        "Single\n        quotes.",
        "Assigned.",
        "Added.",
    ]


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("scaling/corpus/*.py")), ids=lambda path: path.name)
def test_docstrings_agree_with_ast(path):
    source = path.read_text(encoding="utf-8")
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    expected = {ast.get_docstring(node, clean=False) for node in nodes} - {None}
    assert expected
    assert expected <= set(extract.docstrings(source))


def test_comments_and_code():
    assert extract.comments(SOURCE) == ["it's one comment\nof two lines"]
    (code,) = extract.code(SOURCE)
    assert '"a # sign' in code
    assert "is no docstring" in code
    for gone in ("Module", "Raw", "r\n    attribute", "Attribute", "Single", "two lines", "newer"):
        assert gone not in code


def test_cloud_strips_tags():
    described = {
        "documentation": "<p>One &amp; <b>two</b>.</p><p>Three.</p>",
        "x": [{"documentation": "Four."}],
    }
    assert extract.cloud(json.dumps(described)) == ["One & two.\nThree.", "Four."]


# cleaning


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("The first.\r\n    And\r\n\r\n    the second.\r\n", ["The first.\nAnd", "the second."]),
        ("A title\n    =======\n    text of it.", ["A title\ntext of it."]),
        (
            "Before the test.\n\n>>> f(of, the)\nthe output of it\n\nAfter it.",
            ["Before the test.", "After it."],
        ),
        ("Call it::\n\n    the = code(of)\n\n    is, this\n\nAnd so on.", ["Call it:", "And so on."]),
        ("Fence of it.\n```python\nfor the in code:\n\n    is\n```\nAnd on.", ["Fence of it.", "And on."]),
        (".. code-block:: python\n\n   for the in code: is\n\nThe rest.", ["The rest."]),
        (".. note:: This is kept,\n   as is this.", ["This is kept,\nas is this."]),
        ("x : 1, 2, 3, 4, 5, 6, 7, 8, 9, [the]", []),
        ("Parameters", []),
        ("An :class:`~a.B` of C{d} and :ref:`text <label>`.", ["An a.B of d and text."]),
        ("Of this\n    - and\n      that.", ["Of this\n- and\n  that."]),
    ],
)
def test_cleaning(docstring, expected):
    assert clean.paragraphs(docstring) == expected


# de-duplication


def gone(*paragraphs):
    return dedup.duplicates(*dedup.shingles(paragraphs), len(paragraphs)).tolist()


def test_exact_and_near_duplicates():
    words = [f"w{n}" for n in range(40)]
    text = " ".join(words)
    assert gone(text, text) == [False, True]
    assert gone(text, text.upper().replace(" ", ",\n")) == [False, True]
    assert gone(text, " ".join(words[:30] + ["new"] * 10)) == [False, True]
    assert gone(text, " ".join(words[:15] + [f"n{n}" for n in range(25)])) == [False, False]
    assert gone("Of the same", "of the same.", "Of the sam e", "Of the") == [False, True, False, False]
    assert gone(text + " " + text) == [False]


def test_shingles_match_a_plain_count():
    texts = [
        "the cat sat, on the mat",
        "The cat sat on the mat",
        "a b c d e f g h i",
        "b c d e f g h i",
        "é è",
    ]
    hashes, owner = dedup.shingles(texts)
    assert owner.tolist() == [0, 1, 2, 2, 3, 4]
    assert hashes[0] == hashes[1]
    assert hashes[3] == hashes[4]
    assert len(np.unique(hashes)) == 4
    assert (dedup.shingles(texts[3:])[0][0] == hashes[4]).all()


# documents


def prose(paths, folder, seed=0, processes=1):
    outputs = folder / "train.parquet", folder / "test.parquet"
    options = ["--seed", seed, "--test-fraction", 0.2, "--train", outputs[0], "--test", outputs[1]]
    done = script("prose", "--wheels", *paths, *options, "--processes", processes)
    assert done.returncode == 0, done.stderr
    return outputs


def test_same_wheels_same_bytes(pair, tmp_path):
    first = prose(pair, tmp_path / "a")
    again = prose(pair[::-1], tmp_path / "b", processes=2)
    assert [sha(path) for path in first] == [sha(path) for path in again]
    rows = [row for path in first for row in pq.read_table(path).to_pylist()]
    columns = pq.ParquetFile(first[0]).metadata.row_group(0)
    assert {columns.column(place).compression for place in range(5)} == {"UNCOMPRESSED"}
    assert list(rows[0]) == ["id", "source", "version", "set", "text"]
    assert len(rows) == 80
    assert {row["set"] for row in rows} == {"train", "test"}
    row = next(row for row in rows if row["id"] == "beta/beta/3/m1.py")
    assert row["text"] == sentences("beta7")


def test_known_bytes(tmp_path):
    """The text of a corpus may change with its code only, never with the machine."""
    path = build(tmp_path, "tiny", {f"tiny/{n}.py": module(sentences(n)) for n in range(3)})
    text = "".join(document.id + document.text for document in documents.shuffled(documents.prose([path]), 1))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "af5b4ccd3b4ca46e"


def test_split_keeps_folders_whole_and_sources_even(pair):
    found = documents.prose(pair)
    train, test = documents.split(found, 0.2)
    folders = [{document.id.rpartition("/")[0] for document in part} for part in (train, test)]
    assert not folders[0] & folders[1]
    for source in ("alpha", "beta"):
        share = sum(document.source == source for document in test) / 40
        assert 0.1 <= share <= 0.2
    assert set(documents.split(found[::-1], 0.2)[1]) == set(test)


def test_large_documents_train():
    def document(name, size):
        return documents.Document(f"a/{name}/m.py", "a", "1", "x" * size)

    small = [document(n, 100) for n in range(10)]
    large = [document(n, documents.LARGE + 1) for n in range(10, 20)]
    train, test = documents.split(small + large, 0.5)
    assert set(test) == set(small)
    assert set(train) == set(large)


def test_empty_split(pair):
    with pytest.raises(provenance.UserError, match="80 are for training and 0 for test"):
        documents.split(documents.prose(pair), 0.001)


def test_order_is_random_nested_and_by_seed(pair):
    found = documents.prose(pair)
    order = documents.shuffled(found, 0)
    assert documents.shuffled(found[::-1], 0) == order
    assert documents.shuffled(found, 1) != order
    assert {document.source for document in order[:10]} == {"alpha", "beta"}
    fewer = [document for document in order if document.source == "beta"]
    assert documents.shuffled(fewer, 0) == fewer


def test_skipped_modules(tmp_path):
    text = module(sentences(1))
    skipped = ["a/tests/b.py", "a/_version.py", "a/conftest.py", "a/test_b.py", "a/_vendor/b.py"]
    path = build(tmp_path, "a", dict.fromkeys(skipped, text) | {"a/testament.py": text})
    assert [document.id for document in documents.prose([path])] == ["a/a/testament.py"]


def test_a_package_given_twice(tmp_path):
    path = [build(tmp_path, "a", {"a/b.py": module(sentences(1))}, version) for version in ("1.0", "2.0")]
    with pytest.raises(provenance.UserError, match="2 wheels of a are given"):
        documents.prose(path)


# transfer sets and manifest


def test_transfer_sets(tmp_path):
    files = {f"a/{n}.py": f"# {sentences(n)}\nx = {n}\n" + f"y = {n}\n" * 40 for n in range(30)}
    files["a/copy.py"] = files["a/7.py"]
    files["a/b.h"] = f"// {sentences(100)}\n"
    files["a/service-2.json.gz"] = gzip.compress(json.dumps({"documentation": sentences(103)}).encode())
    files["a-1.0.dist-info/licenses/LICENSE"] = sentences(101)
    path = build(tmp_path, "a", files, readme=sentences(102))
    for kind in ("cloud", "headers", "readmes", "licences"):
        (document,) = documents.transfer([path], kind, 10**6, 0)
        assert len(document.text) > 100
    full = documents.transfer([path], "comments", 10**6, 0)
    assert len(full) == 30
    code = documents.transfer([path], "code", 10**6, 0)
    assert len(code) == 30
    assert not any("#" in document.text for document in code)
    some = documents.transfer([path], "comments", 16 * 600, 0)
    assert some == full[: len(some)]
    assert 0 < 16 * 600 - sum(len(document.text) for document in some) < 600
    assert documents.transfer([path], "comments", 10**6, 1) != full


def test_long_documents_are_cut(tmp_path):
    comments = "".join(f"# {sentences(n)}\n\n" for n in range(40))
    path = build(tmp_path, "a", {"a/b.py": comments})
    (document,) = documents.transfer([path], "comments", 16 * 2000, 0)
    assert 1000 < len(document.text) <= 2000
    assert document.text.startswith(sentences(0) + "\n\n" + sentences(1))


def test_a_kind_that_is_not_there(pair):
    with pytest.raises(provenance.UserError, match="no text of the kind 'headers' in"):
        documents.transfer(pair, "headers", 1000, 0)


def test_manifest(pair, tmp_path):
    train, test = prose(pair, tmp_path)
    far, leaked = tmp_path / "far.parquet", tmp_path / "leaks.parquet"
    path = build(tmp_path, "gamma", {"gamma/a.py": f"# {sentences(1)} {sentences(2)}\n"})
    options = ["--name", "far", "--read", "comments", "--max-bytes", 10**5, "--seed", 0, "--wheels", path]
    assert script("transfer", *options, "--out", far).returncode == 0
    assert script("leaks", "--documents", train, "--sets", test, far, "--out", leaked).returncode == 0
    out = tmp_path / "manifest.json"
    parts = ["--train", train, "--sets", test, far, "--leaks", leaked]
    done = script("manifest", *parts, "--wheels", path, *pair, "--out", out)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(out.read_text())
    assert [wheel["source"] for wheel in manifest["wheels"]] == ["alpha", "beta", "gamma"]
    assert manifest["wheels"][0] == {
        "source": "alpha",
        "version": "1.0",
        "licence": "MIT",
        "sha256": sha(pair[0]),
        "bytes": pair[0].stat().st_size,
    }
    assert list(manifest["sets"]) == ["train", "test", "far"]
    rows = pq.read_table(test).to_pylist()
    found = manifest["sets"]["test"]
    assert found["documents"] == len(rows)
    assert found["bytes"] == sum(len(row["text"].encode()) for row in rows)
    assert found["sha256"] == sha(test)
    largest = max(len(row["text"]) for row in rows)
    assert found["largest_share"] == pytest.approx(largest / found["bytes"], abs=1e-4)
    assert set(found["source_shares"]) == {"alpha", "beta"}
    assert sum(found["source_shares"].values()) == pytest.approx(1, abs=1e-3)
    assert manifest["sets"]["far"]["source_shares"] == {"gamma": 1.0}
    content = "".join(f"{row['id']}\0{row['text']}\0" for row in rows)
    assert found["text_sha256"] == hashlib.sha256(content.encode()).hexdigest()
    assert manifest["sources"] == []
    assert set(manifest["leaks"]) == {"test", "far"}
    assert manifest["leaks"]["far"]["documents"] == 1
