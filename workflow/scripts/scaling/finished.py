"""Runs that were trained elsewhere: fetched, read from a file's columns, and told as the tables of a study.

What a file must hold is in the config (``finished``); a fault is one line that names file, row or column.
Rows are numbered from 1, the header not counted.
"""

import csv
import difflib
import gzip
import http.client
import io
import itertools
import math
import shutil
import urllib.error
import urllib.request
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

from scaling import provenance
from scaling.grid import derived
from scaling.provenance import UserError
from scaling.tables import CURVE, EVALUATION
from scaling.units import PF_DAY

UNITS = {"FLOPs": 1.0, "PF-days": PF_DAY}
SANE = {
    **{"N": (100, 1e15), "N_total": (100, 1e15), "tokens": (100, 1e17), "D": (100, 1e17)},
    **{"S": (1, 1e12), "B": (1, 1e12), "loss": (0, 20)},
}
"""Lowest and highest of what can be meant. Fewer parameters or tokens are millions or billions of them, a
larger loss is a perplexity."""
AT_START = ("C", "tokens", "D", "S")
"""What may be zero in the first row of a learning curve."""
APART = 50
"""Factor by which C and 6 N · tokens may differ. Networks of a few hundred parameters, whose head costs ten
times as much, are within it, and sparse ones that use a twentieth of theirs; a mistaken unit is a thousand or
more."""
ALIKE = 0.01
"""D and tokens that differ by less than this share are one number, rounded."""
NAMED = 6
"""Rows that are named where several are alike."""
MISSING = ("", "na", "n/a", "nan", "null", "none")
TIMEOUT = 60
"""Seconds without an answer after which a download is given up."""

RUN = pa.schema(
    [
        ("run", pa.string()),
        ("experiments", pa.list_(pa.string())),
        ("status", pa.string()),
        *((name, pa.string()) for name in ("architecture", "optimizer", "schedule", "precision")),
        *((name, pa.int64()) for name in ("n_layer", "d_model", "d_ff", "n_head", "d_attn")),
        *((name, pa.int64()) for name in ("n_ctx", "n_vocab", "reuse", "seed")),
        ("tied", pa.bool_()),
        ("dropout", pa.float64()),
        ("learning_rate", pa.float64()),
        *((name, pa.int64()) for name in ("N", "N_total", "D", "tokens")),
        ("epochs", pa.float64()),
        *((name, pa.int64()) for name in ("B", "S", "steps", "warmup")),
        *((f"flops_per_token_{convention}", pa.float64()) for convention in ("6N", "head", "attention")),
        *((name, pa.float64()) for name in ("train_loss", "test_loss", "test_loss_se")),
        ("best_step", pa.int64()),
        *((name, pa.float64()) for name in ("best_test_loss", "best_test_loss_se", "tokens_per_second")),
    ]
)
"""Columns of runs.parquet; those of a trained study that a file does not tell are empty."""


# --- files ----------------------------------------------------------------------------------------------


def fetch(url, sha256, out):
    """Download ``url`` to the path ``out``, if its bytes have the checksum ``sha256``.

    Raises UserError where there is no answer, or one that is not the file.
    """
    remedy = "check the network and the address, or name a local copy in finished.file"
    with provenance.whole(out) as scratch:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, scratch.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as error:
            raise UserError(f"cannot fetch {url}: HTTP {error.code} {error.reason}; {remedy}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            raise UserError(f"cannot fetch {url}: {reason}; {remedy}") from None
        _check_sum(scratch, sha256, url, "look at what the address holds now")


def _check_sum(path, sha256, name, remedy):
    """The checksum of a file; raises UserError where it is not ``sha256``, unless that is None."""
    try:
        found = provenance.sha256(path)
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); mend or replace it") from None
    if sha256 is not None and found != sha256:
        raise UserError(f"{name}: found sha256 {found}, expected {sha256} (finished.sha256); {remedy}")
    return found


