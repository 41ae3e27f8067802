"""Every figure from a simulated study: specification, picture, text alternative, data."""

import csv
import json
import math
import re
import sys
from xml.etree import ElementTree

import altair as alt
import figure as figure_script
import pytest
import simulated
import test_allocation_charts
import test_scan_charts
from scaling.charts import by_size, catalog, drawing, fitted, shape, theme, transfer, wording
from scaling.laws import LAWS
from scaling.offsets import offsets
from scaling.provenance import UserError
from scaling.units import PF_DAY

COMPUTE, N, LOSS = "training compute C (PF-days)", "non-embedding parameters N", "test loss (nats per token)"
TITLES = (
    {
        "learning_curves": [COMPUTE, LOSS, N],
        "N_opt": [COMPUTE, f"best {N}"],
        "loss_vs_N": [N, LOSS],
        "loss_vs_ND": [COMPUTE, LOSS, N],
        "loss_vs_NS": ["training steps S", LOSS, N],
        "loss_vs_D": ["training set D (tokens)", LOSS, N],
        "loss_vs_D_by_size": ["training set D (tokens)", LOSS, N],
        "overfitting": [N, LOSS, "training set D (tokens)", "overfitting δL (%)"],
        "logarithm": [N, LOSS, "measured loss above the curve (%)"],
        "transfer": [LOSS, "loss on the other text (nats per token)"],
        "transfer_vs_N": [N, "loss (nats per token)"],
        "loss_vs_N_fixed": [N, LOSS],
        "steps_vs_N": [N],
        "shape": ["loss increase (%)", "d_ff / d_model", "d_model / n_layer", "d_model / n_head"],
        "curves_vs_tokens": ["tokens seen", LOSS, N],
        "early_stopping": ["training steps S", "loss (nats per token)", "training set D (tokens)"],
        "extrapolation": ["forecast above measured loss (%)", N],
        "positions": ["position in the context T (tokens)", LOSS, N],
        "positions_vs_N": [N, LOSS, "position in the context T (tokens)"],
        "schedules": ["training step", "learning rate", "learning rate summed over steps", LOSS],
        "learning_rate": ["peak learning rate", LOSS, "best peak learning rate", N],
        "embeddings": [N, LOSS],
        "architectures": [N, LOSS],
        "recurrent": [N, LOSS],
        "transfer_vs_depth": [],
    }
    | test_scan_charts.TITLES
    | test_allocation_charts.TITLES
)
ONLY_LINES = ("split", "off_optimum")
LINES = ("fit", "rate")
"""Series that are drawn as lines, without a symbol for each row."""


@pytest.fixture(scope="module")
def study():
    return simulated.study()


@pytest.fixture(scope="module")
def drawings(study):
    return {name: drawing.draw(name, study["tables"], study["fits"]) for name in catalog.FIGURES}


@pytest.fixture(scope="module")
def pictures(drawings):
    return {name: drawing.svg(drawing.specification(drawn)) for name, drawn in drawings.items()}


@pytest.mark.parametrize("name", catalog.FIGURES)
def test_specification_is_valid_and_draws(name, drawings, pictures):
    alt.Chart.from_dict(drawing.specification(drawings[name]))  # raises for what the schema does not know
    text = pictures[name]
    root = ElementTree.fromstring(text)
    for title in TITLES[name]:
        assert f">{title}<" in text
    symbols = [g for g in root.iter() if "mark-symbol role-mark" in g.get("class", "")]
    points = [row for series, rows in drawings[name].data for row in rows if series not in LINES]
    assert sum(len(group) for group in symbols) >= len(points)
    assert len(points) > 5 or name in ONLY_LINES
    assert "NaN" not in text
    assert "undefined" not in text
    assert drawing.png(text).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", catalog.FIGURES)
def test_text_alternative_holds_the_caption(name, drawings, pictures):
    root = ElementTree.fromstring(pictures[name])
    assert root.get("role") == "img"
    assert root.get("aria-label") == drawings[name].description
    assert drawings[name].caption in drawings[name].description


OF_ONE_INPUT = ("learning_curves", "N_opt", "loss_vs_N", "loss_vs_D")
BY_SIZE = ("loss_vs_ND", "loss_vs_NS", "loss_vs_D_by_size")


@pytest.fixture(scope="module")
def finished():
    return simulated.finished()


