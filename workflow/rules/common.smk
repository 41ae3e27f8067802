# What the rules share: the study as read from the config, and functions from names to files.

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from scaling import gpus, grid, versions
from scaling.charts import catalog
from scaling.provenance import UserError

# Rules say `python`: the one that runs Snakemake, whether or not its environment is activated
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))


def refuse(line):
    """End with a line for the user; an exception would have Snakemake wrap it in a report of its own."""
    print(line, file=sys.stderr)
    sys.exit(1)


try:
    config.update(grid.check(config))
    RUNS = grid.expand(config)
    grid.check_execution(RUNS, config["execution"])
except UserError as error:
    refuse(f"config: {error}")

CORPUS = f"results/data/{grid.corpus_id(config)}"
TOKENS = f"{CORPUS}/{grid.tokenizer_id(config)}"
TRANSFER = {transfer["set"]: transfer for transfer in config["corpus"]["transfer"]}
SETS = ["train", "test", *TRANSFER]
HELD_OUT = [f"{TOKENS}/{name}.npy" for name in SETS[1:]]
PINS = {grid.wheel_id(pin): pin for pin in grid.pins(config["corpus"]["lock"]).values()}
STUDY = "results" if config["study"] == "default" else f"results/studies/{config['study']}"
FINISHED = config["finished"]
# what the runs come from, as the option of the page that takes it: the record of a file, or that of a corpus
ORIGIN = (
    ("--finished", f"{STUDY}/tables/finished.json") if FINISHED else ("--manifest", f"{CORPUS}/manifest.json")
)
EXECUTION = config["execution"]
GPUS = gpus.count(os.environ)
# all of the data before any training, since a run is evaluated on the sets that exist when it begins
DATA_FIRST = 10**12
TABLES = ["runs", "curves", "evaluations"]

# Runs here share the GPUs of this machine; --resources gpu_percent=… says otherwise
if GPUS and workflow.local_exec and "gpu_percent" not in workflow.global_resources:
    workflow.register_resource("gpu_percent", 100 * GPUS)


wildcard_constraints:
    set="|".join(SETS),
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
    packages = [*config["corpus"]["prose"], *(name for spec in TRANSFER.values() for name in spec["from"])]
    return wheels(*dict.fromkeys(packages))


def run_files(name):
    """The file ``name`` in the folder of every run of the study."""
    return [f"results/runs/{run['data']}/{run['run']}/{name}" for run in RUNS.values()]


def described(wildcards):
    """The run whose folder the wildcards name."""
    run = RUNS.get(wildcards.run)
    if run is None or run["data"] != wildcards.data:
        refuse(f"{wildcards.data}/{wildcards.run} is not a run of this study; {STUDY}/study.json lists them")
    return run


def priority(wildcards):
    """Longest runs first, so that none is left alone at the end."""
    run = described(wildcards)
    return 1 + (run["N"] + run["d_model"] * run["n_vocab"]) * run["B"] * run["S"] // 10**6


def gpu_percent(wildcards):
    """Share of a GPU that a run can fill: small ones leave room for others beside them."""
    run = described(wildcards)
    if EXECUTION["device"] == "cpu":
        return 0
    alone = next((share for N, share in ((10**6, 10), (10**7, 25), (10**8, 50)) if run["N"] < N), 100)
    return alone if EXECUTION["processes"] == 1 else 100 * EXECUTION["processes"]


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


def figures(*endings):
    """Files of every figure that the study's experiments and laws allow, with each of ``endings``."""
    names = catalog.available(grid.experiments(config), study_laws(), grid.measured(config))
    return expand(f"{STUDY}/figures/{{figure}}.{{ending}}", figure=names, ending=endings)


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
