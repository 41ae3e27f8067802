"""Which points each law is fitted to, the compute-efficient frontier above all.

Tables are lists of rows (dicts) with the columns of runs.parquet and curves.parquet. Losses are nats per
token, compute is in PF-days.
"""

import math
from dataclasses import dataclass

import numpy as np

from scaling import fitting
from scaling.laws import LAWS
from scaling.provenance import UserError, versions
from scaling.units import pf_days

GRID_POINTS = 60
NEIGHBOURS = 2
"""Sizes on each side of the best one that a parabola in ln N goes through."""
CURVES = ("size", "long")
"""Experiments whose learning curves make the frontier: all sizes alike, and small ones trained on."""
LOPSIDED = "The lowest of the runs drawn is never below that of all: intervals lie to one side of the value."
SIZE_REMEDY = "add sizes to experiment size"
CURVE_REMEDY = "add sizes to experiment size, or train for longer than the warm-up"
DATA_REMEDY = "add smaller subsets D to experiment data, or train longer"
OVERLAP_REMEDY = "add sizes to experiment size, nearer to each other"
VALLEY_REMEDY = "train smaller sizes for longer (experiment long), or add sizes between them"
CONVENTIONS = {"6N": "6N", "head": "output head counted"}


def fit_law(name, runs, curves, *, resamples, seed, interval):
    """Fit the law ``name`` of :data:`scaling.laws.LAWS` to tables of runs and curves.

    Returns what results/fits/{law}.json holds and the draws, {parameter: (resamples,)}. A law that is
    fitted in further conventions of counting FLOPs has each as a block ``with_{convention}`` of the same
    keys, and draws of that suffix, from the same resamples.
    Where runs or points are too few for the law, ``unfitted`` says so in a line, in place of all that a
    fit would give: a study too small for one law still has the others.
    """
    law = LAWS[name]
    report = {"law": name, "formula": law.formula, "latex": law.latex}
    report |= {"x": law.x, "x_label": law.x_label, "y": law.y, "y_label": law.y_label, "source": law.source}
    draws = {}
    for convention in law.conventions:
        try:
            selection = SELECTIONS[law.points](runs, curves, convention)
            result, columns = fitting.fit(law, selection, resamples=resamples, seed=seed, interval=interval)
        except UserError as error:
            result, columns = {"unfitted": f"{name} cannot be fitted: {error}"}, {}
        else:
            result["parameters"] = {
                key: _published(law.parameters[key]) | found for key, found in result["parameters"].items()
            }
        if convention == law.conventions[0]:
            report |= result
            draws |= columns
        else:
            result["x_label"] = f"{law.x_label}, {CONVENTIONS[convention]}"
            report[f"with_{convention}"] = result
            draws |= {f"{key}_with_{convention}": column for key, column in columns.items()}
    return report | {"versions": versions("numpy")}, draws


def _published(parameter):
    return {
        "symbol": parameter.symbol,
        "published": parameter.published,
        "unit": parameter.unit,
        "place": parameter.place,
        "comparisons": [{"value": other.value, "source": other.source} for other in parameter.comparisons],
    }


def final_losses(runs, curves, convention):
    """L(N): the last test loss of every run of experiment `size`.

    The paper leaves out one-layer models; here the smallest sizes have one layer and are kept.
    """
    kept, excluded = _sound(runs, ("size",), "test_loss")
    _enough(kept, excluded, SIZE_REMEDY)
    sizes, losses = _column(kept, "N"), _column(kept, "test_loss")
    steps = _extent(_column(kept, "steps"))
    features, line = fitting.straight(sizes)
    return fitting.Selection(
        runs=_names(kept),
        points=lambda counts: fitting.Points(features, np.log(losses)[None], counts.astype(float)),
        line=line,
        x=sizes,
        y=losses,
        run=_names(kept),
        y_se=_column(kept, "test_loss_se"),
        method=f"Last test loss of every run of experiment size, after {steps} steps.",
        remedy=SIZE_REMEDY,
        excluded=excluded,
    )


def data_limited(runs, curves, convention):
    """L(D): for each D of experiment `data`, the lowest loss that any size reached (early stopping).

    The paper takes its largest model, which has room to spare at every D. Here the best size for each D is
    the nearest to that: larger ones overfit before they have learned. A run that saw less than one epoch of
    its D is limited by compute, not by data, and is left out. ``turned`` counts the D whose best run had
    passed its lowest test loss when it ended; at the others more steps would still have helped, and the law
    is flatter than data alone would make it. A resample takes the best of the runs drawn.
    """
    kept, excluded = _sound(runs, ("data",), "best_test_loss")
    for run in kept:
        if run["epochs"] < 1:
            excluded[run["run"]] = f"saw {run['epochs']:.2g} epochs of its D: limited by compute, not by data"
    kept = [run for run in kept if run["run"] not in excluded]
    _enough(kept, excluded, DATA_REMEDY)
    subsets = np.unique(_column(kept, "D"))
    losses = np.log(_column(kept, "best_test_loss"))
    table = np.where(_column(kept, "D")[:, None] == subsets, losses[:, None], np.inf)
    best = [kept[index] for index in table.argmin(0)]
    features, line = fitting.straight(subsets)
    return fitting.Selection(
        runs=_names(kept),
        points=lambda counts: _lowest(features, table, counts),
        line=line,
        x=subsets,
        y=_column(best, "best_test_loss"),
        run=_names(best),
        y_se=_column(best, "best_test_loss_se"),
        method="For each D, the lowest test loss of any size of experiment data that saw it at least once. "
        f"{LOPSIDED}",
        remedy=DATA_REMEDY,
        excluded=excluded,
        facts={"turned": sum(run["best_step"] < run["steps"] for run in best)},
    )


