"""Runs a study that is killed again and again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "KILLED_STUDY"
"""Environment variable that all processes of a study have, those too that outlive their parent."""


class Study:
    """The study of ``project``, run in processes that can be found and killed."""

    def __init__(self, project):
        self.project, self.log = project, project.root / "killed.log"
        self.process = None

    def start(self, cores):
        """Start Snakemake."""
        command = [str(Path(sys.executable).parent / "snakemake"), "--cores", str(cores)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--configfile", "studies/smoke.yaml", "test.yaml"], cwd=self.project.root,
                env=self.project.environment | {MARK: str(self.project.root)}, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def running(self):
        """Whether Snakemake is."""
        return self.process is not None and self.process.poll() is None

    def members(self):
        """Ids of all processes of the study, whoever's children they are by now."""
        mark, found = f"{MARK}={self.project.root}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # ended meanwhile, or another user's
                continue
        return found

    def kill(self, processes):
        """SIGKILL to ``processes``."""
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.running()  # or it would stay a zombie

    def end(self, seconds=600):
        """Wait until no process of the study is left."""
        until = time.monotonic() + seconds
        while self.running() or self.members():
            assert time.monotonic() < until, f"{self.members()} do not end"
            time.sleep(0.2)


def listening(processes):
    """Which of ``processes`` listen on a TCP port: {id: [address in hexadecimal, …]}."""
    sockets = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A":
                sockets[f"socket:[{cells[9]}]"] = cells[1]
    found = {}
    for process in processes:
        try:
            links = [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()]
        except OSError:
            continue
        if there := [sockets[link] for link in links if link in sockets]:
            found[process] = there
    return found
