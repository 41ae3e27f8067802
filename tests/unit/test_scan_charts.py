"""The charts of batch scans and of what they adjust: marks, words, and what is not drawn."""

import copy
import csv
import json
import math
from statistics import median
from xml.etree import ElementTree

import altair as alt
import pytest
import simulated
from scaling.charts import catalog, critical_batch, drawing, fitted, loss_vs_Cmin, theme, wording
from scaling.laws import LAWS, least_steps
from scaling.laws import critical_batch as B_crit

LOSS, N = "test loss (nats per token)", "non-embedding parameters N"
TITLES = {
    "critical_batch": [LOSS, "critical batch size (tokens)", N, *critical_batch.MARKS],
    "steps_examples": ["training steps S", "examples processed E (tokens)", "loss reached (nats per token)"],
    "loss_vs_NSmin": ["least training steps S_min", LOSS, N],
    "loss_vs_Cmin": ["training compute C (PF-days)", LOSS, loss_vs_Cmin.TRAINED, loss_vs_Cmin.ADJUSTED],
}
REASON = "only 20 of 64 starts agree with the best"


@pytest.fixture(scope="module")
def study():
    return simulated.study(("size", "long", "batch"))


@pytest.fixture(scope="module")
def drawings(study):
    return {name: drawing.draw(name, study["tables"], study["fits"]) for name in TITLES}


@pytest.fixture
def redrawn(study):
    """A function that draws a figure of the study's fits, changed by a function that is given a copy."""

    def redrawn(name, change):
        fits = copy.deepcopy(study["fits"])
        change(fits)
        return drawing.draw(name, study["tables"], fits)

    return redrawn


def picture(drawn):
    """The svg of a drawing, which must be valid and without a number that is none."""
    spec = drawing.specification(drawn)
    alt.Chart.from_dict(spec)
    text = drawing.svg(spec)
    assert "NaN" not in text
    assert "undefined" not in text
    return text


def symbols(text):
    """How many points a picture holds."""
    groups = [g for g in ElementTree.fromstring(text).iter() if "mark-symbol role-mark" in g.get("class", "")]
    return sum(len(group) for group in groups)


def panels(drawn):
    """The layers of each panel of a drawing, every one with its "rows"."""
    spec = drawing.specification(drawn)
    return [
        [{**layer, "rows": spec["datasets"][layer["data"]["name"]]} for layer in panel["layer"]]
        for panel in spec.get("concat", [spec])
    ]


def layers(drawn, **mark):
    """The layers of all panels whose mark is as said."""
    found = [layer for panel in panels(drawn) for layer in panel]
    return [layer for layer in found if mark.items() <= layer["mark"].items()]


def marks(drawn):
    """The types of the marks of a drawing."""
    return {layer["mark"]["type"] for layer in layers(drawn)}