def envelope(runs, curves, convention):
    """L(C): the lowest loss of any run of CURVES at each compute that two runs reach.

    Where only one run has data there is no choice of size, hence no frontier: that leaves out the beginning
    of the smallest run and the end of the largest. ``bracketed`` counts the computes at which the best size
    is known to be the best (:func:`bracketed`); at the others a smaller size, had it been trained for
    longer, might have reached a lower loss. A resample takes the best of the runs drawn.
    """
    iso = interpolate(runs, curves, convention)
    shared = np.isfinite(iso.loss).sum(0) > 1
    _enough(np.flatnonzero(shared), iso.excluded, OVERLAP_REMEDY, "computes that two runs reach")
    compute, losses = iso.compute[shared], iso.loss[:, shared]
    features, line = fitting.straight(compute)
    return fitting.Selection(
        runs=_names(iso.runs),
        points=lambda counts: _lowest(features, losses, counts),
        line=line,
        x=compute,
        y=np.exp(losses.min(0)),
        run=[iso.runs[index]["run"] for index in losses.argmin(0)],
        method="Lower envelope of the learning curves of experiments size and long, past warm-up, at "
        f"computes that two runs or more reach; {CONVENTIONS[convention]} FLOPs. {LOPSIDED}",
        remedy=OVERLAP_REMEDY,
        excluded=iso.excluded,
        facts={"bracketed": int(iso.bracketed[:, shared].any(0).sum())},
    )


def best_sizes(runs, curves, convention):
    """N_opt(C): the vertex of a parabola in ln N through the lowest losses at each compute.

    At every compute where the frontier is ``bracketed``, the window is the best size and up to two on either
    side. ``x`` and ``y`` are the vertices of separate parabolas, one a compute. The law is fitted to all
    windows at once, as ln L = θ · (1, c, c², u, u², u c) with c = ln C and u = ln N: one curvature for all
    and a vertex that moves as a power of C. The windows are those of the full set of runs; a resample
    reweights their points. Refitting separate parabolas to each resample gave intervals three times as wide
    on simulated studies, since a size that is not drawn moves the vertices next to it.
    """
    iso = interpolate(runs, curves, convention)
    size = np.log(_column(iso.runs, "N"))
    vertex = np.array([
        _vertex(size[window], losses[window])
        for window, losses in zip(iso.bracketed.T, iso.loss.T, strict=True)
    ])  # fmt: skip
    inside = np.isfinite(vertex)
    _enough(
        np.flatnonzero(inside),
        iso.excluded,
        VALLEY_REMEDY,
        "computes whose best size has a worse one on both sides",
    )
    compute, losses = iso.compute[inside], iso.loss[:, inside]
    run, place = np.nonzero(iso.bracketed[:, inside])
    features, line = valley(np.log(compute)[place], size[run])
    return fitting.Selection(
        runs=_names(iso.runs),
        points=lambda counts: fitting.Points(
            features, losses[run, place][None], counts[:, run].astype(float)
        ),
        line=line,
        x=compute,
        y=np.exp(vertex[inside]),
        run=[iso.runs[index]["run"] for index in losses.argmin(0)],
        method="Parabolas in ln N through the best size at each compute and up to two on either side, with "
        f"one curvature and a vertex that moves as a power of C; {CONVENTIONS[convention]} FLOPs.",
        remedy=VALLEY_REMEDY,
        excluded=iso.excluded,
    )


SELECTIONS = {
    "size": final_losses,
    "data": data_limited,
    "envelope": envelope,
    "best_size": best_sizes,
}
"""Selections by name: a function of runs, curves and the convention of counting FLOPs."""


@dataclass(frozen=True)
class IsoCompute:
    """Learning curves on a common grid of compute.

    ``runs``: rows in order of N; ``compute`` (G,) PF-days; ``loss`` (runs, G) ln of the lowest loss so far,
    infinite where a run has no data; ``bracketed`` (runs, G) as :func:`bracketed` finds them.
    """

    runs: list[dict]
    compute: np.ndarray
    loss: np.ndarray
    bracketed: np.ndarray
    excluded: dict[str, str]


