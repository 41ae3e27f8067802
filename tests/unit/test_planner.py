"""The planner: its optimum against a search, published closed forms, joint intervals, and its words."""

import argparse
import copy
import json
import math

import numpy as np
import pytest
import simulated
from planning import HOFFMANN, PAPER, TEXT, known, road
from scaling import accelerators, planner, roads, selections, shapes
from scaling.counts import flops_per_token, non_embedding
from scaling.laws import LAWS, compute_optimal, critical_batch, efficient_excess
from scaling.pages import planner as words
from scaling.planner import Model, Planner, Question, answer
from scaling.provenance import UserError


def ask(held, **asked):
    """The answer of the only road of ``held``."""
    return answer(held, Question(**{"road": held["chosen"], "counting": "6N"} | asked))


def plan_of(made, counting="6N", **asked):
    return Planner.of(made, Model(counting, TEXT), Question(made["name"], counting, **asked))


# --- the optimum ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("served", [0.0, 1e12])
@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize("counting", ["6N", "attention"])
@pytest.mark.parametrize(("x", "batch"), [("S_min", {}), ("S_min", {"times": 8}), ("S", {}), ("D", {})])
def test_no_other_size_does_better_with_the_same_compute(x, batch, counting, total, served):
    made = road(x, total)
    budget = 1e22
    plan = plan_of(made, counting, served=served, **batch)
    N = plan.optimum(budget)
    ln_x, loss = plan.best(N)
    assert plan.compute(N, plan.tokens(ln_x, loss)) == pytest.approx(np.full(41, budget))
    losses = []
    for factor in (0.8, 0.97, 1, 1.03, 1.25):
        D = budget / plan.model.flops(factor * N) - served / 3
        losses.append(plan.trained(factor * N, D)[1][0])
    assert losses[2] == pytest.approx(loss[0])
    assert losses[0] > losses[1] > losses[2] < losses[3] < losses[4]


def test_chinchilla_s_plan_is_its_closed_form():
    found = ask(known(road("D")), budget=5.76e23)["best"]
    N, D = compute_optimal(5.76e23 / 8.64e19, **{k: HOFFMANN[k] for k in ("alpha", "A", "beta", "B")})
    assert (found["N"]["value"], found["D"]["value"]) == pytest.approx((N, D))
    loss = HOFFMANN["E"] + HOFFMANN["A"] / N ** HOFFMANN["alpha"] + HOFFMANN["B"] / D ** HOFFMANN["beta"]
    assert found["loss"]["value"] == pytest.approx(loss)
    assert "B" not in found
    assert "S" not in found


@pytest.mark.parametrize("times", [0.25, 1, 4])
def test_kaplan_s_plan_stops_at_their_excess_and_pays_for_its_batch(times):
    found = ask(known(road()), budget=1e21, times=times)
    best = {name: number["value"] for name, number in found["best"].items()}
    excess = efficient_excess(alpha_N=PAPER["a"], alpha_S=PAPER["b"])
    assert best["loss"] / found["planned"]["converged"]["value"] - 1 == pytest.approx(excess)
    assert best["B_crit"] == pytest.approx(critical_batch(best["loss"], alpha_B=0.21, B_star=2.1e8))
    assert best["B"] == pytest.approx(times * best["B_crit"])
    assert best["D"] == pytest.approx(best["B"] * best["S"])
    assert best["C"] == pytest.approx(6 * best["N"] * best["D"])
    S_min = best["S"] / (1 + best["B_crit"] / best["B"])
    law = LAWS["L_NSmin"].published(N=best["N"], S_min=S_min)[0]
    assert best["loss"] == pytest.approx(law, rel=1e-6)


def test_serving_asks_for_a_smaller_model_on_more_tokens():
    plain, serving = (ask(known(road("D")), budget=1e23, served=served) for served in (0.0, 1e13))
    assert serving["best"]["N"]["value"] < plain["best"]["N"]["value"]
    spent = serving["best"]["C"]["value"] + serving["best"]["served"]["value"]
    assert spent == pytest.approx(1e23)
    assert serving["best"]["served"]["value"] == pytest.approx(2 * serving["best"]["N"]["value"] * 1e13)
    assert serving["best"]["loss"]["value"] > plain["best"]["loss"]["value"]