@pytest.fixture(scope="module")
def certified(study, drawings, finished):
    """A function from a figure to its drawing and its fit, one that passes its certificate."""
    others = {"loss_vs_ND": finished}

    def certified(name):
        source = others.get(name, study)
        drawn = drawing.draw(name, source["tables"], source["fits"]) if name in others else drawings[name]
        fit = source["fits"][catalog.FIGURES[name].fits[0]]
        assert fit["certificate"]["passed"]
        return drawn, fit

    return certified


@pytest.mark.parametrize("name", OF_ONE_INPUT + BY_SIZE)
def test_captions_say_what_the_fit_says(name, certified):
    drawn, fit = certified(name)
    for parameter in [*wording.exponents(fit), *fit["derived"].values()]:
        measured, low, high = (wording.readable(parameter[key]) for key in ("value", "low", "high"))
        assert (
            f"{parameter['symbol']} = {measured} (90 % interval {low} to {high}; "
            f"published: {wording.published(parameter['published'])})"
        ) in drawn.caption
    assert drawn.caption.endswith(f"Forecast of the largest tenth of compute: {wording.forecast(fit)}.")


@pytest.mark.parametrize("name", OF_ONE_INPUT)
def test_line_and_band_are_those_of_the_fit(name, certified):
    drawn, fit = certified(name)
    (parameter,) = wording.exponents(fit)
    spec = json.dumps(drawing.specification(drawn), ensure_ascii=False)
    assert f"fit, slope {wording.readable(parameter['value'])}, with its 90 % band" in spec
    assert f"paper's slope, {parameter['published']:g}" in spec
    rows = dict(drawn.data)["fit"]
    assert [row["low"] for row in rows] == fit["band"]["low"]
    assert [row["high"] for row in rows] == fit["band"]["high"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("loss_vs_ND", lambda row: row["x"] * PF_DAY / 6 / row["N"]),
        ("loss_vs_NS", lambda row: row["x"]),
        ("loss_vs_D_by_size", lambda row: row["x"]),
    ],
)
def test_curves_by_size_are_the_law_where_sizes_like_it_were_measured(name, place, certified):
    drawn, fit = certified(name)
    data = dict(drawn.data)
    _, other = fit["inputs"]
    parameters = {key: found["value"] for key, found in fit["parameters"].items()}
    assert 3 <= len({row["N"] for row in data["fit"]}) <= theme.MOST_NAMED
    for row in data["fit"]:
        (loss,) = LAWS[fit["law"]].predict({"N": row["N"], other: place(row)}, parameters)
        assert row["y"] == pytest.approx(loss)
    reach = [point[other] for point in data["measured"]]
    assert all(0.999 * min(reach) <= place(row) <= 1.001 * max(reach) for row in data["fit"])
    assert [point["y"] for point in data["measured"]] == fit["data"]["y"]
    assert [place(point) for point in data["measured"]] == pytest.approx(fit["data"]["inputs"][other])


def test_curves_reach_as_far_as_runs_of_about_their_size():
    sizes = [(N, D) for N, most in ((1e6, 1e8), (2e6, 4e8), (1e9, 3e10)) for D in (1e7, most)]
    parameters = {key: {"value": p.published} for key, p in LAWS["chinchilla"].parameters.items()}
    fit = {"law": "chinchilla", "inputs": {"N": "", "D": ""}, "parameters": parameters}
    rows = by_size.curves(fit, [{"N": N, "D": D} for N, D in sizes], lambda N, D: D)
    for N, most in sizes[1::2]:
        reach = [row["x"] for row in rows if row["N"] == N]
        assert (min(reach), max(reach)) == pytest.approx((1e7, most))
    many = [(1e6 * 1.5**k, 1e7 * 2**k) for k in range(24)]
    rows = by_size.curves(fit, [{"N": N, "D": D} for N, D in many], lambda N, D: D)
    assert len({row["N"] for row in rows}) == by_size.SIZES
    for N in {row["N"] for row in rows}:
        reach = [row["x"] for row in rows if row["N"] == N]
        near = [D for size, D in many if 1 / 3 < size / N < 3]
        assert min(near) * 0.99 < min(reach) < max(reach) < max(near) * 1.01


