"""The power law L(N) beside a logarithm of N fitted to the same points. Kaplan et al. 2020, figure 23."""

from functools import partial

import altair as alt
import numpy as np

from scaling.charts import findings, fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import DECIDED, FAILS, HOLDS, OPEN, Finding, untold
from scaling.laws import LAWS

POWER, LOGARITHM = FORMS = "power law", "logarithm"
BEYOND = 10
"""How far the lines reach beyond the sizes, as a factor at either end."""
CURVE_POINTS = 80
PAPER = "a power law fits better, by eye"
"""What the paper says of its figure 23, which has no number."""
SIZE = {"width": 250, "height": 250}


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_N."""
    fit = fits["L_N"]
    points = fitted.points(fit, tables["runs"])
    forms = fitted_forms(fit)
    N = np.array([point["x"] for point in points])
    lines = curves(forms, np.geomspace(N.min() / BEYOND, N.max() * BEYOND, CURVE_POINTS))
    panels, residuals = [line_panel(points, lines)], departures(forms, points)
    if residuals:
        panels.append(residual_panel(residuals))
    caption = sentences(fit, forms, points)
    description = f"Test loss against non-embedding parameters, both logarithmic, with two curves. {caption}"
    data = (("measured", points), *([("residual", residuals), ("fit", lines)] if forms else []))
    own = dict.fromkeys(("color", "shape", "strokeDash"), "independent")
    chart = alt.concat(*panels, columns=2).resolve_scale(**own)
    return Drawing(chart, description, caption, data, finding(fit))


def fitted_forms(fit):
    """The functions of N, name -> f((P,)) -> (P,), of the law and of its logarithm, those that hold."""
    found = {}
    if wording.certified(fit):
        power = {name: parameter["value"] for name, parameter in fit["parameters"].items()}
        found[POWER] = lambda N: LAWS["L_N"].predict({"N": N}, power)
    rival = findings.logarithm(fit)
    if rival:
        k, N_0 = (rival["parameters"][name] for name in ("k", "N_0"))
        found[LOGARITHM] = lambda N: k * np.log(N_0 / N)
    return found


def curves(forms, N):
    """Rows of form, x and y of each form at ``N`` (P,), as far as its loss is above zero."""
    return [
        {"form": name, "x": float(x), "y": float(y)}
        for name, form in forms.items()
        for x, y in zip(N, form(N), strict=True)
        if y > 0
    ]


def departures(forms, points):
    """Rows of form, x and y: how far each point lies above each form, in per cent, with its error's ends."""
    rows = []
    for name, form in forms.items():
        for point, line in zip(points, form(np.array([p["x"] for p in points])).tolist(), strict=True):
            row = {key: point[key] for key in ("run", "shape", "N", "x") if key in point} | {"form": name}
            row["y"] = 100 * (point["y"] / line - 1)
            error = 100 * (point["high"] - point["y"]) / line if "high" in point else None
            rows.append(theme.with_error(row, error))
    return rows


# --- panels ---------------------------------------------------------------------------------------------


def line_panel(points, lines):
    """The points and the forms, which reach beyond them."""
    ends = theme.domain([row["x"] for row in [*points, *lines]], room=0.01)
    x = partial(theme.log_axis, alt.X, ends=ends, title=theme.N_TITLE, label=wording.si)
    y = theme.loss_axis([*points, *lines])
    marks = theme.chart(points).mark_point(style="measured", filled=True, size=45, opacity=1)
    layers = [
        theme.error_bars(points, x, y),
        marks.encode(x=x("x"), y=y("y"), tooltip=fitted.tooltip(points, "N", "nats per token")),
    ]
    if lines:
        names = [name for name in FORMS if any(row["form"] == name for row in lines)]
        drawn = theme.chart(lines).mark_line(strokeWidth=1.9, clip=True, aria=False)
        legend = alt.Legend(title=None, orient="top", symbolSize=400)
        styles = alt.Scale(domain=names, range=list(theme.DASHES[: len(names)]))
        dashed = alt.StrokeDash("form:N", scale=styles, legend=legend)
        colour = theme.category("form:N", names)["color"].legend(legend)
        layers.insert(0, drawn.encode(x=x("x"), y=y("y"), strokeDash=dashed, color=colour))
    return alt.layer(*layers).properties(**SIZE)


