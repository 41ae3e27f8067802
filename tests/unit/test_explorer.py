"""The explorer of a page: curves thinned so that no envelope changes, and runs that are marked."""

import copy
import json
import math

import altair as alt
import numpy as np
import pytest
import simulated
import vl_convert
from scaling import frontier
from scaling.charts import drawing
from scaling.laws import FLOPS
from scaling.pages import explorer, picking
from scaling.provenance import UserError
from scaling.rows import CONVENTIONS, sound

HOSTILE = ["</script><b>", "\"'\u2028`", "__proto__", "a.b[c]", "constructor"]


@pytest.fixture(scope="module")
def study():
    return simulated.study(diverged=6144)


@pytest.fixture(scope="module")
def section(study):
    return explorer.section(study["tables"], study["fits"])


def noisy(runs=60, points=50):
    """Tables of runs whose losses go up and down on their way, in three experiments."""
    random, rows, curves = np.random.default_rng(1), [], []
    for index in range(runs):
        N, steps = float(np.exp(random.uniform(7, 14))), round(np.exp(random.uniform(6, 9)))
        run = {
            "run": f"run{index}",
            "N": round(N),
            "N_total": round(N + 5000),
            "B": 2048,
            "warmup": steps // 30,
        }
        run |= {
            f"flops_per_token_{way}": 6 * N + more for way, more in zip(FLOPS, (0, 3e4, 5e4), strict=True)
        }
        experiments = [["size"], ["long"], ["size", "other"], ["other"]][index % 4]
        at = np.unique(np.geomspace(5, steps, points).round())
        losses = 2 + (3e4 / N) ** 0.2 + (300 / at) ** 0.6 + random.normal(0, 0.03, len(at))
        for step, loss in zip(at.tolist(), losses.tolist(), strict=True):
            curves.append({"run": run["run"], "step": int(step), "tokens": 2048 * step, "test_loss": loss})
        run |= {
            "experiments": experiments,
            "status": "finished",
            "test_loss": losses[-1],
            "tokens": 2048 * steps,
        }
        rows.append(run)
    return {"runs": rows, "curves": curves, "evaluations": []}


def unpacked(section, runs):
    """The rows of curves.parquet that a section holds."""
    curves = section["curves"]
    names = [runs[at]["run"] for at, n in zip(curves["run"], curves["length"], strict=True) for _ in range(n)]
    columns = zip(names, curves["step"], curves["tokens"], curves["loss"], strict=True)
    return [dict(zip(("run", "step", "tokens", "test_loss"), row, strict=True)) for row in columns]


def envelope(runs, curves, experiments, way, critical):
    """Compute (60,), lowest loss at each and which are the envelope, of some experiments alone."""
    members = [run | {"experiments": ["size"]} for run in runs if {*experiments} & {*run["experiments"]}]
    iso = frontier.interpolate(members, curves, CONVENTIONS[way], critical)
    return iso.compute, np.exp(iso.loss.min(0)), iso.lowest


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("way", FLOPS)
@pytest.mark.parametrize("made", ["simulated", "noisy"])
def test_thinned_curves_have_the_envelope_of_whole_ones(study, made, way, adjusted):
    tables, fits = (study["tables"], study["fits"]) if made == "simulated" else (noisy(), study["fits"])
    section = explorer.section(tables, fits)
    runs, thin = tables["runs"], unpacked(section, tables["runs"])
    assert len(thin) < len(tables["curves"])
    critical = frontier.Critical(section["critical"]["parameters"], {}) if adjusted else None
    names = section["experiments"]
    compared = 0
    for chosen in [[name] for name in names] + [["size", "long"], names, names[1:]]:
        try:
            compute, whole, lowest = envelope(runs, tables["curves"], chosen, way, critical)
        except UserError:
            continue
        again, found, on = envelope(runs, thin, chosen, way, critical)
        assert again == pytest.approx(compute, rel=1e-5)
        assert (found >= whole * (1 - 1e-5)).all()
        assert found[lowest] == pytest.approx(whole[lowest], rel=1e-5)
        assert not (on & ~lowest & (found > whole * (1 + 1e-5))).any()
        compared += lowest.sum()
    assert compared > 100


