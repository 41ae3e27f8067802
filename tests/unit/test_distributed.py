"""One run on two processes: the same losses as on one, also when the number changes on the way."""

import signal

import jobs
import numpy as np
import pytest
from scaling.training.interruption import EXIT_CODE

RUN = jobs.RUN | {
    "dropout": 0.0, "S": 60, "horizon": 60, "n_layer": 2, "learning_rate": 0.003, "epsilon": 1e-3,
}  # fmt: skip
"""Gentle steps, which do not blow up the rounding that another order of sums brings."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder with the data and a run on one process, in ``whole``."""
    folder = tmp_path_factory.mktemp("jobs")
    jobs.write_data(folder)
    code, said = jobs.finish(jobs.start(folder, run=RUN, out="whole"))
    assert code == 0, said
    return folder


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


def test_micro_batches_on_two_processes_learn_the_same(data):
    arguments = ("--processes", "2", "--threads", "2", "--micro-batch", "2", "--parallel", "ddp")
    code, said = jobs.finish(jobs.start(data, *arguments, run=RUN, out="micro"))
    assert code == 0, said
    assert_close(data, "micro")


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
