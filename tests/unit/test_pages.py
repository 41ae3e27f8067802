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
from scaling import selections
from scaling.charts import catalog, theme, wording
from scaling.offsets import offsets
from scaling.pages import content, fits, render, runs
from test_packing import spec_of

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


def writer(folder, name, page):
    """A function from a simulated study to its page as text: template ``name``, content by ``page``."""
    library = render.library(folder / "figures")

    def write(study):
        records = (study[key] for key in ("study", "tables", "fits", "manifest"))
        render.write_page(folder / name, name, library, **page(*records, study.get("finished")))
        return (folder / name).read_text(encoding="utf-8")

    return write


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    return writer(tmp_path_factory.getbasetemp(), "frontier.html", content.page)


@pytest.fixture(scope="module")
def study():
    return simulated.study(diverged=6144)


@pytest.fixture(scope="module")
def text(write, study):
    return write(study)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


@pytest.fixture(scope="module")
def laws(study):
    """The fits of laws, without how a budget splits by them."""
    return {law: fit for law, fit in study["fits"].items() if law != "allocation"}


def stored(page, name):
    """What the script of JSON called ``name`` holds."""
    return next(json.loads(body) for attributes, body in page.scripts if attributes.get("id") == name)


def specs(page):
    """The specification of each figure with its rows, as page.js makes them of what is packed."""
    packed = [json.loads(body) for attributes, body in page.scripts if attributes.get("class") == "packed"]
    return [spec_of(stored(page, "columns"), figure) for figure in packed]


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
    assert figures == ["explorer", *catalog.FRONTIER_PAGE]
    assert len(specs(page)) == len(figures) - 1
    assert sum(tag == "figcaption" for tag, _ in page.elements) == len(figures)
    assert all(spec["description"] for spec in specs(page))
    assert all(spec.get("width") == "container" for spec in specs(page) if "concat" not in spec)


def test_schemes_are_there_once_and_in_no_chart(page):
    assert stored(page, "schemes") == {"light": theme.CONFIG, "dark": theme.DARK}
    assert not any("config" in spec for spec in specs(page))


def test_lead_and_key_numbers_are_computed(text, study):
    runs = study["tables"]["runs"]
    tokens = sum(run["tokens"] for run in runs)
    flops = sum(run["flops_per_token_6N"] * run["tokens"] for run in runs)
    lead = plain(re.search(r'<p class="lead">(.*?)</p>', text, re.DOTALL)[1])
    assert lead.startswith(f"{len(runs)} language models of 768 to 442 thousand non-embedding parameters")
    assert f"{wording.words(tokens)} tokens" in lead
    assert f"{flops / 10**14:.1f} × 1014 FLOPs" in lead
    for law in ("L_N", "L_D", "L_C", "N_opt", "N_opt_Cmin"):
        (parameter,) = wording.exponents(study["fits"][law])
        sign = "" if law.startswith("N_opt") else "−"
        measured, published = wording.readable(parameter["value"]), f"{parameter['published']:g}"
        assert f"to the power {sign}{measured} (published: {sign}{published})" in lead
    assert not study["fits"]["chinchilla"]["certificate"]["passed"]
    assert lead.endswith("Not certified, and so not drawn: L = E + A / Nα + B / Dβ.")
    assert "by L(N, D)" not in lead
    numbers = plain(re.search(r'<dl class="numbers">(.*?)</dl>', text, re.DOTALL)[1])
    assert "β/(α+β)" not in numbers
    for law, label in (("B_crit", "αB"), ("N_opt_Cmin", "pN of Cmin")):
        (parameter,) = wording.exponents(study["fits"][law])
        assert f"{label}{wording.readable(parameter['value'])}" in numbers


def test_head_tells_how_many_fits_failed_where_they_are_many(study, laws):
    failing = [law for law in laws if laws[law]["certificate"]["passed"]][: content.FEW]
    bad = {"certificate": {"passed": False, "reasons": []}}
    several = laws | {law: laws[law] | bad for law in failing}
    *_, last = content.lead(study["tables"]["runs"], several)
    assert last == f"Not certified, and so not drawn: {1 + content.FEW} of {len(laws)} laws."


