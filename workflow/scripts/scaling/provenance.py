"""What every stage owes its user: one clear line on failure, nothing half-written, origins on record.

Beside each file ``name`` that a stage writes lies its record, ``.name.sha256``, as sha256sum writes and
checks it. Whoever reads the file goes by the record; a file without one, as earlier versions made them, is
read as it is.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

RECORD = re.compile(r"\.(.+)\.sha256")
"""Name of a record; of the file in brackets."""
NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
}
"""What a disk may refuse, in words."""


STALE = 3600.0
"""Seconds without a change after which a temporary file is taken for that of a killed process."""


class UserError(Exception):
    """A failure that its user can mend: one line that names what, where and the remedy."""


def run(main):
    """Run a script's ``main``; a :class:`UserError` becomes one line on stderr and exit code 1.

    So does what the disk refuses.
    """
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f"{error.filename}: " if error.filename else ""
        line = f"{where}{NO_ROOM[error.errno]}; mend that and run snakemake again"
        sys.exit(f"error: {line}: it goes on from what is there")


@contextmanager
def whole(path):
    """Yield a temporary path beside ``path``; renamed to ``path`` on success, removed on failure.

    Serves a file, which then has a record, or, if the caller makes a folder at the yielded path, a folder.
    The temporary name keeps the suffix, since some writers choose a format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_stale(path)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", dir=path.parent))
    made, record = scratch / path.name, record_of(path)
    try:
        yield made
        if path.is_dir():
            shutil.rmtree(path)
        if made.is_dir():
            made.replace(path)
            return
        (scratch / record.name).write_text(f"{sha256(made)}  {path.name}\n", encoding="utf-8")
        # at no moment is there a file beside the record of another
        record.unlink(missing_ok=True)
        made.replace(path)
        (scratch / record.name).replace(record)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _clear_stale(path):
    """Remove what killed processes left of earlier writings of ``path``."""
    temporary = re.compile(re.escape(f".{path.name[:40]}.") + "[a-z0-9_]{8}")
    for entry in os.scandir(path.parent):
        if temporary.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            with suppress(OSError):  # its writer is about to end
                changed = max(p.stat().st_mtime for p in (Path(entry), *Path(entry).iterdir()))
                if time.time() - changed > STALE:
                    shutil.rmtree(entry)


def record_of(path):
    """Where the checksum of the file at ``path`` is on record."""
    return Path(path).with_name(f".{Path(path).name}.sha256")


def fault(path):
    """What is wrong with the file at ``path`` by its record, in words; empty if nothing or none is there."""
    try:
        recorded = record_of(path).read_bytes()
    except FileNotFoundError:
        return ""
    found = re.fullmatch(rb"([0-9a-f]{64})  [^\n]+\n", recorded)
    if not found:
        return f"its record {record_of(path).name} is none"
    return "" if sha256(path) == found[1].decode() else "it does not have the checksum on its record"


def check(path):
    """Return ``path``; raises :class:`UserError` naming it if it is missing or not as it was written."""
    try:
        found = fault(path)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    if found:
        raise damaged(path, found)
    return path


def missing(path):
    """The :class:`UserError` of a file that is not there."""
    return UserError(f"{path} does not exist; `snakemake {target(path)}` makes it")


def damaged(path, reason):
    """The :class:`UserError` of a file that is not what a stage wrote."""
    line = " ".join(str(reason).split())[:200]
    return UserError(
        f"{path} is damaged ({line}); `snakemake --force {target(path)}`, with your study's --configfile, "
        "makes it again"
    )


def target(path):
    """The file by which Snakemake makes what lies at ``path``: of a run's snapshots, its run.json."""
    for folder in Path(path).parents:
        if folder.name in ("snapshots", "checkpoints"):
            return folder.with_name("run.json")
    return path


def remove(path):
    """Remove the file at ``path``, if it is there, and its record."""
    record_of(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def write_json(path, value):
    """Write ``value`` as indented JSON with a final newline, whole or not at all; NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with whole(path) as scratch:
        scratch.write_text(text + "\n", encoding="utf-8")


def read_json(path):
    """Read JSON; raises :class:`UserError` naming the file if it is missing or damaged."""
    check(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value, length=8):
    """A short, stable hexadecimal digest of any JSON value, the same on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def versions(*packages):
    """Versions of Python and of the installed ``packages``, for an artifact's own record."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
