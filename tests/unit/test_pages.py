"""The page of a study: what it says, that it needs no network, that names cannot break it."""

import copy
import json
import re
import sys
from html import unescape
from html.parser import HTMLParser

import page as page_script
import pytest
import simulated
from scaling.charts import catalog, wording
from scaling.pages import content, render

HOSTILE = "</script><b>bold</b>\"'`&"


class Page(HTMLParser):
    """Elements with their attributes, scripts, and the cells of rows, by section and by the row's own id."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.rows, self.named = [], [], {}, {}
        self._section = self._cell = self._script = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag in ("section", "footer"):
            self._section = attributes["id"]
        elif tag == "tr":
            self.rows.setdefault(self._section, []).append([])
            if "id" in attributes:
                self.named[attributes["id"]] = self.rows[self._section][-1]
        elif tag in ("td", "th"):
            self.rows[self._section][-1].append("")
            self._cell = tag
        elif tag == "script":
            self.scripts.append((attributes, ""))
            self._script = True

    def handle_endtag(self, tag):
        if tag == self._cell:
            self._cell = None
        if tag == "script":
            self._script = None

    def handle_data(self, data):
        if self._script:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif self._cell:
            self.rows[self._section][-1][-1] += data


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """A function from a simulated study to its page as text."""
    base = tmp_path_factory.getbasetemp()
    library = render.library(base / "figures")

    def write(study):
        path = base / "written.html"
        shown = content.page(study["study"], study["tables"], study["fits"], study["manifest"])
        render.write_page(path, "frontier.html", library, **shown)
        return path.read_text(encoding="utf-8")

    return write


@pytest.fixture(scope="module")
def study():
    return simulated.study(diverged=6144)


@pytest.fixture(scope="module")
def text(write, study):
    return write(study)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def specs(page):
    return [json.loads(body) for attributes, body in page.scripts if attributes.get("type")]


def plain(text):
    """Visible text of a piece of HTML, powers as in charts."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", text)).split())


def test_page_is_one_small_file_that_asks_the_network_for_nothing(text, page):
    assert len(text.encode()) < 2.5e6
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    for tag, attributes in page.elements:
        if tag != "a":
            assert not {"src", "href", "srcset", "data"} & set(attributes), (tag, attributes)
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "http" not in markup.replace("http-equiv", "")
    assert "@import" not in markup
    assert "url(" not in markup
    assert all("url" not in layer.get("data", {}) for spec in specs(page) for layer in spec.get("layer", []))


def test_every_figure_is_on_the_page_in_order(page):
    figures = [attributes["id"] for tag, attributes in page.elements if tag == "figure"]
    assert figures == list(catalog.FIGURES)
    assert len(specs(page)) == len(figures)
    assert sum(tag == "figcaption" for tag, _ in page.elements) == len(figures)
    assert all(spec["description"] for spec in specs(page))
    assert all(spec.get("width") == "container" for spec in specs(page) if "concat" not in spec)


def test_lead_and_key_numbers_are_computed(text, study):
    runs = study["tables"]["runs"]
    tokens = sum(run["tokens"] for run in runs)
    flops = sum(6 * run["N"] * run["tokens"] for run in runs)
    lead = plain(re.search(r'<p class="lead">(.*?)</p>', text, re.DOTALL)[1])
    assert lead.startswith(f"{len(runs)} language models of 768 to 442 thousand non-embedding parameters")
    assert f"{wording.words(tokens)} tokens" in lead
    assert f"{flops / 10**13:.1f} × 1013 FLOPs" in lead
    for law in ("L_N", "L_D", "L_C", "N_opt"):
        parameter = wording.exponent(study["fits"][law])
        sign = "" if law == "N_opt" else "−"
        measured, paper = wording.readable(parameter["value"]), f"{parameter['published']:g}"
        assert f"to the power {sign}{measured} (the paper: {sign}{paper})" in lead


def test_table_of_exponents_holds_the_numbers_of_the_fits(page, study):
    fits = study["fits"] | {"N_opt-with_head": study["fits"]["N_opt"]["with_head"]}
    shown = {f"{law}-{key}": p for law, fit in fits.items() for key, p in fit["parameters"].items()}
    assert set(page.named) == set(shown)
    for row, parameter in shown.items():
        measured, interval, published, *_ = filter(re.compile(r"\s*\d").match, page.named[row])
        low, high = interval.split(" to ")
        for cell, key in ((measured, "value"), (low, "low"), (high, "high"), (published, "published")):
            assert number(cell) == pytest.approx(parameter[key], rel=6e-3), (row, key)


def number(cell):
    """The first number of a cell: '8.8 × 1013eq. 1.1' is 8.8e13, its power having been raised."""
    found = re.match(r"([\d.]+)(?: × 10(−?\d+))?", cell.strip())
    return float(f"{found[1]}e{(found[2] or '0').replace('−', '-')}")


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "expected"),
    [
        (0.07, 0.06, 0.08, None, "interval contains the paper's value"),
        (0.09, 0.08, 0.10, None, "steeper than the paper's"),
        (0.05, 0.04, 0.06, None, "shallower than the paper's"),
        (2.0, 1.0, 3.0, "tokens", "larger than the paper's"),
    ],
)
def test_verdict_is_computed(value, low, high, unit, expected):
    parameter = {"value": value, "low": low, "high": high, "unit": unit, "published": 0.076}
    assert content.verdict(parameter) == expected


def test_left_out_runs_are_listed_with_reasons(text, study):
    listed = plain(re.search(r'<ul class="excluded">(.*?)</ul>', text, re.DOTALL)[1])
    for law, fit in study["fits"].items():
        assert fit["excluded"], law
        for item in fit["excluded"]:
            assert f"{item['run']} {item['reason']}" in listed
    assert listed.count("diverged") == 1


