"""One run on two processes: the same losses as on one, also when the number changes on the way."""

import json
import signal
import time
from pathlib import Path

import jobs
import numpy as np
import pytest
import torch
from scaling.provenance import UserError
from scaling.training import launch
from scaling.training.interruption import EXIT_CODE

RUN = jobs.RUN | {
    "dropout": 0.0, "S": 60, "horizon": 60, "n_layer": 2, "learning_rate": 0.003, "epsilon": 1e-3,
}  # fmt: skip
"""Gentle steps, which do not blow up the rounding that another order of sums brings."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return jobs.trained(tmp_path_factory.mktemp("jobs"), RUN)


def assert_close(folder, out, other="whole"):
    mine, theirs = jobs.curve(folder, out), jobs.curve(folder, other)
    assert [point["step"] for point in mine] == [point["step"] for point in theirs]
    for a, b in zip(mine, theirs, strict=True):
        for name in ("test_loss", "train_loss", "test_loss_se", "grad_norm"):
            assert a[name] == pytest.approx(b[name], rel=1e-4)
    noise = [np.mean([point["gradient_variance"] for point in curve]) for curve in (mine, theirs)]
    assert noise[0] == pytest.approx(noise[1], rel=0.5)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_does(data, parallel):
    code, said = jobs.finish(
        jobs.start(data, "--processes", "2", "--threads", "2", "--parallel", parallel, run=RUN, out=parallel)
    )
    assert code == 0, said
    assert f"2 processes, {parallel}" in said
    assert_close(data, parallel)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_compiled_processes_learn_what_one_does(data, parallel):
    out, two = f"compiled-{parallel}", ("--processes", "2", "--threads", "2", "--parallel", parallel)
    code, said = jobs.finish(jobs.start(data, *two, "--compile", "True", run=RUN, out=out), timeout=300)
    assert code == 0, said
    assert "compiled, as the config says" in said
    assert_close(data, out)


def test_micro_batches_on_two_processes_learn_the_same(data):
    arguments = ("--processes", "2", "--threads", "2", "--micro-batch", "2", "--parallel", "ddp")
    code, said = jobs.finish(jobs.start(data, *arguments, run=RUN, out="micro"))
    assert code == 0, said
    assert_close(data, "micro")


def test_a_killed_launcher_takes_its_processes_along(data):
    """Orphans would train on and hold the folder against the next start."""
    two = ("--processes", "2", "--threads", "2")
    process = jobs.start(data, *two, run=RUN | {"S": 100000, "horizon": 100000}, eager=True, out="orphans")
    jobs.wait_for_step(data, 5, out="orphans")
    holder = json.loads((data / "orphans" / "training.lock").read_text())["pid"]
    process.kill()
    process.communicate()
    until = time.monotonic() + 20
    while Path(f"/proc/{holder}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{holder}").exists()


def test_more_processes_than_gpus_are_refused_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    several = {"run": RUN, "out": tmp_path, "device": "cuda", "minutes": 0, "requeue": False}
    with pytest.raises(UserError, match=r"execution\.processes: found 8, expected at most the 4 GPUs"):
        launch.launch(several | {"processes": 8, "nodes": 1})
    monkeypatch.setenv(launch.MASTER, "here:1")
    monkeypatch.setenv("SLURM_NODEID", "0")
    line = r"execution\.processes: found 10 on 2 nodes, 5 on each, expected at most the 4 GPUs"
    with pytest.raises(UserError, match=line):
        launch.launch(several | {"processes": 10, "nodes": 2})


@pytest.mark.parametrize(
    ("before", "after", "optimizer"),
    [(1, 2, "adam"), (2, 1, "adam"), (2, 1, "adafactor"), (1, 2, "adafactor")],
)
def test_a_run_goes_on_with_another_number_of_processes(data, before, after, optimizer):
    run = RUN | {"optimizer": optimizer, "patience": 9}
    out, reference = f"{before}-{after}-{optimizer}", f"whole-{optimizer}"
    if not (data / reference).exists():
        assert jobs.finish(jobs.start(data, run=run, out=reference))[0] == 0
    two = ("--processes", "2", "--threads", "2", "--parallel", "fsdp")
    process = jobs.start(data, *(two if before == 2 else ()), run=run, eager=True, out=out)
    jobs.wait_for_step(data, 10, out=out)
    process.send_signal(signal.SIGTERM)
    code, said = jobs.finish(process)
    assert code == EXIT_CODE, said
    assert "SIGTERM: saved after step" in said
    code, said = jobs.finish(jobs.start(data, *(two if after == 2 else ()), run=run, out=out))
    assert code == 0, said
    assert "goes on after step" in said
    assert_close(data, out, reference)