def test_table_of_exponents_holds_the_numbers_of_the_fits(page, laws):
    shown = {
        f"{law}-{key}": (number, fit["certificate"]["passed"])
        for law, fit in laws.items()
        for key, number in (fit["parameters"] | fit["derived"]).items()
    }
    assert {"N_opt-p_N", "chinchilla-E", "L_ND-data_exponent"} < set(shown)
    named = {row: cells for row, cells in page.named.items() if row in shown}
    assert set(named) == set(shown)
    for row, (parameter, passed) in shown.items():
        _, measured, interval, published, verdict = named[row]
        low, high = interval.split(" to ")
        for cell, key in ((measured, "value"), (low, "low"), (high, "high"), (published, "published")):
            assert number(cell) == pytest.approx(parameter[key], rel=6e-3), (row, key)
        brackets = {cell.strip()[0] == "(" for cell in (measured, interval)}
        assert brackets == {not passed}
        assert (verdict == "not certified") == (not passed)


def number(cell):
    """The first number of a cell: '8.8 × 1013eq. 1.1' is 8.8e13, its power having been raised."""
    found = re.match(r"\(?(−?[\d.]+)(?: × 10(−?\d+))?", cell.strip())
    return float(f"{found[1]}e{found[2] or '0'}".replace("−", "-"))


def test_certificate_and_forecast_stand_by_every_fit(text, laws):
    section = exponents_section(text)
    for fit in laws.values():
        certificate, holdout = fit["certificate"], fit["holdout"]
        assert f"{certificate['agreeing']} of {certificate['starts']} starts end" in section
        assert f"Forecast of the largest tenth of compute: {wording.forecast(fit)}" in section
        if holdout["points"] > 1 and holdout["within"] is not None:
            assert (
                f"{holdout['within']} of {holdout['points']} points inside intervals of their own." in section
            )
        for reason in certificate["reasons"]:
            assert wording.greek(reason) in section
    failed = [fit for fit in laws.values() if fit["certificate"]["reasons"]]
    assert section.count("Not certified:") == len(failed) > 0


def exponents_section(text):
    return plain(re.search(r'<section id="exponents".*?</section>', text, re.DOTALL)[0])


def test_other_ways_to_count_are_a_line_each(text, laws):
    folded = [plain(line) for line in re.findall(r"other ways to count</summary>(.*?)</details>", text)]
    ways = {law: blocks for law, fit in laws.items() if len(blocks := selections.blocks(fit)) > 1}
    assert len(folded) == len(ways) > 5
    for lines, (law, blocks) in zip(folded, ways.items(), strict=True):
        for name, block in list(blocks.items())[1:]:
            exponent = wording.exponents(block)[0]
            value, low, high = (wording.readable(exponent[key]) for key in ("value", "low", "high"))
            passed = block["certificate"]["passed"]
            told = f"{value}, {low} to {high}" if passed else f"({value}), ({low} to {high})"
            symbol = exponent["symbol"].replace("_", "")
            assert f"{block['convention']}: {symbol} {told}" in lines, (law, name)
            assert passed or wording.reasons(block) in lines
    assert sum(not b["certificate"]["passed"] for blocks in ways.values() for b in blocks.values()) > 1


def test_adjusted_laws_say_so(page, laws):
    told = [row[0] for row in page.rows["exponents"] if "adjusted by Bcrit(L)" in row[0]]
    assert len(told) == sum("adjusted_by" in fit for fit in laws.values()) > 3


def test_what_others_published_is_told_once_a_source():
    def others(*pairs):
        return [{"value": value, "source": source} for value, source in pairs]

    parameters = [
        {
            "symbol": "α",
            "comparisons": others((0.3, "A et al.: first"), (0.2, "A et al.: then"), (0.5, "B, eq. 2")),
        },
        {"symbol": "β", "comparisons": others((0.4, "B, eq. 2"))},
    ]
    assert fits.elsewhere(parameters) == ["α 0.2 to 0.3 in A et al.", "α 0.5, β 0.4 in B, eq. 2"]


