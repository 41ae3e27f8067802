"""The figures of how a budget splits: marks, captions and data, and what is not drawn and why."""

import copy
import csv
import json
import math

import altair as alt
import numpy as np
import pytest
import simulated
from scaling.charts import N_opt_Cmin, budget, crossing, drawing, fitted, off_optimum, split, wording
from scaling.laws import LAWS, compute_optimal
from scaling.provenance import UserError
from scaling.units import PF_DAY

MODULES = {
    **{"N_opt_Cmin": N_opt_Cmin, "budget": budget, "split": split, "off_optimum": off_optimum},
    "crossing": crossing,
}
TITLES = {
    "budget": [
        *("least training compute C_min (PF-days)", "non-embedding parameters N", "batch size B (tokens)"),
        *("least training steps S_min", "training tokens D", *budget.LINES[:2], *budget.LINES[4:]),
    ],
    "N_opt_Cmin": [
        *("least training compute C_min (PF-days)", "best non-embedding parameters N"),
        "fewest training steps S_min",
    ],
    "split": ["growth of compute C_min", "growth", "optimum of L(N, S_min)", "envelope", "paper's powers"],
    "off_optimum": [
        *("model size, relative to the best N", "compute, relative to the best size's"),
        "steps, relative to the best size's",
    ],
    "crossing": ["least training compute C_min (PF-days)", "test loss (nats per token)"],
}
REASON = "the points do not determine alpha_N, which ran into a bound"


@pytest.fixture(scope="module")
def study():
    return simulated.study(("size", "long", "data", "batch"), transfer={})


@pytest.fixture
def fits(study):
    """The study's fits, every one of them certified, which a test may change."""
    fits = copy.deepcopy(study["fits"])
    for law in ("N_opt_Cmin", "S_min", "L_NSmin", "L_Cmin", "D_opt", "L_D"):
        assert fits[law]["certificate"]["passed"]
    return fits


@pytest.fixture
def draw(study):
    """A function from a figure and fits to its drawing and its picture's text."""

    def draw(name, fits):
        drawn = MODULES[name].draw(study["tables"], fits)
        return drawn, drawing.svg(drawing.specification(drawn))

    return draw


def failed(fit):
    return fit | {"certificate": fit["certificate"] | {"passed": False, "reasons": [REASON]}}


def uncertified(node):
    """Change every number below a part of allocation.json to one that is not certified."""
    if isinstance(node, dict):
        if "certified" in node:
            node["certified"] = False
        for part in node.values():
            uncertified(part)
    elif isinstance(node, list):
        for part in node:
            uncertified(part)


def adjusted(fits):
    return fits["allocation"]["conventions"]["6N"]["adjusted"]


def lines(drawn, key="line"):
    return {row[key] for row in dict(drawn.data).get("fit", [])}


