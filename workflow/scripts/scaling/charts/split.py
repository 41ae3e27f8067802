"""How a budget that grows splits between size, batch and serial steps. Kaplan et al. 2020, figure 3."""

from itertools import pairwise

import altair as alt
import numpy as np

from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import FAILS, HOLDS, PARTLY, Finding, untold
from scaling.charts.N_opt_Cmin import MOST, place
from scaling.laws import LAWS

PARTS = {
    "S": ("steps", "S_min", "p_S"),
    "B": ("batch", "B_opt", "p_B"),
    "N": ("model", "N_opt_Cmin", "p_N"),
}
"""What a budget is spent on, from the bottom of the stack, with the law and the exponent of each."""
ROADS = {"law": "optimum of L(N, S_min)", "envelope": "envelope"}
PAPER = "paper's powers"
ROUNDING = 0.02
"""By how much powers may miss a sum of one by rounding alone."""


def draw(tables, fits):
    """The :class:`Drawing`, from the fit allocation."""
    budget, found = fits["allocation"]["budget"], fitted.allocated(fits)
    powers, absent = {}, {}
    for road, name in ROADS.items():
        numbers = {part: by_road(found, "exponents", part, road) for part in PARTS}
        reasons = dict.fromkeys(filter(None, map(fitted.untold, numbers.values())))
        if reasons:
            absent[name] = "; ".join(reasons)
        else:
            powers[name] = {part: number["value"] for part, number in numbers.items()}
    powers[PAPER] = {part: LAWS[law].parameters[p].published for part, (_, law, p) in PARTS.items()}
    rows = {name: curves(name, exponents, budget) for name, exponents in powers.items()}
    growths = [row.get("top", row["y"]) for part in rows.values() for row in part]
    y_ends = [min(0.02, min(growths) / 30), max(budget * 3, max(growths) * 30)]
    panels = [panel(name, part, y_ends) for name, part in rows.items()]
    caption = sentences(budget, found, powers, absent)
    description = (
        f"Growth of model, batch and steps as compute grows {wording.words(budget)} times, all logarithmic, "
        f"in {wording.counted(len(panels), 'panel')}. {caption}"
    )
    data = [row for part in rows.values() for row in part]
    chart, finding = alt.concat(*panels, columns=3), judged(found, powers, absent)
    return Drawing(chart, description, caption, (("fit", data),), finding)


def by_road(found, kind, part, road):
    """A number of allocation.json by a road, or {missing}."""
    absent = {"missing": "this study does not count compute as 6 N B S"}
    return found.get(kind, {}).get(part, {}).get(road, absent)


def stacks(exponents):
    """Whether powers stack: none of them falls."""
    return min(exponents.values()) >= 0


def curves(name, exponents, budget):
    """Rows of road, part, x and y, the growth of a part; of those that stack, bottom and top of its area."""
    rows, below = [], 0.0
    for part, exponent in exponents.items():
        for x in np.geomspace(1, budget, 10).tolist():
            row = {"road": name, "part": PARTS[part][0], "x": x, "y": x**exponent}
            if stacks(exponents):
                row |= {"bottom": x**below, "top": x ** (below + exponent)}
            rows.append(row)
        below += exponent
    return rows


def panel(name, rows, y_ends):
    """One road: areas of a stack or, where a part shrinks, a line for each part; both named in place."""
    budget = rows[-1]["x"]

    def axis(channel, field, ends, title):
        scale = channel(field, type="quantitative").scale(type="log", domain=ends, nice=False)
        values = [1000.0**k for k in range(10) if 1000**k <= budget]
        return scale.axis(
            alt.Axis(title=title, **theme.labelled(values, lambda value: f"{wording.si(value)}×"))
        )

    def y(field):
        return axis(alt.Y, field, y_ends, "growth")

    x = axis(alt.X, "x", [1, budget], "growth of compute C_min")
    colours = alt.Scale(domain=[word for word, *_ in PARTS.values()], range=theme.CATEGORY_COLOURS[:3])
    tooltip = [
        alt.Tooltip("part:N"),
        alt.Tooltip("x:Q", format=".3~g", title="growth of compute"),
        alt.Tooltip("y:Q", format=".3~g", title="growth"),
    ]
    where = {"x": x, "tooltip": tooltip}
    if "top" in rows[0]:
        area = theme.chart(rows).mark_area(opacity=0.4, line=False)
        marks = area.encode(
            y=y("bottom"), y2="top:Q", fill=alt.Fill("part:N", scale=colours, legend=None), **where
        )
    else:
        line = theme.chart(rows).mark_line(strokeWidth=2.2)
        marks = line.encode(y=y("y"), stroke=alt.Stroke("part:N", scale=colours, legend=None), **where)
    text = theme.chart([label(row) for row in rows if row["x"] == budget]).mark_text(
        style="measured", align="right", dx=-4, fontSize=11, lineBreak="\n", aria=False
    )
    return alt.layer(marks, text.encode(x=x, y=y("y"), text="text:N")).properties(
        width=150, height=260, title=name
    )


