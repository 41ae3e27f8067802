"""The planner of the smoke study's page, in headless Chromium, against the one in the terminal."""

import itertools
import json
import shlex
import subprocess
import sys
from urllib.parse import urlencode

import pytest
from planning import known, road
from scaling.pages import planner as words
from scaling.planner import Question, answer
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_page import browser, visit  # noqa: F401 (browser is a fixture)

ASKED = (
    {"budget": 1e15},
    {"budget": 1e21, "times": 3.0, "flops": 4e14, "devices": 8.0, "price": 2.5},
    {"budget": 1e22, "served": 1e12},
    {"budget": 1e18, "served": 1e11, "price": 2.0, "flops": 4e14},
    {"budget": 1e-5},
    {"loss": 4000.0},
    {"loss": 2.2, "served": 1e12},
    {"N": 1e9, "budget": 1e20, "served": 1e12},
    {"N": 1e9, "budget": 1e22, "served": 1e11},
    {"loss": 2.4},
    {"loss": 0.1},
    {"N": 1e7, "budget": 1e17},
    {"N": 1e9},
)
OWN = "JSON.parse(document.getElementById('planner-data').textContent).known"
RULES = (
    {"value": 0.003, "ln_N": -0.0001, "N": None},
    None,
    {"value": 0.011, "N": {"at": 24576, "exponent": -0.38}, "B": {"at": 2048, "exponent": 0.5}},
)


def agree(python, page, where="answer"):
    """Assert that two answers have the same numbers in the same places."""
    if isinstance(python, dict):
        assert set(python) == set(page), where
        for name, value in python.items():
            agree(value, page[name], f"{where}.{name}")
    elif isinstance(python, list):
        assert len(python) == len(page), where
        for index, pair in enumerate(zip(python, page, strict=True)):
            agree(*pair, f"{where}[{index}]")
    elif isinstance(python, float) and page is not None:
        assert page == pytest.approx(python, rel=1e-6, abs=1e-9), where
    else:
        assert page == python, where


def for_road(x, asked):
    """What is asked, without a batch that a road does not know."""
    return asked if x == "S_min" else {name: value for name, value in asked.items() if name != "times"}


@pytest.fixture(scope="module")
def page(smoke, browser):  # noqa: F811
    """The smoke study's page, open."""
    _, complaints = visit(browser, smoke.results / "frontier.html", 1280)
    assert complaints == []
    return browser


@pytest.fixture
def fresh(page, smoke):
    """That page as it opens."""
    visit(page, smoke.results / "frontier.html", 1280)
    return page


def held(smoke):
    return json.loads((smoke.results / "planner.json").read_text())


@pytest.mark.parametrize("x", ["S_min", "S", "D"])
def test_the_page_answers_as_the_terminal_does(page, x):
    for total, rule in zip((False, True, False), RULES, strict=True):
        made = known(road(x, total, scatter=0.03), rule=rule)
        made["roads"][0]["columns"]["a"][3] = -0.1  # a draw in which no size is best
        page.execute_script("window.made = arguments[0];", made)
        for counting, asked in itertools.product(("6N", "attention"), ASKED):
            question = {"road": x, "counting": counting} | for_road(x, asked)
            found = page.execute_script("return planner.answer(window.made, arguments[0]);", question)
            agree(json.loads(json.dumps(answer(made, Question(**question)))), found, str(question))


def test_the_page_s_own_roads_are_those_of_planner_json(page, smoke):
    made = held(smoke)
    for one, asked in itertools.product(made["roads"], ASKED):
        question = {"road": one["name"], "counting": "attention"} | for_road(one["x"], asked)
        found = page.execute_script(f"return planner.answer({OWN}, arguments[0]);", question)
        agree(json.loads(json.dumps(answer(made, Question(**question)))), found)


def rows(browser, table="planner-best"):  # noqa: F811
    """Texts of the cells of a table's rows."""
    lines = browser.find_elements(By.CSS_SELECTOR, f"#{table} tbody tr")
    return [[cell.text for cell in line.find_elements(By.CSS_SELECTOR, "th, td")] for line in lines]


