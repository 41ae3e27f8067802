"""Numbers that cannot be believed: left out, down-weighted or doubted, named, harmless to the exponents."""

import copy
import functools
import math
import re
from pathlib import Path

import numpy as np
import pytest
import simulated
import yaml
from scaling import finished, selections
from scaling.laws import LAWS
from scaling.pages import content
from scaling.pages import fits as page

ROOT = Path(__file__).parents[2]
EXTERNAL = ROOT.parent / "shared/external"
needs_published = pytest.mark.skipif(not EXTERNAL.exists(), reason="the published runs lie elsewhere")
EXPERIMENTS = ("size", "long", "data", "batch")
ENVELOPES = ("L_C", "L_Cmin", "B_opt", "N_opt", "N_opt_Cmin", "S_min", "D_opt")
"""Laws of lowest losses, which one loss far too low could decide."""


@functools.cache
def sound():
    return simulated.study(EXPERIMENTS)


def faulty(run, change, at=None, tables=None):
    """The sound tables in which ``change`` was done to the losses of a run, or to its test point ``at``."""
    tables = copy.deepcopy({name: (tables or sound()["tables"])[name] for name in ("runs", "curves")})
    curve = [row for row in tables["curves"] if row["run"] == run]
    for row in curve if at is None else [curve[at]]:
        row["test_loss"] = change(row["test_loss"])
    for row in tables["runs"]:
        if row["run"] == run and at is None:
            row |= {name: change(row[name]) for name in ("test_loss", "best_test_loss")}
    return tables


def fitted(tables, laws):
    found = {}
    critical = None
    if any(LAWS[law].adjusted for law in laws):
        critical = selections.fit_law("B_crit", **tables, resamples=60, seed=0, delta=0.01)
    for law in laws:
        found[law], _ = selections.fit_law(law, **tables, resamples=60, seed=0, delta=0.01, critical=critical)
    return found


def moved(fit, usual=None):
    """Exponents of ``fit`` further than half their interval from ``usual`` fits, else from the sound ones."""
    usual = (usual or sound()["fits"])[fit["law"]]["parameters"]
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


WRONG = {"half": 0.5, "a third more": 1.33}
JUDGED = ("L_N", "L_NS", "L_NSmin", "L_C", "N_opt_Cmin")


@pytest.mark.parametrize("place", [0, 3, -1], ids=["smallest", "middle", "largest"])
@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
def test_a_wild_run_of_any_size_is_left_out_by_name_and_moves_no_exponent(factor, place):
    run = member("size", place)
    tables = faulty(run, lambda loss: factor * loss)
    fits = fitted(tables, JUDGED)
    for fit in fits.values():
        assert not moved(fit), fit["law"]
        assert fit["certificate"]["passed"], fit["law"]
        assert [item["run"] for item in fit["data"]["excluded"]] == [run]
    side = "above" if factor > 1 else "below"
    assert re.search(rf"its loss is \d+ % {side} what the other runs foretell", listed(tables, fits, run))


@pytest.mark.parametrize("place", [5, 12, -1])
@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
def test_a_wild_run_on_little_data_is_left_out_and_moves_no_exponent(factor, place):
    run = member("data", place)
    fits = fitted(faulty(run, lambda loss: factor * loss), ["L_ND", "L_D"])
    for fit in fits.values():
        assert not moved(fit), fit["law"]
        assert run in {item["run"] for item in fit["data"]["excluded"]}


@pytest.mark.parametrize("place", [0, 3, -1])
@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
def test_a_wild_run_of_a_batch_scan_is_left_out_and_moves_no_exponent(factor, place):
    run = member("batch", place)
    fit = fitted(faulty(run, lambda loss: factor * loss), ["B_crit"])["B_crit"]
    assert not moved(fit)
    assert run in {item["run"] for item in fit["data"]["excluded"]}


def test_wild_runs_are_left_out_one_by_one_up_to_a_fifth():
    wild = [member("size", 2), member("size", 5), member("long", 1)]
    tables = faulty(wild[0], lambda loss: 2 * loss)
    for run, factor in zip(wild[1:], (0.6, 1.5), strict=True):
        tables = faulty(run, lambda loss, factor=factor: factor * loss, tables=tables)
    fit = fitted(tables, ["L_NS"])["L_NS"]
    assert {item["run"] for item in fit["data"]["excluded"]} == set(wild)
    assert not moved(fit)


