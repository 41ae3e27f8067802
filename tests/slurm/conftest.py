"""A Slurm, and studies that are driven through it by `snakemake --profile slurm`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cluster
import pyarrow.parquet as pq
import pytest
from project import Project, with_corpus

SITE = {"gpus_per_node": cluster.GPUS, "cpus_per_node": 4, "memory_gb": 8, "nodes": 2, "hours": 1}
DIFFERS = ("seconds", "tokens_per_second", "resumed", "versions")
"""How names of a run's record begin whose values differ from one training to the next."""


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The Slurm, running."""
    if lacking := cluster.missing():
        pytest.exit(f"make test-slurm needs {lacking}", returncode=1)
    with cluster.Cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture(autouse=True)
def idle(lab):
    """Each test starts on an idle cluster, and leaves no job of its own."""
    yield
    lab.cancel_all()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A project whose documents and tokens are made, here and without Slurm."""
    project = with_corpus(tmp_path_factory.mktemp("prepared"), tmp_path_factory.mktemp("wheels"))
    study = Study(project)
    study.write({"size": {"shape": [{"n_layer": 1, "d_model": 8, "n_head": 1}]}})
    made = project.snakemake("--until", "tokens")
    assert made.returncode == 0, made.stdout
    save_often(project.root)
    look_often(project.root)
    return project


def look_often(root):
    """Let Snakemake look at its jobs every two seconds, where its pauses would grow to minutes."""
    rules = root / "workflow/rules/common.smk"
    remote = "snakemake_interface_executor_plugins.executors.remote"
    pauses = "property(lambda self: 2, lambda self, value: None)"
    rules.write_text(
        f"{rules.read_text()}\n\nfrom {remote} import RemoteExecutor\n\n"
        f"RemoteExecutor.next_seconds_between_status_checks = {pauses}\n"
    )


def save_often(root):
    """Let runs save every two seconds, so that one of a fast machine has saved before it ends."""
    source = root / "workflow/scripts/scaling/training/job.py"
    text = source.read_text()
    assert "\nSAVE_EVERY = 10.0\n" in text
    source.write_text(text.replace("\nSAVE_EVERY = 10.0\n", "\nSAVE_EVERY = 2.0\n"))


@pytest.fixture
def study(prepared, tmp_path):
    """A :class:`Study` of its own in a copy of the prepared project."""
    return Study.copied(prepared, tmp_path / "project")


class Study:
    """A study in a project of its own, and the Snakemake that drives it."""

    def __init__(self, project):
        self.project, self.driver, self.log = project, None, project.root / "driver.log"

    @classmethod
    def copied(cls, prepared, root):
        shutil.copytree(prepared.root, root, symlinks=True)
        shutil.copy(prepared.root / "corpus.yaml", root)
        project = Project(root, prepared.environment["PIP_FIND_LINKS"])
        return cls(project)

    def write(self, grid, site=(), execution=()):
        """The study's file: experiments as ``grid`` has them, all of them run."""

        def change(study):
            study |= {"study": "lab", "experiments": list(grid), "grid": grid, "fits": {"resamples": 100}}
            study |= {"site": SITE | dict(site), "execution": dict(execution)}

        self.project.study(change)

    def start(self, *arguments, resources=()):
        """Start Snakemake as a user of the cluster would; GPUs here cannot compute, so runs do it on CPUs."""
        command = [str(Path(sys.executable).parent / "snakemake"), *arguments, "--profile", "slurm"]
        command += ["--configfile", "studies/smoke.yaml", "test.yaml"]
        command += ["--set-resources", "train:device=cpu", "evaluate:device=cpu", *resources]
        command += ["--slurm-init-seconds-before-status-checks", "2"]
        with self.log.open("a") as log:
            self.driver = subprocess.Popen(
                command, cwd=self.project.root, env=self.project.environment, stdout=log, stderr=log
            )
        return self

    def end(self, seconds=240):
        """Wait for Snakemake to end; returns its exit code."""
        return self.driver.wait(seconds)

    def finish(self, *arguments):
        """Drive the study to its end."""
        assert self.start(*arguments).end() == 0, self.told

    @property
    def told(self):
        return self.log.read_text()

    @property
    def runs(self):
        """Records of runs by name."""
        found = (json.loads(path.read_text()) for path in sorted(self.root.glob("results/runs/*/*/run.json")))
        return {record["run"]: record for record in found}

    @property
    def root(self):
        return self.project.root

    def steps(self):
        """Steps of the newest checkpoint of each run in training, by folder."""
        found = {}
        for path in self.root.glob("results/runs/*/*/checkpoints/step*/state.json"):
            folder, step = path.parents[2], int(path.parent.name.removeprefix("step"))
            found[folder] = max(step, found.get(folder, 0))
        return found

    def wait_for_checkpoints(self, runs):
        """Come back when so many runs have saved a checkpoint; returns their steps by folder."""

        def saved():
            assert self.driver.poll() is None, self.told
            return len(self.steps()) >= runs

        cluster.wait_for(saved, f"checkpoints of {runs} runs", seconds=120)
        return self.steps()


def learned(root):
    """What the runs below ``root`` have learned: all their files hold but times, by run and file."""
    found = {}
    for folder in sorted(root.glob("results/runs/*/*")):
        record = json.loads((folder / "run.json").read_text())
        found[folder.name, "record"] = {k: v for k, v in record.items() if not k.startswith(DIFFERS)}
        for name in ("curve", "evaluation"):
            found[folder.name, name] = pq.read_table(folder / f"{name}.parquet").to_pydict()
        for path in sorted((folder / "snapshots").iterdir()):
            found[folder.name, path.name] = path.read_bytes()
    return found


def work_left_behind(root):
    """Files of training that a finished study does not have."""
    names = ("checkpoints", "training.lock", "progress.json")
    return [path for name in names for path in root.glob(f"results/runs/*/*/{name}")]
