"""What a study will cost before it starts, what of it is there already, and what would not fit.

Told from the config, the site and the files that exist, as a dict that is plan.json: no torch, no corpus.
"""

import base64
import heapq
import json
import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scaling import cluster, costs, counts, durations, gpus, memory, preparing, provenance
from scaling.rows import finite
from scaling.tables import run_folder
from scaling.trunks import EXPERIMENT, steps_to_train, tokens_trained
from scaling.units import pf_days

TRAINED = {"run.json", "curve.parquet"}
"""Files of a run that has ended; its snapshots too, as long as it is not evaluated."""
SECONDS = {
    "finished_file": 1,
    "finished": 1,
    "study": 1,
    "tables": 1,
    "fit": 6,
    "allocation": 2,
    "exponents": 1,
    "planner": 1,
    "figure": 2,
    "page": 3,
    "report": 5,
}
"""Seconds of the slowest job of each rule after the runs, as the default study took them on one or two cores:
they grow with the number of runs."""
GATHERING = ("tables", "finished", "fit", "allocation", "exponents", "planner", "figure", "page", "report")
"""Rules that start anew when any job before them had something to do, in their order."""
CHAIN_AFTER = ("finished_file", "finished", "tables", "fit", "allocation", "report")
JOB_SECONDS = 2.0
"""What a run takes on this machine beside training: Python, torch; then its evaluation."""
MANY = (1, 8, 64, 512)
"""Devices at once of which the plan tells how long the study takes."""
SNAPSHOT_BYTES = 4096
"""Header of a snapshot."""
RUN_BYTES = 12_000
"""What a run keeps beside its snapshots and losses: its record, and what parquet takes for two tables."""
POINT_BYTES = 120
"""A row of a learning curve."""


@dataclass(frozen=True)
class State:
    """What exists: names of runs that are ``trained``, and ``evaluated`` too; ``files`` of other rules."""

    trained: frozenset
    evaluated: frozenset
    files: frozenset

    def listed(self):
        """The state as a JSON value, the same wherever it is the same."""
        return [sorted(self.trained), sorted(self.evaluated), sorted(self.files)]


# --- what exists ----------------------------------------------------------------------------------------


def look(runs, folder, jobs):
    """The :class:`State` of ``runs``, a dict by name, in ``folder``, and of the files of ``jobs``.

    ``jobs``: {rule: [files of a job, …]}. A folder is listed once, whatever it holds. Files are looked for,
    not their age.
    """
    begun = {data: set(_names(Path(folder) / data)) for data in {run["data"] for run in runs.values()}}
    trained, evaluated = set(), set()
    for name, run in runs.items():
        there = _names(run_folder(folder, run)) if name in begun[run["data"]] else set()
        if there >= TRAINED and "evaluation.parquet" in there:
            evaluated.add(name)
        if there >= TRAINED and there & {"evaluation.parquet", "snapshots"}:
            trained.add(name)
    files = {path for found in jobs.values() for paths in found for path in paths}
    there = frozenset(path for path in files if Path(path).exists())
    return State(frozenset(trained), frozenset(evaluated), there)


def packed(jobs):
    """``jobs`` as text short enough for a command line; :func:`unpacked` undoes it."""
    return base64.b64encode(zlib.compress(json.dumps(jobs).encode())).decode()