def label(row):
    """Where a part's name and growth stand: in its area or, where it is low, below it; beside its line."""
    text = [row["part"], growth(row["y"])]
    if "top" not in row:
        return {"x": row["x"], "y": row["y"] * (4 if row["y"] >= 1 else 1 / 4), "text": " ".join(text)}
    if row["bottom"] == 1 and row["top"] < 30:
        return {"x": row["x"], "y": 1 / 4, "text": " ".join(text)}
    high = row["top"] / row["bottom"] > 1e4
    y = row["bottom"] ** 0.7 * row["top"] ** 0.3 if high else (row["bottom"] * row["top"]) ** 0.5
    return {"x": row["x"], "y": y, "text": ("\n" if high else " ").join(text)}


def growth(factor):
    """A factor of growth: 0.16×, 4.1×, 440,000×, in two digits."""
    if factor < 100:
        return f"{wording.significant(factor, 2)}×"
    return f"{float(f'{factor:.2g}'):,.0f}×"


def sentences(budget, found, powers, absent):
    """The caption: the split by each road with its intervals, beside the published one."""
    said = [f"What a budget grown {wording.words(budget)} times buys, as the product of its parts."]
    for road, name in ROADS.items():
        if name not in powers:
            said.append(f"By the {name}: not drawn, since {absent[name]}.")
            continue
        parts = [
            f"{word} {fitted.told(by_road(found, 'split', part, road), growth)}"
            for part, (word, *_) in reversed(PARTS.items())
        ]
        lines = "" if stacks(powers[name]) else "; lines, since not every part grows"
        said.append(f"By the {name}: {', '.join(parts)}{lines}{excess(powers[name])}.")
    paper = [
        f"{PARTS[part][0]} {growth(budget ** powers[PAPER][part])} (power {powers[PAPER][part]:g})"
        for part in reversed(PARTS)
    ]
    rounded = [numbers["published"] for numbers in found.get("split", {}).values()]
    told = f"; told there as {' : '.join(f'{number:,.0f}' for number in rounded)}" if rounded else ""
    return " ".join([*said, f"By the paper's powers (Table 6): {', '.join(paper)}{told}."])


def excess(exponents):
    """What a caption says of powers that do not add up to one, since each was fitted by itself."""
    total = sum(exponents.values())
    if abs(total - 1) < ROUNDING:
        return ""
    return f"; fitted one by one, its powers add up to {total:.2f}, not 1"


def judged(found, powers, absent):
    """The :class:`Finding`: whether most of a growing budget goes to size and least to steps, by each road.

    A road bears it out if the interval of its p_N lies above MOST and p_N > p_B > p_S; it speaks against it
    if that interval lies below MOST, or if the powers come in another order by their whole intervals.
    """
    order = [*reversed(PARTS)]
    paper = ", ".join(f"{PARTS[part][2]} {powers[PAPER][part]:g}" for part in order)
    roads = {road: name for road, name in ROADS.items() if name in powers}
    if not roads:
        return untold(paper, "; ".join(dict.fromkeys(absent.values())))
    measured, because, share = [], [], []
    for road, name in roads.items():
        numbers = {part: by_road(found, "exponents", part, road) for part in order}
        told = [f"{PARTS[part][2]} {fitted.told(number)}" for part, number in numbers.items()]
        measured.append(f"{name}: {', '.join(told)}")
        values, size = [numbers[part]["value"] for part in order], numbers["N"]
        ordered = values[0] > values[1] > values[2]
        most, least = size["low"] > MOST, size["high"] < MOST
        reversed_ = any(numbers[part]["high"] < numbers[after]["low"] for part, after in pairwise(order))
        share.append(0 if least or reversed_ else 1 if most and ordered else 0.5)
        because.append(
            f"by the {name} the interval of p_N {place(size, MOST)}, half of a budget, and "
            f"p_N > p_B > p_S is {'so' if ordered else 'not so'}"
        )
    verdict = {0: FAILS, len(roads): HOLDS}.get(sum(share), PARTLY)
    because += [f"the {name} is not told, since {reason}" for name, reason in absent.items()]
    return Finding(paper, "; ".join(measured), verdict, "; ".join(because))
