"""Test loss against model size at each D, and overfitting. Kaplan et al. 2020, section 4.2 and figure 9."""

from functools import partial

import altair as alt
import numpy as np

from scaling import overfit
from scaling.charts import findings, theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import DECIDED, FAILS, HOLDS, OPEN, PARTLY, Finding, untold
from scaling.laws import LAWS, overfitting
from scaling.provenance import UserError
from scaling.rows import finite

LARGER = 8
"""Times the model whose need of data the paper tells: about five times the data (section 1.1)."""
COLLAPSED, SCATTERED = 0.9, 0.5
"""Shares of the variance of ln(1 + δL): one curve that explains so much is one, or so little is none."""
TOLERATED = 0.02
"""Overfitting within which seeds differ (the paper's eq. 4.4 keeps it so)."""
LIMITS = MEASURED, OF_LAW = "measured", "law's"
CURVE_POINTS = 60
SIZE = {"width": 250, "height": 250}


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_ND."""
    fit = fits["L_ND"]
    runs = [run for run in converged(tables["runs"], "data") if finite(run["best_test_loss"])]
    losses = [measured(run) for run in runs]
    points = excesses(fit, runs)
    if not points:
        raise UserError(
            "no run of experiment data has one of its size on more data beside it: add `D: all` to its grid"
        )
    lines, curve = [], []
    if holds(fit):
        lines, curve = law_lines(fit, losses), law_curve(fit, points)
    shares = {limit: explained(fit, of_limit(points, limit)) for limit in LIMITS}
    chart = alt.concat(
        loss_panel(losses, lines), excess_panel(points, curve, data_exponent(fit)["value"]), columns=2
    ).resolve_scale(fill="independent", stroke="independent")
    caption = sentences(fit, runs, points, shares)
    description = (
        "Left: test loss against non-embedding parameters, both logarithmic, by data. Right: overfitting in "
        f"per cent against a ratio of parameters and data. {caption}"
    )
    data = (("loss", losses), ("overfitting", points))
    data += (("fit", [*lines, *curve]),) if lines else ()
    return Drawing(chart, description, caption, data, finding(fit, shares))


# --- rows -----------------------------------------------------------------------------------------------


def measured(run):
    """A row of the left panel: N, D, the lowest test loss y with its error's ends."""
    row = {**theme.described(run), "D": run["D"], "x": run["N"], "y": run["best_test_loss"]}
    return theme.with_error(row, run["best_test_loss_se"])


def excesses(fit, runs):
    """Rows of the right panel: x = N^(α_N/α_D) / D, δL in per cent as y with its error, and its ``limit``.

    That is what stands for L(N, ∞): the loss of the same size on the most data and, where those runs are
    limited by compute, so that the law was not fitted to them, also the law's own limit if it holds.
    """
    most, less, exponent = overfit.on_most(runs), overfit.on_less(runs), data_exponent(fit)["value"]
    pairs = [
        (MEASURED, run, overfit.excess(run, limit["best_test_loss"], limit["best_test_loss_se"]))
        for run in less
        if (limit := most.get(run["N"]))
    ]
    if holds(fit) and not comparable(fit, most.values()):
        found = values(fit)
        limits = {run["N"]: (found["N_c"] / run["N"]) ** found["alpha_N"] for run in less}
        pairs += [(OF_LAW, run, overfit.excess(run, limits[run["N"]])) for run in less]
    rows = []
    for limit, run, found in pairs:
        row = {**theme.described(run), "D": run["D"], "limit": limit, "x": run["N"] ** exponent / run["D"]}
        error = None if found["se"] is None else 100 * found["se"]
        rows.append(theme.with_error({**row, "y": 100 * found["value"]}, error))
    return rows


def comparable(fit, limits):
    """Whether runs on the most data are limited by data too: the law was fitted to one of them or more."""
    return any(run["run"] in fit["data"]["run"] for run in limits)


def of_limit(points, limit):
    """Those of ``points`` whose L(N, ∞) is ``limit``."""
    return [row for row in points if row["limit"] == limit]


def deciding(points):
    """The limit by which the claim is decided: the law's where the measured is not comparable."""
    return OF_LAW if of_limit(points, OF_LAW) else MEASURED


def data_exponent(fit):
    """α_N/α_D of the fit; the published one where the fit does not hold."""
    known = LAWS["L_ND"].derived["data_exponent"].published
    return fit["derived"]["data_exponent"] if holds(fit) else {"value": known}


def holds(fit):
    """Whether the fit passed its certificate and implies an exponent of the data."""
    return wording.certified(fit) and "data_exponent" in fit["derived"]


def values(fit):
    """The fitted parameters, name -> number."""
    return {name: found["value"] for name, found in fit["parameters"].items()}