@pytest.mark.parametrize("name", TITLES)
def test_figure_draws_its_points_and_says_what_they_are(name, study, drawings, tmp_path):
    drawn = drawings[name]
    text = picture(drawn)
    for title in TITLES[name]:
        assert f">{title}<" in text
    points = [row for series, rows in drawn.data for row in rows if series != "fit"]
    assert symbols(text) == len(points) > 5
    assert drawn.caption in drawn.description
    for law in catalog.FIGURES[name].fits:
        for exponent in wording.exponents(study["fits"][law]):
            assert wording.measured(exponent, "90 % interval") in drawn.caption
    drawing.write_csv(tmp_path / "figure.csv", drawn)
    with (tmp_path / "figure.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(part) for _, part in drawn.data)
    assert [float(row["y"]) for row in rows if row["series"] != "fit"] == [point["y"] for point in points]


@pytest.mark.parametrize("name", TITLES)
def test_uncertified_fits_are_not_drawn(name, drawings, redrawn):
    def fail(fits):
        for law in catalog.FIGURES[name].fits:
            fits[law]["certificate"] |= {"passed": False, "reasons": [REASON]}

    drawn = redrawn(name, fail)
    assert "line" in marks(drawings[name])
    assert not {"line", "area"} & marks(drawn)
    assert dict(drawn.data).keys() == dict(drawings[name].data).keys() - {"fit"}
    assert symbols(picture(drawn)) == symbols(picture(drawings[name]))
    assert drawn.caption.count(REASON) == len(catalog.FIGURES[name].fits)
    assert "published" not in drawn.caption


# --- critical batch size --------------------------------------------------------------------------------


def test_line_of_an_inverse_exponent_has_the_slope_of_its_law(study, drawings):
    fit = study["fits"]["B_crit"]
    (reference, line) = layers(drawings["critical_batch"], type="line")

    def slope(rows):
        start, end = rows[0], rows[-1]
        return math.log(end["y"] / start["y"]) / math.log(end["x"] / start["x"])

    alpha_B = fit["parameters"]["alpha_B"]
    assert slope(line["rows"]) == pytest.approx(-1 / alpha_B["value"])
    assert slope(reference["rows"]) == pytest.approx(-1 / alpha_B["published"])
    predicted = LAWS["B_crit"].published(loss=[row["x"] for row in reference["rows"]])
    ratio = [row["y"] / y for row, y in zip(reference["rows"], predicted, strict=True)]
    assert ratio[0] == pytest.approx(ratio[-1])  # the paper's law, but for its scale
    spec = json.dumps(drawing.specification(drawings["critical_batch"]), ensure_ascii=False)
    assert f"fit, slope 1/{wording.readable(alpha_B['value'])}, with its 90 % band" in spec
    assert f"paper's slope, 1/{wording.published(alpha_B['published'])}" in spec
    assert not fitted.inverse(study["fits"]["L_C"])


def test_noise_scales_stand_beside_the_hyperbolas_of_their_level(study, drawings):
    drawn, data = drawings["critical_batch"], study["fits"]["B_crit"]["data"]
    rows = dict(drawn.data)
    assert [row["y"] for row in rows["measured"]] == data["y"]
    for row, level in zip(rows["noise scale"], data["levels"], strict=True):
        assert (row["N"], row["x"], row["y"]) == (level["N"], level["loss"], level["noise_scale"])
        assert row["high"] - row["y"] == pytest.approx(level["noise_scale_se"])
        assert row["ratio"] == pytest.approx(level["noise_scale"] * level["S_min"] / level["E_min"])
    ratios = [row["ratio"] for row in rows["noise scale"]]
    low, middle, high = (
        wording.significant(value, 2) for value in (min(ratios), median(ratios), max(ratios))
    )
    assert f"It is {low} to {high} times B_crit, {middle} times in the median." in drawn.caption
    assert f"{len(data['levels'])} hyperbolas" in drawn.caption
    for series, filled in (("noise scale", False), ("measured", True)):
        (points,) = layers(drawn, type="point", filled=filled)
        assert [row["y"] for row in points["rows"]] == [row["y"] for row in rows[series]]


def test_level_without_a_noise_scale_is_left_out(redrawn, study):
    def unknown(fits):
        first, second, third = fits["B_crit"]["data"]["levels"][:3]
        first |= {"noise_scale": None, "noise_scale_se": None}
        second |= {"noise_scale_se": None}
        third |= {"noise_scale_se": 9 * third["noise_scale"]}

    drawn, count = redrawn("critical_batch", unknown), len(study["fits"]["B_crit"]["data"]["levels"])
    picture(drawn)
    rows = dict(drawn.data)["noise scale"]
    assert len(rows) == count - 1
    assert "low" not in rows[0]
    assert rows[1]["low"] < 0
    assert f"known at {count - 1} of {count}" in drawn.caption
    assert "reach below it" in drawn.caption
    (bars,) = layers(drawn, style="error")
    assert len(bars["rows"]) == count - 2
    assert min(row["low"] for row in bars["rows"]) > 0  # on a logarithmic axis


def test_study_without_noise_scales_says_so(redrawn):
    def unknown(fits):
        for level in fits["B_crit"]["data"]["levels"]:
            level |= {"noise_scale": None, "noise_scale_se": None}

    drawn = redrawn("critical_batch", unknown)
    assert symbols(picture(drawn)) == len(dict(drawn.data)["measured"])
    assert "noise scale" not in dict(drawn.data)
    assert "known at none of these losses" in drawn.caption
    assert "title" not in drawing.specification(drawn)


# --- steps and examples ---------------------------------------------------------------------------------


def test_each_size_has_a_panel_of_its_levels(study, drawings):
    levels = study["fits"]["B_crit"]["data"]["levels"]
    sizes = sorted({level["N"] for level in levels})
    spec = drawing.specification(drawings["steps_examples"])
    assert [panel["title"] for panel in spec["concat"]] == [f"N = {wording.si(N)}" for N in sizes]
    for N, panel in zip(sizes, panels(drawings["steps_examples"]), strict=True):
        rows = [row for layer in panel for row in layer["rows"] if "B" in row]
        assert {row["N"] for row in rows} == {N}
        assert len(rows) == sum(len(level["B"]) for level in levels if level["N"] == N)


def test_legend_names_every_loss(study, drawings):
    text = picture(drawings["steps_examples"])
    for level in study["fits"]["B_crit"]["data"]["levels"]:
        assert f">{level['loss']:.4g}<" in text


def test_lines_are_the_hyperbolas_of_their_levels(study, drawings):
    data = dict(drawings["steps_examples"].data)
    for level in study["fits"]["B_crit"]["data"]["levels"]:
        rows = [row for row in data["fit"] if (row["N"], row["loss"]) == (level["N"], level["loss"])]
        for row in rows:
            assert (row["x"] / level["S_min"] - 1) * (row["y"] / level["E_min"] - 1) == pytest.approx(1)
        batches = [row["y"] / row["x"] for row in rows]
        assert (min(batches), max(batches)) == pytest.approx((min(level["B"]), max(level["B"])))


def test_runs_that_ended_before_the_loss_are_hollow(study, drawings, redrawn):
    data = study["fits"]["B_crit"]["data"]
    drawn = drawings["steps_examples"]
    hollow = [row for layer in layers(drawn, filled=False) for row in layer["rows"]]
    assert len(hollow) == data["censored"] > 0
    assert not any(row["reached"] for row in hollow)
    assert f"Hollow: {data['censored']} of the {data['steps']}" in drawn.caption
    left_out = wording.counted(len(data["unreached"]), "level")
    assert f"Left out, since too few batch sizes came down to them: {left_out}." in drawn.caption

    def arrive(fits):
        for level in fits["B_crit"]["data"]["levels"]:
            level["least"] = [False] * len(level["least"])
        fits["B_crit"]["data"]["unreached"] = []

    drawn = redrawn("steps_examples", arrive)
    assert not layers(drawn, filled=False)
    assert "Hollow" not in drawn.caption
    assert "left out" not in drawn.caption


@pytest.mark.parametrize("name", ["critical_batch", "steps_examples"])
def test_scan_of_one_size_is_one_panel(name, redrawn):
    def keep(fits):
        data = fits["B_crit"]["data"]
        first = [at for at, level in enumerate(data["levels"]) if level["N"] == data["levels"][0]["N"]]
        data["levels"], data["y"] = ([values[at] for at in first] for values in (data["levels"], data["y"]))

    drawn = redrawn(name, keep)
    picture(drawn)
    assert "layer" in drawing.specification(drawn)  # as wide as the page
    assert len({row["N"] for row in dict(drawn.data)["measured"]}) == 1


# --- adjusted losses ------------------------------------------------------------------------------------


def test_adjusted_steps_are_those_of_the_steps_trained(study, drawings):
    fit = study["fits"]["L_NSmin"]
    points = dict(drawings["loss_vs_NSmin"].data)["measured"]
    trained = dict(drawing.draw("loss_vs_NS", study["tables"], study["fits"]).data)["measured"]
    for point, before in zip(points, trained, strict=True):
        critical = B_crit(point["y"], **fit["adjusted_by"])
        assert point["x"] == pytest.approx(least_steps(before["x"], simulated.B, critical))
    parameters = {key: found["value"] for key, found in fit["parameters"].items()}
    for row in dict(drawings["loss_vs_NSmin"].data)["fit"]:
        assert row["y"] == pytest.approx(
            LAWS["L_NSmin"].predict({"N": row["N"], "S_min": row["x"]}, parameters)[0]
        )


@pytest.mark.parametrize("name", ["loss_vs_NSmin", "loss_vs_Cmin"])
def test_caption_tells_by_what_it_was_adjusted(name, study, drawings):
    by = {
        key: wording.readable(found["value"]) for key, found in study["fits"]["B_crit"]["parameters"].items()
    }
    assert f"B_crit(L) = {by['B_star']} tokens / L^(1/{by['alpha_B']})" in drawings[name].caption


def test_two_envelopes_are_told_apart(study, drawings):
    drawn = drawings["loss_vs_Cmin"]
    data = dict(drawn.data)
    for way, law, compute in ((loss_vs_Cmin.TRAINED, "L_C", "C"), (loss_vs_Cmin.ADJUSTED, "L_Cmin", "C_min")):
        fit = study["fits"][law]
        assert [row["x"] for row in data[way]] == fit["data"]["inputs"][compute]
        assert [row["y"] for row in data["fit"] if row["way"] == way] == fit["band"]["y"]
    (line,), (point,), (band,) = (layers(drawn, type=mark) for mark in ("line", "point", "area"))
    for channel in (line["encoding"]["strokeDash"], point["encoding"]["shape"], point["encoding"]["color"]):
        assert len({str(style) for style in channel["scale"]["range"]}) == 2
    assert [row["low"] for row in band["rows"]] == study["fits"]["L_Cmin"]["band"]["low"]


@pytest.mark.parametrize(("failed", "left", "dash"), [("L_C", "C_min", 0), ("L_Cmin", "C", 1)])
def test_one_uncertified_envelope_leaves_the_other(failed, left, dash, redrawn):
    def fail(fits):
        fits[failed]["certificate"] |= {"passed": False, "reasons": [REASON]}

    drawn = redrawn("loss_vs_Cmin", fail)
    picture(drawn)
    (line,) = layers(drawn, type="line")
    scale = line["encoding"]["strokeDash"]["scale"]
    assert [name.split(":")[0] for name in scale["domain"]] == [left]
    assert scale["range"] == [theme.DASHES[dash]]  # as where both are drawn
    assert len({row["way"] for row in dict(drawn.data)["fit"]}) == 1
    assert ("area" in marks(drawn)) == (left == "C_min")
    assert drawn.caption.count(REASON) == 1
