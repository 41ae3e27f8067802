"""How every chart looks: one config, axes with clean ticks, the colour of N, the layers of a fitted law.

Colours of text, fits, bands and references live in the config as named styles, so that another scheme is
another config and no chart changes.
"""

import math
from functools import partial

import altair as alt

from scaling.charts import wording
from scaling.laws import VARIABLES

WIDTH, HEIGHT = 560, 360
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
N_TITLE, D_TITLE, C_TITLE, S_TITLE = (
    "non-embedding parameters N",
    "training set D (tokens)",
    "training compute C (PF-days)",
    "training steps S",
)
LOSS_TITLE = "test loss (nats per token)"
INK, MUTED = alt.ExprRef("ink"), alt.ExprRef("muted")
"""Colours of the config by name, for scales and legends, which know no styles."""


def _config(page, ink, muted, grid, ramp, ramp_of_D):
    """A scheme: colours of page, text and grid; the parts of two ramps that show on the page."""
    return {
        "font": FONT,
        "background": page,
        "padding": 6,
        "params": [{"name": "ink", "value": ink}, {"name": "muted", "value": muted}],
        "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
        "range": {
            "ramp": {"scheme": "viridis", "extent": ramp},
            "heatmap": {"scheme": "plasma", "extent": ramp_of_D},
        },
        "text": {"color": ink},
        "axis": {
            "labelColor": muted,
            "labelFontSize": 11,
            "titleColor": ink,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "gridColor": grid,
            "domainColor": muted,
            "tickColor": muted,
            "tickSize": 4,
            "labelOverlap": "greedy",
            "labelSeparation": 5,
        },
        "legend": {
            "labelColor": ink,
            "labelFontSize": 11,
            "labelLimit": 340,
            "titleColor": ink,
            "titleFontSize": 11,
            "titleFontWeight": "normal",
            "titleLimit": 300,
            "columns": 7,
            "gradientThickness": 9,
            "gradientStrokeColor": None,
            "offset": 10,
            "symbolStrokeColor": ink,
        },
        "title": {"color": ink, "fontSize": 12, "fontWeight": "normal"},
        "style": {
            "fit": {"color": ink, "strokeWidth": 1.9},
            "band": {"color": ink, "fillOpacity": 0.13},
            "reference": {"color": muted, "strokeWidth": 1.6},
            "measured": {"color": ink},
            "bead": {"color": page, "stroke": ink, "strokeWidth": 0.9},
            "error": {"color": ink, "strokeWidth": 1.2},
            "note": {"color": muted, "fontSize": 11},
            "exponent": {"color": muted, "fontSize": 8.5},
        },
    }


CONFIG = _config("white", "#1b1f27", "#5c6470", "#e6e8ec", ramp=[0, 0.58], ramp_of_D=[0, 0.62])
DARK = _config("#14171c", "#e7e9ee", "#a4acb8", "#2b3038", ramp=[0.36, 1], ramp_of_D=[0.42, 1])
"""The same on a dark page, as style.css has it; files and print have CONFIG."""

DASHES = ([1, 0], [7, 4], [2, 3], [9, 3, 2, 3], [1, 2], [12, 4], [5, 2, 1, 2])
CATEGORY_COLOURS = ("#0079bd", "#d55e00", "#009e73", "#bb4488", "#9c7a00", "#2f97cb", "#7767cc", "#96633c")
"""Each at least 3:1 against the page, be it light or dark."""
CATEGORY_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]
CATEGORY_SHAPES += ["triangle-down", "triangle-right", "triangle-left"]
OTHER_RAMP = "heatmap"
"""The range of the config for what is ordered and is not N, in hues of its own."""
MOST_NAMED = 12
"""Sizes that a legend of N names one by one; more get a gradient."""


def chart(rows):
    """A chart of ``rows``, a list of dicts."""
    return alt.Chart(alt.InlineData(values=rows))


# --- axes -----------------------------------------------------------------------------------------------