def put(browser, **values):  # noqa: F811
    """Type values into fields of the form, and wait until they are answered."""
    for name, value in values.items():
        field = browser.find_element(By.CSS_SELECTOR, f"#planner-form [name={name}]")
        if field.tag_name == "select":
            browser.execute_script(
                "arguments[0].value = arguments[1];"
                "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));",
                *(field, value),
            )
        else:
            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(value)
    shown = urlencode(values)
    WebDriverWait(browser, 10).until(lambda driver: shown in driver.execute_script("return location.hash"))


def test_what_is_typed_is_answered_and_the_page_s_own_command_prints_the_same(fresh, smoke):
    put(fresh, budget="3e16")
    put(fresh, price="2.5")
    shown = {name: cells for name, *cells in rows(fresh)}
    command = shlex.split(fresh.find_element(By.ID, "planner-command").text)
    assert command[0] == "python"
    told = subprocess.run(
        [sys.executable, *command[1:]], cwd=smoke.root, text=True, capture_output=True, check=True
    ).stdout
    printed = subprocess.run(
        [sys.executable, *command[1:], "--json"], cwd=smoke.root, text=True, capture_output=True, check=True
    ).stdout
    found = json.loads(printed)["answer"]
    assert json.loads(printed)["question"]["budget"] == 3e16
    for name, number, write in (
        ("size N, parameters", found["best"]["N"], words._count),
        ("tokens D", found["best"]["D"], words._count),
        ("peak learning rate", found["best"]["learning_rate"], words.wording.readable),
        ("loss of each draw's own best plan", found["best"]["loss"], words.wording.significant),
        ("loss, nats per token", found["planned"]["loss"], words.wording.significant),
        ("wall time of training", found["money"]["seconds"], words._duration),
        ("price of training", found["money"]["price"], words._count),
    ):
        value, interval = words._number(number, write)
        assert shown[name] == [value, interval], name
        assert value in told
    assert len(rows(fresh, "planner-sizes")) == len(found["sizes"])
    road = next(one for one in held(smoke)["roads"] if one["name"] == held(smoke)["chosen"])
    asked = Question(**json.loads(printed)["question"])
    others = [
        words._other(held(smoke), asked, one) for one in held(smoke)["roads"] if one["name"] != road["name"]
    ]
    assert [row[:2] for row in rows(fresh, "planner-others")] == [
        [other[0], other[1].replace(", ", "\n", 1)] for other in others
    ]
    assert [row[0] for row in rows(fresh, "planner-shapes")] == [
        f"{shape['n_layer']} × {shape['d_model']}" for shape in found["shapes"]
    ]


def test_snakemake_prints_the_plan_and_makes_nothing_else(smoke):
    before = (smoke.results / "study.json").stat().st_mtime_ns
    result = smoke.snakemake("plan_budget", "--config", "budget=3e16")
    assert result.returncode == 0, result.stdout
    assert "1 of 1 steps (100%) done" in result.stdout
    found = answer(held(smoke), Question(held(smoke)["chosen"], "attention", budget=3e16))
    assert words._number(found["best"]["N"], words._count)[0] in result.stdout
    assert (smoke.results / "study.json").stat().st_mtime_ns == before
    assert smoke.planned() == {}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "plan_budget: found no budget, expected one: snakemake plan_budget --config budget=1e21"),
        (("--config", "budget=lots"), "error: budget: found 'lots', expected a number above 0 of FLOPs"),
    ],
)
def test_a_budget_that_is_none_is_named_in_a_line(smoke, options, line):
    result = smoke.snakemake("plan_budget", *options)
    assert result.returncode == 1
    assert line in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize("text", ["", "a lot", "-1e20", "0", "1e999", "1,8", "0x10"])
def test_a_field_that_is_no_number_is_named_and_the_answer_marked_as_old(fresh, text):
    field = fresh.find_element(By.CSS_SELECTOR, "#planner-form [name=budget]")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text or Keys.DELETE)
    wrong = WebDriverWait(fresh, 10).until(
        lambda driver: (e := driver.find_element(By.ID, "planner-wrong")).is_displayed() and e
    )
    assert wrong.text.startswith("amount: found")
    assert "expected a number above 0" in wrong.text
    assert field.get_attribute("aria-invalid") == "true"
    assert "stale" in fresh.find_element(By.ID, "planner-answer").get_attribute("class")
    put(fresh, budget="1e15")
    assert not fresh.find_element(By.ID, "planner-wrong").is_displayed()