def test_where_more_are_wild_than_may_be_left_out_the_law_is_doubted():
    wild = [member("size", -2), member("size", -1)]
    tables = faulty(wild[0], lambda loss: 0.5 * loss)
    fit = fitted(faulty(wild[1], lambda loss: 0.5 * loss, tables=tables), ["L_N"])["L_N"]
    assert not fit["certificate"]["passed"]
    (reason,) = [reason for reason in fit["certificate"]["reasons"] if "no more than 1 may be" in reason]
    assert any(run in reason for run in wild)


def curved(sizes, noise=0.002):
    """Runs that follow E + A / N^α as Hoffmann et al. found it: no straight line in log-log."""
    random = np.random.default_rng(0)
    losses = (1.69 + 406.4 / sizes**0.34) * np.exp(random.normal(0, noise, len(sizes)))
    rows = zip(sizes, losses, strict=True)
    return [
        {"run": f"N{N:.0f}", "experiments": ["size"], "status": "finished", "N": N, "tokens": 1e9}
        | {"flops_per_token_6N": 6 * N, "test_loss": loss, "test_loss_se": math.nan}
        for N, loss in rows
    ]


@pytest.mark.parametrize("ends", [(1e6, 1e9), (1e6, 1e11), (1e7, 1e11)])
@pytest.mark.parametrize("count", [5, 6, 7, 8, 10])
def test_a_sound_study_of_a_curved_law_loses_no_run(count, ends):
    tables = {"runs": curved(np.geomspace(*ends, count)), "curves": []}
    fit = fitted(tables, ["L_N"])["L_N"]
    assert not fit["data"]["excluded"]


def test_few_sizes_are_doubted_where_a_line_is_too_poor_to_tell():
    fit = fitted({"runs": curved(np.geomspace(1e6, 1e11, 6)), "curves": []}, ["L_N"])["L_N"]
    (reason,) = [reason for reason in fit["certificate"]["reasons"] if "too few to leave it out" in reason]
    assert reason.startswith("N1000000: its loss is ")


@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_wild_run_of_a_study_of_one_size_on_several_data_is_left_out(factor, place):
    random = np.random.default_rng(0)
    runs = [
        {"run": f"D{D:.0f}", "experiments": ["data"], "status": "finished", "N": 1e6, "D": D, "tokens": 4 * D}
        | {"epochs": 4.0, "flops_per_token_6N": 6e6, "test_loss": loss, "test_loss_se": math.nan}
        for D in np.geomspace(1e6, 1e9, 9)
        for loss in [(1e13 / D) ** 0.095 * math.exp(random.normal(0, 0.003))]
    ]
    usual = {}
    for wrong in (False, True):
        runs[place]["test_loss"] *= factor if wrong else 1
        ended = [run | {"best_test_loss": run["test_loss"], "best_test_loss_se": math.nan} for run in runs]
        fit = fitted({"runs": ended, "curves": []}, ["L_D"])["L_D"]
        assert [item["run"] for item in fit["data"]["excluded"]] == [runs[place]["run"]] * wrong
        assert not wrong or not moved(fit, {"L_D": usual})
        usual = fit


def test_a_loss_of_zero_or_less_is_no_loss():
    run = member("size", 3)
    for law in fitted(faulty(run, lambda loss: -loss), ["L_N", "L_NS", "L_C"]).values():
        assert {"run": run, "reason": "its test_loss is not a number above 0"} in law["data"]["excluded"]


def test_what_most_runs_do_is_never_left_out():
    """Half of the runs are worse by half: neither half can be told to be the wrong one."""
    tables = sound()["tables"]
    for place in range(0, 8, 2):
        tables = faulty(member("size", place), lambda loss: 1.5 * loss, tables=tables)
    fit = fitted(tables, ["L_N"])["L_N"]
    assert not fit["data"]["excluded"]


