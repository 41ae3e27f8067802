"""What a study will cost: sums, what is cached, what does not fit, and by which rates."""

import json
import math
import random
import time
from pathlib import Path

import pytest
import yaml
from scaling import cluster, costs, counts, durations, grid, memory, planned, preparing

ROOT = Path(__file__).parents[2]
SMALL = {"n_layer": 2, "d_model": 32, "n_head": 2}
TINY = {"n_layer": 1, "d_model": 16, "n_head": 1}
WIDE = {"n_layer": 24, "d_model": 2048, "n_head": 16}
HUGE = {"n_layer": 48, "d_model": 8192, "n_head": 64}
ADDITIVE = (
    *("runs", "cached", "to_do", "slurm_jobs", "tokens", "tokens_to_do", "flops", "flops_to_do", "pf_days"),
    *("device_seconds", "device_seconds_to_do", "core_seconds", "core_seconds_to_do", "disk_bytes"),
)
JOBS = {
    **{"wheel": [["a.whl"], ["b.whl"]], "prose": [["train.parquet", "test.parquet"]]},
    **{"transfer": [["code.parquet"]], "tokenizer": [["tokenizer.json"]]},
    **{"tokens": [["train.npy"], ["test.npy"], ["code.npy"]], "manifest": [["manifest.json"]]},
    **{"study": [["study.json"]], "tables": [["runs.parquet"]], "fit": [["L_N.json"], ["L_C.json"]]},
    **{"figure": [["one.svg"]], "report": [["report.html"]]},
}
EVERY = [path for found in JOBS.values() for paths in found for path in paths]


def config(grids, *, site=(), run=(), execution=()):
    """The default study with other grids, site, recipe and execution."""
    found = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    found |= yaml.safe_load((ROOT / "slurm" / "site.yaml").read_text(encoding="utf-8"))
    found |= {"grid": grids, "experiments": list(grids)}
    found["corpus"]["lock"] = str(ROOT / found["corpus"]["lock"])
    for key, value in {"site": site, "run": run, "execution": execution}.items():
        found[key] |= dict(value)
    return grid.check(found)


def told(study, folder, jobs=None, cores=2):
    """The plan of a study whose runs lie in ``folder``, and its runs."""
    runs = grid.expand(study)
    jobs = jobs or {}
    state = planned.look(runs, folder, jobs)
    return planned.plan(study, runs, jobs, state, folder, cores), runs


