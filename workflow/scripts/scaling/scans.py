"""Batch scans: how many steps each batch size needs to reach a loss, from learning curves.

Tables are lists of rows (dicts) with the columns of runs.parquet and curves.parquet. Losses are nats per
token, batches and examples tokens.
"""

from dataclasses import dataclass, replace

import numpy as np

from scaling.fitting.fit import Problem
from scaling.fitting.selection import Points, Selection, plain
from scaling.forms import Hyperbolas
from scaling.frontier import past_warmup
from scaling.grid import FEWEST_BATCHES
from scaling.laws import LAWS
from scaling.provenance import UserError
from scaling.rows import column, finite, names, need
from scaling.training.noise import estimate

SCANS = ("batch",)
"""Experiments whose learning curves are batch scans."""
LEVELS = 8
"""Losses, evenly spaced in their logarithm, at which batch sizes are compared."""
NARROWEST = 0.02
"""Least range of ln L that levels are spread over."""
PACE = 4
"""Times the warm-up that every batch has spent before the first level: sooner it is the warm-up that sets the
pace, not the batch."""
REMEDY = "add batch sizes to experiment batch, or train its runs for longer"


@dataclass(frozen=True)
class Scan:
    """P points: the ``steps`` in which a batch ``B`` reached ``loss`` at one of G levels.

    ``group`` (P,) is the level's index, ``owner`` (P,) that of the run in ``runs``; where ``least`` (P,) is
    true the run ended before it reached the loss, and ``steps`` are all that it had. ``N`` (G,) and ``level``
    (G,) describe the levels. ``unreached`` are levels at which too few batch sizes arrived, pairs (N, loss).
    """

    runs: list[dict]
    owner: np.ndarray
    group: np.ndarray
    B: np.ndarray
    steps: np.ndarray
    least: np.ndarray
    N: np.ndarray
    level: np.ndarray
    unreached: list[tuple]
    excluded: dict[str, str]

    @property
    def loss(self):
        """The loss (P,) of each point's level."""
        return self.level[self.group]


def scan(runs, curves):
    """The :class:`Scan` of the runs of experiment `batch`, past their warm-up.

    Of several runs of one size and batch, at other learning rates or seeds, the quickest to each loss counts.
    ln S is linear in ln L between test points, and a curve never rises: what counts is when it first came
    down to a loss. Levels reach from the highest loss at which every run has spent PACE times its warm-up to
    the lowest that FEWEST_BATCHES batches of one size arrived at. A batch that did not arrive is known to
    need more steps than it had. Raises UserError where no level has FEWEST_BATCHES.
    """
    kept, traces, excluded = past_warmup(runs, curves, SCANS, REMEDY)
    need(kept, "B")
    paths = [_path(traces[run["run"]]) for run in kept]
    sizes, batches = column(kept, "N"), column(kept, "B")
    last = np.array([loss[-1] for loss, _ in paths])
    arrived = {}
    for N in np.unique(sizes):
        of_batch = {B: last[(sizes == N) & (batches == B)].min() for B in np.unique(batches[sizes == N])}
        if len(of_batch) >= FEWEST_BATCHES:
            arrived[N] = np.sort(list(of_batch.values()))[FEWEST_BATCHES - 1]
    if not arrived:
        raise UserError(f"no size was trained with {FEWEST_BATCHES} batch sizes; {REMEDY}")
    for run in kept:
        if run["N"] not in arrived:
            excluded[run["run"]] = f"its size has fewer than {FEWEST_BATCHES} batch sizes"
    at = [index for index, run in enumerate(kept) if run["N"] in arrived]
    top = min(_after(*paths[index], PACE * kept[index]["warmup"]) for index in at)
    bottom = min(arrived.values())
    if top - bottom < NARROWEST:
        raise UserError(f"hardly any loss lies on the curves of {FEWEST_BATCHES} batch sizes; {REMEDY}")
    found, places, unreached = [], [], []
    for N in arrived:
        for level in np.linspace(top, bottom, LEVELS):
            if arrived[N] > level + 1e-12:
                unreached.append((float(N), float(np.exp(level))))
                continue
            for B in np.unique(batches[sizes == N]):
                same = [index for index in at if sizes[index] == N and batches[index] == B]
                found.append((len(places), B, *_quickest(same, paths, level)))
            places.append((N, np.exp(level)))
    for run in kept:
        if run["run"] not in excluded and all(run["N"] != N for N, _ in places):
            excluded[run["run"]] = f"{FEWEST_BATCHES} batches of its size reached none of the losses compared"
    group, B, owner, steps, least = zip(*found, strict=True)
    used, owner = np.unique(owner, return_inverse=True)
    N, level = np.array(places).T
    return Scan(
        [kept[index] for index in used],
        *(owner, np.array(group), np.array(B), np.array(steps), np.array(least)),
        *(N, level, unreached, excluded),
    )


def _path(trace):
    """ln of the lowest loss so far and ln of the step, of a run's test points."""
    return np.minimum.accumulate(np.log(column(trace, "test_loss"))), np.log(column(trace, "step"))


def _after(loss, step, warmup):
    """ln of the lowest loss by the step ``warmup``, or at the first test point if that comes later."""
    return float(np.interp(np.log(max(warmup, 1)), step, loss))


