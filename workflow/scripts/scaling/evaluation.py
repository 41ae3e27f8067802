"""Loss of a network on held-out text, with its standard error and by position in the context."""

import math
import time

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional as F

from scaling import models, provenance, tables, tokens, windows
from scaling.models import snapshots

SEQUENCES = 16
"""Sequences in memory at once: few enough for a core's cache, enough to fill its vector units."""


@torch.inference_mode()
def losses(model, sequences):
    """Cross-entropy in nats of each predicted token: float64, shape (sequences, n_ctx).

    ``sequences``: int64 array of token ids, shape (sequences, n_ctx + 1).
    """
    model.eval()
    found = []
    for chunk in torch.from_numpy(sequences).split(SEQUENCES):
        logits = model(chunk[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), chunk[:, 1:].flatten(), reduction="none")
        found.append(loss.view(len(chunk), -1).double().numpy())
    model.train()
    return np.concatenate(found)


def mean_and_error(token_losses):
    """Mean loss and its standard error, from losses of shape (sequences, n_ctx).

    The error is taken over sequences, since the tokens of one are not independent; NaN for a single one.
    """
    means = token_losses.mean(axis=1)
    error = means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    return float(means.mean()), float(error)


def bits_per_byte(loss, bytes_per_token):
    """A loss in nats per token as bits per byte of the text."""
    return loss / math.log(2) / bytes_per_token


def evaluate(folder, sets, *, tokens_per_set, threads):
    """Evaluate every snapshot of the run in ``folder`` on every set; write evaluation.parquet there.

    ``sets``: paths of token arrays (.npy), each named after its set. A run that diverged before its first
    snapshot gets a table without rows. Raises UserError where a file is damaged or a set is too short.
    """
    began = time.perf_counter()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    run = provenance.read_json(folder / "run.json")
    model = models.build(run)
    held_out = []
    for path in sets:
        ids, index = tokens.load(path)
        held_out.append(
            (index, windows.spread(ids, n_ctx=run["n_ctx"], tokens=tokens_per_set, name=path.stem))
        )
    rows = []
    for step, path in snapshots.stored(folder / "snapshots"):
        snapshots.load(model, path)
        for index, sequences in held_out:
            token_losses = losses(model, sequences)
            loss, error = mean_and_error(token_losses)
            rows.append(
                {
                    "step": step,
                    "set": index["set"],
                    "loss": loss,
                    "loss_se": error,
                    "bits_per_byte": bits_per_byte(loss, index["bytes_per_token"]),
                    "tokens": token_losses.size,
                    "loss_by_position": token_losses.mean(axis=0).tolist(),
                }
            )
    tables.write_table(folder / "evaluation.parquet", pa.Table.from_pylist(rows, tables.EVALUATION))
    print(f"{len(rows)} losses in {time.perf_counter() - began:.1f} s", flush=True)