def unpacked(text):
    """The jobs that :func:`packed` made ``text`` of."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


def _names(folder):
    try:
        return {path.name for path in Path(folder).iterdir()}
    except OSError:
        return set()


def read_records(runs, folder, state):
    """Records of the trained runs, by name; and of those that are damaged, a line each, by name."""
    records, damaged = {}, {}
    for name in sorted(state.trained):
        path = run_folder(folder, runs[name]) / "run.json"
        try:
            fault = provenance.fault(path)
            record = json.loads(path.read_text(encoding="utf-8"))
            fault = fault or _fault(record, name)
        except (OSError, ValueError) as error:
            fault = str(error)
        if fault:
            damaged[name] = f"{path} is damaged ({fault}); delete it, and the run is trained again"
        else:
            records[name] = record
    return records, damaged


def _fault(record, name):
    """What makes ``record`` none of the run ``name``; empty if it is one."""
    if not isinstance(record, dict) or record.get("run") != name:
        return "it is the record of no run, or of another one"
    if record.get("device") not in ("cpu", "cuda"):
        return "it does not tell what it was trained on"
    numbers = [record.get(key) for key in ("tokens", "steps", "seconds_total", "processes", "threads")]
    if not all(isinstance(n, int | float) and finite(n) and n > 0 for n in numbers):
        return "it does not tell what the run took"
    return ""


# --- rates ----------------------------------------------------------------------------------------------


class Rates:
    """How long runs take: as the rates of the site have it, corrected by what was measured.

    ``kinds``: of each kind of device, by its key in slurm/site.yaml, what is known of it. The correction is
    the median of measured over expected seconds at each size, interpolated in the logarithm of the FLOPs per
    token; beyond the sizes that were trained it is that of the last one.
    """

    def __init__(self, runs, requests, records, site, execution):
        self._ratios, self.kinds, measured = {}, {}, {}
        gpu = cluster.on_gpus(site, execution)
        for name, record in records.items():
            run = runs[name]
            share = requests[name].share if gpu else gpus.share(run["N"])
            kind = kind_of(run, record["device"] == "cuda")
            measured.setdefault(kind, []).append((run, record, share))
        needed = {kind_of(run, gpu) for run in runs.values()} | ({"cpu_flops"} if runs else set())
        for kind in sorted({*measured, *needed}):
            stated = site["gpu_flops"][kind.split(".")[1]] if "." in kind else site["cpu_flops"]
            self.kinds[kind] = {"stated": stated} | self._measured(kind, stated, measured.get(kind, []))

    def _measured(self, kind, stated, found):
        if not found:
            return {"runs": 0}
        sizes = np.log([_flops_per_token(run) for run, _, _ in found])
        seconds = np.array([record["seconds_total"] for _, record, _ in found])
        expected = np.array([_expected(kind, stated, *one) for one in found])
        ratios = np.log(seconds / expected)
        at, medians = _medians(sizes, ratios)
        self._ratios[kind] = at, medians
        rows = [{**record, "flops_per_token_attention": _flops_per_token(run)} for run, record, _ in found]
        rates = np.exp(costs.rates(rows)[1])
        known = {
            "runs": len(found),
            "sizes": len(at),
            "measured": [float(rates.min()), float(rates.max())],
            "site_line": _site_line(kind, found),
            "off_stated": _spread(ratios),
        }
        if len(at) > 1:  # each size from the others: that they foresee themselves would say nothing
            others = [np.interp(size, at[at != size], medians[at != size]) for size in at]
            known["off_measured"] = _spread(ratios - np.array(others)[np.searchsorted(at, sizes)])
        return known

    def site_seconds(self, run, asked, gpu):
        """Seconds of ``run`` by its :class:`cluster.Request`, its start included."""
        expected = asked.seconds - cluster.START_SECONDS
        return cluster.START_SECONDS + expected * self._ratio(kind_of(run, gpu), run)

    def core_seconds(self, run):
        """Seconds of ``run`` on one core of this machine, its start and evaluation included."""
        expected = steps_to_train(run) * durations.cpu_step(run, self.kinds["cpu_flops"]["stated"])
        return JOB_SECONDS + expected * self._ratio("cpu_flops", run)

    def _ratio(self, kind, run):
        if kind not in self._ratios:
            return 1.0
        return math.exp(np.interp(math.log(_flops_per_token(run)), *self._ratios[kind]))


def kind_of(run, gpu):
    """Key in slurm/site.yaml of the rate at which ``run`` is trained."""
    return f"gpu_flops.{run['precision']}" if gpu else "cpu_flops"


def _flops_per_token(run):
    return counts.flops_per_token(**run)["attention"]


def _expected(kind, stated, run, record, share):
    """Seconds that the steps of ``record`` should have taken, as the cluster's request reckons them."""
    if kind == "cpu_flops":
        return _steps(record) * durations.cpu_step(run, stated, record["threads"])
    alone = share / 100 if record["processes"] == 1 else 1
    rate = {run["precision"]: alone * stated}
    return _steps(record) * durations.gpu_step(run, rate, record["processes"])


