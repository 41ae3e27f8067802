"""How far the fits can be believed: how often their intervals hold on simulated data; and their speed."""

import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from scaling import forms, parquet, selections
from scaling.benchmark import chain
from scaling.benchmark.chain import BATCH, POINT_NOISE, SIZES, STEPS
from scaling.fitting import fit
from scaling.fitting.resampling import draw
from scaling.fitting.selection import Points, plain
from scaling.laws import LAWS, SEED_NOISE
from scaling.provenance import versions

REPETITIONS, RESAMPLES = 400, 400
CHAINS = 60
"""Repetitions of the whole chain from batch scans to the frontier."""
NO_POINTS = "`snakemake --configfile studies/chinchilla.yaml` fetches the points it is measured on."
DELTA, CHINCHILLA_DELTA = 0.01, 1e-3
DATA = np.array([21e6, 43e6, 86e6, 172e6, 344e6, 688e6, 1.4e9, 22e9])
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
    """A selection of points drawn from law ``name`` on the paper's own grid; ``noise`` scales its scatter.

    The best sizes are fitted to losses about them, so for N_opt it is those that are drawn.
    """
    law = LAWS[name]
    if law.points == "best_size":
        return _valleys(law, rng, noise)
    inputs, owner = _grid(law.inputs)
    y = law.predict(inputs, truth(name))
    if law.y == "loss":
        y = y + noise * _nats(rng, owner)
    else:
        y = y * np.exp(noise * rng.normal(0, MEASURED[law.y], len(y)))
    # of the inputs that grow with compute their product orders the points as compute does
    compute = 1 / inputs["loss"] if "loss" in inputs else np.prod(list(inputs.values()), axis=0)
    return plain(_names(owner), inputs, y, compute, owner=owner, method="simulated", remedy="")


def _valleys(law, rng, noise):
    """Losses of sizes about the best at each compute; a size is a run."""
    (compute,) = law.inputs
    best = law.published(**{compute: COMPUTES})
    near = np.abs(np.log(SIZES / best[:, None])) < WINDOW * np.log(SIZES[1] / SIZES[0])
    budget, size = np.nonzero(near)
    owner = np.unique(size, return_inverse=True)[1]
    C, N = COMPUTES[budget], SIZES[size]
    y = LAWS["L_C"].published(C=C) * np.exp(CURVATURE * np.log(N / best[budget]) ** 2)
    y = y + noise * _nats(rng, owner)
    selection = plain(_names(owner), {compute: C, "N": N}, y, C, owner=owner, method="simulated", remedy="")
    reached, first = np.unique(budget, return_index=True)
    shown = Points({compute: COMPUTES[reached]}, best[reached], owner[first], COMPUTES[reached])
    return replace(selection, form=forms.Valley(), shown=shown)


def _nats(rng, owner):
    """Scatter of losses (P,): between runs, and where a run has several points within it too."""
    runs = owner.max() + 1
    between, within = rng.normal(0, SEED_NOISE, runs), rng.normal(0, POINT_NOISE, len(owner))
    return between[owner] + within * (runs < len(owner))


def _names(owner):
    return [f"run{index}" for index in range(owner.max() + 1)]


def _grid(inputs):
    """The paper's grid of ``inputs``, name -> (P,), and the run that each point belongs to (P,)."""
    if inputs in (("N", "S"), ("N", "S_min")):
        N, S = (axis.ravel() for axis in np.meshgrid(SIZES[8:], STEPS, indexing="ij"))
        return dict(zip(inputs, (N, S), strict=True)), np.repeat(np.arange(len(SIZES[8:])), len(STEPS))
    if inputs == ("N", "D"):
        N, D = (axis.ravel() for axis in np.meshgrid(SIZES[10::2], DATA, indexing="ij"))
        return {"N": N, "D": D}, np.arange(len(N))
    axes = {"N": SIZES, "D": DATA, "C": COMPUTES, "C_min": COMPUTES, "loss": LOSSES, "B": BATCHES}
    return {inputs[0]: axes[inputs[0]]}, np.arange(len(axes[inputs[0]]))


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


