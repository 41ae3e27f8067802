"""The pages of the smoke study as a reader opens them: headless Chromium, from disk, without a network."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def visit(browser, path, width):
    """Open a page at a width; return what it asked for and what it complained of."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.get("about:blank")
    browser.get_log("performance")  # forget what the browser asked for before
    browser.get(path.as_uri())
    figures = len(browser.find_elements(By.CSS_SELECTOR, "figure .chart"))
    WebDriverWait(browser, 60).until(
        lambda driver: len(driver.find_elements(By.CSS_SELECTOR, "figure .chart svg.marks")) == figures
    )
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    return [url for url in asked if not url.startswith(("data:", "blob:"))], complaints


PAGES = {"frontier.html": 6, "report.html": 20}
"""Pages, and how many charts each has at least."""
OUTSIDE = """
    const edge = document.documentElement.clientWidth + 1;
    return [...document.querySelectorAll("figure, figcaption, .chart svg, h1, h2, h3, p, li")]
        .filter((element) => element.getBoundingClientRect().right > edge && !element.closest(".scroll"))
        .map((element) => element.outerHTML);
"""
COLOURS = """
    const fills = (selector) => [...arguments[0].querySelectorAll(selector)]
        .map((mark) => mark.getAttribute("fill")).filter((fill) => fill && fill !== "transparent");
    return [fills(".role-legend-symbol path"), fills(".mark-symbol.role-mark path")];
"""


@pytest.mark.parametrize("width", [1280, 400, 375])
@pytest.mark.parametrize("name", PAGES)
def test_the_page_opens_offline_and_fits(smoke, browser, name, width):
    page = smoke.results / name
    asked, complaints = visit(browser, page, width)
    assert asked == [page.as_uri()]
    assert complaints == []
    assert len(browser.find_elements(By.CSS_SELECTOR, "figure .chart svg.marks")) >= PAGES[name]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(OUTSIDE) == []


@pytest.mark.parametrize("name", PAGES)
def test_every_chart_has_marks(smoke, browser, name):
    visit(browser, smoke.results / name, 1280)
    for svg in browser.find_elements(By.CSS_SELECTOR, "figure .chart svg.marks"):
        assert (
            len(svg.find_elements(By.CSS_SELECTOR, ".mark-symbol path, .mark-line path, .mark-area path"))
            >= 3
        )


def test_a_chart_s_tooltip_says_which_run_a_point_is(smoke, browser):
    visit(browser, smoke.results / "report.html", 1280)
    runs = pq.read_table(smoke.results / "tables" / "runs.parquet").to_pylist()
    of_size = {run["run"] for run in runs if "size" in run["experiments"]}
    point = browser.find_element(By.CSS_SELECTOR, "#loss_vs_N .mark-symbol.role-mark path")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", point)
    ActionChains(browser).move_to_element(point).perform()
    tooltip = WebDriverWait(browser, 10).until(
        lambda driver: driver.find_element(By.CSS_SELECTOR, "#vg-tooltip-element.visible")
    )
    keys, values = (
        [cell.text for cell in tooltip.find_elements(By.CSS_SELECTOR, f".{part}")]
        for part in ("key", "value")
    )
    cells = dict(zip((key.strip(":") for key in keys), values, strict=True))
    assert cells["run"] in of_size
    told = next(run for run in runs if run["run"] == cells["run"])
    assert cells["N"] == f"{told['N']:,}"


def test_the_legend_of_N_has_the_colours_of_the_points(smoke, browser):
    visit(browser, smoke.results / "report.html", 1280)
    svg = browser.find_element(By.CSS_SELECTOR, "#loss_vs_D svg.marks")
    legend, points = browser.execute_script(COLOURS, svg)
    assert len(set(legend)) == len(legend) >= 2
    assert set(legend) <= set(points)


def test_verdicts_on_the_page_are_those_of_the_table_of_findings(smoke, browser):
    visit(browser, smoke.results / "report.html", 400)
    rows = browser.find_elements(By.CSS_SELECTOR, "#findings tbody tr")
    lines = (smoke.results / "findings.md").read_text().splitlines()[2:]
    assert len(rows) == len(lines) == 12
    for row, line in zip(rows, lines, strict=True):
        verdict = row.find_element(By.CSS_SELECTOR, ".verdict").get_attribute("data-verdict")
        assert line.split(" | ")[-1].lower().startswith(verdict)
        for cell in row.find_elements(By.CSS_SELECTOR, "th, td"):
            assert cell.rect["x"] + cell.rect["width"] <= 400, "can be read without scrolling"


def test_exponents_on_the_page_are_those_of_the_fits(smoke, browser):
    visit(browser, smoke.results / "frontier.html", 1280)
    for law, parameter in (("L_N", "alpha_N"), ("L_C", "alpha_C"), ("L_D", "alpha_D")):
        fit = json.loads((smoke.results / "fits" / f"{law}.json").read_text())
        row = browser.find_element(By.ID, f"{law}-{parameter}").text.replace("−", "-")
        assert f"{fit['parameters'][parameter]['value']:.3g}" in row
        assert ("not certified" in row) == (not fit["certificate"]["passed"])


def test_forecasts_and_certificates_can_be_read_on_a_narrow_screen(smoke, browser):
    visit(browser, smoke.results / "frontier.html", 375)
    fits = [json.loads(path.read_text()) for path in (smoke.results / "fits").glob("*.json")]
    fits = [fit for fit in fits if fit["law"] != "allocation"]
    notes = browser.find_elements(By.CSS_SELECTOR, "#exponents .quality div")
    assert len(notes) >= len(fits)
    for note in notes:
        assert note.rect["x"] + note.rect["width"] <= 375
    fitted = [note for note in notes if "Forecast of the largest tenth" in note.text]
    assert len(fitted) >= sum("parameters" in fit for fit in fits) > 0
    details = fitted[0].find_element(By.TAG_NAME, "details")
    assert details.text.startswith("Certified: 64 of 64 starts") or "Not certified" in fitted[0].text
    assert not details.get_property("open")
    details.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert details.get_property("open")


def test_a_single_figure_opens_offline(smoke, browser):
    page = smoke.results / "figures" / "learning_curves.html"
    asked, complaints = visit(browser, page, 800)
    assert asked == [page.as_uri()]
    assert complaints == []
