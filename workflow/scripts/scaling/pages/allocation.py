"""What a page tells of how a budget splits: numbers by two roads, in every way of counting, and what follows.

What is told is allocation.json (:mod:`scaling.allocation`). A number that cannot be had is a dash with the
number of a note; notes say each reason once.
"""

from scaling.allocation import CONVERGED
from scaling.charts import wording
from scaling.laws import LAWS
from scaling.pages.fits import pipes

NAMES = {
    "N": "best size N",
    "B": "batch size B, the critical one",
    "S": "steps S, the fewest",
    "D": "tokens D, at that batch",
    "loss": "test loss, which falls",
}
WIDE = 0.5
"""Width of the interval of a difference of exponents from which on it tells nothing."""
COMPUTE = {"adjusted": "C_min", "unadjusted": "C"}
STEPS = {"adjusted": "S_min", "unadjusted": "S"}
BOTH = "along the envelope", "by L(N, {})"


class Notes:
    """Why numbers are missing: each reason once, numbered, with the laws that it keeps from a fit."""

    def __init__(self):
        self._laws = {}

    def number(self, reason):
        """The number of the note that tells ``reason``."""
        law, cannot, why = reason.partition(" cannot be fitted: ")
        key = why if cannot else reason
        self._laws.setdefault(key, {}).update({law: None} if cannot else {})
        return [*self._laws].index(key) + 1

    def lines(self):
        """The notes, in order."""
        return [
            f"{', '.join(laws)} cannot be fitted: {why}." if laws else f"{why}."
            for why, laws in self._laws.items()
        ]


BEHIND = {
    "adjusted": ("B_crit", "L_Cmin", "N_opt_Cmin", "L_NSmin"),
    "unadjusted": ("L_C", "N_opt", "L_NS"),
}
"""Laws whose forecasts tell how far each kind of numbers can be trusted."""


def section(allocation, fits, scanned, finished=None):
    """What the section on the split of a budget shows, a dict.

    ``fits`` by law; ``scanned``: whether laws of the study are adjusted by B_crit(L); ``finished`` as in
    :func:`scaling.pages.content.page`.
    """
    notes, kinds = Notes(), known(allocation)
    own = next(iter(allocation["conventions"].values()))
    kind = kinds[0]
    return {
        "compute": COMPUTE[kind],
        "headings": [road.format(STEPS[kind]) for road in BOTH],
        "groups": [powers(own[kind], kind, notes), *split(own[kind], allocation["budget"], notes)],
        "follows": follows(allocation, notes) if kind == "adjusted" else [],
        "forecasts": forecasts(fits, BEHIND[kind]),
        "unadjusted": "" if kind == "adjusted" else unadjusted(allocation, scanned, finished, notes),
        "countings": countings(allocation, kinds, notes),
        "counting_headings": counting_headings(kinds),
        "elsewhere": elsewhere(),
        "notes": notes.lines(),
    }


def forecasts(fits, laws):
    """How well the fits behind the numbers forecast, a text for each: 'L = …: off by +2 %, …'."""
    return [
        f"{fits[law]['formula']}: {wording.forecast(fits[law])}"
        for law in laws
        if "holdout" in fits.get(law, {})
    ]


def known(allocation):
    """The kinds of compute by which any exponent is known, "adjusted" first; "unadjusted" if none is."""
    found = [
        kind
        for kind in COMPUTE
        if any(
            "value" in numbers[road]
            for ways in allocation["conventions"].values()
            for numbers in ways[kind]["exponents"].values()
            for road in ("envelope", "law")
        )
    ]
    return found or ["unadjusted"]


