"""How a training job starts: in this process, or in several that torchrun starts and watches."""

import ctypes
import os
import signal
import sys

import torch

from scaling import devices
from scaling.provenance import UserError
from scaling.training import interruption
from scaling.training.interruption import Interrupted

SHUTDOWN_SECONDS = "3600"
"""How long torchrun waits, after passing on SIGTERM, for its processes to save; then it kills them."""
PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent ends."""


def launch(arguments):
    """Train as ``arguments``, the command line of this process as a dict, say; return the exit code.

    0 for a run that has ended, :data:`interruption.EXIT_CODE` for one that was saved to go on later, another
    for a failure. With several processes, torchrun starts the same command in each.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _end_with_parent()
    elif arguments["processes"] > 1:
        return _torchrun(arguments["processes"], arguments["device"])
    from scaling.training import job

    settings = {
        "device": arguments["device"],
        "threads": max(1, arguments["threads"] // arguments["processes"]),
        "micro_batch": arguments["micro_batch"],
        "parallel": arguments["parallel"],
        "compile": arguments["compile"],
        "minutes": arguments["minutes"],
        "gpu_percent": arguments["gpu_percent"],
    }
    files = {name: arguments[name] for name in ("train", "test")}
    try:
        job.train(arguments["run"], folder=arguments["out"], settings=settings, **files)
    except Interrupted as line:
        if os.environ.get("RANK", "0") == "0":
            print(line, flush=True)
        return interruption.EXIT_CODE
    return 0


def _end_with_parent():
    """Have the kernel end this process when torchrun is killed: nobody would start the others again."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _torchrun(processes, device):
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    if devices.choose(device) == "cuda" and processes > torch.cuda.device_count():
        found = (
            f"found {processes}, expected at most the {torch.cuda.device_count()} GPUs that torch sees here"
        )
        raise UserError(f"execution.processes: {found}")
    # torchrun passes SIGTERM on to its processes and would die of SIGUSR1
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SHUTDOWN_SECONDS)
        torchrun(["--standalone", "--nproc-per-node", str(processes), "--", *sys.argv])
    except SignalException:
        return interruption.EXIT_CODE
    except ChildFailedError as failed:
        return failed.get_first_failure()[1].exitcode
    return 0
