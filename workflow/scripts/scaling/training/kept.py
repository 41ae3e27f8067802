"""What a run has come to, kept beside what Snakemake knows of it.

On a cluster Snakemake may run a job again that had ended, and first deletes its declared outputs: run.json,
curve.parquet and snapshots/. They are therefore made from checkpoints/finished, which it does not know, and
can be made from it again without training. Nothing here needs torch.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from scaling import provenance

PLACE = "checkpoints"
"""The folder, in that of a run, with all that Snakemake does not know."""
STEP = re.compile(r"step(\d{9,})")
"""Name of a checkpoint."""
STATE = re.compile(r"state-(\d{9,})")
"""Name of the state of a trunk, beside its snapshots: a folder like a checkpoint."""
TENSORS, STATE_RECORD = "tensors.safetensors", "state.json"
"""What is in a checkpoint, and in the state of a trunk."""
LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}|\.tmp[A-Za-z0-9]{6}")
"""Temporary names: of :func:`scaling.provenance.whole` (tempfile's), and of safetensors."""


def place(folder):
    """Where the results of the run in ``folder`` are kept."""
    return folder / PLACE / "finished"


def log(folder):
    """The file with what the training of the run in ``folder`` said, if it had no log of Snakemake's."""
    return folder / PLACE / "log.txt"


def identity(run):
    """What makes ``run`` this one, as JSON would give it back: all but the experiments it serves."""
    return json.loads(json.dumps({name: value for name, value in run.items() if name != "experiments"}))


def holds(folder, run):
    """Whether results of this very ``run`` are kept in ``folder``, be they whole or not."""
    try:
        return json.loads((place(folder) / "kept.json").read_bytes())["run"] == identity(run)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def reached(folder):
    """The step of the newest checkpoint in ``folder``, 0 where there is none."""
    return max(steps(folder / PLACE), default=0)


def steps(checkpoints):
    """What has the name of a checkpoint in the folder ``checkpoints``: paths by step."""
    return {int(m[1]): path for path in checkpoints.glob("step*") if (m := STEP.fullmatch(path.name))}


def state_name(step):
    """What the state of a trunk after ``step`` is called, in the folder of its snapshots."""
    return f"state-{step:09d}"


def checkpoint_name(step):
    """What the checkpoint of ``step`` is called."""
    return f"step{step:09d}"


def read_state(path):
    """What STATE_RECORD of the checkpoint at ``path`` holds, if all of the checkpoint is as it was written.

    Raises ValueError, LookupError or OSError that says what is damaged.
    """
    content = json.loads((path / STATE_RECORD).read_bytes())
    recorded = content.pop("sha256", None) if isinstance(content, dict) else None
    if recorded != checksum(content):
        raise ValueError(f"{STATE_RECORD} does not have its checksum")
    if provenance.sha256(path / TENSORS) != content["tensors"]:
        raise ValueError(f"{TENSORS} does not have its checksum")
    if path.name not in (checkpoint_name(content["step"]), state_name(content["step"])):
        raise ValueError(f"it is that of step {content['step']}")
    return content


def checksum(content):
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def states(snapshots):
    """The states of a trunk in the folder of its ``snapshots``: paths by step."""
    return {int(m[1]): path for path in snapshots.glob("state-*") if (m := STATE.fullmatch(path.name))}


@contextlib.contextmanager
def keeping(folder, run, text=None):
    """Yield a folder to write run.json, curve.parquet and snapshots/ into; then they are kept in ``folder``.

    Whole or not at all. ``text``: checksums of the tokens for training and test. Once they are on the disk,
    the checkpoints that led there are removed.
    """
    with provenance.whole(place(folder)) as scratch:
        scratch.mkdir()
        yield scratch
        found = {"run": identity(run), "text": text, "sha256": _checksums(scratch)}
        provenance.write_json(scratch / "kept.json", found)
        for path in (*scratch.rglob("*"), scratch):
            sync(path)
    sync(folder / PLACE)
    _clear_beside(folder)


def usable(folder, run, text=None):
    """Whether whole results of this very ``run``, on this ``text``, are kept in ``folder``.

    Others are named in a printed line and removed. Only for the holder of the folder's lock.
    """
    kept = place(folder)
    if not kept.exists():
        return False
    try:
        found = json.loads((kept / "kept.json").read_bytes())
        why = "" if found["sha256"] == _checksums(kept) else "is damaged (not its checksums)"
        if not why and found["run"] != identity(run):
            why = "is that of another run"
        if not why and None not in (text, found.get("text")) and found["text"] != text:
            why = "is of other text"
    except (OSError, ValueError, LookupError, TypeError) as error:
        why = f"is damaged ({str(error).partition(chr(10))[0]})"
    if why:
        print(f"{kept} {why}; removed, the run is trained", flush=True)
        _remove(kept)
    return not why


def publish(folder):
    """Make run.json, curve.parquet and snapshots/ in ``folder`` of what is kept there; run.json last.

    Links where the file system has them. Only for the holder of the folder's lock.
    """
    kept = place(folder)
    clear_leftovers(folder)
    with provenance.whole(folder / "snapshots") as scratch:
        shutil.copytree(kept / "snapshots", scratch, copy_function=link)
    for name in ("curve.parquet", "run.json"):
        with provenance.whole(folder / name) as scratch:
            link(kept / name, scratch)
            os.utime(scratch)  # Snakemake goes by the time at which they were made
    # a process that was killed after it had kept its results
    _clear_beside(folder)


def say_log(folder):
    """Print what the training of the run in ``folder`` said to :func:`log`."""
    with contextlib.suppress(FileNotFoundError):
        print(log(folder).read_text(encoding="utf-8", errors="replace"), end="", flush=True)


def forget(folder):
    """Remove what is kept in ``folder``, for those who know that Snakemake has its outputs on record.

    Checkpoints of a run that has not ended stay.
    """
    folder = Path(folder)
    if place(folder).exists():
        _remove(place(folder))
        log(folder).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there is none, or it has something in it
        (folder / PLACE).rmdir()


def link(source, target):
    """Have ``target`` be the file ``source``, or a copy of it on a file system without links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_with_record(source, target):
    """The same, and of the record of its checksum, which what an earlier version wrote does not have."""
    link(source, target)
    if provenance.record_of(source).exists():
        link(provenance.record_of(source), provenance.record_of(target))


def sync(path):
    """Have the disk hold the file or folder at ``path``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have no such thing for folders
            raise
    finally:
        os.close(descriptor)


def clear_leftovers(folder):
    """Remove the temporary files and folders directly in ``folder`` that a killed process has left.

    Only for the one process that may write there: another's would be taken for leftovers.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if not LEFTOVER.fullmatch(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _checksums(folder):
    """SHA-256 of each file of kept results, by its path below ``folder``."""
    files = [path for path in (folder / "snapshots").rglob("*") if path.is_file()]
    paths = [folder / "run.json", folder / "curve.parquet", *files]
    return {str(path.relative_to(folder)): provenance.sha256(path) for path in paths}


def _clear_beside(folder):
    """Remove what a run needs to go on: it has ended."""
    for path in (*steps(folder / PLACE).values(), folder / PLACE / "snapshots"):
        if path.exists():
            _remove(path)
    clear_leftovers(folder / PLACE)


def _remove(path):
    """Remove a folder all at once: were a part gone when the process is killed, the rest would mislead."""
    gone = path.with_name(f".{path.name}.00000000")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