def test_rivals_are_told_apart_by_two_standard_errors():
    good, bad = {"passed": True, "reasons": []}, {"passed": False, "reasons": ["L_inf is open"]}

    def verdict(value, se, certificate=good, law=True):
        rival = {"difference": {"value": value, "se": se}, "certificate": certificate}
        return fits.preference(rival, law)

    assert verdict(0.5, 0.2) == "worse"
    assert verdict(-0.5, 0.2) == "better"
    assert verdict(0.5, 0.3) == verdict(-0.5, 0.3) == "not told apart"
    assert verdict(4e-6, 1e-7) == "not told apart"
    assert verdict(0.5, 0.2, bad) == "worse; not certified: L_∞ is open"
    assert verdict(0.5, 0.2, law=False) == "not compared, since the law is not certified"
    assert fits.preference({"unfitted": "too few points"}, True) == "not fitted: too few points"


def test_law_whose_own_error_is_unknown_says_why(study):
    fit = study["fits"]["L_N"]
    law, *others = fit["rivals"]
    unknown = {"name": "law", "formula": law["formula"], "unfitted": "too few runs"}
    others = [{key: value for key, value in rival.items() if key != "difference"} for rival in others]
    first, *rows = fits.forms(fit | {"rivals": [unknown, *others]})
    assert (first["error"], first["verdict"]) == ("–", "error unknown: too few runs")
    assert {row["verdict"].split(";")[0] for row in rows} == {"not compared"}


def test_forms_stand_beside_each_other(page, laws, text):
    for law, fit in laws.items():
        rows = [cells for row, cells in page.named.items() if row.startswith(f"{law}-form-")]
        assert [cells[1] for cells in rows] == ["the law", *(r["name"] for r in fit.get("rivals", [])[1:])][
            : len(rows)
        ]
        assert len(rows) == len(fit.get("rivals", []))
        for cells, rival in zip(rows, fit.get("rivals", []), strict=True):
            if "error_percent" in rival:
                assert number(cells[2]) == pytest.approx(rival["error_percent"], rel=0.06)
            assert ("difference" in rival) == (cells[3] != "–")
    assert not fit.get("rivals")
    assert "Kaplan et al. 2020, figure 23" in plain(text)


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "expected"),
    [
        (0.07, 0.06, 0.08, None, "interval contains the published value"),
        (0.09, 0.08, 0.10, None, "steeper than published"),
        (0.05, 0.04, 0.06, None, "shallower than published"),
        (2.0, 1.0, 3.0, "tokens", "larger than published"),
    ],
)
def test_verdict_is_computed(value, low, high, unit, expected):
    parameter = {"value": value, "low": low, "high": high, "unit": unit, "published": 0.076}
    assert fits.verdict(parameter) == expected
    assert fits.verdict(parameter | {"published": None}) == ""


def test_left_out_runs_are_listed_with_reasons(text, laws):
    listed = plain(re.search(r'<ul class="excluded">(.*?)</ul>', text, re.DOTALL)[1])
    excluded = [item for fit in laws.values() for item in fit["data"]["excluded"]]
    assert excluded
    for item in excluded:
        assert f"{item['run']} {item['reason']}" in listed
    assert listed.count("diverged") == 1