def unadjusted(allocation, scanned, finished, notes):
    """Which numbers are not adjusted by B_crit(L), why, and what to add."""
    if finished:
        why = ", which batch scans measure, and a file of finished runs carries no batch scan"
    elif not scanned:
        why = ", which batch scans measure: add `batch` to `experiments` in the study's config"
    else:
        own = next(iter(allocation["conventions"].values()))
        missing = [numbers["envelope"]["missing"] for numbers in own["adjusted"]["exponents"].values()]
        told = dict.fromkeys(f"note {notes.number(reason)}" for reason in missing)
        why = f", by which no law of this study is adjusted ({', '.join(told)})"
    return (
        "These numbers are unadjusted: powers of compute C as trained, at one batch size, since C_min, and "
        "with it the split into batch and steps, what another size costs and where L(C_min) meets L(D), "
        f"needs B_crit(L){why}."
    )


def powers(ways, kind, notes):
    """Exponents of C or C_min, a group of rows: along the envelope, by the law, their difference."""
    rows = [
        {
            "id": quantity,
            "name": numbers["symbol"],
            "about": NAMES[quantity],
            "cells": [cell(numbers[road], notes) for road in ("envelope", "law")],
            "difference": cell(numbers["difference"], notes, signed),
            "verdict": verdict(numbers["difference"]),
            "published": wording.published(numbers["published"]),
        }
        for quantity, numbers in ways["exponents"].items()
    ]
    return {"head": f"Powers of {COMPUTE[kind]}", "about": "by 6 N FLOPs per token", "rows": rows}


def split(ways, budget, notes):
    """How much each quantity grows with a budget that is ``budget`` times as large: a group, or none."""
    rows = [
        {
            "id": f"split-{quantity}",
            "name": quantity,
            "about": "times as large",
            "cells": [cell(numbers[road], notes, grown) for road in ("envelope", "law")],
            "difference": ("", "", ""),
            "verdict": "",
            "published": grown(numbers["published"]),
        }
        for quantity, numbers in ways["split"].items()
    ]
    about = "the powers above, far beyond the runs that they are fitted to"
    return [{"head": f"{wording.words(budget)} times the compute", "about": about, "rows": rows}] * bool(rows)


def follows(allocation, notes):
    """Groups of what follows from the laws: closed form of α_C, cost of another size, crossing."""
    closed, off, crossing = (allocation[key] for key in ("closed_form", "off_optimum", "crossing"))
    either = [
        ("fitted", "α_C", "fitted to the envelope"),
        ("implied", "α_C", "1 / (1/α_S + 1/α_B + 1/α_N)"),
    ]
    rows = [
        row(f"closed-{key}", name, about, closed[key] | {"published": closed["published"][key]}, notes)
        for key, name, about in either
    ]
    apart = closed["difference"]
    rows.append(row("closed-difference", "difference", verdict(apart), apart, notes, signed))
    groups = [
        {"head": "Does α_C follow from the other exponents?", "about": "Kaplan et al. 2020, eq. 6.4"}
        | {"rows": rows}
    ]
    if "missing" in off:
        groups.append(absent("What another size than the best costs", off, notes))
    else:
        more = wording.percent(off["tolerated"])
        convergence, above = off["against_convergence"], wording.percent(CONVERGED)
        groups += [
            {
                "head": f"Sizes that cost at most {more} more compute",
                "about": "to one loss, as multiples of the best size",
                "rows": [row(f"off-{end}", end, "", off[end], notes) for end in ("smallest", "largest")],
            },
            {
                "head": "The best size against one trained to convergence",
                "about": f"{above} above its converged loss, to one loss",
                "rows": [
                    row("off-parameters", "N", "times as large", convergence["parameters"], notes),
                    row("off-steps", "S", "times fewer", convergence["steps"], notes),
                    row("off-compute", "C", "less", convergence["compute"], notes, wording.percent),
                ],
            },
        ]
    head = "Where L(C_min) meets L(D)"
    if "missing" in crossing:
        return [*groups, absent(head, crossing, notes)]
    units = {"C": "PF-days", "N": "parameters", "D": "tokens", "loss": "nats per token"}
    rows = [
        row(f"crossing-{key}", "L" if key == "loss" else key, unit, crossing[key], notes)
        for key, unit in units.items()
    ]
    share = f"by {wording.percent(crossing['crossing_share'])} of the draws they meet somewhere"
    return [*groups, {"head": head, "about": share, "rows": rows}]


