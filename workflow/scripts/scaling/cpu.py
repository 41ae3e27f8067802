"""How a process uses its CPU: threads, tiny numbers, freed memory."""

import ctypes
import platform

import torch

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


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
