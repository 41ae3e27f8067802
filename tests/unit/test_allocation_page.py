"""How a budget splits, on the page and in exponents.md: both roads, what is missing, what follows."""

import copy
import re
import sys

import exponents as exponents_script
import pytest
import simulated
from scaling.charts import catalog, wording
from scaling.pages import allocation, content, render
from test_pages import Page, number, plain

BAD = "L_NSmin cannot be fitted: it has no points"


@pytest.fixture(scope="module")
def study():
    return simulated.study(("size", "long", "batch"))


@pytest.fixture(scope="module")
def unscanned():
    return simulated.study(("size", "long"))


@pytest.fixture
def split(study):
    """The allocation of a study, to change."""
    return copy.deepcopy(study["fits"]["allocation"])


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """A function from a study, with other fits if they are given, to the section of its page and its rows."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    library = render.library(tmp_path_factory.getbasetemp() / "figures")

    def write(study, fits=None, finished=None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(catalog, "FRONTIER_PAGE", ())
            shown = content.page(study["study"], study["tables"], fits or study["fits"], None, finished)
        render.write_page(path, "frontier.html", library, **shown)
        text = path.read_text(encoding="utf-8")
        section = re.search(r'<section id="allocation".*?</section>', text, re.DOTALL)
        return plain(section[0]) if section else "", Page(text)

    return write


def own(split, kind="adjusted"):
    return split["conventions"]["6N"][kind]


def lowered(text):
    """``text`` as it reads where the page raises its powers of ten."""
    return text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789−"))


def test_both_roads_their_difference_and_the_published_value_stand_in_a_row(write, study):
    _, page = write(study)
    for quantity, numbers in own(study["fits"]["allocation"])["exponents"].items():
        cells = page.named[f"allocation-{quantity}"]
        assert cells[0].startswith(numbers["symbol"].replace("_", ""))
        for cell, road in zip(cells[1:4], ("envelope", "law", "difference"), strict=True):
            texts = [lowered(wording.readable(numbers[road][key])) for key in ("value", "low", "high")]
            signs = ["+" if road == "difference" and not text.startswith("−") else "" for text in texts]
            value, low, high = (sign + text for sign, text in zip(signs, texts, strict=True))
            assert cell == f"{value} {low} to {high}"
        agree = numbers["difference"]["low"] <= 0 <= numbers["difference"]["high"]
        assert cells[4] == ("agree" if agree else "do not agree")
        assert cells[5] == f"{numbers['published']:g}"
    verdicts = {page.named[f"allocation-{q}"][4] for q in ("N", "B", "S", "D", "loss")}
    assert verdicts == {"agree", "do not agree"}


@pytest.mark.parametrize(
    ("low", "high", "certified", "expected"),
    [
        (-0.1, 0.1, True, "agree"),
        (0.01, 0.1, True, "do not agree"),
        (-0.2, -0.1, True, "do not agree"),
        (-0.1, 0.1, False, "not certified"),
    ],
)
def test_roads_agree_where_the_interval_of_their_difference_holds_zero(low, high, certified, expected):
    assert allocation.verdict({"value": 0.05, "low": low, "high": high, "certified": certified}) == expected


def test_a_growing_budget_is_split_beside_the_papers(write, study):
    text, page = write(study)
    numbers = study["fits"]["allocation"]
    assert f"{wording.words(numbers['budget'])} times the compute" in text
    published = {"N": "1,000,000", "B": "100", "S": "10"}
    for quantity, found in own(numbers)["split"].items():
        cells = page.named[f"allocation-split-{quantity}"]
        assert cells[5] == published[quantity]
        for cell, road in zip(cells[1:3], ("envelope", "law"), strict=True):
            value, low, high = (allocation.grown(found[road][key]) for key in ("value", "low", "high"))
            certified = found[road]["certified"]
            assert cell == (f"{value} {low} to {high}" if certified else f"({value}) ({low} to {high})")


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.1569, "0.157"), (4.0787, "4.08"), (9_751_986, "9,750,000"), (100, "100"), (2.2e209, "2.20 × 10²⁰⁹")],
)
def test_multiples_are_written_out_as_far_as_they_can_be_read(value, told):
    assert allocation.grown(value) == told


def test_every_way_of_counting_has_both_kinds_by_both_roads(write, study):
    _, page = write(study)
    rows = {name: cells for name, cells in page.named.items() if name.startswith("counting-")}
    ways = study["fits"]["allocation"]["conventions"]
    assert list(rows) == [f"counting-{name}" for name in ways]
    assert len(rows) == 6
    uncertified = 0
    for (name, found), cells in zip(ways.items(), rows.values(), strict=True):
        assert cells[0] == found["words"]
        every = [found[kind]["exponents"]["N"] for kind in ("adjusted", "unadjusted")]
        for cell, one in zip(
            cells[1:], (n[road] for n in every for road in ("envelope", "law")), strict=True
        ):
            assert number(cell) == pytest.approx(one["value"], rel=6e-3), name
            assert (cell[0] == "(") == (not one["certified"])
            uncertified += not one["certified"]
    assert uncertified > 0


def test_uncertified_numbers_stand_in_brackets(write, study, split):
    own(split)["exponents"]["B"]["law"]["certified"] = False
    split["off_optimum"]["smallest"]["certified"] = False
    split["closed_form"]["difference"]["certified"] = False
    _, page = write(study, study["fits"] | {"allocation": split})
    _, envelope, law, *_ = page.named["allocation-B"]
    assert (envelope[0], law[0], law[-1]) != ("(", "(", ")")
    assert (law[0], law[-1]) == ("(", ")")
    assert page.named["follows-off-smallest"][1][0] == "("
    assert page.named["follows-off-largest"][1][0] != "("
    assert page.named["follows-closed-difference"][0] == "difference not certified"


def test_a_reason_is_told_once_however_many_numbers_it_keeps_away(write, study, split):
    def lose(numbers, road, reason):
        numbers[road] = {"missing": reason}

    for ways in split["conventions"].values():
        for quantity, numbers in ways["adjusted"]["exponents"].items():
            for road in ("law", "difference"):
                lose(numbers, road, BAD)
            if quantity in "SD":
                lose(numbers, "envelope", BAD.replace("L_NSmin", "S_min" if quantity == "S" else "D_opt"))
    for numbers in own(split)["split"].values():
        lose(numbers, "law", BAD)
    split |= {"off_optimum": {"missing": BAD}, "crossing": {"missing": "they never cross"}}
    lose(split["closed_form"], "implied", BAD)
    lose(split["closed_form"], "difference", BAD)
    text, page = write(study, study["fits"] | {"allocation": split})
    assert text.count("it has no points") == 1
    assert "LNSmin, Smin, D_opt cannot be fitted: it has no points.".replace("D_opt", "Dopt") in text
    assert page.named["allocation-N"][2:5] == ["– note 1", "– note 1", ""]
    assert page.named["allocation-S"][1] == "– note 1"
    assert number(page.named["allocation-N"][1]) > 0
    assert "not known: note 1" in text
    assert text.count("they never cross.") == 1
    assert "not known: note 2" in text
    assert not any(row.startswith(("follows-off", "follows-crossing")) for row in page.named)


def test_what_follows_is_beside_the_published(write, study, split):
    crossing = {
        name: {"value": value, "low": value / 2, "high": 2 * value, "certified": True, "published": published}
        for name, value, published in (
            ("C", 2e-8, 1e4),
            ("N", 2e5, 1e12),
            ("D", 2e6, 1e12),
            ("loss", 3.1, 1.7),
        )
    } | {"crossing_share": 0.9}
    text, page = write(study, study["fits"] | {"allocation": split | {"crossing": crossing}})
    closed, off = split["closed_form"], split["off_optimum"]
    expected = {
        "closed-fitted": (closed["fitted"]["value"], 0.05),
        "closed-implied": (closed["implied"]["value"], 0.054),
        "off-smallest": (off["smallest"]["value"], 0.6),
        "off-steps": (off["against_convergence"]["steps"]["value"], 7.7),
        "off-compute": (100 * off["against_convergence"]["compute"]["value"], 65),
        "crossing-N": (crossing["N"]["value"], 1e12),
        "crossing-loss": (crossing["loss"]["value"], 1.7),
    }
    for name, (value, published) in expected.items():
        cells = page.named[f"follows-{name}"]
        assert number(cells[2]) == published
        told = wording.percent(value / 100) if name == "off-compute" else wording.readable(value)
        assert cells[1].startswith(wording.lowered(told))
    agree = closed["difference"]["low"] <= 0 <= closed["difference"]["high"]
    assert page.named["follows-closed-difference"][0] == f"difference {'agree' if agree else 'do not agree'}"
    assert f"by {wording.percent(crossing['crossing_share'])} of the draws they meet" in text


def test_a_study_without_a_batch_scan_says_what_to_add(write, unscanned):
    text, page = write(unscanned)
    assert text.count("These numbers are unadjusted") == text.count("add batch to experiments") == 1
    assert "Powers of C by" in text
    assert [row for row in page.named if row.startswith("allocation-")] == [
        "allocation-N",
        "allocation-loss",
    ]
    assert not any(row.startswith("follows-") for row in page.named)
    assert "note 1" not in text
    assert len(page.named["counting-6N"]) == 3


def test_finished_runs_carry_no_batch_scan(write, unscanned):
    finished = simulated.finished()["finished"]
    text, _ = write(unscanned, finished=finished)
    assert "a file of finished runs carries no batch scan" in text
    assert "experiments" not in text


def test_a_scan_that_could_not_be_used_is_named(write, study, split):
    reason = "it needs B_crit(L), and B_crit cannot be fitted: 2 runs"
    laws = {"N": "N_opt_Cmin", "B": "B_opt", "S": "S_min", "D": "D_opt", "loss": "L_Cmin"}
    for ways in split["conventions"].values():
        for quantity, numbers in ways["adjusted"]["exponents"].items():
            for road in ("envelope", "law", "difference"):
                numbers[road] = {"missing": f"{laws[quantity]} cannot be fitted: {reason}"}
    text, _ = write(study, study["fits"] | {"allocation": split})
    assert "by which no law of this study is adjusted (note 1)." in text
    assert text.count("Bcrit cannot be fitted: 2 runs.") == 1
    assert "add batch to experiments" not in text


def test_the_forecasts_of_the_fits_behind_the_numbers_stand_beside_them(write, study):
    text, _ = write(study)
    shown = plain(text)
    for law in ("B_crit", "L_Cmin", "N_opt_Cmin", "L_NSmin"):
        assert wording.forecast(study["fits"][law]) in shown
    assert allocation.forecasts({}, ("L_C",)) == []


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.1, 0.2, "agree"), (0.1, 0.2, "do not agree"), (-0.3, 0.3, "too wide to tell")],
)
def test_roads_agree_only_where_their_difference_is_known(low, high, said):
    assert allocation.verdict({"value": 0.15, "low": low, "high": high, "certified": True}) == said


def test_no_allocation_no_section(write, study):
    fits = {law: fit for law, fit in study["fits"].items() if law != "allocation"}
    text, page = write(study, fits)
    assert text == ""
    assert not [a for tag, a in page.elements if a.get("href") == "#allocation"]
    assert [a for tag, a in write(study)[1].elements if a.get("href") == "#allocation"]


def made(study, folder, monkeypatch, leave=()):
    """What the script writes of a study's exponents: the two tables, or the one."""
    folder = simulated.write(study, folder)
    fits = [str(folder / "fits" / f"{law}.json") for law in study["fits"] if law not in leave]
    out = folder / "exponents.md"
    monkeypatch.setattr(sys, "argv", ["exponents.py", "--fits", *fits, "--out", str(out)])
    exponents_script.main()
    return out.read_text(encoding="utf-8").split("\n## How N and FLOPs are counted\n")


