"""Runs that branch off a trunk: the same weights as alone, what is trained once, costs, and refusals."""

import json
import signal
from pathlib import Path

import jobs
import numpy as np
import pytest
import yaml
from scaling import cluster, grid, planned, progress, tables, trunks
from scaling.benchmark import trunks as benchmark
from scaling.laws import LAWS
from scaling.provenance import UserError
from scaling.training import job, kept
from test_planned import EVERY, JOBS, config, told

ROOT = Path(__file__).parents[2]
SETTINGS = {
    **{"device": "cpu", "threads": 1, "micro_batch": "auto", "parallel": "auto", "compile": "auto"},
    **{"minutes": 0, "gpu_percent": 100},
}
SMALL = {"n_layer": 2, "d_model": 32, "n_head": 2}
TINY = {"n_layer": 1, "d_model": 16, "n_head": 1}
WSD = {"schedule": "wsd", "trunk": True}


def name(run):
    return f"{run['schedule']}-{run['S']}-{'branch' if 'trunk' in run else 'alone'}"


def family(*lengths, **more):
    """Runs of these lengths by name, with their trunk; and the same runs, each alone."""
    alone = [
        jobs.RUN | {"schedule": "wsd", "S": S, "horizon": S, "noise_steps": 0, "experiments": ["size"]} | more
        for S in lengths
    ]
    marked = {str(run["S"]): run | {"trunk": True} for run in alone}
    return trunks.branch_off(marked, name), {run["S"]: run | {"run": name(run)} for run in alone}


def train(folder, run):
    """Train ``run`` on the data in ``folder``; returns its folder and its record."""
    files = {part: folder / f"{part}.npy" for part in ("train", "test")}
    job.train(run, folder=folder / run["run"], settings=SETTINGS, **files)
    return folder / run["run"], json.loads((folder / run["run"] / "run.json").read_text())


