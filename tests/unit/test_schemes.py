"""Light and dark pages: contrast, nothing with a colour of its own. How pages are built: names, headings."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import simulated
import vl_convert
from scaling.charts import catalog, drawing, theme
from scaling.pages import content, render, report

STYLE = (render.TEMPLATES / "style.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"(--\w+): (#\w{6});", part)) for part in re.findall(r":root \{(.*?)\}", STYLE, re.S)
)
CSS = {"light": LIGHT, "dark": LIGHT | DARK}
VEGA = {"light": theme.CONFIG, "dark": theme.DARK}
TEXT, MARK = 4.5, 3.0
"""The least contrast of text, and of what is drawn (WCAG 2.2, 1.4.3 and 1.4.11)."""
VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
NAMES = {"white": "#ffffff", "black": "#000000"}
COLOUR = re.compile(
    r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(|\b(?:white|black|gr[ae]y|red|blue|green)\b(?!-)"
)


def luminance(colour):
    """Relative luminance of '#rrggbb', '#rgb', 'rgb(r, g, b)' or a name."""
    colour = NAMES.get(colour, colour)
    if colour.startswith("rgb"):
        channels = [int(number) for number in re.findall(r"\d+", colour)]
    else:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        channels = [int(digits[at : at + 2], 16) for at in (0, 2, 4)]
    shares = [channel / 255 for channel in channels]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """Contrast of two colours, 1 to 21."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.fixture(scope="module")
def study():
    return simulated.study()


@pytest.fixture(scope="module")
def drawings(study):
    return {name: drawing.draw(name, study["tables"], study["fits"]) for name in catalog.FIGURES}


def test_contrast_is_that_of_the_standard():
    assert contrast("white", "#000") == pytest.approx(21)
    assert contrast("#777777", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", CSS)
def test_text_and_edges_of_a_page_can_be_read(scheme):
    css = CSS[scheme]
    for ground in ("--page", "--wash"):
        for text in ("--ink", "--muted", "--accent", "--holds", "--partly", "--fails"):
            assert contrast(css[text], css[ground]) >= TEXT, (text, ground)
        assert contrast(css["--edge"], css[ground]) >= MARK, ground


def test_a_dark_page_has_another_for_every_colour_and_print_has_none():
    assert LIGHT.keys() == DARK.keys()
    assert not set(LIGHT.values()) & set(DARK.values())
    (media,) = re.findall(r"@media ([^{]*) \{\s*:root", STYLE)
    assert media == "screen and (prefers-color-scheme: dark)"


def test_every_colour_of_a_page_is_a_variable():
    assert not COLOUR.findall(re.sub(r":root \{.*?\}", "", STYLE, flags=re.DOTALL))
    for path in render.TEMPLATES.glob("*.html"):
        assert not re.findall(r"(?:style|fill|stroke|color)=", path.read_text(encoding="utf-8")), path


def test_every_variable_is_set():
    assert set(re.findall(r"var\((--\w+)\)", STYLE)) == set(re.findall(r"(--\w+):", STYLE))


@pytest.mark.parametrize("scheme", VEGA)
def test_text_and_marks_of_a_chart_can_be_read(scheme):
    config, css = VEGA[scheme], CSS[scheme]
    page = config["background"]
    assert contrast(page, css["--page"]) == 1
    params = {param["name"]: param["value"] for param in config["params"]}
    assert params == {"ink": css["--ink"], "muted": css["--muted"]}
    for part in ("axis", "legend", "title"):
        for key in {"labelColor", "titleColor", "color"} & set(config[part]):
            assert contrast(config[part][key], page) >= TEXT, (part, key)
    for name, style in config["style"].items():
        assert contrast(style.get("stroke", style["color"]), page) >= MARK, name
    for colour in theme.CATEGORY_COLOURS:
        assert contrast(colour, page) >= MARK, colour
    for name in ("ramp", "heatmap"):
        for colour in ramp(config, name):
            assert contrast(colour, page) >= MARK, (name, colour)


def ramp(config, name):
    """Eleven colours of a ramp of a config, from its one end to the other."""
    fill = {"field": "v", "type": "quantitative", "scale": {"range": name}}
    x = {"field": "v", "type": "ordinal"}
    spec = {
        "data": {"values": [{"v": v} for v in range(11)]},
        "mark": "bar",
        "encoding": {"x": x, "fill": fill},
    }
    found = re.findall(
        r'<path aria-label="v[^>]* fill="([^"]*)"', vl_convert.vegalite_to_svg(spec | {"config": config})
    )
    assert len(found) == 11
    return found


def test_the_two_configs_differ_in_colours_alone():
    def shape(part):
        if isinstance(part, dict):
            return {key: shape(value) for key, value in part.items()}
        if isinstance(part, list):
            return [shape(value) for value in part]
        return "colour" if isinstance(part, str) and COLOUR.search(part) else part

    light, dark = (shape({key: config[key] for key in config if key != "range"}) for config in VEGA.values())
    assert light == dark


@pytest.mark.parametrize("name", catalog.FIGURES)
def test_charts_have_no_colour_but_those_that_show_on_both_pages(name, drawings):
    text = json.dumps({k: v for k, v in drawings[name].chart.to_dict().items() if k != "datasets"})
    text = re.sub(r'"values": \[\{.*?\}\]', "", text)
    assert set(COLOUR.findall(text)) <= set(theme.CATEGORY_COLOURS)
    assert '"scheme"' not in text


@pytest.mark.parametrize("name", catalog.FIGURES)
def test_every_mark_and_text_shows_on_a_dark_page(name, drawings):
    spec = drawing.specification(drawings[name]) | {"config": theme.DARK}
    picture = vl_convert.vegalite_to_svg(json.dumps(spec))
    page = theme.DARK["background"]
    faint = {"none", "transparent", page, theme.DARK["axis"]["gridColor"]}
    colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', picture)) - faint
    colours = {colour for colour in colours if not colour.startswith("url(")}
    assert len(colours) > 1
    assert {colour for colour in colours if contrast(colour, page) < MARK} == set()


# --- structure of pages ---------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Elements in order, each {tag, attributes, ancestors, text}."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "attributes": dict(attributes), "ancestors": [*self._open], "text": ""}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        while self._open and self._open.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def of(self, *tags):
        """The elements with one of ``tags``."""
        return [element for element in self.elements if element["tag"] in tags]


def unnamed(outline):
    """Fields, buttons, links and navigations without a name for those who do not see them."""
    ids = {e["attributes"]["id"]: e for e in outline.elements if "id" in e["attributes"]}
    labelled = {label["attributes"].get("for") for label in outline.of("label") if label["text"].strip()}

    def named(element):
        attributes = element["attributes"]
        around = [label for label in element["ancestors"] if label["tag"] == "label"]
        by = attributes.get("aria-labelledby", "").split()
        return (
            attributes.get("aria-label", "").strip()
            or (by and all(name in ids and ids[name]["text"].strip() for name in by))
            or (element["tag"] in ("a", "button", "summary") and element["text"].strip())
            or (
                element["tag"] in ("input", "select", "textarea", "output")
                and attributes.get("id") in labelled
            )
            or any(label["text"].strip() for label in around)
        )

    fields = ("a", "button", "summary", "input", "select", "textarea", "output", "nav")
    regions = [e for e in outline.elements if e["attributes"].get("role") in ("region", "img", "group")]
    return [e["tag"] for e in outline.of(*fields) + regions if not named(e)]


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<label>N <input></label><button>Go</button>", []),
        ('<label for="n">N</label><input id="n"><nav aria-label="Sections"></nav>', []),
        ('<input><label></label><select id="n"></select><label for="n"> </label>', ["input", "select"]),
        (
            '<button><svg></svg></button><div role="region" aria-labelledby="x"></div><nav></nav>',
            ["button", "nav", "div"],
        ),
    ],
)
def test_what_has_no_name_is_found(html, found):
    assert unnamed(Outline(html)) == found


