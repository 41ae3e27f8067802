"""Which points of a study each law is fitted to, and the fit of one law to a study.

Tables are lists of rows (dicts) with the columns of runs.parquet and curves.parquet. Losses are nats per
token, compute is in PF-days.
"""

import numpy as np

from scaling import forms, frontier
from scaling.fitting import fit
from scaling.fitting.selection import Points, Selection, plain
from scaling.laws import LAWS, VARIABLES
from scaling.provenance import UserError, versions
from scaling.rows import column, enough, extent, finite, names, sound
from scaling.units import pf_days

SIZE_REMEDY = "add sizes to experiment size"
DATA_REMEDY = "add smaller subsets D to experiment data, or train longer"
TOKENS_REMEDY = "add runs of three lengths or more that see each token once (experiment long, with several S)"
OVERLAP_REMEDY = "add sizes to experiment size, nearer to each other"
VALLEY_REMEDY = "train smaller sizes for longer (experiment long), or add sizes between them"
CONVENTIONS = {"6N": "6N", "head": "output head counted", "total": "embeddings counted"}
COUNTED = {"6N": "flops_per_token_6N", "head": "flops_per_token_head", "total": "N_total"}
"""The column of runs.parquet that a convention needs."""
INTERVAL = 0.9
"""Share of the draws between the ends of every interval."""
ALIKE = 1.5
"""Runs that saw up to so many times as many tokens as another are alike in training."""


def fit_law(name, runs, curves, *, resamples, seed, delta):
    """Fit the law ``name`` of :data:`scaling.laws.LAWS` to tables of runs and curves.

    Returns what results/fits/{law}.json holds and the draws, {parameter: (resamples,)}. A law that is
    fitted in further conventions of counting has each that the runs carry as a block ``with_{convention}``
    of the same keys, and draws of that suffix, from the same resamples.
    Where runs or points are too few for the law, ``unfitted`` says so in a line, in place of all that a
    fit would give: a study too small for one law still has the others.
    """
    law = LAWS[name]
    report = {
        "law": name,
        "formula": law.formula,
        "latex": law.latex,
        "inputs": {variable: VARIABLES[variable] for variable in law.inputs},
        "y": law.y,
        "y_label": VARIABLES[law.y],
        "source": law.source,
        "fitted_to": law.fitted_to,
    }
    draws = {}
    for convention in law.conventions:
        if convention != law.conventions[0] and not any(finite(run.get(COUNTED[convention])) for run in runs):
            continue
        try:
            if law.points is None:
                raise UserError(f"it is fitted to {law.fitted_to}, which no experiment measures yet")
            selection = SELECTIONS[law.points](runs, curves, convention)
            result, columns = fit.fit(
                law, selection, resamples=resamples, seed=seed, interval=INTERVAL, delta=law.delta or delta
            )
        except UserError as error:
            result, columns = {"unfitted": f"{name} cannot be fitted: {error}"}, {}
        else:
            result |= _published(law, result, columns)
        if convention == law.conventions[0]:
            report |= result
            draws |= columns
        else:
            report[f"with_{convention}"] = result | {"convention": CONVENTIONS[convention]}
            draws |= {f"{key}_with_{convention}": values for key, values in columns.items()}
    return report | {"versions": versions("numpy")}, draws


def blocks(report):
    """The fits in a report, by convention: that of the law itself ("") first, and those of others."""
    others = {key: block for key, block in report.items() if key.startswith("with_")}
    return {"": report} | others


def remarks(report):
    """What a reader of a log must know of a report: one line for each fit that is not as it should be."""
    lines = []
    for block in blocks(report).values():
        name = ", ".join(filter(None, [report["law"], block.get("convention")]))
        if "unfitted" in block:
            lines.append(block["unfitted"])
        elif not block["certificate"]["passed"]:
            lines.append(
                f"{name} does not pass its certificate: {'; '.join(block['certificate']['reasons'])}"
            )
    return list(dict.fromkeys(lines))


