"""Loss at a fixed size against three proportions of the network. Kaplan et al. 2020, figure 5."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import altair as alt
import numpy as np

from scaling.charts import beside, theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.fitting.fit import FEWEST
from scaling.provenance import UserError
from scaling.rows import column, finite, sound
from scaling.selections import INTERVAL
from scaling.trends import trend

LITTLE = 0.03
PAPER = "within 3 % over a 40-fold range of aspect ratios"
"""What the paper's figure 5 finds: the loss of a wide, shallow network beside the best's."""


@dataclass(frozen=True)
class Property:
    """One proportion of a network: its name, its formula, and its value for a run."""

    name: str
    formula: str
    of: Callable[[dict], float]


PROPERTIES = (
    Property("feed-forward ratio", "d_ff / d_model", lambda run: run["d_ff"] / run["d_model"]),
    Property("aspect ratio", "d_model / n_layer", lambda run: run["d_model"] / run["n_layer"]),
    Property("head dimension", "d_model / n_head", lambda run: run["d_model"] / run["n_head"]),
)
FEED_FORWARD, ASPECT, HEAD = PROPERTIES


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs: three panels around the base shape."""
    runs = [run for run in converged(tables["runs"], "shape") if beside.of(run, "transformer")]
    if not runs:
        raise UserError("the experiment shape holds no Transformer: add some to its grid")
    base, panels = arranged(runs)
    best = min(run["test_loss"] for run in runs)
    rows = {
        varied: [point(run, varied, best, run is base) for run in sorted(members, key=varied.of)]
        for varied, members in panels.items()
    }
    every = [row for part in rows.values() for row in part]
    top = max(1.0, *(row.get("high", row["y"]) for row in every)) * 1.08
    bottom = min(0.0, *(row.get("low", row["y"]) for row in every)) * 1.08
    charts = [panel(varied, part, [bottom, top]) for varied, part in rows.items()]
    sizes = [run["N"] for run in runs]
    spread = max(abs(N / base["N"] - 1) for N in sizes)
    caption = (
        f"{wording.counted(len(runs), 'run')} of {wording.si(base['N'])} parameters (within "
        f"{wording.percent(round(spread, 3))}); large marks: the base shape ({wording.shape(base)}); bars: "
        f"one standard error. {spans(panels)} The worst shape loses {max(row['y'] for row in every):.1f} % "
        "on the best."
    )
    description = f"Loss increase in per cent over the best shape, in {len(charts)} panels. {caption}"
    found = finding(runs, panels, tables["runs"])
    return Drawing(alt.concat(*charts, columns=3), description, caption, (("measured", every),), found)


# --- the finding ----------------------------------------------------------------------------------------


def finding(runs, panels, table):
    """The :class:`Finding`: how much the worst shape loses on the best, and whether that is little.

    It holds if the worst of all stays within LITTLE at the upper end of its interval, in part if the worst
    that varies some one proportion does; it does not hold if the worst lies beyond at the lower end.
    """
    if len(runs) < FEWEST:
        return untold(PAPER, f"{len(runs)} shapes are too few")
    best, worst = (pick(runs, key=lambda run: run["test_loss"]) for pick in (min, max))
    increase = increases(worst, best)
    by_property = {
        varied.name: increases(max(members, key=lambda run: run["test_loss"]), best)
        for varied, members in panels.items()
    }
    within = any(worst["high"] <= LITTLE for worst in by_property.values())
    if increase["high"] <= LITTLE or within:
        verdict = PARTLY if increase["high"] > LITTLE else HOLDS
    else:
        verdict = FAILS if increase["low"] > LITTLE else OPEN
    limit = wording.percent(LITTLE)
    parts = [
        f"the worst of {wording.counted(len(runs), 'shape')} ({wording.shape(worst)}) loses {told(increase)} "
        f"on the best, where at most {limit} at the upper end is asked for"
    ]
    if verdict != HOLDS:
        parts.append(", ".join(f"by {name} {told(worst)}" for name, worst in by_property.items()))
    measured = f"within {told(increase)}"
    if ASPECT in panels:
        measured += f" over a {fold(ASPECT, panels[ASPECT])} range"
    return Finding(PAPER, measured, verdict, "; ".join(parts + as_much(increase, table)))


def increases(run, best):
    """How much more a run loses than the best, as a share: {value, low, high}; two equal ends without errors.

    The interval is that of a normal error of both losses, as if independent: on the same test text their
    errors go together, so that it is rather too wide.
    """
    ratio = run["test_loss"] / best["test_loss"]
    errors = [r["test_loss_se"] / r["test_loss"] if finite(r["test_loss_se"]) else 0 for r in (run, best)]
    reach = NormalDist().inv_cdf(0.5 + INTERVAL / 2) * ratio * math.hypot(*errors) if run is not best else 0
    return {"value": ratio - 1, "low": ratio - 1 - reach, "high": ratio - 1 + reach}


