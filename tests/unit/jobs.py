"""Training jobs as processes, as Snakemake starts them: what the tests of resuming and of torchrun share."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scaling import provenance

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
RUN = {
    "run": "tiny", "data": "here", "architecture": "transformer", "n_layer": 1, "d_model": 8, "d_ff": 32,
    "n_head": 2, "d_attn": 8, "reuse": 1, "n_ctx": 16, "n_vocab": 32, "N": 768, "dropout": 0.1, "tied": True,
    "precision": "fp32", "D": 4000, "B": 128, "S": 500, "optimizer": "adam", "learning_rate": 0.02,
    "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.0, "clip": 1.0, "schedule": "cosine",
    "warmup": 5, "horizon": 500, "final": 0.0, "cooldown": 0.2, "seed": 0, "test_tokens": 512,
    "test_points": 8,
    "noise_steps": 4, "patience": 0, "snapshots": 3,
}  # fmt: skip
EAGER_SAVES = """
from scaling import provenance
from scaling.training import job, pack
pack.START_MARGIN = 30.0
job.SAVE_EVERY, job.SAVE_SHARE = 0.0, 1e9
import train
provenance.run(train.main)
"""
"""train.py, but with a checkpoint after every step, and runs of a pack begun later than one would."""


def write_set(path, ids):
    """A set of tokens as the workflow writes it."""
    with provenance.whole(path) as scratch:
        np.save(scratch, ids)
    index = {"set": path.stem, "tokens": len(ids), "bytes_per_token": 2.0, "n_vocab": 32}
    index["sha256"] = provenance.sha256(path)
    provenance.write_json(path.with_suffix(".json"), index)
    return path


def write_data(folder):
    """A text in which each token all but decides the next, as train, test and code in ``folder``."""
    rng = np.random.default_rng(0)
    found = [0]
    for step in rng.integers(0, 3, 6000):
        found.append((found[-1] * 5 + 1 + step) % 32)
    ids = np.array(found, dtype=np.uint16)
    for name, part in (("train", ids[:5000]), ("test", ids[5000:]), ("code", ids[::-1])):
        write_set(folder / f"{name}.npy", part)


def start(folder, *arguments, run=RUN, eager=False, out="run", environment=None):
    """A started process that trains ``run`` on the data in ``folder``; ``eager``: see EAGER_SAVES.

    ``environment``: variables beside those of this process.
    """
    script = SCRIPTS / "train.py"
    if eager:
        script = folder / "eager.py"
        script.write_text(EAGER_SAVES)
    command = [sys.executable, str(script), "--run", json.dumps(run), "--out", str(folder / out)]
    command += [f"--{name}={folder / name}.npy" for name in ("train", "test")]
    command += ["--device", "cpu", *arguments]
    environment = {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"} | (environment or {})
    return subprocess.Popen(
        command, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process, timeout=120):
    """Exit code and all that a process said."""
    said, _ = process.communicate(timeout=timeout)
    return process.returncode, said


def slurm(folder, **commands):
    """Variables of a Slurm job 7 whose ``commands`` are these shell scripts, in ``folder``."""
    folder.mkdir(exist_ok=True)
    for name, script in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}


def wait_for_step(folder, step, out="run"):
    """Wait until a job has a checkpoint of ``step`` or later."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [int(p.name[4:]) for p in (folder / out / "checkpoints").glob("step*")]
        if max(found, default=-1) >= step:
            return
        time.sleep(0.002)
    raise AssertionError(f"no checkpoint of step {step} in half a minute")


def names(folder):
    """Names of what is in ``folder``, in order, but for records of checksums."""
    return sorted(path.name for path in folder.iterdir() if not provenance.RECORD.fullmatch(path.name))


def curve(folder, out="run"):
    """The learning curve of a finished run, a list of dicts."""
    return pq.read_table(folder / out / "curve.parquet").to_pylist()


def weights(folder, out="run"):
    """Bytes of each snapshot of a finished run, by name."""
    return {path.name: path.read_bytes() for path in (folder / out / "snapshots").iterdir()}


def weights_of_states(folder):
    """Bytes of the tensors that the trunk in ``folder`` kept for its branches, by name."""
    return {
        path.parent.name: path.read_bytes() for path in folder.glob("snapshots/state-*/tensors.safetensors")
    }


def trained(folder, run):
    """``folder`` with the data, and with ``run`` trained by one process in ``whole``."""
    write_data(folder)
    code, said = finish(start(folder, run=run, out="whole"))
    assert code == 0, said
    return folder
