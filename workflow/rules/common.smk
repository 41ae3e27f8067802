# What the rules share: the study as read from the config, and functions from names to files.

import atexit
import gc
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from scaling import accelerators, cluster, driver, gpus, grid, trunks, versions
from scaling.charts import catalog
from scaling.provenance import UserError
from scaling.training import kept

# Rules say `python`: the one that runs Snakemake, whether or not its environment is activated
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))


# A study's jobs live until Snakemake ends, so looking through them for garbage over and over, and once more
# at the end, finds next to none
gc.set_threshold(50_000, 20, 100)
atexit.register(gc.freeze)


try:
    config.update(grid.check(config))
    RUNS = grid.expand(config)
    grid.check_execution(RUNS, config["execution"])
except UserError as error:
    refuse(f"config: {error}")

CORPUS = f"results/data/{grid.corpus_id(config)}"
TOKENS = f"{CORPUS}/{grid.tokenizer_id(config)}"
SOURCES = config["corpus"]["sources"]
TRANSFER = {transfer["set"]: transfer for transfer in config["corpus"]["transfer"]}
OF_WHEELS = [name for name, transfer in TRANSFER.items() if "from" in transfer]
HELD_OUT_SETS = ["test", *TRANSFER]
# the training text of sources is in shards, the others have one file each
SHARDS = [f"{number:05}" for number in range(config["corpus"]["shards"])] if SOURCES else []
SETS = HELD_OUT_SETS if SOURCES else ["train", *HELD_OUT_SETS]
HELD_OUT = [f"{TOKENS}/{name}.npy" for name in HELD_OUT_SETS]
TRAIN_TOKENS = f"{TOKENS}/train.json" if SOURCES else f"{TOKENS}/train.npy"
# a tokenizer that was made elsewhere, and what tells its entry that ends a document
GIVEN = next((config["tokenizer"][key] for key in ("file", "hub") if key in config["tokenizer"]), None)
END = [f"{TOKENS}/end.txt"] if GIVEN else []
PINS = {grid.wheel_id(pin): pin for pin in grid.pins(config["corpus"]["lock"]).values()}
RESULTS = Path("results")
STUDY = "results" if config["study"] == "default" else f"results/studies/{config['study']}"
FINISHED = config["finished"]
# what the runs come from, as the option of the page that takes it: the record of a file, or that of a corpus
ORIGIN = (
    ("--finished", f"{STUDY}/tables/finished.json") if FINISHED else ("--manifest", f"{CORPUS}/manifest.json")
)
EXECUTION = config["execution"]
SITE = config["site"]
GPUS = gpus.count(os.environ)
# Whether jobs are Slurm's: seen from the process that submits them, which has slurm/profile.yaml count GPUs by
# the job, or from within one of them
ON_CLUSTER = workflow.remote_exec or workflow.resource_scopes.is_local("gpu_percent")
# The process that submits jobs bounds none of them by its own cores, as it would where it sums up a pack
if ON_CLUSTER and not workflow.remote_exec:
    workflow.register_resource("_cores", 10**6)
# all of the data before any training, since a run is evaluated on the sets that exist when it begins
DATA_FIRST = 10**12
TRUNKS_FIRST = 10**11
TABLES = ["runs", "curves", "evaluations"]
# What a config says beside the study
UNRELATED = ("execution", "site", "budget")

# Runs here share the GPUs of this machine; --resources gpu_percent=… says otherwise
if GPUS and "gpu_percent" not in workflow.global_resources:
    workflow.register_resource("gpu_percent", 100 * GPUS)


wildcard_constraints:
    set="|".join(SETS),
    shard=r"\d{5}",
    law=r"(?!allocation\b)\w+",
    data="[^/]+",
    run="[^/]+",
    wheel="[^/]+",


def pin(wildcards):
    """The line of the lock for a wheel."""
    if wildcards.wheel not in PINS:
        refuse(f"{wildcards.wheel} is not a wheel of {config['corpus']['lock']}")
    return PINS[wildcards.wheel]


def wheels(*packages):
    """Files of the wheels of ``packages``; whoever reads them goes by their pins, not by their age."""
    pins = grid.pins(config["corpus"]["lock"])
    return [ancient(f"results/data/wheels/{grid.wheel_id(pins[name])}.whl") for name in packages]


def corpus_wheels():
    """Files of every wheel that the corpus and its transfer sets read."""
    packages = [] if SOURCES else config["corpus"]["prose"]
    read = [name for wanted in OF_WHEELS for name in TRANSFER[wanted]["from"]]
    return wheels(*dict.fromkeys([*packages, *read]))


