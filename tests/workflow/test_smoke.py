"""The smoke study through the real Snakemake: what it makes, what it caches, what it refuses."""

import html
import json
import os
import re
import signal
import threading
import time

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from scaling.charts import catalog
from transformers import AutoModelForCausalLM, AutoTokenizer

RUNS = 44
"""Runs of the smoke study: 5 sizes, 2 trained longer, 3 more shapes of one size, 3 data sets for 2 sizes, 5
batch sizes of one, 2 more depths, 4 other architectures, 5 more schedules and seeds, 9 learning rates, and
3 of a short context."""


@pytest.fixture
def study(smoke):
    """The study's file, put back when the test is over."""
    yield smoke
    smoke.study()


@pytest.fixture
def made_again(smoke):
    """For tests that have single files made again: these get their times back, so that what is made of them
    need not follow."""
    before = {path: path.stat() for path in (smoke.root / "results").rglob("*")}
    yield
    for path, stat in before.items():
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert smoke.planned() == {}


def files_of_runs(project):
    return sorted((project.root / "results" / "runs").glob("*/*/run.json"))


def test_every_artifact_is_there(smoke):
    assert len(files_of_runs(smoke)) == RUNS
    folder = files_of_runs(smoke)[0].parent
    files = {"run.json", "curve.parquet", "evaluated.json", "evaluation.parquet", "snapshots"}
    assert {path.name for path in folder.iterdir() if path.name[0] != "."} == files
    assert {p.name for p in smoke.results.iterdir()} >= {
        "study.json",
        "tables",
        "fits",
        "figures",
        "frontier.html",
        "report.html",
        "findings.md",
    }
    figures = {p.stem for p in (smoke.results / "figures").glob("*.svg")}
    for figure in figures:
        for ending in ("html", "svg", "png", "csv"):
            assert (smoke.results / "figures" / f"{figure}.{ending}").stat().st_size > 0
    assert figures == set(catalog.FIGURES), "the smoke study holds every experiment"
    fits = {p.name.removesuffix(".json") for p in (smoke.results / "fits").glob("*.json")}
    assert {"B_crit", "L_Cmin", "L_NSmin", "N_opt_Cmin", "B_opt", "S_min", "D_opt", "allocation"} <= fits


def test_tables_hold_every_run(smoke):
    runs = pq.read_table(smoke.results / "tables" / "runs.parquet")
    assert len(runs) == len(set(runs["run"].to_pylist())) == RUNS
    assert set(runs["status"].to_pylist()) <= {"finished", "stopped"}
    evaluations = pq.read_table(smoke.results / "tables" / "evaluations.parquet")
    assert set(evaluations["set"].to_pylist()) == {"test", "code", "comments", "licences", "readmes"}
    assert set(evaluations["run"].to_pylist()) == set(runs["run"].to_pylist())
    on_test = evaluations.filter(pc.field("set") == "test").to_pylist()
    last = {row["run"]: row["loss"] for row in sorted(on_test, key=lambda row: row["step"])}
    for run in runs.filter(pc.field("status") == "finished").to_pylist():
        assert last[run["run"]] == pytest.approx(run["test_loss"], abs=1e-5)


def test_models_learn_and_larger_ones_more(smoke):
    runs = pq.read_table(smoke.results / "tables" / "runs.parquet").to_pylist()
    size = sorted((run["N"], run["test_loss"]) for run in runs if "size" in run["experiments"])
    assert size[-1][1] < size[0][1] - 0.2


def test_the_study_says_what_it_was(smoke):
    study = json.loads((smoke.results / "study.json").read_text())
    assert study["config"]["tokenizer"]["n_vocab"] == 300
    assert len(study["runs"]) == RUNS


def test_nothing_is_left_to_do(smoke):
    assert smoke.planned() == {}


def test_progress_was_shown_and_briefly(smoke):
    lines = [line for line in smoke.log.splitlines() if re.search(rf"\d+ of {RUNS} runs trained", line)]
    assert 1 <= len(lines) <= 10


