"""The training loop: one model, one schedule, measured at log-spaced steps, resumable after any step."""

import contextlib
import math
import time

import torch

from scaling import counts, evaluation, models, provenance, windows
from scaling.training import noise, optimizers, parallel, schedules
from scaling.training.divergence import History
from scaling.training.interruption import Interrupted

TEST_SPAN = 100
"""The first of several test points lies at 1/100 of the planned steps."""
SNAPSHOT_SPAN = 30
"""The first of several snapshots lies at 1/30 of the planned steps."""
GPU_READ_EVERY = 16
"""Most steps between two looks at a GPU's losses: each look waits for all that was launched."""
GPU_READ_SECONDS = 2.0
"""Seconds between two looks, where steps take long: signals and time limits are noticed then."""
SMALL_PART = 8
"""Where a step is not split for memory, the gradient of 1/8 of its batch is set against the whole one."""


def train(
    run, train_ids, test_ids, *, plan, group, on_step, on_snapshot, on_branch=None, keeper=None, stop=None
):
    """Train one run; return its record and its curve.

    ``run``: a run of :func:`scaling.grid.expand` with ``D`` resolved to tokens.
    ``train_ids``: a 1-D integer array of token ids, of which the first D are used, or a list of them, its
    shards (:class:`scaling.windows.Windows`); ``test_ids``: one array.
    ``plan`` and ``group``: how it is executed, and by which processes (:mod:`scaling.training.plan`).
    ``on_step(state)`` is called now and then; ``on_snapshot(step, model, weights)`` for each snapshot, with
    the weights put together in memory. ``on_branch(step, tensors, state)`` takes, in the first process, the
    whole state after each step of ``run["branches"]``, at which other runs leave a trunk
    (:mod:`scaling.trunks`). ``keeper`` restores and saves what the run needs to go on
    (:class:`scaling.training.job.Keeper`), ``stop`` says when to end early
    (:mod:`scaling.training.interruption`): the run is then saved and Interrupted raised.

    The record holds status (``finished``; ``stopped`` by patience; ``diverged``), steps done, last and best
    test loss with standard errors in nats per token (None before the first test point), and seconds by
    what they went to. The curve is a list of dicts, one a test point.
    """
    training = Training(run, train_ids, test_ids, plan, group, on_snapshot, on_branch)
    if keeper is not None:
        training.resume(keeper)
    while not training.over:
        training.step()
        if not training.caught_up:
            continue
        on_step(training.progress())
        if keeper is not None and not training.over:
            # the first process's clock and signals decide for all of them
            due = group.first and keeper.due()
            reason = stop.reason(keeper.seconds_to_save()) if group.first else None
            ending, saving = group.total([bool(reason), bool(reason) or due])
            if saving:
                training.save(keeper)
            if ending:
                line = f"saved after step {training.done} of {run['S']}; start it again to go on"
                raise Interrupted(f"{reason}: {line}", asked=bool(stop.received))
    return training.finish(), training.curve


