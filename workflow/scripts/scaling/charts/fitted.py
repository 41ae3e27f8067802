"""What the charts of a law of one input share: its points, its line and band, and lines of other slopes."""

import altair as alt

from scaling.charts import theme, wording
from scaling.forms import INVERSE
from scaling.laws import LAWS


def points(fit, runs):
    """The fit's own points: rows of run, shape, N, inputs, x (the first of them), y and its error's ends."""
    by_name, data = {run["run"]: run for run in runs}, fit["data"]
    errors = data["y_se"] or [None] * len(data["y"])
    found = []
    for at, (run, y, error) in enumerate(zip(data["run"], data["y"], errors, strict=True)):
        inputs = {name: values[at] for name, values in data["inputs"].items()}
        row = {**theme.described(by_name[run]), **inputs, "x": next(iter(inputs.values())), "y": y}
        found.append(theme.with_error(row, error))
    return found


def tooltip(rows, x, y):
    """The tooltip of points, ``rows``, whose axes are called ``x`` and ``y``."""
    values = [alt.Tooltip("x:Q", format=".4~g", title=x), alt.Tooltip("y:Q", format=".4~r", title=y)]
    return [*theme.run_tooltip(rows), *values]


def layers(fit, x, y, ends, others=()):
    """Layers of a fitted law: its band, its line, and lines of other slopes through the middle of the line.

    ``x`` and ``y`` make the encoding of a field; ``ends`` are those of the x axis, which the other slopes
    reach. The first of these is the paper's; ``others`` are more, as pairs (label, exponent). A fit that
    does not pass its certificate has none of them.
    """
    if not wording.certified(fit):
        return []
    band, (exponent,) = band_rows(fit), wording.exponents(fit)
    slopes = [("paper's slope", exponent["published"]), *others]
    value, interval = wording.readable(exponent["value"]), wording.percent(fit["interval"])
    over = "1/" if inverse(fit) else ""
    names = [
        f"fit, slope {over}{value}, with its {interval} band",
        *(f"{name}, {over}{wording.published(slope)}" for name, slope in slopes),
    ]
    legend = alt.Legend(
        **{"title": None, "orient": "bottom", "direction": "vertical", "columns": 1, "offset": 4},
        **{"symbolType": "stroke", "symbolSize": 500},
    )
    dashes = alt.Scale(domain=names, range=list(theme.DASHES[: len(names)]))
    place = {"x": x("x"), "y": y("y"), "strokeDash": alt.StrokeDash("line:N", scale=dashes, legend=legend)}
    reference = [
        {**row, "line": name}
        for name, (_, slope) in zip(names[1:], slopes, strict=True)
        for row in slope_rows(band, 1 / slope if over else slope, ends)
    ]
    area = theme.chart(band).mark_area(style="band", clip=True, aria=False)
    dashed = theme.chart(reference).mark_line(style="reference", clip=True, aria=False)
    line = theme.chart([{**row, "line": names[0]} for row in band]).mark_line(
        style="fit", clip=True, aria=False
    )
    return [area.encode(x=x("x"), y=y("low"), y2="high:Q"), dashed.encode(**place), line.encode(**place)]


def series(fit):
    """The fitted line as a part of a drawing's data, ("fit", rows) in a tuple; empty if it is not drawn."""
    return (("fit", band_rows(fit)),) if wording.certified(fit) else ()


def band_rows(fit):
    """The fitted line with its band, as rows of x, y, low, high."""
    band = fit["band"]
    return [
        {"x": x, "y": y, "low": low, "high": high}
        for x, y, low, high in zip(band["x"], band["y"], band["low"], band["high"], strict=True)
    ]


def slope_rows(band, exponent, ends):
    """A power law through the middle of a fitted line, falling or rising with it: rows at ``ends``."""
    middle = band[len(band) // 2]
    sign = 1 if band[-1]["y"] > band[0]["y"] else -1
    return [{"x": x, "y": middle["y"] * (x / middle["x"]) ** (sign * exponent)} for x in ends]


def inverse(fit):
    """Whether the exponent of a fitted power law stands under one, as α_B does, so that its slope is 1/α."""
    return LAWS[fit["law"]].form.terms[0].written is INVERSE


def adjustment(fit):
    """The B_crit(L) by which the points of a fitted law were adjusted, with its numbers, in words."""
    by = fit["adjusted_by"]
    B_star, alpha_B = wording.readable(by["B_star"]), wording.readable(by["alpha_B"])
    return f"B_crit(L) = {B_star} tokens / L^(1/{alpha_B})"


def allocated(fits):
    """What allocation.json says of C_min, counted as 6 N B S; {} where the study does not count so."""
    return fits["allocation"]["conventions"].get("6N", {}).get("adjusted", {})


def untold(number):
    """Why a number of allocation.json may not be told or drawn; None if it may."""
    if "missing" in number:
        return wording.greek(number["missing"])
    return None if number["certified"] else "a fit behind it does not pass its certificate"


def told(number, form=wording.readable):
    """A number of allocation.json, its interval in brackets, as ``form`` writes it; or why there is none."""
    reason = untold(number)
    if reason:
        return f"not told, since {reason}"
    value, low, high = (form(number[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def dashes(field, names, every):
    """The encoding of ``field`` by dashes; it has ``names``, some of ``every`` in the order of the dashes."""
    legend = alt.Legend(
        **{"title": None, "orient": "bottom", "direction": "vertical", "columns": 1, "offset": 4},
        **{"symbolType": "stroke", "symbolSize": 500},
    )
    styles = [theme.DASHES[every.index(name)] for name in names]
    return alt.StrokeDash(field, scale=alt.Scale(domain=[*names], range=styles), legend=legend)
