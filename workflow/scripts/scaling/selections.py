"""Which points of a study each law is fitted to, and the fit of one law to a study.

Tables are lists of rows (dicts) with the columns of runs.parquet and curves.parquet. Losses are nats per
token, compute is in PF-days.
"""

from dataclasses import replace

import numpy as np

from scaling import efficient, frontier
from scaling.fitting import fit
from scaling.fitting.selection import plain
from scaling.fitting.wild import wild
from scaling.forms import Sum, Term, power
from scaling.laws import LAWS, VARIABLES, least_steps
from scaling.provenance import UserError, versions
from scaling.rows import CONVENTIONS, column, enough, extent, finite, names, need, sound
from scaling.scans import batch_curves, critical_batches
from scaling.units import pf_days

SIZE_REMEDY = "add sizes to experiment size"
DATA_REMEDY = "add smaller subsets D to experiment data, or train longer"
TOKENS_REMEDY = "add runs of three lengths or more that see each token once (experiment long, with several S)"

INTERVAL = 0.9
"""Share of the draws between the ends of every interval."""
VARIANTS = 200
"""Draws of B_crit by which points are adjusted again, so that its uncertainty is carried through."""
ALIKE = 1.5
"""Runs that saw up to so many times as many tokens as another are alike in training."""


def fit_law(name, runs, curves, *, resamples, seed, delta, critical=None):
    """Fit the law ``name`` of :data:`scaling.laws.LAWS` to tables of runs and curves.

    ``critical`` is the fit of B_crit, as this function returns it, which adjusted laws need.

    Returns what results/fits/{law}.json holds and the draws, {parameter: (resamples,)}. A law that is
    fitted in further conventions of counting has each that the runs carry as a block ``with_{convention}``
    of the same keys, and draws of that suffix, from the same resamples.
    Where runs or points are too few for the law, ``unfitted`` says so in a line, in place of all that a
    fit would give: a study too small for one law still has the others.
    """
    law = LAWS[name]
    runs, doubts = believed(law, runs, curves, seed=seed, delta=delta)
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
        if convention != law.conventions[0] and not any(CONVENTIONS[convention].of(run) for run in runs):
            continue
        try:
            selection = select(law, runs, curves, convention, critical)
            selection = replace(selection, doubts=(*selection.doubts, *doubts))
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
            report[f"with_{convention}"] = result | {"convention": CONVENTIONS[convention].words}
            draws |= {f"{key}_with_{convention}": values for key, values in columns.items()}
    return report | {"versions": versions("numpy")}, draws


def select(law, runs, curves, convention, critical=None):
    """The selection that ``law`` is fitted to; adjusted laws come with a variant for each draw of B_crit."""
    if law.points is None:
        raise UserError(
            "it has no fit of its own: its hyperbolas, one for each size and loss, are the levels of B_crit"
        )
    build = SELECTIONS[law.points]
    if not law.adjusted:
        return build(runs, curves, convention)
    if critical is None:
        raise UserError("it needs B_crit(L), which batch scans measure; add experiment batch")
    B_crit = _critical(*critical)
    selection, variants = build(runs, curves, convention, B_crit), []
    for drawn in B_crit.variants(VARIANTS):
        try:
            variants.append(replace(build(runs, curves, convention, drawn), carried=drawn.parameters))
        except UserError:  # too few points by this draw: its resamples determine no fit
            variants.append(None)
    facts, words = _extrapolated(runs, curves, B_crit.losses)
    return replace(
        selection,
        variants=tuple(variants),
        carried=B_crit.parameters,
        tails=B_crit.tails,
        doubts=(*selection.doubts, *B_crit.doubts),
        facts=selection.facts | facts,
        method=f"{selection.method} {words}",
    )


def believed(law, runs, curves, *, seed, delta):
    """``runs``, in which those that the others do not explain (:func:`wild`) have a column of that name: why.
    And what remains in doubt, in words.

    What explains them is one of SCREENS. Where runs are too few for it none is marked.
    """
    if law.points is None:
        return runs, ()
    forms, select = SCREENS[law.points]
    try:
        selection = select(runs, curves, "6N")
        if forms is _OF_N_AND_D:
            forms = forms[min(len(np.unique(selection.fitted.inputs["N"])), max(forms))]
        found, doubt = wild(forms, selection, seed=seed, delta=delta)
    except UserError:  # too few to judge by, which is for the law itself to say
        return runs, ()
    marked = [run | {"wild": found[run["run"]]} if run["run"] in found else run for run in runs]
    return marked, (doubt,) if doubt else ()


def _extrapolated(runs, curves, losses):
    """How much of the learning curves lies outside the ``losses`` of batch scans: facts, and a sentence."""
    low, high = losses
    _, traces, _ = frontier.past_warmup(runs, curves)
    found = np.concatenate([column(rows, "test_loss") for rows in traces.values()])
    share = float(np.mean((found < low) | (found > high)))
    words = (
        f"B_crit(L) was measured at losses of {low:.3g} to {high:.3g} nats; {100 * share:.0f} % of the test "
        "points lie outside them and are adjusted by its extrapolation."
    )
    return {"critical_losses": [low, high], "extrapolated_share": share}, words


