"""A training job: from a run's description and token arrays to the files of its folder."""

import contextlib
import shutil
import time

import pyarrow as pa
import torch

from scaling import counts, devices, evaluation, parquet, provenance, tables, tokens, windows
from scaling.evaluated import key, remember
from scaling.models import snapshots
from scaling.provenance import UserError
from scaling.training import checkpoints, interruption, kept, locks, loop, parallel, plan

PROGRESS = "progress.json"
REPORT_EVERY = 2.0
"""Seconds between two writings of a job's progress."""
SAVE_EVERY = 10.0
"""Fewest seconds between two checkpoints."""
SAVE_AT_LEAST_EVERY = 1800.0
"""Most seconds between two checkpoints."""
SAVE_SHARE = 0.01
"""Checkpoints may take this share of a run's time."""


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


def evaluable(train, run, wanted=()):
    """Ids and index of each set beside the training tokens that ``run`` can be evaluated on.

    Raises UserError where one of those ``wanted`` is too short for that; other sets may be of another study
    on this text, and are passed over. What cannot be read now is left to the rule that evaluates, which says
    so.
    """
    found = []
    for path in sorted(train.parent.glob("*.npy")):
        if path == train:
            continue
        try:
            ids, index = tokens.load(path)
        except UserError:
            continue
        try:
            windows.spread(ids, n_ctx=run["n_ctx"], tokens=run["test_tokens"], name=path.stem)
        except UserError:
            if path.stem in wanted:
                raise
        else:
            found.append((ids, index))
    return found


def train(run, *, train, test, folder, settings, sets=()):
    """Train ``run`` on the arrays at ``train`` and ``test``; write run.json, curve.parquet and snapshots/.

    ``sets``: names of those that the run will be evaluated on; one too short for it ends the job at once.

    ``settings``: ``device``, ``threads`` of each process, ``micro_batch``, ``compile``, ``parallel``,
    ``minutes`` of the time limit (0 for none) and ``gpu_percent`` that the run may use of a GPU.

    Each snapshot is evaluated, while the model is in memory, on the sets that lie beside ``train``: see
    :mod:`scaling.evaluated`. While the job runs, ``folder`` holds progress.json for those who watch, a lock,
    and checkpoints/, from which the same call goes on where a killed one stood. Raises UserError where
    another process trains in ``folder``, Interrupted where the run was asked to end early.

    The files are first kept in checkpoints/finished, then made of that: see :mod:`scaling.training.kept`.
    """
    began, described = time.perf_counter(), run
    devices.settle(settings["threads"])
    (train_ids, train_index), (test_ids, test_index) = tokens.load(train), tokens.load(test)
    run = resolve(run, train_index, test_index)
    device = devices.choose(settings["device"])
    with (
        interruption.watch(settings["minutes"] or None) as stop,
        parallel.group(device, settings["gpu_percent"]) as group,
        _together(group),
        _alone(folder, group) as lock,
    ):
        how = plan.make(
            run,
            device=device,
            processes=group.size,
            memory_bytes=_gpu_memory(group, settings),
            settings=settings,
        )
        progress = Progress(run, folder / PROGRESS, lock)
        if group.first:
            print(f"{run['run']} on {_name(group)}", *how.reasons, sep="\n  ", flush=True)
        # one process looks which sets there are: one may appear while the others look
        names = group.of_first(lambda: [index["set"] for _, index in evaluable(train, run, sets)])
        held_out = [tokens.load(train.with_name(f"{name}.npy")) for name in names]
        place, tokens_each = folder / kept.PLACE, run["test_tokens"]
        text = [train_index["sha256"], test_index["sha256"]]
        if "trunk" in run:
            trunk = folder.with_name(run["trunk"])
            keeper = Keeper(place, group, held_out, tokens_each, text, trunk, run["start"])
        else:
            keeper = Keeper(place, group, held_out, tokens_each, text)
        record, curve = loop.train(
            run, train_ids, test_ids, plan=how, group=group, keeper=keeper, stop=stop,
            on_step=progress.step if group.first else lambda state: None, on_snapshot=keeper.snapshot,
            on_branch=keeper.branch,
        )  # fmt: skip
        if not group.first:
            return
        identity = {name: value for name, value in run.items() if name != "experiments"}
        record |= {
            "N_total": counts.trainable(**run),
            "flops_per_token": counts.flops_per_token(**run),
            "device": _name(group),
            "processes": group.size,
            "threads": settings["threads"] * group.size,
            "resumed": keeper.resumed,
            "seconds_total": time.perf_counter() - began + keeper.seconds_before,
            "versions": provenance.versions("torch", "numpy"),
        }
        remember(folder, keeper.evaluated)
        with kept.keeping(folder, described, text) as place:
            parquet.write(place / "curve.parquet", pa.Table.from_pylist(curve, tables.CURVE))
            keeper.hand_over(place / "snapshots")
            provenance.write_json(place / "run.json", identity | record)
        kept.publish(folder)
        progress.end(record)


@contextlib.contextmanager
def _together(group):
    """Where a run ends early, no process leaves before the first has let go of the folder.

    When one ends, torchrun and Slurm end the others.
    """
    try:
        yield
    except interruption.Interrupted:
        group.wait()
        raise


@contextlib.contextmanager
def _alone(folder, group):
    """Hold the folder of a run, by its first process for all of them; yields the lock."""
    if not group.first:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locks.held(folder / "training.lock") as lock:
        for place in (folder, folder / kept.PLACE, folder / kept.PLACE / "snapshots"):
            kept.clear_leftovers(place)
        try:
            yield lock
        finally:
            provenance.remove(folder / PROGRESS)


def _gpu_memory(group, settings):
    if group.device.type != "cuda":
        return None
    share = min(1.0, settings["gpu_percent"] / 100)
    return int(share * torch.cuda.get_device_properties(group.device).total_memory)