def test_a_run_that_follows_another_law_than_the_rest_is_kept_where_it_is_not_far():
    run = member("size", -1)
    tables = faulty(run, lambda loss: 1.15 * loss)
    fit = fitted(tables, ["L_N"])["L_N"]
    assert not fit["data"]["excluded"]
    (outlier,) = fit["data"]["outliers"]
    assert outlier["run"] == run
    assert "down-weighted" in listed(tables, {"L_N": fit}, run)


@pytest.mark.parametrize("place", [0, 3, -1], ids=["smallest", "middle", "largest"])
@pytest.mark.parametrize("at", [5, 8, -1], ids=["first", "middle", "last"])
def test_a_test_point_far_too_low_decides_no_frontier(at, place):
    run = member("size", place)
    tables = faulty(run, lambda loss: 0.5 * loss, at=at)
    fits = fitted(tables, ["L_C", "N_opt"])
    for fit in fits.values():
        assert not moved(fit), fit["law"]
        assert run in {item["run"] for item in fit["data"]["excluded"]}
    assert re.search(r"far below those on either side are left out, at step \d+", listed(tables, fits, run))


def test_of_few_runs_one_far_too_low_is_doubted_by_name_where_it_decides():
    few = [member("size", place) for place in (1, 3, 4, 6)]
    tables = faulty(few[1], lambda loss: 0.5 * loss)
    for name in ("runs", "curves"):
        tables[name] = [row for row in tables[name] if row["run"] in few]
    fit = fitted(tables, ["L_C"])["L_C"]
    assert not fit["certificate"]["passed"]
    assert any(few[1] in reason for reason in fit["certificate"]["reasons"])


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
def test_a_wild_row_of_a_file_is_left_out_and_named(tmp_path, factor):
    usual, rows = simulated.finished()["fits"]["chinchilla"]["parameters"], published()
    rows[40] = (*rows[40][:2], factor * rows[40][2])
    runs, _ = table(tmp_path, rows)
    fit, _ = selections.fit_law("chinchilla", runs, [], resamples=60, seed=0, delta=0.01)
    assert [item["run"] for item in fit["data"]["excluded"]] == ["row41"]
    for name in ("alpha", "beta"):
        was = usual[name]
        assert abs(fit["parameters"][name]["value"] - was["value"]) < (was["high"] - was["low"]) / 2
    assert "what the other runs foretell" in listed({"runs": runs}, {"chinchilla": fit}, "row41")
    best = min(run["best_test_loss"] for run in runs if run["run"] != "row41")
    assert ("best test loss", f"{best:.2f} nats") in content.key_numbers(runs, {"chinchilla": fit})


PUBLISHED = {
    "chinchilla": ("chinchilla_runs.csv", ("chinchilla",)),
    "routing": ("deepmind_routing_curves.csv.gz", ("L_N", "L_NS", "L_C")),
}
"""Files of real runs, and the laws that are certified for them."""


@functools.cache
def elsewhere(study):
    """The tables of a published study as its config in studies/ has them, and what is fitted to them."""
    config = yaml.safe_load((ROOT / f"studies/{study}.yaml").read_text(encoding="utf-8"))["finished"]
    made, _ = finished.tables(config, EXTERNAL / PUBLISHED[study][0])
    tables = {name: made[name].to_pylist() for name in ("runs", "curves")}
    return tables, fitted(tables, PUBLISHED[study][1])


@needs_published
@pytest.mark.parametrize("study", PUBLISHED)
def test_no_published_run_is_taken_for_wild(study):
    _, fits = elsewhere(study)
    for fit in fits.values():
        assert fit["certificate"]["passed"]
        assert not fit["data"]["excluded"]


@needs_published
@pytest.mark.parametrize("place", [0, 4, -1])
@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("study", PUBLISHED)
def test_a_wild_one_among_published_runs_is_left_out_and_moves_no_exponent(study, factor, place):
    tables, usual = elsewhere(study)
    run = sorted(tables["runs"], key=lambda run: (run["N"], run["D"]))[place]["run"]
    fits = fitted(faulty(run, lambda loss: factor * loss, tables=tables), PUBLISHED[study][1])
    for law, fit in fits.items():
        assert not moved(fit, usual), law
        assert [item["run"] for item in fit["data"]["excluded"]] == [run]