@pytest.mark.parametrize("name", MODULES)
def test_each_draws_marks_words_and_rows(name, fits, draw, tmp_path):
    drawn, picture = draw(name, fits)
    spec = drawing.specification(drawn)
    alt.Chart.from_dict(spec)  # raises for what the schema does not know
    json.dumps(spec, allow_nan=False)
    for title in TITLES[name]:
        assert f">{title}<" in picture
    assert "NaN" not in picture
    assert "undefined" not in picture
    assert "mark-line role-mark" in picture or "mark-area role-mark" in picture
    assert drawn.caption in drawn.description != drawn.caption
    drawing.write_csv(tmp_path / "data.csv", drawn)
    with (tmp_path / "data.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(part) for _, part in drawn.data) > 30
    assert {"series", "x", "y"} <= rows[0].keys()


def test_told_gives_the_number_or_the_reason():
    number = {"value": 0.7, "low": -0.1, "high": 1.5, "certified": True}
    assert fitted.told(number) == "0.700 (−0.100 to 1.50)"
    assert fitted.told(number | {"low": 0.1}, wording.percent) == "70 % (10 % to 150 %)"
    assert fitted.told(number | {"certified": False}) == (
        "not told, since a fit behind it does not pass its certificate"
    )
    assert fitted.told({"missing": "no alpha_N", "published": 1.0}) == "not told, since no α_N"
    assert fitted.allocated({"allocation": {"conventions": {"head": {}}}}) == {}


# --- best size and fewest steps -------------------------------------------------------------------------


def test_both_roads_have_their_points_lines_and_bands(fits, draw):
    drawn, picture = draw("N_opt_Cmin", fits)
    data = dict(drawn.data)
    points = len(fits["N_opt_Cmin"]["data"]["y"]) + len(fits["S_min"]["data"]["y"])
    assert picture.count('aria-roledescription="point"') == len(data["measured"]) == points
    for quantity, law in (("N", "N_opt_Cmin"), ("S", "S_min")):
        rows = [row for row in data["fit"] if row["quantity"] == quantity]
        for line, band in (
            (N_opt_Cmin.ENVELOPE, fits[law]["band"]),
            (N_opt_Cmin.LAW, adjusted(fits)["lines"][quantity]),
        ):
            found = [row for row in rows if row["line"] == line]
            for key in ("y", "low", "high"):
                assert [row[key] for row in found] == band[key]
        start, end = (row for row in rows if row["line"] == N_opt_Cmin.SLOPE)
        slope = math.log(end["y"] / start["y"]) / math.log(end["x"] / start["x"])
        (exponent,) = wording.exponents(fits[law])
        assert slope == pytest.approx(exponent["published"])  # rises, whatever the fit does
    assert fits["S_min"]["parameters"]["p_S"]["value"] < 0
    for name in N_opt_Cmin.LINES:
        assert f">{name}<" in picture


def test_caption_compares_the_roads_exponents(fits, draw):
    numbers = adjusted(fits)["exponents"]
    numbers["N"]["difference"] |= {"value": 0.1, "low": 0.02, "high": 0.3}
    numbers["S"]["difference"] |= {"value": -0.1, "low": -0.3, "high": 0.02}
    caption = draw("N_opt_Cmin", fits)[0].caption
    assert "90 % interval" in caption
    for quantity in ("N", "S"):
        for road in ("envelope", "law", "difference"):
            assert fitted.told(numbers[quantity][road]) in caption
        assert f"{numbers[quantity]['symbol']}, published {numbers[quantity]['published']:g}:" in caption
    assert caption.index("disagree") < caption.index("p_S") < caption.index("two agree")


def test_a_road_that_does_not_hold_is_named_and_not_drawn(fits, draw):
    value = wording.readable(fits["N_opt_Cmin"]["parameters"]["p_N"]["value"])
    fits["N_opt_Cmin"], fits["S_min"] = failed(fits["N_opt_Cmin"]), failed(fits["S_min"])
    for numbers in adjusted(fits)["exponents"].values():
        uncertified(numbers["envelope"])
        uncertified(numbers["difference"])
    drawn, picture = draw("N_opt_Cmin", fits)
    assert lines(drawn) == {N_opt_Cmin.LAW, N_opt_Cmin.SLOPE}
    assert N_opt_Cmin.ENVELOPE not in picture
    assert dict(drawn.data)["measured"]
    assert drawn.caption.count("the points do not determine α_N, which ran into a bound") == 2
    assert value not in drawn.caption
    assert "agree" not in drawn.caption


@pytest.mark.parametrize("how", ["none", "uncertified"])
def test_lines_of_the_law_that_do_not_hold_are_not_drawn(how, fits, draw):
    if how == "none":
        adjusted(fits)["lines"] = None
    else:
        uncertified(adjusted(fits)["lines"])
    drawn, picture = draw("N_opt_Cmin", fits)
    assert lines(drawn) == {N_opt_Cmin.ENVELOPE, N_opt_Cmin.SLOPE}
    assert N_opt_Cmin.LAW not in picture
    reason = "is not determined here" if how == "none" else "does not pass its certificate"
    assert f"The optimum of L(N, S_min) is not drawn, since it{'s fit' * (how != 'none')} {reason}." in (
        drawn.caption
    )


def test_points_stay_where_nothing_holds(fits, draw):
    fits["N_opt_Cmin"], fits["S_min"] = failed(fits["N_opt_Cmin"]), failed(fits["S_min"])
    fits["allocation"]["conventions"] = {}
    drawn, picture = draw("N_opt_Cmin", fits)
    assert [series for series, _ in drawn.data] == ["measured"]
    assert "since this study does not count compute as 6 N B S" in drawn.caption
    assert picture.count('aria-roledescription="point"') == len(drawn.data[0][1])
    assert "role-legend" not in picture


# --- where a budget goes --------------------------------------------------------------------------------


def of_line(drawn, quantity, line):
    """x and y (2, Q) of a line of a panel."""
    rows = [r for r in dict(drawn.data)["fit"] if (r["quantity"], r["line"]) == (quantity, line)]
    return np.array([[row["x"], row["y"]] for row in rows]).T


@pytest.fixture(scope="module")
def unscanned():
    return simulated.study(("size", "long"))


@pytest.fixture(scope="module")
def finished():
    return simulated.finished()


def test_a_budget_has_every_point_fit_and_optimum(fits, draw):
    drawn, picture = draw("budget", fits)
    data = dict(drawn.data)
    assert [row["quantity"] for row in data["fit"]].count("N") > 100
    for quantity, law in budget.ADJUSTED.items():
        assert fits[law]["certificate"]["passed"]
        points = [row for row in data["measured"] if row["quantity"] == quantity]
        assert [row["y"] for row in points] == fits[law]["data"]["y"]
        assert all(row["run"] and row["shape"] for row in points)
        for line, band in (
            (budget.ENVELOPE, fits[law]["band"]),
            (budget.LAW, adjusted(fits)["lines"][quantity]),
        ):
            rows = [r for r in data["fit"] if (r["quantity"], r["line"]) == (quantity, line)]
            for key in ("y", "low", "high"):
                assert [row[key] for row in rows] == band[key]
        for road in ("envelope", "law"):
            assert fitted.told(adjusted(fits)["exponents"][quantity][road]) in drawn.caption
    assert picture.count('aria-roledescription="point"') == len(data["measured"])
    assert picture.count("mark-area role-mark") == 8


def test_published_lines_of_a_budget_have_their_own_heights_and_end_with_the_study(fits, draw):
    drawn, _ = draw("budget", fits)
    for quantity, law in budget.ADJUSTED.items():
        x, y = of_line(drawn, quantity, budget.KAPLAN)
        scale, power = (LAWS[law].parameters[key].published for key in (f"{quantity}_e", f"p_{quantity}"))
        assert y == pytest.approx(scale * x**power)
        own = [row["x"] for row in dict(drawn.data)["measured"]]
        assert min(own) / 2 < x.min() < min(own) < max(own) < x.max() < max(own) * 2
    assert {row["quantity"] for row in dict(drawn.data)["fit"] if row["line"] == budget.HOFFMANN} == {
        "N",
        "D",
    }
    for line, power in ((budget.HOFFMANN, 0.4516), (budget.BESIROGLU, 0.5126)):
        x, N = of_line(drawn, "N", line)
        _, D = of_line(drawn, "D", line)
        assert pytest.approx(x * PF_DAY) == 6 * N * D
        assert np.log(N[-1] / N[0]) / np.log(x[-1] / x[0]) == pytest.approx(power, abs=1e-3)
        assert f"N ∝ C^{power:.2f} and D ∝ C^{1 - power:.2f}" in drawn.caption
    assert "Table 6" in drawn.caption
    assert "it says nothing of batch and steps" in drawn.caption


def test_the_optimum_of_chinchilla_is_where_the_loss_is_least():
    law = LAWS["chinchilla"]
    values = {name: law.parameters[name].published for name in budget.OPTIMAL}
    C = 5.76e23 / PF_DAY  # Gopher's budget, of which Hoffmann et al. 2022 make some 40 billion parameters
    N, D = compute_optimal(C, **values)
    assert 3e10 < N < 4.5e10
    losses = [law.published(N=N * k, D=D / k)[0] for k in (0.97, 1, 1 / 0.97)]
    assert min(losses) == losses[1]


def test_a_law_of_a_budget_that_does_not_hold_is_named_and_not_drawn(fits, draw):
    fits["N_opt_Cmin"] = failed(fits["N_opt_Cmin"])
    why = "cannot be fitted: 0 computes whose best size is neither the smallest nor the largest"
    for law in ("S_min", "D_opt"):
        fits[law] = {"law": law, "unfitted": f"{law} {why}"}
    uncertified(adjusted(fits)["lines"])
    drawn, picture = draw("budget", fits)
    assert len(of_line(drawn, "N", budget.ENVELOPE)) == len(of_line(drawn, "S", budget.ENVELOPE)) == 0
    assert len(of_line(drawn, "B", budget.ENVELOPE)) == 2
    assert budget.LAW not in picture
    assert {row["quantity"] for row in dict(drawn.data)["measured"]} == {"N", "B"}
    assert f"S_min, D_opt {why}." in drawn.caption
    assert "p_N, published 0.73: by the points not told" in drawn.caption
    assert "The optimum of L(N, S_min) is not drawn, since its fit does not pass" in drawn.caption
    for law in ("N_opt_Cmin", "B_opt"):
        fits[law] = {"law": law, "unfitted": f"{law} {why}"}
    with pytest.raises(UserError, match=f"^N_opt_Cmin, B_opt, S_min, D_opt {why}$"):
        draw("budget", fits)
    with pytest.raises(UserError, match="N_opt and chinchilla are not fitted in this study"):
        draw("budget", {"L_N": fits["L_N"]})


def test_without_batch_scans_size_and_data_stand_against_compute_as_trained(unscanned):
    fits = unscanned["fits"]
    drawn = budget.draw(unscanned["tables"], fits)
    alt.Chart.from_dict(drawing.specification(drawn))
    assert {row["quantity"] for row in dict(drawn.data)["fit"]} == {"N", "D"}
    points = {q: [r for r in dict(drawn.data)["measured"] if r["quantity"] == q] for q in "ND"}
    assert [row["y"] for row in points["N"]] == fits["N_opt"]["data"]["y"]
    for size, data in zip(points["N"], points["D"], strict=True):
        assert 6 * size["y"] * data["y"] == pytest.approx(size["x"] * PF_DAY)
    for line in (budget.ENVELOPE, budget.KAPLAN):
        x, N = of_line(drawn, "N", line)
        assert 6 * N * of_line(drawn, "D", line)[1] == pytest.approx(x * PF_DAY)
    assert pytest.approx(1.6e9 * x**0.88) == N
    rows = [r for r in dict(drawn.data)["fit"] if (r["quantity"], r["line"]) == ("D", budget.ENVELOPE)]
    assert all(row["low"] <= row["y"] <= row["high"] for row in rows)
    law = fits["allocation"]["conventions"]["6N"]["unadjusted"]["lines"]
    assert of_line(drawn, "D", budget.LAW_AS_TRAINED)[1].tolist() == law["D"]["y"]
    assert not fits["chinchilla"]["certificate"]["passed"]
    assert not len(of_line(drawn, "N", budget.LAW_OF_D))
    assert wording.finding(fits["N_opt"]) in drawn.caption
    assert wording.finding(fits["chinchilla"]) in drawn.caption
    assert "Figure 14" in drawn.caption


def test_finished_runs_have_the_optimum_of_their_own_law_of_N_and_D(finished):
    fits, runs = finished["fits"], finished["tables"]["runs"]
    drawn = budget.draw(finished["tables"], fits)
    picture = drawing.svg(drawing.specification(drawn))
    assert picture.count('aria-roledescription="point"') == 2 * len(runs)
    x, N = of_line(drawn, "N", budget.LAW_OF_D)
    values = {name: fits["chinchilla"]["parameters"][name]["value"] for name in budget.OPTIMAL}
    assert pytest.approx(compute_optimal(x, **values)[0]) == N
    assert 6 * N * of_line(drawn, "D", budget.LAW_OF_D)[1] == pytest.approx(x * PF_DAY)
    assert [x.min(), x.max()] == pytest.approx(
        [end(6 * run["N"] * run["D"] for run in runs) / PF_DAY for end in (min, max)]
    )
    assert wording.finding(fits["chinchilla"]) in drawn.caption
    assert "N_opt is not fitted" not in drawn.caption
    drawn = budget.draw(finished["tables"], {"chinchilla": failed(fits["chinchilla"])})
    assert not len(of_line(drawn, "N", budget.LAW_OF_D))
    assert len(dict(drawn.data)["measured"]) == 2 * len(runs)


# --- split ----------------------------------------------------------------------------------------------


def rising(fits):
    """Exponents of both roads that all rise, which sum to about 1."""
    for part, (envelope, law) in {"N": (0.6, 0.7), "B": (0.25, 0.2), "S": (0.15, 0.1)}.items():
        for road, value in (("envelope", envelope), ("law", law)):
            number = {"value": value, "low": value - 0.05, "high": value + 0.05, "certified": True}
            adjusted(fits)["exponents"][part][road] = number
            powers = {key: 1e9 ** number[key] for key in ("value", "low", "high")}
            adjusted(fits)["split"][part][road] = number | powers
    return fits


def test_parts_stack_to_the_budget(fits, draw):
    drawn, picture = draw("split", rising(fits))
    rows = dict(drawn.data)["fit"]
    for road in ("optimum of L(N, S_min)", "envelope", split.PAPER):
        for x in {row["x"] for row in rows}:
            steps, batch, model = (row for row in rows if row["road"] == road and row["x"] == x)
            assert steps["bottom"] == 1
            assert [steps["top"], batch["top"]] == [batch["bottom"], model["bottom"]]
            assert model["top"] == pytest.approx(x)
            assert steps["y"] * batch["y"] * model["y"] == pytest.approx(x)
    assert "mark-area role-mark" in picture
    assert "mark-line role-mark" not in picture
    assert "lines" not in drawn.caption
    for part, number in (("model", 1e9**0.7), ("batch", 1e9**0.2), ("steps", 1e9**0.15)):
        assert split.growth(number) in picture
        assert f"{part} {split.growth(number)} (" in drawn.caption


def test_split_has_its_intervals_beside_the_papers(fits, draw):
    caption = draw("split", rising(fits))[0].caption
    for part in adjusted(fits)["split"].values():
        for road in ("law", "envelope"):
            assert fitted.told(part[road], split.growth) in caption
    for law, name in (("N_opt_Cmin", "p_N"), ("B_opt", "p_B"), ("S_min", "p_S")):
        power = LAWS[law].parameters[name].published
        assert f"{split.growth(1e9**power)} (power {power:g})" in caption
    assert caption.endswith("1,000,000 : 100 : 10.")


def test_a_part_that_shrinks_makes_lines(fits, draw):
    adjusted(rising(fits))["exponents"]["S"]["envelope"]["value"] = -0.1
    drawn, picture = draw("split", fits)
    for row in dict(drawn.data)["fit"]:
        assert ("top" in row) == (row["road"] != "envelope")
    assert min(row["y"] for row in dict(drawn.data)["fit"]) == pytest.approx(1e9**-0.1)
    assert picture.count("mark-line role-mark") == 3
    assert picture.count("mark-area role-mark") == 6
    assert drawn.caption.count("lines, since not every part grows") == 1


def test_a_split_that_does_not_hold_is_named_and_not_drawn(fits, draw):
    numbers = adjusted(rising(fits))
    uncertified(numbers["exponents"]["N"]["law"])
    numbers["exponents"]["B"]["envelope"] = {"missing": "B_opt is not fitted in this study"}
    drawn, _ = draw("split", fits)
    assert lines(drawn, "road") == {split.PAPER}
    assert "optimum of L(N, S_min): not drawn, since a fit behind it does not pass" in drawn.caption
    assert "envelope: not drawn, since B_opt is not fitted in this study." in drawn.caption
    assert split.growth(1e9**0.7) not in drawn.caption
    fits["allocation"]["conventions"] = {}
    drawn, _ = draw("split", fits)
    assert drawn.caption.count("since this study does not count compute as 6 N B S") == 2


def test_growth_reads_well():
    assert [split.growth(x) for x in (0.157, 4.08, 551.7, 444385)] == ["0.16×", "4.1×", "550×", "440,000×"]


# --- off the best size ----------------------------------------------------------------------------------


def test_another_size_costs_compute_and_saves_steps(fits, draw):
    drawn, picture = draw("off_optimum", fits)
    rows = dict(drawn.data)["fit"]
    at = {point["ratio"]: point for point in fits["allocation"]["off_optimum"]["curve"]}
    measured = [row for row in rows if row["line"] == off_optimum.FIT]
    assert {row["cost"] for row in measured} == {"compute", "steps"}
    for row in measured:
        number = at[row["x"]][row["cost"]]
        assert [row["y"], row["low"], row["high"]] == [number["value"], number["low"], number["high"]]
    dearest = max(row["y"] for row in rows if row["cost"] == "compute" and row["x"] > 1)
    assert 0.8 * off_optimum.DEAREST < dearest < 1.3 * off_optimum.DEAREST
    assert "at most 20 %" in picture
    assert picture.count("mark-rect role-mark") == 2
    assert picture.count("mark-area role-mark") == 2


def test_papers_costs_are_the_published_range():
    rows = [row for row in off_optimum.published() if row["cost"] == "compute"]
    x, y = (np.array([row[key] for row in rows]) for key in ("x", "y"))
    near = x[y <= 1.2]
    assert [near.min(), near.max()] == pytest.approx([0.6, 2.2], rel=0.06)
    assert y.min() == pytest.approx(1, abs=0.001)


def test_costs_are_told_beside_the_papers(fits, draw):
    off, caption = fits["allocation"]["off_optimum"], draw("off_optimum", fits)[0].caption
    for number in (off["smallest"], off["largest"], *list(off["against_convergence"].values())[:2]):
        assert f"{fitted.told(number)}, published {number['published']:g}" in caption
    saved = off["against_convergence"]["compute"]
    assert (
        f"{100 * saved['value']:.0f} % ({100 * saved['low']:.0f} % to {100 * saved['high']:.0f} %)" in caption
    )
    assert f"published {100 * saved['published']:.0f} %" in caption


@pytest.mark.parametrize("how", ["missing", "uncertified"])
def test_costs_that_do_not_hold_are_named_and_not_drawn(how, fits, draw):
    value = wording.readable(fits["allocation"]["off_optimum"]["largest"]["value"])
    fits["L_NSmin"] = failed(fits["L_NSmin"])
    if how == "missing":
        fits["allocation"]["off_optimum"] = {"missing": "L_NSmin is not fitted in this study"}
    else:
        uncertified(fits["allocation"]["off_optimum"])
    drawn, picture = draw("off_optimum", fits)
    assert lines(drawn) == {off_optimum.PAPER}
    assert "mark-rect role-mark" not in picture
    assert "mark-area role-mark" not in picture
    assert ("L_NSmin is not fitted" if how == "missing" else "do not determine α_N") in drawn.caption
    assert value not in drawn.caption


# --- crossing -------------------------------------------------------------------------------------------


def test_lines_are_the_laws_and_meet_where_it_is_told(fits, draw):
    drawn, picture = draw("crossing", fits)
    data = dict(drawn.data)
    at, (met,) = fits["allocation"]["crossing"], data["crossing"]
    assert (met["x"], met["y"]) == (at["C"]["value"], at["loss"]["value"])
    assert [met[key] for key in ("x_low", "x_high", "low", "high")] == [
        at[key][end] for key in ("C", "loss") for end in ("low", "high")
    ]
    for line, laws in crossing.LINES.items():
        rows = [row for row in data["fit"] if row["line"] == line]
        for row in rows[::20]:
            y = row["x"]
            for law in laws:
                found = {name: one["value"] for name, one in fits[law]["parameters"].items()}
                (y,) = LAWS[law].predict({LAWS[law].inputs[0]: y}, found)
            assert row["y"] == pytest.approx(y)
        x, y = (np.log([row[key] for row in rows]) for key in ("x", "y"))
        assert np.exp(np.interp(np.log(met["x"]), x, y)) == pytest.approx(met["y"], rel=1e-3)
    assert max(row["x"] for row in data["fit"]) > 10 * met["x"]
    for text in met["text"].split("\n"):
        assert text in picture
    assert len(met["text"].split("\n")) == 4


def test_lines_are_solid_where_they_are_measured(fits, draw):
    rows = dict(draw("crossing", fits)[0].data)["fit"]
    own, tokens = crossing.LINES
    computes = fits["L_Cmin"]["data"]["inputs"]["C_min"]
    seen = fits["D_opt"]["parameters"]
    for row in rows:
        if row["reach"] == crossing.MEASURED and row["line"] == own:
            assert 0.9 * min(computes) < row["x"] < 1.2 * max(computes)
        if row["reach"] == crossing.MEASURED and row["line"] == tokens:
            seen_D = seen["D_e"]["value"] * row["x"] ** seen["p_D"]["value"]
            assert seen_D < 1.1 * max(fits["L_D"]["data"]["inputs"]["D"])
    reaches = {(row["line"], row["reach"]) for row in rows}
    assert reaches == {(line, reach) for line in crossing.LINES for reach in crossing.REACHES}


def test_caption_tells_the_crossing_and_how_far_off_it_is(fits, draw):
    at = fits["allocation"]["crossing"]
    at["C"] |= {key: 30 * at["C"][key] for key in ("value", "low", "high")}
    at["crossing_share"] = 0.9
    drawn, _ = draw("crossing", fits)
    largest = max(fits["L_Cmin"]["data"]["inputs"]["C_min"])
    times = {key: at["C"][key] / largest for key in ("value", "low", "high")} | {"certified": True}
    assert f"C* is {fitted.told(times)} times the study's largest compute" in drawn.caption
    assert f"C* = {fitted.told(at['C'])} PF-days, published 1 × 10⁴" in drawn.caption
    assert f"N* = {fitted.told(at['N'], crossing.count)}, published 1 trillion" in drawn.caption
    assert f"D* = {fitted.told(at['D'], crossing.count)} tokens, published 1 trillion" in drawn.caption
    assert f"L* = {fitted.told(at['loss'])}, published 1.7" in drawn.caption
    assert "They meet in 90 % of the draws." in drawn.caption
    for law, name in (("L_Cmin", "alpha_C"), ("D_opt", "p_D"), ("L_D", "alpha_D")):
        assert wording.measured(fits[law]["parameters"][name], "90 % interval") in drawn.caption


def test_lines_that_never_meet_are_drawn_and_say_so(fits, draw):
    reason = "L(D) falls as fast as L(C_min), so that they never cross"
    fits["allocation"]["crossing"] = {"missing": reason}
    drawn, _ = draw("crossing", fits)
    assert lines(drawn) == {*crossing.LINES}
    assert "crossing" not in dict(drawn.data)
    assert drawn.caption.endswith(f"No crossing: {reason}.")


def test_a_crossing_too_far_off_is_told_and_not_drawn(fits, draw):
    at = fits["allocation"]["crossing"]
    at["C"] |= {"value": 1e200, "high": 1e304}
    drawn, _ = draw("crossing", fits)
    assert "crossing" not in dict(drawn.data)
    assert max(row["x"] for row in dict(drawn.data)["fit"]) < 1
    assert "C* = 1.00 × 10²⁰⁰" in drawn.caption
    assert drawn.caption.endswith("That is too far to draw.")


@pytest.mark.parametrize(("law", "left"), [("D_opt", 0), ("L_D", 0), ("L_Cmin", 1)])
@pytest.mark.parametrize("how", ["failed", "unfitted", "absent"])
def test_a_line_that_does_not_hold_is_named_and_the_other_drawn(law, left, how, fits, draw):
    if how == "failed":
        fits[law] = failed(fits[law])
    elif how == "unfitted":
        fits[law] = {"law": law, "unfitted": f"{law} cannot be fitted: 0 usable runs"}
    else:
        del fits[law]
    uncertified(fits["allocation"]["crossing"])
    drawn, _ = draw("crossing", fits)
    assert lines(drawn) == {[*crossing.LINES][left]}
    assert ("measured" in dict(drawn.data)) == (law != "L_Cmin" or how == "failed")
    reason = {
        "failed": f"the fit of {law} does not pass its certificate: the points do not determine α_N",
        "unfitted": f"{law} cannot be fitted: 0 usable runs",
        "absent": f"{law} is not fitted in this study",
    }[how]
    assert f"{[*crossing.LINES][1 - left]}, is not drawn, since {reason}" in drawn.caption
    assert "no crossing" in drawn.caption
    assert "C*" not in drawn.caption


def test_nothing_to_draw_is_an_error_of_one_line(fits, draw):
    fits["L_Cmin"], fits["L_D"] = failed(fits["L_Cmin"]), failed(fits["L_D"])
    with pytest.raises(
        UserError, match=r"neither line can be drawn: the fit of L_Cmin .*; the fit of L_D"
    ) as caught:
        draw("crossing", fits)
    assert "\n" not in str(caught.value)


def test_powers_that_do_not_add_up_to_one_are_told():
    assert split.excess({"N": 0.73, "B": 0.24, "S": 0.03}) == ""
    assert split.excess({"N": 0.6, "B": 0.3, "S": 0.2}).endswith("its powers add up to 1.10, not 1")