def test_table_of_runs_holds_every_run(page, study):
    headings, *rows = page.rows["runs"]
    rows = {row[-1]: dict(zip(headings, row, strict=True)) for row in rows}
    assert set(rows) == {run["run"] for run in study["tables"]["runs"]}
    for run in study["tables"]["runs"]:
        row = rows[run["run"]]
        assert row["N"] == f"{run['N']:,}"
        for key in ("n_layer", "d_model", "d_ff", "n_head"):
            assert row[key] == ("–" if run[key] is None else str(run[key]))
        loss = f"{run['test_loss']:.3f} ± {run['test_loss_se']:.3f}"
        assert row["test loss (nats)"] == ("–" if run["status"] == "diverged" else loss)
        assert row["status"] == run["status"]
        recipe = row["recipe"].split(", ")
        varied = ("architecture", "reuse", "n_ctx", "schedule", "warmup", "horizon", "B", "S", "seed")
        assert {f"{key} {run[key]}" for key in varied} <= set(recipe)
        assert "tied True" not in recipe, "what the study does not vary is not told"
        assert row["experiments"] == ", ".join(run["experiments"])


def test_table_of_sets_and_origins(text, page, study):
    headings, *rows = page.rows["sets"]
    assert [row[0].split()[0] for row in rows] == ["test", *simulated.SETS]
    found = offsets(study["tables"]["runs"], study["tables"]["evaluations"])
    for cells in rows[1:]:
        row = dict(zip(headings, cells, strict=True))
        mean, drift = (found[row["set"]][key] for key in ("mean", "drift"))
        assert row["mean offset, all sizes"].startswith(f"{wording.signed(mean['value'], 2)} (")
        low, high = (wording.signed(drift[key], 3) for key in ("low", "high"))
        assert row["its drift"].endswith(f"({low} to {high})")
        constant = drift["low"] <= 0 <= drift["high"]
        assert row["verdict"] == (
            "constant within the interval" if constant else "rises" if drift["value"] < 0 else "falls"
        )
    for wheel in study["manifest"]["wheels"]:
        assert wheel["sha256"] in text
        assert wheel["licence"] in text
    assert "n_vocab: 512" in text
    assert "torch 2.13.0" in text


def test_columns_that_say_nothing_are_left_out():
    def headings(**more):
        rows = [
            {"run": str(N), "N": N, "D": 10, "test_loss": 3.0, "experiments": ["size"]} | more for N in (1, 2)
        ]
        return [heading for heading, _ in runs.run_table(rows, [])["headings"]]

    assert headings() == ["N", "D (tokens)", "test loss (nats)", "experiments", "run"]
    assert headings(n_layer=None, learning_rate=float("nan"), tokens=10, best_test_loss=3.0) == headings()
    assert "tokens seen" in headings(tokens=20)
    assert "its best" in headings(best_test_loss=2.9)
    assert "n_layer" in headings(n_layer=2)


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
    assert len(specs(page)) == len(catalog.FRONTIER_PAGE)
    assert any(HOSTILE in json.dumps(spec, ensure_ascii=False).replace('\\"', '"') for spec in specs(page))


def test_missing_experiments_are_named_instead_of_empty_charts(write):
    study = simulated.study(("size",))
    text = write(study)
    page = Page(text)
    lines = [plain(line) for line in re.findall(r'<p class="missing">(.*?)</p>', text)]
    assert "Not in this study: add data to experiments in the study's config." in lines
    assert "Not in this study: add shape to experiments in the study's config." in lines
    figures = [attributes["id"] for tag, attributes in page.elements if tag == "figure"]
    drawn = [name for name in catalog.FRONTIER_PAGE if not catalog.missing(name, {"size"}, study["fits"])]
    assert figures[: 1 + len(drawn)] == ["explorer", *drawn]
    assert "shape" in figures[1 + len(drawn) :], "what is missing comes last"
    assert len(specs(page)) == len(drawn)
    assert len(lines) == len(set(lines)), "figures that lack the same stand together"
    titles = plain(" ".join(re.findall(r"<h3>(.*?)</h3>", text)))
    for figure in (catalog.FIGURES[name] for name in catalog.FRONTIER_PAGE):
        assert figure.title.replace("_", "") in titles
    assert "αD" not in "".join(cell for row in page.rows["exponents"] for cell in row)


def test_missing_fit_is_named(write, study):
    unfitted = copy.copy(study) | {"fits": {k: v for k, v in study["fits"].items() if k != "L_D"}}
    lines = [plain(line) for line in re.findall(r'<p class="missing">(.*?)</p>', write(unfitted))]
    assert "Not fitted in this study: LD." in lines


