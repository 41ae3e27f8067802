"""The pages of the smoke study as a reader opens them: headless Chromium, from disk, without a network."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pyarrow.parquet as pq
import pytest
from scaling.benchmark import page as benchmark
from scaling.charts import theme
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from unit import simulated


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with benchmark.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


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
        lambda driver: len(driver.find_elements(By.CSS_SELECTOR, "figure .chart .marks")) == figures
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


# --- files ----------------------------------------------------------------------------------------------


@pytest.fixture
def save(browser, tmp_path):
    """A function that presses the button of a figure and returns the file that it saves."""
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)

    def press(figure, kind):
        path = tmp_path / f"{figure}.{kind}"
        button = browser.find_element(By.CSS_SELECTOR, f"#{figure} button[data-kind={kind}]")
        browser.execute_script("arguments[0].focus()", button)
        button.send_keys(Keys.ENTER)
        WebDriverWait(browser, 20, poll_frequency=0.05).until(
            lambda _: path.is_file() and path.stat().st_size
        )
        return path

    return press


CATCH = """
    window.caught = {};
    const blobs = new Map();
    URL.createObjectURL = (blob) => {
        const url = `blob:${blobs.size}`;
        blobs.set(url, blob);
        return url;
    };
    HTMLAnchorElement.prototype.click = function () {
        blobs.get(this.href).text().then((text) => { caught[this.download] = text; });
    };
    for (const button of document.querySelectorAll("figure > .downloads [data-kind=csv]")) button.click();
"""
"""Presses every button for data and keeps in the page what it would save: browsers stop many files."""


def cells(text):
    """Rows of CSV, numbers as such."""

    def number(text):
        try:
            return float(text)
        except ValueError:
            return text

    return [[number(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]


@pytest.mark.parametrize("name", PAGES)
def test_data_saved_from_a_page_is_that_of_the_pipeline(smoke, browser, name):
    visit(browser, smoke.results / name, 1280)
    figures = browser.execute_script(
        "return [...document.querySelectorAll('figure > .packed')].map((script) => script.parentElement.id)"
    )
    assert len(figures) >= PAGES[name] - 1
    browser.execute_script(CATCH)
    WebDriverWait(browser, 20).until(
        lambda driver: (
            set(driver.execute_script("return Object.keys(caught)")) >= {f"{f}.csv" for f in figures}
        )
    )
    caught = browser.execute_script("return caught")
    for figure in figures:
        saved = cells(caught[f"{figure}.csv"])
        made = cells((smoke.results / f"figures/{figure}.csv").read_text(encoding="utf-8"))
        assert len(saved) == len(made) > 1
        for row, other in zip(saved, made, strict=True):
            assert row == [
                pytest.approx(cell, rel=1e-6) if isinstance(cell, float) else cell for cell in other
            ]


def test_pictures_saved_from_a_dark_page_are_light_and_as_wide_as_the_pipeline_s(smoke, browser, save):
    paint(browser, "dark")
    try:
        visit(browser, smoke.results / "report.html", 400)
        for figure in ("loss_vs_N", "shape"):
            svg, png = (save(figure, kind) for kind in ("svg", "png"))
            root, made = (
                ElementTree.parse(path).getroot() for path in (svg, smoke.results / f"figures/{figure}.svg")
            )
            assert root.get("role") == "img"
            assert root.get("aria-label") == made.get("aria-label")
            assert any(part.get("fill") == theme.CONFIG["background"] for part in root.iter())
            assert float(root.get("width")) == pytest.approx(float(made.get("width")), rel=0.05)
            head = png.read_bytes()[:24]
            assert head[:8] == b"\x89PNG\r\n\x1a\n"
            assert int.from_bytes(head[16:20], "big") == pytest.approx(2 * float(root.get("width")), abs=2)
    finally:
        paint(browser, "light")


def test_buttons_say_what_they_save(smoke, browser):
    visit(browser, smoke.results / "frontier.html", 375)
    for figure in browser.find_elements(By.CSS_SELECTOR, "figure:has(.chart)"):
        title = figure.find_element(By.CSS_SELECTOR, "h3").get_property("textContent")
        buttons = figure.find_elements(By.CSS_SELECTOR, ".downloads button")
        assert [button.accessible_name for button in buttons] == [
            f"Download the picture of {title} as SVG",
            f"Download the picture of {title} as PNG",
            f"Download the data of {title} as CSV",
        ]
        assert all(button.rect["height"] >= 24 for button in buttons)


# --- order and colours ----------------------------------------------------------------------------------


def paint(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def backgrounds(browser):
    """The colours behind the charts."""
    return set(
        browser.execute_script(
            "return [...document.querySelectorAll('figure .chart svg.marks')]"
            ".map((picture) => getComputedStyle(picture).backgroundColor)"
        )
    )


def test_charts_follow_the_scheme_and_are_printed_light(smoke, browser):
    light, dark = {"rgb(255, 255, 255)"}, {"rgb(20, 23, 28)"}
    assert [config["background"] for config in (theme.CONFIG, theme.DARK)] == ["white", "#14171c"]
    wait = WebDriverWait(browser, 20)
    visit(browser, smoke.results / "frontier.html", 1280)
    assert backgrounds(browser) == light
    paint(browser, "dark")
    try:
        wait.until(lambda _: backgrounds(browser) == dark)
        browser.execute_script("dispatchEvent(new Event('beforeprint'))")
        wait.until(lambda _: backgrounds(browser) == light)
        browser.execute_script("dispatchEvent(new Event('afterprint'))")
        wait.until(lambda _: backgrounds(browser) == dark)
    finally:
        paint(browser, "light")
    wait.until(lambda _: backgrounds(browser) == light)


def test_what_is_in_view_is_drawn_first_and_the_rest_without_scrolling(smoke, browser):
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": benchmark.WATCH})
    still = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", still)
    browser.get("about:blank")
    browser.get(f"{(smoke.results / 'report.html').as_uri()}#transfer")
    charts = len(browser.find_elements(By.CSS_SELECTOR, "figure .chart"))
    drawn = "return Object.entries(seen.drawn).sort((one, other) => one[1] - other[1]).map(([name]) => name)"
    WebDriverWait(browser, 20).until(lambda driver: len(driver.execute_script(drawn)) == charts)
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    order = browser.execute_script(drawn)
    assert order[0] == "transfer"


# --- names from data ------------------------------------------------------------------------------------

NAMES = ("<script>alert(1)</script>", "\"'\u2028", "__proto__", "a.b[c]", "=1+1", "{{x}}", "\\u0041")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of a study whose runs and sets have such names."""
    folder = tmp_path_factory.mktemp("hostile")
    sets = {name: 0.2 + 0.1 * at for at, name in enumerate(NAMES)}
    study = simulated.study(("size", "long", "data", "batch"), transfer=sets, name="=".join(("", *NAMES)))
    return study, folder / "frontier.html", benchmark.made(study, folder / "frontier.html")