def _steps(record):
    return record.get("steps_trained", record["steps"])


def _medians(sizes, ratios):
    at = np.unique(sizes)
    return at, np.array([np.median(ratios[sizes == size]) for size in at])


def _spread(ratios):
    """Median, least and greatest of what ``ratios`` are the logarithms of."""
    return dict(
        zip(("median", "low", "high"), np.exp([np.median(ratios), *_ends(ratios)]).tolist(), strict=True)
    )


def _ends(values):
    return [min(values), max(values)]


def _site_line(kind, found):
    """FLOP/s to state in slurm/site.yaml, with which all that was measured would have been foreseen in sum.

    Of GPUs only runs that fill one tell it: None where there are none.
    """
    if kind == "cpu_flops":
        beside = durations.CPU_STEP_SECONDS
        rows = [(run, r, r["threads"] * (r["seconds_total"] - beside * _steps(r))) for run, r, _ in found]
    else:
        rows = [(run, r, r["processes"] * r["seconds_total"]) for run, r, share in found if share == 100]
    flops = sum(_flops_per_token(run) * tokens_trained(record) for run, record, _ in rows)
    seconds = sum(seconds for *_, seconds in rows)
    return float(f"{flops / seconds:.2g}") if seconds > 0 else None


# --- jobs -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A job of Slurm that trains ``runs``: it takes ``devices`` for ``seconds``, after ``trunks``."""

    runs: tuple
    devices: int
    seconds: float
    trunks: frozenset = frozenset()


