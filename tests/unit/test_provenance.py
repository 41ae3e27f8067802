"""Whole or nothing, one line or success."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from scaling import provenance, units
from scaling.provenance import UserError

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


def test_a_failed_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    provenance.write_json(path, {"a": 1})
    with suppress(InterruptedError), provenance.whole(path) as scratch:
        scratch.write_text("half")
        raise InterruptedError
    assert provenance.read_json(path) == {"a": 1}
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", ".a.json.sha256"}


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        provenance.write_json(tmp_path / "a.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("old", "new"):
        with provenance.whole(tmp_path / "snapshots") as scratch:
            scratch.mkdir()
            (scratch / content).touch()
    assert [p.name for p in (tmp_path / "snapshots").iterdir()] == ["new"]


def test_files_get_ordinary_permissions(tmp_path):
    provenance.write_json(tmp_path / "a.json", 1)
    (tmp_path / "b").touch()
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize(("content", "line"), [(None, "does not exist"), ("{", "is damaged")])
def test_reading_names_the_file_and_the_remedy(tmp_path, content, line):
    if content:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=rf"a.json {line}.*snakemake"):
        provenance.read_json(tmp_path / "a.json")


def test_a_script_fails_with_one_line():
    code = (
        "from scaling import provenance\ndef main(): raise provenance.UserError('x: y')\nprovenance.run(main)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "error: x: y\n")


def test_digest_depends_on_content_not_on_order():
    assert provenance.digest({"a": 1, "b": 2.0}) == provenance.digest({"b": 2.0, "a": 1})
    assert provenance.digest([1]) != provenance.digest([2])


COUNTS = [(0, "0"), (2048, "2048"), (4000, "4k"), (8_000_000, "8M"), (10**9, "1G")]


@pytest.mark.parametrize(("count", "text"), COUNTS)
def test_counts_are_shortened_without_loss(count, text):
    assert units.compact(count) == text


def test_a_pf_day():
    assert units.pf_days(8.64e19) == 1
