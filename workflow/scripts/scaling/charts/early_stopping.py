"""When test loss is lowest on limited data, and its bound. Kaplan et al. 2020, eq. 5.7 and figure 16."""

from functools import partial
from statistics import median

import altair as alt

from scaling import stopping
from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import Finding
from scaling.provenance import UserError
from scaling.rows import finite
from scaling.selections import INTERVAL

MOST, SOME = 0.9, 0.5
"""Shares of the runs at or above the bound from which on the claim holds, and holds in part."""
FEWEST = 5
"""Runs below which a share of them tells nothing."""
PAPER = "every run at or above the bound (figure 16)"
BOUND_TITLE = ["earliest stop by eq. 5.7 (steps)", "S_c / [L(N, D) − L(N, ∞)]^(1/α_S)"]
STOP_TITLE = "step of the lowest test loss"
LINES = TEST, TRAIN = "test loss", "train loss"
PANEL = {"width": 225, "height": 250}


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and curves and the fits L_ND and L_NS."""
    stops = stopping.limited(tables["runs"], tables["curves"])
    doubt = doubts(fits)
    points = [] if doubt else bounded(stops, fits)
    curves = examples(tables, stops)
    if not curves:
        raise UserError("no run of experiment data has a learning curve: set test_points in the config")
    left, shown = against_bound(points) if points else against_data(stops), points or by_data(stops)
    chart = alt.concat(left, example_panel(curves), columns=2)
    chart = chart.resolve_scale(fill="independent", stroke="independent", strokeDash="independent")
    caption = f"{left_words(stops, points, doubt)} {right_words(curves)}"
    against = "its bound" if points else "the training set"
    description = (
        f"Left: the step of the lowest test loss against {against}, both logarithmic. Right: learning curves "
        f"of one size on several data sets, both logarithmic. {caption}"
    )
    data = (*([("stop", shown)] if shown else []), ("learning curve", curves))
    return Drawing(chart, description, caption, data, finding(stops, points, doubt))


# --- rows -----------------------------------------------------------------------------------------------


def doubts(fits):
    """Why the bound cannot be told from the fits, in words; None if it can."""
    for law in ("L_ND", "L_NS"):
        if not wording.certified(fits[law]):
            return f"the fit of {law} is not certified: {wording.reasons(fits[law])}"
    return None


def bounded(stops, fits):
    """Rows of the left panel: the bound x with its error's ends, the step y with its gap's ends."""
    found = [stopping.parameters(fits[law]) for law in ("L_ND", "L_NS")]
    rows = []
    for stop in stops:
        bound = stopping.bound(stop["run"], *found)
        if bound is None:
            continue
        row = {**stopped(stop), "excess": bound["excess"], "x": bound["steps"], "x_low": bound["low"]}
        rows.append(row | ({"x_high": bound["high"]} if finite(bound["high"]) else {}))
    return rows


def by_data(stops):
    """Rows of the left panel where there is no bound: D as x, the step y with its gap's ends."""
    return [{**stopped(stop), "x": stop["run"]["D"]} for stop in stops]


def stopped(stop):
    """What a row says of a run's step of lowest test loss y, between the test points about it."""
    row = {**theme.described(stop["run"]), "D": stop["run"]["D"], "loss": stop["run"]["best_test_loss"]}
    return {**row, "y": stop["step"], "low": stop["low"], "high": stop["high"]}


def examples(tables, stops):
    """Rows of the right panel: the learning curves of the size that turned on most data sets, the largest of
    those; step x, test loss y, train loss where it is known, and whether the test loss is the lowest."""
    runs = [run for run in converged(tables["runs"], "data") if finite(run.get("D"))]
    turned = {stop["run"]["run"] for stop in stops}
    tested = {}
    for row in sorted(tables["curves"], key=lambda row: row["step"] or 0):
        if finite(row["test_loss"]) and finite(row["step"]) and row["step"] > 0:
            tested.setdefault(row["run"], []).append(row)
    runs = [run for run in runs if run["run"] in tested]
    sizes = {}
    for run in runs:
        count, tokens = sizes.setdefault(run["N"], (set(), set()))
        tokens.add(run["D"])
        count |= {run["D"]} if run["run"] in turned else set()
    if not sizes:
        return []
    N = max(sizes, key=lambda N: (*map(len, sizes[N]), N))
    rows = []
    for run in sorted((run for run in runs if run["N"] == N), key=lambda run: run["D"]):
        for test in tested[run["run"]]:
            row = {**theme.described(run), "D": run["D"], "x": test["step"], "y": test["test_loss"]}
            known = {"train": test["train_loss"]} if finite(test.get("train_loss")) else {}
            lowest = run["run"] in turned and test["step"] == run["best_step"]
            rows.append(row | known | {"lowest": lowest})
    return rows


