"""Runs that share a job of a cluster are trained at once, since Snakemake would start one after the other.

The first of their jobs to start, the leader, trains all of them, each as a process of its own; the others
find their results kept (:mod:`scaling.training.kept`) and publish them.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from scaling import trunks
from scaling.provenance import UserError
from scaling.training import interruption, kept

VARIABLE = "FRONTIER_PACK"
"""Environment variable with the runs that share this job, as JSON: a list of dicts of ``run`` (its
description), ``out`` (its folder) and ``gpu_percent``."""
START_MARGIN = 60.0
"""Seconds before the time limit from which no further run is started: it would have to save at once."""
LOOK_EVERY = 0.2
"""Seconds between two looks at the processes."""


def members(run, environment=os.environ):
    """The runs to train together, longest first, if the job of ``run`` is to lead a pack; else none.

    It leads where its own run travels with others whose results are not kept yet. Raises UserError where the
    environment's list of runs is not one.
    """
    if VARIABLE not in environment:
        return []
    try:
        found = [
            {"run": dict(m["run"]), "out": Path(m["out"]), "gpu_percent": int(m["gpu_percent"])}
            for m in json.loads(environment[VARIABLE])
        ]
        found = sorted(found, key=lambda m: _work(m["run"]), reverse=True)
    except (ValueError, LookupError, TypeError) as error:
        line = f"{VARIABLE} is no list of runs ({error!r}): it is for the workflow alone to set; unset it"
        raise UserError(line) from None
    left = [m for m in found if not kept.holds(m["out"], m["run"])]
    mine = [m for m in left if is_same(m, run)]
    return left if mine and len(left) > 1 else []


def _work(run):
    return run["N"] * run["B"] * trunks.steps_to_train(run)


def is_same(member, run):
    """Whether ``member`` of a pack is ``run``."""
    return kept.identity(member["run"]) == kept.identity(run)


def train(pack, *, command, minutes):
    """Train the runs of ``pack`` (of :func:`members`), as many at once as one GPU has room for.

    ``command(member, minutes)``: the command line that trains one, within so many minutes, 0 for no limit.
    ``minutes``: the time limit, counted from the begin of this process, 0 for none. Returns exit codes in the
    order of ``pack``, and the name of the signal that ended it early, None if none did. A run that was not
    begun, for a signal or the limit, counts as saved. No process outlives this one.
    """
    names = ", ".join(m["run"]["run"] for m in pack)
    print(f"trains {len(pack)} runs of this job together: {names}", flush=True)
    waiting, running, codes = list(range(len(pack))), {}, [interruption.EXIT_CODE] * len(pack)
    asked = False
    with interruption.watch(minutes or None) as watch:
        while waiting or running:
            reason = watch.reason(START_MARGIN)
            if reason and waiting:
                not_begun = ", ".join(pack[i]["run"]["run"] for i in waiting)
                print(f"{reason}: not begun: {not_begun}", flush=True)
                waiting.clear()
            if reason and watch.received and not asked:
                print(f"{watch.received[0]}: all are asked to save", flush=True)
                for process in running.values():
                    process.send_signal(signal.SIGTERM)
                asked = True
            while (i := _fitting(pack, waiting, running)) is not None:
                waiting.remove(i)
                left = max(0.01, round(interruption.minutes_left(minutes), 2)) if minutes else 0
                running[i] = _start(command(pack[i], left), pack[i]["out"])
                print(f"  {pack[i]['run']['run']} begins, {len(running)} at once", flush=True)
            for i in [i for i, process in running.items() if process.poll() is not None]:
                codes[i] = exit_code(running.pop(i).returncode)
                print(f"  {pack[i]['run']['run']} {_fate(codes[i], pack[i]['out'])}", flush=True)
            time.sleep(LOOK_EVERY)
    return codes, watch.received[0] if watch.received else None


def exit_code(returncode):
    """The exit code, as a shell tells it, of a process of this ``returncode``."""
    return returncode if returncode >= 0 else 128 - returncode


def _fitting(pack, waiting, running):
    """The first of ``waiting`` that the GPU has room for beside ``running``; None if there is none."""
    room = 100 - sum(pack[i]["gpu_percent"] for i in running)
    return next((i for i in waiting if not running or pack[i]["gpu_percent"] <= room), None)


def _start(command, out):
    log = kept.log(out)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with log.open("ab") as file:  # what it said before it was interrupted stays
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            preexec_fn=interruption.end_with_parent,
        )  # fmt: skip


def _fate(code, out):
    if code == 0:
        return "has ended"
    if code == interruption.EXIT_CODE:
        return "was saved, to go on later"
    lines = kept.log(out).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"failed with exit code {code}: {lines[-1] if lines else 'it said nothing'}"


def changed(arguments, **values):
    """The command line ``arguments`` with each option of ``values`` set to its value, or gone for None."""
    options = {f"--{name.replace('_', '-')}": value for name, value in values.items()}
    found, flags, i = [], ("--requeue",), 0
    while i < len(arguments):
        name, equals, _ = arguments[i].partition("=")
        if name in options:
            i += 1 if equals or name in flags else 2
            continue
        found.append(arguments[i])
        i += 1
    for name, value in options.items():
        found += [] if value is None else [f"{name}={value}"]
    return found