def test_law_that_could_not_be_fitted_says_why(write, study):
    reason = "L_D cannot be fitted: 0 usable runs"
    told = {key: study["fits"]["L_D"][key] for key in ("law", "formula", "source")} | {"unfitted": reason}
    text = write(study | {"fits": study["fits"] | {"L_D": told}})
    page = Page(text)
    without = [name for name in catalog.FRONTIER_PAGE if "L_D" in catalog.FIGURES[name].fits]
    assert len(specs(page)) == len(catalog.FRONTIER_PAGE) - len(without)
    assert not any(row.startswith("L_D-") for row in page.named)
    section = exponents_section(text)
    assert "LD cannot be fitted: 0 usable runs." in section


def test_a_reason_that_holds_for_every_convention_is_told_once(study):
    fit, reason = study["fits"]["N_opt"], "N_opt cannot be fitted: 0 usable runs"
    head = {"unfitted": reason, "convention": "output head counted"}
    told = {key: fit[key] for key in ("law", "formula", "source")} | {"unfitted": reason, "with_head": head}
    entry = fits.exponents(told)
    assert (entry["unfitted"], entry["others"]) == (f"{reason}.", [])
    own = {key: value for key, value in fit.items() if not key.startswith("with_")}
    attention = head | {"convention": "attention counted"}
    entry = fits.exponents(own | {"with_head": head, "with_attention": attention})
    assert entry["rows"]
    assert entry["others"] == [f"output head counted; attention counted: {reason}"]


def test_exponents_as_markdown_are_those_of_the_fits(study):
    law, failed = study["fits"]["L_N"], study["fits"]["chinchilla"]
    shown = [
        law,
        failed,
        {"law": "L_D", "formula": "L = D", "source": "", "unfitted": "none"},
    ]
    lines = fits.markdown(shown).splitlines()
    found = law["parameters"]["alpha_N"]
    assert f"| α_N | {wording.readable(found['value'])} |" in lines[2]
    assert f"| {wording.readable(found['low'])} to {wording.readable(found['high'])} | 0.076 |" in lines[2]
    certified = "Certified: 64 of 64 starts end at the same optimum"
    assert f"| {wording.forecast(law)} | {certified} | 7 runs | 7 points |" in lines[2]
    assert [line.split(" | ")[1] for line in lines[3:6]] == ["α", "β", "p_N"]
    for line in lines[3:6]:
        assert line.split(" | ")[2][0] == "("
        assert f"| not certified: {wording.reasons(failed)} |" in line
    assert lines[6] == f"| L = D |  | none. |{6 * '  |'}"
    assert {line.count(" | ") for line in lines} == {8}


def test_figure_that_cannot_be_drawn_says_why(write):
    lines = re.findall(r'<p class="missing">(.*?)</p>', write(simulated.study(transfer={})))
    assert lines == [
        "Cannot be drawn: no run was evaluated on a transfer set: add one to corpus.transfer in the config, "
        "or to finished.transfer."
    ]


def test_study_without_sizes_still_has_a_page(write):
    text = write(simulated.study(("shape",)))
    assert len(specs(Page(text))) == 1
    assert "NaN" not in plain(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_page_of_finished_runs_says_where_they_are_from(write):
    study = simulated.finished()
    text = write(study)
    page = Page(text)
    lead = plain(re.search(r'<p class="lead">(.*?)</p>', text, re.DOTALL)[1])
    assert lead.startswith("90 finished runs of ")
    assert "were read from runs.csv. Measured: the best size by L(N, D) goes with compute" in lead
    assert "trained here" not in text
    assert "The paper's models reach" not in text
    assert [attributes["id"] for tag, attributes in page.elements if tag == "figure"] == [
        "loss_vs_ND",
        "budget",
    ]
    assert "sets" not in page.rows
    assert not [tag for tag, a in page.elements if tag == "a" and a["href"] == "#sets"]
    headings, *rows = page.rows["runs"]
    assert headings == ["N", "D (tokens)", "test loss (nats)", "run"]
    assert len(rows) == 90
    footer = plain(re.search(r'<footer id="origins">.*</footer>', text, re.DOTALL)[0])
    for told in ("sha256: " + "ef" * 32, "rows read: 92", "derived: D = tokens", "where: –"):
        assert told in footer
    assert "run row91, row 91, loss 5.25, reason the largest loss" in footer
    left_out = plain(re.search(r"<h3>Left out of the fits</h3>(.*?)</section>", text, re.DOTALL)[1])
    assert "row91, loss 5.250: the largest loss" in left_out
    assert "1 row: the same as a row before in every column" in left_out
    assert "No run was left out" not in left_out
    assert "Text:" not in footer
    assert "nan" not in plain(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)).lower().split()


