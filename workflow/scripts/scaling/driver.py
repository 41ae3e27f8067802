"""What the process that drives a study does before its first job: alone here, and with no job left behind.

The driver is Snakemake's main process. It may be killed at any moment; the kernel then lets go of its lock,
while jobs that it had given to Slurm go on without it.
"""

import atexit
import fcntl
import math
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from scaling import provenance
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
MIN_JOB_AGE = 240
"""Seconds for which Slurm has to know a job after its end: the executor's longest pause between two looks at
its jobs is three minutes, and one that it then does not find it waits for without end."""
DEFAULT_AGE = 300
"""What that is unless a site has it otherwise."""
MEGABYTE = 2**20
MEND = "mend slurm/site.yaml"
ACTIVE = "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING,RESIZING,STOPPED,REQUEUED,REQUEUE_HOLD"


def alone(path, *, named=True):
    """Lock ``path`` until this process ends, however it ends; returns the open file, to be kept.

    The kernel's lock decides; where a file system has none, or keeps it within one host, the name in the file
    does, which a driver writes if ``named`` and takes out again unless it is killed. Raises UserError naming
    the driver that is here already where there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    host, pid, name = _named(file)
    free, locks = True, True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        free = False
    except OSError:
        locks = False
    elsewhere = bool(host) and host != socket.gethostname()
    if not free or elsewhere or (host and not locks and Path(f"/proc/{pid}").exists()):
        file.close()
        remedy = f"if it has ended, delete {path}" if elsewhere else "wait for it, or end it"
        raise UserError(f"{name or 'another snakemake'} drives a study here already; {remedy}")
    if named:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        atexit.register(_leave, file)
    return file


def _named(file):
    """Host, process and whole line of the driver that the lock file names; Nones where it names none."""
    file.seek(0)
    found = re.match(r"process (\d+) on (\S+)$", file.read().strip())
    return (found[2], int(found[1]), found[0]) if found else (None, None, None)


def _leave(file):
    if not file.closed:
        file.truncate(0)


def check_room(folder):
    """Raise UserError where ``folder`` cannot take another MEGABYTE: no job could say why it fails."""
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(MEGABYTE))
            file.flush()
    except OSError as error:
        why = provenance.NO_ROOM.get(error.errno, error.strerror)
        line = f"nothing can be written to {folder}/: {why}; mend that and run snakemake again"
        raise UserError(f"{line}: it goes on from what is there") from None


def check_inputs(paths):
    """Raise UserError where one of ``paths`` is not as it was written.

    Before it starts a job Snakemake removes what the job made before: the weights, of a run that is trained
    again because a file it reads has changed. If that change is damage, they would be gone for nothing.
    """
    for path in map(Path, sorted(paths)):
        files = path.iterdir() if path.is_dir() else [path]
        for file in files:
            if file.is_file() and provenance.record_of(file).exists():
                provenance.check(file)


def check_site(site, on_gpus):
    """Raise UserError where jobs as ``site`` has them could never start, by what sinfo shows.

    Slurm takes some of them and lets them wait for ever. ``on_gpus``: whether runs ask for GPUs.
    """
    # without --exact, nodes of other sizes hide behind a number and a +
    shown = _ask("sinfo", "--noheader", "--exact", "--format=%P|%l|%c|%m|%D|%G")
    groups = [_group(line, site["gpu_type"]) for line in shown.splitlines()]
    known = ", ".join(sorted({group["partition"] for group in groups}))
    for key in ("partition", "cpu_partition"):
        if site[key] is not None and site[key] not in {group["partition"] for group in groups}:
            raise UserError(f"site.{key}: found {site[key]!r}, but sinfo shows {known}; {MEND}")
    if site["partition"] is None:
        there = [group for group in groups if group["default"]]
    else:
        there = [group for group in groups if group["partition"] == site["partition"]]
    if not there:
        raise UserError(f"site.partition: found null, but sinfo shows no default among {known}; {MEND}")
    where = f"in partition {there[0]['partition']}; {MEND}"
    for key, (name, unit) in SITE_KEYS.items():
        if key == "gpus" and not on_gpus:
            continue
        wanted, most = round(site[name] * unit, 6), max(group[key] for group in there)
        if most < wanted:
            kind = f" of type {site['gpu_type']}" if key == "gpus" and site["gpu_type"] else ""
            raise UserError(f"site.{name}: found {site[name]}, but sinfo shows {most / unit:g}{kind} {where}")
        there = [group for group in there if group[key] >= wanted]
    number = sum(group["nodes"] for group in there)
    if number < site["nodes"]:
        raise UserError(f"site.nodes: found {site['nodes']}, but sinfo shows {number} of such nodes {where}")


def _group(line, gpu_type):
    """What sinfo shows of some nodes that are alike, as a dict; its GPUs of ``gpu_type``, if not None."""
    partition, limit, cpus, memory_mb, nodes, generic = line.split("|")
    gpus = re.findall(r"\bgpu:(?:([^:,()]+):)?(\d+)", generic)
    return {
        "partition": partition.rstrip("*"),
        "default": partition.endswith("*"),
        "minutes": _minutes(limit),
        "cpus": int(cpus.rstrip("+")),
        "memory_mb": int(memory_mb.rstrip("+")),
        "nodes": int(nodes),
        "gpus": sum(int(number) for kind, number in gpus if gpu_type in (None, kind)),
    }


def _minutes(limit):
    """Minutes of a time limit as Slurm writes it: days-hours:minutes:seconds; infinite has none."""
    if limit in ("infinite", "n/a"):
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
    _ask("scancel", "--quiet", *left)  # quiet of those that have ended meanwhile
    until = time.monotonic() + PATIENCE
    while still := _leftovers(folder):
        if time.monotonic() > until:
            raise UserError(
                f"Slurm jobs {', '.join(still)} of an earlier snakemake do not end; run snakemake again when "
                "`squeue --me` no longer shows them"
            )
        time.sleep(1)
    return len(left)


def trust_squeue():
    """Have the executor go by squeue for good, as its profile says.

    At each look at its jobs, version 2.8.0 asks Slurm for how long it knows them after their end. Where it
    gets no answer, as from a controller that restarts, it turns to accounting: where there is none, for ever.
    Raises UserError where Slurm forgets jobs before they have been looked at.
    """
    import snakemake_executor_plugin_slurm as executor

    age = executor.get_min_job_age()
    if age is None:
        print(f"scontrol show config does not tell MinJobAge; Slurm's default, {DEFAULT_AGE} s, is assumed")
        age = DEFAULT_AGE
    if age < MIN_JOB_AGE:
        raise UserError(
            f"Slurm forgets jobs {age} s after their end (MinJobAge), before Snakemake has looked at them; "
            f"ask those who run it for {MIN_JOB_AGE} s or more"
        )
    executor.get_min_job_age = lambda: age


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
        said = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        raise UserError(f"{program} failed: {said[-1]}")
    return asked.stdout