# --- panels ---------------------------------------------------------------------------------------------


def against_bound(points):
    """The step of the lowest test loss against its bound, with the diagonal."""
    known = [row[end] for row in points for end in ("x", "y", "low", "high")]
    ends = theme.domain(known, room=0.05)
    diagonal = theme.chart([{"x": end, "y": end} for end in ends])
    x, y = axes(ends, ends, BOUND_TITLE)
    line = diagonal.mark_line(style="reference", strokeDash=theme.DASHES[1], clip=True, aria=False)
    widths = theme.chart([row | {"x_high": row.get("x_high", ends[1])} for row in points])
    across = widths.mark_rule(style="error", opacity=0.5, clip=True, aria=False)
    return stop_panel(
        points,
        x,
        y,
        line.encode(x=x("x"), y=y("y")),
        across.encode(x=x("x_low"), x2="x_high:Q", y=y("y")),
        tooltip=[alt.Tooltip("x:Q", format=",.0f", title="bound")],
    )


def against_data(stops):
    """The step of the lowest test loss against D; where no run's had turned, a note that says so."""
    if not stops:
        note = theme.chart([{"text": ["no run's test loss", "rose again before its end"]}])
        return note.mark_text(style="note", aria=False).encode(text="text:N").properties(**PANEL)
    rows = by_data(stops)
    x_ends = theme.domain([row["x"] for row in rows], room=0.06)
    y_ends = theme.domain([row[end] for row in rows for end in ("y", "low", "high")], room=0.06)
    return stop_panel(rows, *axes(x_ends, y_ends, theme.D_TITLE), tooltip=[])


def axes(x_ends, y_ends, title):
    """The encodings of a field on x, called ``title``, and on y, steps."""

    def x(field):
        return theme.log_axis(alt.X, field, x_ends, title, wording.si)

    def y(field):
        return theme.log_axis(alt.Y, field, y_ends, STOP_TITLE, wording.si)

    return x, y


def stop_panel(rows, x, y, *layers, tooltip):
    """Points in the colour of N, bars over the gaps between test points, and ``layers`` under them."""
    tips = [
        *theme.run_tooltip(rows),
        alt.Tooltip("D:Q", format=".3~s", title="D (tokens)"),
        alt.Tooltip("y:Q", format=",d", title="step of the lowest loss"),
        *tooltip,
        alt.Tooltip("loss:Q", format=".4f", title="lowest test loss"),
    ]
    points = theme.chart(rows).mark_point(filled=True, size=50, opacity=1, clip=True)
    return alt.layer(
        *layers,
        theme.error_bars(rows, x, y),
        points.encode(
            x=x("x"), y=y("y"), fill=theme.N_colour([row["N"] for row in rows], columns=3), tooltip=tips
        ),
    ).properties(**PANEL)


def example_panel(curves):
    """Train and test losses of one size against steps, in the colours of D; beads where test was lowest."""
    tokens = [row["D"] for row in curves]
    x_ends = theme.domain([row["x"] for row in curves], room=0.03)
    losses = [{"y": row[key]} for row in curves for key in ("y", "train") if key in row]
    x = theme.log_axis(alt.X, "x", x_ends, theme.S_TITLE, wording.si)
    y = partial(theme.loss_axis(losses), title="loss (nats per token)")
    trained = [row for row in curves if "train" in row]
    names = [TEST, TRAIN] if trained else [TEST]

    def line(rows, field, name):
        drawn = theme.chart([{**row, "line": name} for row in rows])
        return drawn.mark_line(strokeWidth=1.5, aria=False).encode(
            x=x,
            y=y(field),
            stroke=theme.D_colour(tokens, alt.Stroke),
            strokeDash=fitted.dashes("line:N", names, LINES),
            detail="run:N",
        )

    tips = [
        *theme.run_tooltip(curves),
        alt.Tooltip("D:Q", format=".3~s", title="D (tokens)"),
        alt.Tooltip("x:Q", format=",d", title="step"),
        alt.Tooltip("y:Q", format=".4f", title="test loss"),
        alt.Tooltip("train:Q", format=".4f", title="train loss"),
    ]
    dots = theme.chart(curves).mark_point(filled=True, size=10, opacity=1)
    lowest = [row for row in curves if row["lowest"]]
    beads = theme.chart(lowest).mark_point(style="bead", filled=True, size=30, opacity=1, aria=False)
    return (
        alt.layer(
            *([line(trained, "train", TRAIN)] if trained else []),
            line(curves, "y", TEST),
            dots.encode(x=x, y=y("y"), fill=theme.D_colour(tokens, columns=4), tooltip=tips),
            *([beads.encode(x=x, y=y("y"))] if lowest else []),
        )
        .properties(**PANEL)
        .resolve_legend(stroke="independent")
    )