def test_points_that_were_left_out_lie_near_the_lines():
    tables = noisy()
    section = explorer.section(tables, {})
    thin = {}
    for row in unpacked(section, tables["runs"]):
        thin.setdefault(row["run"], []).append(row)
    whole = {}
    for row in tables["curves"]:
        whole.setdefault(row["run"], []).append(row)
    assert set(thin) == set(whole)
    for run, rows in whole.items():
        assert [thin[run][end]["step"] for end in (0, -1)] == [rows[end]["step"] for end in (0, -1)]
        x, y = (np.log([row[name] for row in thin[run]]) for name in ("tokens", "test_loss"))
        at, losses = (np.log([row[name] for row in rows]) for name in ("tokens", "test_loss"))
        assert np.abs(np.interp(at, x, y) - losses).max() < 1.01 * explorer.TOLERANCE


def test_no_line_is_lower_than_the_curve_that_it_stands_for():
    random, dropped = np.random.default_rng(2), 0
    for _ in range(30):
        x = np.linspace(0, 5, 60)
        losses = -0.1 * x - random.uniform(0, 0.02) * x**2 + random.normal(0, 4e-4, 60)
        kept = explorer.thinned(losses, [x, x - losses], {0, 59})
        dropped += 60 - len(kept)
        lowest, thin = np.minimum.accumulate(losses), np.minimum.accumulate(losses[kept])
        assert thin == pytest.approx(lowest[kept], abs=1e-12)
        for compute in (x, x - losses):
            assert (np.interp(compute, compute[kept], thin) >= lowest - 1e-8).all()
    assert dropped > 200


def test_smooth_curves_lose_most_of_their_points():
    losses = -0.1 * np.linspace(0, 10, 200)
    straight = explorer.thinned(losses, [np.linspace(0, 10, 200)], {0, 199})
    assert straight == [0, 199]
    bent = explorer.thinned(losses + 0.01 * np.linspace(0, 10, 200) ** 2, [np.linspace(0, 10, 200)], {0, 199})
    assert 5 < len(bent) < 40


def test_a_thousand_runs_take_less_than_three_megabytes():
    tables = noisy(runs=1000)
    section = explorer.section(tables, {})
    text = json.dumps([section, picking.runs(tables["runs"])], separators=(",", ":"), allow_nan=False)
    assert len(text) < 2.4e6
    assert len(section["curves"]["run"]) == 1000


def test_every_run_with_a_curve_is_there_as_it_is_counted(study, section):
    runs = study["tables"]["runs"]
    drawn = [runs[at] for at in section["curves"]["run"]]
    losses = {row["run"] for row in study["tables"]["curves"] if math.isfinite(row["test_loss"])}
    assert {run["run"] for run in drawn} == losses
    excluded = sound(runs, section["experiments"], "test_loss")[1]
    for at, run in enumerate(drawn):
        assert section["runs"]["sound"][at] == (run["run"] not in excluded)
        assert [section["experiments"][i] for i in section["runs"]["experiments"][at]] == run["experiments"]
        for way in FLOPS:
            assert section["runs"][way][at] == pytest.approx(run[f"flops_per_token_{way}"], rel=1e-5)
    assert section["shown"] == ["size", "long"]


def test_bits_per_byte_are_those_of_the_evaluations(study, section):
    factor = section["bits"]["factor"]
    assert factor == pytest.approx(1 / math.log(2) / simulated.BYTES_PER_TOKEN, rel=1e-5)
    assert f"{simulated.BYTES_PER_TOKEN} bytes" in section["bits"]["from"]
    assert "missing" in explorer.bits([])
    row = {"set": "test", "loss": 2.0, "bits_per_byte": 1.0}
    assert "differ" in explorer.bits([row, row | {"bits_per_byte": 1.1}])["missing"]
    assert "missing" in explorer.bits([row | {"set": "code"}, row | {"bits_per_byte": math.nan}])


def test_only_certified_lines_are_drawn(study, section):
    for compute, law in (("C", "L_C"), ("C_min", "L_Cmin")):
        assert set(section["fits"][compute]) == set(FLOPS)
        for way, found in section["fits"][compute].items():
            fit = study["fits"][law]
            block = fit if way == "6N" else fit[f"with_{way}"]
            assert ("band" in found) == block["certificate"]["passed"]
            if "band" in found:
                assert found["band"]["y"] == pytest.approx(block["band"]["y"], rel=1e-5)
                exponent = block["parameters"]["alpha_C"]
                assert found["slope"] == exponent["published"]
    failed = copy.deepcopy(study["fits"])
    failed["L_C"]["with_head"]["certificate"] |= {"passed": False, "reasons": ["the starts disagree"]}
    found = explorer.section(study["tables"], failed)["fits"]["C"]
    assert "band" in found["6N"]
    assert "band" not in found["head"]
    assert "does not pass its certificate: the starts disagree" in found["head"]["words"]
    failed["L_C"] = {"law": "L_C", "formula": "L", "unfitted": "L_C cannot be fitted: 0 runs"}
    found = explorer.section(study["tables"], failed)["fits"]["C"]
    assert found["6N"] == {"words": "No fitted frontier: L_C cannot be fitted: 0 runs."}