def test_finished_runs_of_which_no_law_could_be_made_have_a_page(write):
    study = simulated.finished()
    told = {
        law: {"law": law, "formula": "L", "source": "", "unfitted": f"{law} cannot be fitted: because"}
        for law in study["fits"]
    }
    text = write(study | {"fits": told})
    assert specs(Page(text)) == []
    assert "chinchilla cannot be fitted: because." in text


def test_script_reads_what_the_pipeline_writes(tmp_path_factory, study, text, monkeypatch):
    folder = simulated.write(study, tmp_path_factory.getbasetemp())
    assert made(folder, study, monkeypatch, "--manifest", str(folder / "data" / "manifest.json")) == text


def test_script_needs_no_manifest_of_finished_runs(tmp_path_factory, write, monkeypatch):
    study = simulated.finished()
    folder = simulated.write(study, tmp_path_factory.getbasetemp())
    assert made(folder, study, monkeypatch, "--finished", str(folder / "finished.json")) == write(study)


def made(folder, study, monkeypatch, *more):
    """The page that the script writes in ``folder``."""
    fits = [str(folder / "fits" / f"{law}.json") for law in study["fits"]]
    paths = ["--study", str(folder / "study.json"), "--tables", str(folder / "tables")]
    (folder / "planner.json").write_text("null")  # nothing to plan with; test_planner_page.py has more
    paths += ["--planner", str(folder / "planner.json")]
    out = folder / "frontier.html"
    monkeypatch.setattr(sys, "argv", ["page.py", *paths, *more, "--out", str(out), "--fits", *fits])
    page_script.main()
    return out.read_text(encoding="utf-8")


def test_script_element_cannot_be_closed_by_the_library(tmp_path, monkeypatch):
    monkeypatch.setattr(render.vl_convert, "javascript_bundle", lambda: 'x = "</script><!--"')
    assert render.library(tmp_path) == r'x = "<\/script><\!--"'
    assert render.library(tmp_path) == r'x = "<\/script><\!--"'


def test_the_table_tells_runs_of_one_size_apart():
    shape = {"N": 512, "D": 1000, "d_ff": None, "n_head": None, "tied": True}
    rows = [
        shape | {"run": name, "architecture": "lstm", "optimizer": name, "B": 256}
        for name in ("adam", "adamw")
    ]
    assert [row["recipe"] for row in runs.run_rows(rows, [])] == ["optimizer adam", "optimizer adamw"]
    assert runs.run_rows(rows[:1], [])[0]["recipe"] == ""


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("L_∞ and N_0", "<var>L</var><sub>∞</sub> and <var>N</var><sub>0</sub>"),
        ("C^p_N", "C<sup><var>p</var><sub>N</sub></sup>"),
        ("L^(1/α_B)", "L<sup>1/<var>α</var><sub>B</sub></sup>"),
        ("C^(β/(α+β))", "C<sup>β/(α+β)</sup>"),
        ("3 × 10⁻⁷ < `size`", "3 × 10<sup>−7</sup> &lt; <code>size</code>"),
    ],
)
def test_symbols_are_set_as_such(text, html):
    assert render.symbols(text) == html
