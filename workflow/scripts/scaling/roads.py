"""What plans are made from: the roads of a study, with their draws, and how far its runs reached.

A road is a fitted law that tells the loss from the size and from how long it is trained,

    L = E + (N_c / N)^a + (x_c / x)^b,

with x the steps S_min of L(N, S_min), turned into batch and steps by B_crit(L); the steps S of L(N, S) at the
batch of all runs; or the tokens D of Chinchilla's L(N, D). :mod:`scaling.planner` answers questions by them.
"""

import numpy as np

from scaling import allocation
from scaling.frontier import CURVES
from scaling.laws import LAWS
from scaling.provenance import versions
from scaling.rows import CONVENTIONS, finite, sound
from scaling.selections import INTERVAL

ROADS = (("L_NSmin", "S_min"), ("L_NS", "S"), ("chinchilla", "D"))
"""Laws that plans are made by, and the input of each beside N."""
NEEDS = tuple(law for law, _ in ROADS)
DIGITS = 12
"""Significant digits of the draws."""


def known(study, runs, fits, draws):
    """The content of planner.json: the roads with their draws, and what the study reached, a dict.

    ``study`` is study.json, ``runs`` are rows of the table, ``fits`` reports by law, ``draws`` {law: {column:
    (R,)}}, those of NEEDS that the study has.
    """
    roads, missing, text = [], {}, _text(study["config"])
    ended = [run for run in runs if run["status"] != "diverged" and finite(run["test_loss"])]
    for law, x in ROADS:
        # without a vocabulary nobody knows how many embeddings a planned size has
        for convention in ("6N", "6N_total") if text else ("6N",):
            try:
                roads.append(_road(allocation.Study(runs, fits, draws), law, x, convention))
            except allocation.Missing as reason:
                if convention == "6N":
                    missing[law] = str(reason)
    counted = [name for name in ("6N", "head", "attention") if _reached(ended, name)]
    return {
        "study": study["study"],
        "interval": INTERVAL,
        "roads": roads,
        "chosen": _chosen(roads),
        "missing": missing,
        "text": text,
        "countings": {name: CONVENTIONS[name].words for name in (counted if text else counted[:1])},
        "learning_rate": _rule(study["config"]),
        "reached": {
            "C": {name: _reached(ended, name) for name in counted},
            "N": max((run["N"] for run in ended), default=None),
            "D": max((run["tokens"] for run in ended), default=None),
            "loss": min((run["test_loss"] for run in ended), default=None),
        },
        "versions": versions("numpy"),
    }


def _road(study, law, x, convention):
    """A law of a study as a road; raises :class:`allocation.Missing` where it has none."""
    report, _ = study.block(law, convention)
    found = study.parameters(law, convention)
    values = {name: np.concatenate([[one.value], one.draws]) for name, one in found.items()}
    with np.errstate(all="ignore"):
        if law == "chinchilla":
            columns = {
                **{"a": values["alpha"], "ln_N": np.log(values["A"]) / values["alpha"]},
                **{"b": values["beta"], "ln_x": np.log(values["B"]) / values["beta"], "E": values["E"]},
            }
        else:
            columns = {
                **{"a": values["alpha_N"], "ln_N": np.log(values["N_c"])},
                **{"b": values["alpha_S"], "ln_x": np.log(values["S_c"])},
            }
        if x == "S_min":
            columns |= {"of_loss": 1 / values["alpha_B"], "ln_B": np.log(values["B_star"])}
    kept = np.isfinite(np.array(list(columns.values()))).all(0)
    if not kept[0]:
        raise allocation.Missing(f"{law}: its fit has a number that is not finite")
    return {
        "name": law if convention == "6N" else f"{law} {convention}",
        "law": law,
        "formula": LAWS[law].formula,
        "counted": CONVENTIONS[convention].words,
        "total": convention == "6N_total",
        "x": x,
        "batch": allocation.shared_batch(sound(study.runs, CURVES, "test_loss")[0]) if x == "S" else None,
        "critical_losses": report["data"].get("critical_losses"),
        "certificate": report["certificate"],
        "holdout": report["holdout"],
        "runs": report["data"]["runs"],
        "points": report["data"]["points"],
        "tails": list(report["quantiles"]),
        "dropped": int((~kept).sum()),
        "columns": {
            name: [float(f"{v:.{DIGITS}g}") for v in column[kept]] for name, column in columns.items()
        },
    }


def _chosen(roads):
    """The road to take unasked: the first that is certified and whose forecast held, else the first certified
    one, else the first; None of none."""

    def doubts(road):
        certified, held = road["certificate"]["passed"], bool(road["holdout"].get("covered"))
        return (not certified, not held)

    return min(roads, key=doubts)["name"] if roads else None


def _text(config):
    """What FLOPs and embeddings of a planned model depend on beside its shape: vocabulary and context; None
    of a study that does not tell."""
    if config.get("finished") is not None or config["run"]["architecture"] != "transformer":
        return None
    run = config["run"]
    return {"n_vocab": config["tokenizer"]["n_vocab"], "n_ctx": run["n_ctx"], "tied": run["tied"]}


def _rule(config):
    """The learning rate of the study's runs: a number, a rule, or None where none is told."""
    return config["run"]["learning_rate"] if config.get("finished") is None else None


def _reached(runs, counting):
    """The most compute of one run (FLOPs), as it is counted; None where runs do not tell."""
    column = CONVENTIONS[counting].flops
    return max((run[column] * run["tokens"] for run in runs if finite(run.get(column))), default=None)