def queue(requests, expected, site, gpu):
    """The :class:`Job` s in which runs are trained and evaluated, on GPUs or on cores.

    ``requests``: what each run asks for, by name, which decides who travels together; ``expected``: the same
    of the runs that remain, with the seconds that they are expected to take.
    """
    found = [
        Job((name,), asked.processes, cluster.pack_seconds([asked]), _trunks([asked], expected))
        for name, asked in expected.items()
        if not asked.packed
    ]
    for names in cluster.packs({name: requests[name] for name in expected}, site):
        members = [expected[name] for name in names]
        # on CPUs all have one share: that of a core
        devices = 1 if gpu else min(len(members), 100 // members[0].share)
        trunks = _trunks(members, expected)
        found.append(Job(tuple(names), devices, cluster.pack_seconds(members), trunks))
    return found


def _trunks(members, expected):
    return frozenset(asked.trunk for asked in members if asked.trunk in expected)


def device_seconds(jobs, requests):
    """Device-seconds of each run, by name: of a pack's, by how much of it the run fills, and how long."""
    found = {}
    for job in jobs:
        weights = {name: requests[name].share * requests[name].seconds for name in job.runs}
        whole = sum(weights.values())
        found |= {
            name: job.devices * job.seconds * weight / whole if whole else 0.0
            for name, weight in weights.items()
        }
    return found


def schedule(jobs, devices):
    """Seconds that ``jobs`` take on so many ``devices``: the longest first, each when enough are free.

    Those that wait for trunks come after all that wait for none.
    """
    free, ends = [0.0] * devices, {}
    for job in sorted(jobs, key=lambda job: (bool(job.trunks), -job.seconds, job.runs)):
        taken = [heapq.heappop(free) for _ in range(job.devices)]
        end = max(taken[-1], *(ends[name] for name in job.trunks), 0.0) + job.seconds
        ends |= dict.fromkeys(job.runs, end)
        for _ in taken:
            heapq.heappush(free, end)
    return max(free, default=0.0)


# --- bytes ----------------------------------------------------------------------------------------------


def kept_bytes(run, sets):
    """What ``run`` keeps on disk in the end: snapshots in fp32, its curve, losses on ``sets`` texts.

    Of a trunk the states that others branch off from, too.
    """
    snapshots = run["snapshots"] + bool(run["patience"])
    weights = snapshots * (SNAPSHOT_BYTES + 4 * counts.trainable(**run))
    # losses by position are kept twice: as what is known of the run, in text, and as its table
    losses = snapshots * sets * run["n_ctx"] * (24 + 8)
    states = len(run.get("branches", ())) * memory.state_bytes(run)
    return weights + states + losses + run["test_points"] * POINT_BYTES + RUN_BYTES


def checkpoint_bytes(run):
    """What ``run`` takes on disk while it is trained: its last two checkpoints."""
    return 2 * memory.state_bytes(run)


def _checkpoints(runs, requests, names, devices, gpu):
    """Most bytes of checkpoints at once: those of the largest runs that ``devices`` hold."""
    found, room = 0, float(devices)
    for name in sorted(names, key=lambda name: -memory.state_bytes(runs[name])):
        asked = requests[name]
        room -= asked.processes * (asked.share / 100 if gpu else 1)
        if room < -1e-9:
            break
        found += checkpoint_bytes(runs[name])
    return found


# --- what does not fit ----------------------------------------------------------------------------------


def unfit(runs, requests, site, execution):
    """Runs that cannot be trained as site and execution are stated: why, and each thing that would help."""
    found = []
    for name, asked in requests.items():
        run = runs[name]
        if asked.lacking:
            found.append(
                {
                    **{"run": name, "experiments": run["experiments"], "N": run["N"]},
                    "sequences": run["B"] // run["n_ctx"],
                    **{"lacking": asked.lacking, "remedy": _remedy(run, asked, site, execution)},
                }
            )
    return found


def _remedy(run, asked, site, execution):
    gpu = cluster.on_gpus(site, execution)
    per_node = site["gpus_per_node"] if gpu else site["cpus_per_node"]
    sequences, processes = run["B"] // run["n_ctx"], asked.processes
    fixed = execution["processes"] != "auto"
    if fixed and sequences % processes:
        batch = run["n_ctx"] * processes * math.ceil(sequences / processes)
        return [f"execution.processes: auto, or a divisor of {sequences}", f"B: {batch}"]
    if fixed and processes > per_node and processes % per_node:
        return [f"execution.processes: auto, or a multiple of {per_node}"]
    if fixed and processes > per_node * site["nodes"]:
        return ["execution.processes: auto", f"site.nodes: {math.ceil(processes / per_node)}"]
    found = _gpu_remedy(run, processes, per_node, site, execution) if gpu else []
    if asked.memory_mb > 1000 * site["memory_gb"]:
        found.append(f"site.memory_gb: {math.ceil(asked.memory_mb / 1000)}, if there are such nodes")
    return found


def _gpu_remedy(run, processes, per_node, site, execution):
    size, parallel = int(site["gpu_memory_gb"] * 1e9), execution["parallel"]
    sequences, found = run["B"] // run["n_ctx"], []
    if memory.fits(run, size, processes=processes, parallel=parallel):
        return []
    needed = (memory.least_bytes(run, size, processes=processes, parallel=p) for p in ("fsdp", "ddp"))
    least = [math.ceil(each / memory.GPU_SHARE / 1e9) for each in needed]
    enough = [gb for gb in least if memory.fits(run, gb * 10**9, processes=processes, parallel=parallel)]
    found += [f"site.gpu_memory_gb: {min(enough)}, if there are such GPUs"] if enough else []
    if parallel == "ddp" and memory.fits(run, size, processes=processes, parallel="fsdp"):
        found.append("execution.parallel: auto or fsdp")
    if parallel == "ddp":
        return found
    # more devices share the state, as far as the batch has a sequence for each
    several = (per_node * n for n in (2**i for i in range(12)))
    wider = next((n for n in several if n > processes and memory.fits(run, size, processes=n)), None)
    if wider is None:
        return found
    changes = [f"site.nodes: {wider // per_node}"] if wider > per_node * site["nodes"] else []
    changes += [f"execution.processes: {wider}"] if execution["processes"] != "auto" else []
    if sequences % wider:
        batch = run["n_ctx"] * wider * math.ceil(sequences / wider)
        floor = f"its {sequences} sequences a step cannot be spread over {wider} GPUs"
        changes.append(f"B: {batch}, since {floor}")
    return [*found, " and ".join(changes)] if changes else found


def slow(requests, site):
    """Runs that take longer than the time limit of their job: they save, and go on in another.

    ``requests``: pairs of what is asked for and what is expected, by name.
    """
    found = []
    for name, (asked, expected) in requests.items():
        limit = 60 * cluster.minutes(asked, site)
        if not asked.packed and expected.seconds > limit:
            found.append(
                {
                    **{"run": name, "devices": asked.processes, "seconds": expected.seconds},
                    **{"limit_seconds": limit, "jobs": math.ceil(expected.seconds / limit)},
                }
            )
    return found


# --- the plan -------------------------------------------------------------------------------------------


def plan(config, runs, jobs, state, folder, cores):
    """What the study of ``config`` costs: the content of plan.json, documented in results/README.md.

    ``runs``: :func:`grid.expand`'s; ``jobs``: {rule: [files of a job, …]} of all rules that do not train;
    ``state``: what :func:`look` saw of both; ``folder``: that of all runs; ``cores``: of this machine.
    """
    site, execution = config["site"], config["execution"]
    gpu = cluster.on_gpus(site, execution)
    records, damaged = read_records(runs, folder, state)
    asked = {name: cluster.request(run, site, execution) for name, run in runs.items()}
    rates = Rates(runs, asked, records, site, execution)
    expected = {
        name: replace(asked[name], seconds=rates.site_seconds(run, asked[name], gpu))
        for name, run in runs.items()
    }
    to_train = [name for name in runs if name not in records]
    to_do = [name for name in runs if name not in records or name not in state.evaluated]
    remaining = {name: expected[name] if name in to_train else _evaluation(expected[name]) for name in to_do}
    whole_queue, queued = queue(asked, expected, site, gpu), queue(asked, remaining, site, gpu)
    per_run = {
        "device_seconds": (
            device_seconds(whole_queue, expected),
            device_seconds(queued, remaining),
        ),
        "core_seconds": _of(runs, to_train, rates.core_seconds),
        "tokens": _of(runs, to_train, lambda run: steps_to_train(run) * run["B"]),
        "flops": _of(runs, to_train, lambda run: steps_to_train(run) * run["B"] * _flops_per_token(run)),
        "disk_bytes": _of(runs, to_train, lambda run: kept_bytes(run, 1 + len(config["corpus"]["transfer"]))),
    }
    largest = {
        "gpu_bytes": {
            name: memory.least_bytes(
                run,
                1e9 * site["gpu_memory_gb"],
                processes=asked[name].processes,
                parallel=execution["parallel"],
            )
            if gpu
            else 0
            for name, run in runs.items()
        },
        "seconds": {name: each.seconds for name, each in expected.items()},
        "host_bytes": {name: 10**6 * each.memory_mb for name, each in asked.items()},
        "checkpoint_bytes": {name: checkpoint_bytes(run) for name, run in runs.items()},
    }
    experiments = [
        _summary(names, own, to_do, per_run, largest, runs, queued) | {"experiment": experiment}
        for experiment, names, own in _by_experiment(config, runs)
    ]
    rules = rule_table(runs, to_train, to_do, len(queued), jobs, state)
    chain = longest_chain(rules, queued, preparing.seconds(config["corpus"]) if runs else {})
    return {
        "study": config["study"],
        "finished": config["finished"] is not None,
        "device": "GPU" if gpu else "core",
        "site": {key: site[key] for key in SHOWN},
        "experiments": experiments,
        "totals": _summary(list(runs), list(runs), to_do, per_run, largest, runs, queued),
        "spent": _spent(records),
        "to_train": len(to_train),
        "rules": rules,
        "queue": {
            "whole": len(whole_queue),
            "to_do": len(queued),
            "packs": sum(len(j.runs) > 1 for j in queued),
        },
        "chain": chain,
        "devices": elapsed(runs, remaining, queued, chain, gpu),
        "here": _here(cores, per_run, to_train, chain, rules),
        "rates": rates.kinds,
        "unfit": [
            row | {"device_seconds": per_run["device_seconds"][1][row["run"]]}
            for row in unfit(runs, {name: asked[name] for name in to_train}, site, execution)
        ],
        "slow": slow({name: (asked[name], expected[name]) for name in to_train}, site),
        "damaged": list(damaged.values()),
        "data_bytes": _data_bytes(jobs, state),
    }


SHOWN = (
    "gpu_type", "gpus_per_node", "cpus_per_node", "memory_gb", "gpu_memory_gb", "nodes", "hours",
)  # fmt: skip
"""What a plan tells of the site."""


def _of(runs, to_train, function):
    """Values of all runs, and of those to train, each a dict by name."""
    every = {name: function(run) for name, run in runs.items()}
    return every, {name: every[name] for name in to_train}


def _evaluation(asked):
    """The request of a run that is trained already: its job has little to do."""
    return replace(asked, seconds=cluster.START_SECONDS)


def _by_experiment(config, runs):
    """Triples (experiment, names of its runs, of those that no experiment before it has), trunks last."""
    trunks = [EXPERIMENT] if any("branches" in run for run in runs.values()) else []
    return [
        (
            experiment,
            [name for name, run in runs.items() if experiment in run["experiments"]],
            [name for name, run in runs.items() if run["experiments"][0] == experiment],
        )
        for experiment in ([*config["experiments"], *trunks] if runs else ())
    ]


def _summary(names, own, to_do, per_run, largest, runs, queued):
    """A row of the table of experiments: sums over its ``own`` runs, extremes over all of its ``names``.

    A pack is counted with the experiment of its longest run.
    """
    waiting, owned = set(to_do), set(own)
    sizes = [runs[name]["N"] for name in names]
    found = {
        "runs": len(own),
        "shared": len(names) - len(own),
        "cached": sum(name not in waiting for name in own),
        "to_do": sum(name in waiting for name in own),
        "N": _ends(sizes) if sizes else None,
        "slurm_jobs": sum(job.runs[0] in owned for job in queued),
    }
    for key, (every, left) in per_run.items():
        found[key] = sum(every[name] for name in own)
        found[f"{key}_to_do"] = sum(left.get(name, 0) for name in own)
    found |= {"pf_days": pf_days(found["flops"]), "pf_days_to_do": pf_days(found["flops_to_do"])}
    return found | {key: max((values[name] for name in names), default=0) for key, values in largest.items()}


def _spent(records):
    """Device-seconds that the finished runs took by their own records, by device: cpu is cores."""
    found = {}
    for record in records.values():
        units = record["threads" if record["device"] == "cpu" else "processes"]
        found[record["device"]] = found.get(record["device"], 0) + units * record["seconds_total"]
    return found


def _data_bytes(jobs, state):
    """Bytes of the wheels, documents and tokens that exist; None where some do not yet."""
    files = [path for rule in preparing.KEPT for paths in jobs.get(rule, ()) for path in paths]
    if not files or not state.files.issuperset(files):
        return None
    return sum(Path(path).stat().st_size for path in files)


def rule_table(runs, to_train, to_do, queued, jobs, state):
    """Of each rule its ``jobs``, those ``cached`` and ``to_do``, jobs of Slurm, and ``where`` it runs."""
    missing = {rule: [not state.files.issuperset(paths) for paths in found] for rule, found in jobs.items()}
    missing |= {"train": [name in set(to_train) for name in runs]} if runs else {}
    missing |= {"evaluate": [name in set(to_do) for name in runs]} if runs else {}
    left = {rule: sum(found) for rule, found in missing.items()}
    anew = bool(to_do)
    for rule in GATHERING:
        if rule in left:
            left[rule] = len(missing[rule]) if anew else left[rule]
            anew = anew or left[rule] > 0
    for rule in reversed(preparing.USED_BY):
        if rule in left and not any(left.get(user) for user in preparing.USED_BY[rule]):
            left[rule] = 0
    order = [*(rule for rule in jobs if rule in preparing.USED_BY), "train", "evaluate"]
    order += [rule for rule in jobs if rule not in order]
    slurm = {rule: left.get(rule, 0) for rule in preparing.JOBS} | {"train": queued, "evaluate": 0}
    return [
        {
            **{"rule": rule, "jobs": len(missing[rule]), "cached": len(missing[rule]) - left[rule]},
            **{"to_do": left[rule], "slurm_jobs": slurm.get(rule, 0), "where": _where(rule)},
        }
        for rule in order
        if missing.get(rule)
    ]


def _where(rule):
    if rule == "evaluate":
        return "the job that trains the run"
    return "Slurm" if rule in (*preparing.JOBS, "train") else "where Snakemake runs"


def longest_chain(rules, queued, text):
    """The steps that remain and that no number of machines shortens, each with its ``seconds``, in order.

    ``text``: seconds of the rules that make text into tokens, for runs to train on.
    """
    waiting, seconds = {row["rule"] for row in rules if row["to_do"]}, SECONDS | text

    def steps(names):
        return [
            {"rule": rule, "seconds": seconds[rule] + cluster.START_SECONDS * (rule in preparing.JOBS)}
            for rule in names
            if rule in waiting
        ]

    found = steps(rule for rule in preparing.CHAIN if rule in text)
    if queued:
        behind = {name: job for job in queued for name in job.runs}
        chains = [[*_longest(behind[name] for name in job.trunks), job] for job in queued]
        for job in max(chains, key=lambda jobs: sum(job.seconds for job in jobs)):
            found.append({"rule": "train", "seconds": job.seconds, "runs": list(job.runs)})
    return found + steps(CHAIN_AFTER)


def _longest(jobs):
    """The longest of ``jobs`` in a list, which is empty if there are none."""
    return sorted(jobs, key=lambda job: job.seconds)[-1:]


def elapsed(runs, remaining, queued, chain, gpu):
    """How long what remains takes on several numbers of ``devices`` at once, waiting in the queue left out.

    With each comes what checkpoints take on disk meanwhile, at most. The fewest devices are those of the
    widest job; more than shorten it are left out.
    """
    if not queued:
        return []
    widest = max(job.devices for job in queued)
    beside = sum(step["seconds"] for step in chain if step["rule"] != "train")
    found = []
    for devices in sorted({widest, *(many for many in MANY if many > widest)}):
        seconds = beside + schedule(queued, devices)
        if found and seconds == found[-1]["seconds"]:
            break
        bytes_at_once = _checkpoints(runs, remaining, remaining, devices, gpu)
        found.append({"devices": devices, "seconds": seconds, "checkpoint_bytes": bytes_at_once})
    return found


def _here(cores, per_run, to_train, chain, rules):
    """What remains on the ``cores`` of this machine, one run, or one shard of text, on each."""
    left, jobs = per_run["core_seconds"][1], {row["rule"]: row["to_do"] for row in rules}
    beside = 0.0
    for step in chain:
        if step["rule"] in preparing.JOBS:
            each = step["seconds"] - cluster.START_SECONDS
            beside += each * math.ceil(jobs[step["rule"]] / cores)
        elif step["rule"] != "train":
            beside += step["seconds"]
    jobs = [Job((name,), 1, left[name]) for name in to_train]
    return {"cores": cores, "seconds": beside + schedule(jobs, cores)}
