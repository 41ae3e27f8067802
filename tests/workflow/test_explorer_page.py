"""The explorer and the marking of runs as a reader uses them: headless Chromium, from disk, no network."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scaling import frontier
from scaling.charts.drawing import read_tables
from scaling.pages import content, explorer, render
from scaling.rows import CONVENTIONS
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_page import browser, visit  # noqa: F401 (browser is a fixture)

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import simulated

HOSTILE = ["<script>alert(1)</script>", "\"'\u2028`", "__proto__", "a.b[c]"]
CHOOSE = """
    for (const [name, value] of Object.entries(arguments[0])) {
        document.querySelector(`#explorer input[name="${name}"][value="${value}"]`).click();
    }
"""
ENVELOPE = "return explorer.envelope(explorer.shown(explorer.state()));"
CSV = """
    const [blobs, made] = [[], URL.createObjectURL];
    URL.createObjectURL = (blob) => (blobs.push(blob), made(blob));
    document.querySelector("#explorer [data-kind=csv]").click();
    setTimeout(() => blobs[0].text().then(arguments[0]), 300);
"""
OPACITIES = """
    const found = Object.create(null);
    for (const mark of document.querySelectorAll(`#${arguments[0]} .mark-symbol.role-mark path`)) {
        const run = mark.__data__?.datum?.run;
        if (run !== undefined) (found[run] ??= []).push(Number(mark.getAttribute("opacity") ?? 1));
    }
    return Object.entries(found);