def law_lines(fit, losses):
    """Rows of D, N, x and y of the law at each D, over all sizes."""
    grid = np.geomspace(min(row["N"] for row in losses), max(row["N"] for row in losses), CURVE_POINTS)
    return [
        {"panel": "loss", "D": D, "N": float(N), "x": float(N), "y": float(loss)}
        for D in sorted({row["D"] for row in losses})
        for N, loss in zip(grid, LAWS["L_ND"].predict({"N": grid, "D": D}, values(fit)), strict=True)
    ]


def law_curve(fit, points):
    """Rows of x and y of the law's δL (eq. 4.3), in per cent, over the measured range of x."""
    exponent, N = data_exponent(fit)["value"], points[0]["N"]
    grid = np.geomspace(min(row["x"] for row in points), max(row["x"] for row in points), CURVE_POINTS)
    return [
        {"panel": "overfitting", "x": float(x), "y": float(100 * y)}
        for x, y in zip(grid, overfitting(N, N**exponent / grid, **values(fit)), strict=True)
    ]


def explained(fit, points):
    """How much of the variance of ln(1 + δL) the law's curve explains; None where it cannot be told."""
    if not holds(fit) or not points:
        return None
    N, D, y = np.array([[row["N"], row["D"], row["y"]] for row in points], dtype=float).T
    return overfit.explained(np.log1p(y / 100), np.log1p(overfitting(N, D, **values(fit))))


# --- panels ---------------------------------------------------------------------------------------------


def loss_panel(losses, lines):
    """Loss against N, in the colours of D, with the law at each."""
    x = partial(
        theme.log_axis,
        alt.X,
        ends=theme.domain([row["x"] for row in losses]),
        title=theme.N_TITLE,
        label=wording.si,
    )
    y, tokens = theme.loss_axis(losses), {row["D"] for row in losses}
    drawn = theme.chart(lines).mark_line(strokeWidth=1.6, clip=True, aria=False)
    marks = theme.chart(losses).mark_point(filled=True, size=45, opacity=1)
    tooltip = [
        *theme.run_tooltip(losses),
        alt.Tooltip("D:Q", format=",d"),
        alt.Tooltip("y:Q", format=".4f", title="nats per token"),
    ]
    layers = [
        theme.error_bars(losses, x, y),
        marks.encode(x=x("x"), y=y("y"), fill=theme.D_colour(tokens, columns=4), tooltip=tooltip),
    ]
    if lines:
        stroke = theme.D_colour(tokens, alt.Stroke)
        layers.insert(0, drawn.encode(x=x("x"), y=y("y"), stroke=stroke, detail="D:Q"))
    return alt.layer(*layers).resolve_legend(stroke="independent").properties(**SIZE)


def excess_panel(points, curve, exponent):
    """δL against the ratio of parameters and data, in the colours of N, with the law's curve."""
    ends = theme.domain([row["x"] for row in points])
    title = f"N^{wording.readable(exponent)} / D"
    x = partial(
        theme.log_axis, alt.X, ends=ends, title=title, label=lambda value: wording.significant(value, 1)
    )
    heights = [0, *(row[end] for row in [*points, *curve] for end in ("y", "low", "high") if end in row)]
    room = 0.05 * (max(heights) - min(heights))
    y_ends = [min(heights) - room, max(heights) + room]

    def y(field):
        axis = alt.Axis(title="overfitting δL (%)", tickCount=6)
        return alt.Y(field, type="quantitative").scale(domain=y_ends, nice=False).axis(axis)

    zero = theme.chart([{"y": 0}]).mark_rule(style="reference", strokeDash=theme.DASHES[2], aria=False)
    line = theme.chart(curve).mark_line(style="fit", clip=True, aria=False)
    tooltip = [
        *theme.run_tooltip(points),
        alt.Tooltip("D:Q", format=",d"),
        alt.Tooltip("limit:N", title="L(N, ∞)"),
        alt.Tooltip("y:Q", format=".2f", title="δL (%)"),
    ]
    sizes, limit = {row["N"] for row in points}, deciding(points)
    filled, rings = (
        theme.chart(rows).encode(x=x("x"), y=y("y"), tooltip=tooltip)
        for rows in (of_limit(points, limit), [row for row in points if row["limit"] != limit])
    )
    return (
        alt.layer(
            zero.encode(y=y("y")),
            *([line.encode(x=x("x"), y=y("y"))] if curve else []),
            theme.error_bars(of_limit(points, limit), x, y),
            rings.mark_point(filled=False, size=40, strokeWidth=1.3).encode(
                stroke=theme.N_colour(sizes, alt.Stroke)
            ),
            filled.mark_point(filled=True, size=45, opacity=1).encode(fill=theme.N_colour(sizes, columns=4)),
        )
        .resolve_legend(stroke="independent")
        .properties(**SIZE)
    )


# --- words ----------------------------------------------------------------------------------------------


