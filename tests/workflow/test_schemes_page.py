"""The pages of the smoke study in the dark, on paper, and as software that reads aloud is told of them."""

import re

import pytest
from scaling.charts import theme
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from test_page import PAGES, browser, visit  # noqa: F401 (browser is a fixture)

NAMED = {
    "button", "link", "textbox", "spinbutton", "combobox", "checkbox", "radio", "searchbox", "slider",
    "image", "region", "navigation", "DisclosureTriangle", "graphics-document",
}  # fmt: skip
"""Roles that say nothing without a name."""
PAPER = 688
"""Pixels between the margins of a sheet of A4."""
CHARTS = "figure .chart svg.marks"
SMALL = """
    return [...document.querySelectorAll("button, select, summary, input:not([type=radio], [type=checkbox])")]
        .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 24)
        .map((each) => each.outerHTML);
"""
CUT = """
    return [...document.querySelectorAll(".scroll")]
        .filter((each) => each.scrollHeight > each.clientHeight + 2)
        .map((each) => each.outerHTML);
"""
GROUNDS = """
    const ground = (element) => getComputedStyle(element).backgroundColor;
    const charts = [...document.querySelectorAll("figure .chart svg.marks")];
    return [ground(document.body), ...charts.map((chart) => chart.style.backgroundColor)];
"""
INKS = """
    const texts = document.querySelectorAll("figure .chart svg.marks text");
    return [...new Set([...texts].map((text) => text.getAttribute("fill")))];
"""


@pytest.fixture
def emulate(browser):  # noqa: F811
    """A function that sets the medium and the colour scheme that the browser tells pages of."""

    def emulate(scheme, media=""):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    yield emulate
    emulate("light")


def channels(colour):
    """'rgb(r, g, b)' or '#rrggbb' as three integers."""
    if colour.startswith("#"):
        return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return [int(number) for number in re.findall(r"\d+", colour)][:3]


@pytest.mark.parametrize("name", PAGES)
def test_a_dark_page_is_dark_with_its_charts_and_turns_with_the_reader(smoke, browser, emulate, name):  # noqa: F811
    emulate("dark")
    _, complaints = visit(browser, smoke.results / name, 1280)
    assert complaints == []
    dark = theme.DARK["background"]
    assert {tuple(channels(ground)) for ground in browser.execute_script(GROUNDS)} == {tuple(channels(dark))}
    inks = {theme.DARK["axis"]["titleColor"], theme.DARK["axis"]["labelColor"]}
    assert set(browser.execute_script(INKS)) <= inks
    emulate("light")
    WebDriverWait(browser, 60).until(
        lambda driver: (
            {ground.replace("white", "rgb(255, 255, 255)") for ground in driver.execute_script(GROUNDS)}
            == {"rgb(255, 255, 255)"}
        )
    )


def test_print_of_a_dark_page_is_light_and_has_no_controls(smoke, browser, emulate):  # noqa: F811
    emulate("dark", "print")
    visit(browser, smoke.results / "frontier.html", PAPER)
    body = browser.find_element(By.TAG_NAME, "body")
    assert body.value_of_css_property("background-color") == "rgba(255, 255, 255, 1)"
    for selector in ("nav", "button", "select", "input", ".controls"):
        assert not any(each.is_displayed() for each in browser.find_elements(By.CSS_SELECTOR, selector)), (
            selector
        )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PAPER
    assert browser.execute_script(CUT) == [], "tables are printed whole"


@pytest.mark.parametrize("name", PAGES)
def test_whatever_is_read_aloud_has_a_name(smoke, browser, name):  # noqa: F811
    visit(browser, smoke.results / name, 1280)
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in NAMED
    ]
    assert [role for role, text in found if not text] == []
    assert {"button", "region", "link", "navigation"} <= {role for role, _ in found}
    for chart in browser.find_elements(By.CSS_SELECTOR, CHARTS):
        held = chart.find_element(By.XPATH, "ancestor::*[@role='graphics-document']")
        assert len(held.get_attribute("aria-label")) > 80


@pytest.mark.parametrize("width", [1280, 390])
def test_whatever_is_pressed_is_large_enough(smoke, browser, width):  # noqa: F811
    visit(browser, smoke.results / "frontier.html", width)
    assert browser.execute_script(SMALL) == []
