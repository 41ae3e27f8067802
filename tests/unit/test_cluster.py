"""What runs ask of Slurm: the fewest devices, never more than the site has, and packs that Slurm can take."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from scaling import cluster, durations, gpus, memory
from snakemake.resources import GroupResources, Resources

ROOT = Path(__file__).parents[2]
SITE = yaml.safe_load((ROOT / "slurm" / "site.yaml").read_text(encoding="utf-8"))["site"]
EXECUTION = {"device": "auto", "processes": "auto", "parallel": "auto"}
ATTEMPTS = range(1, cluster.RETRIES + 2)


def shape(n_layer=2, d_model=32, **more):
    """A Transformer's run, with what a request reads of it."""
    return {
        **{"architecture": "transformer", "n_layer": n_layer, "d_model": d_model, "d_ff": 4 * d_model},
        **{"n_head": 2, "d_attn": d_model, "reuse": 1, "n_ctx": 128, "n_vocab": 512, "dropout": 0.0},
        **{"tied": True, "precision": "fp32", "optimizer": "adam", "patience": 0, "B": 2048, "S": 1500},
        **{"N": 12 * n_layer * d_model**2},
        **more,
    }


WIDE = shape(24, 2048, B=2**17, S=20_000)


def random_site(rng):
    return SITE | {
        **{"gpus_per_node": rng.choice([0, 0, 1, 2, 3, 4, 6, 8]), "cpus_per_node": rng.randint(1, 128)},
        **{"memory_gb": round(math.exp(rng.uniform(math.log(2), math.log(1000))), 2)},
        **{"gpu_memory_gb": rng.choice([4, 8, 16, 24, 80]), "nodes": rng.choice([1, 1, 2, 5])},
        # a job trains and evaluates, in whole minutes: two are the least
        **{"hours": max(2 / 60, math.exp(rng.uniform(math.log(0.03), math.log(72))))},
    }


def random_run(rng):
    d_model = rng.choice([8, 16, 64, 128, 256, 512, 1024, 2048])
    return shape(
        rng.choice([1, 2, 4, 12, 24]), d_model,
        n_vocab=rng.choice([512, 8192, 50257]), precision=rng.choice(["fp32", "bf16"]),
        B=128 * rng.choice([1, 3, 4, 12, 16, 60, 512, 4096]), S=round(10 ** rng.uniform(1, 5)),
        optimizer=rng.choice(["adam", "adafactor"]), patience=rng.choice([0, 3]),
    )  # fmt: skip


def studies(number, runs=60):
    """Random sites, with requests by name of runs that can be trained there; alike for each call."""
    rng = random.Random(0)
    for _ in range(number):
        site, execution = random_site(rng), EXECUTION | {"device": rng.choice(["auto", "auto", "cpu"])}
        study = {f"run{i}": random_run(rng) for i in range(rng.randint(1, runs))}
        # sweeps have many runs of one size
        study |= {f"{name}_{seed}": run for name, run in list(study.items())[:3] for seed in range(20)}
        yield site, execution, study, {n: cluster.request(r, site, execution) for n, r in study.items()}


class Job:
    """A Snakemake job, as far as a group asks for its resources."""

    pipe_group = None

    def __init__(self, asked, minutes, site, attempt):
        self.resources = {
            **{"gpu_percent": asked.share, "runtime": minutes, "cpus_per_task": asked.cores},
            **{"mem_mb": cluster.memory_mb(asked, site, attempt), "_cores": asked.processes},
        }


def summed(members, site, attempt, trained=()):
    """What Snakemake asks Slurm for where ``members`` share a job, of which ``trained`` have been trained."""
    evaluate = cluster.evaluate_minutes(site, attempt)
    first = [
        Job(a, evaluate if i in trained else cluster.minutes(a, site, attempt), site, attempt)
        for i, a in enumerate(members)
    ]
    then = [Job(a, evaluate, site, attempt) for i, a in enumerate(members) if i not in trained]
    levels = [first, then] if then else [first]
    return GroupResources.basic_layered(levels, Resources.from_mapping({"gpu_percent": 100}), run_local=False)


# --- one run --------------------------------------------------------------------------------------------


