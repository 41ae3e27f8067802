"""Studies of finished runs through the real Snakemake: to the page, with nothing trained."""

import functools
import hashlib
import http.server
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from scaling import grid, laws

ROOT = Path(__file__).parents[2]
EXTERNAL = ROOT.parent / "shared/external"
POINTS, CURVES = EXTERNAL / "chinchilla_runs.csv", EXTERNAL / "deepmind_routing_curves.csv.gz"
TRUTH = {"alpha": 0.35, "A": 400.0, "beta": 0.37, "B": 2000.0, "E": 1.8}


def simulated(path):
    """Write 30 runs that follow the law of Hoffmann et al. 2022, with the scatter of seeds."""
    random, law = np.random.default_rng(0), laws.LAWS["chinchilla"]
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(5e7, 1e10, 6), np.geomspace(1e9, 2e11, 5)))
    loss = law.predict({"N": N, "D": D}, TRUTH) * np.exp(random.normal(0, 0.002, N.size))
    lines = [",".join(f"{value:.10g}" for value in row) for row in zip(N, D, loss, strict=True)]
    path.write_text("\n".join(["N,D,loss", *lines]) + "\n")


@pytest.fixture
def mine(bare):
    """A project with the study that the README shows, and a file of runs for it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", readme, re.S) if "finished:" in block)
    (bare.root / "mine.yaml").write_text(example)
    (bare.root / "few.yaml").write_text("fits: {resamples: 100}\n")
    simulated(bare.root / "runs.csv")
    return bare


def run(project, *arguments, studies=("mine.yaml", "few.yaml")):
    return project.snakemake(*arguments, "--configfile", *studies, study=None)


def planned(project, studies=("mine.yaml", "few.yaml")):
    return project.planned("--configfile", *studies, study=None)


def test_a_file_of_runs_becomes_fits_and_a_page_and_nothing_is_trained(mine):
    result = run(mine)
    assert result.returncode == 0, result.stdout
    made = mine.root / "results/studies/mine"
    fit = json.loads((made / "fits/chinchilla.json").read_text())
    assert fit["certificate"]["passed"]
    for name, value in TRUTH.items():
        assert fit["parameters"][name]["low"] < value < fit["parameters"][name]["high"]
    page = (made / "frontier.html").read_text(encoding="utf-8")
    assert "runs.csv" in page
    assert (made / "exponents.md").stat().st_size
    assert {path.name for path in (mine.root / "results").iterdir()} == {"README.md", "studies"}
    study = json.loads((made / "study.json").read_text())
    assert study["runs"] == []
    assert set(study["config"]) == {"study", "finished", "fits"}
    assert "runs trained" not in result.stdout
    assert planned(mine) == {}

    file = mine.root / "runs.csv"
    file.write_text(file.read_text() + "3e9,3e10,2.31\n")
    again = planned(mine)
    assert again["finished"] == 1
    assert again["fit"] == len(list((made / "fits").glob("*.json")))
    assert "study" not in again


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"finished": {"file": "no.csv"}}, "config: finished.file: found no file 'no.csv', expected a path"),
        ({"finished": {"columns": {"tokns": "D"}}}, "(did you mean tokens?)"),
        ({"fits": {"laws": ["L_M"]}}, "config: fits.laws: found unknown law 'L_M' (did you mean L_N?)"),
    ],
)
def test_a_bad_study_gives_one_line_before_anything_starts(mine, change, line):
    (mine.root / "change.yaml").write_text(yaml.safe_dump(change))
    result = run(mine, studies=("mine.yaml", "change.yaml"))
    assert result.returncode != 0
    assert line in next(text for text in result.stdout.splitlines() if text.startswith("config:"))
    assert "Traceback" not in result.stdout
    assert "Exception" not in result.stdout
    assert not (mine.root / "results/studies").exists()


def test_a_bad_row_gives_one_line_and_nothing_half_written(mine):
    file = mine.root / "runs.csv"
    file.write_text(file.read_text() + "3e9,3e10,\n")
    result = run(mine)
    assert result.returncode != 0
    assert "error: runs.csv: row 31 has no loss (column 'loss'); mend or delete the row" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (mine.root / "results/studies/mine/tables").exists()


def test_a_file_from_an_address_is_fetched_once_and_checked(mine):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        asked = 0

        def log_message(self, *_):
            Quiet.asked += 1

    handler = functools.partial(Quiet, directory=mine.root)
    checksum = hashlib.sha256((mine.root / "runs.csv").read_bytes()).hexdigest()
    tables = "results/studies/mine/tables/runs.parquet"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        finished = {"file": f"http://127.0.0.1:{server.server_port}/runs.csv", "sha256": "0" * 64}
        (mine.root / "few.yaml").write_text(yaml.safe_dump({"finished": finished}))
        result = run(mine, tables)
        assert f"found sha256 {checksum}, expected {'0' * 64}" in result.stdout
        assert not list(mine.root.glob("results/data/finished/*"))

        finished["sha256"] = checksum
        (mine.root / "few.yaml").write_text(yaml.safe_dump({"finished": finished}))
        result = run(mine, tables)
        assert result.returncode == 0, result.stdout
        assert (mine.root / grid.finished_path(finished)).read_bytes() == (
            mine.root / "runs.csv"
        ).read_bytes()
        (mine.root / tables).unlink()
        assert run(mine, tables).returncode == 0
        assert Quiet.asked == 2
        server.shutdown()


def published(project, study, file, *targets, resamples=100):
    """Fits of a shipped study, read from the copy of its file that lies beside the checkout."""
    change = {"finished": {"file": str(file)}, "fits": {"resamples": resamples}}
    (project.root / "local.yaml").write_text(yaml.safe_dump(change))
    result = run(project, *targets, studies=(f"studies/{study}.yaml", "local.yaml"))
    assert result.returncode == 0, result.stdout
    fits = (project.root / f"results/studies/{study}/fits").glob("*.json")
    return {path.stem: json.loads(path.read_text()) for path in fits}


@pytest.mark.skipif(not POINTS.exists(), reason="the published points are not beside this checkout")
def test_the_published_points_of_chinchilla_are_fitted_as_others_fitted_them(bare):
    fit = published(bare, "chinchilla", POINTS)["chinchilla"]
    assert fit["data"]["runs"] == 240
    assert fit["certificate"]["passed"]
    assert fit["objective"] <= 1.01828e-3
    for name, value in {"E": 1.817, "alpha": 0.347, "beta": 0.367}.items():
        assert fit["parameters"][name]["value"] == pytest.approx(value, rel=0.01)
    record = json.loads((bare.root / "results/studies/chinchilla/tables/finished.json").read_text())
    assert (record["rows_read"], record["runs"], len(record["dropped"])) == (245, 240, 5)
    page = (bare.root / "results/studies/chinchilla/frontier.html").read_text(encoding="utf-8")
    for item in record["dropped"]:
        assert re.search(rf"<li>{item['run']}, loss .*: {item['reason']}", page), "what was dropped is named"


@pytest.mark.skipif(not CURVES.exists(), reason="the published curves are not beside this checkout")
def test_the_published_curves_of_dense_models_have_their_exponent(bare):
    fits = published(bare, "routing", CURVES)
    assert fits["L_N"]["data"]["runs"] == 8
    assert 0.076 < fits["L_N"]["parameters"]["alpha_N"]["value"] < 0.082
    assert fits["L_C"]["data"]["points"] > 30, "its runs are learning curves"
    figures = bare.root / "results/studies/routing/figures"
    assert "wikitext103" in (figures / "transfer.csv").read_text()
