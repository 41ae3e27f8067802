"""The training loop: one model, one schedule, measured at log-spaced steps."""

import math
import time

import torch
from torch.nn import functional as F

from scaling import counts, evaluation, models, windows
from scaling.training import optimizers, schedules

TEST_SPAN = 100
"""The first of several test points lies at 1/100 of the planned steps."""
SNAPSHOT_SPAN = 30
"""The first of several snapshots lies at 1/30 of the planned steps."""


def train(run, train_ids, test_ids, *, on_step, on_snapshot):
    """Train one run; return its record and its curve.

    ``run``: a run of :func:`scaling.grid.expand` with ``D`` resolved to tokens.
    ``train_ids``, of which the first D are used, and ``test_ids``: 1-D integer arrays of token ids.
    ``on_step(state)`` is called after each step, ``on_snapshot(step, model)`` for each snapshot.

    The record holds status (``finished``; ``stopped`` by patience; ``diverged`` at a loss that is not
    finite), steps done, last and best test loss with standard errors in nats per token (None before the
    first test point), seconds inside training steps (batch, forward, backward, update) and tokens per
    second of those. The curve is a list of dicts, one a test point.
    """
    torch.manual_seed(run["seed"])
    torch.set_flush_denormal(True)  # underflowing activations would otherwise slow a step tenfold
    model = models.build(run)
    optimizer = optimizers.Adam(model.parameters(), betas=run["betas"], epsilon=run["epsilon"])
    batches = windows.Windows(train_ids[: run["D"]], n_ctx=run["n_ctx"], seed=run["seed"])
    test = windows.spread(test_ids, n_ctx=run["n_ctx"], tokens=run["test_tokens"], name="test")
    test_steps = schedules.log_spaced(run["S"], run["test_points"], TEST_SPAN)
    snapshot_steps = schedules.log_spaced(run["S"], run["snapshots"], SNAPSHOT_SPAN)
    sequences = run["B"] // run["n_ctx"]
    flops_per_step = counts.flops_per_token(**run)["6N"] * run["B"]

    curve, recent = [], []
    status, in_steps, step = "finished", 0.0, 0
    best, best_weights, kept = None, None, set()
    for step in range(1, run["S"] + 1):
        tick = time.perf_counter()
        rate = run["learning_rate"] * schedules.cosine(step - 1, steps=run["S"], warmup=run["warmup"])
        chunk = torch.from_numpy(batches.batch(step - 1, sequences))
        loss = F.cross_entropy(model(chunk[:, :-1]).flatten(0, 1), chunk[:, 1:].flatten())
        loss.backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), run["clip"])
        optimizer.step(rate)
        recent.append(loss.item())
        in_steps += time.perf_counter() - tick
        if not math.isfinite(recent[-1]):
            status = "diverged"
            break
        if step in test_steps:
            test_loss, error = evaluation.mean_and_error(evaluation.losses(model, test))
            if not math.isfinite(test_loss):
                status = "diverged"
                break
            point = {
                "step": step,
                "tokens": step * run["B"],
                "flops": step * flops_per_step,
                "learning_rate": rate,
                "train_loss": sum(recent) / len(recent),
                "test_loss": test_loss,
                "test_loss_se": error,
                "grad_norm": grad_norm.item(),
            }
            curve.append(point)
            recent.clear()
            if best is None or test_loss < best["test_loss"]:
                best = point
                if run["patience"]:
                    best_weights = {name: value.clone() for name, value in model.state_dict().items()}
        if step in snapshot_steps:
            # the loss above was that of the weights before this step's update
            if not math.isfinite(evaluation.losses(model, chunk.numpy()).mean()):
                status = "diverged"
                break
            on_snapshot(step, model)
            kept.add(step)
        on_step({"step": step, "curve": curve, "tokens_per_second": step * run["B"] / in_steps})
        if run["patience"] and best and sum(p["step"] > best["step"] for p in curve) >= run["patience"]:
            status = "stopped"
            break
    if best_weights and best["step"] not in kept:
        model.load_state_dict(best_weights)
        on_snapshot(best["step"], model)
    last = curve[-1] if curve else dict.fromkeys(("train_loss", "test_loss", "test_loss_se"))
    record = {
        "status": status,
        "steps": step,
        "tokens": step * run["B"],
        "epochs": step * run["B"] / run["D"],
        "train_loss": last["train_loss"],
        "test_loss": last["test_loss"],
        "test_loss_se": last["test_loss_se"],
        "best_step": best and best["step"],
        "best_test_loss": best and best["test_loss"],
        "best_test_loss_se": best and best["test_loss_se"],
        "seconds_in_steps": in_steps,
        "tokens_per_second": step * run["B"] / in_steps,
    }
    return record, curve
