"""A figure from tables and fits: drawn, described, and written as html's spec, svg, png or csv."""

import importlib
import json
import math
import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path

import altair as alt
import vl_convert

from scaling import costs, parquet, provenance
from scaling.charts import catalog, theme, wording
from scaling.charts.findings import Finding
from scaling.rows import finite

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with in a spreadsheet."""


@dataclass(frozen=True)
class Drawing:
    """A chart, what it shows in words (its text alternative), its caption, and its data.

    ``data`` is a list of (series, rows): measured points, fitted line and so on, each a list of dicts.
    ``finding`` is what it finds of the claim that the catalog says the paper makes there, if it makes one.
    """

    chart: alt.TopLevelMixin
    description: str
    caption: str
    data: tuple
    finding: Finding | None = None


def read_tables(folder, names):
    """The tables ``names`` in ``folder``, each as a list of dicts.

    Raises UserError for one that is missing or damaged.
    """
    return {name: parquet.read(Path(folder) / f"{name}.parquet").to_pylist() for name in names}


def read_fits(folder, laws):
    """The fits of ``laws`` that exist in ``folder``, by law."""
    paths = {law: Path(folder) / f"{law}.json" for law in laws}
    return {law: provenance.read_json(path) for law, path in paths.items() if path.is_file()}


def experiments(runs):
    """Names of the experiments that the rows of the table of runs carry."""
    return {experiment for run in runs for experiment in run["experiments"]}


def draw(name, tables, fits, offered=None):
    """The :class:`Drawing` of figure ``name``; raises UserError with what is missing for it.

    ``offered``: what the experiments that the study leaves out would add, of study.json.
    """
    costs = told_costs(offered or {}, tables["runs"])
    line = catalog.missing(name, experiments(tables["runs"]), fits, costs)
    if line:
        raise provenance.UserError(f"figure {name}: {line}")
    return importlib.import_module(f"scaling.charts.{name}").draw(tables, fits)


def told_costs(offered, runs):
    """What each of the experiments ``offered`` (of study.json) would cost, in words, by name."""
    return {
        name: f"cannot be trained as configured: {offer['refused']}"
        if "refused" in offer
        else wording.cost(costs.estimate(offer["runs"], runs))
        for name, offer in offered.items()
    }


def said(line):
    """A :class:`Drawing` of a line that says why there is no chart."""
    words = alt.Chart(alt.Data(values=[{}])).mark_text(text=textwrap.wrap(line, 70), fontSize=13)
    return Drawing(words.properties(width=560, height=120), line, line, (("missing", [{"line": line}]),))


def specification(drawing):
    """The Vega-Lite specification of a drawing, a dict: the chart, the theme and the description."""
    spec = drawing.chart.to_dict()
    return {**spec, "config": theme.CONFIG, "description": drawing.description}


def responsive(spec):
    """``spec`` as wide as what holds it; panels side by side are left to the page's script."""
    if "concat" in spec:
        return spec
    return {**spec, "width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


def svg(spec):
    """``spec`` as SVG text that screen readers announce by its description."""
    text = vl_convert.vegalite_to_svg(json.dumps(spec, allow_nan=False))
    label = escape(spec["description"], quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def png(svg_text):
    """PNG bytes of SVG text, at two pixels per point."""
    return vl_convert.svg_to_png(svg_text, scale=2)


def write_csv(path, drawing):
    """The data behind a drawing as CSV: one row per mark, the first column says which series it is of.

    The pages make the same of their data (page.js).
    """
    rows = [{"series": series, **row} for series, part in drawing.data for row in part]
    columns = {column: column for row in rows for column in row}
    lines = (",".join(_cell(row.get(column)) for column in columns) for row in (columns, *rows))
    with provenance.whole(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def _cell(value):
    """A value as a cell of CSV; a text that a spreadsheet would take for a formula gets an apostrophe."""
    if not isinstance(value, str):
        return "" if value is None or not math.isfinite(value) else str(value)
    text = f"'{value}" if value.startswith(FORMULA) else value
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(character in text for character in ',"\r\n') else text


def converged(runs, *experiments):
    """Rows of the runs of ``experiments`` with a finite loss that did not diverge, in order of N."""
    kept = [
        run
        for run in runs
        if set(experiments) & set(run["experiments"])
        and run["status"] != "diverged"
        and finite(run["test_loss"])
    ]
    if not kept:
        names = ", ".join(experiments)
        raise provenance.UserError(f"every run of experiment {names} diverged: lower learning_rate")
    return sorted(kept, key=lambda run: run["N"])