class Training:
    """A run under way."""

    def __init__(self, run, train_ids, test_ids, plan, group, on_snapshot, on_branch=None):
        self.run, self.plan, self.group = run, plan, group
        self.on_snapshot, self.on_branch = on_snapshot, on_branch
        torch.manual_seed(run["seed"])
        self.model = models.build(run).to(group.device)
        self.model.recompute = plan.recompute
        self.network = parallel.spread(self.model, group, plan.parallel)
        self.optimizer = optimizers.make(run, self.model)
        if plan.compile:
            graphs = group.device.type == "cuda" and group.size == 1
            self.network = torch.compile(self.network, mode="reduce-overhead" if graphs else None)
        self.batches = windows.Windows(train_ids, n_ctx=run["n_ctx"], seed=run["seed"], D=run["D"])
        self.test = windows.spread(test_ids, n_ctx=run["n_ctx"], tokens=run["test_tokens"], name="test")
        points = schedules.log_spaced(run["S"], run["test_points"], TEST_SPAN)
        self.test_steps = set(points)
        self.snapshot_steps = set(schedules.log_spaced(run["S"], run["snapshots"], SNAPSHOT_SPAN))
        self.noise_steps = schedules.between(points, run["noise_steps"])
        self.read_every = self.read_next = 1
        self.read_at = time.perf_counter()
        self.history = History(run["S"])
        self.branches = set(run.get("branches", ()))
        self.began, self.done, self.status, self.over = 0, 0, "finished", False
        self.curve, self.kept, self.best, self.best_weights = [], [], None, None
        self.since_point = {"loss": 0.0, "steps": 0, "noise": []}
        self.unread = []
        self.seconds = {"steps": 0.0, "evaluating": 0.0, "saving": 0.0}

    # --- one step ---------------------------------------------------------------------------------------

    @property
    def caught_up(self):
        """Whether the losses of all steps done have been read."""
        return not self.unread

    def step(self):
        """Do the next step, and what is due after it."""
        step = self.done + 1
        with self._timed("steps"):
            rate = self.run["learning_rate"] * schedules.share(step - 1, self.run)
            chunk, loss, square = self._gradients(step)
            norm = self._clip()
            optimizers.set_rate(self.optimizer, rate)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=not self.plan.compile)
            self.unread.append((step, loss, square, norm))
            self.done = step
            is_point, is_snapshot = step in self.test_steps, step in self.snapshot_steps
            is_branch = step in self.branches
            if is_point or is_snapshot or is_branch or step == self.run["S"] or step >= self.read_next:
                self._read()
                self.read_next = step + self.read_every
        if self.over:
            return
        if is_point and not self._test_point(step, rate, norm):
            return
        if is_snapshot and not self._snapshot(step, chunk):
            return
        if is_branch:
            self._hand(self.on_branch)
        late = sum(point["step"] > self.best["step"] for point in self.curve) if self.best else 0
        if self.run["patience"] and late >= self.run["patience"]:
            self._end("stopped")
        elif step == self.run["S"]:
            self._end("finished")

    def _gradients(self, step):
        """Gradients of a step: its tokens and mean loss in this process and, if measured, a part's norm²."""
        if self.run["dropout"]:
            # a step's masks are its own, whatever ran before: a resumed run draws the same
            torch.manual_seed(int(provenance.digest([self.run["seed"], step, self.group.rank], 12), 16))
        sequences = self.run["B"] // self.run["n_ctx"] // self.group.size
        everywhere = self.batches.batch(step - 1, sequences * self.group.size)
        mine = everywhere[self.group.rank * sequences : (self.group.rank + 1) * sequences]
        chunk = torch.from_numpy(mine)
        if self.group.device.type == "cuda":
            chunk = chunk.pin_memory()  # a copy from other memory would wait for all that was launched
        chunk = chunk.to(self.group.device, non_blocking=True)
        measured = step in self.noise_steps and sequences > 1
        loss, square = 0.0, None
        parts = self._parts(sequences, measured)
        for i, part in enumerate(chunk.split(parts)):
            weight = len(part) / sequences
            with self._reduced(last=i == len(parts) - 1, measured=measured and i == 0):
                if self.plan.compile:
                    self._own_gradients()
                    torch.compiler.cudagraph_mark_step_begin()
                mean = self.network(part[:, :-1], part[:, 1:])[0]
                (mean * weight).backward()
            loss = loss + mean.detach() * weight
            if measured and i == 0:
                tokens = len(part) * self.run["n_ctx"] * self.group.size
                square = (tokens, (self._norm() / weight) ** 2)
        return chunk, loss, square

    def _own_gradients(self):
        """Memory for gradients: what a CUDA graph makes itself, its next replay overwrites."""
        for p in self.model.parameters():
            if p.grad is None:
                p.grad = torch.zeros_like(p)

    def _parts(self, sequences, measured):
        """Sizes of the micro-batches of a step, in sequences."""
        micro = self.plan.micro_batch
        if micro == sequences and measured:
            part = max(1, sequences // SMALL_PART)
            return [part, sequences - part]
        return [micro] * (sequences // micro)

    def _reduced(self, *, last, measured):
        """Data-parallel gradients are added up over the processes where they are needed, not before."""
        if self.plan.parallel != "ddp" or last or measured:
            return contextlib.nullcontext()
        return self.network.no_sync()

    def _norm(self):
        gradients = [p.grad for p in self.model.parameters()]
        return parallel.whole(torch.nn.utils.get_total_norm(gradients))

    def _clip(self):
        norm = self._norm()
        torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), self.run["clip"], norm)
        return norm

    def _read(self):
        """Take in the losses of the steps since the last look, in their order."""
        unread, self.unread = self.unread, []
        local = [float(loss) for _, loss, _, _ in unread]
        now = time.perf_counter()
        mine = (now - self.read_at) / len(unread) if self.group.first else 0.0
        self.read_at = now
        *totals, step_seconds = self.group.total([*local, mine])
        if self.group.device.type == "cuda":
            # all processes look at the same steps, by the first one's clock
            self.read_every = max(1, min(GPU_READ_EVERY, int(GPU_READ_SECONDS / step_seconds)))
        losses = [total / self.group.size for total in totals]
        for (step, _, square, norm), loss in zip(unread, losses, strict=True):
            if self.history.diverged(loss):
                self.done = step
                self._end("diverged")
                return
            self.since_point["loss"] += loss
            self.since_point["steps"] += 1
            if square is not None:
                small, big = (square[0], float(square[1])), (self.run["B"], float(norm) ** 2)
                self.since_point["noise"].append(noise.moments(small, big))

    # --- what is measured on the way --------------------------------------------------------------------

    def _test_point(self, step, rate, norm):
        with self._timed("evaluating"):
            losses = evaluation.losses(self.model, self.test, self.group)
            test_loss, error = evaluation.mean_and_error(losses)
        if not math.isfinite(test_loss):
            self._end("diverged")
            return False
        point = {
            "step": step,
            "tokens": step * self.run["B"],
            # beyond 2^53 not every whole number is a float, and parquet takes none that is not
            "flops": float(step * self.run["B"] * counts.flops_per_token(**self.run)["6N"]),
            "learning_rate": rate,
            "train_loss": self.since_point["loss"] / self.since_point["steps"],
            "test_loss": test_loss,
            "test_loss_se": error,
            "grad_norm": float(norm),
            **noise.estimate(self.since_point["noise"]),
        }
        self.curve.append(point)
        self.since_point = {"loss": 0.0, "steps": 0, "noise": []}
        if self.best is None or test_loss < self.best["test_loss"]:
            self.best = point
            if self.run["patience"]:
                self.best_weights = {name: p.clone() for name, p in self.model.state_dict().items()}
        return True

    def _snapshot(self, step, chunk):
        # the loss read above was that of the weights before this step's update
        with self._timed("evaluating"):
            loss = evaluation.losses(self.model, chunk.cpu().numpy(), self.group).mean()
        if not math.isfinite(loss):
            self._end("diverged")
            return False
        self._keep(step)
        return True

    def _keep(self, step):
        with self._timed("saving"):
            weights = self._whole(self.model.state_dict())
        with self._timed("evaluating"):
            self.on_snapshot(step, self.model, weights)
        self.kept.append(step)

    def _end(self, status):
        self.status, self.over, self.unread = status, True, []

    def finish(self):
        """The record of the run, which has ended."""
        if self.best_weights and self.best["step"] not in self.kept:
            self.model.load_state_dict(self.best_weights)
            self._keep(self.best["step"])
        last = self.curve[-1] if self.curve else dict.fromkeys(("train_loss", "test_loss", "test_loss_se"))
        tokens, seconds = self.done * self.run["B"], self.seconds
        return {
            "status": self.status,
            "steps": self.done,
            "tokens": tokens,
            "epochs": tokens / self.run["D"],
            "train_loss": last["train_loss"],
            "test_loss": last["test_loss"],
            "test_loss_se": last["test_loss_se"],
            "best_step": self.best and self.best["step"],
            "best_test_loss": self.best and self.best["test_loss"],
            "best_test_loss_se": self.best and self.best["test_loss_se"],
            **{f"seconds_{'in_steps' if name == 'steps' else name}": seconds[name] for name in seconds},
            "tokens_per_second": self._tokens_per_second(),
            **({"steps_trained": self.done - self.began} if "trunk" in self.run else {}),
        }

    def progress(self):
        """Where the run stands, for those who watch."""
        return {"step": self.done, "curve": self.curve, "tokens_per_second": self._tokens_per_second()}

    def _tokens_per_second(self):
        return (self.done - self.began) * self.run["B"] / self.seconds["steps"]

    @contextlib.contextmanager
    def _timed(self, what):
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - began

    # --- going on where another process stopped ---------------------------------------------------------

    def _whole(self, tensors):
        """``tensors`` put together on the first process's CPU; the others take part and keep nothing."""
        found = {}
        for name, tensor in tensors.items():
            tensor = parallel.whole(tensor)
            if self.group.first:
                found[name] = tensor.detach().cpu()
        return found

    def save(self, keeper):
        """Hand all that the run needs to go on to ``keeper``."""
        self._hand(keeper.save)

    def _hand(self, take):
        """Have the first process ``take(step, tensors, state)`` of all that the run needs to go on."""
        with self._timed("saving"):
            kinds = {
                "model": self.model.state_dict(),
                "optimizer": optimizers.tensors(self.optimizer),
                "best": self.best_weights or {},
            }
            found = {
                f"{kind}/{name}": tensor
                for kind, tensors in kinds.items()
                for name, tensor in self._whole(tensors).items()
            }
            if self.group.first:
                take(self.done, found, self._state())
            # torchrun kills the rest when one process ends: nobody does before it is written
            self.group.wait()

    def _state(self):
        return {
            "step": self.done,
            "began": self.began,
            "has_best": self.best_weights is not None,
            "curve": self.curve,
            "kept": self.kept,
            "best_step": self.best and self.best["step"],
            "since_point": self.since_point,
            "history": self.history.state(),
            "seconds": self.seconds,
        }

    def resume(self, keeper):
        """Go on from the newest state that ``keeper`` has, if any: the first process reads it for all."""
        with self._timed("saving"):
            tensors, known = keeper.restore() if self.group.first else ({}, None)
            known = self.group.of_first(lambda: known)
            if known is None:
                return
            optimizers.prepare(self.optimizer)
            self._fill("model", self.model.state_dict(), tensors)
            self._fill("optimizer", optimizers.tensors(self.optimizer), tensors)
            if known["has_best"]:
                self.best_weights = {name: p.clone() for name, p in self.model.state_dict().items()}
                self._fill("best", self.best_weights, tensors)
        self.began = known.get("began", 0)
        self.done, self.curve, self.kept = known["step"], known["curve"], known["kept"]
        self.best = next((p for p in self.curve if p["step"] == known["best_step"]), None)
        self.since_point = known["since_point"]
        self.history.restore(known["history"])
        self.seconds = {name: known["seconds"][name] + new for name, new in self.seconds.items()}

    def _fill(self, kind, targets, tensors):
        for name, target in targets.items():
            self.group.fill(target, tensors.pop(f"{kind}/{name}", None))
