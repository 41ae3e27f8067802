"""Rows of the table of runs: which can be used, how they are counted, and their columns as arrays."""

import math
from dataclasses import dataclass

import numpy as np

from scaling.fitting.fit import FEWEST
from scaling.provenance import UserError


@dataclass(frozen=True)
class Counting:
    """A way of counting: in words, and the columns of runs.parquet with FLOPs per token and with N."""

    words: str
    flops: str
    N: str = "N"

    def of(self, run):
        """Whether ``run`` can be counted like this."""
        return finite(run.get(self.flops)) and finite(run.get(self.N))


CONVENTIONS = {
    "6N": Counting("6N", "flops_per_token_6N"),
    "head": Counting("output head counted", "flops_per_token_head"),
    "attention": Counting("head and attention counted", "flops_per_token_attention"),
    "6N_total": Counting("embeddings counted in N", "flops_per_token_6N", "N_total"),
    "head_total": Counting("head counted, embeddings in N", "flops_per_token_head", "N_total"),
    "attention_total": Counting(
        "head and attention counted, embeddings in N", "flops_per_token_attention", "N_total"
    ),
}
"""The ways of counting, by name: the paper's, and those that published exponents differ by."""


def sound(runs, experiments, loss):
    """Rows of ``experiments`` in order of N, and the reasons for which others of them are left out."""
    members = [run for run in runs if set(experiments) & set(run["experiments"])]
    members.sort(key=lambda run: (run["N"], run["run"]))
    excluded = {run["run"]: reason for run in members if (reason := _unsound(run, loss))}
    return [run for run in members if run["run"] not in excluded], excluded


def _unsound(run, loss):
    """Why ``run`` cannot be used for its ``loss``, or None."""
    if run["status"] == "diverged":
        return "diverged"
    if not finite(run[loss]) or run[loss] <= 0:
        return f"its {loss} is not a number above 0"
    return run.get("wild")


def enough(found, excluded, remedy, what="usable runs"):
    if len(found) < FEWEST:
        left_out = [f"{run} is left out, {reason}; " for run, reason in excluded.items()]
        raise UserError(f"{len(found)} {what}, at least {FEWEST} are needed; {''.join(left_out[:1])}{remedy}")


def need(runs, *columns):
    """Raise UserError for the first of ``columns`` that one of ``runs`` lacks."""
    for name in columns:
        if any(not finite(run.get(name)) for run in runs):
            raise UserError(f"its runs have no {name}")


def extent(values):
    """The range of ``values`` in words, one number where they agree."""
    ends = dict.fromkeys(f"{value:.0f}" for value in (values.min(), values.max()))
    return " to ".join(ends)


def finite(value):
    return value is not None and math.isfinite(value)


def column(rows, name):
    return np.array([row[name] for row in rows], dtype=float)


def names(rows):
    return [row["run"] for row in rows]
