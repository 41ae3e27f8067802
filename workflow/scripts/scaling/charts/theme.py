"""How every chart looks: one config, axes with clean ticks, the colour of N, the layers of a fitted law.

Colours of text, fits, bands and references live in the config as named styles, so that another scheme is
another config and no chart changes.
"""

import math
from functools import partial

import altair as alt

from scaling.charts import wording

WIDTH, HEIGHT = 560, 360
INK, MUTED, GRID = "#1b1f27", "#5c6470", "#e6e8ec"
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
N_TITLE, D_TITLE, C_TITLE = (
    "non-embedding parameters N",
    "training set D (tokens)",
    "training compute C (PF-days)",
)
LOSS_TITLE = "test loss (nats per token)"

CONFIG = {
    "font": FONT,
    "background": "white",
    "padding": 6,
    "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
    "range": {"ramp": {"scheme": "viridis", "extent": [0, 0.9]}},
    "axis": {
        "labelColor": MUTED,
        "labelFontSize": 11,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "gridColor": GRID,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "tickSize": 4,
        "labelOverlap": "greedy",
    },
    "legend": {
        "labelColor": INK,
        "labelFontSize": 11,
        "labelLimit": 340,
        "titleColor": INK,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titleLimit": 300,
        "gradientThickness": 9,
        "gradientStrokeColor": None,
        "offset": 10,
        "symbolStrokeColor": INK,
    },
    "title": {"color": INK, "fontSize": 12, "fontWeight": "normal"},
    "style": {
        "fit": {"color": INK, "strokeWidth": 1.9},
        "band": {"color": INK, "fillOpacity": 0.13},
        "reference": {"color": MUTED, "strokeWidth": 1.6},
        "measured": {"color": INK},
        "bead": {"color": "white", "stroke": INK, "strokeWidth": 0.9},
        "error": {"color": INK, "strokeWidth": 1.2},
        "note": {"color": MUTED, "fontSize": 11},
        "exponent": {"color": MUTED, "fontSize": 8.5},
    },
}

DASHES = ([1, 0], [7, 4], [2, 3], [9, 3, 2, 3])
CATEGORY_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa3377", "#9c7a00", "#3ba7dd", "#6f5fc6", "#7a4b2a")
CATEGORY_SHAPES = (
    *(
        "circle",
        "square",
        "triangle-up",
        "diamond",
        "cross",
        "triangle-down",
        "triangle-right",
        "triangle-left",
    ),
)
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
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas, fewest in (((1,), 3), ((1, 2, 5), 4)):
        values = [float(f"{m}e{power}") for power in powers for m in mantissas]
        values = [value for value in values if low <= value <= high]
        if len(values) >= fewest:
            return values[:: math.ceil(len(values) / most)]
    step = next(
        float(f"{m}e{power}")
        for power in range(powers[0] - 4, powers[-1] + 1)
        for m in (1, 2, 5)
        if (high - low) / float(f"{m}e{power}") <= most
    )
    return [float(f"{k * step:.10g}") for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


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
    axis = log_axis(alt.X, field, ends, C_TITLE, "{:.0e}".format)
    if powers(ends):
        axis = axis.axis(alt.Axis(title=C_TITLE, values=powers(ends), labelExpr="'10'", labelOffset=-6))
    return axis


def exponents(ends):
    """Layers that raise the exponents over the tens of :func:`compute_axis`: none for a short axis.

    Marks of their own, because fonts without superscripts (Liberation Sans) would change the label's face.
    """
    rows = [{"x": power, "exponent": f"{math.log10(power):.0f}".replace("-", "−")} for power in powers(ends)]
    text = chart(rows).mark_text(style="exponent", align="left", baseline="middle", dy=10, dx=1, aria=False)
    return [text.encode(x=compute_axis("x", ends), y=alt.value("height"), text="exponent:N")] if rows else []


def powers(ends):
    """The ticks between ``ends`` if all are powers of ten, else an empty list."""
    values = ticks(*ends)
    return values if all(f"{value:.0e}".startswith("1e") for value in values) else []


def N_colour(sizes, field="N"):
    """Colour by N, from small (dark) to large (light), with a legend of the sizes or, if many, a gradient."""
    sizes = sorted(set(sizes))
    ends = [sizes[0], sizes[-1]] if len(sizes) > 1 else [sizes[0] / 2, sizes[0] * 2]
    if len(sizes) <= MOST_NAMED:
        columns = alt.ExprRef(f"width < 420 ? 4 : {len(sizes)}")
        form = {"type": "symbol", "symbolType": "circle", "columns": columns, **labelled(sizes, wording.si)}
    else:
        length = alt.ExprRef("min(width, 240)")
        form = {"type": "gradient", "gradientLength": length, **labelled(ticks(*ends, most=5), wording.si)}
    return (
        alt.Color(field, type="quantitative")
        .scale(type="log", domain=ends)
        .legend(title=N_TITLE, orient="top", direction="horizontal", **form)
    )


def category(field, names, first=None):
    """Colour and shape by name, in the order of ``names``, as two encodings that share one legend.

    ``first``, if given, is one name more that stands before them in ink.
    """
    cycle = range(len(names))
    colours = [CATEGORY_COLOURS[i % len(CATEGORY_COLOURS)] for i in cycle]
    shapes = [CATEGORY_SHAPES[(i + 1) % len(CATEGORY_SHAPES)] for i in cycle]
    if first is not None:
        names, colours, shapes = [first, *names], [INK, *colours], [CATEGORY_SHAPES[0], *shapes]
    legend = alt.Legend(title=None, orient="top", columns=alt.ExprRef("width < 420 ? 3 : 8"), symbolSize=60)
    return {
        "color": alt.Color(field).scale(domain=names, range=colours).legend(legend),
        "shape": alt.Shape(field).scale(domain=names, range=shapes).legend(legend),
    }


# --- rows and layers ------------------------------------------------------------------------------------


def described(run):
    """What every row says of its run: name, shape and N."""
    return {"run": run["run"], "shape": run.get("shape") or wording.shape(run), "N": run["N"]}


def run_tooltip():
    """The part of a tooltip that says which run it is, for rows of :func:`described`."""
    return [alt.Tooltip("run:N"), alt.Tooltip("shape:N"), alt.Tooltip("N:Q", format=",d")]


def with_error(row, error):
    """``row`` with the ends of one standard error about its y; without them where the error is unknown."""
    if error is None or not math.isfinite(error):
        return row
    return {**row, "low": row["y"] - error, "high": row["y"] + error}


def error_bars(rows, x, y):
    """A layer of bars of one standard error either side, for the rows that have one."""
    bars = chart([row for row in rows if "low" in row])
    return bars.mark_rule(style="error", clip=True, aria=False).encode(x=x("x"), y=y("low"), y2="high:Q")
