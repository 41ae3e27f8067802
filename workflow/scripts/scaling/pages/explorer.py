"""Learning curves as a reader explores them: counted, adjusted and chosen anew in the page itself.

The page computes the envelope as :mod:`scaling.frontier` and :func:`scaling.efficient.envelope` do, from
curves that are thinned by a rule that leaves it as it is (:func:`thinned`).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scaling.charts import fitted, wording
from scaling.frontier import CURVES, GRID_POINTS
from scaling.laws import FLOPS, critical_batch, least_compute
from scaling.pages.picking import number
from scaling.rows import CONVENTIONS, column, finite, sound
from scaling.selections import blocks

TOLERANCE = 0.002
"""How far a thinned curve may lie from the whole one: in ln L, so 0.2 % of the loss."""
ROUNDING = 1e-9
"""In ln L."""
ENVELOPES = {"C": "L_C", "C_min": "L_Cmin"}
"""The law of the envelope by each kind of compute."""
ALIKE = 1e-3
"""Relative spread of bytes per token up to which one factor turns all losses into bits per byte."""


def section(tables, fits):
    """What the page's explorer draws, for :mod:`json`; None where no run has a learning curve.

    ``tables`` holds rows of runs, curves and evaluations; ``fits`` are those of the study by law. Compute is
    in PF-days, losses are in nats per token, numbers have six significant digits. Runs are indices into
    tables["runs"]; the points of run ``curves["run"][i]`` are the next ``curves["length"][i]``.
    """
    runs = tables["runs"]
    names = list(dict.fromkeys(name for run in runs for name in run["experiments"]))
    critical, excluded = _critical(fits), sound(runs, names, "test_loss")[1]
    traces = _traces(runs, tables["curves"], excluded, critical.get("parameters"))
    if not traces:
        return None
    kept = _kept([*traces.values()])
    points = [trace.rows[at] for trace, chosen in zip(traces.values(), kept, strict=True) for at in chosen]
    drawn = [runs[index] for index in traces]
    return {
        "runs": {
            "warmup": [run["warmup"] for run in drawn],
            "sound": [run["run"] not in excluded for run in drawn],
            "experiments": [[names.index(name) for name in run["experiments"]] for run in drawn],
            **{way: [number(run.get(CONVENTIONS[way].flops)) for run in drawn] for way in FLOPS},
        },
        "curves": {
            "run": list(traces),
            "length": [len(chosen) for chosen in kept],
            **{name: [number(row[name]) for row in points] for name in ("step", "tokens")},
            "loss": [number(row["test_loss"]) for row in points],
        },
        "experiments": names,
        "shown": [name for name in names if name in CURVES] or names,
        "frontier": [name for name in names if name in CURVES],
        "bits": bits(tables["evaluations"]),
        "critical": critical,
        "countings": [_counting(way, drawn) for way in FLOPS],
        "N_total": all(finite(run.get("N_total")) for run in drawn),
        "fits": {
            compute: {way: _fit(fits.get(law), way) for way in FLOPS} for compute, law in ENVELOPES.items()
        },
        "thinning": f"Curves are drawn within {wording.percent(TOLERANCE)} of every test point.",
    }


def bits(evaluations):
    """The ``factor`` from nats per token to bits per byte of the test split and where it is ``from``, or why
    it is ``missing``."""
    ratios = [
        row["bits_per_byte"] / row["loss"]
        for row in evaluations
        if row["set"] == "test" and finite(row["bits_per_byte"]) and finite(row["loss"]) and row["loss"] > 0
    ]
    if not ratios:
        return {"missing": "no evaluation on the test split tells bits per byte"}
    low, high = min(ratios), max(ratios)
    if high > (1 + ALIKE) * low:
        return {"missing": "runs of this study differ in how many bytes of the test split a token has"}
    factor = float(np.median(ratios))
    told = wording.counted(len(ratios), "evaluation")
    per_token = wording.significant(1 / math.log(2) / factor)
    return {
        "factor": number(factor),
        "from": f"A token of the test split has {per_token} bytes, by {told} of it.",
    }


def thinned(losses, computes, forced, tolerance=TOLERANCE):
    """Indices of the points to keep of a curve, in order: ``forced`` and those that a polyline needs.

    ``losses`` (n,) ln L in order of steps; ``computes`` (k, n) ln of compute, in each way in which it is more
    than shifted; ``forced`` indices, the first and the last among them. Between points that stay, the curve
    lies within ``tolerance`` of the line, and its lowest loss so far never above that of the line, so that no
    thinned curve is lower than the envelope. Whatever point set the lowest loss of a kept one is kept too.
    """
    lowest = np.minimum.accumulate(losses)
    record = np.maximum.accumulate(np.where(losses <= lowest, np.arange(len(losses)), 0))
    kept = {*forced, *record[list(forced)].tolist()}
    spans = _pairs(kept)
    while spans:
        first, last = spans.pop()
        inner = slice(first + 1, last)
        off = np.zeros(last - first - 1)
        for compute in computes:
            share = (compute[inner] - compute[first]) / (compute[last] - compute[first])
            line, under = (y[first] + share * (y[last] - y[first]) - y[inner] for y in (losses, lowest))
            off = np.maximum(off, np.where(under < -ROUNDING, math.inf, np.abs(line)))
        if len(off) and off.max() > tolerance:
            middle = first + 1 + int(off.argmax())
            new = {middle, int(record[middle])} - kept
            kept |= new
            spans += _pairs({first, last} | {at for at in new if at > first})
    return sorted(kept)


def candidates(firsts, starts, stops, before, after, step):
    """Which pieces of curves may be part of their envelope, (pieces,) booleans: those that end no higher than
    what some run had reached at a compute of the grid before.

    Of all pieces: ``firsts`` ln compute where the run of each begins, ``starts`` where it begins itself and
    ``stops`` where its run ends; ``before`` and ``after`` the lowest losses so far at its beginning and end.
    ``step`` is a step of the grid, or more: a run that goes on for so long after a point has no higher loss
    at a compute of the grid, which begins where the second run does.
    """
    begin = np.append(np.unique(firsts), np.inf)[1]
    seen = (stops >= starts + step) & (starts >= begin)
    order = np.argsort(starts[seen])
    reached = np.append(np.inf, np.minimum.accumulate(before[seen][order]))
    return after <= reached[np.searchsorted(starts[seen][order] + step, starts, side="right")]


def _pairs(indices):
    """Neighbours among ``indices`` in order, as pairs."""
    return list(pairwise(sorted(indices)))


@dataclass(frozen=True)
class _Trace:
    """A run's test points in order: ``rows``; of them those from ``past`` on make the envelope.

    ``losses`` (n,) ln L, ``lowest`` so far, before and after ``past`` apart; ``computes`` one or two (n,), ln
    of tokens as trained and, if they can be, as adjusted by B_crit of the lowest loss so far.
    """

    run: dict
    rows: list[dict]
    past: int
    losses: np.ndarray
    lowest: np.ndarray
    computes: list[np.ndarray]


def _traces(runs, curves, excluded, critical):
    """{index of a run: its :class:`_Trace`}, of the runs that have points with a finite loss."""
    rows = {run["run"]: [] for run in runs if finite(run.get(CONVENTIONS["6N"].flops))}
    for row in sorted(curves, key=lambda row: row["step"]):
        if row["run"] in rows and finite(row["test_loss"]) and row["tokens"]:
            rows[row["run"]].append(row)
    return {
        at: _trace(run, rows[run["run"]], run["run"] in excluded, critical)
        for at, run in enumerate(runs)
        if rows.get(run["run"])
    }


def _trace(run, rows, excluded, critical):
    past = len(rows) if excluded else int(np.searchsorted(column(rows, "step"), run["warmup"]))
    if len(rows) - past < 2:
        past = len(rows)
    losses, tokens = np.log(column(rows, "test_loss")), column(rows, "tokens")
    lowest = np.concatenate([np.minimum.accumulate(part) for part in (losses[:past], losses[past:])])
    computes = [np.log(tokens)]
    if critical and finite(run.get("B")):
        computes.append(np.log(least_compute(tokens, run["B"], critical_batch(np.exp(lowest), **critical))))
    return _Trace(run, rows, past, losses, lowest, computes)


def _on_envelopes(traces):
    """For each trace the indices of points that may be on an envelope: of any experiment, counted any way.

    What is on the envelope of several experiments is on that of one of them.
    """
    lengths = [max(0, len(trace.rows) - trace.past - 1) for trace in traces]
    owner = np.repeat(np.arange(len(traces)), lengths)
    point = np.concatenate([trace.past + np.arange(n) for trace, n in zip(traces, lengths, strict=True)])
    before, after = _pieces(traces, [trace.lowest for trace in traces])
    needed = np.zeros(len(owner), dtype=bool)
    experiments = dict.fromkeys(name for trace in traces for name in trace.run["experiments"])
    members = {name: np.array([name in trace.run["experiments"] for trace in traces]) for name in experiments}
    for adjusted in (False, True):
        known = np.array([len(trace.computes) > adjusted for trace in traces])
        computes = [trace.computes[adjusted * (len(trace.computes) > 1)] for trace in traces]
        starts, _ = _pieces(traces, computes)
        passed = [
            compute[min(trace.past, len(compute) - 1) :]
            for trace, compute in zip(traces, computes, strict=True)
        ]
        firsts, stops = (np.array([compute[edge] for compute in passed])[owner] for edge in (0, -1))
        for way in FLOPS:
            factor = np.array([trace.run.get(CONVENTIONS[way].flops) or math.nan for trace in traces])
            counted = (known & np.isfinite(factor))[owner]
            if not counted.any():
                continue
            shift = np.log(factor)[owner]
            spans = [column + shift for column in (firsts, starts, stops)]
            step = (np.max(spans[2][counted]) - np.min(spans[0][counted])) / (GRID_POINTS - 1)
            for member in members.values():
                at = np.flatnonzero(member[owner] & counted)
                chosen = candidates(*(column[at] for column in (*spans, before, after)), step)
                needed[at[chosen]] = True
    found = [set() for _ in traces]
    for at, start in zip(owner[needed].tolist(), point[needed].tolist(), strict=True):
        found[at] |= {start, start + 1}
    return found


def _pieces(traces, columns):
    """The starts and the ends of all pieces of curves past the warm-up, of a column of each trace."""
    parts = [column[trace.past :] for trace, column in zip(traces, columns, strict=True)]
    return np.concatenate([part[:-1] for part in parts]), np.concatenate([part[1:] for part in parts])


def _kept(traces):
    """For each trace the indices of the points to keep, in order."""
    kept = []
    for trace, needed in zip(traces, _on_envelopes(traces), strict=True):
        ends = sorted({0, trace.past, len(trace.rows)})
        parts = []
        for first, last in pairwise(ends):
            forced = {0, last - first - 1, *(at - first for at in needed if first <= at < last)}
            computes = [compute[first:last] for compute in trace.computes]
            parts += [first + at for at in thinned(trace.losses[first:last], computes, forced)]
        kept.append(parts)
    return kept


def _critical(fits):
    """B_crit(L) of the study, by which compute is adjusted: its ``parameters`` and ``words``, whether it is
    ``certified``; or why it is ``missing``."""
    fit = fits.get("B_crit")
    if fit is None:
        return {"missing": "it needs B_crit(L), which batch scans measure: add experiment batch"}
    if "unfitted" in fit:
        return {"missing": wording.greek(fit["unfitted"])}
    parameters = {name: found["value"] for name, found in fit["parameters"].items()}
    losses = fit["data"]["inputs"]["loss"]
    words = (
        f"{fitted.adjustment({'adjusted_by': parameters})}, measured at losses of {min(losses):.3g} to "
        f"{max(losses):.3g} nats per token"
    )
    certified = wording.certified(fit)
    return {"parameters": parameters, "words": words, "certified": certified}


def _counting(way, runs):
    """A way of counting FLOPs: its ``name``, ``words``, and whether runs lack its numbers."""
    known = all(finite(run.get(CONVENTIONS[way].flops)) for run in runs)
    return {"name": way, "words": CONVENTIONS[way].words, "known": known}


def _fit(fit, way):
    """The line of a fitted envelope in a way of counting, and what is said of it; or why there is none."""
    if fit is None:
        return {"words": "No law of the envelope is fitted in this study."}
    block = fit if way == FLOPS[0] else blocks(fit).get(f"with_{way}")
    if block is None or "unfitted" in block:
        reason = block["unfitted"] if block else f"{fit['law']} cannot be fitted: its runs are not counted so"
        return {"words": f"No fitted frontier: {wording.greek(reason)}."}
    block = {"law": fit["law"], "formula": fit["formula"], **block}
    words = wording.finding(block)
    if not wording.certified(block):
        return {"words": words}
    (exponent,) = wording.exponents(block)
    band = {name: [number(value) for value in values] for name, values in block["band"].items()}
    value, published = wording.readable(exponent["value"]), wording.published(exponent["published"])
    names = [
        f"fit, slope {value}, with its {wording.percent(block['interval'])} band",
        f"paper's slope, {published}",
    ]
    return {"words": words, "band": band, "slope": exponent["published"], "names": names}