def documents(*sets):
    """Files of the documents of ``sets``."""
    return [f"{CORPUS}/documents/{name}.parquet" for name in sets]


def train_parts():
    """What the training text is made of: its shards, or all of it."""
    return [f"train/{shard}" for shard in SHARDS] or ["train"]


def local_files(*specs):
    """The user's own files that sources read: what is made of them is made again when they have changed."""
    return [path for spec in specs for path in grid.own_files(spec)]


def folder_of(run):
    """The folder of a run."""
    return f"results/runs/{run['data']}/{run['run']}"


def run_files(name):
    """The file ``name`` in the folder of every run of the study."""
    return [f"{folder_of(run)}/{name}" for run in RUNS.values()]


def described(wildcards):
    """The run whose folder the wildcards name."""
    run = RUNS.get(wildcards.run)
    if run is None or run["data"] != wildcards.data:
        refuse(f"{wildcards.data}/{wildcards.run} is not a run of this study; {STUDY}/study.json lists them")
    return run


def trunk_of(wildcards):
    """The states that the run branches off from, in the snapshots of its trunk, if it has one."""
    trunk = described(wildcards).get("trunk")
    return f"{folder_of(RUNS[trunk])}/snapshots" if trunk else []


def priority(wildcards):
    """Longest runs first, so that none is left alone at the end; trunks before all that may wait for them."""
    run = described(wildcards)
    work = (run["N"] + run["d_model"] * run["n_vocab"]) * run["B"] * trunks.steps_to_train(run)
    return 1 + work // 10**6 + (TRUNKS_FIRST if "branches" in run else 0)


@cache
def asked(name):
    """What a run asks of the cluster."""
    return cluster.request(RUNS[name], SITE, EXECUTION)


def of_each_run(value):
    """A resource: ``value(run, attempt)``; no function where it is the same for all, since asking takes time."""
    found = {value(run, attempt) for run in RUNS.values() for attempt in (1, 2)}
    if len(found) == 1:
        return found.pop()
    return lambda wildcards, attempt: value(described(wildcards), attempt)


def on_cluster(value):
    """A resource by what the run asks of the cluster, ``value(request, attempt)``; None where there is none."""
    return of_each_run(lambda run, attempt: value(asked(run["run"]), attempt)) if ON_CLUSTER else None


def processes(run, attempt=1):
    """Processes of a run."""
    if ON_CLUSTER:
        return asked(run["run"]).processes
    return 1 if EXECUTION["processes"] == "auto" else EXECUTION["processes"]


def gpu_percent(run, attempt=1):
    """Share of a GPU that a run can fill: small ones leave room for others beside them.

    On a cluster without GPUs, its share of the cores of a pack.
    """
    if ON_CLUSTER:
        return asked(run["run"]).share
    if EXECUTION["device"] == "cpu":
        return 0
    several = processes(run)
    return gpus.share(run["N"]) if several == 1 else 100 * several


def of_run(minutes):
    """Resources of the job that trains a run, or evaluates it, within ``minutes(request, attempt)``.

    Both rules have the same ones, since they may share a job of Slurm: of its members Snakemake adds up
    resources that are numbers, and wants those that are text to agree.
    """
    with_gpus = cluster.on_gpus(SITE, EXECUTION)
    kind = f"gpu:{SITE['gpu_type']}" if SITE["gpu_type"] else "gpu"
    several = on_cluster(lambda request, attempt: request.nodes if request.nodes > 1 else None)
    found = {
        "gpu_percent": of_each_run(gpu_percent),
        # a job that asks Slurm for a GPU has to find it
        "device": "cuda" if ON_CLUSTER and with_gpus else EXECUTION["device"],
        "processes": of_each_run(processes),
        "machines": of_each_run(lambda run, attempt: asked(run["run"]).nodes if ON_CLUSTER else 1),
        "parallel": EXECUTION["parallel"],
        "micro_batch": str(EXECUTION["micro_batch"]),
        "compile": str(EXECUTION["compile"]),
        "minutes": EXECUTION["minutes"],
        # near the time limit of its job a run saves, and puts the job into the queue again
        "at_limit": "--requeue" if ON_CLUSTER else "",
        # from here on by the names that the executor knows
        **of_site(SITE["partition"], constraint=SITE["constraint"]),
        "runtime": on_cluster(minutes),
        "mem_mb": on_cluster(lambda request, attempt: cluster.memory_mb(request, SITE, attempt)),
        "cpus_per_task": on_cluster(lambda request, attempt: request.cores),
        "gres": on_cluster(
            lambda request, _: f"{kind}:{request.processes // request.nodes}" if with_gpus else None
        ),
        "nodes": several,
        "tasks": several,
        "tasks_per_gpu": on_cluster(lambda request, attempt: 0),
        # that there is such a resource keeps the executor from starting each run as a step of one process:
        # training starts its own, on all nodes
        "mpi": on_cluster(lambda request, attempt: int(request.nodes > 1)),
    }
    return {name: value for name, value in found.items() if value is not None}


