"""How far the fits can be believed: how often their intervals hold on simulated data; and their speed."""

import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from scaling import forms
from scaling.fitting import fit
from scaling.fitting.resampling import draw
from scaling.fitting.selection import Shown, plain
from scaling.laws import LAWS
from scaling.provenance import versions

REPETITIONS, RESAMPLES = 400, 400
SEED_NOISE = 0.02
"""Nats between runs that differ in their seed (Kaplan et al. 2020, as given for their own)."""
POINT_NOISE = 0.005
"""Nats between test points of one curve."""
DELTA, CHINCHILLA_DELTA = 0.01, 1e-3
SIZES = np.geomspace(768, 1.5e9, 24)
DATA = np.array([21e6, 43e6, 86e6, 172e6, 344e6, 688e6, 1.4e9, 22e9])
STEPS = np.geomspace(3000, 2.5e5, 12)
COMPUTES = np.geomspace(1e-6, 14, 24)
"""PF-days of the smallest and the largest of the paper's runs."""
LOSSES = np.linspace(2.2, 5.0, 16)
BATCHES = 2.0 ** np.arange(12, 22)
MEASURED = {"B_crit": 0.1, "S": 0.05, "B": 0.1, "D": 0.1}
"""Noise of what is not a loss, in e-folds."""
CURVATURE = 0.01
"""Of ln L in ln N about the best size: twice or half of it costs half a per cent."""
WINDOW = 2.5
"""Sizes on each side of the best one at each compute."""
MODEL = {"S_min": 5000.0, "E_min": 5e8}
"""Constants for the law whose own belong to one model: those of a batch scan."""


def truth(name):
    """The constants that data of law ``name`` are simulated with: the published ones."""
    return {key: MODEL.get(key, found.published) for key, found in LAWS[name].parameters.items()}


def simulate(name, rng, noise=1.0):
    """A selection of points drawn from law ``name`` on the paper's own grid; ``noise`` scales its scatter."""
    law, more = LAWS[name], {}
    inputs, owner = _grid(name)
    if law.points == "best_size":
        best = law.predict({"C": inputs["C"]}, truth(name))
        lowest = LAWS["L_C"].published(C=inputs["C"])
        y = lowest * np.exp(CURVATURE * np.log(inputs["N"] / best) ** 2)
        more = {"form": forms.Valley()}
    else:
        y = law.predict(inputs, truth(name))
    runs = owner.max() + 1
    if law.y == "loss" or more:
        between, within = (
            rng.normal(0, scale, size) for scale, size in ((SEED_NOISE, runs), (POINT_NOISE, len(y)))
        )
        y = y + noise * (between[owner] + within * (runs < len(y)))
    else:
        y = y * np.exp(noise * rng.normal(0, MEASURED[law.y], len(y)))
    names = [f"run{index}" for index in range(runs)]
    compute = inputs["C"] if "C" in inputs else _compute(inputs)
    selection = plain(names, inputs, y, compute, owner=owner, method="simulated", remedy="")
    if more:
        budgets, first = np.unique(inputs["C"], return_index=True)
        shown = Shown({"C": budgets}, best[first], owner[first], budgets)
        selection = replace(selection, shown=shown, **more)
    return selection


def _grid(name):
    """Inputs of law ``name`` and the run of each point."""
    inputs = LAWS[name].inputs
    if inputs == ("N", "S"):
        N, S = (grid.ravel() for grid in np.meshgrid(SIZES[8:], STEPS, indexing="ij"))
        return {"N": N, "S": S}, np.repeat(np.arange(len(SIZES[8:])), len(STEPS))
    if inputs == ("N", "D"):
        N, D = (grid.ravel() for grid in np.meshgrid(SIZES[10::2], DATA, indexing="ij"))
        return {"N": N, "D": D}, np.arange(len(N))
    if LAWS[name].points == "best_size":
        ratio = SIZES / LAWS[name].published(C=COMPUTES)[:, None]
        budget, size = np.nonzero(np.abs(np.log(ratio)) < WINDOW * np.log(SIZES[1] / SIZES[0]))
        return {"C": COMPUTES[budget], "N": SIZES[size]}, np.unique(size, return_inverse=True)[1]
    values = {"N": SIZES, "D": DATA, "C": COMPUTES, "C_min": COMPUTES, "loss": LOSSES, "B": BATCHES}[
        inputs[0]
    ]
    return {inputs[0]: values}, np.arange(len(values))


