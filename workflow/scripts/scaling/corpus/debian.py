"""Debian packages of documentation as sources: fetched by apt-get, read as archives; nothing in them is
executed.

Text is what regular files under ``usr/share`` hold whose names end in .txt, .text, .rst, .html or .htm,
each also .gz, dictionaries (.dict, .dict.dz), and fortunes. Tags of HTML go, with what scripts and styles
hold. A file that is no UTF-8 is read as Latin-1, as old documentation is.
"""

import html.parser
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from urllib.parse import unquote

from scaling import provenance
from scaling.corpus import readers
from scaling.provenance import UserError

MEMBER = re.compile(
    r"(\./)?(usr/share/(.+\.((txt|text|rst|html?)(\.gz)?|dict(\.dz)?)|games/fortunes/(.*/)?[^./]+))",
    re.IGNORECASE,
)


def listed(packages):
    """Packages as they are now: ``path`` (the name), ``version``, ``bytes`` and ``sha256`` of each."""
    with tempfile.TemporaryDirectory() as folder:
        return [_described(path) for path in _fetched(packages, Path(folder))]


def _described(path):
    name, version, _ = unquote(path.stem).split("_")
    return {
        "path": name,
        "version": version,
        "bytes": path.stat().st_size,
        "sha256": provenance.sha256(path),
    }


def _fetched(packages, folder):
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise UserError("Debian packages need apt-get and dpkg-deb, which are not here; give other `sources`")
    command = ["apt-get", "download", *packages]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith("E: ")] or [
            "no reason given"
        ]
        raise UserError(
            f"cannot fetch {', '.join(packages)}: {errors[0].removeprefix('E: ')} (check the names and "
            "the network, and that `apt-get update` was run)"
        )
    return sorted(folder.glob("*.deb"))


def texts(file, part=readers.WHOLE):
    """Documents of a package as :func:`listed` describes it, as :func:`readers.texts`.

    Raises :class:`UserError` if it cannot be fetched, is another one than was listed, or holds no text.
    """
    number = -1
    with tempfile.TemporaryDirectory() as folder:
        (path,) = _fetched([f"{file['path']}={file['version']}"], Path(folder))
        if _described(path) != file:
            raise UserError(
                f"Debian package {file['path']} is another file than was listed; list the sources anew"
            )
        with (
            subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE) as unpacked,
            tarfile.open(fileobj=unpacked.stdout, mode="r|") as archive,
        ):
            for member in archive:
                archive.members.clear()  # it would keep what it knows of each
                found = MEMBER.fullmatch(member.name)
                if member.isreg() and found and member.size <= readers.LIMIT:
                    for text in _pieces(found[2].lower(), archive.extractfile(member).read()):
                        number += 1
                        if readers.belongs(number, part):
                            yield number, text
    if number < 0:
        raise UserError(f"Debian package {file['path']} holds no text that is read; name another")


def _pieces(name, content):
    """Texts of one file, each of readers.LONGEST bytes at most; none where it cannot be unpacked."""
    if name.endswith((".gz", ".dz")):
        try:
            content = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content, readers.LIMIT)
        except zlib.error:
            return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if ".htm" in name:
        text = _bare(text)
    content = text.replace("\r\n", "\n").encode()
    while content:
        end = readers.cut(content[: readers.LONGEST + 1], readers.LONGEST)
        yield content[:end].decode().strip("\n")
        content = content[end:]


class _Bare(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.kept, self.hidden = [], 0

    def handle_starttag(self, tag, _):
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style") and self.hidden > 0

    def handle_data(self, data):
        if not self.hidden:
            self.kept.append(data)


def _bare(markup):
    parser = _Bare()
    parser.feed(markup)
    parser.close()
    return re.sub(r"\n[ \t]*\n\s*\n", "\n\n", "".join(parser.kept))
