"""Loss at a fixed size against three proportions of the network. Kaplan et al. 2020, figure 5."""

from collections.abc import Callable
from dataclasses import dataclass

import altair as alt

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.provenance import UserError


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
    runs = converged(tables["runs"], "shape")
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
        f"one standard error. The worst shape loses {max(row['y'] for row in every):.1f} % on the best."
    )
    description = f"Loss increase in per cent over the best shape, in {len(charts)} panels. {caption}"
    return Drawing(alt.concat(*charts, columns=3), description, caption, (("measured", every),))


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