def last_weights(folder, S):
    return tables.snapshot_path(folder / "snapshots", S).read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with the data, a trunk, its two branches, and the same two runs trained alone."""
    folder = tmp_path_factory.mktemp("trunks")
    jobs.write_data(folder)
    runs, alone = family(80, 200)
    for run in (*runs.values(), *alone.values()):
        train(folder, run)
    return folder


def test_a_branch_ends_as_the_run_trained_alone_bit_for_bit(trained):
    for S, start in (80, 64), (200, 160):
        mine, theirs = trained / f"wsd-{S}-branch", trained / f"wsd-{S}-alone"
        assert last_weights(mine, S) == last_weights(theirs, S)
        ends = [jobs.curve(trained, each.name)[-1] for each in (mine, theirs)]
        for key in ("step", "tokens", "flops", "learning_rate", "test_loss", "test_loss_se", "grad_norm"):
            assert ends[0][key] == ends[1][key], key
        steps = [point["step"] for point in jobs.curve(trained, mine.name)]
        trunk = [point for point in jobs.curve(trained, "constant-160-alone") if point["step"] <= start]
        assert jobs.curve(trained, mine.name)[: len(trunk)] == trunk
        assert steps == sorted(steps)
        record = json.loads((mine / "run.json").read_text())
        assert (record["trunk"], record["start"]) == ("constant-160-alone", start)
        assert (record["steps"], record["tokens"], record["steps_trained"]) == (S, S * 128, S - start)
        seconds = record["seconds_in_steps"]
        assert seconds < record["seconds_total"], "the trunk's are its own"
        assert record["tokens_per_second"] == pytest.approx((S - start) * 128 / seconds)
        assert trunks.tokens_trained(record) == (S - start) * 128
    assert "steps_trained" not in json.loads((trained / "wsd-200-alone" / "run.json").read_text())


def test_a_trunk_keeps_the_states_beside_its_snapshots(trained):
    folder = trained / "constant-160-alone"
    assert set(kept.states(folder / "snapshots")) == {64, 160}
    assert tables.snapshot_steps(folder / "snapshots")[-1] == 160
    evaluated = json.loads((folder / "evaluated.json").read_text())
    assert {row["step"] for row in evaluated.values()} == set(tables.snapshot_steps(folder / "snapshots"))
    runs, _ = family(80, 200)
    assert kept.usable(folder, runs["constant-160-alone"])
    state = folder / "snapshots" / "state-000000064" / "state.json"
    assert state.samefile(folder / "checkpoints/finished/snapshots/state-000000064/state.json")


def test_a_damaged_state_is_seen_in_what_is_kept(tmp_path):
    jobs.write_data(tmp_path)
    runs, _ = family(20, 40)
    trunk = next(iter(runs.values()))
    folder, _ = train(tmp_path, trunk)
    (kept.place(folder) / "snapshots" / "state-000000016" / "tensors.safetensors").unlink()
    assert not kept.usable(folder, trunk)


def test_steps_that_measure_the_noise_differ_by_rounding(tmp_path):
    jobs.write_data(tmp_path)
    runs, alone = family(40, 100, noise_steps=4, dropout=0.0)
    records = {run["run"]: train(tmp_path, run)[1] for run in (*runs.values(), alone[100])}
    mine, theirs = (records[f"wsd-100-{how}"]["test_loss"] for how in ("branch", "alone"))
    assert mine == pytest.approx(theirs, rel=1e-3)


def test_a_branch_whose_state_is_missing_says_so_and_ends_the_same(trained, tmp_path, capsys):
    jobs.write_data(tmp_path)
    runs, _ = family(80, 200)
    snapshots = tmp_path / "constant-160-alone" / "snapshots"
    snapshots.mkdir(parents=True)
    known = trained / "constant-160-alone" / "snapshots" / "state-000000064"
    (snapshots / known.name).symlink_to(known)
    folder, record = train(tmp_path, runs["wsd-200-branch"])
    said = capsys.readouterr().out
    assert "has no whole state of step 160\nbranches off constant-160-alone after step 64" in said
    assert record["steps_trained"] == 136
    assert last_weights(folder, 200) == last_weights(trained / "wsd-200-alone", 200)

    (snapshots / known.name).unlink()
    folder, record = train(tmp_path, runs["wsd-80-branch"])
    assert "has no whole state of step 64\ntrained from its first step" in capsys.readouterr().out
    assert record["steps_trained"] == 80
    assert last_weights(folder, 80) == last_weights(trained / "wsd-80-alone", 80)


def test_a_trunk_and_a_branch_that_are_killed_go_on_to_the_same_end(trained, tmp_path):
    jobs.write_data(tmp_path)
    runs, _ = family(80, 200)
    for who, step in ("constant-160-alone", 70), ("wsd-200-branch", 180):
        process = jobs.start(tmp_path, run=runs[who], out=who, eager=True)
        jobs.wait_for_step(tmp_path, step, out=who)
        process.kill()
        assert jobs.finish(process)[0] == -signal.SIGKILL
        folder, record = train(tmp_path, runs[who])
        assert record["resumed"] == 1
        assert jobs.weights_of_states(folder) == jobs.weights_of_states(trained / who)
    assert record["steps_trained"] == 40
    assert last_weights(folder, 200) == last_weights(trained / "wsd-200-alone", 200)
    assert jobs.curve(tmp_path, who) == jobs.curve(trained, who)


# --- the grid -------------------------------------------------------------------------------------------


def several(*lengths, **more):
    """A study of two sizes of these lengths by branches, of a third of one length, and of runs without."""
    return config(
        {
            "size": {"shape": [TINY, SMALL], "S": lengths[0], **WSD, **more},
            "long": {"shape": [TINY, SMALL], "S": list(lengths[1:]), **WSD, **more},
            "single": {"shape": [{"n_layer": 1, "d_model": 8, "n_head": 1}], **WSD},
            "plain": {"shape": [TINY]},
        }
    )


def test_runs_that_differ_in_length_alone_leave_one_trunk():
    runs = grid.expand(several(1500, 500, 1000))
    found = [run for run in runs.values() if "branches" in run]
    assert [run["N"] for run in found] == [3072, 24576]
    for trunk in found:
        assert (trunk["schedule"], trunk["S"], trunk["warmup"]) == ("constant", 1200, 150)
        assert (trunk["branches"], trunk["experiments"]) == ([400, 800, 1200], ["trunk"])
        members = [run for run in runs.values() if run.get("trunk") == trunk["run"]]
        assert sorted((run["S"], run["start"]) for run in members) == [(500, 400), (1000, 800), (1500, 1200)]
        assert all(list(runs).index(trunk["run"]) < list(runs).index(run["run"]) for run in members)
    assert list(runs) == [run["run"] for run in runs.values()]
    assert sum(map(trunks.steps_to_train, runs.values())) == 2 * (1200 + 600) + 1500 + 1500


def test_a_single_length_and_other_runs_are_what_they_were():
    with_trunks = grid.expand(several(1500, 500))
    study = several(1500, 500)
    for name_of, part in study["grid"].items():
        study["grid"][name_of] = {key: value for key, value in part.items() if key != "trunk"}
    without = grid.expand(study)
    for experiment in ("single", "plain"):
        mine, theirs = (
            [run for run in runs.values() if experiment in run["experiments"]]
            for runs in (with_trunks, without)
        )
        assert mine == theirs
    assert not any({"trunk", "branches", "start"} & set(run) for run in without.values())


def test_another_length_changes_its_own_family_alone():
    before, study = grid.expand(several(1500, 500)), several(1500, 500)
    study["grid"]["long"] = [study["grid"]["long"], {"shape": [TINY], "S": 1000, **WSD}]
    after = grid.expand(study)
    changed = [run for slug, run in after.items() if slug not in before]
    assert {run["N"] for run in changed} == {3072}
    assert len(changed) == 4, "the trunk and its three branches"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"schedule": "cosine"}, "found trunk true with schedule cosine, expected wsd"),
        ({"horizon": 2000}, "found trunk true with horizon 2000, expected S"),
        ({"patience": 2}, "found trunk true with patience 2, expected 0"),
    ],
)
def test_what_cannot_branch_is_refused_in_one_line(more, line):
    with pytest.raises(UserError) as error:
        grid.expand(several(1500, 500, **more))
    assert line in str(error.value)
    assert str(error.value).startswith("grid.size: transformer, n_layer 1")
    assert "\n" not in str(error.value)


def test_the_trunks_experiment_is_no_one_s_and_trunk_is_a_truth_value():
    with pytest.raises(UserError, match=r"^grid: found an experiment 'trunk', expected another name"):
        config({"trunk": {"shape": [TINY]}})
    with pytest.raises(UserError, match=r"^grid.size.trunk: found 'yes' \(text\), expected true or false"):
        config({"size": {"shape": [TINY], "trunk": "yes"}})


def test_the_shipped_study_shares_its_beginnings():
    study = grid.default(ROOT)
    for key, value in yaml.safe_load((ROOT / "studies/trunks.yaml").read_text(encoding="utf-8")).items():
        study[key] = study[key] | value if isinstance(value, dict) else value
    study["corpus"]["lock"] = str(ROOT / study["corpus"]["lock"])
    runs = list(grid.expand(grid.check(study)).values())
    assert [len(run["branches"]) for run in runs if "branches" in run] == [4] * 5
    alone = sum(run["S"] for run in runs if "branches" not in run)
    assert 1 - sum(map(trunks.steps_to_train, runs)) / alone == pytest.approx(0.373, abs=0.001)


# --- what it costs --------------------------------------------------------------------------------------


def test_a_branch_is_in_no_pack_with_its_trunk():
    study = several(1500, 500, 1000)
    runs = grid.expand(study)
    asked = {name: cluster.request(run, study["site"], study["execution"]) for name, run in runs.items()}
    found = cluster.packs(asked, study["site"])
    of = {name: number for number, names in enumerate(found) for name in names}
    assert sorted(of) == sorted(runs)
    for run in runs.values():
        assert "trunk" not in run or of[run["trunk"]] < of[run["run"]]
    assert len(found) < len(runs) / 2


def test_a_plan_counts_what_is_trained_once_once(tmp_path):
    study = several(1500, 500, 1000)
    plan, runs = told(study, tmp_path, JOBS)
    assert [row["experiment"] for row in plan["experiments"]] == [*study["grid"], "trunk"]
    assert sum(row["runs"] for row in plan["experiments"]) == plan["totals"]["runs"] == len(runs) == 10
    assert plan["totals"]["tokens"] == 2048 * sum(map(trunks.steps_to_train, runs.values()))
    assert plan["experiments"][-1]["tokens"] == 2048 * 2 * 1200
    trains = [step for step in plan["chain"] if step["rule"] == "train"]
    assert len(trains) == 2, "a trunk, then what leaves it"
    trunk = next(run for run in runs.values() if "branches" in run)
    plain = {key: value for key, value in trunk.items() if key != "branches"}
    state = planned.memory.state_bytes(trunk)
    assert planned.kept_bytes(trunk, 7) == planned.kept_bytes(plain, 7) + 3 * state
    assert set(EVERY) == {path for found in JOBS.values() for paths in found for path in paths}


def test_branches_wait_for_their_trunk_in_a_schedule():
    trunk = planned.Job(("trunk",), 1, 2.0)
    branch, other = planned.Job(("branch",), 1, 5.0, frozenset({"trunk"})), planned.Job(("other",), 1, 1.0)
    assert planned.schedule([branch, trunk], 2) == 7
    assert planned.schedule([branch, trunk, other], 2) == 7
    assert planned.schedule([branch, trunk, other], 1) == 8


def test_a_branch_that_waits_has_only_its_own_steps_left(tmp_path):
    runs = grid.expand(several(1500, 500))
    for state, run in zip(progress.states(runs.values(), tmp_path), runs.values(), strict=True):
        assert state["S"] - state["step"] == trunks.steps_to_train(run)


# --- the benchmark --------------------------------------------------------------------------------------


def simulated(scale=1.0, seed=0):
    """Tables of runs and curves that follow Hoffmann's law with α and β scaled, with a noise of 0.1 %."""
    rng = np.random.default_rng(seed)
    published = {name: found.published for name, found in LAWS["chinchilla"].parameters.items()}
    published |= {"alpha": scale * published["alpha"], "beta": scale * published["beta"]}
    runs, curves = [], []
    for N in (1e6, 4e6, 1.6e7, 6.4e7, 2.56e8):
        for S in (1000, 2000, 4000, 8000):
            slug = f"{N:.0f}-{S}"
            steps = np.geomspace(S / 100, S, 15).round()
            loss = LAWS["chinchilla"].predict({"N": N, "D": steps * 1e5}, published)
            loss = loss * np.exp(0.001 * rng.standard_normal())
            runs.append(
                {
                    **{"run": slug, "experiments": ["long"], "status": "finished", "N": N, "N_total": N},
                    **{"S": S, "steps": S, "B": 1e5, "tokens": S * 1e5, "epochs": 0.5, "warmup": 5},
                    **{"test_loss": float(loss[-1]), "test_loss_se": 0.01, "flops_per_token_6N": 6 * N},
                    **{"seconds_total": 10.0, "threads": 1, "steps_trained": S},
                }
            )
            for step, value in zip(steps.tolist(), loss.tolist(), strict=True):
                curves.append(
                    {"run": slug, "step": step, "tokens": step * 1e5, "flops": 6 * N * step * 1e5}
                    | {"test_loss": value, "learning_rate": 1.0}
                )
    return runs, curves