def test_the_cheapest_way_to_a_loss_is_the_plan_of_its_price():
    held = known(road("S_min", scatter=0.02))
    cost = ask(held, loss=2.2, counting="attention")["best"]
    plan = ask(held, budget=cost["C"]["value"], counting="attention")["best"]
    for name in ("N", "D", "S", "B", "loss"):
        assert plan[name]["value"] == pytest.approx(cost[name]["value"], rel=1e-6)
    assert cost["loss"]["low"] == pytest.approx(2.2)
    assert cost["C"]["low"] < cost["C"]["value"] < cost["C"]["high"]


def test_a_size_with_a_budget_is_trained_with_all_of_it():
    held = known(road("D", scatter=0.02))
    found = ask(held, N=1e9, budget=1e22, served=1e11, flops=4e14, price=2.0)
    D = 1e22 / 6e9 - 1e11 / 3
    assert found["best"]["D"]["value"] == pytest.approx(D)
    assert found["best"]["D"]["low"] == found["best"]["D"]["high"]
    assert found["best"]["C"]["value"] + found["best"]["served"]["value"] == pytest.approx(1e22)
    assert found["beyond"]["D"] == pytest.approx(D / 1e10)
    assert found["money"]["seconds"]["value"] == pytest.approx(6e9 * D / 4e14)
    assert found["planned"]["loss"] == found["best"]["loss"]
    is_best = found["planned"]["is_best"]
    alone = ask(held, N=1e9, served=1e11)
    assert is_best == {name: alone["best"][name] for name in ("C", "loss")}
    assert "is_best" not in alone["planned"]
    back = ask(held, budget=is_best["C"]["value"] + 2e9 * 1e11, served=1e11)
    assert back["best"]["N"]["value"] == pytest.approx(1e9)
    assert found["planned"]["converged"]["value"] < found["best"]["loss"]["value"] < is_best["loss"]["value"]


def test_a_budget_that_does_not_even_serve_a_size_is_said_so():
    found = ask(known(road("D")), N=1e9, budget=1e20, served=1e12)
    assert found == {"reason": "serving this size takes more than the budget"} | planner.EMPTY


# --- intervals ------------------------------------------------------------------------------------------


def test_an_interval_is_that_of_whole_plans_one_for_each_draw():
    made = road("D", scatter=0.03, draws=200)
    found = ask(known(made), budget=1e23)["best"]
    each = []
    for r in range(1, 201):
        one = copy.deepcopy(made)
        one["columns"] = {name: [values[r]] for name, values in made["columns"].items()}
        each.append(ask(known(one), budget=1e23)["best"]["N"]["value"])
    assert (found["N"]["low"], found["N"]["high"]) == pytest.approx(tuple(np.quantile(each, [0.05, 0.95])))


def test_compute_of_a_plan_is_what_was_asked_for_in_every_draw():
    found = ask(known(road(scatter=0.05)), budget=1e21)["best"]["C"]
    assert (found["low"], found["high"]) == pytest.approx((1e21, 1e21))


def test_a_loss_that_some_draws_never_reach_has_no_upper_price():
    made = road("D")
    made["columns"]["E"] = [1.69] * 30 + [2.5] * 11
    found = ask(known(made), loss=2.2)["best"]
    assert found["C"]["high"] is None
    assert found["C"]["low"] > 0


def test_a_loss_below_all_has_no_plan():
    found = ask(known(road("D")), loss=1.5)
    assert found == {"reason": "no size gets below this loss by the fit"} | planner.EMPTY
    text = words.text(known(road("D")), Question("D", "6N", loss=1.5), found)
    assert text.endswith("There is no such plan: no size gets below this loss by the fit.")
    assert ask(known(road("D")), loss=4000)["reason"] == "every size gets below this loss by the fit"
    for budget in (1e-5, 1e55):
        assert ask(known(road("D")), budget=budget)["reason"] == "no size is best for this budget by the fit"


def test_what_many_draws_do_not_tell_is_not_certified():
    made = road("D")
    assert ask(known(made), budget=1e23)["best"]["N"]["certified"]
    made["columns"]["a"][1:7] = [-0.1] * 6  # loss that rises with size: no size is best
    assert not ask(known(made), budget=1e23)["best"]["N"]["certified"]
    assert not ask(known(road("D", certificate={"passed": False, "reasons": ["x"]})), budget=1e23)["best"][
        "N"
    ]["certified"]


# --- what stands beside the plan ------------------------------------------------------------------------