def of_data_job():
    """Resources of a job that does not train."""
    if not ON_CLUSTER:
        return {}
    return of_site(SITE["cpu_partition"] or SITE["partition"]) | {
        "runtime": lambda wildcards, attempt: min(attempt * cluster.DATA_MINUTES, int(60 * SITE["hours"])),
        "mem_mb": lambda wildcards, attempt: min(attempt * cluster.DATA_MB, int(1000 * SITE["memory_gb"])),
    }


def of_site(partition, **more):
    """What the site asks of every job in ``partition``."""
    given = {"slurm_account": SITE["account"], "slurm_partition": partition, **more}
    return {name: value for name, value in given.items() if value is not None and ON_CLUSTER}


def train_minutes(request, attempt):
    """Time limit of a run's training."""
    return cluster.minutes(request, SITE, attempt)


def evaluate_minutes(request, attempt):
    """Time limit of a run's evaluation."""
    return cluster.evaluate_minutes(SITE, attempt)


@cache
def packs():
    """Which runs travel together in one Slurm job: a dict from their names to that of their pack."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name in ("train", "evaluate")]
    waiting = {job.wildcards.run: asked(job.wildcards.run) for job in jobs}
    # a member that always fails has Snakemake discard the others' outputs: their results are kept, and the next
    # time they travel without it
    ended = {name for name in waiting if kept.place(Path(folder_of(RUNS[name]))).exists()}
    parts = [{name: waiting[name] for name in waiting if (name in ended) == kind} for kind in (True, False)]
    found = [pack for part in parts for pack in cluster.packs(part, SITE)]
    pack_of = {name: f"pack{number}" for number, names in enumerate(found, 1) for name in names}
    # without a number here, runs of one group that do not depend on each other would be a job each; while the
    # rules are read it would be lost again
    components = dict.fromkeys(pack_of.values(), cluster.PACK_RUNS)
    workflow.group_settings = replace(workflow.group_settings, group_components=components)
    return pack_of


def job_of(wildcards):
    """The group of a run: it is evaluated in the job that trains it, and small ones share a job."""
    if workflow.remote_exec:
        announce_pack()
        return None
    if workflow.dryrun:  # which groups would not change, but make a good deal slower
        return None
    # Snakemake makes one job of those of a group that depend on each other: a trunk is in none with its branches
    return packs().get(wildcards.run, "branch" if "trunk" in RUNS[wildcards.run] else "run")


@cache
def announce_pack():
    """Within a pack's job, tell training which runs are in it.

    Snakemake goes through them one by one, so that the first of them trains all at once.
    """
    names = [
        spec.wildcards_dict["run"] for spec in workflow.dag_settings.target_jobs if spec.rulename == "train"
    ]
    if len(names) > 1:
        pack = [
            {
                "run": RUNS[name] | {"experiments": []},
                "out": folder_of(RUNS[name]),
                "gpu_percent": asked(name).share,
            }
            for name in names
        ]
        os.environ.update(FRONTIER_PACK=json.dumps(pack))


def study_laws():
    """Names of the laws that the study fits."""
    # here and not above: the laws import numpy, which every job of a cluster would wait for
    from scaling import laws

    wanted = config["fits"]["laws"]
    try:
        grid.check_known([] if wanted == "all" else wanted, laws.LAWS, "fits.laws", what="law")
    except UserError as error:
        refuse(f"config: {error}")
    curves = "curves" in grid.measured(config)
    return laws.available(grid.experiments(config), curves=curves, wanted=wanted)


def known_law(name):
    """``name``, if there is a law of that name."""
    from scaling import laws

    study_laws()  # refuses a study that asks for a law there is not
    if name not in laws.LAWS:
        refuse(f"{name} is not a law; there are {', '.join(laws.LAWS)}")
    return name


def fits():
    """Files of every fit of the study."""
    return expand(f"{STUDY}/fits/{{law}}.json", law=study_laws())


def adjusted_by(law):
    """What the points of ``law`` are adjusted by: the fit of B_crit and its draws, or nothing."""
    from scaling import laws

    scanned = "batch" in grid.experiments(config)
    files = [f"{STUDY}/fits/B_crit.json", f"{STUDY}/fits/B_crit.bootstrap.parquet"]
    return files if scanned and laws.LAWS[known_law(law)].adjusted else []


def allocated(ending):
    """Files, with that ending, of the fits that the split of a budget is told from."""
    from scaling import allocation

    names = [law for law in allocation.NEEDS if law in study_laws()]
    return expand(f"{STUDY}/fits/{{law}}{ending}", law=names)


def allocation():
    """The file that tells how a budget splits, if the study fits a law of it."""
    return [f"{STUDY}/fits/allocation.json"] if catalog.splits(study_laws()) else []


def planned_by(ending):
    """Files, with that ending, of the fits that plans are made by."""
    from scaling import roads

    names = [law for law in roads.NEEDS if law in study_laws()]
    return expand(f"{STUDY}/fits/{{law}}{ending}", law=names)


def budget_flops():
    """FLOPs of the budget that --config gives."""
    if config.get("budget") is None:
        refuse("plan_budget: found no budget, expected one: snakemake plan_budget --config budget=1e21")
    try:
        return accelerators.budget(config["budget"])
    except UserError as error:
        refuse(f"error: {error}")


def figures(*endings):
    """Files of every figure that the study's experiments and laws allow, with each of ``endings``."""
    names = catalog.available(grid.experiments(config), study_laws(), grid.measured(config))
    return expand(f"{STUDY}/figures/{{figure}}.{{ending}}", figure=names, ending=endings)