def test_touched_files_and_a_fresh_checkout_leave_nothing_to_do(smoke):
    later = time.time() + 5
    for path in smoke.root.rglob("*"):
        if path.is_file() and "results" not in path.parts and ".snakemake" not in path.parts:
            os.utime(path, (later, later))
    assert smoke.planned() == {}


def test_what_is_adjusted_is_fitted_after_the_batch_scan_and_again_with_it(smoke):
    """A new fit of B_crit refits what it adjusts and nothing else."""
    planned = smoke.planned("--forcerun", "results/studies/smoke/fits/B_crit.json")
    assert planned["fit"] == 7, "B_crit and the six laws that are adjusted by it"
    assert planned["allocation"] == planned["page"] == 1
    assert "train" not in planned


def test_a_study_without_a_batch_scan_says_what_is_not_adjusted(study):
    study.study(
        lambda config: config.update(experiments=["size", "long", "data", "shape"], study="unscanned")
    )
    result = study.snakemake("results/studies/unscanned/frontier.html")
    assert result.returncode == 0, result.stdout
    folder = study.root / "results/studies/unscanned"
    assert not (folder / "fits/L_Cmin.json").exists()
    page = (folder / "frontier.html").read_text()
    text = re.sub(r"<[^>]+>", "", page)
    assert "These numbers are unadjusted: powers of compute C as trained" in text
    assert "which batch scans measure: add batch to experiments in the study's config" in html.unescape(text)
    result = study.snakemake("results/studies/unscanned/fits/L_Cmin.json")
    assert result.returncode == 0, result.stdout
    unfitted = json.loads((folder / "fits/L_Cmin.json").read_text())["unfitted"]
    assert "it needs B_crit(L), which batch scans measure; add experiment batch" in unfitted


def test_one_more_grid_point_trains_that_one_run(study):
    def add(config):
        shapes = yaml.safe_load((study.root / "studies/smoke.yaml").read_text())["grid"]["size"]["shape"]
        config["grid"] = {"size": {"shape": [*shapes, {"n_layer": 1, "d_model": 20, "n_head": 1}]}}

    study.study(add)
    planned = study.planned()
    assert planned["train"] == planned["evaluate"] == planned["tables"] == 1
    assert planned["fit"] >= 3
    assert {"tokens", "tokenizer", "prose", "transfer", "wheel", "manifest"}.isdisjoint(planned)


def test_a_value_retrains_what_it_affects_and_changing_back_finds_the_old_runs(study):
    def change(config):
        config["grid"] = {
            "data": yaml.safe_load((study.root / "studies/smoke.yaml").read_text())["grid"]["data"]
        }
        config["grid"]["data"][0]["patience"] = 3

    study.study(change)
    assert study.planned()["train"] == 6, "the limited data sets of two sizes"
    result = study.snakemake("results/studies/smoke/tables/runs.parquet")
    assert result.returncode == 0, result.stdout
    assert len(files_of_runs(study)) == RUNS + 6

    study.study()
    planned = study.planned()
    assert {"train", "evaluate"}.isdisjoint(planned)
    result = study.snakemake()
    assert result.returncode == 0, result.stdout
    assert study.planned() == {}


def test_a_change_of_a_fit_refits_alone(study):
    study.study(lambda config: config.update(fits={"resamples": 200}))
    assert {"train", "evaluate"}.isdisjoint(study.planned())
    assert study.planned()["fit"] >= 3