def test_laws_of_two_ways_are_told_apart_where_they_differ(monkeypatch):
    monkeypatch.setattr(benchmark, "RESAMPLES", 200)
    mine = simulated()
    trunk = mine[0][0] | {"run": "trunk", "experiments": ["trunk"], "test_loss": 9.0}
    mine[0].append(trunk)
    figures = benchmark.compare(
        {"branches": mine, "alike": simulated(seed=1), "unlike": simulated(1.3, seed=2)}
    )
    alike, unlike = (figures["differences"][way]["laws"]["chinchilla"] for way in ("alike", "unlike"))
    assert all(found["agree"] and found["intervals_overlap"] for found in alike.values())
    assert not any(found["agree"] for found in unlike.values())
    assert alike["alpha"]["value"] == pytest.approx(0, abs=0.03)
    losses = figures["differences"]["alike"]["losses"]
    assert list(losses) == [1000, 2000, 4000, 8000]
    assert all(abs(found["mean"]) < 0.01 for found in losses.values()), "the trunk is in no cell"
    assert figures["ways"]["branches"]["tokens"] == sum(run["tokens"] for run in mine[0])
    words = benchmark.describe(figures)
    assert "| saved, beside alike | |" in words
    assert "| alpha of chinchilla | " in words
    assert words.count("differ |") == sum(line.endswith("differ |") for line in words.splitlines())