# --- words ----------------------------------------------------------------------------------------------


def above(points):
    """How many stops lie at or above their bound by their own step, and how many may, allowing for the gap to
    the test point after it."""
    return sum(row["y"] >= row["x"] for row in points), sum(row["high"] >= row["x"] for row in points)


def finding(stops, points, doubt):
    """The :class:`Finding`: holds where MOST of the runs lie at or above the bound, allowing for the gaps
    between test points, in part where SOME do."""
    if not stops:
        return findings.untold(PAPER, "no run on limited data had its lowest test loss before its end")
    if doubt:
        return findings.untold(PAPER, doubt)
    if len(points) < FEWEST:
        few = f"only {wording.counted(len(points), 'run')} on limited data can be held against a bound"
        return findings.untold(PAPER, f"{few}, {FEWEST} are needed")
    own, count = above(points)
    found = stopping.share(count, len(points), INTERVAL)
    low, high = (f"{100 * found[end]:.0f}" for end in ("low", "high"))
    verdict = findings.FAILS if found["value"] < SOME else findings.PARTLY
    verdict = findings.HOLDS if found["value"] >= MOST else verdict
    return Finding(
        PAPER,
        f"{count} of {len(points)} runs, {100 * found['value']:.0f} % ({low} to {high})",
        verdict,
        f"{count} of {wording.counted(len(points), 'run')} that turned lie at or above the bound, {own} by "
        "the test point of lowest loss and the others by the gap to the one after it, where "
        f"{wording.percent(MOST)} is asked for",
    )


def left_words(stops, points, doubt):
    """What the left panel shows, and how far the stops lie above their bounds."""
    turned = f"{wording.counted(len(stops), 'run')} on limited data whose test loss rose again before the end"
    if not stops:
        return "Left: no run of experiment data on less than all tokens had its lowest loss before its end."
    gaps = "vertical bars: the gap between the test points before and after it"
    if not points:
        why = doubt or "every one of them lies at L(N, ∞) or below it"
        return (
            f"Left: step of the lowest test loss of {turned}, against D; {gaps}. The bound of eq. 5.7 is not "
            f"told, since {why}."
        )
    own, count = above(points)
    ratio = wording.readable(median(row["y"] / row["x"] for row in points))
    warming = sum(stop["step"] < (stop["run"].get("warmup") or 0) for stop in stops)
    early = f" {wording.counted(warming, 'run')} turned within the warm-up." if warming else ""
    without = len(stops) - len(points)
    left_out = (
        f" {wording.counted(without, 'run')} whose loss lies at L(N, ∞) or below it have no bound."
        if without
        else ""
    )
    return (
        f"Left: step of the lowest test loss of {len(points)} of {turned}, against its lower bound with the "
        f"study's α_S and S_c of L(N, S), L(N, D) as measured and L(N, ∞) of the fitted L(N, D); {gaps}; "
        "horizontal bars: one standard error of the loss. Dashed: where step and bound are equal. "
        f"{own} of {len(points)} lie at or above it, {count} if the gap is allowed for; in the median the "
        f"step is {ratio} times the bound.{early}{left_out}"
    )


def right_words(curves):
    """What the right panel shows."""
    tokens = sorted({row["D"] for row in curves})
    known = any("train" in row for row in curves)
    train = "; dashed: train loss, the mean since the test point before" if known else ""
    beads = "; beads: the lowest test loss" if any(row["lowest"] for row in curves) else ""
    span = f"{wording.counted(len(tokens), 'data set')}, {wording.si(tokens[0])} to {wording.si(tokens[-1])}"
    size = f"{wording.si(curves[0]['N'])} parameters"
    return f"Right: test loss (solid) of {size} on {span} tokens{train}{beads}."