def _quickest(same, paths, level):
    """Index of the run of ``same`` that reached ``level`` first, its steps, and whether none did: then the
    one with most steps, and these."""
    steps = {index: float(np.exp(_when(*paths[index], level))) for index in same}
    reached = [index for index in same if np.isfinite(steps[index])]
    if reached:
        first = min(reached, key=steps.get)
        return first, steps[first], False
    longest = max(same, key=lambda index: paths[index][1][-1])
    return longest, float(np.exp(paths[longest][1][-1])), True


def _when(loss, step, level):
    """ln of the step at which ``loss`` (P,), which never rises, came down to ``level``; infinite if never."""
    if loss[-1] > level + 1e-12:
        return np.inf
    after = int(np.argmax(loss <= level + 1e-12))
    if after == 0:
        return step[0]
    share = (loss[after - 1] - level) / (loss[after - 1] - loss[after])
    return step[after - 1] + share * (step[after] - step[after - 1])


def batch_curves(runs, curves, convention, critical=None):
    """Every test point of a scan past its warm-up: losses by N, steps and tokens."""
    kept, traces, excluded = past_warmup(runs, curves, SCANS, REMEDY)
    owner = np.repeat(np.arange(len(kept)), [len(traces[run["run"]]) for run in kept])
    points = [row for run in kept for row in traces[run["run"]]]
    tokens = column(points, "tokens")
    return plain(
        names(kept),
        {"N": column(kept, "N")[owner], "S": column(points, "step"), "tokens": tokens},
        column(points, "test_loss"),
        tokens,
        owner=owner,
        method="Test points past warm-up on the learning curves of experiment batch.",
        remedy=REMEDY,
        excluded=excluded,
    )


# --- critical batch sizes -------------------------------------------------------------------------------


def critical_batches(runs, curves, convention, critical=None):
    """The :class:`Selection` of B_crit(L): all hyperbolas of a scan at once (:class:`forms.Hyperbolas`).

    What is shown are the critical batch sizes of separate hyperbolas, one for each size and loss. They share
    no parameter; the law's fit gives each an S_min of its own and all of them one B_crit(L).
    """
    found = scan(runs, curves)
    C = 6 * found.N[found.group] * found.B * found.steps
    spent = np.array([C[found.group == group].max() for group in range(len(found.N))])
    fits = [_hyperbola(found, found.group == group) for group in range(len(found.N))]
    half = np.diff(np.unique(np.log(found.level))).min(initial=np.inf) / 2
    levels = [
        {"N": float(N), "loss": float(level)}
        | fit
        | noise_scale(found.runs, curves, N, (level * np.exp(-half), level * np.exp(half)))
        for N, level, fit in zip(found.N, found.level, fits, strict=True)
    ]
    first = np.array([np.argmax(found.group == group) for group in range(len(found.N))])
    critical = np.array([level["E_min"] / level["S_min"] for level in levels])
    return Selection(
        runs=[run["run"] for run in found.runs],
        fitted=Points(
            {"loss": found.loss, "B": found.B},
            found.steps,
            found.owner,
            spent[found.group],
            least=found.least,
        ),
        shown=Points({"loss": found.level}, critical, found.owner[first], spent),
        form=Hyperbolas(found.group),
        method=f"Steps that each batch of experiment batch took to {len(np.unique(found.level))} losses, "
        "interpolated on its learning curve past warm-up; runs that ended above a loss count as needing more "
        "steps than they had; an S_min for each size and loss, one B_crit(L) for all; resampled by size and, "
        "within it, by run.",
        remedy=REMEDY,
        excluded=found.excluded,
        strata=np.array([run["N"] for run in found.runs]),
        facts={
            "levels": levels,
            "batches": sorted({float(B) for B in found.B}),
            "censored": int(found.least.sum()),
            "steps": len(found.steps),
            "unreached": [{"N": N, "loss": loss} for N, loss in found.unreached],
        },
    )


def _hyperbola(found, at):
    """S_min and E_min of one level, with its points, as JSON values."""
    runs = [str(index) for index in range(at.sum())]
    B, steps, least = found.B[at], found.steps[at], found.least[at]
    law = LAWS["steps_examples"]
    selection = plain(runs, {"B": B}, steps, B * steps, method="", remedy=REMEDY)
    problem = Problem.of(law.form, replace(selection, fitted=replace(selection.fitted, least=least)))
    whole = problem.start(np.random.default_rng(0), law.delta)
    best = whole.theta[whole.objective.argmin()][None]
    values = dict(zip(law.parameters, problem.form.natural(best, problem.centre)[0].tolist(), strict=True))
    return values | {"B": B.tolist(), "steps": steps.tolist(), "least": least.tolist()}


def noise_scale(runs, curves, N, losses):
    """The gradient noise scale (tokens) of the runs of size ``N`` between two ``losses``, as training saw it.

    The ratio of the summed variance and squared gradient of all test points there, and its standard error by
    jackknife over them. None where they are fewer than two or the gradient is lost in the noise.
    """
    members = {run["run"] for run in runs if run["N"] == N}
    low, high = losses
    points = [
        (row["gradient_square"], row["gradient_variance"])
        for row in curves
        if row["run"] in members
        and finite(row["test_loss"])
        and low <= row["test_loss"] <= high
        and finite(row.get("gradient_square"))
        and finite(row.get("gradient_variance"))
    ]
    found = estimate(points) if len(points) > 1 else {}
    return {key: found.get(key) for key in ("noise_scale", "noise_scale_se")}
