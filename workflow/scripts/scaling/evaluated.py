"""What of a run is evaluated already: losses are remembered, so that only what is new is computed.

A loss belongs to a snapshot and the content of a set. Training evaluates each snapshot while the model is
in memory; a set that is added or changed later costs that set alone. torch, whose import takes longer than
most evaluations of a small model, is loaded only where something is left to compute.
"""

import pyarrow as pa

from scaling import parquet, provenance, tables, tokens, versions
from scaling.provenance import UserError

NAME = "evaluated.json"


def key(step, index):
    """What a loss of one run depends on, as a short text."""
    return provenance.digest([versions.RULES["evaluation"], step, index["set"], index["sha256"]], 16)


def recall(folder):
    """Rows of evaluation.parquet by :func:`key` that are known of the run in ``folder``.

    A damaged file is named in a printed line: what it held is computed again.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        return provenance.read_json(path)
    except UserError as error:
        print(f"{str(error).partition(';')[0]}; its losses are computed again", flush=True)
        return {}


def remember(folder, rows):
    """Write what is known of the run in ``folder``, in place of what was."""
    provenance.write_json(folder / NAME, rows)


def complete(folder, sets, *, threads, device="auto", gpu_percent=100):
    """Evaluate every snapshot of the run in ``folder`` on every set; write evaluation.parquet there.

    ``sets``: paths of token arrays (.npy). Returns how many losses were remembered and how many computed.
    A run that diverged before its first snapshot gets a table without rows. Raises UserError where a file
    is damaged or a set is too short.
    """
    run, known = provenance.read_json(folder / "run.json"), recall(folder)
    held_out = [tokens.load(path) for path in sets]
    steps = tables.snapshot_steps(folder / "snapshots")
    wanted = {key(step, loaded[1]): (step, loaded) for step in steps for loaded in held_out}
    missing = [name for name in wanted if name not in known]
    if missing:
        from scaling import evaluation

        pairs = [wanted[name] for name in missing]
        where = {"threads": threads, "device": device, "gpu_percent": gpu_percent}
        rows = evaluation.measure_stored(folder, run, pairs, **where)
        known |= zip(missing, rows, strict=True)
        remember(folder, known)
    rows = [known[name] for name in wanted]
    parquet.write(folder / "evaluation.parquet", pa.Table.from_pylist(rows, tables.EVALUATION))
    return len(wanted) - len(missing), len(missing)