def _compute(inputs):
    """What orders the points by compute: the product of the inputs; falling with the loss."""
    return 1 / inputs["loss"] if "loss" in inputs else np.prod(list(inputs.values()), axis=0)


def simulated_fit(name, seed, *, resamples, noise=1.0):
    """One simulated study of law ``name``, fitted: the result as :func:`fit.fit` returns it."""
    selection = simulate(name, np.random.default_rng([seed, *name.encode()]), noise)
    return fit.fit(
        LAWS[name], selection, resamples=resamples, seed=seed, interval=0.9, delta=LAWS[name].delta or DELTA
    )[0]


def held(name, seed, *, resamples):
    """What of one simulated study's fit held: each parameter's interval, the forecast's, the certificate."""
    result, constants = simulated_fit(name, seed, resamples=resamples), truth(name)
    found = {key: part["low"] <= constants[key] <= part["high"] for key, part in result["parameters"].items()}
    return found | {"forecast": result["holdout"]["covered"], "certified": result["certificate"]["passed"]}


def coverage(name, *, repetitions, resamples, run=map):
    """Share of ``repetitions`` in which each interval of law ``name`` held, by parameter."""
    found = list(run(partial(held, name, resamples=resamples), range(repetitions)))
    return {key: sum(bool(one[key]) for one in found) / repetitions for key in found[0]}


# --- the benchmark --------------------------------------------------------------------------------------


def measure(points=None):
    """Coverage of every law, and the speed of a fit to published ``points`` (N, D, loss) if there are any.

    The speed is that of one core.
    """
    environment = {"repetitions": REPETITIONS, "resamples": RESAMPLES, "versions": versions("numpy")}
    with ProcessPoolExecutor() as pool:
        run = partial(pool.map, chunksize=8)
        found = {name: coverage(name, repetitions=REPETITIONS, resamples=RESAMPLES, run=run) for name in LAWS}
    with ProcessPoolExecutor(1, initializer=_take_a_core) as alone:
        speed = None if points is None else alone.submit(time_chinchilla, *points).result()
    return environment | {"coverage": found, "chinchilla": speed}


def time_chinchilla(N, D, loss, *, rounds=5):
    """Median seconds of a point fit from all starts, and of 4000 resamples, of Hoffmann's form."""
    runs = [f"row{index}" for index in range(len(N))]
    selection = plain(runs, {"N": N, "D": D}, loss, N * D, method="published", remedy="")
    problem = fit.Problem.of(LAWS["chinchilla"].form, selection)
    points, resamples = [], []
    for seed in range(rounds):
        begin = time.perf_counter()
        whole = problem.start(selection, np.random.default_rng(seed), CHINCHILLA_DELTA)
        points.append(time.perf_counter() - begin)
        best = whole.theta[whole.objective.argmin()][None]
        begin = time.perf_counter()
        problem.solve(selection.points(draw(len(runs), 4000, seed)), best, CHINCHILLA_DELTA)
        resamples.append(time.perf_counter() - begin)
    agreeing = int((whole.objective <= whole.objective.min() * (1 + fit.AGREE)).sum())
    parameters = problem.form.natural(best, problem.centre)[0].tolist()
    return {
        "points": len(N),
        "objective": float(whole.objective.min()),
        "parameters": dict(zip(LAWS["chinchilla"].parameters, parameters, strict=True)),
        "starts": fit.STARTS,
        "agreeing": agreeing,
        "seconds_point_fit": statistics.median(points),
        "seconds_4000_resamples": statistics.median(resamples),
    }


def describe(figures):
    """The figures as Markdown."""
    lines = ["| law | share of repetitions in which the 90 % interval held |", "|---|---|"]
    for name, found in figures["coverage"].items():
        lines.append(f"| {name} | {', '.join(f'{key} {share:.3f}' for key, share in found.items())} |")
    speed = figures["chinchilla"]
    if speed is None:
        return "\n".join([*lines, "", "No published points given (--points): speed not measured."])
    return "\n".join(
        [
            *lines,
            "",
            f"{speed['points']} points of Hoffmann et al.: objective {speed['objective']:.6e}, "
            f"{speed['agreeing']} of {speed['starts']} starts agree; point fit from all of them "
            f"{speed['seconds_point_fit']:.2f} s, 4000 resamples {speed['seconds_4000_resamples']:.2f} s.",
        ]
    )


def _take_a_core():
    """Keep this process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
