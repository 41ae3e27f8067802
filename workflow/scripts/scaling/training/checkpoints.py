"""What a run needs to go on where it was: its last two checkpoints, each whole and verified, or not there."""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from scaling import provenance
from scaling.models import snapshots
from scaling.provenance import UserError
from scaling.training import kept


def save(folder, step, tensors, state):
    """Write the checkpoint of ``step`` to ``folder/step{step:09d}`` and keep it and the one before it.

    ``tensors``: dict from names to dense tensors on the CPU, in any layout. ``state``: any JSON value, where
    floats may also be NaN or infinite. Once this returns, the checkpoint is on the disk; a process killed
    on the way leaves what was there. A checkpoint of a later step belongs to a history that was given up
    and goes. Raises UserError where the disk refuses.
    """
    path = folder / kept.checkpoint_name(step)
    with _refusals(path):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".old.", dir=folder, ignore_cleanup_errors=True) as old:
            with provenance.whole(path) as scratch:
                _write(scratch, step, tensors, state)
                if path.exists():
                    path.rename(Path(old) / path.name)
            kept.sync(folder)
            for other in _outdated(folder, step):
                other.rename(Path(old) / other.name)


def keep(path, step, tensors, state):
    """Write the same to ``path``, for runs that branch off there, in place of what may be there."""
    with _refusals(path), provenance.whole(path) as scratch:
        _write(scratch, step, tensors, state)


@contextlib.contextmanager
def _refusals(path):
    try:
        yield
    except (OSError, SafetensorError) as error:
        line = f"{path} cannot be written ({_first_line(error)}); mend that and run snakemake again"
        raise UserError(f"{line}: the run goes on from the checkpoint before") from None


def newest(folder):
    """Step, tensors and state of the newest undamaged checkpoint in ``folder``; None if there is none.

    The tensors are on the CPU and hold no file open. A damaged checkpoint is named in a printed line.
    """
    return _newest(kept.steps(folder))


def branch_point(snapshots, start):
    """The same of the newest undamaged state, no later than ``start``, that a trunk kept in ``snapshots``."""
    return _newest({step: path for step, path in kept.states(snapshots).items() if step <= start})


def _newest(found):
    for _, path in sorted(found.items(), reverse=True):
        try:
            return _load(path)
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            print(f"{path} is damaged ({_first_line(error)}); the one before is tried", flush=True)
    return None


def _outdated(folder, step):
    """Checkpoints that are neither that of ``step`` nor the one before it."""
    found = kept.steps(folder)
    before = max((other for other in found if other < step), default=step)
    return [path for other, path in found.items() if other not in (before, step)]


def _write(folder, step, tensors, state):
    folder.mkdir()
    weights, record = folder / kept.TENSORS, folder / kept.STATE_RECORD
    save_file(_separate(tensors), weights)
    content = {"step": step, "tensors": provenance.sha256(weights), "state": state}
    content = json.loads(json.dumps(content))  # the checksum is of what will be read: keys become texts
    record.write_text(json.dumps(content | {"sha256": kept.checksum(content)}), encoding="utf-8")
    shutil.copymode(record, weights)  # safetensors lets nobody else read its files
    for path in (weights, record, folder):
        kept.sync(path)


def _load(path):
    content = kept.read_state(path)
    # clones, since what safetensors gives is mapped from a file that will be removed
    tensors = {name: tensor.clone() for name, tensor in snapshots.read(path / kept.TENSORS).items()}
    return content["step"], tensors, content["state"]


def _separate(tensors):
    """``tensors`` as safetensors wants them: contiguous, each in a memory of its own."""
    found, seen = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return found


def _first_line(error):
    return str(error).partition("\n")[0]