def finish(folder, run, *, seconds=10.0, evaluated=True, device="cpu", threads=1, processes=1):
    """Make the files of a run that has ended after ``seconds``."""
    at = folder / run["data"] / run["run"]
    (at / "snapshots").mkdir(parents=True)
    record = {
        **{"run": run["run"], "tokens": run["S"] * run["B"], "steps": run["S"], "seconds_total": seconds},
        **{"device": device, "threads": threads, "processes": processes},
    }
    (at / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (at / "curve.parquet").touch()
    if evaluated:
        (at / "evaluation.parquet").touch()
    return at / "run.json"


@pytest.fixture
def study():
    """Five runs: three sizes, of which two belong to `seeds` too, and two more seeds."""
    return config(
        {
            "size": {"shape": [TINY, SMALL, {"n_layer": 3, "d_model": 64, "n_head": 4}]},
            "seeds": [{"shape": [TINY, SMALL]}, {"shape": [SMALL], "seed": [1, 2]}],
        }
    )


def test_experiments_add_up_and_count_shared_runs_once(study, tmp_path):
    plan, runs = told(study, tmp_path)
    size, seeds = plan["experiments"]
    assert (size["runs"], size["shared"]) == (3, 0)
    assert (seeds["runs"], seeds["shared"]) == (2, 2)
    for key in ADDITIVE:
        assert size[key] + seeds[key] == pytest.approx(plan["totals"][key]), key
    assert plan["totals"]["runs"] == len(runs) == 5
    assert plan["totals"]["tokens"] == sum(run["S"] * run["B"] for run in runs.values())
    flops = sum(counts.flops_per_token(**r)["attention"] * r["S"] * r["B"] for r in runs.values())
    assert plan["totals"]["flops"] == flops
    assert plan["totals"]["pf_days"] == pytest.approx(flops / 8.64e19)
    assert seeds["N"] == [3072, 24576]


def test_device_seconds_are_those_of_the_queue(study, tmp_path):
    plan, runs = told(study, tmp_path)
    site, execution = study["site"], study["execution"]
    asked = {name: cluster.request(run, site, execution) for name, run in runs.items()}
    packs = cluster.packs(asked, site)
    expected = sum(cluster.pack_seconds([asked[name] for name in names]) for names in packs)
    assert plan["queue"]["to_do"] == len(packs) == plan["queue"]["packs"]
    assert plan["totals"]["device_seconds"] == pytest.approx(expected)


def test_who_travels_together_is_decided_by_what_runs_ask_for_as_the_rules_do(tmp_path):
    study = config({"size": {"shape": [TINY, SMALL], "seed": list(range(50))}})
    runs = grid.expand(study)
    for run in list(runs.values())[::25]:
        finish(tmp_path, run, seconds=40_000.0, device="cuda")
    plan, runs = told(study, tmp_path)
    waiting = [run for run in runs.values() if not (tmp_path / run["data"] / run["run"]).exists()]
    asked = {run["run"]: cluster.request(run, study["site"], study["execution"]) for run in waiting}
    assert plan["queue"]["to_do"] == len(cluster.packs(asked, study["site"])) > 1
    assert plan["devices"][0]["seconds"] > 40_000


def test_what_is_cached_is_taken_off(study, tmp_path):
    before, runs = told(study, tmp_path)
    names = list(runs)
    finish(tmp_path, runs[names[0]])
    finish(tmp_path, runs[names[-1]], evaluated=False)
    after, _ = told(study, tmp_path)
    assert (after["totals"]["cached"], after["totals"]["to_do"], after["to_train"]) == (1, 4, 3)
    assert [row["cached"] for row in after["experiments"]] == [1, 0], "the shared run is the first one's"
    left = [runs[name] for name in names[1:-1]]
    assert after["totals"]["tokens_to_do"] == sum(run["S"] * run["B"] for run in left)
    assert after["totals"]["tokens"] == before["totals"]["tokens"]
    rows = {row["rule"]: row for row in after["rules"]}
    assert (rows["train"]["cached"], rows["train"]["to_do"]) == (2, 3)
    assert (rows["evaluate"]["cached"], rows["evaluate"]["to_do"]) == (1, 4)


def test_a_run_that_has_begun_or_lost_its_files_is_to_do(study, tmp_path):
    _, runs = told(study, tmp_path)
    first, second, third = list(runs.values())[:3]
    (tmp_path / first["data"] / first["run"] / "checkpoints").mkdir(parents=True)
    (finish(tmp_path, second, evaluated=False).parent / "snapshots").rmdir()
    (finish(tmp_path, third).parent / "snapshots").rmdir()
    plan, _ = told(study, tmp_path)
    assert plan["to_train"] == 4, "evaluated runs need no snapshots, others do"


def test_when_all_is_there_nothing_remains(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, runs = told(study, tmp_path)
    for run in runs.values():
        finish(tmp_path, run)
    for path in EVERY:
        Path(path).write_bytes(b"12")
    plan, _ = told(study, tmp_path, JOBS)
    assert (plan["totals"]["to_do"], plan["to_train"], plan["devices"], plan["chain"]) == (0, 0, [], [])
    assert plan["totals"]["device_seconds_to_do"] == plan["totals"]["core_seconds_to_do"] == 0
    assert all(row["to_do"] == 0 for row in plan["rules"])
    assert plan["data_bytes"] == 2 * sum(
        len(paths) for rule in preparing.KEPT if rule in JOBS for paths in JOBS[rule]
    )
    assert plan["spent"] == {"cpu": 50.0}


def test_rules_to_do_follow_from_what_exists(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan, _ = told(study, tmp_path, JOBS)
    rows = {row["rule"]: row for row in plan["rules"]}
    assert [row["to_do"] for row in plan["rules"]] == [row["jobs"] for row in plan["rules"]]
    assert [rows[rule]["slurm_jobs"] for rule in ("wheel", "prose", "tokens", "fit")] == [0, 1, 3, 0]
    assert rows["train"]["slurm_jobs"] == plan["queue"]["to_do"]
    assert rows["evaluate"]["slurm_jobs"] == 0
    assert plan["data_bytes"] is None
    for path in EVERY:
        if path == "runs.parquet" or not path.endswith(("whl", "parquet")):
            Path(path).touch()
    rows = {row["rule"]: row for row in told(study, tmp_path, JOBS)[0]["rules"]}
    assert (rows["tokens"]["to_do"], rows["manifest"]["to_do"], rows["study"]["to_do"]) == (0, 0, 0)
    assert (rows["wheel"]["to_do"], rows["prose"]["to_do"]) == (0, 0), "nothing needs them any more"
    left = [rows[rule]["to_do"] for rule in ("tables", "fit", "report")]
    assert left == [1, 2, 1], "made anew after training"


def test_the_chain_holds_the_longest_job_and_bounds_every_number_of_devices(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan, _ = told(study, tmp_path, JOBS)
    rules = [step["rule"] for step in plan["chain"]]
    assert rules == ["wheel", "prose", "tokenizer", "tokens", "train", "tables", "fit", "report"]
    chain = sum(step["seconds"] for step in plan["chain"])
    seconds = [row["seconds"] for row in plan["devices"]]
    assert all(value >= chain for value in seconds)
    assert seconds == sorted(set(seconds), reverse=True), "devices that shorten nothing are left out"


def test_the_chain_is_that_of_the_longest_of_several_jobs(tmp_path):
    study = config({"size": {"shape": [SMALL, WIDE]}}, site={"gpu_memory_gb": 80})
    plan, runs = told(study, tmp_path)
    (step,) = plan["chain"]
    assert plan["queue"]["to_do"] == 2
    assert [runs[name]["d_model"] for name in step["runs"]] == [2048]


def test_a_schedule_takes_the_longest_first_and_never_more_devices_than_there_are():
    jobs = [planned.Job((str(i),), 1, float(s)) for i, s in enumerate([3, 3, 2, 2, 2])]
    assert planned.schedule(jobs, 1) == 12
    assert planned.schedule(jobs, 2) == 7
    assert planned.schedule(jobs, 64) == 3
    assert planned.schedule([*jobs, planned.Job(("last",), 1, 6.0)], 3) == 7, "the longest first"
    wide = [planned.Job(("wide",), 4, 5.0), planned.Job(("narrow",), 1, 4.0)]
    assert planned.schedule(wide, 4) == 9
    assert planned.schedule(wide, 5) == 5
    rng = random.Random(0)
    jobs = [planned.Job((str(i),), rng.choice([1, 2, 8]), rng.random()) for i in range(200)]
    work = sum(job.devices * job.seconds for job in jobs)
    assert planned.schedule(jobs, 8) >= work / 8
    assert planned.schedule(jobs, 1600) == max(job.seconds for job in jobs)


def test_stated_rates_are_the_site_s(tmp_path):
    study = config({"size": {"shape": [WIDE]}}, site={"gpu_memory_gb": 80}, run={"precision": "bf16"})
    plan, runs = told(study, tmp_path)
    (run,) = runs.values()
    flops = counts.flops_per_token(**run)["attention"] * run["S"] * run["B"]
    seconds = plan["totals"]["device_seconds"]
    assert seconds == pytest.approx(flops / 2e14, rel=0.5, abs=100)
    assert seconds == cluster.pack_seconds([cluster.request(run, study["site"], study["execution"])])
    assert plan["rates"]["gpu_flops.bf16"] == {"stated": 2e14, "runs": 0}
    assert "gpu_flops.fp32" not in plan["rates"]


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_measured_rates_replace_stated_ones(study, tmp_path, factor):
    before, runs = told(study, tmp_path)
    stated = study["site"]["cpu_flops"]
    for run in list(runs.values())[:2]:
        expected = run["S"] * durations.cpu_step(run, stated, 2)
        finish(tmp_path, run, seconds=factor * expected, threads=2)
    after, _ = told(study, tmp_path)
    rate = after["rates"]["cpu_flops"]
    assert (rate["runs"], rate["sizes"], rate["stated"]) == (2, 2, stated)
    for name in ("median", "low", "high"):
        assert rate["off_stated"][name] == pytest.approx(factor)
        assert rate["off_measured"][name] == pytest.approx(1), "one size foretells the other"
    starts = 3 * planned.JOB_SECONDS
    left = list(runs.values())[2:]
    old = sum(run["S"] * durations.cpu_step(run, stated) for run in left)
    assert after["totals"]["core_seconds_to_do"] - starts == pytest.approx(factor * old)
    assert before["totals"]["core_seconds"] - 5 * planned.JOB_SECONDS > old
    # the study trains on GPUs, of which nothing was measured
    assert after["rates"]["gpu_flops.fp32"]["runs"] == 0
    assert after["totals"]["device_seconds"] == before["totals"]["device_seconds"]


def test_measured_rates_are_told_as_costs_tells_them_and_give_the_line_of_the_site(study, tmp_path):
    _, runs = told(study, tmp_path)
    rows = []
    for run in list(runs.values())[:3]:
        finish(tmp_path, run, seconds=20.0, threads=2)
        flops = counts.flops_per_token(**run)["attention"]
        rows.append(
            {
                **{"device": "cpu", "threads": 2, "processes": 1, "seconds_total": 20.0},
                **{"tokens": run["S"] * run["B"], "flops_per_token_attention": flops},
            }
        )
    rate = told(study, tmp_path)[0]["rates"]["cpu_flops"]
    rates = [math.exp(value) for value in costs.rates(rows)[1]]
    assert rate["measured"] == pytest.approx([min(rates), max(rates)])
    # with the line stated, the sum of what was measured is foreseen
    line = rate["site_line"]
    foreseen = sum(run["S"] * durations.cpu_step(run, line, 2) for run in list(runs.values())[:3])
    assert foreseen == pytest.approx(60, rel=0.05)


def test_gpu_rates_are_of_their_precision_and_of_the_share_that_a_run_fills(tmp_path):
    study = config({"size": {"shape": [WIDE], "precision": ["fp32", "bf16"]}}, site={"gpu_memory_gb": 80})
    before, runs = told(study, tmp_path)
    half, full = sorted(runs.values(), key=lambda run: run["precision"])
    steps = full["S"] * durations.gpu_step(full, study["site"]["gpu_flops"])
    finish(tmp_path, full, seconds=2 * steps, device="cuda")
    after, _ = told(study, tmp_path)
    assert after["rates"]["gpu_flops.fp32"]["site_line"] == pytest.approx(1e13)
    assert after["rates"]["gpu_flops.bf16"]["runs"] == 0
    assert after["totals"]["device_seconds"] - before["totals"]["device_seconds"] == pytest.approx(steps)
    assert after["totals"]["device_seconds_to_do"] == cluster.pack_seconds(
        [cluster.request(half, study["site"], study["execution"])]
    )


def test_a_small_run_on_a_gpu_is_measured_but_tells_no_rate_of_a_whole_one(study, tmp_path):
    _, runs = told(study, tmp_path)
    finish(tmp_path, next(iter(runs.values())), device="cuda")
    rate = told(study, tmp_path)[0]["rates"]["gpu_flops.fp32"]
    assert (rate["runs"], rate["site_line"]) == (1, None)


@pytest.mark.parametrize(
    "content",
    [
        '{"run": ',
        "[]",
        "{}",
        '{"run": "another"}',
        b"\xff\xfe",
        '{"run": "NAME", "device": "cpu", "tokens": 5}',
    ],
)
def test_a_damaged_record_is_named_and_its_run_is_to_do(study, tmp_path, content):
    _, runs = told(study, tmp_path)
    run = next(iter(runs.values()))
    path = finish(tmp_path, run)
    path.write_bytes(content if isinstance(content, bytes) else content.replace("NAME", run["run"]).encode())
    plan, _ = told(study, tmp_path)
    (line,) = plan["damaged"]
    assert str(path) in line
    assert "delete it" in line
    assert "\n" not in line
    assert (plan["totals"]["cached"], plan["to_train"]) == (0, 5)


def test_a_record_without_time_or_of_another_run_is_damaged(study, tmp_path):
    _, runs = told(study, tmp_path)
    first, second, third = list(runs.values())[:3]
    finish(tmp_path, first, seconds=math.nan)
    finish(tmp_path, second).write_text(finish(tmp_path, third).read_text(encoding="utf-8"), encoding="utf-8")
    assert len(told(study, tmp_path)[0]["damaged"]) == 2


def test_a_size_is_tested_by_the_rates_of_the_others(study, tmp_path):
    _, runs = told(study, tmp_path)
    for factor, run in zip((0.5, 2.0), list(runs.values())[:2], strict=True):
        expected = run["S"] * durations.cpu_step(run, study["site"]["cpu_flops"])
        finish(tmp_path, run, seconds=factor * expected)
    off = told(study, tmp_path)[0]["rates"]["cpu_flops"]["off_measured"]
    assert off == pytest.approx({"median": 1, "low": 0.25, "high": 4})


def test_runs_that_do_not_fit_are_named_with_what_would_help(tmp_path):
    study = config({"size": {"shape": [SMALL, HUGE]}}, site={"gpus_per_node": 8, "memory_gb": 2000})
    plan, runs = told(study, tmp_path)
    (row,) = plan["unfit"]
    assert "d8192" in row["run"]
    assert "8 × 16 GB" in row["lacking"]
    assert row["sequences"] == 16
    gb = int(row["remedy"][0].split()[1].rstrip(","))
    run = runs[row["run"]]
    assert row["remedy"][0] == f"site.gpu_memory_gb: {gb}, if there are such GPUs"
    assert memory.fits(run, gb * 10**9, processes=8)
    assert not memory.fits(run, (gb - 1) * 10**9, processes=8)
    wider = config(study["grid"], site={"gpus_per_node": 8, "memory_gb": 2000, "gpu_memory_gb": gb})
    assert told(wider, tmp_path)[0]["unfit"] == []
    assert plan["totals"]["device_seconds"] > row["device_seconds"] > 0


def test_a_batch_of_too_few_sequences_is_said_to_be_what_holds_a_run(tmp_path):
    site = {"gpus_per_node": 8, "memory_gb": 2000, "gpu_memory_gb": 80}
    study = config({"size": {"shape": [HUGE], "B": 4 * 128}}, site=site)
    (row,) = told(study, tmp_path)[0]["unfit"]
    assert row["sequences"] == 4
    (batch,) = [text for text in row["remedy"] if text.startswith("B: ")]
    assert "4 sequences a step cannot be spread over 8 GPUs" in batch
    number = int(batch.split()[1].rstrip(","))
    assert number == 8 * 128
    assert told(config({"size": {"shape": [HUGE], "B": number}}, site=site), tmp_path)[0]["unfit"] == []


def test_more_nodes_help_where_they_do(tmp_path):
    site = {"gpus_per_node": 8, "memory_gb": 4000, "gpu_memory_gb": 40}
    study = config({"size": {"shape": [HUGE], "B": 64 * 128}}, site=site)
    (row,) = told(study, tmp_path)[0]["unfit"]
    (nodes,) = [text for text in row["remedy"] if text.startswith("site.nodes")]
    more = config(study["grid"], site={**site, "nodes": int(nodes.split()[1])})
    assert told(more, tmp_path)[0]["unfit"] == []


def test_a_state_that_is_not_spread_is_told_to_be(tmp_path):
    site = {"gpus_per_node": 8, "memory_gb": 2000, "gpu_memory_gb": 11}
    study = config({"size": {"shape": [WIDE]}}, site=site, execution={"parallel": "ddp"})
    (row,) = told(study, tmp_path)[0]["unfit"]
    assert "execution.parallel: auto or fsdp" in row["remedy"]


@pytest.mark.parametrize(
    ("processes", "lacking", "helps"),
    [
        (3, "16 sequences a step cannot be split among 3", "execution.processes: auto, or a divisor of 16"),
        (4, "not whole nodes of 3", "execution.processes: auto, or a multiple of 3"),
        (16, "not whole nodes of 3", "execution.processes: auto, or a multiple of 3"),
    ],
)
def test_stated_processes_that_cannot_be_are_named(tmp_path, processes, lacking, helps):
    site = {"gpus_per_node": 3}
    study = config({"size": {"shape": [SMALL]}}, site=site, execution={"processes": processes})
    (row,) = told(study, tmp_path)[0]["unfit"]
    assert lacking in row["lacking"]
    assert helps in row["remedy"]


def test_more_processes_than_there_are(tmp_path):
    site = {"gpus_per_node": 2, "nodes": 2}
    study = config({"size": {"shape": [SMALL]}}, site=site, execution={"processes": 8})
    (row,) = told(study, tmp_path)[0]["unfit"]
    assert "more than 2 × 2" in row["lacking"]
    assert row["remedy"] == ["execution.processes: auto", "site.nodes: 4"]


def test_too_little_memory_of_a_node(tmp_path):
    (row,) = told(config({"size": {"shape": [SMALL]}}, site={"memory_gb": 2}), tmp_path)[0]["unfit"]
    assert row["lacking"] == "it needs 3 GB of memory on nodes of 2 GB"
    assert row["remedy"] == ["site.memory_gb: 4, if there are such nodes"]


def test_a_run_longer_than_its_job_goes_on_in_another(tmp_path):
    study = config({"size": {"shape": [WIDE], "S": 200_000}}, site={"gpu_memory_gb": 80, "hours": 2})
    plan, runs = told(study, tmp_path)
    (row,) = plan["slow"]
    assert row["run"] in runs
    assert row["limit_seconds"] <= 2 * 3600 < row["seconds"]
    assert row["jobs"] == math.ceil(row["seconds"] / row["limit_seconds"])


def test_a_cluster_of_cpus_is_planned_in_cores(study, tmp_path):
    cpus = study | {"site": study["site"] | {"gpus_per_node": 0}}
    plan, _ = told(cpus, tmp_path)
    assert plan["device"] == "core"
    assert list(plan["rates"]) == ["cpu_flops"]
    assert plan["totals"]["gpu_bytes"] == 0
    assert plan["devices"][0]["devices"] == 5, "the widest job: five runs at once"


def test_bytes_on_disk_follow_from_snapshots(study, tmp_path):
    plan, runs = told(study, tmp_path)
    weights = sum(4 * run["snapshots"] * counts.trainable(**run) for run in runs.values())
    assert weights < plan["totals"]["disk_bytes"] < weights + 5 * 400_000
    assert plan["totals"]["checkpoint_bytes"] == max(2 * memory.state_bytes(run) for run in runs.values())


def test_a_study_of_finished_runs_has_nothing_to_train(tmp_path):
    study = config({"size": {"shape": [SMALL]}}) | {"finished": {"file": "runs.csv", "columns": {}}}
    plan, runs = told(study, tmp_path, {"finished": [["runs.parquet"]], "fit": [["L_N.json"]]})
    assert (runs, plan["finished"], plan["totals"]["runs"], plan["experiments"]) == ({}, True, 0, [])
    assert [row["rule"] for row in plan["rules"]] == ["finished", "fit"]


def test_the_plan_is_plain_json_and_the_same_every_time(study, tmp_path):
    _, runs = told(study, tmp_path)
    finish(tmp_path, next(iter(runs.values())))
    first, second = (
        json.dumps(told(study, tmp_path, JOBS)[0], allow_nan=False, sort_keys=True) for _ in range(2)
    )
    assert first == second


def test_what_is_seen_changes_when_a_run_ends_and_only_then(study, tmp_path):
    _, runs = told(study, tmp_path)
    run = next(iter(runs.values()))
    before = planned.look(runs, tmp_path, JOBS).listed()
    (tmp_path / run["data"] / run["run"]).mkdir(parents=True)
    assert planned.look(runs, tmp_path, JOBS).listed() == before
    finish(tmp_path, next(iter(list(runs.values())[1:])))
    assert planned.look(runs, tmp_path, JOBS).listed() != before


def test_five_thousand_runs_take_seconds(tmp_path):
    study = config({"size": {"shape": [TINY, SMALL], "seed": list(range(2500))}})
    runs = grid.expand(study)
    for run in list(runs.values())[::10]:
        finish(tmp_path, run)
    began = time.process_time()
    state = planned.look(runs, tmp_path, JOBS)
    plan = planned.plan(study, runs, JOBS, state, tmp_path, 2)
    assert time.process_time() - began < 6
    assert (plan["totals"]["runs"], plan["totals"]["cached"]) == (5000, 500)
