"""What a process computes on, and how it uses its CPU."""

import ctypes
import fcntl
import math
import os
import platform
import tempfile
import time
from pathlib import Path

import torch

from scaling.provenance import UserError

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def choose(wanted):
    """The type of device, cpu or cuda, that ``wanted`` (auto, cpu, cuda) means on this machine.

    Raises UserError where a GPU is asked for and torch sees none.
    """
    seen = torch.cuda.is_available()
    if wanted == "cuda" and not seen:
        raise UserError("execution.device: found cuda, but torch sees no GPU here; say auto or cpu")
    return "cuda" if wanted != "cpu" and seen else "cpu"


def claim(percent):
    """The number of a GPU of which this process may take ``percent`` until it ends; waits for one.

    Processes that start together would all find the same GPU empty. Tenths of each GPU are therefore locked
    files, which the kernel unlocks when a process ends, however that happens.
    """
    tenths = min(10, max(1, math.ceil(percent / 10)))
    while True:
        for gpu in range(torch.cuda.device_count()):
            name = f"frontier-{os.getuid()}-{torch.cuda.get_device_properties(gpu).uuid}"
            slots = [Path(tempfile.gettempdir()) / f"{name}-{slot}" for slot in range(10)]
            held = list(filter(None, map(_lock, slots)))
            if len(held) >= tenths:
                _CLAIMED.extend(held[:tenths])
                return gpu
            del held
        time.sleep(1)


_CLAIMED = []


def _lock(path):
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def settle(threads):
    """Use ``threads`` threads; treat numbers too small for full precision as zero; keep freed memory.

    Underflowing activations would otherwise slow a step tenfold. Memory that glibc gives back to the system
    after every tensor comes back a page at a time, zeroed: a tenth of a small model's training time.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 2**25)  # the largest that glibc accepts
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 2**26)
