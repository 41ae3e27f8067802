"""How a training job starts: in this process, or in several that torchrun starts and watches."""

import os
import signal
import sys

from scaling.training import interruption
from scaling.training.interruption import Interrupted


def launch(arguments):
    """Train as ``arguments``, the command line of this process as a dict, say; return the exit code.

    0 for a run that has ended, :data:`interruption.EXIT_CODE` for one that was saved to go on later, another
    for a failure. With several processes, torchrun starts the same command in each.
    """
    if arguments["processes"] > 1 and "WORLD_SIZE" not in os.environ:
        return _torchrun(arguments["processes"])
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


def _torchrun(processes):
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    # torchrun passes SIGTERM on to its processes and would die of SIGUSR1
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        torchrun(["--standalone", "--nproc-per-node", str(processes), "--", *sys.argv])
    except SignalException:
        return interruption.EXIT_CODE
    except ChildFailedError as failed:
        return failed.get_first_failure()[1].exitcode
    return 0
