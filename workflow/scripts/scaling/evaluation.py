"""Loss of a network on held-out text, with its standard error and by position in the context."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from scaling import models, tables, windows
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

    The error is taken over sequences, since the tokens of one are not independent.
    """
    means = token_losses.mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(len(means)))


def bits_per_byte(loss, bytes_per_token):
    """A loss in nats per token as bits per byte of the text."""
    return loss / math.log(2) / bytes_per_token


def measure(model, step, held_out, *, tokens_per_set):
    """A row of evaluation.parquet: ``model``, as it is after ``step``, on a set.

    ``held_out``: ids and index of the set, as :func:`scaling.tokens.load` gives them. Raises UserError for
    a set that does not fill two contexts.
    """
    ids, index = held_out
    n_ctx = len(model.position_embedding)
    sequences = windows.spread(ids, n_ctx=n_ctx, tokens=tokens_per_set, name=index["set"])
    token_losses = losses(model, sequences)
    loss, error = mean_and_error(token_losses)
    return {
        "step": step,
        "set": index["set"],
        "loss": loss,
        "loss_se": error,
        "bits_per_byte": bits_per_byte(loss, index["bytes_per_token"]),
        "tokens": token_losses.size,
        "loss_by_position": token_losses.mean(axis=0).tolist(),
    }


def measure_stored(folder, run, wanted, *, threads):
    """Rows for ``wanted``, pairs (step, set), from the snapshots of ``run`` in its ``folder``."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    model, loaded, rows = models.build(run), None, []
    for step, held_out in wanted:
        if step != loaded:
            snapshots.load(model, tables.snapshot_path(folder / "snapshots", step))
            loaded = step
        rows.append(measure(model, step, held_out, tokens_per_set=run["test_tokens"]))
    return rows