def test_a_change_of_a_transfer_set_evaluates_alone(study):
    study.study(lambda config: config["corpus"].update(transfer_bytes=20000))
    planned = study.planned()
    assert planned["transfer"] == 4
    assert planned["evaluate"] == RUNS
    assert {"train", "prose", "tokenizer"}.isdisjoint(planned)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("fits/L_N.json", "fit"),
        ("figures/transfer.svg", "figure"),
        ("frontier.html", "page"),
        ("report.html", "report"),
    ],
)
@pytest.mark.usefixtures("made_again")
def test_a_single_artifact_is_remade_by_its_path(smoke, name, rule):
    path = smoke.results / name
    before = path.read_bytes()
    path.unlink()
    result = smoke.snakemake(str(path.relative_to(smoke.root)))
    assert result.returncode == 0, result.stdout
    assert f"(Rule: {rule})" in result.stdout
    assert "(Rule: train)" not in result.stdout
    assert path.read_bytes() == before, "the same inputs give the same bytes"


@pytest.mark.usefixtures("made_again")
def test_a_single_run_trains_to_the_same_weights(smoke):
    folder = files_of_runs(smoke)[0].parent
    weights = {p.name: p.read_bytes() for p in (folder / "snapshots").iterdir()}
    (folder / "run.json").unlink()
    result = smoke.snakemake(str((folder / "run.json").relative_to(smoke.root)))
    assert result.returncode == 0, result.stdout
    assert {p.name: p.read_bytes() for p in (folder / "snapshots").iterdir()} == weights


def test_the_report_says_what_is_missing_and_what_it_would_cost(study):
    study.study(lambda config: config.update(experiments=["size", "long", "data"], study="sizes"))
    folder = "results/studies/sizes"
    result = study.snakemake(f"{folder}/report.html", f"{folder}/figures/schedules.svg")
    assert result.returncode == 0, result.stdout
    assert "(Rule: train)" not in result.stdout, "other experiments are priced, not trained"
    text = html.unescape(re.sub(r"<[^>]+>", "", (study.root / folder / "report.html").read_text()))
    for name, runs in (("schedule", 5), ("depth", 2), ("learning_rate", 9), ("context", 3)):
        line = rf"add .*{name}.* in the study's config \(.*{name}: {runs} runs, .* of a CPU core"
        assert re.search(line, text), name
    picture = (study.root / folder / "figures" / "schedules.svg").read_text()
    assert "5 runs" in picture


def test_snakemake_s_own_report_has_the_figures_by_kind_with_captions(smoke):
    result = smoke.snakemake("--report", "report.html")
    assert result.returncode == 0, result.stdout
    text = (smoke.root / "report.html").read_text()
    kinds = json.loads(re.search(r"var categories = (.*);", text)[1])
    assert {"Laws of the loss", "Batch size", "Training", "Other text", "Pages"} <= set(kinds)
    assert "results/studies/smoke/figures/schedules.svg" in kinds["Training"]["Other"]
    assert {"report.html", "frontier.html"} == {path.split("/")[-1] for path in kinds["Pages"]["Other"]}
    assert "In the paper: The schedule hardly matters" in text
    (smoke.root / "report.html").unlink()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"run": {"learning_rate": "1e-3"}}, "config: run.learning_rate: found '1e-3' (text)"),
        ({"run": {"lr": 0.1}}, "config: run: found unknown key 'lr'"),
        ({"runs": {}}, "config: test.yaml: found unknown key 'runs' (did you mean run?)"),
        (
            {"grid": {"size": {"shape": [{"n_layer": 1, "d_model": 9, "n_head": 2}]}}},
            "heads that do not divide",
        ),
        ({"corpus": {"lock": "no.lock"}}, "config: corpus.lock: found no text file 'no.lock'"),
    ],
)
def test_a_bad_config_gives_one_line_and_no_traceback(study, change, line):
    study.study(lambda config: config.update(change))
    result = study.snakemake("-n")
    assert result.returncode != 0
    said = [text for text in result.stdout.splitlines() if text.startswith("config:")]
    assert len(said) == 1
    assert line in said[0]
    assert "Traceback" not in result.stdout