def test_other_sizes_are_worse_and_dearer():
    found = ask(known(road(scatter=0.02)), budget=1e21)
    losses = [row["loss"]["value"] for row in found["sizes"]]
    assert min(losses) == losses[3] == pytest.approx(found["best"]["loss"]["value"])
    assert found["sizes"][3]["loss"] == found["planned"]["loss"]
    assert found["sizes"][3]["worse"]["value"] == 0
    for row in found["sizes"]:
        if row["times"] != 1 and row["compute"]:
            assert row["compute"]["value"] > 1
            again = ask(known(road()), N=row["N"], budget=row["compute"]["value"] * 1e21)
            assert again["best"]["loss"]["value"] == pytest.approx(found["best"]["loss"]["value"], abs=2e-3)


def test_a_size_that_serving_leaves_nothing_to_train_with_is_no_choice():
    rows = ask(known(road("D")), budget=1e21, served=1e13)["sizes"]
    assert rows[-1]["D"] is None
    assert rows[-1]["loss"] is None


def test_batches_trade_steps_for_compute_as_the_hyperbola_does():
    rows = ask(known(road()), budget=1e21)["batches"]
    for row in rows:
        assert row["steps"]["value"] == pytest.approx((1 + 1 / row["times"]) / 2)
        assert row["compute"]["value"] == pytest.approx((1 + row["times"]) / 2)
    assert ask(known(road("S")), budget=1e21)["batches"] == []


def test_money_goes_with_the_devices():
    found = ask(known(road("D")), budget=1e21, devices=8, flops=4e14, price=2.5)["money"]
    assert found["seconds"]["value"] == pytest.approx(1e21 / 8 / 4e14)
    assert found["device_hours"]["value"] == pytest.approx(1e21 / 4e14 / 3600)
    assert found["price"]["value"] == pytest.approx(2.5 * 1e21 / 4e14 / 3600)


def test_the_learning_rate_is_the_study_s_rule_of_size_and_batch():
    rule = {
        "value": 0.01,
        "N": {"at": 1e6, "exponent": -0.3},
        "B": {"at": 2048, "exponent": 0.5},
        "most": 0.02,
    }
    best = ask(known(road(), rule=rule), budget=1e15)["best"]
    wanted = 0.01 * (best["N"]["value"] / 1e6) ** -0.3 * (best["B"]["value"] / 2048) ** 0.5
    assert best["learning_rate"]["value"] == pytest.approx(min(wanted, 0.02))
    assert "learning_rate" not in ask(known(road("D"), rule=rule), budget=1e15)["best"]
    assert ask(known(road("D"), rule=None), N=1e9)["best"]["learning_rate"]["value"] == pytest.approx(
        0.003239 - 0.0001395 * math.log(1e9)
    )
    assert ask(known(road("D"), rule=None), N=1e12)["best"]["learning_rate"] is None
    logarithm = {"value": 0.003, "ln_N": -0.0001, "N": None}
    assert ask(known(road("D"), rule=logarithm), N=1e9)["best"]["learning_rate"]["value"] == pytest.approx(
        0.003 - 0.0001 * math.log(1e9)
    )


def test_distance_is_told_against_the_largest_run():
    found = ask(known(road("D")), budget=5e21)
    assert found["beyond"]["C"] == pytest.approx(5e3)
    assert found["beyond"]["N"] == pytest.approx(found["best"]["N"]["value"] / 1e8)
    assert words.distance({"C": 0.5, "N": 0.1, "D": 1e-5}).startswith(
        "within the study's runs: 0.500 times the most compute"
    )
    assert words.distance(found["beyond"]).startswith(
        "beyond the study's runs: 5.0 × 10³ times the most compute"
    )


@pytest.mark.parametrize("N", np.geomspace(500, 1e13, 60))
def test_shapes_have_heads_that_divide_and_about_the_size(N):
    found = shapes.near(N)
    assert 1 <= len(found) <= 3
    for shape in found:
        assert shape["d_model"] % shape["n_head"] == 0
        assert shape["d_ff"] == 4 * shape["d_model"]
    if N > 1e5:
        assert all(non_embedding(**shape) / N == pytest.approx(1, abs=0.3) for shape in found)
        assert len({shape["n_layer"] for shape in found}) == len(found)


def test_flops_of_a_size_are_those_of_a_shape_like_it():
    shape = {"n_layer": 12, "d_model": 768, "d_ff": 3072, "n_head": 12}
    for counting in ("6N", "head", "attention"):
        exact = flops_per_token(**shape, **TEXT)[counting]
        assert Model(counting, TEXT).flops(non_embedding(**shape)) == pytest.approx(exact, rel=1e-9)
    N = non_embedding(**shape)
    assert Model("6N", TEXT).size(N, total=True) == pytest.approx(N + (50257 + 1024) * 768)


