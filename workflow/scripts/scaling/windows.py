"""Which tokens a step sees: a function of the seed and the step alone, whatever ran before."""

import numpy as np

from scaling.provenance import UserError


class Windows:
    """The sequences of a training set, in an order shuffled anew each epoch.

    ``ids`` is a 1-D integer array (memory-mapped or not), cut into windows of ``n_ctx + 1`` tokens that
    overlap by one, so that every token but the first is predicted once an epoch.
    Raises UserError where ``ids`` does not fill one window.
    """

    def __init__(self, ids, *, n_ctx, seed):
        self.count = whole_windows(ids, n_ctx, "train")
        self.ids, self.n_ctx, self.seed = ids, n_ctx, seed
        self._order = (None, None)

    def batch(self, step, sequences):
        """Token ids of ``step`` (0-based), int64, shape (sequences, n_ctx + 1)."""
        wanted = np.arange(step * sequences, (step + 1) * sequences)
        epochs, positions = wanted // self.count, wanted % self.count
        chosen = np.empty(sequences, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = self._epoch(int(epoch))[positions[here]]
        return gather(self.ids, chosen * self.n_ctx, self.n_ctx)

    def _epoch(self, epoch):
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(self.count))
        return self._order[1]


def whole_windows(ids, n_ctx, name):
    """How many windows ``ids`` fills; raises UserError, naming the set, where it fills none."""
    count = (len(ids) - 1) // n_ctx
    if count < 1:
        raise UserError(
            f"{name}: {len(ids)} tokens do not fill one context of n_ctx {n_ctx} and the token after it; "
            "use more text or a shorter context"
        )
    return count


def gather(ids, starts, n_ctx):
    """Windows of ``n_ctx + 1`` tokens beginning at ``starts``: int64, shape (len(starts), n_ctx + 1)."""
    return ids[starts[:, None] + np.arange(n_ctx + 1)].astype(np.int64)


def spread(ids, *, n_ctx, tokens, name):
    """Windows that hold ``tokens`` predicted tokens, evenly spread over ``ids``, the same for every run.

    Shape (sequences, n_ctx + 1); all of ``ids`` where it is shorter. Raises UserError where the set
    called ``name`` does not fill two windows.
    """
    available = whole_windows(ids, n_ctx, name)
    wanted = min(available, tokens // n_ctx)
    if wanted < 2:
        raise UserError(
            f"{name}: {min(len(ids), tokens)} tokens are not two contexts of n_ctx {n_ctx}, the least that "
            "gives a standard error; use more text, a shorter context, or a larger test_tokens"
        )
    return gather(ids, np.linspace(0, available - 1, wanted).round().astype(np.int64) * n_ctx, n_ctx)