def interpolate(runs, curves, convention):
    """Learning curves of the experiments CURVES on 60 log-spaced computes, as :class:`IsoCompute`.

    A curve starts where its warm-up ends: before that its loss tells of the schedule, not of the size. It
    never rises: what counts at a compute is the lowest loss up to there. Between test points ln L is
    linear in ln C; nothing is extrapolated.

    The grid spans the computes that at least two runs reach.
    """
    kept, excluded = _sound(runs, CURVES, "test_loss")
    traces = {run["run"]: [] for run in kept}
    for row in sorted(curves, key=lambda row: row["step"]):
        if row["run"] in traces and _finite(row["test_loss"]):
            traces[row["run"]].append(row)
    spans = {}
    for run in kept:
        past = [row for row in traces[run["run"]] if row["step"] >= run["warmup"]]
        if len(past) < 2:
            excluded[run["run"]] = f"has {len(past)} test points past its warm-up, 2 are needed"
            continue
        compute = pf_days(_column(past, "tokens") * run[f"flops_per_token_{convention}"])
        loss = np.minimum.accumulate(np.log(_column(past, "test_loss")))
        spans[run["run"]] = np.log(compute), loss
    kept = [run for run in kept if run["run"] in spans]
    _enough(kept, excluded, CURVE_REMEDY)
    first = sorted(compute[0] for compute, _ in spans.values())[1]
    last = sorted(compute[-1] for compute, _ in spans.values())[-2]
    grid = np.linspace(first, max(first, last), GRID_POINTS)
    loss = np.array([np.interp(grid, *spans[run["run"]], left=np.inf, right=np.inf) for run in kept])
    return IsoCompute(kept, np.exp(grid), loss, bracketed(_column(kept, "N"), loss), excluded)


def bracketed(sizes, losses):
    """Which points lie around a minimum over size that has a neighbour on both sides: (runs, G) booleans.

    ``sizes`` (runs,), in order; ``losses`` (runs, G), infinite without data. True for the best size, and
    for up to two sizes with data on either side of it. False throughout where the best is the smallest or
    the largest that has data: smaller ones have ended and larger ones are still warming up or absent, and
    they might be better still.
    """
    distinct, which = np.unique(sizes, return_inverse=True)
    lowest = np.array([losses[which == index].min(0) for index in range(len(distinct))])
    data = np.isfinite(lowest)
    rank = data.cumsum(0) - 1
    best = np.take_along_axis(rank, lowest.argmin(0)[None], axis=0)
    inner = (best > 0) & (best < data.sum(0) - 1)
    window = data & inner & (np.abs(rank - best) <= NEIGHBOURS)
    return window[which] & np.isfinite(losses)


def valley(compute, size):
    """Features (P, 6) of a quadratic in ln C and ln N, and the function to the line of its minimum in ln N.

    ``compute`` and ``size`` (P,) are logarithms. The minimum over u of θ_3 u + θ_4 u² + θ_5 u c lies at
    u = −(θ_3 + θ_5 c) / 2 θ_4; NaN where θ_4 is not above zero, which is no minimum.
    """
    middle, spread = compute.mean(), compute.std() or 1.0
    centre, scale = size.mean(), size.std() or 1.0
    c, u = (compute - middle) / spread, (size - centre) / scale

    def line(theta):
        curvature = np.where(theta[:, 4] > 0, 2 * theta[:, 4], np.nan)
        slope = -theta[:, 5] / curvature * scale / spread
        return centre - theta[:, 3] / curvature * scale - slope * middle, slope

    return np.stack([np.ones_like(c), c, c**2, u, u**2, u * c], axis=1), line


def _vertex(size, loss):
    """ln N at the minimum of a parabola through points around it; NaN if it has none among them."""
    if not size.size:
        return np.nan
    square, slope, _ = np.polyfit(size - size.mean(), loss, 2)
    vertex = size.mean() - slope / (2 * square) if square > 0 else np.nan
    return vertex if size.min() < vertex < size.max() else np.nan


def _lowest(features, table, counts):
    """:class:`fitting.Points` of the lowest of the runs drawn, in each column of ``table`` (runs, P)."""
    lowest = np.where(counts[:, :, None] > 0, table, np.inf).min(1)
    return fitting.Points(features, lowest, np.isfinite(lowest).astype(float))


def _sound(runs, experiments, loss):
    """Rows of ``experiments`` in order of N, and the reasons for which others of them are left out."""
    members = [run for run in runs if set(experiments) & set(run["experiments"])]
    members.sort(key=lambda run: (run["N"], run["run"]))
    excluded = {
        run["run"]: "diverged" if run["status"] == "diverged" else f"its {loss} is not a number"
        for run in members
        if run["status"] == "diverged" or not _finite(run[loss])
    }
    return [run for run in members if run["run"] not in excluded], excluded


def _enough(found, excluded, remedy, what="usable runs"):
    if len(found) < fitting.FEWEST:
        left_out = [f"{run} is left out, {reason}; " for run, reason in excluded.items()]
        raise UserError(
            f"{len(found)} {what}, at least {fitting.FEWEST} are needed; {''.join(left_out[:1])}{remedy}"
        )


def _extent(values):
    """The range of ``values`` in words, one number where they agree."""
    ends = dict.fromkeys(f"{value:.0f}" for value in (values.min(), values.max()))
    return " to ".join(ends)


def _finite(value):
    return value is not None and math.isfinite(value)


def _column(rows, name):
    return np.array([row[name] for row in rows], dtype=float)


def _names(rows):
    return [row["run"] for row in rows]