# --- roads ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def studied():
    """The simulated study, with the draws of what plans are made by."""
    study = simulated.study(("size", "long", "batch"))
    tables, draws = study["tables"], {}
    critical = None
    for law in ("B_crit", "L_NS", "L_NSmin", "chinchilla"):
        options = {
            "resamples": 60,
            "seed": 0,
            "delta": 0.01,
            "critical": critical if law == "L_NSmin" else None,
        }
        report, draws[law] = selections.fit_law(law, tables["runs"], tables["curves"], **options)
        if law == "B_crit":
            critical = report, draws[law]
        study["fits"][law] = report
    config = study["study"]["config"]
    config |= {
        "finished": None,
        "run": {"architecture": "transformer", "n_ctx": 128, "tied": True, "learning_rate": 0.01},
    }
    return study, draws


def test_roads_of_a_study_are_its_fitted_laws(studied):
    study, draws = studied
    found = roads.known(study["study"], study["tables"]["runs"], study["fits"], draws)
    json.dumps(found, allow_nan=False)
    by_name = {one["name"]: one for one in found["roads"]}
    assert {"L_NS", "L_NS 6N_total", "L_NSmin", "L_NSmin 6N_total"} <= set(by_name)
    values = {name: number["value"] for name, number in study["fits"]["L_NSmin"]["parameters"].items()}
    columns = by_name["L_NSmin"]["columns"]
    assert columns["a"][0] == pytest.approx(values["alpha_N"])
    assert math.exp(columns["ln_x"][0]) == pytest.approx(values["S_c"])
    assert 1 / columns["of_loss"][0] == pytest.approx(study["fits"]["L_NSmin"]["adjusted_by"]["alpha_B"])
    assert {len(column) for column in columns.values()} == {61 - by_name["L_NSmin"]["dropped"]}
    assert by_name["L_NS"]["batch"] == simulated.B
    runs = study["tables"]["runs"]
    assert found["reached"]["C"]["head"] == max(run["flops_per_token_head"] * run["tokens"] for run in runs)
    best = answer(found, Question("L_NSmin", "attention", budget=1e15))["best"]
    assert best["N"]["low"] <= best["N"]["value"] <= best["N"]["high"]


def test_what_diverged_is_not_reached(studied):
    study, draws = studied
    runs = study["tables"]["runs"]
    far = runs[0] | {"run": "far", "N": 10**12, "tokens": 10**15, "status": "diverged", "test_loss": math.nan}
    found = roads.known(study["study"], [*runs, far], study["fits"], draws)["reached"]
    assert found == roads.known(study["study"], runs, study["fits"], draws)["reached"]


def test_a_law_that_is_not_fitted_is_missing_with_its_reason(studied):
    study, draws = studied
    unfitted = {"law": "L_NS", "unfitted": "L_NS cannot be fitted: why"}
    fits = {"L_NS": unfitted | {"with_6N_total": unfitted}}
    found = roads.known(study["study"], study["tables"]["runs"], fits, draws)
    assert found["roads"] == []
    assert found["chosen"] is None
    assert found["missing"]["L_NS"] == "L_NS cannot be fitted: why"
    assert "chinchilla" in found["missing"]
    assert words.section(found)["missing"]


def test_the_road_taken_unasked_is_certified_and_forecasts_well():
    held = {"holdout": {"covered": True}}
    missed, bad = {"holdout": {"covered": False}}, {"certificate": {"passed": False, "reasons": []}}
    named = [("a", missed), ("b", held | bad), ("c", held)]
    assert roads._chosen([road(**more) | {"name": name} for name, more in named]) == "c"
    assert roads._chosen([road(**more) | {"name": name} for name, more in named[:2]]) == "a"
    assert roads._chosen([road(**more) | {"name": name} for name, more in named[1:2]]) == "b"


def test_finished_runs_are_planned_by_their_own_count():
    study = simulated.finished()
    fit, draws = selections.fit_law(
        "chinchilla", study["tables"]["runs"], [], resamples=60, seed=0, delta=0.01
    )
    found = roads.known(study["study"], study["tables"]["runs"], {"chinchilla": fit}, {"chinchilla": draws})
    assert found["text"] is None
    assert [one["name"] for one in found["roads"]] == ["chinchilla"]
    assert [*found["countings"]] == ["6N"]
    best = answer(found, Question(found["chosen"], "6N", budget=1e21))
    assert best["shapes"] == []
    alpha, beta = (fit["parameters"][name]["value"] for name in ("alpha", "beta"))
    more = answer(found, Question(found["chosen"], "6N", budget=1e23))["best"]["N"]["value"]
    assert more / best["best"]["N"]["value"] == pytest.approx(100 ** (beta / (alpha + beta)))