def sentences(fit, runs, points, shares):
    """The caption."""
    tokens, sizes = {run["D"] for run in runs}, {run["N"] for run in runs}
    shown = of_limit(points, deciding(points))
    above = sum("low" in row and row["y"] > DECIDED * (row["y"] - row["low"]) for row in shown)
    lines = " Lines: the law at each D, fitted to those that were seen whole." if holds(fit) else ""
    return (
        f"Left: the lowest test loss of {wording.counted(len(runs), 'run')}, {len(sizes)} sizes on "
        f"{len(tokens)} data sets.{lines} Right: δL = L(N, D) / L(N, ∞) − 1 of {len(shown)} runs that saw "
        f"their D once or more, above zero by {DECIDED:g} standard errors in {above}. "
        f"{limits(fit, runs, points)} {curve_words(fit, sizes, shares)}"
        f"{theme.bars([measured(run) for run in runs])}{wording.finding(fit)}"
    )


def limits(fit, runs, points):
    """What stands for L(N, ∞), in words."""
    most = list(overfit.on_most(runs).values())
    same = f"the loss of the same size on {wording.si(most[0]['D'])} tokens (the paper's: on 22B)"
    epochs = max(run["epochs"] for run in most)
    if comparable(fit, most):
        return f"L(N, ∞) is {same}."
    rates = [{run.get("dropout") or 0 for run in found} for found in (overfit.on_less(runs), most)]
    less, more = (" or ".join(f"{rate:g}" for rate in sorted(found)) for found in rates)
    dropout = f", and had dropout {more} in place of {less}" if less != more else ""
    limited = f"runs that saw those {epochs:.2g} times, so that compute limits them{dropout}"
    if deciding(points) == MEASURED:
        return f"L(N, ∞) is {same}, of {limited}."
    return f"L(N, ∞) is the law's; rings: it is {same}, of {limited}."


def curve_words(fit, sizes, shares):
    """What the right panel's curve is, and how much data it asks for."""
    if not holds(fit):
        return "The ratio is that of the paper's exponents. "
    largest, known = max(sizes), {name: p.published for name, p in LAWS["L_ND"].parameters.items()}
    D, paper = (
        wording.si(overfit.enough_data(largest, TOLERATED, **found), 2) for found in (values(fit), known)
    )
    known_shares = {limit: share for limit, share in shares.items() if share is not None}
    told = f", which explains {of_each(known_shares)}" if known_shares else ""
    return (
        f"Curve: that of the law (equation 4.3){told}. By it, {wording.si(largest)} parameters overfit by "
        f"{wording.percent(TOLERATED)} on {D} tokens (by the paper's constants on {paper}). "
    )


def told_share(share):
    """A share with its interval: '93.1 % (88.0 to 97.2)'."""
    value, low, high = (wording.readable(100 * share[key]) for key in ("value", "low", "high"))
    return f"{value} % ({low} to {high})"


def finding(fit, shares):
    """The :class:`Finding`: one curve describes the overfitting, and asks for as much data as the paper's.

    It holds where the fit is certified, its forecast lies inside its interval, its curve explains COLLAPSED
    of the variance of ln(1 + δL) or more, whatever stands for L(N, ∞), and the interval of
    LARGER^(α_N/α_D) contains the paper's; it fails where the curve explains less than SCATTERED by each.
    ``shares`` are those explained, by what stands for L(N, ∞); None where it cannot be told.
    """
    known = LAWS["L_ND"].derived["data_exponent"].published
    paper = f"{LARGER}× the model, {LARGER**known:.2g}× the data"
    if not holds(fit):
        reason = findings.uncertified(fit) if not wording.certified(fit) else "the fit implies no α_N/α_D"
        return untold(paper, reason)
    found = fit["derived"]["data_exponent"]
    value, low, high = (wording.significant(LARGER ** found[key], 2) for key in ("value", "low", "high"))
    times = f"{LARGER}× the model, {value}× the data ({low} to {high})"
    known_shares = {limit: share for limit, share in shares.items() if share is not None}
    if not known_shares:
        return Finding(paper, times, OPEN, "too few runs are limited by data, or they overfit all alike")
    forecast, because = findings.of_forecast(fit)
    least, most = (pick(share["value"] for share in known_shares.values()) for pick in (min, max))
    contained = found["low"] <= known <= found["high"]
    whole = forecast == HOLDS and least >= COLLAPSED and contained
    return Finding(
        paper,
        times,
        FAILS if most < SCATTERED else HOLDS if whole else PARTLY,
        f"one curve explains {of_each(known_shares)} ({wording.percent(COLLAPSED)} are asked for); the "
        f"interval of the factor {'contains' if contained else 'does not contain'} the paper's "
        f"{LARGER**known:.2g}; {because}",
    )


def of_each(shares):
    """Shares explained, by what stands for L(N, ∞): '63 % (…) of the variance of ln(1 + δL) with …'."""
    told = [f"{told_share(share)}{{}} with the {limit} L(N, ∞)" for limit, share in shares.items()]
    return " and ".join(told).replace("{}", " of the variance of ln(1 + δL)", 1).replace("{}", "")