@pytest.fixture(scope="module", params=["frontier.html", "report.html", "figure.html", "finished"])
def outline(request, tmp_path_factory, study, drawings):
    folder = tmp_path_factory.getbasetemp()
    path, library = folder / "structure.html", render.library(folder / "figures")
    if request.param == "figure.html":
        pictures = {"svg": folder / "structure.svg", "png": folder / "structure.png"}
        render.write_figure("A figure", drawings["loss_vs_N"], html=path, **pictures)
    else:
        name = "frontier.html" if request.param == "finished" else request.param
        found = simulated.finished() if request.param == "finished" else study
        page = (report if name == "report.html" else content).page
        records = (found[key] for key in ("study", "tables", "fits", "manifest"))
        render.write_page(path, name, library, **page(*records, found.get("finished")))
    return Outline(path.read_text(encoding="utf-8"))


def test_everything_on_a_page_has_a_name(outline):
    assert unnamed(outline) == []


def test_ids_are_unique_and_labels_lead_somewhere(outline):
    ids = [element["attributes"]["id"] for element in outline.elements if "id" in element["attributes"]]
    assert len(ids) == len(set(ids))
    for element in outline.elements:
        for key in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            assert set(element["attributes"].get(key, "").split()) <= set(ids), key


def test_headings_go_down_a_step_at_a_time_from_one(outline):
    levels = [int(heading["tag"][1]) for heading in outline.of("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(heading["text"].strip() for heading in outline.of("h1", "h2", "h3", "h4"))


def test_landmarks_and_tables_say_what_they_are(outline):
    assert [element["tag"] for element in outline.of("main")] == ["main"]
    assert outline.of("html")[0]["attributes"]["lang"] == "en"
    for section in outline.of("section"):
        assert "aria-labelledby" in section["attributes"]
    for header in outline.of("th"):
        assert header["attributes"].get("scope") in ("col", "row", "rowgroup", "colgroup")
    wide = [e for e in outline.elements if "scroll" in e["attributes"].get("class", "").split()]
    assert all(
        e["attributes"].get("tabindex") == "0" and e["attributes"].get("role") == "region" for e in wide
    )