def test_table_of_runs_holds_every_run(page, study):
    rows = {row[-1]: row for row in page.rows["runs"][1:]}
    assert set(rows) == {run["run"] for run in study["tables"]["runs"]}
    for run in study["tables"]["runs"]:
        row = [cell.strip() for cell in rows[run["run"]]]
        assert row[:5] == [
            f"{run['N']:,}",
            *(str(run[key]) for key in ("n_layer", "d_model", "d_ff", "n_head")),
        ]
        expected = (
            "–" if run["status"] == "diverged" else f"{run['test_loss']:.3f} ± {run['test_loss_se']:.3f}"
        )
        assert row[8] == expected
        assert row[13] == run["status"]


def test_table_of_sets_and_origins(text, page, study):
    assert [row[0].split()[0] for row in page.rows["sets"][1:]] == ["test", *simulated.SETS]
    for wheel in study["manifest"]["wheels"]:
        assert wheel["sha256"] in text
        assert wheel["licence"] in text
    assert "n_vocab: 512" in text
    assert "torch 2.13.0" in text


def test_table_headers_have_a_scope_and_images_a_text(page):
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert all(
        "aria-label" in a or "aria-labelledby" in a for _, a in page.elements if a.get("role") == "region"
    )


def test_hostile_names_stay_text(write):
    text = write(simulated.study(name=HOSTILE, transfer={HOSTILE: 0.3, "code": 0.6}, diverged=6144))
    page = Page(text)
    assert "<b>bold" not in text
    assert HOSTILE in page.rows["runs"][-1][-1]
    assert len(specs(page)) == len(catalog.FIGURES)
    assert any(HOSTILE in json.dumps(spec, ensure_ascii=False).replace('\\"', '"') for spec in specs(page))


def test_missing_experiments_are_named_instead_of_empty_charts(write):
    text = write(simulated.study(("size",)))
    page = Page(text)
    lines = [plain(line) for line in re.findall(r'<p class="missing">(.*?)</p>', text)]
    assert "Not in this study: add data to experiments in the study's config." in lines
    assert "Not in this study: add shape to experiments in the study's config." in lines
    assert len(specs(page)) == len(catalog.available(["size"])) == len(catalog.FIGURES) - 2
    assert "αD" not in "".join(cell for row in page.rows["exponents"] for cell in row)


def test_missing_fit_is_named(write, study):
    unfitted = copy.copy(study) | {"fits": {k: v for k, v in study["fits"].items() if k != "L_D"}}
    lines = [plain(line) for line in re.findall(r'<p class="missing">(.*?)</p>', write(unfitted))]
    assert "Not fitted in this study: LD." in lines


def test_law_that_could_not_be_fitted_says_why(write, study):
    reason = "L_D cannot be fitted: 0 usable runs"
    page = Page(write(study | {"fits": study["fits"] | {"L_D": {"law": "L_D", "unfitted": reason}}}))
    assert len(specs(page)) == len(specs(Page(write(study)))) - 1
    assert "αD" not in "".join(cell for row in page.rows["exponents"] for cell in row)


def test_exponents_as_markdown_are_those_of_the_fits(study):
    fits = [study["fits"]["L_N"], {"law": "L_D", "formula": "L = D", "unfitted": "L_D cannot be fitted"}]
    lines = content.markdown(fits).splitlines()
    found = study["fits"]["L_N"]["parameters"]["alpha_N"]
    assert f"| α_N | {wording.readable(found['value'])} |" in lines[2]
    assert f"| {wording.readable(found['low'])} to {wording.readable(found['high'])} | 0.076 |" in lines[2]
    assert lines[3] == "| L = D | | L_D cannot be fitted | | | | |"
    assert {line.count("|") for line in lines} == {8}


def test_figure_that_cannot_be_drawn_says_why(write):
    lines = re.findall(r'<p class="missing">(.*?)</p>', write(simulated.study(transfer={})))
    assert lines == 2 * [
        "Cannot be drawn: no run was evaluated on a transfer set: add one to corpus.transfer in the config."
    ]


def test_study_without_sizes_still_has_a_page(write):
    text = write(simulated.study(("shape",)))
    assert len(specs(Page(text))) == 1
    assert "NaN" not in plain(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_script_reads_what_the_pipeline_writes(tmp_path_factory, study, text, monkeypatch):
    folder = simulated.write(study, tmp_path_factory.getbasetemp())
    out = folder / "frontier.html"
    inputs = {"study": "study.json", "tables": "tables", "fits": "fits", "manifest": "data/manifest.json"}
    paths = [part for name, path in inputs.items() for part in (f"--{name}", str(folder / path))]
    monkeypatch.setattr(sys, "argv", ["page.py", *paths, "--out", str(out)])
    page_script.main()
    assert out.read_text(encoding="utf-8") == text


def test_script_element_cannot_be_closed_by_the_library(tmp_path, monkeypatch):
    monkeypatch.setattr(render.vl_convert, "javascript_bundle", lambda: 'x = "</script><!--"')
    assert render.library(tmp_path) == r'x = "<\/script><\!--"'
    assert render.library(tmp_path) == r'x = "<\/script><\!--"'


def test_the_table_tells_runs_of_one_size_apart():
    shape = {"N": 512, "D": 1000, "d_ff": None, "n_head": None, "tied": True}
    runs = [
        shape | {"run": name, "architecture": "lstm", "optimizer": name, "B": 256}
        for name in ("adam", "adamw")
    ]
    assert [row["recipe"] for row in content.run_rows(runs, [])] == ["optimizer adam", "optimizer adamw"]
    assert content.run_rows(runs[:1], [])[0]["recipe"] == ""
