"""Runs that were trained elsewhere: what a file of them becomes, and what is refused."""

import contextlib
import csv
import functools
import gzip
import hashlib
import http.server
import io
import math
import re
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scaling import finished, laws, provenance, selections, tables
from scaling.provenance import UserError
from scaling.units import PF_DAY

ROOT = Path(__file__).parents[2]
SIZES = (1e6, 3e6, 1e7, 3e7)
PLAIN = {"N": "N", "D": "D", "loss": "loss"}


def text(rows):
    """Rows as the text of a CSV."""
    written = io.StringIO()
    writer = csv.DictWriter(written, rows[0], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def study(path, columns=PLAIN, **more):
    return {"file": str(path), "columns": columns, **more}


def read(path, rows, columns=PLAIN, **more):
    """Tables, as lists of rows, and the record of a CSV of ``rows`` (dicts, or the text) at ``path``."""
    path.write_text(rows if isinstance(rows, str) else text(rows), encoding="utf-8")
    found, record = finished.tables(study(path, columns, **more), path)
    return {name: table.to_pylist() for name, table in found.items()}, record


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.csv"


def ended(N=SIZES, tokens=2e9):
    """A row for each run of one length."""
    return [{"N": n, "D": tokens, "loss": 3 - 0.1 * math.log10(n)} for n in N]


def curves():
    """Learning curves of two sizes, a row each test point, from before the first step."""
    return [
        {"name": name, "N": N, "step": step, "loss": (1e13 / N) ** 0.07 + (2 / (step + 1)) ** 0.5, "c4": 4.0}
        for step in (300, 0, 100, 200)
        for name, N in (("small", 1e6), ("large", 1e7))
    ]


CURVES = {"run": "name", "N": "N", "S": "step", "B": 1e5, "loss": "loss"}


# --- what a file becomes --------------------------------------------------------------------------------


TOLD = [
    ({"N": "N", "tokens": "T"}, "C = 6 N · tokens"),
    ({"N": "N", "tokens": "T", "B": "B"}, "S = tokens / B"),
    ({"N": "N", "tokens": "T", "S": "S"}, "B = tokens / S"),
    ({"N": "N", "D": "T"}, "tokens = D"),
    ({"N": "N", "S": "S", "B": "B"}, "tokens = S · B"),
    ({"N": "N", "S": "S", "B": 1e5}, "tokens = S · B"),
    ({"N": "N", "C": {"column": "F", "unit": "FLOPs"}}, "tokens = C / (6 N)"),
    ({"N": "N", "C": "P"}, "tokens = C / (6 N)"),
    ({"N": "N", "C": {"column": "P", "unit": "PF-days"}}, "tokens = C / (6 N)"),
    ({"tokens": "T", "C": "P"}, "N = C / (6 tokens)"),
    ({"D": "T", "C": "P"}, "N = C / (6 tokens)"),
    ({"S": "S", "B": "B", "C": "P"}, "N = C / (6 tokens)"),
    ({"N": "N", "tokens": "T", "C": "P", "D": "T", "S": "S", "B": "B"}, None),
]


@pytest.mark.parametrize(("columns", "derived"), TOLD, ids=lambda value: str(value))
def test_however_a_run_is_told_it_is_the_same_run(path, columns, derived):
    rows = [
        {"N": N, "T": 2e9, "S": 2e4, "B": 1e5, "F": 6 * N * 2e9, "P": 6 * N * 2e9 / PF_DAY, "L": 2.5}
        for N in SIZES
    ]
    found, record = read(path, rows, columns | {"loss": "L"})
    for run, row in zip(found["runs"], rows, strict=True):
        assert (run["N"], run["tokens"], run["D"], run["epochs"]) == (row["N"], 2e9, 2e9, 1)
        assert run["flops_per_token_6N"] * run["tokens"] == pytest.approx(row["F"], rel=1e-9)
        assert (run["test_loss"], run["status"], run["experiments"]) == (2.5, "finished", ["size"])
        steps = {"S", "B"} & set(columns)
        assert (run["S"], run["steps"], run["B"]) == ((20_000, 20_000, 100_000) if steps else (None,) * 3)
    assert derived in record["derived"] if derived else not record["derived"]
    assert [run["run"] for run in found["runs"]] == ["row1", "row2", "row3", "row4"]
    assert found["curves"] == found["evaluations"] == []


def test_compute_is_the_users_own_count(path):
    rows = [row | {"C": 1.5 * 6 * row["N"] * row["D"] / PF_DAY} for row in ended()]
    found, _ = read(path, rows, PLAIN | {"C": "C"})
    compute = selections.compute(found["runs"], "6N")
    assert compute == pytest.approx([row["C"] for row in rows], rel=1e-9)


def test_the_last_row_of_a_learning_curve_is_the_run(path):
    rows = curves()
    rows[0]["loss"] = 9.0  # small ends above where it had been
    found, record = read(path, rows, CURVES, warmup=150)
    small, large = found["runs"]
    assert (small["run"], small["steps"], small["tokens"], small["test_loss"]) == ("small", 300, 3e7, 9.0)
    assert small["best_step"] == 200
    assert large["best_test_loss"] == large["test_loss"] == rows[1]["loss"]
    assert small["warmup"] == 150
    steps = [(row["run"], row["step"], row["tokens"]) for row in found["curves"]]
    assert steps == [(run, s, s * 1e5) for run in ("small", "large") for s in (100, 200, 300)]
    assert [row["flops"] for row in found["curves"][:3]] == [6 * 1e6 * s * 1e5 for s in (100, 200, 300)]
    assert record["left_out"] == [{"reason": "before the first step, when nothing is learned yet", "rows": 2}]


@pytest.mark.parametrize("empty", ["", "NaN", " ", "null"])
def test_points_without_a_loss_are_left_out_and_counted(path, empty):
    rows = curves()
    rows[4]["loss"] = empty  # small at step 100
    found, record = read(path, rows, CURVES)
    assert [row["step"] for row in found["curves"] if row["run"] == "small"] == [200, 300]
    assert {"reason": "no loss", "rows": 1} in record["left_out"]


def test_a_row_given_twice_counts_once(path):
    rows = ended()
    tables, record = read(path, [*rows, rows[2], rows[2]])
    assert len(tables["runs"]) == len(rows)
    assert record["left_out"] == [{"reason": "the same as a row before in every column", "rows": 2}]
    assert record["rows_kept"] == len(rows) + 2
    almost = [*rows, rows[2] | {"loss": rows[2]["loss"] * 1.001}]
    assert len(read(path, almost)[0]["runs"]) == len(rows) + 1


def test_a_point_of_a_curve_given_twice_counts_once(path):
    rows = curves()
    found, record = read(path, [*rows, rows[0]], CURVES)
    assert len(found["curves"]) == 6
    assert {"reason": "the same as a row before in every column", "rows": 1} in record["left_out"]


def test_losses_on_other_text_become_evaluations(path):
    rows = curves()
    rows[0]["c4"] = ""
    found, record = read(path, rows, CURVES, transfer={"c4": "c4"})
    at = {(row["run"], row["step"], row["set"]): row["loss"] for row in found["evaluations"]}
    assert at["large", 300, "c4"] == 4.0
    assert at["large", 300, "test"] == rows[1]["loss"]
    assert ("small", 300, "c4") not in at
    assert len(at) == 2 * 2 * 3 - 1
    assert {"reason": "no loss of c4", "rows": 1} in record["left_out"]
    assert all(math.isnan(row["bits_per_byte"]) for row in found["evaluations"])


def test_runs_that_repeat_their_data_are_an_experiment_of_data(path):
    rows = [row | {"T": 4e9} for row in ended()]
    rows[0]["T"] = 2e9
    found, _ = read(path, rows, PLAIN | {"tokens": "T"})
    assert [run["epochs"] for run in found["runs"]] == [1, 2, 2, 2]
    assert {tuple(run["experiments"]) for run in found["runs"]} == {("size", "data")}
    for row in rows:
        row["T"] = 2.01e9  # the same, rounded
    found, _ = read(path, rows, PLAIN | {"tokens": "T"})
    assert {run["epochs"] for run in found["runs"]} == {1}
    assert {tuple(run["experiments"]) for run in found["runs"]} == {("size",)}


def test_the_largest_losses_are_dropped_on_record(path):
    rows = curves()
    found, record = read(path, rows, CURVES, transfer={"c4": "c4"}, drop_largest_losses=1)
    for table in found.values():
        assert {row["run"] for row in table} == {"large"}
    assert record["dropped"] == [
        {"run": "small", "row": 1, "loss": rows[0]["loss"], "reason": "the largest loss"}
    ]
    assert record["runs"] == 1


@pytest.mark.parametrize(
    "wanted", [{"kind": "dense"}, {"factor": 1}, {"sound": True}, {"kind": "dense", "factor": 1.0}]
)
def test_where_keeps_rows_by_text_number_and_truth(path, wanted):
    rows = [row | {"kind": "dense", "factor": "1.0", "sound": "TRUE"} for row in ended()]
    others = [row | {"kind": "Dense", "factor": "2", "sound": "false"} for row in ended()]
    found, record = read(path, [others[0], *rows, *others[1:]], where=wanted)
    assert [run["run"] for run in found["runs"]] == ["row2", "row3", "row4", "row5"]
    assert (record["rows_read"], record["rows_kept"], record["where"]) == (8, 4, wanted)


def test_standard_errors_are_kept_and_unknown_where_there_are_none(path):
    rows = [row | {"se": 0.01} for row in ended()]
    rows[1]["se"] = ""
    columns = PLAIN | {"loss_se": "se", "N_total": "N"}
    runs = read(path, rows, columns)[0]["runs"]
    assert runs[0]["test_loss_se"] == runs[0]["best_test_loss_se"] == 0.01
    assert math.isnan(runs[1]["test_loss_se"])
    assert [run["N_total"] for run in runs] == [run["N"] for run in runs]


def test_every_kind_of_file_holds_the_same_runs(tmp_path):
    rows = curves()
    for row in rows:
        row["name"] = 7 if row["name"] == "small" else 8
    paths = [tmp_path / f"runs{ending}" for ending in (".csv", ".csv.gz", ".parquet")]
    paths[0].write_text("\ufeff" + text(rows), encoding="utf-8")  # as spreadsheets save it
    with gzip.open(paths[1], "wt") as file:
        file.write(text(rows))
    pq.write_table(pa.Table.from_pylist(rows), paths[2])
    found = [finished.tables(study(path, CURVES, transfer={"c4": "c4"}), path)[0] for path in paths]
    plain, *others = (str({name: table.to_pylist() for name, table in tables.items()}) for tables in found)
    assert others == [plain, plain]
    assert found[0]["runs"]["run"].to_pylist() == ["7", "8"]


def test_the_tables_have_the_columns_of_a_trained_study(path):
    path.write_text(text(ended()))
    found, _ = finished.tables(study(path), path)
    documented = (ROOT / "results/README.md").read_text(encoding="utf-8")
    section = documented.split("## Columns of `tables/runs.parquet`")[1].split("##")[0]
    known = re.findall(r"`(\w+)`", section.replace("`_", "`flops_per_token_"))
    assert set(found["runs"].column_names) <= set(known)
    for name, schema in (("curves", tables.CURVE), ("evaluations", tables.EVALUATION)):
        assert found[name].schema == pa.schema([("run", pa.string()), *schema])


def test_laws_are_fitted_to_them(path):
    truth = {"alpha": 0.35, "A": 400.0, "beta": 0.37, "B": 2000.0, "E": 1.8}
    law = laws.LAWS["chinchilla"]
    rows = [
        {"N": N, "D": D, "loss": law.predict({"N": N, "D": D}, truth)[0]}
        for N in (1e8, 4e8, 1.6e9, 6.4e9)
        for D in (2e9, 1e10, 5e10)
    ]
    found, _ = read(path, rows)
    report, _ = selections.fit_law(
        "chinchilla", found["runs"], found["curves"], resamples=100, seed=0, delta=0.01
    )
    for name, value in truth.items():
        assert report["parameters"][name]["value"] == pytest.approx(value, rel=1e-4)


# --- what is refused ------------------------------------------------------------------------------------


def changed(at, **values):
    """The rows of :func:`ended`, that of index ``at`` changed."""
    rows = ended()
    rows[at] |= values
    return rows


def told(factor, **columns):
    """The rows of :func:`ended` with a C of 6 N · tokens · ``factor``, and the columns to read from them."""
    rows = [row | {"C": 6 * row["N"] * row["D"] * factor, "S": 1e4, "B": 100} for row in ended()]
    return rows, {"columns": columns | {"loss": "loss"}}


def curve(**columns):
    """The rows of :func:`curves`, and other columns of them."""
    return curves(), {"columns": {"run": "name", "N": "N", "loss": "loss"} | columns}


def spoilt(change):
    """The rows of :func:`curves` with what ``change`` makes of each."""
    return [row | change(row) for row in curves()], {"columns": CURVES}


LOOK = "look at the units: N, tokens, D and B count single parameters and tokens, S counts steps"
IN_FLOPS = {"column": "C", "unit": "FLOPs"}
FAULTS = [
    (changed(2, loss=""), {}, "row 3 has no loss (column 'loss'); mend or delete the row"),
    (changed(2, loss="2,9"), {}, "row 3 has '2,9' in column 'loss', expected a number above 0"),
    (changed(2, loss=-1), {}, "row 3 has '-1' in column 'loss', expected a number above 0"),
    (changed(2, loss=0), {}, "row 3 has '0' in column 'loss', expected a number above 0"),
    (changed(2, loss="inf"), {}, "row 3 has 'inf' in column 'loss', expected a number above 0"),
    (changed(1, N=0), {}, "row 2 has '0' in column 'N', expected a number above 0"),
    (changed(1, N="nan"), {}, "row 2 has no N (column 'N')"),
    (changed(0, N=7), {}, "N of row 1: found 7, expected 100 to 1e+15"),
    (changed(2, loss=31.4), {}, "loss of row 3: found 31.4, expected 0 to 20"),
    (changed(1, N=0.07), {}, f"N of row 2: found 0.07, expected 100 to 1e+15; {LOOK}"),
    (changed(3, D=0), {}, "row 4 has '0' in column 'D', expected a number above 0"),
    (changed(3, D=1e18), {}, "tokens = D of row 4: found 1e+18, expected 100 to 1e+17"),
    (ended(), {"columns": PLAIN | {"loss": "los"}}, "no column 'los' (did you mean 'loss'?); there are 'N'"),
    (ended(), {"columns": PLAIN | {"loss": "x"}}, "found no column 'x'; there are 'N', 'D', 'loss'"),
    (ended(), {"where": {"kind": "b"}}, "found no column 'kind'; there are 'N', 'D', 'loss'"),
    (text(ended()).replace(",", ";"), {}, "its fields must be separated by commas"),
    (text(ended()) + "1,2\n", {}, "row 5 has 2 fields, the header 3; mend the row"),
    (text(ended()).replace("D", "N"), {}, "2 columns are called 'N'; rename all but one"),
    (text(ended()) + '"1,2,3\n', {}, "cannot be read as a CSV in UTF-8"),
    ("N,D,loss\n", {}, "has no rows"),
    ("", {}, "found no column 'N'; it is empty"),
    ([row | {"kind": "a"} for row in ended()], {"where": {"kind": "b"}},
     "whose 'kind' is 'b', expected one of 'a'"),
    ([row | {"kind": "a", "k": "1"} for row in changed(0, D=1e9)], {"where": {"D": 2e9, "k": 2}},
     "that the conditions before it keep whose 'k' is 2, expected one of '1'"),
    (ended(), {"drop_largest_losses": 4}, "found 4, expected fewer than the 4 runs"),
    (ended(), {"sha256": "0" * 64}, f"expected {'0' * 64} (finished.sha256)"),
    (*told(1, N="N", C="C"),
     "tokens = C / (6 N) of row 1: found 1.73e+29, expected 100 to 1e+17; C is read as PF-days and looks "
     "like FLOPs: write {column: …, unit: FLOPs} for it"),
    (*told(1, D="D", C="C"), "C is read as PF-days and looks like FLOPs"),
    (*told(1 / PF_DAY, N="N", C=IN_FLOPS), "C is read as FLOPs and looks like PF-days: write {"),
    (*told(1, N="N", D="D", C="C"),
     "C of row 1: found 8.6e+19 times 6 N · tokens, expected about as much; C is read as PF-days and looks"),
    (*told(1000, N="N", D="D", C=IN_FLOPS),
     f"C of row 1: found 1e+03 times 6 N · tokens, expected about as much; {LOOK}"),
    (*told(0.001, N="N", D="D", C=IN_FLOPS), "C of row 1: found 0.001 times 6 N · tokens"),
    (*told(1, N="N", tokens="D", S="S", B="B"), "tokens of row 1: found 2e+03 times S · B"),
    ([*curves(), curves()[0] | {"loss": 3.0}], {"columns": CURVES}, "'small' has step 300 in rows 1 and 9,"),
    (*curve(D=1e9), "run 'small' is in rows 1 and 3: several rows are a learning curve; map S"),
    (*curve(D=1e9, S="step"), "run 'small' has seen no more tokens at the later step in rows 5 and 7; map"),
    (*spoilt(lambda row: {"N": row["N"] + row["step"]}), "has N 1.0001e+06 and 1.0002e+06 in rows 5 and 7"),
    (*spoilt(lambda row: {"loss": "" if row["step"] == 300 else 3}), "'small' has no loss in row 1, its"),
    (*spoilt(lambda row: {"step": 0}), "run 'large' has seen no tokens"),
    (*spoilt(lambda row: {"name": ""}), "row 1 has no run (column 'name')"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "more", "line"), FAULTS, ids=[fault[2][:50] for fault in FAULTS])
def test_a_fault_is_one_line_that_names_the_place(path, rows, more, line):
    with pytest.raises(UserError) as found:
        read(path, rows, **more)
    assert line in str(found.value)
    assert str(path) in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("runs.parquet", b"N,D,loss\n1,2,3\n", "cannot be read as a parquet file"),
        ("runs.csv", b"PK\x03\x04\xff\xfe", "cannot be read as a CSV in UTF-8"),
        ("runs.csv.gz", b"N,D,loss\n1,2,3\n", "cannot be read as a CSV in UTF-8"),
        ("runs.csv.gz", gzip.compress(b"N,D,loss\n1,2,3\n")[:-12], "cannot be read as a CSV in UTF-8"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_or_damaged_is_named(tmp_path, name, content, line):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=line) as found:
        finished.tables(study(tmp_path / name), tmp_path / name)
    assert name in str(found.value)
    assert "\n" not in str(found.value)


# --- downloads ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(folder):
    """The address at which the files in ``folder`` can be fetched."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_is_fetched_if_it_is_the_one_that_was_meant(tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "runs.csv").write_text(text(ended()))
    checksum = hashlib.sha256((tmp_path / "web" / "runs.csv").read_bytes()).hexdigest()
    out = tmp_path / "data" / "runs.csv"
    with served(tmp_path / "web") as address:
        finished.fetch(f"{address}/runs.csv", checksum, out)
        assert out.read_text() == text(ended())
        provenance.remove(out)
        for url, sha256, line in (
            (f"{address}/runs.csv", "0" * 64, f"found sha256 {checksum}, expected {'0' * 64}"),
            (f"{address}/other.csv", checksum, "HTTP 404 File not found; check the network and the address"),
        ):
            with pytest.raises(UserError) as found:
                finished.fetch(url, sha256, out)
            assert url in str(found.value)
            assert line in str(found.value)
            assert list(out.parent.iterdir()) == []
    with pytest.raises(UserError, match="Connection refused; check the network and the address, or name a"):
        finished.fetch(f"{address}/runs.csv", checksum, out)
    assert list(out.parent.iterdir()) == []