def test_hostile_names_are_shown_and_saved_as_text(hostile, browser, save):
    study, path, _ = hostile
    asked, complaints = visit(browser, path, 1280)
    assert asked == [path.as_uri()]
    assert complaints == []
    shown = browser.find_element(By.CSS_SELECTOR, "#transfer .chart").get_property("textContent")
    for name in NAMES:
        assert name.strip() in shown
    runs = {run["run"] for run in study["tables"]["runs"]}
    point = browser.find_element(By.CSS_SELECTOR, "#loss_vs_N .mark-symbol.role-mark path")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", point)
    ActionChains(browser).move_to_element(point).perform()
    tooltip = WebDriverWait(browser, 10).until(
        lambda driver: driver.find_element(By.CSS_SELECTOR, "#vg-tooltip-element.visible")
    )
    assert any(name in tooltip.get_property("textContent") for name in runs)
    saved = cells(save("transfer", "csv").read_text(encoding="utf-8"))
    column, sets = saved[0].index("run"), saved[0].index("set")
    assert {row[column] for row in saved[1:]} <= {f"'{name}" for name in runs}
    assert {row[sets] for row in saved[1:]} == {*NAMES[:4], "'=1+1", *NAMES[5:]}
    assert browser.execute_script("return document.querySelectorAll('.chart script, td script').length") == 0


# --- size and speed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "megabytes", "seconds", "fewest"),
    [(simulated.study, 5, 2, 45), (benchmark.study, 15, 5, 990)],
    ids=["default study", "1,000 runs"],
)
def test_a_page_is_small_and_soon_of_use(browser, tmp_path, make, megabytes, seconds, fewest):
    study = make()
    assert len(study["tables"]["runs"]) >= fewest
    benchmark.made(study, tmp_path / "frontier.html")
    browser.get("about:blank")
    found = [benchmark.opened(tmp_path / "frontier.html", browser) for _ in range(3)]
    assert found[0]["bytes"] < megabytes * 1e6
    assert found[0]["charts"] > 15
    assert min(times["first"] for times in found) < seconds  # others may be at work on this machine