def _name(group):
    return torch.cuda.get_device_name(group.device) if group.device.type == "cuda" else "cpu"


class Keeper:
    """What a run keeps while it trains: snapshots, their losses, and checkpoints to go on from.

    All of it lies in ``folder``, which Snakemake does not know: it would delete the outputs of a failed job.
    A run that has no checkpoint yet goes on from the state after step ``start`` of its ``trunk``, a folder.
    ``text``: checksums of the tokens for training and test; what was trained on others is not gone on with.
    """

    def __init__(self, folder, group, held_out, tokens_per_set, text=None, trunk=None, start=0):
        self.folder, self.group, self.held_out, self.tokens_per_set = folder, group, held_out, tokens_per_set
        self.text, self.trunk, self.start = text, trunk, start
        self.evaluated, self.resumed, self.seconds_before = {}, 0, 0.0
        self.began = self.saved = self.asked = time.perf_counter()
        self.cost = self.longest_pause = 0.0

    def due(self):
        """Whether it is time for a checkpoint; to be asked whenever one is possible."""
        now = time.perf_counter()
        self.longest_pause = max(self.longest_pause, now - self.asked)
        self.asked = now
        pause = min(SAVE_AT_LEAST_EVERY, max(SAVE_EVERY, self.cost / SAVE_SHARE))
        return time.perf_counter() - self.saved > pause

    def seconds_to_save(self):
        """Seconds that saving may take, with a margin, for those who have to end in time."""
        return 30 + 3 * self.cost + 2 * self.longest_pause

    def save(self, step, tensors, state):
        """Write a checkpoint."""
        began = time.perf_counter()
        mine = {
            "evaluated": self.evaluated,
            "resumed": self.resumed,
            "seconds": self.seconds_before + began - self.began,
        }
        checkpoints.save(self.folder, step, tensors, {"run": state, "keeper": mine, "text": self.text})
        self.saved = self.asked = time.perf_counter()
        self.cost = self.saved - began

    def restore(self):
        """Tensors and state of the newest checkpoint, or of the trunk; no tensors and None without either."""
        found = checkpoints.newest(self.folder)
        if found and not self._of_this_text(found[2]):
            print(f"what was trained to step {found[0]} is of other text; trained anew", flush=True)
            shutil.rmtree(self.folder)
            found = None
        if found is None:
            return self._branch_off() if self.trunk else ({}, None)
        step, tensors, state = found
        self.evaluated = state["keeper"]["evaluated"]
        self.seconds_before = state["keeper"]["seconds"]
        self.resumed = state["keeper"]["resumed"] + 1
        # where rounding is not the same twice, a run that goes on may end earlier than the one before
        for later in set(tables.snapshot_steps(self.folder / "snapshots")) - set(state["run"]["kept"]):
            provenance.remove(tables.snapshot_path(self.folder / "snapshots", later))
        for later, path in kept.states(self.folder / "snapshots").items():
            if later > step:
                shutil.rmtree(path)
        print(f"goes on after step {step}", flush=True)
        return tensors, state["run"]

    def _branch_off(self):
        """Where the trunk has no state at the step at which the run leaves it, that of an earlier one."""
        found = checkpoints.branch_point(self.trunk / "snapshots", self.start)
        if found and not self._of_this_text(found[2]):
            print(f"{self.trunk.name} is of other text", flush=True)
            found = None
        if found is None or found[0] < self.start:
            print(f"{self.trunk.name} has no whole state of step {self.start}", flush=True)
        if found is None:
            print("trained from its first step", flush=True)
            return {}, None
        step, tensors, state = found
        print(f"branches off {self.trunk.name} after step {step}", flush=True)
        # the trunk's snapshots and its time are the trunk's
        spent = dict.fromkeys(state["run"]["seconds"], 0.0)
        return tensors, state["run"] | {"kept": [], "seconds": spent, "began": step}

    def _of_this_text(self, state):
        return state.get("text") in (None, self.text)

    def branch(self, step, tensors, state):
        """Keep the state of a trunk for the runs that branch off after ``step``."""
        path = self.folder / "snapshots" / kept.state_name(step)
        checkpoints.keep(path, step, tensors, {"run": state, "text": self.text})

    def snapshot(self, step, model, weights):
        """Keep ``weights`` and evaluate ``model``, which has them, on every set."""
        if self.group.first:
            snapshots.save(weights, tables.snapshot_path(self.folder / "snapshots", step))
        for loaded in self.held_out:
            row = evaluation.measure(
                model, step, loaded, tokens_per_set=self.tokens_per_set, group=self.group
            )
            self.evaluated[key(step, loaded[1])] = row

    def hand_over(self, target):
        """Have the snapshots at ``target`` too."""
        target.mkdir()
        for step in tables.snapshot_steps(self.folder / "snapshots"):
            places = (self.folder / "snapshots", target)
            kept.link_with_record(*(tables.snapshot_path(place, step) for place in places))
        for path in kept.states(self.folder / "snapshots").values():
            shutil.copytree(path, target / path.name, copy_function=kept.link)


class Progress:
    """Where a job stands: a small file for those who watch, and a line in the log at each test point."""

    def __init__(self, run, path, lock):
        self.run, self.path, self.lock = run, path, lock
        # the first steps are slow: a rate of theirs would have the study take for ever
        self.reported, self.points = time.monotonic(), None

    def step(self, state):
        """Take the state after a step (see :func:`scaling.training.loop.train`)."""
        if self.points is None:
            self.points = max(0, len(state["curve"]) - 1)
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
            self.lock.beat()
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
        print(
            f"{record['status']} after {record['steps']} steps, {record['seconds_total']:.1f} s", flush=True
        )
