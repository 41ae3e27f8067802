"""Wheels: fetched by pin, read as zips; nothing in them is ever executed."""

import errno
import gzip
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from email.parser import HeaderParser
from pathlib import Path

from scaling import provenance

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+(\s+--hash=sha256:[0-9a-f]{64})+")
METADATA = r"[^/]+\.dist-info/METADATA"
OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet"),
    *("--python-version", "3.12", "--implementation", "cp"),
    *("--abi", "cp312", "--abi", "abi3", "--abi", "none"),
    *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"),
)
"""One interpreter and platform, whatever the host: everybody fetches the same file."""

MEMBER_LIMIT = 32 * 2**20
WHEEL_LIMIT = 2 * 2**30
"""Bytes that one member, and all members together, may unpack to; more is taken for a zip bomb."""
MOST_MEMBERS = 100_000
WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members of wheels are packed; the dictionaries of other ways may take gigabytes."""


def fetch(pin, out):
    """Download the wheel that ``pin`` names to the path ``out``, through pip and under its hash check.

    ``pin`` reads ``name==version --hash=sha256:…``, with one hash or more. pip's own configuration and
    ``PIP_*`` variables apply. Raises :class:`UserError` for a malformed pin, and with pip's own last
    error if it finds no such wheel, reaches no index, or receives another hash.
    """
    if not PIN.fullmatch(pin):
        raise provenance.UserError(f"pin {pin!r} is not 'name==version --hash=sha256:<64 digits>'")
    with provenance.whole(out) as scratch:
        (wheel,) = _download([pin], scratch.parent, "--require-hashes")
        # pip's file has the permissions of the one it was taken from
        shutil.copyfile(wheel, scratch)


def lock(packages):
    """A lock, as text, that pins the newest wheels of ``packages``, names or requirements without hashes.

    Raises :class:`UserError` as :func:`fetch` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        pins = []
        for path in _download(packages, Path(folder)):
            with Wheel(path) as wheel:
                digest = provenance.sha256(path)
                pins.append(f"{wheel.source}=={wheel.version} \\\n    --hash=sha256:{digest}\n")
    return "".join(sorted(pins))


def _download(requirements, folder, *options):
    """Paths of the wheels that pip downloads into ``folder``."""
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    options = [*OPTIONS, *options, "-d", folder / "wheels", "-r", listed]
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options], capture_output=True, text=True
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["pip gave no reason"]
        reason = ([line for line in lines if line.startswith("ERROR: ")] or lines)[-1]
        full = os.strerror(errno.ENOSPC)
        if full in result.stderr:
            raise provenance.UserError(f"{folder} has no room for what pip downloads ({full}); make some")
        raise provenance.UserError(
            f"cannot fetch {', '.join(line.split()[0] for line in requirements)}: "
            f"{reason.removeprefix('ERROR: ')} (check the network, pip's configuration and the lock)"
        )
    return sorted((folder / "wheels").glob("*.whl"))


class Wheel:
    """An open wheel: its ``source`` (normalised package name), ``version``, ``licence`` and sorted ``names``.

    Members whose path leaves the wheel are ignored; none is written to the disk. Raises :class:`UserError`
    for what is no wheel and for one of more than MOST_MEMBERS or that unpacks to more than WHEEL_LIMIT.
    """

    def __init__(self, path):
        self._path = provenance.check(path)
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, ValueError, struct.error, zipfile.BadZipFile) as error:
            raise provenance.UserError(f"{path} is no wheel ({error}); delete it, fetch it again") from None
        if len(self._archive.infolist()) > MOST_MEMBERS:
            raise provenance.UserError(
                f"{path} has {len(self._archive.infolist())} members, expected at most {MOST_MEMBERS}; "
                "remove it from the corpus"
            )
        kept = [info for info in self._archive.infolist() if ".." not in info.filename.split("/")]
        if sum(info.file_size for info in kept) > WHEEL_LIMIT:
            raise provenance.UserError(
                f"{path} unpacks to over {WHEEL_LIMIT} bytes; remove it from the corpus"
            )
        self.names = sorted({info.filename for info in kept if not info.is_dir()})
        described = [name for name in self.names if re.fullmatch(METADATA, name)]
        if len(described) != 1:
            raise provenance.UserError(f"{path} is no wheel (no METADATA); delete it and fetch it again")
        metadata = HeaderParser().parsestr(self.read(described[0]).decode("utf-8", "replace"))
        if not (metadata["Name"] and metadata["Version"]):
            raise provenance.UserError(
                f"{path} is no wheel (no name or version in METADATA); delete it and fetch it again"
            )
        self.source = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
        self.version = metadata["Version"]
        self.licence = _licence(metadata)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._archive.close()

    def read(self, name):
        """Bytes of a member, unpacked if its name ends in ``.gz``.

        Raises :class:`UserError` for one that is damaged, encrypted, packed otherwise than WAYS, or over
        MEMBER_LIMIT.
        """
        described = self._archive.getinfo(name)
        if described.compress_type not in WAYS or described.flag_bits & 1:
            raise provenance.UserError(
                f"{name} in {self._path} is packed or encrypted as no wheel's members are; remove that wheel"
            )
        try:
            with self._archive.open(name) as file, gzip.open(file) if name.endswith(".gz") else file as plain:
                content = plain.read(MEMBER_LIMIT + 1)
        except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise provenance.UserError(
                f"{name} in {self._path} is damaged ({error}); delete the wheel and fetch it again"
            ) from None
        if len(content) > MEMBER_LIMIT:
            raise provenance.UserError(
                f"{name} in {self._path} unpacks to over {MEMBER_LIMIT} bytes; remove that wheel"
            )
        return content


def _licence(metadata):
    """The licence a wheel declares: as an expression, else by classifiers, else the field's first line."""
    classified = [
        value.rsplit(" :: ", 1)[-1]
        for value in metadata.get_all("Classifier", ())
        if value.startswith("License :: ") and value.count(" :: ") > 1
    ]
    line = (metadata["License"] or "").strip().split("\n")[0]
    return metadata["License-Expression"] or "; ".join(sorted(classified)) or line or "not declared"