def read(path, columns):
    """The ``columns`` of a file of runs: a dict from column to the list of its values, text from a CSV.

    Raises UserError for a file that cannot be read, a line of too few or too many fields and a column that
    is not there.
    """
    try:
        return _read_parquet(path, columns) if str(path).endswith(".parquet") else _read_csv(path, columns)
    except (OSError, EOFError, ValueError, zlib.error, csv.Error, pa.ArrowException) as error:
        line = (str(error) or type(error).__name__).splitlines()[0]
        kind = "parquet file" if str(path).endswith(".parquet") else "CSV in UTF-8"
        raise UserError(f"{path} cannot be read as a {kind} ({line[:120]}); mend or replace it") from None


def _read_csv(path, columns):
    opened = gzip.open if str(path).endswith(".gz") else io.open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        lines = filter(None, csv.reader(file, strict=True))
        header = next(lines, [])
        places = {column: header.index(_known(column, header, path)) for column in columns}
        values = {column: [] for column in columns}
        for row, fields in enumerate(lines, 1):
            if len(fields) != len(header):
                found = f"row {row} has {len(fields)} fields, the header {len(header)}"
                raise UserError(f"{path}: {found}; mend the row")
            for column, place in places.items():
                values[column].append(fields[place])
    return values


def _read_parquet(path, columns):
    header = pq.read_schema(path).names
    table = pq.read_table(path, columns=[_known(column, header, path) for column in columns])
    return {column: table[column].to_pylist() for column in columns}


