"""Recurrent Transformers beside standard ones, at equal N and compute. Kaplan et al. 2020, figure 17."""

import altair as alt

from scaling.charts import beside, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.trends import known

PAPER = "slightly better at equal N, slightly worse at equal compute"
"""Kaplan et al. 2020, appendix D.2 and figure 17, which give no numbers."""
STANDARD = "standard"
REMEDY = "add some to its grid, with reuse in their shape"


def used(run):
    """Parameters that a token's forward pass uses, each as often as it is used: FLOPs per token, 6N, by 6."""
    return run["flops_per_token_6N"] / 6


AGAINST = {
    "N": ("each weight counted once", theme.N_TITLE, lambda run: run["N"]),
    "compute": ("each weight counted as often as it is used", "N × reuse (parameters used per token)", used),
}
"""What runs are compared at equal: how it counts weights, the title of its axis, its value for a run."""


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs."""
    line = beside.transformers(tables["runs"])
    runs = beside.others(tables["runs"], "recurrent", REMEDY)
    series = {reuse: f"used {reuse} times" for reuse in sorted({run["reuse"] for run in runs})}
    rows = {
        against: [
            *({**beside.point(run, STANDARD, x(run)), "against": against} for run in line),
            *({**beside.point(run, series[run["reuse"]], x(run)), "against": against} for run in runs),
        ]
        for against, (_, _, x) in AGAINST.items()
    }
    every = [row for part in rows.values() for row in part]
    mark = theme.category("series:N", [*series.values()], first=STANDARD)
    panels = [beside.panel(rows[against], every, AGAINST[against][1], mark) for against in AGAINST]
    gaps = {against: beside.gaps(line, runs, x) for against, (_, _, x) in AGAINST.items()}
    found = {against: beside.gap(line, runs, x) for against, (_, _, x) in AGAINST.items()}
    caption = (
        f"{wording.counted(len(runs), 'recurrent Transformer')}, whose weights are used several times, "
        f"beside {wording.counted(len(line), 'standard one')}{beside.depths(line)}; left, each weight "
        f"counted once, right, as often as it is used. {theme.bars(every)}Test loss above the line of "
        f"standard Transformers, with "
        f"its {beside.interval_words()}: {told(line, runs, gaps)}. {beside.of_noise()}"
    )
    description = f"Test loss against model size, weights counted once and as often as used. {caption}"
    chart = alt.concat(*panels, columns=2)
    return Drawing(chart, description, caption, (("measured", every),), finding(found))


def told(line, runs, gaps):
    """The mean gap by reuse at equal N and at equal compute, a clause."""
    by_times = {}
    for run in runs:
        by_times.setdefault(run["reuse"], []).append(run)
    parts = []
    for against, values in gaps.items():
        by_reuse = [
            f"{beside.percent(number)} for {times} uses"
            for times, members in sorted(by_times.items())
            for number in [beside.gap(line, members, AGAINST[against][2])]
            if number["runs"]
        ]
        parts.append(f"at equal {against} {', '.join(by_reuse) or 'not known'}{beside.beyond(values)}")
    return "; ".join(parts)


def finding(found):
    """The :class:`Finding`, of the mean gaps (per cent) at equal N and at equal compute.

    Reuse helps at equal N if that gap lies below zero by its whole interval, and costs its compute if the
    other lies above. Both: HOLDS; one of them: PARTLY; neither, and one the other way round: FAILS.
    """
    if not all(map(known, found.values())):
        fewest = min(number["runs"] for number in found.values())
        return untold(PAPER, beside.too_few(fewest, "recurrent Transformer"))
    at_N, at_compute = found["N"], found["compute"]
    measured = f"{beside.percent(at_N)} at equal N, {beside.percent(at_compute)} at equal compute"
    helps, costs = at_N["high"] < 0, at_compute["low"] > 0
    turned = at_N["low"] > 0 or at_compute["high"] < 0
    verdict = HOLDS if helps and costs else PARTLY if helps or costs else FAILS if turned else OPEN
    because = (
        f"against standard ones the loss of {wording.counted(at_N['runs'], 'recurrent Transformer')} is "
        f"{place(at_N)} at equal N, {beside.percent(at_N)}, and {place(at_compute)} at equal compute, "
        f"{beside.percent(at_compute)}, each decided by the whole interval"
    )
    return Finding(PAPER, measured, verdict, because)


def place(gap):
    """How runs stand to the standard ones by the whole interval of their gap: 'lower'."""
    return "lower" if gap["high"] < 0 else "higher" if gap["low"] > 0 else "not told apart"
