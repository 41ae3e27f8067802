"""Loss of a network on held-out text, with its standard error and by position in the context."""

import math

import numpy as np
import torch

from scaling import devices, models, tables, windows
from scaling.models import snapshots

SEQUENCES = 16
"""Sequences in memory at once: few enough for a core's cache, enough to fill its vector units."""


@torch.inference_mode()
def losses(model, sequences, group=None):
    """Cross-entropy in nats of each predicted token: float64, shape (sequences, n_ctx).

    ``sequences``: int64 array of token ids, shape (sequences, n_ctx + 1). The processes of ``group``, if
    there are several, each take a share and all return the whole.
    """
    rank, size = (group.rank, group.size) if group else (0, 1)
    share = -(-len(sequences) // size)
    # shares are equal, since a sharded network is called by all or none: the last ones repeat the first
    mine = sequences[(np.arange(share) * size + rank) % len(sequences)]
    device = next(model.parameters()).device
    model.eval()
    found = []
    for chunk in torch.from_numpy(mine).split(SEQUENCES):
        chunk = chunk.to(device)
        found.append(model(chunk[:, :-1], chunk[:, 1:])[1].double().cpu().numpy())
    model.train()
    found = np.concatenate(found)
    if size > 1:
        found = np.stack(group.gather(found), axis=1).reshape(share * size, -1)[: len(sequences)]
    return found


def mean_and_error(token_losses):
    """Mean loss and its standard error, from losses of shape (sequences, n_ctx).

    The error is taken over sequences, since the tokens of one are not independent.
    """
    means = token_losses.mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(len(means)))


def bits_per_byte(loss, bytes_per_token):
    """A loss in nats per token as bits per byte of the text."""
    return loss / math.log(2) / bytes_per_token


def measure(model, step, held_out, *, tokens_per_set, group=None):
    """A row of evaluation.parquet: ``model``, as it is after ``step``, on a set.

    ``held_out``: ids and index of the set, as :func:`scaling.tokens.load` gives them. Raises UserError for
    a set that does not fill two contexts.
    """
    ids, index = held_out
    sequences = windows.spread(ids, n_ctx=model.n_ctx, tokens=tokens_per_set, name=index["set"])
    token_losses = losses(model, sequences, group)
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


def measure_stored(folder, run, wanted, *, threads, device, gpu_percent):
    """Rows for ``wanted``, pairs (step, set), from the snapshots of ``run`` in its ``folder``.

    ``device``: auto, cpu or cuda, of which ``gpu_percent`` is taken.
    """
    devices.settle(threads)
    place = devices.choose(device)
    if place == "cuda":
        place = f"cuda:{devices.claim(gpu_percent)}"
    model, loaded, rows = models.build(run).to(place), None, []
    for step, held_out in wanted:
        if step != loaded:
            snapshots.load(model, tables.snapshot_path(folder / "snapshots", step))
            loaded = step
        rows.append(measure(model, step, held_out, tokens_per_set=run["test_tokens"]))
    return rows
