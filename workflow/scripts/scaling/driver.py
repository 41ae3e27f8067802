"""What the process that drives a study does before its first job: alone here, and with no job left behind.

The driver is Snakemake's main process. It may be killed at any moment; the kernel then lets go of its lock,
while jobs that it had given to Slurm go on without it.
"""

import fcntl
import math
import os
import re
import shutil
import socket
import subprocess
import time

from scaling.provenance import UserError

PREFIX = "frontier"
"""What names of Slurm jobs begin with, as in slurm/profile.yaml."""
PATIENCE = 180.0
"""Seconds that jobs which were left behind have to save and leave."""
SITE_KEYS = {
    **{"minutes": ("hours", 60), "cpus": ("cpus_per_node", 1), "memory_mb": ("memory_gb", 1000)},
    "gpus": ("gpus_per_node", 1),
}
"""What of a node bounds which key of the site, and how many of its units are one of the key's."""
MEND = "mend slurm/site.yaml"
ACTIVE = "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING,RESIZING,STOPPED,REQUEUED,REQUEUE_HOLD"


def alone(path):
    """Lock ``path`` until this process ends, however it ends; returns the open file, to be kept.

    Raises UserError naming the other driver where there is one. Whether the lock reaches another host is for
    the file system to say; each run's folder has a lock of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise UserError(f"{holder} drives a study here already; wait for it, or end it") from None
    except OSError:
        pass  # a file system without such locks
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def check_site(site, on_gpus):
    """Raise UserError where jobs as ``site`` has them could never start, by what sinfo shows.

    Slurm takes some of them and lets them wait for ever. ``on_gpus``: whether runs ask for GPUs.
    """
    nodes = [_nodes(line) for line in _ask("sinfo", "--noheader", "--format=%P|%l|%c|%m|%G").splitlines()]
    for key in ("partition", "cpu_partition"):
        if site[key] is not None and site[key] not in {group["partition"] for group in nodes}:
            known = ", ".join(sorted({group["partition"] for group in nodes}))
            raise UserError(f"site.{key}: found {site[key]!r}, but sinfo shows {known}; {MEND}")
    there = [
        group for group in nodes if site["partition"] in (group["partition"], None if group["default"] else 0)
    ]
    wanted = {
        "minutes": 60 * site["hours"],
        "cpus": site["cpus_per_node"],
        "memory_mb": 1000 * site["memory_gb"],
    }
    if on_gpus:
        wanted["gpus"] = site["gpus_per_node"]
    for key, most in wanted.items():
        if there and max(group[key] for group in there) < most:
            name, unit = SITE_KEYS[key]
            shown = max(group[key] for group in there) / unit
            where = there[0]["partition"]
            raise UserError(
                f"site.{name}: found {site[name]}, but sinfo shows {shown:g} in partition {where}; {MEND}"
            )


def _nodes(line):
    """What sinfo shows of some nodes that are alike, as a dict."""
    partition, limit, cpus, memory_mb, generic = line.split("|")
    return {
        "partition": partition.rstrip("*"),
        "default": partition.endswith("*"),
        "minutes": _minutes(limit),
        "cpus": int(cpus.rstrip("+")),
        "memory_mb": int(memory_mb.rstrip("+")),
        "gpus": sum(int(number) for number in re.findall(r"\bgpu:(?:[^:,()]+:)?(\d+)", generic)),
    }


def _minutes(limit):
    """Minutes of a time limit as Slurm writes it: days-hours:minutes:seconds; infinite has none."""
    if limit == "infinite":
        return math.inf
    days, _, rest = limit.rpartition("-")
    seconds = 0
    for part in rest.split(":"):
        seconds = 60 * seconds + int(part)
    return int(days or 0) * 1440 + seconds / 60


def cancel_leftovers(folder):
    """Cancel the jobs that an earlier driver of ``folder`` has left in Slurm; returns how many there were.

    They would train beside the new ones. A run that is cancelled saves, and goes on in the new job. Raises
    UserError where they do not leave the queue.
    """
    left = _leftovers(folder)
    if not left:
        return 0
    _ask("scancel", *left)
    until = time.monotonic() + PATIENCE
    while still := _leftovers(folder):
        if time.monotonic() > until:
            raise UserError(
                f"Slurm jobs {', '.join(still)} of an earlier snakemake do not end; run snakemake again when "
                "`squeue --me` no longer shows them"
            )
        time.sleep(1)
    return len(left)


def _leftovers(folder):
    """Ids of this user's jobs that were submitted from ``folder`` and have not left the queue."""
    shown = _ask("squeue", "--me", "--noheader", f"--states={ACTIVE}", "--format=%i|%j|%Z")
    jobs = [line.split("|", 2) for line in shown.splitlines()]
    here = os.path.realpath(folder)
    return [job for job, name, at in jobs if name.startswith(f"{PREFIX}_") and os.path.realpath(at) == here]


def _ask(program, *arguments):
    """What a command of Slurm prints; raises UserError where it fails, in its own words."""
    if shutil.which(program) is None:
        raise UserError(f"{program} is not found: run snakemake --profile slurm where Slurm's commands are")
    command = [program, *arguments]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"{program} does not answer; try again when Slurm does") from None
    if asked.returncode:
        raise UserError(f"{program} failed: {asked.stderr.strip().splitlines()[-1:] or asked.returncode}")
    return asked.stdout