def test_exponents_are_followed_by_the_ways_of_counting(study, tmp_path, monkeypatch):
    first, second = made(study, tmp_path, monkeypatch)
    assert not any(
        ways["words"] in first
        for name, ways in study["fits"]["allocation"]["conventions"].items()
        if name != "6N"
    )
    lines = [line for line in second.splitlines() if line.startswith("|")]
    ways = study["fits"]["allocation"]["conventions"]
    assert {line.count("|") for line in lines} == {6}
    for line, found in zip(lines[2:], ways.values(), strict=True):
        words, *cells = line.strip("| ").split(" | ")
        assert words == found["words"]
        for cell, (kind, road) in zip(
            cells, [(k, r) for k in ("adjusted", "unadjusted") for r in ("envelope", "law")], strict=True
        ):
            one = found[kind]["exponents"]["N"][road]
            texts = [wording.readable(one[key]) for key in ("value", "low", "high")]
            told = "{}, {} to {}" if one["certified"] else "({}), ({} to {})"
            assert cell == told.format(*texts)
    assert "Published: 0.88 (Kaplan" in second


def test_exponents_of_a_study_without_a_scan_say_so(unscanned, tmp_path, monkeypatch):
    _, second = made(unscanned, tmp_path, monkeypatch)
    assert "No law is adjusted by B_crit(L)" in second
    assert {line.count("|") for line in second.splitlines() if line.startswith("|")} == {4}
    assert len(made(unscanned, tmp_path, monkeypatch, leave=("allocation",))) == 1