def row(name, symbol, about, number, notes, write=wording.readable):
    """A row of what follows: a number beside what is published, if anything is."""
    known = number.get("published")
    published = wording.percent if write is wording.percent else wording.published
    return {
        "id": name,
        "name": symbol,
        "about": about,
        "cells": [cell(number, notes, write)],
        "published": "" if known is None else published(known),
    }


def absent(head, number, notes):
    """A group that cannot be told, without rows."""
    return {"head": head, "about": f"not known: note {notes.number(number['missing'])}", "rows": []}


def countings(allocation, kinds, notes):
    """A row for each way of counting: p_N by both roads, of each kind of compute."""
    return [
        {
            "id": name,
            "name": ways["words"],
            "cells": [cell(ways[kind]["exponents"]["N"][road], notes) for kind, road in columns(kinds)],
        }
        for name, ways in allocation["conventions"].items()
    ]


def columns(kinds):
    """The columns of p_N: pairs of a kind of compute and a road."""
    return [(kind, road) for kind in kinds for road in ("envelope", "law")]


def counting_headings(kinds):
    """The headings of those columns."""
    return [f"of {COMPUTE[kind]}, {BOTH[road == 'law'].format(STEPS[kind])}" for kind, road in columns(kinds)]


def elsewhere():
    """The published values of p_N: '0.88 (Kaplan et al. 2020, Figure 14); 0.73 (…)'."""
    law = LAWS["N_opt"]
    own = law.parameters["p_N"]
    others = [(other.value, other.source) for other in own.comparisons]
    return "; ".join(
        f"{wording.published(value)} ({source})" for value, source in [(own.published, law.source), *others]
    )


def cell(number, notes, write=wording.readable):
    """A number as a cell: its value, its interval and a class in CSS.

    It stands in brackets where a fit that it needs is not certified; a missing one is a dash and its note.
    """
    if "missing" in number:
        return "–", f"note {notes.number(number['missing'])}", ""
    texts = write(number["value"]), " to ".join(write(number[end]) for end in ("low", "high"))
    return (*texts, "strong") if number["certified"] else (*(f"({text})" for text in texts), "")


def verdict(difference):
    """Whether the roads agree, by the interval of their difference."""
    if "missing" in difference:
        return ""
    if not difference["certified"]:
        return "not certified"
    if not difference["low"] <= 0 <= difference["high"]:
        return "do not agree"
    return "agree" if difference["high"] - difference["low"] < WIDE else "too wide to tell"


def signed(value):
    """A difference with its sign."""
    return f"+{wording.readable(value)}" if value > 0 else wording.readable(value)


def grown(value):
    """How many times as large something is: '0.157', '682', '9,750,000', '5.1 × 10⁹'."""
    if 100 <= value < 1e9:
        return f"{float(f'{value:.3g}'):,.0f}"
    return wording.readable(value) if not 1 <= value < 100 else f"{value:.3g}"


def markdown(allocation):
    """p_N in every way of counting as a table in Markdown, with a heading and the notes."""
    notes, kinds = Notes(), known(allocation)
    lines = [
        [ways["name"], *(", ".join(found[:2]) for found in ways["cells"])]
        for ways in countings(allocation, kinds, notes)
    ]
    table = pipes(["p_N of N_opt", *counting_headings(kinds)], lines)
    said = [f"Published: {elsewhere()}.", "In brackets: what leans on a fit that is not certified."]
    said += [] if "adjusted" in kinds else ["No law is adjusted by B_crit(L), which batch scans measure."]
    said += [f"Note {number}: {line}" for number, line in enumerate(notes.lines(), 1)]
    return f"\n## How N and FLOPs are counted\n\n{table}" + "".join(f"\n{line}\n" for line in said)
