"""What a job asks Slurm for: the time it has left, and to be queued again."""

import re
import subprocess
import time

SECONDS = 10
"""How long a command of Slurm may take."""
KILLED_WITHIN = 60
"""Seconds within which Slurm ends a job that it has queued again."""
TIME = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
NO_LIMIT = ("UNLIMITED", "NOT_SET")


def minutes_left(job):
    """Minutes that the Slurm job with the number ``job`` has left; None without a limit.

    None too where Slurm does not say, and a printed line.
    """
    command = ["squeue", "--noheader", f"--jobs={job}", "--format=%L"]
    said, fault = _run(command)
    if fault is None:
        said = said.strip()
        if said in NO_LIMIT:
            return None
        try:
            return parse(said)
        except ValueError as error:
            fault = str(error)
    print(f"the time limit of Slurm job {job} is not known: {' '.join(command)}: {fault}", flush=True)
    return None


def parse(text):
    """Minutes of a time as Slurm writes it, such as 1:23, 2:03:04 or 1-02:03:04; raises ValueError."""
    found = TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 1440 * days + 60 * hours + minutes + seconds / 60


def requeue(job):
    """Have Slurm queue ``job``, in which this runs, once more; wait to be killed for that.

    Returns only where Slurm refuses, after a printed line, or does not kill.
    """
    print(f"Slurm job {job} is queued again, to go on when it starts", flush=True)
    command = ["scontrol", "requeue", job]
    _, fault = _run(command)
    if fault is None:
        time.sleep(KILLED_WITHIN)
        fault = f"the job still runs after {KILLED_WITHIN} s"
    print(f"Slurm job {job} was not queued again: {' '.join(command)}: {fault}", flush=True)


def _run(command):
    """What ``command`` says, and None; or, where it fails, None and why, in a line."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        return None, error.strerror
    except subprocess.TimeoutExpired:
        return None, f"no answer within {SECONDS} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return None, lines[-1] if lines else f"exit code {done.returncode}"
    return done.stdout, None