def ticks(low, high, most=8):
    """Round values between ``low`` and ``high`` for a logarithmic axis, at most about ``most`` of them.

    Powers of ten over three decades or more; 1, 2, 5 over one or more; evenly spaced round values below.
    """
    for mantissas, fewest in (((1,), 3), ((1, 2, 5), 4)):
        values = _of_decades(low, high, mantissas)
        if len(values) >= fewest:
            return values[:: math.ceil(len(values) / most)]
    finest = math.floor(math.log10((high - low) / most))
    steps = (float(f"{m}e{power}") for power in (finest, finest + 1) for m in (1, 2, 5))
    step = next(step for step in steps if high - low <= most * step)
    return [float(f"{k * step:.10g}") for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _of_decades(low, high, mantissas):
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{m}e{power}") for power in powers for m in mantissas]
    return [value for value in values if low <= value <= high]


def domain(values, room=0.04):
    """Ends of a logarithmic axis that holds ``values``, and ``room``, a share of its length, at each end."""
    low, high = math.log(min(values)), math.log(max(values))
    margin = room * (high - low) or 0.1
    return [math.exp(low - margin), math.exp(high + margin)]


def labelled(values, label):
    """Tick ``values`` and the Vega expression that writes each with ``label``."""
    texts = ", ".join(f"'{label(value)}'" for value in values)
    return {"values": values, "labelExpr": f"[{texts}][indexof({values}, datum.value)]"}


def log_axis(channel, field, ends, title, label):
    """The encoding of ``field`` on a logarithmic ``channel`` (alt.X or alt.Y) between ``ends``."""
    return (
        channel(field, type="quantitative")
        .scale(type="log", domain=ends, nice=False)
        .axis(alt.Axis(title=title, **labelled(ticks(*ends), label)))
    )


def loss_axis(rows, title=LOSS_TITLE):
    """The encoding of a field on a logarithmic y that holds the losses of ``rows`` and their errors."""
    ends = domain([row[end] for row in rows for end in ("y", "low", "high") if end in row])
    return partial(log_axis, alt.Y, ends=ends, title=title, label="{:g}".format)


def compute_axis(field, ends):
    """The encoding of a compute ``field`` (PF-days) on x: tens, whose powers :func:`exponents` adds."""
    values = compute_ticks(ends)
    labels = labelled(values, lambda value: _mantissa_and_exponent(value)[0])
    axis = alt.Axis(title=C_TITLE, labelOffset=-6, **labels)
    return alt.X(field, type="quantitative").scale(type="log", domain=ends, nice=False).axis(axis)


def compute_ticks(ends):
    """Ticks of an axis of compute: powers of ten if two or more lie between ``ends``, else :func:`ticks`."""
    powers = _of_decades(*ends, (1,))
    return powers[:: math.ceil(len(powers) / 8)] if len(powers) >= 2 else ticks(*ends, most=3)


def exponents(ends):
    """Layers that raise the exponents over the tens of :func:`compute_axis`.

    Marks of their own, because fonts without superscripts (Liberation Sans) would change the label's face.
    """
    layers, y = [], alt.value("height")
    labels = {value: _mantissa_and_exponent(value) for value in compute_ticks(ends)}
    for mantissa in dict.fromkeys(mantissa for mantissa, _ in labels.values()):
        rows = [{"x": value, "exponent": e} for value, (m, e) in labels.items() if m == mantissa]
        half = sum(3.5 if character in "·." else 6.1 for character in mantissa) / 2
        text = chart(rows).mark_text(
            style="exponent", align="left", baseline="middle", dy=10, dx=half - 5, aria=False
        )
        layers.append(text.encode(x=compute_axis("x", ends), y=y, text="exponent:N"))
    return layers


def _mantissa_and_exponent(value):
    """'10' and its power, or '2·10' and its power, as texts."""
    mantissa, exponent = f"{value:.2e}".split("e")
    base = "10" if float(mantissa) == 1 else f"{float(mantissa):g}·10"
    return base, str(int(exponent)).replace("-", "−")


def N_colour(sizes, channel=alt.Fill, columns=None):
    """Colour by N, from small (dark) to large (light), of points (alt.Fill) or of lines (alt.Stroke).

    That of points has a legend, ``columns`` wide: of the sizes or, if they are many, a gradient. Vega would
    make symbols of it if lines shared it, so a chart with both resolves the legend of stroke as independent.
    """
    return _ordered("N", sizes, channel, N_TITLE, columns)


def D_colour(tokens, channel=alt.Fill, columns=None):
    """Colour by D, in hues of its own from few tokens (dark) to many (light); else as :func:`N_colour`."""
    colour = _ordered("D", tokens, channel, D_TITLE, columns)
    return colour.scale(type="log", domain=colour["scale"]["domain"], range=OTHER_RAMP)


def _ordered(field, values, channel, title, columns):
    values = sorted(set(values))
    ends = [values[0], values[-1]] if len(values) > 1 else [values[0] / 2, values[0] * 2]
    colour = channel(field, type="quantitative").scale(type="log", domain=ends)
    if channel is alt.Stroke:
        return colour.legend(None)
    if len(values) <= MOST_NAMED:
        form = {"type": "symbol", "symbolType": "circle", "symbolStrokeWidth": 0}
        form |= labelled(values, wording.si) | ({"columns": columns} if columns else {})
    else:
        length = alt.ExprRef("min(width, 240)")
        form = {"type": "gradient", "gradientLength": length, **labelled(ticks(*ends, most=5), wording.si)}
    return colour.legend(title=title, orient="top", direction="horizontal", **form)


def category(field, names, first=None):
    """Colour and shape by name, in the order of ``names``, as two encodings that share one legend.

    ``first``, if given, is one name more that stands before them in ink.
    """
    cycle = range(len(names))
    colours = [CATEGORY_COLOURS[i % len(CATEGORY_COLOURS)] for i in cycle]
    shapes = [CATEGORY_SHAPES[(i + 1) % len(CATEGORY_SHAPES)] for i in cycle]
    if first is not None:
        names, colours, shapes = [first, *names], [INK, *colours], [CATEGORY_SHAPES[0], *shapes]
    legend = alt.Legend(title=None, orient="top", symbolSize=60)
    return {
        "color": alt.Color(field).scale(domain=names, range=colours).legend(legend),
        "shape": alt.Shape(field).scale(domain=names, range=shapes).legend(legend),
    }


# --- rows and layers ------------------------------------------------------------------------------------


def described(run):
    """What every row says of its run: name, shape where it is known, and N."""
    shape = run.get("shape") or wording.shape(run)
    return {"run": run["run"], **({"shape": shape} if shape else {}), "N": run["N"]}


def run_tooltip(rows):
    """The part of a tooltip that says which run it is, for ``rows`` of :func:`described`."""
    shape = [alt.Tooltip("shape:N")] if any("shape" in row for row in rows) else []
    return [alt.Tooltip("run:N"), *shape, alt.Tooltip("N:Q", format=",d")]


def with_error(row, error):
    """``row`` with the ends of one standard error about its y; without them where the error is unknown."""
    if error is None or not math.isfinite(error):
        return row
    return {**row, "low": row["y"] - error, "high": row["y"] + error}


def bars(rows):
    """What a caption says of the bars of ``rows``: nothing where their errors are unknown."""
    return "Bars: one standard error. " if any("low" in row for row in rows) else ""


def error_bars(rows, x, y):
    """A layer of bars of one standard error either side, for the rows that have one."""
    bars = chart([row for row in rows if "low" in row])
    return bars.mark_rule(style="error", clip=True, aria=False).encode(x=x("x"), y=y("low"), y2="high:Q")


def least_compute_axis(field, ends):
    """:func:`compute_axis` of C_min; :func:`least_exponents` go with it."""
    encoding = compute_axis(field, ends)
    encoding["axis"]["title"] = VARIABLES["C_min"]
    return encoding


def least_exponents(ends):
    """Layers that raise the exponents over the tens of :func:`least_compute_axis`."""
    return [layer.encode(x=least_compute_axis("x", ends)) for layer in exponents(ends)]
