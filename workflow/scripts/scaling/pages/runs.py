"""What a page tells of runs and of the sets they were evaluated on, as tables."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scaling.charts import wording
from scaling.offsets import ends, offsets
from scaling.rows import finite
from scaling.selections import INTERVAL

RECIPE = (
    "architecture", "reuse", "n_ctx", "tied", "dropout", "precision", "optimizer", "schedule", "warmup",
    "horizon", "final", "cooldown", "B", "S", "seed",
)  # fmt: skip
"""What the table of runs tells of a run beside its size, where the study varies it."""
REPEATS = {"tokens": "D", "best_test_loss": "test_loss"}
"""Columns of runs that say nothing where they are those of another in every run."""
TRAINED = ("status", "experiments")
"""Columns that a file of runs does not tell."""


@dataclass(frozen=True)
class Column:
    """A column of a table: heading, ``cell(row)`` (a text, and what stands small beside it), class in CSS."""

    heading: str
    cell: Callable[[dict], tuple[str, str]]
    kind: str = "number"


def numbers(name, write):
    """The cells of the number ``name``, with its standard error ``name``_se where there is one."""

    def cell(row):
        value, error = row.get(name), row.get(f"{name}_se")
        if not finite(value):
            return "–", ""
        return write(value), f" ± {write(error)}" if finite(error) else ""

    return cell


def words(name):
    """The cells of the text ``name``."""
    return lambda row: (row.get(name) or "–", "")


def table(columns, rows):
    """``headings`` and ``rows`` of a table, each with its class, without the columns that no row fills."""
    cells = {column: [column.cell(row) for row in rows] for column in columns}
    shown = [column for column, found in cells.items() if any(text != "–" for text, _ in found)]
    kinds = [column.kind for column in shown]
    return {
        "headings": [(column.heading, column.kind) for column in shown],
        "rows": [
            [(*cell, kind) for cell, kind in zip(row, kinds, strict=True)]
            for row in zip(*(cells[column] for column in shown), strict=True)
        ],
    }


def run_rows(runs, evaluations):
    """The runs in order of N and D: each with its last bits per byte on the test split, and its recipe."""
    tested = sorted((e for e in evaluations if e["set"] == "test"), key=lambda e: e["step"] or 0)
    last = {e["run"]: e["bits_per_byte"] for e in tested}
    ordered = sorted(runs, key=lambda run: (run["N"], run["D"]))
    varied = [key for key in RECIPE if len({str(run.get(key)) for run in runs}) > 1]
    recipes = {run["run"]: ", ".join(f"{key} {run.get(key)}" for key in varied) for run in runs}
    return [{**run, "bits_per_byte": last.get(run["run"]), "recipe": recipes[run["run"]]} for run in ordered]


def run_table(runs, evaluations, finished=None):
    """The table of runs; of ``finished`` ones without what is the same for all of them."""
    rows = run_rows(runs, evaluations)
    for name, other in REPEATS.items():
        if all(row.get(name) == row.get(other) for row in rows):
            rows = [row | {name: None} for row in rows]
    return table([column for column in RUNS if not finished or column.heading not in TRAINED], rows)


def set_table(runs, evaluations):
    """The size whose losses the table of sets holds, ``N``, and that ``table``, the test split first.

    Losses are those of the largest run of `size` at its end; the mean offset and its drift are over all
    sizes. None where nothing was evaluated.
    """
    sizes = [run for run in runs if "size" in run["experiments"] and run["status"] != "diverged"]
    found = {run["run"]: [e for e in evaluations if e["run"] == run["run"]] for run in sizes}
    largest = max((run for run in sizes if found[run["run"]]), key=lambda run: run["N"], default=None)
    if largest is None:
        return None
    end = ends(evaluations).get(largest["run"], max(e["step"] or 0 for e in found[largest["run"]]))
    final = [e for e in found[largest["run"]] if (e["step"] or 0) == end]
    test = next((e["loss"] for e in final if e["set"] == "test"), math.nan)
    every = offsets(runs, evaluations)
    rows = [
        e | {"offset": e["loss"] - test if e["set"] != "test" else None} | every.get(e["set"], {})
        for e in sorted(final, key=lambda e: (e["set"] != "test", e["loss"]))
    ]
    return {"N": largest["N"], "share": wording.percent(INTERVAL), "table": table(SETS, rows)}


def interval(name, places):
    """The cells of ``name``, {value, low, high}, which the test split has not."""

    def cell(row):
        if name not in row or not finite(row[name]["value"]):
            return "–", ""
        value, low, high = (wording.signed(row[name][key], places) for key in ("value", "low", "high"))
        return value, f" ({low} to {high})" if finite(row[name]["low"]) else ""

    return cell


def constancy(row):
    """What becomes of a set's offset as the test loss falls, in a few words."""
    if "drift" not in row or not finite(row["drift"]["low"]):
        return "–", ""
    if row["drift"]["low"] <= 0 <= row["drift"]["high"]:
        return "constant within the interval", ""
    return "rises" if row["drift"]["value"] < 0 else "falls", ""


def signed(name):
    """The cells of the difference ``name``."""
    return numbers(name, lambda value: wording.signed(value, 3))


RUNS = (
    Column("N", numbers("N", "{:,}".format)),
    Column("n_layer", numbers("n_layer", str)),
    Column("d_model", numbers("d_model", str)),
    Column("d_ff", numbers("d_ff", str)),
    Column("n_head", numbers("n_head", str)),
    Column("D (tokens)", numbers("D", wording.si)),
    Column("tokens seen", numbers("tokens", wording.si)),
    Column("learning rate", numbers("learning_rate", wording.significant)),
    Column("test loss (nats)", numbers("test_loss", "{:.3f}".format)),
    Column("its best", lambda row: (numbers("best_test_loss", "{:.3f}".format)(row)[0], "")),
    Column("bits per byte", numbers("bits_per_byte", "{:.3f}".format)),
    Column("tokens/s", numbers("tokens_per_second", wording.si)),
    Column("recipe", words("recipe"), "words"),
    Column("status", words("status"), "words"),
    Column("experiments", lambda row: (", ".join(row["experiments"]), ""), "words"),
    Column("run", words("run"), "slug"),
)
HELD_OUT = " held out"
SETS = (
    Column("set", lambda row: (row["set"], HELD_OUT if row["set"] == "test" else ""), ""),
    Column("loss (nats per token)", numbers("loss", "{:.3f}".format)),
    Column("over the test loss", signed("offset")),
    Column("mean offset, all sizes", interval("mean", 2)),
    Column("its drift", interval("drift", 3)),
    Column("verdict", constancy, "wrap"),
    Column("bits per byte", numbers("bits_per_byte", "{:.3f}".format)),
    Column("tokens", numbers("tokens", "{:,}".format)),
)