# --- in a terminal --------------------------------------------------------------------------------------


def parsed(*options):
    parser = argparse.ArgumentParser()
    words.add(parser)
    return parser.parse_args(options)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "found no question, expected --budget, --hours, --loss or --size"),
        (("--budget", "much"), "budget: found 'much', expected a number above 0 of FLOPs"),
        (("--budget", "-3"), "budget: found '-3', expected"),
        (("--budget", "1.2.3"), "budget: found '1.2.3', expected"),
        (("--budget", "1e21", "--hours", "3"), "found --budget and --hours, expected one of them"),
        (("--budget", "1e21", "--loss", "3"), "found --loss beside a budget or a size"),
        (("--loss", "-1"), "loss: found -1, expected a number above 0"),
        (("--size", "nan"), "size: found nan, expected a number"),
        (("--hours", "1", "--utilisation", "40"), "utilisation: found 40, expected"),
        (
            ("--hours", "1", "--accelerator", "H1"),
            "accelerator: found 'H1', expected one of NVIDIA H100 SXM, ",
        ),
        (
            ("--hours", "1", "--accelerator", "abacus"),
            "accelerator: found 'abacus', expected one of NVIDIA B200",
        ),
        (("--budget", "1e21", "--served", "-1"), "served: found -1, expected a number of tokens"),
    ],
)
def test_a_question_that_is_none_is_named_in_a_line(options, line):
    with pytest.raises(UserError) as error:
        words.question(parsed(*options), known(road()))
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"road": "S", "times": 2.0}, "batch: found 2 times the critical one, which S does not know"),
        ({"road": "L_X"}, "law: found 'L_X', expected one of S_min, S"),
        ({"counting": "tail"}, "counting: found 'tail', expected one of 6N, head, attention"),
    ],
)
def test_a_law_or_a_counting_that_there_is_not_is_named_with_those_there_are(asked, line):
    with pytest.raises(UserError, match=line):
        ask(known(road(), road("S")), budget=1e21, **asked)


def test_a_study_without_a_law_to_plan_by_says_why():
    held = known(road()) | {"roads": [], "missing": {"L_NS": "L_NS is not fitted in this study"}}
    with pytest.raises(UserError, match="default: no law that plans are made by is fitted: L_NS is not"):
        answer(held, Question("S_min", "6N", budget=1e21))


def test_an_infinite_rate_is_refused():
    with pytest.raises(UserError, match="accelerator"):
        accelerators.peak("inf")
    for text in ("1.2.3", ".", "0", "1e999"):
        with pytest.raises(UserError, match="accelerator"):
            accelerators.peak(text)
    assert accelerators.peak("9.89e14") == accelerators.peak("9.89E14") == 9.89e14


def test_budgets_are_read_in_their_units():
    assert accelerators.budget("1e21") == 1e21
    assert accelerators.budget("2.5e20 FLOPs") == 2.5e20
    assert accelerators.budget("12 PF-days") == pytest.approx(12 * 8.64e19)
    assert accelerators.budget(10**21) == 1e21
    asked = words.question(parsed("--hours", "72", "--devices", "8", "--accelerator", "a100"), known(road()))
    assert asked.budget == pytest.approx(8 * 72 * 3600 * 3.12e14 * 0.4)


def test_the_text_tells_every_number_with_its_interval_and_its_trust():
    held = known(road(scatter=0.02))
    asked = Question("S_min", "attention", budget=1e21, flops=4e14, price=2.0)
    found = answer(held, asked)
    text = words.text(held, asked, found)
    for line in ("certified; 90 points of 9 runs", "forecast:  of the largest tenth of compute not possible"):
        assert line in text
    assert "beyond the study's runs" in text
    size = next(line for line in text.splitlines() if line.strip().startswith("N, parameters"))
    assert words._count(found["best"]["N"]["value"]) in size
    assert f"{words._count(found['best']['N']['low'])} to {words._count(found['best']['N']['high'])}" in size
    assert json.loads(words.text(held, asked, found, as_json=True))["answer"] == json.loads(json.dumps(found))


def test_what_is_not_certified_stands_in_brackets():
    held = known(road(scatter=0.02, certificate={"passed": False, "reasons": ["too few starts agree"]}))
    text = words.text(held, Question("S_min", "6N", budget=1e21), ask(held, budget=1e21))
    assert "not certified: too few starts agree" in text
    size = next(line for line in text.splitlines() if line.strip().startswith("N, parameters"))
    assert size.count("(") == size.count(")") == 2