def coverage(name, *, repetitions, resamples, run=map, of=held):
    """Share of ``repetitions`` in which each interval of law ``name`` held, by parameter.

    ``of`` says what is simulated: :func:`held` or :func:`held_in_study`.
    """
    found = list(run(partial(of, name, resamples=resamples), range(repetitions)))
    return {key: sum(bool(one[key]) for one in found) / repetitions for key in found[0]}


# --- laws of the frontier, from simulated studies -------------------------------------------------------


def simulate_study(rng):
    """Tables of runs and curves of the paper's sizes at one batch size, losses L(N, S) and their noise."""
    runs, curves = [], []
    for N in SIZES.round():
        name = f"N{N:.0f}"
        losses = LAWS["L_NS"].published(N=N, S=STEPS) + _nats(rng, np.zeros(len(STEPS), dtype=int))
        runs.append({
            **{"run": name, "experiments": ["size"], "status": "finished", "N": N, "warmup": 0},
            **{"test_loss": losses[-1], "flops_per_token_6N": 6 * N},
        })  # fmt: skip
        curves += [
            {"run": name, "step": S, "tokens": BATCH * S, "test_loss": loss}
            for S, loss in zip(STEPS, losses, strict=True)
        ]
    return runs, curves


def study_truth():
    """Exponents of the frontier of L(N, S) at a fixed batch size: {law: (parameter, value)}."""
    alpha_N, alpha_S = (LAWS["L_NS"].parameters[key].published for key in ("alpha_N", "alpha_S"))
    both = alpha_N + alpha_S
    return {"L_C": ("alpha_C", alpha_N * alpha_S / both), "N_opt": ("p_N", alpha_S / both)}


def held_in_study(name, seed, *, resamples):
    """What of the fit of law ``name`` to one simulated study held."""
    tables = simulate_study(np.random.default_rng([seed, *name.encode()]))
    result, _ = selections.fit_law(name, *tables, resamples=resamples, seed=seed, delta=DELTA)
    key, value = study_truth()[name]
    found = result["parameters"][key]
    return {
        key: found["low"] <= value <= found["high"],
        "forecast": result["holdout"]["covered"],
        "certified": result["certificate"]["passed"],
    }


# --- the benchmark --------------------------------------------------------------------------------------


def measure(published):
    """Coverage of every law, and the speed of a fit on one core.

    ``published`` is the table of runs of studies/chinchilla.yaml; where it does not exist there is no speed.
    """
    environment = {"repetitions": REPETITIONS, "resamples": RESAMPLES, "versions": versions("numpy")}
    with ProcessPoolExecutor() as pool:
        run = partial(pool.map, chunksize=8)
        options = {"repetitions": REPETITIONS, "resamples": RESAMPLES, "run": run}
        found = {name: coverage(name, **options) for name in LAWS}
        found |= {f"{name} of studies": coverage(name, **options, of=held_in_study) for name in study_truth()}
        found["the chain"] = chain.coverage(repetitions=CHAINS, resamples=RESAMPLES, run=pool.map)
    speed = None
    if published.is_file():
        table = parquet.read(published)
        points = (table[name].to_numpy() for name in ("N", "tokens", "test_loss"))
        with ProcessPoolExecutor(1, initializer=_take_a_core) as alone:
            speed = alone.submit(time_chinchilla, *points).result()
    return environment | {"coverage": found, "chinchilla": speed}


def time_chinchilla(N, D, loss, *, rounds=5):
    """Median seconds of a point fit from all starts, and of 4000 resamples, of Hoffmann's form."""
    runs = [f"row{index}" for index in range(len(N))]
    selection = plain(runs, {"N": N, "D": D}, loss, N * D, method="published", remedy="")
    problem = fit.Problem.of(LAWS["chinchilla"].form, selection)
    points, resamples = [], []
    for seed in range(rounds):
        begin = time.perf_counter()
        whole = problem.start(np.random.default_rng(seed), CHINCHILLA_DELTA)
        points.append(time.perf_counter() - begin)
        best = whole.theta[whole.objective.argmin()][None]
        begin = time.perf_counter()
        problem.solve(draw(len(runs), 4000, seed), best, CHINCHILLA_DELTA)
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
        return "\n".join([*lines, "", f"No speed: {NO_POINTS}"])
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
