"""Whether all that lies in a results folder is as it was written, by the records of its checksums."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scaling import provenance
from scaling.provenance import UserError
from scaling.training import kept

PASSING = ("logs", "README.md", "training.lock", "progress.json", "log.txt", ".snakemake_timestamp")
"""Names of what no stage reads: it has no record, nor has what lies in a folder of such a name."""
SHOWN = 20
"""Files without a record that are named; the others are counted."""


@dataclass(frozen=True)
class Found:
    """What was found: paths of files that are whole, with their bytes, of those on record that are gone, and
    of those without a record; a line for each damaged one. A checkpoint counts as a file."""

    whole: list
    size: int
    damaged: list
    gone: list
    unrecorded: list

    @property
    def sound(self):
        """Whether there is something, and nothing that is damaged or without a record."""
        return bool(self.whole) and not self.damaged and not self.unrecorded


def verify(results):
    """Check the files below the folder ``results``, a :class:`Found`; raises UserError where there is none.

    Checkpoints, the states of trunks and results that are kept for a job that runs again have checksums of
    their own, which are gone by.
    """
    if not Path(results).is_dir():
        raise UserError(f"{results} is no folder; name one: make verify RESULTS=path")
    paths, gone, unrecorded = [], [], []
    for folder, folders, files in os.walk(results):
        paths += [Path(folder, name) for name in sorted(folders) if _is_state(name)]
        folders[:] = sorted(name for name in folders if not _passing(name) and not _is_state(name))
        recorded = {match[1] for name in files if (match := provenance.RECORD.fullmatch(name))}
        gone += [Path(folder, name) for name in sorted(recorded.difference(files))]
        for name in sorted(files):
            if name in recorded:
                paths.append(Path(folder, name))
            elif not _passing(name) and not provenance.RECORD.fullmatch(name):
                unrecorded.append(Path(folder, name))
    with ThreadPoolExecutor() as pool:  # checksums let other threads run
        faults = dict(zip(paths, pool.map(_fault, paths), strict=True))
    whole = [path for path in paths if not faults[path]]
    damaged = [str(provenance.damaged(path, why)) for path, why in faults.items() if why]
    return Found(whole, sum(map(_size, whole)), damaged, gone, unrecorded)


def lines(found, results):
    """``found`` in words, a list of lines."""
    told = [f"error: {line}" for line in found.damaged]
    told += [f"no record: {path}" for path in found.unrecorded[:SHOWN]]
    if len(found.unrecorded) > SHOWN:
        told.append(f"no record: {len(found.unrecorded) - SHOWN} more")
    if found.unrecorded:
        told.append("What has no record, of an earlier version or put there by hand, cannot be checked")
    if found.gone:
        told.append(f"{len(found.gone)} files on record are gone; snakemake makes those anew that it needs")
    told.append(
        f"{results}: {len(found.whole)} files of {found.size / 1e6:,.1f} MB are as they were written, "
        f"{len(found.damaged)} damaged, {len(found.unrecorded)} without a record"
    )
    return told


def _passing(name):
    return name in PASSING or kept.LEFTOVER.fullmatch(name) is not None


def _is_state(name):
    """Whether a folder of that name is a checkpoint or the state of a trunk: checked as one."""
    return bool(kept.STEP.fullmatch(name) or kept.STATE.fullmatch(name))


def _size(path):
    return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))


def _fault(path):
    """What is wrong with a file or a checkpoint, in words; empty if nothing."""
    try:
        if not path.is_dir():
            return provenance.fault(path)
        kept.read_state(path)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        return str(error)
    return ""
