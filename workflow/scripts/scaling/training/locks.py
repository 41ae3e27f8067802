"""Two processes cannot train in one folder: a lock that a killed process lets go of by itself.

The kernel's lock (flock) decides where it reaches. Some network file systems keep it within one host, or do
not have it; there the lock file decides, which names its holder and whose mtime the holder moves. An mtime
is compared with itself over time, never with a clock: those of two hosts differ.
"""

import errno
import fcntl
import json
import os
import socket
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from scaling.provenance import UserError

SILENCE = 60.0
"""Seconds after which a holder on another host that does not beat is taken to have died."""
POLL = 1.0
"""Seconds between two looks at a holder on another host."""
SETTLE = 2.0
"""Seconds within which a process that has just opened a lock has signed it, or sees that another has."""
RETRY = 0.05
"""Seconds between two attempts at a lock that is changing hands."""
NO_FLOCK = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def held(path):
    """Hold the lock file ``path``; yields a :class:`Lock` and removes the file at the end.

    Raises UserError naming the holder where another process has it. What a dead process has left is taken
    over: at once from this host; from another one, once it was silent for SILENCE.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = _acquire(path)
    except PermissionError as error:
        by = _describe(_read(path))
        raise UserError(f"{path} cannot be locked ({error.strerror}): it was made by {by}") from None
    try:
        yield lock
    finally:
        lock.release()


class Lock:
    """A lock file that is open; ours once it is signed."""

    def __init__(self, path, descriptor, created):
        self.path, self.descriptor, self.created = path, descriptor, created
        self.identity = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(),
        }
        if job := os.environ.get("SLURM_JOB_ID"):
            self.identity["job"] = job

    def beat(self):
        """Show that the holder lives, every couple of seconds.

        Raises UserError where the lock is another's by now: this process was stopped for a while and taken
        for dead, or its lock was deleted.
        """
        if not self.signed():
            holder = _read(self.path)
            fate = f"was taken over by {_describe(holder)}" if holder else "is gone"
            raise UserError(f"{self.path} {fate}: two would train here; run snakemake again when none does")
        os.utime(self.descriptor)

    def release(self):
        """Let go of the lock, and remove its file if it is still ours."""
        if self.signed():
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def sign(self):
        """Name this process as the holder."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(self.identity).encode(), 0)

    def signed(self):
        """Whether the file at the path names this process as the holder."""
        return _read(self.path) == self.identity

    def in_place(self):
        """Whether the open file is still the one at the path."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        except FileNotFoundError:
            return False


def _acquire(path):
    began = time.monotonic()
    while True:
        lock = _open(path)
        if lock is not None:
            taken = False
            try:
                taken = _take(lock, late=time.monotonic() - began > SETTLE)
            finally:
                if not taken:
                    os.close(lock.descriptor)
            if taken:
                return lock
        time.sleep(RETRY)


def _open(path):
    """The lock file, made if there is none; None if it went away meanwhile."""
    try:
        return Lock(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), created=True)
    except FileExistsError:
        pass
    try:
        return Lock(path, os.open(path, os.O_RDWR), created=False)
    except FileNotFoundError:
        return None


def _take(lock, *, late):
    """Make ``lock`` ours; False where it is changing hands: try again.

    ``late``: whether so much time has passed that a holder would have signed. Raises UserError where the
    lock is another's.
    """
    flock = _flock(lock.descriptor)
    if flock == "refused":
        holder = _read(lock.path)
        if late or (holder and (not _is_here(holder) or _lives(holder))):
            raise _refusal(lock.path, holder)
        return False
    if not lock.in_place():
        return False
    holder = _read(lock.path)
    if holder is None and flock == "unsupported" and not lock.created and not late:
        return False
    if holder and _is_here(holder):
        if flock == "unsupported" and _lives(holder):
            raise _refusal(lock.path, holder, f", or delete {lock.path} if that is another program")
        print(f"{lock.path}: {_describe(holder)} has ended; taken over", flush=True)
    elif holder:
        if not _is_silent(lock.path, holder):
            return False
        print(f"{lock.path}: {_describe(holder)} is silent; taken over", flush=True)
    lock.sign()
    if lock.created or (flock == "granted" and holder and _is_here(holder)):
        return True
    # where no flock reaches all who may have signed at the same time, the last to sign has it
    time.sleep(SETTLE)
    return lock.signed()


def _flock(descriptor):
    """The kernel's answer: granted, refused or unsupported. It ends with the process, however that ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "refused"
    except OSError as error:
        if error.errno not in NO_FLOCK:
            raise
        return "unsupported"
    return "granted"


def _read(path):
    """Who has signed the lock file: host, pid, since and, under SLURM, job. None while nobody has."""
    try:
        holder = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) and {"host", "pid", "since"} <= holder.keys() else None


def _is_here(holder):
    return holder["host"] == socket.gethostname()


def _lives(holder):
    """Whether a holder on this host is a living process other than this one."""
    if holder["pid"] == os.getpid():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _is_silent(path, holder):
    """Whether ``holder`` does not beat for SILENCE seconds; False if its file went away.

    Raises UserError if it beats.
    """
    print(f"{path}: waiting up to {SILENCE:g} s for a sign of life of {_describe(holder)}", flush=True)
    before, until = _heartbeat(path), time.monotonic() + SILENCE
    while time.monotonic() < until:
        time.sleep(POLL)
        now = _heartbeat(path)
        if now is None:
            return False
        if now != before:
            raise _refusal(path, _read(path) or holder)
    return True


def _heartbeat(path):
    """What moves when the holder beats or changes; None without a file."""
    try:
        with path.open("rb") as file:  # opening has a network file system ask its server
            found = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _describe(holder):
    if holder is None:
        return "another process"
    job = f" (SLURM job {holder['job']})" if "job" in holder else ""
    return f"process {holder['pid']} on {holder['host']}{job} since {holder['since']}"


def _refusal(path, holder, more=""):
    return UserError(f"{path.parent}: {_describe(holder)} trains here; wait for it or end it{more}")
