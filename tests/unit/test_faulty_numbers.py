"""Numbers that cannot be believed: left out, down-weighted or doubted, named, harmless to the exponents."""

import copy
import functools
import math
import re

import pytest
import simulated
from scaling import finished, selections
from scaling.pages import fits as page

EXPERIMENTS = ("size", "long", "data", "batch")
ENVELOPES = ("L_C", "L_Cmin", "B_opt", "N_opt", "N_opt_Cmin", "S_min", "D_opt")
"""Laws of lowest losses, which one loss far too low could decide."""


@functools.cache
def sound():
    return simulated.study(EXPERIMENTS)


def faulty(run, change, at=None):
    """The sound tables in which ``change`` was done to the losses of a run, or to its test point ``at``."""
    tables = copy.deepcopy({name: sound()["tables"][name] for name in ("runs", "curves")})
    curve = [row for row in tables["curves"] if row["run"] == run]
    for row in curve if at is None else [curve[at]]:
        row["test_loss"] = change(row["test_loss"])
    for row in tables["runs"]:
        if row["run"] == run and at is None:
            row |= {name: change(row[name]) for name in ("test_loss", "best_test_loss")}
    return tables


def fitted(tables, laws):
    found = {}
    critical = selections.fit_law("B_crit", **tables, resamples=60, seed=0, delta=0.01)
    for law in laws:
        found[law], _ = selections.fit_law(law, **tables, resamples=60, seed=0, delta=0.01, critical=critical)
    return found


def moved(fit):
    """Exponents of ``fit`` that lie further from those of the sound study than half their interval."""
    usual = sound()["fits"][fit["law"]]["parameters"]
    return [
        name
        for name, was in usual.items()
        if was["unit"] is None
        and abs(fit["parameters"][name]["value"] - was["value"]) >= (was["high"] - was["low"]) / 2
    ]


def member(experiment, index):
    runs = [run for run in sound()["tables"]["runs"] if experiment in run["experiments"]]
    return runs[index]["run"]


def listed(tables, fits, run):
    """What the page says of ``run`` among those left out or hardly counted."""
    return " ".join(row["reason"] for row in page.excluded(tables["runs"], fits) if row["run"] == run)


def test_a_sound_study_has_no_outlier_in_its_frontier_and_no_doubt():
    for law in ENVELOPES:
        fit = sound()["fits"][law]
        assert fit["certificate"]["passed"]
        assert not fit["data"]["excluded"]


@pytest.mark.parametrize("change", [lambda loss: 1.5 * loss, lambda loss: 0.5 * loss], ids=["high", "low"])
def test_a_wild_run_is_down_weighted_and_named(change):
    run = member("size", 3)
    tables = faulty(run, change)
    fits = fitted(tables, ["L_N", "L_NS", "L_ND"])
    assert all(not moved(fit) for fit in fits.values())
    (outlier,) = fits["L_N"]["data"]["outliers"]
    assert (outlier["run"], outlier["points"]) == (run, 1)
    assert abs(outlier["residual"]) == pytest.approx(abs(math.log(change(1))), abs=0.05)
    assert run in {item["run"] for item in fits["L_NS"]["data"]["outliers"]}
    assert "down-weighted" in listed(tables, fits, run)


def test_a_test_point_far_too_low_decides_no_frontier():
    run = member("size", 3)
    tables = faulty(run, lambda loss: 0.5 * loss, at=8)
    fits = fitted(tables, ENVELOPES)
    for fit in fits.values():
        assert not moved(fit), fit["law"]
        assert run in {item["run"] for item in fit["data"]["excluded"]}
    assert re.search(r"far below those on either side are left out, at step \d+", listed(tables, fits, run))


def test_a_run_far_too_low_is_doubted_by_name_where_it_decides():
    run = member("size", 3)
    for law, fit in fitted(faulty(run, lambda loss: 0.5 * loss), ENVELOPES).items():
        assert not fit["certificate"]["passed"], law
        assert any(run in reason for reason in fit["certificate"]["reasons"]), law


@pytest.mark.parametrize("fault", ["diverged", "its test_loss is not a number", "0 test points"])
def test_a_run_without_a_loss_that_counts_is_left_out(fault):
    run = member("size", 3)
    tables = faulty(run, (lambda loss: loss) if fault == "0 test points" else (lambda loss: math.nan))
    for row in tables["runs"]:
        if row["run"] == run:
            row["status"] = "diverged" if fault == "diverged" else "finished"
            row["warmup"] = 10**6 if fault == "0 test points" else row["warmup"]
    fits = fitted(tables, ["L_NS"] if fault == "0 test points" else ["L_N", "L_NS"])
    assert all(not moved(fit) for fit in fits.values())
    assert fault in listed(tables, fits, run)


def table(tmp_path, rows):
    """The runs and the record of a file of finished runs, ``rows`` of N, D and loss."""
    path = tmp_path / "runs.csv"
    path.write_text("N,D,loss\n" + "".join(f"{N},{D},{loss}\n" for N, D, loss in rows))
    columns = {"N": "N", "D": "D", "loss": "loss"}
    made, record = finished.tables({"file": str(path), "columns": columns}, path)
    return made["runs"].to_pylist(), record


def published():
    """N, D and loss of runs that follow the law chinchilla."""
    return [(run["N"], run["D"], run["test_loss"]) for run in simulated.finished()["tables"]["runs"]]


def test_rows_given_twice_count_once_and_contradictory_ones_are_kept_and_named(tmp_path):
    rows = published()
    runs, record = table(tmp_path, [*rows, rows[0], (*rows[1][:2], 1.1 * rows[1][2])])
    assert len(runs) == len(rows) + 1
    lines = " ".join(page.left_out(record))
    assert "1 row: the same as a row before in every column" in lines
    assert "2 rows: alike in every column but the loss, all kept" in lines
    assert not table(tmp_path, rows)[1]["repeated"]


@pytest.mark.parametrize("factor", [3, 1.5, 0.1])
def test_a_wild_row_of_a_file_is_down_weighted_and_named(tmp_path, factor):
    usual, rows = simulated.finished()["fits"]["chinchilla"]["parameters"], published()
    rows[40] = (*rows[40][:2], factor * rows[40][2])
    runs, _ = table(tmp_path, rows)
    fit, _ = selections.fit_law("chinchilla", runs, [], resamples=60, seed=0, delta=0.01)
    assert [item["run"] for item in fit["data"]["outliers"]] == ["row41"]
    for name in ("alpha", "beta"):
        was = usual[name]
        assert abs(fit["parameters"][name]["value"] - was["value"]) < (was["high"] - was["low"]) / 2
    assert "down-weighted" in listed({"runs": runs}, {"chinchilla": fit}, "row41")