def test_a_request_takes_the_fewest_devices_that_do():
    spread = set()
    for site, execution, study, requests in studies(60):
        on_gpus = cluster.on_gpus(site, execution)
        assert on_gpus == (site["gpus_per_node"] > 0 and execution["device"] == "auto")
        per_node = site["gpus_per_node" if on_gpus else "cpus_per_node"]
        for name, run in study.items():
            asked, sequences = requests[name], run["B"] // run["n_ctx"]
            assert asked.processes <= site["nodes"] * per_node
            assert sequences % asked.processes == 0
            assert asked.processes == asked.nodes * (asked.processes // asked.nodes)
            assert asked.nodes == 1 or asked.processes == asked.nodes * per_node
            few = [2**i for i in range(8) if 2**i < per_node]
            few += [per_node * n for n in range(1, site["nodes"] + 1)]
            fewer = [n for n in few if n < asked.processes and sequences % n == 0]
            for n in fewer:
                less = cluster.request(run, site, execution | {"processes": n})
                too_long = less.seconds * cluster.MARGIN > 3600 * site["hours"]
                assert less.lacking or too_long or asked.lacking
            if not asked.lacking:
                assert asked.memory_mb <= 1000 * site["memory_gb"]
                assert asked.cores <= site["cpus_per_node"]
                if on_gpus:
                    size = site["gpu_memory_gb"] * 1e9 * asked.share / 100
                    assert memory.fits(run, size, processes=asked.processes), "its share of a GPU's memory"
            spread.add((asked.nodes > 1, asked.processes > 1, asked.packed, bool(asked.lacking)))
    assert len(spread) >= 5, "the sites and runs cover the cases"


def test_more_devices_where_time_or_memory_wants_them():
    site = SITE | {"gpus_per_node": 8, "nodes": 2, "gpu_memory_gb": 80, "memory_gb": 1000, "hours": 4000}
    assert cluster.request(WIDE, site, EXECUTION).processes == 1
    hours = cluster.request(WIDE, site, EXECUTION).seconds * cluster.MARGIN / 3600
    assert cluster.request(WIDE, site | {"hours": 1.01 * hours}, EXECUTION).processes == 1
    assert cluster.request(WIDE, site | {"hours": 0.99 * hours}, EXECUTION).processes == 2
    longest = cluster.request(WIDE, site | {"hours": 0.1}, EXECUTION)
    assert (longest.processes, longest.nodes, longest.lacking) == (16, 2, "")
    tight = cluster.request(WIDE, site | {"gpu_memory_gb": 16}, EXECUTION)
    assert tight.processes > 1
    assert not tight.lacking


def test_what_cannot_be_trained_says_why():
    small = SITE | {"gpu_memory_gb": 1}
    assert "does not fit 1 × 1 GB of GPU memory" in cluster.request(WIDE, small, EXECUTION).lacking
    for processes, line in ((3, "cannot be split among 3"), (8, "more than 1 × 1 that a run may take")):
        found = cluster.request(shape(), SITE, EXECUTION | {"processes": processes})
        assert line in found.lacking


def test_a_cluster_of_cpus_trains_on_cores():
    site = SITE | {"gpus_per_node": 0, "cpus_per_node": 48, "memory_gb": 100}
    asked = cluster.request(shape(), site, EXECUTION)
    assert (asked.processes, asked.cores, asked.packed, asked.lacking) == (1, 1, True, "")
    assert 100 // asked.share == cluster.CORES_PER_PACK
    expected = durations.cpu_step(shape(), site["cpu_flops"]) * 1500 + cluster.START_SECONDS
    assert asked.seconds == pytest.approx(expected)
    on_site_with_gpus = cluster.request(shape(), site | {"gpus_per_node": 4}, EXECUTION | {"device": "cpu"})
    assert on_site_with_gpus == asked
    long = cluster.request(WIDE, site, EXECUTION)
    assert long.processes == long.cores > 1
    assert not long.packed


@pytest.mark.parametrize(("cpus", "cores"), [(3, 3), (8, 8), (20, 16), (640, 16)])
def test_a_whole_node_s_processes_ask_for_no_more_cores_than_it_has(cpus, cores):
    site = SITE | {"gpus_per_node": 8, "cpus_per_node": cpus, "gpu_memory_gb": 80, "memory_gb": 1000}
    assert cluster.request(WIDE, site, EXECUTION | {"processes": 8}).cores == cores


@pytest.mark.parametrize("number", range(1, 11))
def test_as_many_share_a_device_as_have_memory_for_it(number):
    run = shape()
    each = cluster.request(run, SITE, EXECUTION).memory_mb
    site = SITE | {"cpus_per_node": 64, "memory_gb": (each * number + 1) / 1000}
    assert 100 // cluster.request(run, site, EXECUTION).share == number
    few = SITE | {"cpus_per_node": number, "memory_gb": 100}
    assert 100 // cluster.request(run, few, EXECUTION).share == number, "a core for each"


def test_a_share_follows_from_size_where_memory_allows_it():
    site = SITE | {"cpus_per_node": 64, "memory_gb": 1000, "gpu_memory_gb": 80}
    for run in (shape(2, 32), shape(4, 256), shape(12, 512), shape(24, 1024)):
        assert cluster.request(run, site, EXECUTION).share == gpus.share(run["N"])
    vocabulary = shape(2, 32, n_vocab=50257, B=2**17)
    tight = cluster.request(vocabulary, site | {"gpu_memory_gb": 11}, EXECUTION)
    assert gpus.share(vocabulary["N"]) < tight.share < 100, "its logits do not fit a tenth of 11 GB"


def test_time_and_memory_grow_with_the_attempt_up_to_the_site_s():
    for site, _, _, requests in studies(60):
        for asked in requests.values():
            time = [cluster.minutes(asked, site, attempt) for attempt in ATTEMPTS]
            evaluate = [cluster.evaluate_minutes(site, attempt) for attempt in ATTEMPTS]
            host = [cluster.memory_mb(asked, site, attempt) for attempt in ATTEMPTS]
            for grows in (time, evaluate, host):
                assert grows == sorted(grows)
                assert all(isinstance(value, int) and value >= 1 for value in grows)
            assert all(a + b <= 60 * site["hours"] + 1e-9 for a, b in zip(time, evaluate, strict=True))
            if not asked.lacking:
                assert host[-1] <= 1000 * site["memory_gb"]
                assert host[0] >= asked.memory_mb
    asked = cluster.request(shape(), SITE, EXECUTION)
    assert [cluster.minutes(asked, SITE, attempt) for attempt in (1, 2, 3)] == [
        attempt * math.ceil(cluster.MARGIN * asked.seconds / 60) for attempt in (1, 2, 3)
    ]
    assert [cluster.memory_mb(asked, SITE, attempt) for attempt in (1, 2)] == [3073, 4000], (
        "an eighth of the node"
    )


# --- packs ----------------------------------------------------------------------------------------------


def test_slurm_is_never_asked_for_more_than_it_has():
    rng = random.Random(1)
    packed = 0
    for site, _, _, requests in studies(200):
        able = {name: asked for name, asked in requests.items() if not asked.lacking}
        jobs = cluster.packs(able, site)
        packed += sum(len(names) > 100 // able[names[0]].share for names in jobs)
        jobs += [[name] for name, asked in able.items() if not asked.packed]
        for names in jobs:
            members = [able[name] for name in names]
            some = set(rng.sample(range(len(members)), rng.randint(0, len(members))))
            for attempt in ATTEMPTS:
                for trained in (set(), some):
                    found = summed(members, site, attempt, trained)
                    assert found["runtime"] <= 60 * site["hours"] + 1e-9
                    assert found["mem_mb"] <= 1000 * site["memory_gb"]
                    assert found["cpus_per_task"] <= site["cpus_per_node"]
    assert packed > 100, "several layers are common"


def test_every_small_run_is_in_one_pack_and_large_ones_in_none():
    rng = random.Random(2)
    for site, _, _, requests in studies(60):
        found = cluster.packs(requests, site)
        names = [name for pack in found for name in pack]
        assert sorted(names) == sorted(name for name, asked in requests.items() if asked.share < 100)
        assert all(1 <= len(pack) <= cluster.PACK_RUNS for pack in found)
        shuffled = list(requests.items())
        rng.shuffle(shuffled)
        assert cluster.packs(dict(shuffled), site) == found
    assert cluster.packs({}, SITE) == []


def test_packs_are_as_full_as_may_be():
    asked = replace(cluster.request(shape(), SITE, EXECUTION), share=10, seconds=60.0)
    site = SITE | {"hours": 72}

    def sizes(number, **values):
        runs = {f"run{i:03}": replace(asked, **values) for i in range(number)}
        return [len(pack) for pack in cluster.packs(runs, site)]

    assert sizes(100) == [40, 40, 20]
    assert sizes(100, share=50, seconds=600.0) == [6] * 16 + [4], "three layers of 20 minutes"
    assert sizes(30, share=50, seconds=3600.0) == [2] * 15, "one layer, however long"
    site |= {"hours": 1}
    assert sizes(9, share=50) == [4, 4, 1], "two layers, each trained and evaluated at the last attempt"
    mixed = {f"run{i}": replace(asked, share=[10, 50][i % 2], seconds=60.0 + i) for i in range(8)}
    found = cluster.packs(mixed, site)
    assert [[mixed[name].share for name in pack] for pack in found] == [[10] * 4, [50] * 4]
    assert found[0] == ["run6", "run4", "run2", "run0"], "longest first"


def test_a_pack_lasts_as_long_as_its_layers():
    asked = cluster.request(shape(), SITE, EXECUTION)
    members = [replace(asked, share=50, seconds=seconds) for seconds in (10.0, 40.0, 20.0, 30.0, 5.0)]
    assert cluster.pack_seconds(members) == 40 + 20 + 5 + 5 * cluster.PACK_SECONDS_EACH
    alone = replace(asked, share=100, seconds=7.0)
    assert cluster.pack_seconds([alone]) == 7 + cluster.PACK_SECONDS_EACH


def test_constants_are_those_of_the_profile():
    profile = yaml.safe_load((ROOT / "slurm" / "profile.yaml").read_text(encoding="utf-8"))
    assert profile["retries"] == cluster.RETRIES
    assert profile["resources"]["gpu_percent"] == 100
    assert profile["set-resource-scopes"]["gpu_percent"] == "local"