def told(increase):
    """An increase with its interval, in per cent: '1.6 % (1.1 to 2.2)'."""
    value, low, high = (wording.signed(100 * increase[key], 1) for key in ("value", "low", "high"))
    return f"{value} % ({low} to {high})".replace("+", "")


def as_much(increase, table):
    """How much smaller a model loses as much, by the slope of experiment `size`: a clause in a list, or none.

    The ends are those of both intervals, of the increase and of the slope.
    """
    sizes, _ = sound(table, ("size",), "test_loss")
    if len({run["N"] for run in sizes}) < FEWEST or increase["value"] <= 0:
        return []
    falling = trend(column(sizes, "N"), np.log(column(sizes, "test_loss")))
    if not falling["high"] < 0:
        return []
    value, low, high = (
        wording.significant(100 - 100 * (1 + max(increase[end], 0)) ** (1 / falling[end]), 2)
        for end in ("value", "low", "high")
    )
    return [f"a model {value} % ({low} to {high}) smaller loses as much"]


def spans(panels):
    """Over what range each proportion varies: 'feed-forward ratio 1 to 10 (10-fold), …'."""
    told = []
    for varied, members in panels.items():
        low, high = (wording.si(pick(map(varied.of, members))) for pick in (min, max))
        told.append(f"{varied.name} {low} to {high} ({fold(varied, members)})")
    return f"Ranges: {', '.join(told)}."


def fold(varied, members):
    """How far a proportion varies: '22-fold'."""
    values = [varied.of(run) for run in members]
    return f"{wording.significant(max(values) / min(values), 2)}-fold"


# --- the panels -----------------------------------------------------------------------------------------


def arranged(runs):
    """The base shape and, for each property, the runs that vary it alone, the base among them.

    The base is the run around which most others vary one property. At fixed N the feed-forward ratio moves
    with either depth or width, so a run that holds one of the two belongs to that panel.
    """
    base = max(runs, key=lambda run: sum(varied(run, other) is not None for other in runs))
    panels = {property: [base, *(r for r in runs if varied(base, r) is property)] for property in PROPERTIES}
    panels = {property: members for property, members in panels.items() if len(members) > 1}
    if not panels:
        raise UserError(
            "the experiment shape holds no two runs that differ in one proportion: add some to its grid"
        )
    return base, panels


def varied(base, run):
    """The one property in which ``run`` differs from ``base``, or None."""
    if run["d_ff"] * base["d_model"] != base["d_ff"] * run["d_model"]:
        held = run["n_layer"] == base["n_layer"] or run["d_model"] == base["d_model"]
        return FEED_FORWARD if held else None
    if (run["n_layer"], run["d_model"]) != (base["n_layer"], base["d_model"]):
        return ASPECT
    return HEAD if run["n_head"] != base["n_head"] else None


def point(run, varied, best, is_base):
    """A row of a panel: the property x, the loss increase y in per cent with its error's ends."""
    increase, error = 100 * (run["test_loss"] / best - 1), 100 * run["test_loss_se"] / best
    row = {**theme.described(run), "property": varied.name, "x": varied.of(run), "y": increase}
    return theme.with_error({**row, "base": is_base}, error)


def panel(varied, rows, y_ends):
    """One property's panel."""
    ends = theme.domain([row["x"] for row in rows], room=0.08)
    values = list(dict.fromkeys(row["x"] for row in rows))
    x = alt.X("x:Q").scale(type="log", domain=ends, nice=False)
    x = x.axis(
        alt.Axis(title=[varied.name, varied.formula], grid=False, **theme.labelled(values, wording.si))
    )

    def y(field):
        scale = alt.Y(field, type="quantitative").scale(domain=y_ends, nice=False)
        return scale.axis(alt.Axis(title="loss increase (%)", tickCount=5))

    marks = theme.chart(rows).encode(
        x=x,
        y=y("y"),
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("shape:N"),
            alt.Tooltip("N:Q", format=",d"),
            alt.Tooltip("x:Q", format=".3~g", title=varied.formula),
            alt.Tooltip("y:Q", format=".2f", title="loss increase (%)"),
        ],
    )
    bars = theme.chart([row for row in rows if "low" in row])
    return alt.layer(
        marks.mark_line(style="reference", aria=False),
        bars.mark_rule(style="error", aria=False).encode(x=x, y=y("low"), y2="high:Q"),
        marks.mark_point(style="measured", filled=True, opacity=1).encode(
            size=alt.Size("base:O").scale(domain=[False, True], range=[45, 130]).legend(None)
        ),
    ).properties(width=132, height=200)
