"""Damages what stages read, one file after another, and tells which stage did not notice."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

from scaling import provenance

ENTRY = Path(__file__).with_name("stages.py")


def flipped(content, place):
    """``content`` with a bit of the byte at ``place`` turned over."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


KINDS = {
    "cut short": lambda content: content[: len(content) // 2],
    "a bit flipped": lambda content: flipped(content, len(content) // 2),
    "emptied": lambda content: b"",
}
"""Damages: functions of a file's content."""


def linked(project, root):
    """A copy of ``project`` in ``root`` of links to its files: what is written anew is in the copy alone."""
    subprocess.run(["cp", "-al", project.root, root], check=True)
    return type(project)(root, project.environment["PIP_FIND_LINKS"])


def stages(project, summary):
    """A job of each rule in Snakemake's detailed ``summary``: {rule: (command, input files)}."""
    found = {}
    for line in summary.splitlines():
        cells = line.split("\t")
        if len(cells) > 5 and cells[5] not in ("-", "shellcmd") and cells[2] not in found:
            words = shlex.split(cells[5])
            command = words[words.index("python") + 1 : words.index(">")]
            found[cells[2]] = (
                command,
                [file for path in cells[4].split(",") for file in _files(project, path)],
            )
    return found


def _files(project, name):
    """The files at a path that is an input: of an array its index too, of a folder each that has a record."""
    path = project.root / name
    if path.is_dir():
        return [
            f"{name}/{file.name}" for file in sorted(path.iterdir()) if provenance.record_of(file).exists()
        ]
    return [name, name.removesuffix(".npy") + ".json"] if name.endswith(".npy") else [name]


class Stages:
    """Runs stages in ``project``, each in a process of its own that has its imports behind it."""

    def __init__(self, project):
        environment = project.environment | {"PYTHONPATH": str(project.root / "workflow/scripts")}
        self.process = subprocess.Popen(
            [sys.executable, ENTRY, project.root], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, command):
        """Exit code and all that ``command``, a list that begins with its script, says."""
        print(json.dumps(command), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return answer["code"], answer["text"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def unnoticed(project, run, command, name):
    """Damages of the file ``name`` that ``command`` did not name in one line with a remedy: kind and text."""
    path = project.root / name
    content, found = path.read_bytes(), []
    for kind, damage in KINDS.items():
        path.unlink()  # a link to a file that others have
        path.write_bytes(damage(content))
        code, text = run(command)
        lines = [line for line in text.splitlines() if line.startswith("error: ")]
        named = len(lines) == 1 and name in lines[0] and "`snakemake --force " in lines[0]
        if code != 1 or not named or "Traceback" in text:
            found.append(f"{command[0]}: {name} {kind}: exit code {code}, {text[-300:]!r}")
    path.write_bytes(content)
    return found
