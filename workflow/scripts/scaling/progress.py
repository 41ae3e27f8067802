"""How far the training of a study is, read from its run folders by whoever watches."""

import json
import math
import time

from scaling import counts
from scaling.tables import run_folder

SILENCE = 60.0
"""Seconds after which a run that says nothing is taken to have died: jobs write every two seconds."""


def states(runs, folder_of_runs):
    """One dict for each of ``runs`` (as :func:`scaling.grid.expand` has them): what is known of it.

    ``state`` is done, running or waiting; with it come step, S, tokens_per_second and test_loss where a
    run's record or its progress tells them.
    """
    found = []
    for run in runs:
        folder = run_folder(folder_of_runs, run)
        state = {"state": "waiting", "run": run["run"], "step": run.get("start", 0), "S": run["S"]}
        state["tokens"] = run["B"] * run["S"]
        state["flops"] = counts.flops_per_token(**run)["attention"]
        for name, label in (("progress.json", "running"), ("run.json", "done")):
            state |= _read(folder / name, label)
        state["evaluated"] = (folder / "evaluation.parquet").exists()
        found.append(state)
    return found


def _read(path, label):
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        silent = time.time() - path.stat().st_mtime > SILENCE
    except (OSError, ValueError):
        return {}
    if label == "running" and silent:
        return {}
    known = ("test_loss", "tokens_per_second", "step")
    return {"state": label} | {name: record[name] for name in known if name in record}


def seconds_left(found):
    """Seconds until the last run ends, from the measured rates; None before the first is measured.

    A run not yet measured goes at the FLOP/s of the measured one nearest to it in FLOPs per token, and
    as many run at once as do now. Early stopping is not foreseen.
    """
    measured = [s for s in found if s.get("tokens_per_second")]
    if not measured:
        return None
    work = 0.0
    for state in found:
        if state["state"] == "done":
            continue
        nearest = min(measured, key=lambda m: abs(math.log(m["flops"] / state["flops"])))
        rate = nearest["tokens_per_second"] * nearest["flops"] / state["flops"]
        rate = state.get("tokens_per_second", rate)
        work += state["tokens"] * (1 - state["step"] / state["S"]) / rate
    return work / max(1, sum(s["state"] == "running" for s in found))


def report(runs, folder_of_runs):
    """What a person wants to read now: a summary, then one line for each run in training."""
    found = states(runs, folder_of_runs)
    done = sum(s["state"] == "done" for s in found)
    running = [s for s in found if s["state"] == "running"]
    evaluated = sum(s["evaluated"] for s in found)
    summary = f"{done} of {len(found)} runs trained, {evaluated} evaluated, {len(running)} training"
    left = seconds_left(found)
    if done < len(found) and left is not None:
        summary += f", about {_minutes(left)} of training left"
    return "\n".join([summary, *(f"  {_describe(state)}" for state in running)])


def _describe(state):
    loss = f"test loss {state['test_loss']:.3f}, " if state.get("test_loss") is not None else ""
    rate = f"{state['tokens_per_second']:,.0f} tokens/s"
    return f"{state['run']}: step {state['step']} of {state['S']}, {loss}{rate}"


def _minutes(seconds):
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