def begin():
    """What comes before the first job: no other driver here, none of its jobs left in Slurm, room to write,
    and nothing to make again for a file that is damaged."""
    global DRIVER
    jobs = list(workflow.dag.needrun_jobs())
    if {job.rule.name for job in jobs} <= {"plan", "plan_budget"}:
        return
    try:
        DRIVER = driver.alone(Path(".snakemake/driver.lock"), named=ON_CLUSTER)
        driver.check_room(RESULTS)
        driver.check_inputs({path for job in jobs for path in workflow.dag.reason(job).updated_input})
        if ON_CLUSTER == workflow.local_exec:
            raise UserError(
                "jobs go to Slurm by `snakemake --profile slurm`, and by no other profile or executor"
            )
        if ON_CLUSTER and not all(job.is_local for job in jobs):
            refuse_unfit(jobs)
            driver.check_site(SITE, bool(RUNS) and cluster.on_gpus(SITE, EXECUTION))
            driver.trust_squeue()
            if left := driver.cancel_leftovers(Path.cwd()):
                print(
                    f"{left} Slurm jobs that an earlier snakemake had left here are cancelled",
                    file=sys.stderr,
                )
    except UserError as error:
        refuse(f"error: {error}")
    watch_progress()


def refuse_unfit(jobs):
    """Raise UserError where a run that one of ``jobs`` is to train cannot be trained, on this site."""
    waiting = {job.wildcards.run for job in jobs if job.rule.name == "train"}
    unfit = [name for name in RUNS if name in waiting and asked(name).lacking]
    if unfit:
        raise UserError(
            f"{len(unfit)} of {len(waiting)} runs cannot be trained here, the first {unfit[0]}: "
            f"{asked(unfit[0]).lacking}; `snakemake {STUDY}/plan.html` names all, and what would help"
        )


def explain_failure():
    """Say so where the disk is why jobs failed: their logs lie on it too."""
    try:
        driver.check_room(RESULTS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)


def accept_results():
    """Forget what jobs kept of the runs that Snakemake has on record by now."""
    for job in workflow.dag.jobs:
        if job.rule.name == "train" and (workflow.dag.finished(job) or not workflow.dag.needrun(job)):
            kept.forget(Path(job.output.record).parent)


def watch_progress():
    """Show in the terminal how training goes, if there is any, until Snakemake ends."""
    if not RUNS:
        return
    command = [
        "python",
        "workflow/scripts/progress.py",
        "--parent",
        str(os.getpid()),
        "--runs",
        "results/runs",
    ]
    # a session of its own, so that Ctrl-C reaches Snakemake alone
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
    with watcher.stdin as runs:
        json.dump(list(RUNS.values()), runs)