def test_the_questions_can_be_chosen_by_keyboard_and_have_their_own_fields(fresh, smoke):
    radio = fresh.find_element(By.CSS_SELECTOR, "#planner-form [name=ask]")
    radio.send_keys(Keys.ARROW_RIGHT)
    loss = fresh.find_element(By.CSS_SELECTOR, "#planner-form [name=loss]")
    assert loss.is_displayed()
    assert not fresh.find_element(By.CSS_SELECTOR, "#planner-form [name=budget]").is_displayed()
    put(fresh, loss="4.5")
    found = answer(held(smoke), Question(held(smoke)["chosen"], "attention", loss=4.5))
    shown = dict(row[:2] for row in rows(fresh))
    assert shown["size N, parameters"] == words._number(found["best"]["N"], words._count)[0]
    fresh.find_elements(By.CSS_SELECTOR, "#planner-form [name=ask]")[1].send_keys(Keys.ARROW_RIGHT)
    put(fresh, N="2e6")
    asked = Question(held(smoke)["chosen"], "attention", N=2e6, budget=budget_of(fresh))
    found = answer(held(smoke), asked)
    shown = dict(row[:2] for row in rows(fresh))
    assert shown["size N, parameters"] in ("2 million", "(2 million)")
    assert shown["tokens D"] == words._number(found["best"]["D"], words._count)[0]
    assert "and its loss then" in shown
    put(fresh, served="1e30")
    assert rows(fresh) == []
    told = fresh.find_element(By.ID, "planner-summary").text
    assert told == "There is no such plan: serving this size takes more than the budget."


def budget_of(browser):  # noqa: F811
    field = browser.find_element(By.CSS_SELECTOR, "#planner-form [name=budget]")
    return float(field.get_attribute("value"))


def test_an_address_keeps_the_question(fresh, smoke):
    put(fresh, budget="7e15")
    put(fresh, devices="3")
    before, address = rows(fresh), fresh.current_url
    fresh.get("about:blank")
    fresh.get(address)
    assert rows(fresh) == before
    assert fresh.find_element(By.CSS_SELECTOR, "#planner-form [name=devices]").get_attribute("value") == "3"


def test_a_field_that_the_law_does_not_ask_for_is_not_checked(fresh, smoke):
    by_x = {one["x"]: one["name"] for one in held(smoke)["roads"]}
    put(fresh, road=by_x["S_min"])
    field = fresh.find_element(By.CSS_SELECTOR, "#planner-form [name=times]")
    field.send_keys("x")
    wrong = fresh.find_element(By.ID, "planner-wrong")
    WebDriverWait(fresh, 10).until(lambda _: wrong.is_displayed())
    put(fresh, road=by_x["S"])
    assert not wrong.is_displayed()
    assert not field.is_displayed()
    assert field.get_attribute("aria-invalid") is None


def test_a_hostile_address_is_refused_or_answered(fresh, smoke):
    page = (smoke.results / "frontier.html").as_uri()
    for address in (
        "#plan?ask=size&N=1e20&budget=1e30&served=1e300&ask=__proto__",
        "#plan?road=<script>alert(1)</script>&budget=%00&unit=constructor&accelerator=[]",
    ):
        fresh.get("about:blank")
        fresh.get(page + address)
        assert [e for e in fresh.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []
        put(fresh, budget="1e15")


def test_hours_of_the_devices_are_a_budget(fresh, smoke):
    put(fresh, budget="1e18")
    put(fresh, unit="pf-days")
    assert budget_of(fresh) == pytest.approx(1e18 / 8.64e19, rel=5e-3)
    put(fresh, unit="hours")
    assert budget_of(fresh) == pytest.approx(1e18 / 8 / 9.89e14 / 0.4 / 3600, rel=5e-3)
    put(fresh, budget="0.5")
    command = shlex.split(fresh.find_element(By.ID, "planner-command").text)
    spent = float(command[command.index("--budget") + 1])
    assert spent == pytest.approx(0.5 * 3600 * 8 * 9.89e14 * 0.4)


def test_the_distance_from_the_runs_stands_with_the_answer(fresh, smoke):
    put(fresh, budget="1e20")
    reached = held(smoke)["reached"]["C"]["attention"]
    told = fresh.find_element(By.ID, "planner-distance").text
    assert told.startswith("Extrapolation beyond the study's runs")
    assert words._times(1e20 / reached) in told
    assert fresh.find_element(By.ID, "planner-trust").text.count("\n") >= 3
