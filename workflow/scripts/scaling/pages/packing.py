"""How charts travel in a page: their rows by column, each column once, few enough of them to draw.

A page holds ``columns``, a list. A column is a list of cells or, where these repeat, ``{"of", "at"}``: the
number of the column of its different values, and for each row which of them it has, −1 for a row without such
a cell. A table is ``{"rows", "columns"}``: how many rows, and pairs of a name and the number of a column.
page.js makes rows of them again.
"""

import json
import math

import numpy as np

from scaling.charts import drawing

DIGITS = 7
"""Significant digits of the numbers that a page holds."""
MOST_DRAWN = 2500
"""Rows of runs beyond which a chart draws some of them, by :func:`thinned`."""
MOST_SVG = 1500
"""Marks beyond which a chart is drawn as pixels, which a browser does sooner than as elements."""


def shown(drawn):
    """What a page needs of a :class:`scaling.charts.drawing.Drawing`: ``spec``, ``caption``, ``data``.

    Rows of runs in ``spec`` are thinned where they are many, which the caption then says; ``data`` has all.
    """
    spec, caption = drawing.responsive(drawing.specification(drawn)), drawn.caption
    whole = spec.get("datasets", {})
    drawn_rows = {name: thinned(rows) for name, rows in whole.items()}
    fewer = [name for name in whole if len(drawn_rows[name]) < len(whole[name])]
    if fewer:
        kept, every = (sum(len(rows[name]) for name in fewer) for rows in (drawn_rows, whole))
        caption += (
            f" Drawn are {kept:,} of {every:,} points: the lower envelope, the ends of every run and some "
            "evenly between; the CSV has all."
        )
    return {"spec": {**spec, "datasets": drawn_rows}, "caption": caption, "data": drawn.data}


def thinned(rows, most=MOST_DRAWN):
    """About ``most`` of ``rows``, in order, where they are more and each is a point (x, y) of a run.

    Kept are the lower envelope (every point that has the lowest y up to its x), the first and last point of
    each run, and of the others every k-th of a run.
    """
    if len(rows) <= most or not all({"run", "x", "y"} <= row.keys() for row in rows):
        return rows
    by_run = {}
    for at, row in enumerate(rows):
        by_run.setdefault(row["run"], []).append(at)
    step = math.ceil(len(rows) / max(1, most - 2 * len(by_run)))
    kept = {at for found in by_run.values() for at in (found[0], found[-1], *found[::step])}
    x, y = (np.array([row[name] for row in rows], dtype=float) for name in "xy")
    order = np.lexsort((y, x))
    lowest = np.minimum.accumulate(y[order])
    kept.update(order[y[order] == lowest].tolist())
    return [rows[at] for at in sorted(kept)]


class Store:
    """The columns of a page, filled as its figures are packed."""

    def __init__(self):
        self.columns, self._numbers = [], {}

    def figure(self, shown):
        """A figure as :func:`shown` makes it, packed: ``spec`` without its config, ``data``, ``renderer``."""
        spec = {key: value for key, value in shown["spec"].items() if key not in ("config", "datasets")}
        datasets = shown["spec"].get("datasets", {})
        rows = sum(len(datasets.get(name, ())) for name in _drawn(spec))
        return {
            "spec": spec,
            "datasets": [[name, self.table(rows)] for name, rows in datasets.items()],
            "data": [
                [series, self.table(part, names)]
                for series, every in shown["data"]
                for names, part in _parts(every, datasets.values())
            ],
            "renderer": "canvas" if rows > MOST_SVG else "svg",
        }

    def table(self, rows, names=None):
        """``rows``, a list of dicts, as a table of columns of the page, those called ``names`` or all."""
        names = dict.fromkeys(name for row in rows for name in row) if names is None else names
        columns = [[name, self._column([row.get(name, MISSING) for row in rows])] for name in names]
        return {"rows": len(rows), "columns": columns}

    def _column(self, cells):
        cells = [_cell(value) for value in cells]
        different = {(type(value), value): value for value in cells if value is not MISSING}
        if 2 * len(different) >= len(cells) and MISSING not in cells:
            return self._number(cells)
        codes = {key: code for code, key in enumerate(different)}
        at = [-1 if value is MISSING else codes[type(value), value] for value in cells]
        return self._number({"of": self._number([*different.values()]), "at": at})

    def _number(self, column):
        key = json.dumps(column)
        if key not in self._numbers:
            self._numbers[key] = len(self.columns)
            self.columns.append(column)
        return self._numbers[key]


MISSING = object()
"""The cell of a row that has none."""


def _cell(value):
    """A value as a cell: a float at DIGITS digits, None where it is not finite."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _drawn(spec):
    """Names of the datasets of every mark in ``spec``, one for each mark."""
    if isinstance(spec, list):
        return [name for part in spec for name in _drawn(part)]
    if not isinstance(spec, dict):
        return []
    below = [name for part in spec.values() for name in _drawn(part)]
    name = spec.get("data", {}).get("name") if isinstance(spec.get("data"), dict) else None
    return [*below, *([name] if name else [])]


def _parts(rows, datasets):
    """``rows`` in parts that are as long as those of ``datasets`` that hold the same: pairs (names, rows).

    So that series which a chart draws panel by panel share the columns of the panels.
    """
    parts, at, rest = [], 0, []
    while at < len(rows):
        held, names = next(((d, names) for d in datasets if (names := _shared(rows, at, d))), (None, None))
        if held is None:
            rest.append(rows[at])
            at += 1
            continue
        parts += [(None, rest), (names, held)] if rest else [(names, held)]
        at, rest = at + len(held), []
    return [*parts, (None, rest)] if rest or not parts else parts


def _shared(rows, at, held):
    """The columns of ``rows`` from ``at`` on, if they are those of ``held`` or some of them; else None."""
    if not held or not rows[at].items() <= held[0].items() or len(rows) < at + len(held):
        return None
    part = rows[at : at + len(held)]
    names = dict.fromkeys(name for row in part for name in row)
    same = all(
        row == {n: other[n] for n in names if n in other} for row, other in zip(part, held, strict=True)
    )
    return names if same else None