def _published(law, result, draws):
    """Parameters beside their published values, and the numbers they imply with their intervals."""
    parameters = {
        name: {
            "symbol": law.parameters[name].symbol,
            "published": law.parameters[name].published,
            "unit": law.parameters[name].unit,
            "place": law.parameters[name].place,
            "comparisons": [vars(other) for other in law.parameters[name].comparisons],
        }
        | found
        for name, found in result["parameters"].items()
    }
    derived = {}
    for name, number in law.derived.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            value = number.value({key: np.float64(found["value"]) for key, found in parameters.items()})
            drawn = number.value(draws)
        drawn = drawn[np.isfinite(drawn)]
        if not (np.isfinite(value) and len(drawn)):  # exponents that are all zero imply nothing
            continue
        low, high = np.quantile(drawn, result["quantiles"])
        derived[name] = {
            "symbol": number.symbol,
            "formula": number.formula,
            "published": number.published,
            "place": number.source,
            "value": float(value),
            "low": float(low),
            "high": float(high),
        }
    return {"parameters": parameters, "derived": derived}


# --- selections -----------------------------------------------------------------------------------------


def final_losses(runs, curves, convention):
    """L(N): the last test loss of every run of experiment `size`.

    The paper leaves out one-layer models; here the smallest sizes have one layer and are kept. Runs that
    did not stop by themselves must be alike in the tokens they saw: a law in N alone knows nothing of them.
    """
    kept, excluded = sound(runs, ("size",), "test_loss")
    enough(kept, excluded, SIZE_REMEDY)
    tokens = column([run for run in kept if run["status"] != "stopped"], "tokens")
    if len(tokens) and tokens.max() > ALIKE * tokens.min():
        raise UserError(
            f"its runs saw {tokens.min():.3g} to {tokens.max():.3g} tokens, and their losses differ for that "
            "too; fit a law of N and D, such as chinchilla"
        )
    return plain(
        names(kept),
        {"N": column(kept, "N")},
        column(kept, "test_loss"),
        compute(kept, convention),
        y_se=column(kept, "test_loss_se"),
        method=f"Last test loss of every run of experiment size, after {_training(kept)}.",
        remedy=SIZE_REMEDY,
        excluded=excluded,
    )


def data_limited(runs, curves, convention):
    """L(D): for each D of experiment `data`, the lowest loss that any size reached (early stopping).

    The paper takes its largest model, which has room to spare at every D. Here the best size for each D is
    the nearest to that: larger ones overfit before they have learned. ``turned`` counts the D whose best
    run had passed its lowest test loss when it ended; at the others more steps would still have helped, and
    the law is flatter than data alone would make it. Only the best runs are resampled: where the next best
    stood in for one that was not drawn, intervals were twice to four times as wide as the scatter.
    """
    kept, excluded = _limited_by_data(runs)
    enough(kept, excluded, DATA_REMEDY)
    best = [
        min((run for run in kept if run["D"] == D), key=lambda run: run["best_test_loss"])
        for D in np.unique(column(kept, "D"))
    ]
    return plain(
        names(best),
        {"D": column(best, "D")},
        column(best, "best_test_loss"),
        compute(best, convention),
        y_se=column(best, "best_test_loss_se"),
        method="For each D, the lowest test loss of any size of experiment data that saw it at least once.",
        remedy=DATA_REMEDY,
        excluded=excluded,
        facts={"turned": sum(run["best_test_loss"] < run["test_loss"] for run in best)},
    )


def size_and_data(runs, curves, convention):
    """L(N, D): the lowest test loss of every run of experiment `data`."""
    kept, excluded = _limited_by_data(runs)
    enough(kept, excluded, DATA_REMEDY)
    return plain(
        names(kept),
        {"N": column(kept, "N"), "D": column(kept, "D")},
        column(kept, "best_test_loss"),
        compute(kept, convention),
        y_se=column(kept, "best_test_loss_se"),
        method="The lowest test loss of every run of experiment data that saw its D at least once.",
        remedy=DATA_REMEDY,
        excluded=excluded,
    )