@pytest.mark.parametrize("name", OF_ONE_INPUT + BY_SIZE)
def test_a_fit_that_fails_its_certificate_is_not_drawn(name, study, drawings, certified):
    fit = certified(name)[1] if name != "loss_vs_ND" else study["fits"]["chinchilla"]
    reason = "the points do not determine alpha_N, which ran into a bound"
    failed = fit | {"certificate": fit["certificate"] | {"passed": False, "reasons": [reason]}}
    drawn = drawing.draw(name, study["tables"], {fit["law"]: failed})
    assert "fit" not in dict(drawn.data)
    assert dict(drawn.data).keys() == dict(drawings[name].data).keys() - {"fit"}
    spec = drawing.specification(drawn)
    assert "slope" not in json.dumps(spec)
    styles = [layer["mark"].get("style") for layer in spec["layer"]]
    assert not {"fit", "band", "reference"} & set(styles)
    assert "does not pass its certificate" in drawn.caption
    assert "the points do not determine α_N, which ran into a bound." in drawn.caption
    assert wording.readable(wording.exponents(fit)[0]["value"]) not in drawn.caption
    assert drawing.svg(spec).count("mark-symbol role-mark") >= 1


def test_forecasts_read_as_what_they_are():
    holdout = {"error_percent": 1.284, "interval_percent": [-2.04, 12.6], "covered": True, "points": 3}
    assert wording.forecast({"holdout": holdout}) == "off by +1.3 %, inside its interval of −2.0 to +13 %"
    said = wording.forecast({"holdout": holdout | {"covered": False, "error_percent": -3.0}})
    assert said == "off by −3.0 %, outside its interval of −2.0 to +13 %"
    none = dict.fromkeys(holdout) | {"reason": "too few points"}
    assert wording.forecast({"holdout": none}) == "not possible: too few points"


def test_reference_line_has_the_published_slope_and_meets_the_fit(study):
    for law in ("L_C", "N_opt"):
        band = fitted.band_rows(study["fits"][law])
        middle = band[len(band) // 2]
        (exponent,) = wording.exponents(study["fits"][law])
        start, end = fitted.slope_rows(band, exponent["published"], [middle["x"], 100 * middle["x"]])
        assert start["y"] == pytest.approx(middle["y"])
        slope = math.log(end["y"] / start["y"]) / math.log(100)
        assert slope == pytest.approx(exponent["published"] if law == "N_opt" else -exponent["published"])


def test_colour_of_N_runs_from_the_smallest_to_the_largest():
    encoding = theme.N_colour([442368, 768, 24576, 768]).to_dict()
    assert encoding["scale"] == {"type": "log", "domain": [768, 442368]}
    assert encoding["legend"]["values"] == [768, 24576, 442368]
    many = theme.N_colour([round(1000 * 1.5**k) for k in range(theme.MOST_NAMED + 1)]).to_dict()
    assert many["legend"]["type"] == "gradient"
    assert theme.N_colour([768, 3072], alt.Stroke).to_dict()["legend"] is None


def test_many_sizes_have_a_gradient_and_runs_without_a_shape_no_word_of_it(finished):
    drawn = drawing.draw("loss_vs_ND", finished["tables"], finished["fits"])
    spec = drawing.specification(drawn)
    text = drawing.svg(spec)
    assert "legend-gradient" in text
    assert "role-legend-symbol" not in text
    assert "undefined" not in text
    assert "shape" not in {tip["field"] for tip in spec["layer"][1]["encoding"]["tooltip"]}
    assert len(dict(drawn.data)["measured"]) == len(finished["tables"]["runs"])


def test_shapes_are_told_as_far_as_they_are_known():
    run = {"n_layer": 2, "d_model": 32, "d_ff": None, "n_head": None}
    assert wording.shape(run) == "2 layers, width 32"
    assert wording.shape(run | {"d_ff": 128, "n_head": 1}) == "2 layers, width 32, feed-forward 128, 1 head"
    assert wording.shape({}) == ""
    assert "shape" not in theme.described({"run": "row1", "N": 5})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (8e-13, 2e-8, [1e-12, 1e-11, 1e-10, 1e-9, 1e-8]),
        (700, 50_000, [1000, 2000, 5000, 10_000, 20_000, 50_000]),
        (3.1, 6.3, [3.5, 4, 4.5, 5, 5.5, 6]),
        (3.13, 3.36, [3.15, 3.2, 3.25, 3.3, 3.35]),
        (4.0001, 4.0002, [4.0001, 4.00012, 4.00014, 4.00016, 4.00018, 4.0002]),
    ],
)
def test_ticks_are_round_and_enough(low, high, expected):
    assert theme.ticks(low, high) == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([8e-14, 2e-9], {"10": ["−13", "−12", "−11", "−10", "−9"]}),
        ([5e-11, 3e-9], {"10": ["−10", "−9"]}),
        ([2e-9, 6e-9], {"2·10": ["−9"], "4·10": ["−9"], "6·10": ["−9"]}),
    ],
)
def test_tens_carry_their_exponents(ends, expected):
    found = {}
    for layer in theme.exponents(ends):
        spec = layer.to_dict()
        (rows,) = spec["datasets"].values()
        axis = spec["encoding"]["x"]["axis"]
        labels = dict(zip(axis["values"], re.findall(r"'([^']*)'", axis["labelExpr"]), strict=True))
        for row in rows:
            found.setdefault(labels[row["x"]], []).append(row["exponent"])
    assert found == expected