def test_a_run_that_is_not_of_the_study_is_named(smoke):
    result = smoke.snakemake("results/runs/nowhere/transformer-L9/run.json", "-n")
    assert result.returncode != 0
    assert (
        "nowhere/transformer-L9 is not a run of this study; results/studies/smoke/study.json lists them"
        in result.stdout
    )
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("results/data/wheels/foo-1.0.whl", "foo-1.0 is not a wheel of tests.lock"),
        ("results/studies/smoke/fits/foo.json", "foo is not a law; there are L_N, L_D, L_C"),
    ],
)
def test_an_unknown_target_trains_nothing(smoke, target, line):
    result = smoke.snakemake(target, "-n")
    assert result.returncode != 0
    assert line in result.stdout
    assert "Train " not in result.stdout


def test_a_newer_wheel_file_of_the_same_pin_leaves_nothing_to_do(smoke):
    for path in (smoke.root / "results/data/wheels").iterdir():
        path.touch()
    assert smoke.planned() == {}


@pytest.mark.usefixtures("made_again")
def test_a_damaged_input_is_named_and_nothing_half_written_stays(smoke):
    ids = next((smoke.root / "results" / "data").glob("*/bpe300/test.npy"))
    whole, stat = ids.read_bytes(), ids.stat()
    folder = files_of_runs(smoke)[0].parent
    record = (folder / "run.json").read_bytes()
    ids.write_bytes(whole[:100])
    os.utime(ids, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (folder / "run.json").unlink()
    target = str((folder / "run.json").relative_to(smoke.root))
    result = smoke.snakemake(target)
    assert result.returncode != 0
    assert re.search(r"error: .*test\.npy is damaged .*; `snakemake --force .*test\.npy`", result.stdout)
    assert not (folder / "run.json").exists()
    ids.write_bytes(whole)
    os.utime(ids, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    result = smoke.snakemake(target)
    assert result.returncode == 0, result.stdout
    assert json.loads((folder / "run.json").read_text())["test_loss"] == json.loads(record)["test_loss"]


def test_an_interrupted_job_goes_on_by_retries(study):
    """SIGTERM to a training job, as a cluster sends it: it saves, Snakemake starts it again, it goes on."""

    def longer(config):
        config["run"] = {"S": 3000}
        config["experiments"] = ["size"]
        config["grid"] = {"size": {"shape": [{"n_layer": 2, "d_model": 24, "n_head": 2}]}}

    study.study(longer)
    planned = study.snakemake("-n", "--quiet", "host", "--summary")
    record = re.search(r"results/runs/\S+-s3k_\S+/run\.json", planned.stdout)[0]
    folder = (study.root / record).parent
    done = []
    process = threading.Thread(target=lambda: done.append(study.snakemake("--retries", "2", record)))
    process.start()
    progress = folder / "progress.json"
    while process.is_alive() and not progress.exists():
        time.sleep(0.05)
    holder = json.loads((folder / "training.lock").read_text())
    os.kill(holder["pid"], signal.SIGTERM)
    process.join()
    assert done[0].returncode == 0, done[0].stdout
    said = json.loads((folder / "run.json").read_text())
    assert (said["status"], said["steps"], said["resumed"]) == ("finished", 3000, 1)
    assert {path.name for path in folder.iterdir() if path.name[0] != "."} == {
        "curve.parquet",
        "evaluated.json",
        "run.json",
        "snapshots",
    }


def test_a_run_is_exported_for_transformers(smoke):
    folder = max(files_of_runs(smoke), key=lambda path: json.loads(path.read_text())["N"]).parent
    target = folder / "huggingface"
    result = smoke.snakemake(str(target.relative_to(smoke.root)))
    assert result.returncode == 0, result.stdout
    network = AutoModelForCausalLM.from_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(target)
    ids = tokenizer("the vector of the matrix", return_tensors="pt")["input_ids"]
    assert tokenizer.decode(ids[0]) == "the vector of the matrix"
    assert network(ids).logits.shape == (1, ids.shape[1], 300)
    assert (
        sum(p.numel() for p in network.parameters())
        == json.loads((folder / "run.json").read_text())["N_total"]
    )
    assert smoke.planned() == {}