def _known(column, header, path):
    if header.count(column) == 1:
        return column
    if column in header:
        raise UserError(f"{path}: {header.count(column)} columns are called {column!r}; rename all but one")
    close = difflib.get_close_matches(column, header, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        hint = "; its fields must be separated by commas"
    there = f"there are {_listed(map(repr, header))}" if header else "it is empty"
    raise UserError(f"{path}: found no column {column!r}{hint}; {there}")


def _listed(names, most=20):
    names = list(names)
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


# --- rows -----------------------------------------------------------------------------------------------


def tables(finished, path):
    """The tables of a study of finished runs, and a record of what became of their file.

    ``finished`` is that part of the config, ``path`` its file. Returns {runs, curves, evaluations: pyarrow
    Table} and the content of finished.json. Raises UserError for the first fault.
    """
    columns, transfer = finished["columns"], finished.get("transfer", {})
    checksum = _check_sum(
        path, finished.get("sha256"), path, "put the right file there, or mend the checksum"
    )
    rows, rows_read = _parse(finished, path)
    rows, twice = _once(rows, columns)
    learned, unlearned = _learned(rows, path)
    curves, unmeasured = _curves(_complete(learned, columns, path), columns, path)
    dropped = _largest(curves, finished, path)
    kept = {run: curve for run, curve in curves.items() if run not in {item["run"] for item in dropped}}
    record = {
        "file": finished["file"],
        "sha256": checksum,
        "rows_read": rows_read,
        "rows_kept": len(rows) + sum(note["rows"] for note in twice),
        "runs": len(kept),
        "columns": columns,
        "transfer": transfer,
        "where": finished.get("where", {}),
        "derived": [f"{name} = {words}" for name, (_, words, _) in derived(columns).items()],
        "left_out": [*twice, *unlearned, *unmeasured, *_without_transfer(kept, transfer)],
        "repeated": _repeated(rows, columns),
        "dropped": dropped,
    }
    return _tables(kept, transfer, finished.get("warmup", 0)), record


def _parse(finished, path):
    """The rows that ``where`` keeps as dicts of numbers, and how many rows the file has.

    A row has its number as ``row``, the name of its ``run``, what of the config's ``columns`` is mapped, C in
    FLOPs, and ``transfer``: {set: loss}. A missing loss is NaN.
    """
    columns, transfer = finished["columns"], finished.get("transfer", {})
    sources = {name: spec["column"] if isinstance(spec, dict) else spec for name, spec in columns.items()}
    where = finished.get("where", {})
    named = [source for source in (*sources.values(), *transfer.values()) if isinstance(source, str)]
    found = read(path, list(dict.fromkeys([*named, *where])))
    total = len(found[sources["loss"]])
    numbers = {name: source for name, source in sources.items() if name != "run"}
    rows = []
    for at in _matching(found, where, total, path):
        row = {"row": at + 1, "run": f"row{at + 1}"}
        for name, source in numbers.items():
            value = found[source][at] if isinstance(source, str) else source
            row[name] = _number(value, name, source, "run" in sources, f"{path}: row {at + 1}")
        row["transfer"] = {
            name: _number(found[source][at], "transfer", source, True, f"{path}: row {at + 1}")
            for name, source in transfer.items()
        }
        if "run" in sources:
            row["run"] = _name(found[sources["run"]][at], sources["run"], f"{path}: row {at + 1}")
        if "C" in row:
            row["C"] *= UNITS[_unit(columns)]
        rows.append(row)
    return rows, total


def _once(rows, columns):
    """``rows`` without those that repeat one before them in every column, and a note of these, as a list.

    Twice the same row would pass for two runs that agree, and intervals would be narrower for it.
    """
    kept = {}
    for row in rows:
        kept.setdefault(tuple(row[name] for name in columns), row)
    return list(kept.values()), _note("the same as a row before in every column", len(rows) - len(kept))


def _repeated(rows, columns):
    """A note of the rows alike in every column but the losses, with the first of them, as a list.

    They are all kept: nothing tells a run under another seed from a mistake, nor which row would be right.
    """
    if "run" in columns:
        return []
    alike = {}
    for row in rows:
        same = tuple(row[name] for name in columns if name not in ("loss", "loss_se"))
        alike.setdefault(same, []).append(row["row"])
    found = sorted(row for rows in alike.values() if len(rows) > 1 for row in rows)
    named = ", ".join(map(str, found[:NAMED])) + (" and more" if len(found) > NAMED else "")
    return _note(f"alike in every column but the loss, all kept: {named}", len(found))


def _unit(columns):
    """The unit of the compute in the file."""
    return columns["C"].get("unit", "PF-days") if isinstance(columns["C"], dict) else "PF-days"


def _matching(columns, where, total, path):
    """Indices of the rows of ``columns`` that have the values of ``where``."""
    kept = range(total)
    if not total:
        raise UserError(f"{path} has no rows; give finished.file a file of runs")
    for column, wanted in where.items():
        matching = [at for at in kept if _same(columns[column][at], wanted)]
        if not matching:
            values = dict.fromkeys(repr(columns[column][at]) for at in kept)
            among = " that the conditions before it keep" if len(kept) < total else ""
            found = f"found no row of {path}{among} whose {column!r} is {wanted!r}"
            raise UserError(f"finished.where: {found}, expected one of {_listed(values)}")
        kept = matching
    return kept


def _same(value, wanted):
    if isinstance(wanted, bool):
        return str(value).casefold() == str(wanted).casefold()
    if isinstance(wanted, int | float):
        try:
            return float(value) == wanted
        except (TypeError, ValueError):
            return False
    return str(value) == wanted


def _number(value, name, column, curve, where):
    """``value`` as a number that ``name`` can be; in a learning ``curve`` losses may be missing."""
    missing = value is None or str(value).strip().casefold() in MISSING
    if missing and (name in ("loss_se", "transfer") or (name == "loss" and curve)):
        return math.nan
    remedy = "mend or delete the row"
    if missing:
        raise UserError(f"{where} has no {name} (column {column!r}); {remedy}")
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    zero = name == "loss_se" or (curve and name in AT_START)
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        expected = "a number, at least 0" if zero else "a number above 0"
        raise UserError(f"{where} has {value!r} in column {column!r}, expected {expected}; {remedy}")
    return number


def _name(value, column, where):
    if value is None or not str(value).strip():
        raise UserError(
            f"{where} has no run (column {column!r}); name it, or keep it out with finished.where"
        )
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _learned(rows, path):
    """The rows in which a run has seen tokens, and a note of the others, as a list."""
    learned = [row for row in rows if all(row.get(name) != 0 for name in AT_START)]
    if never := {row["run"] for row in rows} - {row["run"] for row in learned}:
        raise UserError(f"{path}: run {min(never)!r} has seen no tokens; keep it out with finished.where")
    return learned, _note("before the first step, when nothing is learned yet", len(rows) - len(learned))


def _note(reason, count):
    """What finished.json says of ``count`` rows that are left out, as a list; empty if none are."""
    return [{"reason": reason, "rows": count}] if count else []


# --- counts ---------------------------------------------------------------------------------------------


def _complete(rows, columns, path):
    """``rows`` with what follows from the columns mapped.

    Raises UserError for counts that cannot be meant, with the other unit of compute where that mends them.
    """
    follows = derived(columns)
    complete = [_follow(row, follows) for row in rows]
    fault = next(filter(None, (_fault(row, follows) for row in complete)), None)
    if fault is None:
        return complete
    remedy = (
        "look at the units: N, tokens, D and B count single parameters and tokens, S counts steps, a loss is "
        "in nats per token"
    )
    if "C" in columns:
        here, (other,) = _unit(columns), UNITS.keys() - {_unit(columns)}
        factor = UNITS[other] / UNITS[here]
        swapped = (_follow(row | {"C": row["C"] * factor}, follows) for row in rows)
        if not any(_fault(row, follows) for row in swapped):
            remedy = f"C is read as {here} and looks like {other}: write {{column: …, unit: {other}}} for it"
    raise UserError(f"{path}: {fault}; {remedy}")


def _follow(row, follows):
    """``row`` with what follows from it."""
    row = dict(row)
    for name, (needs, _, function) in follows.items():
        row[name] = function(*(row[need] for need in needs))
    return row


def _fault(row, follows):
    """What cannot be meant in a complete row, in words; None if nothing."""
    for name, (lowest, highest) in SANE.items():
        if name in row and not math.isnan(row[name]) and not lowest <= row[name] <= highest:
            how = f" = {follows[name][1]}" if name in follows else ""
            expected = f"{lowest:g} to {highest:g}"
            return f"{name}{how} of row {row['row']}: found {row[name]:.3g}, expected {expected}"
    products = {"C": ("6 N · tokens", 6 * row["N"] * row["tokens"])}
    if {"S", "B"} <= row.keys():
        products["tokens"] = ("S · B", row["S"] * row["B"])
    for name, (words, product) in products.items():
        if not 1 / APART < row[name] / product < APART:
            found = f"found {row[name] / product:.2g} times {words}"
            return f"{name} of row {row['row']}: {found}, expected about as much"
    return None


# --- runs -----------------------------------------------------------------------------------------------


def _curves(rows, columns, path):
    """Rows with a loss by run, in order of steps, {run: rows}, and a note of those without one, as a list.

    Raises UserError where the rows of a run cannot be its learning curve, or its last has no loss.
    """
    tokens_from = derived(columns).get("tokens", [()])[0]
    fixed = [name for name in ("N", "N_total", "B", "D") if name in columns and tokens_from != (name,)]
    curves = {}
    for row in rows:
        curves.setdefault(row["run"], []).append(row)
    for run, curve in curves.items():
        curve.sort(key=lambda row: row.get("S", 0))
        for pair in itertools.pairwise(curve):
            _check_order(*pair, fixed, f"{path}: run {run!r}")
        if math.isnan(curve[-1]["loss"]):
            raise UserError(
                f"{path}: run {run!r} has no loss in row {curve[-1]['row']}, its last, and counts as it "
                "ended; delete the rows after its last loss, or keep out a run that diverged"
            )
    measured = {run: [row for row in curve if not math.isnan(row["loss"])] for run, curve in curves.items()}
    return measured, _note("no loss", len(rows) - sum(map(len, measured.values())))


def _check_order(row, later, fixed, where):
    """Raise UserError where two rows of a run, in order, cannot be points of its learning curve.

    ``fixed`` are the columns that a run has only one value of.
    """
    both = f"in rows {row['row']} and {later['row']}"
    if "S" not in row:
        raise UserError(
            f"{where} is {both}: several rows are a learning curve; map S, the step of each, or delete one"
        )
    if row["S"] == later["S"]:
        raise UserError(
            f"{where} has step {row['S']:.0f} {both}, expected once; look at columns.run and where"
        )
    if row["tokens"] >= later["tokens"]:
        raise UserError(f"{where} has seen no more tokens at the later step {both}; map tokens, or B")
    for name in fixed:
        if row[name] != later[name]:
            found = f"{row[name]:.6g} and {later[name]:.6g} {both}"
            raise UserError(f"{where} has {name} {found}, expected one; look at columns.run and where")


def _largest(curves, finished, path):
    """Notes of the runs with the largest losses, as many as ``drop_largest_losses`` says."""
    count = finished.get("drop_largest_losses", 0)
    if count >= len(curves):
        expected = f"fewer than the {len(curves)} runs of {path}"
        raise UserError(f"finished.drop_largest_losses: found {count}, expected {expected}")
    ends = sorted((curve[-1] for curve in curves.values()), key=lambda row: -row["loss"])
    reason = f"one of the {count} largest losses" if count > 1 else "the largest loss"
    return [{key: row[key] for key in ("run", "row", "loss")} | {"reason": reason} for row in ends[:count]]


def _without_transfer(curves, transfer):
    """Notes of the rows that have no loss of a transfer set."""
    rows = [row for curve in curves.values() for row in curve]
    lacking = {name: sum(math.isnan(row["transfer"][name]) for row in rows) for name in transfer}
    return [note for name, count in lacking.items() for note in _note(f"no loss of {name}", count)]


# --- tables ---------------------------------------------------------------------------------------------


def _tables(curves, transfer, warmup):
    points = [(run, row) for run, curve in curves.items() for row in curve]
    several = any(len(curve) > 1 for curve in curves.values())
    runs = [_run(run, curve, warmup) for run, curve in curves.items()]
    if any(run["epochs"] != 1 for run in runs):
        runs = [run | {"experiments": ["size", "data"]} for run in runs]
    return {
        "runs": pa.Table.from_pylist(runs, RUN),
        "curves": _table([_point(run, row) for run, row in points] if several else [], CURVE),
        "evaluations": _table(
            [loss for run, row in points for loss in _losses(run, row)] if transfer else [], EVALUATION
        ),
    }


def _table(rows, schema):
    """A table of ``rows`` with a column ``run`` before those of ``schema``."""
    return pa.Table.from_pylist(rows, pa.schema([("run", pa.string()), *schema]))


def _run(run, curve, warmup):
    """A row of runs.parquet: a run at the last row of its ``curve``."""
    end, best = curve[-1], min(curve, key=lambda row: row["loss"])
    epochs = end["tokens"] / end["D"]
    return {
        **{"run": run, "experiments": ["size"], "status": "finished", "warmup": warmup},
        **{name: _count(end, name) for name in ("N", "N_total", "D", "tokens", "B", "S")},
        **{"steps": _count(end, "S"), "epochs": 1.0 if abs(epochs - 1) <= ALIKE else epochs},
        **{"flops_per_token_6N": end["C"] / end["tokens"]},
        **{"flops_per_token_head": math.nan, "flops_per_token_attention": math.nan, "train_loss": math.nan},
        **{"test_loss": end["loss"], "test_loss_se": end.get("loss_se", math.nan)},
        **{"best_step": _count(best, "S"), "best_test_loss": best["loss"]},
        **{"best_test_loss_se": best.get("loss_se", math.nan)},
    }


def _point(run, row):
    """A row of curves.parquet."""
    return {
        **{"run": run, "step": _count(row, "S"), "tokens": _count(row, "tokens"), "flops": row["C"]},
        **{"test_loss": row["loss"], "test_loss_se": row.get("loss_se", math.nan)},
    }


def _losses(run, row):
    """Rows of evaluations.parquet: the test loss, and those of the transfer sets that have one."""
    losses = {"test": row["loss"], **row["transfer"]}
    return [
        {
            **{"run": run, "step": _count(row, "S"), "set": name, "loss": loss, "bits_per_byte": math.nan},
            "loss_se": row.get("loss_se", math.nan) if name == "test" else math.nan,
        }
        for name, loss in losses.items()
        if not math.isnan(loss)
    ]


def _count(row, name):
    """What a row has as a whole number; None where it has none. Counts read off a chart are not whole."""
    return round(row[name]) if name in row else None