def test_unknown_error_leaves_the_bar_out():
    assert theme.with_error({"y": 3.0}, 0.1) == {"y": 3.0, "low": 2.9, "high": 3.1}
    assert theme.bars([theme.with_error({"y": 3.0}, 0.1), {"y": 2.0}]) == "Bars: one standard error. "
    assert theme.bars([{"y": 2.0}]) == ""
    assert theme.with_error({"y": 3.0}, None) == theme.with_error({"y": 3.0}, math.nan) == {"y": 3.0}


def test_each_shape_panel_varies_one_property(study):
    base, panels = shape.arranged(drawing.converged(study["tables"]["runs"], "shape"))
    assert (base["n_layer"], base["d_model"], base["d_ff"], base["n_head"]) == (2, 32, 128, 2)
    values = {varied.name: sorted(varied.of(run) for run in members) for varied, members in panels.items()}
    assert values["feed-forward ratio"] == [1, 2, 4, 10]
    assert values["aspect ratio"] == [2, 26 / 3, 16, 45]
    assert values["head dimension"] == [4, 8, 16, 32]


def test_shape_losses_are_relative_to_the_best(drawings, study):
    losses = [run["test_loss"] for run in study["tables"]["runs"] if "shape" in run["experiments"]]
    rows = dict(drawings["shape"].data)["measured"]
    assert min(row["y"] for row in rows) == 0
    assert max(row["y"] for row in rows) == pytest.approx(100 * (max(losses) / min(losses) - 1))


def test_transfer_holds_every_snapshot_and_marks_the_last(study):
    points = transfer.measured(study["tables"])
    assert len(points) == len(simulated.SIZES) * 4 * len(simulated.SETS)
    ends = {(point["run"], point["step"]) for point in points if point["stage"] == transfer.END}
    assert len(ends) == len(simulated.SIZES)
    assert {step for _, step in ends} == {simulated.S}
    assert transfer.nearest_first(points)[0] == "cloud"


def test_transfer_tells_mean_offsets_with_their_intervals(study, drawings):
    for name, found in offsets(study["tables"]["runs"], study["tables"]["evaluations"]).items():
        value, low, high = (wording.signed(found["mean"][key], 2) for key in ("value", "low", "high"))
        assert f"{name} {value} ({low} to {high})" in drawings["transfer"].caption


def test_transfer_of_finished_runs_has_their_ends_alone(finished):
    runs = finished["tables"]["runs"][:9]
    evaluations = [
        {"run": run["run"], "step": None, "set": name, "loss": run["test_loss"] + apart, "loss_se": None}
        for run in runs
        for name, apart in (("test", 0.0), ("code", 0.5))
    ]
    drawn = drawing.draw("transfer", {"runs": runs, "evaluations": evaluations}, {})
    assert "9 runs, each at its end" in drawn.caption
    assert "code +0.50 (+0.50 to +0.50)" in drawn.caption
    assert {row["stage"] for row in dict(drawn.data)["measured"]} == {transfer.END}
    assert "NaN" not in drawing.svg(drawing.specification(drawn))


def test_diverged_run_is_not_drawn():
    study = simulated.study(diverged=147456)
    name = next(run["run"] for run in study["tables"]["runs"] if run["status"] == "diverged")
    study["tables"]["curves"][0]["test_loss"] = math.nan
    for figure in catalog.FIGURES:
        drawn = drawing.draw(figure, study["tables"], study["fits"])
        json.dumps(drawing.specification(drawn), allow_nan=False)
        assert name not in {row.get("run") for _, rows in drawn.data for row in rows}
        if figure == "learning_curves":
            assert "7 sizes" in drawn.caption


