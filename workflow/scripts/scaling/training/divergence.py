"""When a training loss has left its history for good."""

import math
from collections import deque


class History:
    """The training losses of a run, watched for a loss that does not come back.

    Diverged is a loss that is not finite, and one that stays for a whole window of steps above a level: the
    best window's mean plus half of what had been learnt until then, at least a twentieth of the first loss.
    A spike that returns within the window is none. The window is a twentieth of the run, 20 to 1000 steps.
    """

    def __init__(self, steps):
        self.window = min(1000, max(20, steps // 20))
        self.first = self.best = None
        self.recent = deque(maxlen=self.window)

    def diverged(self, loss):
        """Take the next step's loss (nats per token); whether the run has diverged with it."""
        if not math.isfinite(loss):
            return True
        if self.first is None:
            self.first = self.best = loss
        self.recent.append(loss)
        if len(self.recent) < self.window:
            return False
        level = self.best + max((self.first - self.best) / 2, self.first / 20)
        self.best = min(self.best, sum(self.recent) / self.window)
        return min(self.recent) > level

    def state(self):
        """What :meth:`restore` needs, as JSON."""
        return {"first": self.first, "best": self.best, "recent": list(self.recent)}

    def restore(self, state):
        """Go on from what :meth:`state` gave."""
        self.first, self.best = state["first"], state["best"]
        self.recent.extend(state["recent"])