"""


@pytest.fixture(scope="module")
def simulate(tmp_path_factory):
    """A function that writes the page of a simulated study and returns its path."""
    folder = tmp_path_factory.mktemp("simulated")

    def write(title, renamed=(), **options):
        text = json.dumps(simulated.study(**options))
        for before, after in renamed:
            text = text.replace(json.dumps(before), json.dumps(after))
        study = json.loads(text)
        records = (study[key] for key in ("study", "tables", "fits", "manifest"))
        shown = content.page(*records, study.get("finished"))
        page = folder / f"{title}.html"
        render.write_page(page, "frontier.html", render.library(folder / "figures"), **shown)
        return page, study

    return write


def chosen(browser, **choices):  # noqa: F811
    """The points of the envelope that the page finds with ``choices`` made, once it has drawn them."""
    browser.execute_script(CHOOSE, choices)
    browser.execute_async_script("const done = arguments[0]; explorer.drawn().then(() => done());")
    return browser.execute_script(ENVELOPE)


def expected(tables, critical, way, compute):
    """The compute (PF-days) and the lowest loss of every point of the envelope by frontier.interpolate."""
    adjusted = frontier.Critical(critical["parameters"], {}) if compute == "C_min" else None
    iso = frontier.interpolate(tables["runs"], tables["curves"], CONVENTIONS[way], adjusted)
    lowest = np.exp(iso.loss.min(0))
    return iso.compute[iso.lowest], lowest[iso.lowest]


@pytest.mark.parametrize("way", ["6N", "head", "attention"])
def test_the_envelope_of_the_page_is_that_of_the_fits(smoke, browser, way):  # noqa: F811
    visit(browser, smoke.results / "frontier.html", 1280)
    tables = read_tables(smoke.results / "tables", ("runs", "curves", "evaluations"))
    fits = {path.stem: json.loads(path.read_text()) for path in (smoke.results / "fits").glob("*.json")}
    critical = explorer.section(tables, fits)["critical"]
    for compute in ("C", "C_min"):
        found = chosen(browser, compute=compute, counting=way)
        x, y = expected(tables, critical, way, compute)
        assert [row["x"] for row in found] == pytest.approx(x, rel=2e-5)
        assert [row["y"] for row in found] == pytest.approx(y, rel=2e-5)
        names = {run["run"]: run["experiments"] for run in tables["runs"]}
        assert all({"size", "long"} & {*names[row["run"]]} for row in found)


def test_beads_are_the_points_that_the_laws_are_fitted_to(browser, simulate):  # noqa: F811
    page, study = simulate("beads", diverged=6144)
    visit(browser, page, 1280)
    for compute, law in (("C", "L_C"), ("C_min", "L_Cmin")):
        for way in ("6N", "head", "attention"):
            fit = study["fits"][law]
            data = (fit if way == "6N" else fit[f"with_{way}"])["data"]
            found = [row for row in chosen(browser, compute=compute, counting=way) if row["fitted"]]
            assert [row["x"] for row in found] == pytest.approx(data["inputs"][compute], rel=2e-5)
            assert [row["y"] for row in found] == pytest.approx(data["y"], rel=2e-5)
            assert [row["run"] for row in found] == data["run"]


def test_switches_change_the_chart_and_what_is_said_of_it(browser, simulate):  # noqa: F811
    page, study = simulate("switches", diverged=6144)
    _, complaints = visit(browser, page, 1280)
    chart = browser.find_element(By.CSS_SELECTOR, "#explorer .chart")
    said = browser.find_element(By.ID, "explorer-status")
    caption = browser.find_element(By.CSS_SELECTOR, "#explorer figcaption")
    assert "nats per token" in chart.text.replace("\n", " ")
    before = said.text
    assert "α" in caption.text
    assert "1.94 bytes" not in caption.text
    nats = chosen(browser, unit="nats")[-1]["y"]
    chosen(browser, unit="bits", compute="C_min", N="N_total")
    assert "bits per byte" in chart.text
    assert "embeddings counted" in chart.text
    assert "1.94 bytes" in caption.text
    assert said.text != before
    assert said.get_attribute("role") == "status"
    names = explorer.section(study["tables"], study["fits"])["experiments"]
    for experiment in ("size", "long"):
        browser.execute_script(CHOOSE, {"experiment": names.index(experiment)})
    chosen(browser)
    assert "Shown: 0 of" in said.text
    assert not chart.find_elements(By.CSS_SELECTOR, ".mark-line")
    chosen(browser, experiment=names.index("data"), unit="nats", compute="C")
    assert "data" in said.text
    text = browser.execute_async_script(CSV)
    rows = list(csv.DictReader(io.StringIO(text)))
    of_data = {run["run"] for run in study["tables"]["runs"] if "data" in run["experiments"]}
    assert {row["run"] for row in rows if row["series"] == "learning curve"} <= of_data
    assert nats > 0
    assert complaints == []


def test_a_run_is_marked_in_all_charts_and_unmarked(browser, simulate):  # noqa: F811
    page, study = simulate("marked", diverged=6144)
    visit(browser, page, 1280)
    said = browser.find_element(By.CSS_SELECTOR, "#picking output")
    hint = said.text
    point = browser.find_element(By.CSS_SELECTOR, "#loss_vs_N .mark-symbol.role-mark path")
    run = browser.execute_script("return arguments[0].__data__.datum.run", point)
    told = next(row for row in study["tables"]["runs"] if row["run"] == run)

    def click(element):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        ActionChains(browser).move_to_element(element).click().perform()

    def dim(figure):
        return {name for name, found in browser.execute_script(OPACITIES, figure) if max(found) < 0.25}

    def names(figure):
        return {name for name, _ in browser.execute_script(OPACITIES, figure)}

    figures = ("explorer", "loss_vs_N", "loss_vs_NS", "transfer_vs_N")
    click(point)
    for figure in figures:
        WebDriverWait(browser, 10).until(lambda _, figure=figure: dim(figure) == names(figure) - {run})
        assert run in names(figure)
    assert run in said.text
    assert f"N {told['N']:,}" in said.text
    assert f"{told['test_loss']:.3f} nats" in said.text
    row = browser.find_element(By.CSS_SELECTOR, "#runs button[aria-pressed=true]")
    assert row.text == run

    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    WebDriverWait(browser, 10).until(lambda _: all(not dim(figure) for figure in figures))
    assert said.text == hint

    browser.execute_script("arguments[0].focus()", row)
    row.send_keys(Keys.ENTER)
    WebDriverWait(browser, 10).until(lambda _: dim("explorer"))
    row.send_keys(Keys.ENTER)
    WebDriverWait(browser, 10).until(lambda _: not dim("explorer"))

    select = browser.find_element(By.CSS_SELECTOR, "#picking select")
    select.send_keys(Keys.ARROW_DOWN)
    WebDriverWait(browser, 10).until(lambda _: "Marked: " in said.text)
    chosen(browser, counting="head")
    assert dim("explorer"), "the mark outlasts another way of counting"
    click(browser.find_element(By.CSS_SELECTOR, "#picking button"))
    WebDriverWait(browser, 10).until(lambda _: not dim("explorer"))
    assert said.text == hint


def test_hostile_names_are_shown_and_break_nothing(browser, simulate):  # noqa: F811
    runs = [row["run"] for row in simulated.study(("size", "long"))["tables"]["runs"]]
    renamed = dict(zip(runs, HOSTILE, strict=False))
    options = {"experiments": ("size", "long"), "transfer": dict.fromkeys(HOSTILE, 0.3)}
    page, study = simulate("hostile", renamed.items(), **options)
    assert {*HOSTILE} < {run["run"] for run in study["tables"]["runs"]}
    _, complaints = visit(browser, page, 1280)
    assert complaints == []
    said = browser.find_element(By.CSS_SELECTOR, "#picking output")

    def alone(figure, name):
        return lambda _: undimmed(browser, figure) == {name}

    for name in HOSTILE:
        browser.execute_script("picking.pick(arguments[0])", name)
        assert f"Marked: {name} (" in said.get_property("textContent")
        pressed = browser.find_element(By.CSS_SELECTOR, "#runs button[aria-pressed=true]")
        assert pressed.get_property("textContent") == name
        for figure in ("explorer", "loss_vs_N"):
            WebDriverWait(browser, 10).until(alone(figure, name))
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def undimmed(browser, figure):  # noqa: F811
    """Names of the runs in a figure that have a mark which is not dim."""
    return {name for name, found in browser.execute_script(OPACITIES, figure) if max(found) > 0.25}
