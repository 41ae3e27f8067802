"""A training job: from a run's description and token arrays to the files of its folder."""

import contextlib
import time

import pyarrow as pa
import torch

from scaling import counts, evaluation, provenance, tables, tokens, windows
from scaling.evaluated import key, remember
from scaling.models import snapshots
from scaling.provenance import UserError
from scaling.training import loop

REPORT_EVERY = 2.0
"""Seconds between two writings of a job's progress."""


def resolve(run, train_index, test_index):
    """``run`` with D as a number of tokens; raises UserError where the data cannot serve it."""
    for index in (train_index, test_index):
        if index["n_vocab"] != run["n_vocab"]:
            found = f"{index['set']} holds tokens of a vocabulary of {index['n_vocab']}"
            raise UserError(f"{run['run']}: {found}, expected {run['n_vocab']}")
    available = train_index["tokens"]
    tokens_wanted = available if run["D"] == "all" else run["D"]
    if tokens_wanted > available:
        raise UserError(f"{run['run']}: D is {tokens_wanted} tokens, the training split holds {available}")
    return run | {"D": tokens_wanted}


def evaluable(train, run):
    """Ids and index of each set beside the training tokens that ``run`` can be evaluated on.

    What cannot be read now, or is too short, is left to the rule that evaluates, which says so.
    """
    found = []
    for path in sorted(train.parent.glob("*.npy")):
        with contextlib.suppress(UserError):
            ids, index = tokens.load(path)
            windows.spread(ids, n_ctx=run["n_ctx"], tokens=run["test_tokens"], name=path.stem)
            if path != train:
                found.append((ids, index))
    return found


def train(run, *, train, test, folder, threads):
    """Train ``run`` on the arrays at ``train`` and ``test``; write run.json, curve.parquet and snapshots/.

    Each snapshot is evaluated, while the model is in memory, on the sets that lie beside ``train``: see
    :mod:`scaling.evaluated`. ``progress.json`` stands in ``folder`` while the job runs, for those who watch;
    no other file appears before the run has ended.
    """
    began = time.perf_counter()
    torch.set_num_threads(threads)
    (train_ids, train_index), (test_ids, test_index) = tokens.load(train), tokens.load(test)
    run = resolve(run, train_index, test_index)
    held_out = evaluable(train, run)
    progress, known = Progress(run, folder / "progress.json"), {}
    with provenance.whole(folder / "snapshots") as kept:
        kept.mkdir()

        def keep(step, model):
            snapshots.save(model, tables.snapshot_path(kept, step))
            for loaded in held_out:
                row = evaluation.measure(model, step, loaded, tokens_per_set=run["test_tokens"])
                known[key(step, loaded[1])] = row

        record, curve = loop.train(run, train_ids, test_ids, on_step=progress.step, on_snapshot=keep)
    remember(folder, known)
    tables.write_table(folder / "curve.parquet", pa.Table.from_pylist(curve, tables.CURVE))
    identity = {name: value for name, value in run.items() if name != "experiments"}
    record |= {
        "N_total": counts.trainable(**run),
        "flops_per_token": counts.flops_per_token(**run),
        "threads": threads,
        "seconds_total": time.perf_counter() - began,
        "versions": provenance.versions("torch", "numpy"),
    }
    provenance.write_json(folder / "run.json", identity | record)
    progress.end(record)


class Progress:
    """Where a job stands: a small file for those who watch, and a line in the log at each test point."""

    def __init__(self, run, path):
        self.run, self.path = run, path
        self.reported, self.points = 0.0, 0

    def step(self, state):
        """Take the state after a step (see :func:`scaling.training.loop.train`)."""
        now = time.monotonic()
        if now - self.reported >= REPORT_EVERY:
            self.reported = now
            loss = state["curve"][-1]["test_loss"] if state["curve"] else None
            status = {
                "step": state["step"],
                "S": self.run["S"],
                "test_loss": loss,
                "tokens_per_second": state["tokens_per_second"],
            }
            provenance.write_json(self.path, status)
        if len(state["curve"]) > self.points:
            self.points = len(state["curve"])
            point = state["curve"][-1]
            print(
                f"step {point['step']}/{self.run['S']}  test loss {point['test_loss']:.4f}"
                f" ± {point['test_loss_se']:.4f}  train loss {point['train_loss']:.4f}"
                f"  {state['tokens_per_second']:,.0f} tokens/s",
                flush=True,
            )

    def end(self, record):
        """The run has ended with ``record``."""
        self.path.unlink(missing_ok=True)
        print(
            f"{record['status']} after {record['steps']} steps, {record['seconds_total']:.1f} s", flush=True
        )
