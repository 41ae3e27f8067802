"""What every stage owes its user: one clear line on failure, nothing half-written, origins on record."""

import hashlib
import json
import platform
import shutil
import sys
import tempfile
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path


class UserError(Exception):
    """A failure that its user can mend: one line that names what, where and the remedy."""


def run(main):
    """Run a script's ``main``; a :class:`UserError` becomes one line on stderr and exit code 1."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")


@contextmanager
def whole(path):
    """Yield a temporary path beside ``path``; renamed to ``path`` on success, removed on failure.

    Serves a file or, if the caller makes a folder at the yielded path, a folder.
    The temporary name keeps the suffix, since some writers choose a format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", dir=path.parent))
    try:
        yield scratch / path.name
        if path.is_dir():
            shutil.rmtree(path)
        (scratch / path.name).replace(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_json(path, value):
    """Write ``value`` as indented JSON with a final newline, whole or not at all; NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with whole(path) as scratch:
        scratch.write_text(text + "\n", encoding="utf-8")


def read_json(path):
    """Read JSON; raises :class:`UserError` naming the file if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; `snakemake {path}` makes it") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run snakemake again") from None


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