def test_missing_experiment_and_fit_are_named(study):
    assert catalog.missing("loss_vs_D", ["size"], {"L_D": {}}) == (
        "Not in this study: add `data` to `experiments` in the study's config."
    )
    assert "`L_D`" in catalog.missing("loss_vs_D", ["size", "data"], {})
    assert catalog.missing("loss_vs_D", ["size", "data"], {"L_D": {}}) is None
    unfitted = {"L_D": {"unfitted": "L_D cannot be fitted: 0 usable runs"}}
    assert catalog.missing("loss_vs_D", ["size", "data"], unfitted) == "L_D cannot be fitted: 0 usable runs."
    assert catalog.available(["shape"], []) == ["shape"]
    assert catalog.reads("loss_vs_D", ["L_N"]) == ["L_D"]
    assert catalog.reads("budget", ["L_N", "chinchilla"]) == ["chinchilla"]
    assert catalog.reads("budget", ["L_NS", "N_opt"]) == ["N_opt", "allocation"]
    with pytest.raises(UserError, match="add `data`"):
        drawing.draw("loss_vs_D", simulated.study(("size",))["tables"], study["fits"])


def test_study_without_transfer_sets_says_so():
    study = simulated.study(("size",), transfer={})
    with pytest.raises(UserError, match=r"corpus\.transfer"):
        drawing.draw("transfer", study["tables"], study["fits"])


def test_numbers_read_well():
    assert [wording.si(n) for n in (768, 24576, 999_999, 14_000_000)] == ["768", "24.6k", "1M", "14M"]
    assert wording.words(442_368) == "442 thousand"
    assert [wording.readable(x) for x in (0.07091, -0.0407, 2.1e11)] == ["0.0709", "−0.0407", "2.10 × 10¹¹"]
    assert [wording.published(x) for x in (0.076, 8.8e13)] == ["0.076", "8.8 × 10¹³"]
    assert [wording.signed(x, 2) for x in (0.284, -0.057, -0.001)] == ["+0.28", "−0.06", "+0.00"]
    assert wording.greek("alpha_N, L_inf, beta and alphabet") == "α_N, L_∞, β and alphabet"
    assert wording.scientific(2.24e-7) == "2.2 × 10⁻⁷"
    assert wording.lowered(wording.superscript(-12)) == "−12"


def test_script_writes_all_four_files(tmp_path_factory, study, monkeypatch):
    folder = simulated.write(study, tmp_path_factory.getbasetemp())  # where test_pages.py finds the library
    outputs = {form: folder / "figures" / f"loss_vs_N.{form}" for form in ("html", "svg", "png", "csv")}
    arguments = ["--name", "loss_vs_N", "--study", str(folder / "study.json")]
    arguments += ["--tables", str(folder / "tables"), "--fits", str(folder / "fits")]
    arguments += [part for form, path in outputs.items() for part in (f"--{form}", str(path))]
    monkeypatch.setattr(sys, "argv", ["figure.py", *arguments])
    figure_script.main()
    page = outputs["html"].read_text(encoding="utf-8")
    assert "vegaEmbed" in page
    assert not re.search(r'(src|href)="http', page)
    with outputs["csv"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    measured = [row for row in rows if row["series"] == "measured"]
    assert [float(row["y"]) for row in measured] == study["fits"]["L_N"]["data"]["y"]
    assert all(float(row["low"]) < float(row["y"]) < float(row["high"]) for row in measured)


def test_script_draws_the_reason_where_a_law_could_not_be_fitted(tmp_path_factory, study, monkeypatch):
    reason = "N_opt cannot be fitted: 0 computes whose best size has a worse one on both sides"
    fits = study["fits"] | {"N_opt": {"law": "N_opt", "unfitted": reason}}
    folder = simulated.write(study | {"fits": fits}, tmp_path_factory.getbasetemp())
    outputs = {form: folder / "figures" / f"N_opt.{form}" for form in ("html", "svg", "png", "csv")}
    arguments = ["--name", "N_opt", "--study", str(folder / "study.json")]
    arguments += ["--tables", str(folder / "tables"), "--fits", str(folder / "fits")]
    arguments += [part for form, path in outputs.items() for part in (f"--{form}", str(path))]
    monkeypatch.setattr(sys, "argv", ["figure.py", *arguments])
    figure_script.main()
    assert "0 computes whose best" in outputs["svg"].read_text(encoding="utf-8")
    assert reason in outputs["csv"].read_text(encoding="utf-8")
    assert outputs["png"].stat().st_size > 1000


def test_damaged_table_is_named(tmp_path):
    (tmp_path / "runs.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"runs\.parquet is damaged"):
        drawing.read_tables(tmp_path, ["runs"])
    with pytest.raises(UserError, match=r"curves\.parquet does not exist"):
        drawing.read_tables(tmp_path, ["curves"])