def _critical(report, draws):
    """B_crit as its fit, a report and its draws, found it."""
    if "unfitted" in report:
        raise UserError(f"it needs B_crit(L), and {report['unfitted']}")
    certificate = report["certificate"]
    doubts = () if certificate["passed"] else ("the fit of B_crit that it is adjusted by is not certified",)
    values = {name: found["value"] for name, found in report["parameters"].items()}
    losses = report["data"]["inputs"]["loss"]
    drawn = {name: draws[name] for name in values}
    return frontier.Critical(values, drawn, (min(losses), max(losses)), tuple(report["quantiles"]), doubts)


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
            values = {key: np.float64(found["value"]) for key, found in parameters.items()}
            value = number.value(values | result.get("adjusted_by", {}))
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

    With convention ``6N_total`` N counts the embeddings too, as Hoffmann et al. do.
    """
    kept, excluded = sound(runs, frontier.CURVES, "test_loss")
    for run in kept:
        if run["epochs"] > 1:
            excluded[run["run"]] = f"saw its D {run['epochs']:.2g} times: limited by data"
    kept = [run for run in kept if run["run"] not in excluded]
    enough(kept, excluded, TOKENS_REMEDY)
    size = CONVENTIONS[convention].N
    need(kept, size)
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


def learning_curves(runs, curves, convention, critical=None):
    """L(N, S): every test point past the warm-up of the experiments `size` and `long`.

    Without ``critical`` S is the step itself, with it S_min, by the point's own loss. Where a schedule lowers
    the learning rate at its end, points on the way lie above the loss of a run that ends there.
    """
    counting = CONVENTIONS[convention]
    kept, traces, excluded = frontier.past_warmup(runs, curves)
    need(kept, counting.flops, counting.N, *(["B"] if critical else []))
    owner = np.repeat(np.arange(len(kept)), [len(traces[run["run"]]) for run in kept])
    points = [row for run in kept for row in traces[run["run"]]]
    steps, tokens, losses = (column(points, name) for name in ("step", "tokens", "test_loss"))
    if critical:
        name, how = (
            "S_min",
            "S adjusted to batches far above the critical one, S_min = S / (1 + B_crit(L) / B)",
        )
        steps = least_steps(steps, column(kept, "B")[owner], critical(losses))
    else:
        name, how = "S", "S as trained, not adjusted to the critical batch size"
    return plain(
        names(kept),
        {"N": column(kept, counting.N)[owner], name: steps},
        losses,
        pf_days(tokens * column(kept, counting.flops)[owner]),
        owner=owner,
        method=f"Test points past warm-up on the learning curves of experiments size and long; {how}.",
        remedy=frontier.CURVE_REMEDY,
        excluded=excluded,
    )


SELECTIONS = {
    "size": final_losses,
    "data": data_limited,
    "size_and_data": size_and_data,
    "size_and_tokens": size_and_tokens,
    "curves": learning_curves,
    "envelope": efficient.envelope,
    "best_size": efficient.best_sizes,
    "critical": critical_batches,
    "efficient_batch": efficient.efficient_batches,
    "best_steps": efficient.best_steps,
    "best_data": efficient.best_data,
}
"""Selections by name: a function of runs, curves, the convention of counting and, for some, B_crit(L)."""

_KAPLAN = Term(0, fixed=0.076)
"""The paper's term of N, where N takes too few values to tell a slope."""
_OF_N_AND_D = {
    1: (Sum((Term(1),)), Sum((Term(1), Term()))),
    2: (Sum((_KAPLAN, Term(1))), Sum((_KAPLAN, Term(1), Term()))),
    3: (Sum((Term(0), Term(1))), Sum((Term(0), Term(1), Term()))),
}
"""By how many values N takes, three or more alike."""
SCREENS = {
    "size": ((power(), Sum((Term(0), Term()))), final_losses),
    **dict.fromkeys(("data", "size_and_data"), (_OF_N_AND_D, size_and_data)),
    "size_and_tokens": (_OF_N_AND_D, size_and_tokens),
    "critical": ((Sum((_KAPLAN, Term(1), Term(2))),), batch_curves),
    **dict.fromkeys(
        ("curves", "envelope", "best_size", "efficient_batch", "best_steps", "best_data"),
        ((LAWS["L_NS"].form,), learning_curves),
    ),
}
"""By the name of a selection, the forms, from poor to rich, and the selection by which its runs are believed.
Lowest losses, best sizes and steps to a loss are no laws of runs: what they are taken from is judged."""


def compute(runs, convention):
    """Training compute of each run, PF-days."""
    return pf_days(column(runs, "tokens") * column(runs, CONVENTIONS[convention].flops))


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
