"""How a run is asked to end early: by a signal, or by a time limit that comes near."""

import ctypes
import os
import signal
import sys
import time
from contextlib import contextmanager

EXIT_CODE = 75
"""Exit code of a run that was saved to go on later: a temporary failure (EX_TEMPFAIL of sysexits.h)."""
BEGAN = time.monotonic()
"""When this module was imported, which stands for the begin of the process: a few seconds late at most."""
PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent ends."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Interrupted(Exception):
    """A run has ended early and can go on later: one line that says why and how far it is.

    ``asked``: whether a signal has asked for it, and no time limit.
    """

    def __init__(self, line, *, asked=False):
        super().__init__(line)
        self.asked = asked


def minutes_left(minutes):
    """How many of ``minutes``, counted from the begin of this process, are left."""
    return minutes - (time.monotonic() - BEGAN) / 60


def end_with_parent(sent=signal.SIGKILL):
    """Have the kernel send ``sent`` to this process when its parent is killed, so that it does not go on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sent)


@contextmanager
def watch(minutes=None):
    """Yield a :class:`Watch` that SIGTERM, SIGUSR1 and SIGINT reach instead of ending the process.

    ``minutes``: time limit of the process, None for none. Only in the main thread. Once one has come, SIGTERM
    and SIGUSR1 stay ignored: the process is about to end.
    """
    found = Watch(minutes)
    before = {number: signal.signal(number, found.receive) for number in SIGNALS}
    try:
        yield found
    finally:
        for number, handler in before.items():
            # who asks twice, as Slurm and a pack's leader do, must not cut short the end that was asked for
            heeded = found.received and number != signal.SIGINT
            signal.signal(number, signal.SIG_IGN if heeded else handler)


class Watch:
    """Why a run has to end, as soon as there is a reason."""

    def __init__(self, minutes):
        self.minutes, self.received = minutes, []

    def receive(self, number, frame):
        """Handle a signal; a second SIGINT raises KeyboardInterrupt at once."""
        # under torchrun the terminal and torchrun each send one
        if number == signal.SIGINT and "SIGINT" in self.received and "WORLD_SIZE" not in os.environ:
            raise KeyboardInterrupt
        self.received.append(signal.Signals(number).name)

    def reason(self, margin_seconds):
        """Why the run has to end, in a few words; None if it may go on.

        A time limit is a reason from ``margin_seconds`` before it, which is what ending takes.
        """
        if self.received:
            return self.received[0]
        if self.minutes is None or time.monotonic() - BEGAN <= self.minutes * 60 - margin_seconds:
            return None
        return f"its time limit of {self.minutes:g} min is near"