def residual_panel(rows):
    """How far the points lie from each form."""
    ends = theme.domain([row["x"] for row in rows])
    x = partial(theme.log_axis, alt.X, ends=ends, title=theme.N_TITLE, label=wording.si)
    heights = [0, *(row[end] for row in rows for end in ("y", "low", "high") if end in row)]
    room = 0.06 * (max(heights) - min(heights))

    def y(field):
        scale = alt.Y(field, type="quantitative").scale(
            domain=[min(heights) - room, max(heights) + room], nice=False
        )
        return scale.axis(alt.Axis(title="measured loss above the curve (%)", tickCount=6))

    names = [name for name in FORMS if any(row["form"] == name for row in rows)]
    mark = theme.category("form:N", names)
    tooltip = ["form:N", *theme.run_tooltip(rows), alt.Tooltip("y:Q", format="+.2f", title="above it (%)")]
    base = theme.chart(rows).encode(x=x("x"), y=y("y"), color=mark["color"])
    zero = theme.chart([{"y": 0}]).mark_rule(style="reference", aria=False)
    return alt.layer(
        zero.encode(y=y("y")),
        base.mark_line(strokeWidth=1, aria=False).encode(detail="form:N"),
        theme.error_bars(rows, x, y).encode(color=mark["color"]),
        base.mark_point(filled=True, size=55, opacity=1).encode(shape=mark["shape"], tooltip=tooltip),
    ).properties(**SIZE)


# --- words ----------------------------------------------------------------------------------------------


def sentences(fit, forms, points):
    """The caption."""
    rival, words = findings.logarithm(fit), f"{theme.bars(points)}{wording.finding(fit)}"
    if forms:
        words = (
            f"Left: the loss of {wording.counted(len(points), 'size')}; lines reach {BEYOND} times beyond "
            f"them. Right: how far each lies from the curves drawn. {words}"
        )
    if not rival:
        return f"{words} The logarithm is not drawn, since {unfitted(fit)}."
    k, N_0 = (wording.readable(rival["parameters"][name]) for name in ("k", "N_0"))
    words = f"{words} The logarithm: L = k · ln(N_0 / N) with k = {k} and N_0 = {N_0}."
    return f"{words} {told(fit)}. {parting(forms, points)}." if len(forms) == len(FORMS) else words


def parting(forms, points):
    """What the two forms say BEYOND the sizes, a sentence without its full stop."""
    sizes = [point["x"] for point in points]
    ends = [min(sizes) / BEYOND, max(sizes) * BEYOND]
    far = [
        f"{' and '.join(f'{form(np.array([N]))[0]:.2f}' for form in forms.values())} nats at {wording.si(N)}"
        for N in ends
    ]
    return f"Beyond the sizes the two part: {', '.join(far)} parameters"


def told(fit):
    """How well each form predicts runs left out of its fit, a sentence without its full stop."""
    law, error = fit["rivals"][0], findings.logarithm(fit)
    return (
        f"Predicting runs left out of the fit, the power law errs by {percent(law['error_percent'])} and the "
        f"logarithm by {percent(error['error_percent'])}"
    )


def percent(value):
    """A percentage to two digits."""
    return f"{wording.significant(value, 2)} %"


def unfitted(fit):
    """Why there is no logarithm to compare with, a clause."""
    for rival in fit["rivals"]:
        if rival["name"] == "logarithm":
            if "unfitted" in rival:
                return f"it could not be fitted: {rival['unfitted']}"
            if not wording.certified(rival):
                return f"its fit is not certified: {wording.reasons(rival)}"
            return "the law errs by an unknown amount on runs left out"
    return "none was fitted"


def finding(fit):
    """The :class:`Finding`: the form that errs less on runs left out of its fit fits better.

    Their difference, paired by run, has to be DECIDED standard errors or more; otherwise it cannot be told.
    """
    if not wording.certified(fit):
        return untold(PAPER, findings.uncertified(fit))
    rival = findings.logarithm(fit)
    if not rival:
        return untold(PAPER, f"there is no logarithm to compare with, since {unfitted(fit)}")
    errors = [entry["error_percent"] for entry in (fit["rivals"][0], rival)]
    value, se = (rival["difference"][key] for key in ("value", "se"))
    measured = f"power law {percent(errors[0])}, logarithm {percent(errors[1])} on runs left out"
    verdict = OPEN
    if findings.beats_logarithm(fit) or findings.loses_to_logarithm(fit):
        verdict = HOLDS if value > 0 else FAILS
    limit = (
        f"less than {DECIDED:g} standard errors"
        if verdict == OPEN
        else f"{DECIDED:g} standard errors or more"
    )
    because = (
        f"on runs left out of the fit the logarithm errs {'more' if value > 0 else 'less'} by "
        f"{findings.points(abs(value))} ± {findings.points(se)} percentage points, {limit}"
    )
    return Finding(PAPER, measured, verdict, because)
