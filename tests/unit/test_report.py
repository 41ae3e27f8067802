"""The report: every figure of the paper, the findings of its summary, and what is missing at what cost."""

import contextlib
import copy
import re

import pytest
import simulated
from scaling.charts import catalog, drawing, findings
from scaling.pages import render, report
from scaling.provenance import UserError
from test_pages import HOSTILE, Page, plain, specs, writer

OFFER = {"runs": [[1e5, 1e6], [1e5, 2e6]]}


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    return writer(tmp_path_factory.getbasetemp(), "report.html", report.page)


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
def small():
    """A study of the sizes alone, which is offered one experiment more."""
    found = simulated.study(("size",))
    for run in found["tables"]["runs"]:
        run |= {"device": "cpu", "threads": 1, "processes": 1}
    found["study"]["offered"] = {"depth": OFFER}
    return found


@pytest.fixture(scope="module")
def drawings(study):
    """The figures that the study can draw, by name."""
    found = {}
    for name in catalog.FIGURES:
        with contextlib.suppress(UserError):
            found[name] = drawing.draw(name, study["tables"], study["fits"])
    return found


def test_every_figure_stands_once_in_the_paper_s_order(page, drawings):
    figures = [attributes["id"] for tag, attributes in page.elements if tag == "figure"]
    assert figures == list(drawings)
    assert len(figures) >= len(catalog.FIGURES) - 2
    assert len(specs(page)) == len(figures)
    numbers = [int(re.match(r"\d+", catalog.FIGURES[name].paper[0])[0]) for name in figures[:-7]]
    assert numbers == sorted(numbers)


def test_the_report_asks_the_network_for_nothing(text, page):
    assert len(text.encode()) < 3e6
    for tag, attributes in page.elements:
        if tag != "a":
            assert not {"src", "href", "srcset", "data"} & set(attributes), (tag, attributes)
    assert all(a["href"].startswith("#") for tag, a in page.elements if tag == "a")
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "http" not in markup.replace("http-equiv", "")


def test_links_lead_somewhere(page):
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {a["href"][1:] for tag, a in page.elements if tag == "a"} <= ids


@pytest.mark.parametrize("name", catalog.SUMMARY)
def test_the_table_of_findings_holds_what_the_figures_find(name, page, drawings):
    row = [" ".join(cell.split()) for cell in page.named[f"claim-{name}"]]
    found = drawings[name].finding
    figure = catalog.FIGURES[name]
    assert row[0] == plain(str(render.symbols(f"{figure.claim} {report.place(figure.paper)}")))
    assert row[1:] == [
        plain(str(render.symbols(text))) for text in (found.paper, found.measured, found.sentence())
    ]


def test_a_claim_and_a_finding_come_together(drawings):
    for name, drawn in drawings.items():
        found = drawn.finding
        assert (found is not None) == bool(catalog.FIGURES[name].claim), name
        if found:
            assert found.verdict in (findings.HOLDS, findings.PARTLY, findings.FAILS, findings.OPEN)
            told = f"{found.paper} {found.measured} {found.sentence()}"
            assert not re.search(r"\b(nan|inf|None)\b", told), (name, told)
            assert not found.because.endswith("."), name


def test_the_lead_counts_the_verdicts(text, drawings):
    lead = plain(re.search(r'<p class="lead">(.*?)</p>', text, re.DOTALL)[1])
    verdicts = [drawings[name].finding.verdict for name in catalog.SUMMARY]
    assert f"Of the {len(catalog.SUMMARY)} claims of the paper's summary" in lead
    holds = verdicts.count(findings.HOLDS)
    assert f" {holds} {'holds' if holds == 1 else 'hold'} at this scale" in lead
    for verdict, words in (
        (findings.PARTLY, "in part"),
        (findings.FAILS, "not"),
        (findings.OPEN, "left open"),
    ):
        assert (f", {verdicts.count(verdict)} {words}" in lead) == (verdict in verdicts)


def test_what_is_not_in_the_study_is_a_line_with_its_cost(write, small):
    text = write(small)
    page = Page(text)
    lines = {
        attributes["id"]: plain(body)
        for attributes, body in (
            ({"id": name}, body) for name, body in re.findall(r'<li id="(\w+)">(.*?)</li>', text, re.DOTALL)
        )
    }
    assert "depth: 2 runs, 3.0 × 1011 FLOPs, about" in lines["embeddings"]
    assert "of a CPU core" in lines["embeddings"]
    assert "add batch to experiments in the study's config." in lines["split"], "no cost where none is known"
    figures = {attributes["id"] for tag, attributes in page.elements if tag == "figure"}
    assert figures | set(lines) == set(catalog.FIGURES)
    assert not figures & set(lines)
    assert "Not in this study: add depth" in page.named["claim-embeddings"][-1]
    assert 'data-verdict="not in this study"' in text


def test_a_law_that_could_not_be_fitted_leaves_its_claim_undecided(small):
    fits = copy.deepcopy(small["fits"])
    told = {key: fits["L_N"][key] for key in ("law", "formula", "source")}
    fits["L_N"] = told | {"unfitted": "L_N cannot be fitted: 2 usable runs, at least 3 are needed"}
    shown = report.page(small["study"], small["tables"], fits)
    row = next(row for row in shown["summary"] if row["name"] == "loss_vs_N")
    assert (row["verdict"], row["measured"]) == (findings.OPEN, "–")
    assert row["reason"] == "Cannot be told: L_N cannot be fitted: 2 usable runs, at least 3 are needed."


def test_finished_runs_of_others_have_a_report(write):
    text = write(simulated.finished())
    assert "finished runs of" in plain(re.search(r'<p class="lead">(.*?)</p>', text, re.DOTALL)[1])
    assert len(specs(Page(text))) >= 1


def test_runs_left_out_are_listed_with_the_reason(write):
    study = simulated.finished()
    fit = study["fits"]["chinchilla"]
    left_out = {"run": "row7", "reason": "its loss is 50 % above <what> the other runs foretell"}
    fits = study["fits"] | {"chinchilla": fit | {"data": fit["data"] | {"excluded": [left_out]}}}
    told = re.search(
        r'id="left-out-title">.*?</h2>(.*?)</section>', write(study | {"fits": fits}), re.DOTALL
    )[1]
    assert "row91, loss 5.250: the largest loss" in plain(told)
    assert "above &lt;what&gt; the other runs" in told
    assert "row7 its loss is 50 % above <what> the other runs foretell (chinchilla)" in plain(told)


def test_hostile_names_stay_text(write):
    text = write(simulated.study(name=HOSTILE, transfer={HOSTILE: 0.3, "code": 0.6}))
    assert "<b>bold" not in text
    assert len(specs(Page(text))) >= len(catalog.FIGURES) - 2


def test_findings_in_markdown_are_a_table(study):
    records = (study[key] for key in ("study", "tables", "fits", "manifest"))
    shown = report.page(*records)
    lines = report.markdown(shown["summary"]).splitlines()
    assert len(lines) == 2 + len(catalog.SUMMARY)
    assert {line.count("|") for line in lines} == {5}
    for line, row in zip(lines[2:], shown["summary"], strict=True):
        assert line.startswith(f"| {row['claim']} ({row['place']}) | ")
        assert line.endswith(f" | {row['reason']} |")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("9",), "Figure 9"),
        (("1 left", "2 right"), "Figures 1 left and 2 right"),
        (("Equation D.1",), "Equation D.1"),
        ((), ""),
    ],
)
def test_places_are_told_as_a_reader_says_them(labels, words):
    assert report.place(labels) == words