def test_what_cannot_be_switched_says_why(study):
    bare = explorer.section(study["tables"] | {"evaluations": []}, {})
    assert "batch scans" in bare["critical"]["missing"]
    assert bare["fits"]["C"]["6N"] == {"words": "No law of the envelope is fitted in this study."}
    runs = [run | {"flops_per_token_head": math.nan} for run in study["tables"]["runs"]]
    known = explorer.section(study["tables"] | {"runs": runs}, {})["countings"]
    assert [way["known"] for way in known] == [True, False, True]
    unfitted = {"B_crit": {"unfitted": "B_crit cannot be fitted: 1 run"}}
    critical = explorer.section(study["tables"], unfitted)["critical"]
    assert critical == {"missing": "B_crit cannot be fitted: 1 run"}


def test_without_learning_curves_there_is_none():
    finished = simulated.finished()
    assert explorer.section(finished["tables"], finished["fits"]) is None
    assert len(picking.runs(finished["tables"]["runs"])["run"]) == 90


# --- marking a run -----------------------------------------------------------------------------------------


def opacities(spec, picked, kind):
    """(run, opacity) of the marks of a kind in the picture of ``spec`` with ``picked`` marked."""
    spec = copy.deepcopy(spec)
    for parameter in spec["params"]:
        if parameter["name"] == "picked":
            parameter["value"] = picked
    graph = vl_convert.vegalite_to_scenegraph(json.dumps(spec))["scenegraph"]
    found, stack = [], [graph]
    while stack:
        item = stack.pop()
        stack += item.get("items", [])
        if item.get("marktype") == kind and item.get("role") == "mark":
            found += [(mark.get("description"), mark.get("opacity", 1)) for mark in item["items"]]
    return found


def points(names):
    rows = [{"run": name, "x": at + 1.0, "y": 2.0} for at, name in enumerate(names)]
    return alt.Chart(alt.InlineData(values=rows)).encode(x="x:Q", y="y:Q")


@pytest.mark.parametrize("name", HOSTILE)
def test_marks_of_other_runs_are_dim(name):
    chart = points([name, "other"]).mark_point(opacity=0.8).encode(description="run:N")
    spec = picking.pickable(chart.to_dict())
    assert dict(opacities(spec, name, "symbol")) == {name: 0.8, "other": picking.DIM}
    assert {opacity for _, opacity in opacities(spec, "", "symbol")} == {0.8}


def test_lines_are_dim_only_where_each_is_a_run():
    by_run = points(["a", "a", "b", "b"]).mark_line().encode(detail="run:N")
    across = points(["a", "b"]).mark_line()
    bare = alt.Chart(alt.InlineData(values=[{"x": 1.0}])).mark_point().encode(x="x:Q")
    spec = picking.pickable(alt.layer(by_run, across, bare).to_dict())
    assert ["opacity" in layer["encoding"] for layer in spec["layer"]] == [True, False, False]
    assert picking.pickable(across.to_dict()) == across.to_dict()


def test_every_chart_with_runs_can_dim_them(study):
    for name in ("loss_vs_N", "loss_vs_NS", "shape", "transfer", "N_opt_Cmin"):
        spec = drawing.specification(drawing.draw(name, study["tables"], study["fits"]))
        before = copy.deepcopy(spec)
        made = picking.pickable(spec)
        assert spec == before, "what is drawn elsewhere stays as it is"
        assert "datum.run !== picked" in json.dumps(made)
        run = next(row["run"] for rows in spec["datasets"].values() for row in rows if "run" in row)
        found = [opacity for _, opacity in opacities(made, run, "symbol")]
        assert {picking.DIM} < set(found)
        assert picking.DIM not in [opacity for _, opacity in opacities(made, "", "symbol")]