def size_and_tokens(runs, curves, convention):
    """L(N, D) of runs that see each token once: the last test loss of the experiments `size` and `long`.

    With convention ``total`` N counts the embeddings too, as Hoffmann et al. do.
    """
    kept, excluded = sound(runs, frontier.CURVES, "test_loss")
    for run in kept:
        if run["epochs"] > 1:
            excluded[run["run"]] = f"saw its D {run['epochs']:.2g} times: limited by data"
    kept = [run for run in kept if run["run"] not in excluded]
    enough(kept, excluded, TOKENS_REMEDY)
    size = "N_total" if convention == "total" else "N"
    if any(not finite(run.get(size)) for run in kept):
        raise UserError(f"its runs have no {size}")
    return plain(
        names(kept),
        {"N": column(kept, size), "D": column(kept, "tokens")},
        column(kept, "test_loss"),
        compute(kept, "6N"),
        y_se=column(kept, "test_loss_se"),
        method="Last test loss of every run that saw each token once, D being the tokens it saw.",
        remedy=TOKENS_REMEDY,
        excluded=excluded,
    )


def learning_curves(runs, curves, convention):
    """L(N, S): every test point past the warm-up of the experiments `size` and `long`.

    S is the step itself. The paper adjusts it to S_min by the critical batch size. Where a schedule lowers
    the learning rate at its end, points on the way lie above the loss of a run that ends there.
    """
    kept, traces, excluded = frontier.past_warmup(runs, curves)
    owner = np.repeat(np.arange(len(kept)), [len(traces[run["run"]]) for run in kept])
    points = [row for run in kept for row in traces[run["run"]]]
    tokens = column(points, "tokens")
    flops = np.array([run[f"flops_per_token_{convention}"] for run in kept])
    return plain(
        names(kept),
        {"N": column(kept, "N")[owner], "S": column(points, "step")},
        column(points, "test_loss"),
        pf_days(tokens * flops[owner]),
        owner=owner,
        method="Test points past warm-up on the learning curves of experiments size and long; S as trained, "
        "not adjusted to the critical batch size.",
        remedy=frontier.CURVE_REMEDY,
        excluded=excluded,
    )


def envelope(runs, curves, convention):
    """L(C): the lowest loss of any run of the frontier's experiments at each compute that two runs reach.

    Where only one run has data there is no choice of size, hence no frontier: that leaves out the beginning
    of the smallest run and the end of the largest. So does where the smallest or the largest size of the
    study is the best: one smaller, or larger, might be better still, and the loss flattens towards the end
    of the largest for want of it. ``bracketed`` counts the computes at which the best size has a worse one
    on both sides (:func:`frontier.bracketed`); at the others a smaller size, had it been trained for
    longer, might have reached a lower loss. The envelope is that of all runs; the runs that it lies on are
    resampled. Taking the lowest of the runs drawn gave intervals on one side of the value, since that is
    never below the lowest of all, and twice as wide as the scatter of simulated studies.
    """
    iso = frontier.interpolate(runs, curves, convention)
    sizes = column(iso.runs, "N")
    best = sizes[iso.loss.argmin(0)]
    inner = (np.isfinite(iso.loss).sum(0) > 1) & (best > sizes.min()) & (best < sizes.max())
    what = "computes whose best size is neither the smallest nor the largest"
    enough(np.flatnonzero(inner), iso.excluded, OVERLAP_REMEDY, what)
    budgets, losses = iso.compute[inner], iso.loss[:, inner]
    lowest = losses.argmin(0)
    on_it, owner = np.unique(lowest, return_inverse=True)
    return plain(
        [iso.runs[index]["run"] for index in on_it],
        {"C": budgets},
        np.exp(losses.min(0)),
        budgets,
        reach=np.take_along_axis(iso.reach[:, inner], lowest[None], axis=0)[0],
        owner=owner,
        method="Lower envelope of the learning curves of experiments size and long, past warm-up, at "
        "computes that two runs or more reach and whose best size is neither the smallest nor the largest; "
        f"{CONVENTIONS[convention]} FLOPs.",
        remedy=OVERLAP_REMEDY,
        excluded=iso.excluded,
        facts={"bracketed": int(iso.bracketed[:, inner].any(0).sum())},
    )


def best_sizes(runs, curves, convention):
    """N_opt(C): the vertex of a parabola in ln N through the lowest losses at each compute.

    At every compute where the frontier is ``bracketed``, the window is the best size and up to two on either
    side. What is shown are the vertices of separate parabolas, one a compute. The law is fitted to all
    windows at once (:class:`forms.Valley`): one curvature for all and a vertex that moves as a power of C.
    The windows are those of the full set of runs; a resample reweights their points. What is drawn are
    sizes, all runs of one together: the valley is not quite a parabola, and what that does to its vertex
    shows only when a size is missing. Refitting separate parabolas to each resample gave intervals three
    times as wide on simulated studies.
    """
    iso = frontier.interpolate(runs, curves, convention)
    sizes = column(iso.runs, "N")
    vertex = np.array([
        frontier.vertex(np.log(sizes[window]), losses[window])
        for window, losses in zip(iso.bracketed.T, iso.loss.T, strict=True)
    ])  # fmt: skip
    inside = np.isfinite(vertex)
    what = "computes whose best size has a worse one on both sides"
    enough(np.flatnonzero(inside), iso.excluded, VALLEY_REMEDY, what)
    budgets, losses = iso.compute[inside], iso.loss[:, inside]
    run, place = np.nonzero(iso.bracketed[:, inside])
    windows = {"C": budgets[place], "N": sizes[run]}
    first, size = np.unique(sizes, return_index=True, return_inverse=True)[1:]
    best = size[losses.argmin(0)]
    return Selection(
        runs=[iso.runs[index]["run"] for index in first],
        fitted=Points(windows, np.exp(losses[run, place]), size[run], iso.reach[:, inside][run, place]),
        shown=Points({"C": budgets}, np.exp(vertex[inside]), best, budgets),
        form=forms.Valley(),
        method="Parabolas in ln N through the best size at each compute and up to two on either side, with "
        "one curvature and a vertex that moves as a power of C; resampled by size; "
        f"{CONVENTIONS[convention]} FLOPs.",
        remedy=VALLEY_REMEDY,
        excluded=iso.excluded,
    )


SELECTIONS = {
    "size": final_losses,
    "data": data_limited,
    "size_and_data": size_and_data,
    "size_and_tokens": size_and_tokens,
    "curves": learning_curves,
    "envelope": envelope,
    "best_size": best_sizes,
}
"""Selections by name: a function of runs, curves and the convention of counting."""


def compute(runs, convention):
    """Training compute of each run, PF-days."""
    return pf_days(column(runs, "tokens") * column(runs, f"flops_per_token_{convention}"))


def _limited_by_data(runs):
    """Runs of experiment `data` that saw their D at least once, and why others are left out."""
    kept, excluded = sound(runs, ("data",), "best_test_loss")
    for run in kept:
        if run["epochs"] < 1:
            excluded[run["run"]] = f"saw {run['epochs']:.2g} epochs of its D: limited by compute, not by data"
    return [run for run in kept if run["run"] not in excluded], excluded


def _training(runs):
    """How long ``runs`` were trained, in words."""
    if all(finite(run.get("steps")) for run in runs):
        return f"{extent(column(runs, 'steps'))} steps"
    return f"{extent(column(runs, 'tokens'))} tokens"
