"""Which tokens a step sees: a function of the seed and the step alone, whatever ran before."""

import numpy as np

from scaling.provenance import UserError


class Windows:
    """The sequences of a training set, in an order shuffled anew each epoch.

    ``ids``: a 1-D integer array (memory-mapped or not), or a list of them, its shards. Each is cut into
    windows of ``n_ctx + 1`` tokens that overlap by one, so that every token but the first is predicted once
    an epoch. Of them as many are used as ``D`` tokens fill (None: all), in proportion from all shards: a
    smaller D is part of a larger one. Raises UserError where that is not one window.
    """

    def __init__(self, ids, *, n_ctx, seed, D=None):
        shards = ids if isinstance(ids, list) else [ids]
        tokens = sum(map(len, shards)) if D is None else D
        whole = [max(0, len(shard) - 1) // n_ctx for shard in shards]
        self.count = min(sum(whole), (tokens - 1) // n_ctx)
        if self.count < 1:
            raise _too_short("train", tokens, n_ctx)
        self.shards, self.n_ctx, self.seed = shards, n_ctx, seed
        self.ends = np.cumsum(leading(whole, self.count))
        self._order = (None, None)

    def batch(self, step, sequences):
        """Token ids of ``step`` (0-based), int64, shape (sequences, n_ctx + 1)."""
        wanted = np.arange(step * sequences, (step + 1) * sequences)
        epochs, positions = wanted // self.count, wanted % self.count
        chosen = np.empty(sequences, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = self._epoch(int(epoch))[positions[here]]
        owners = np.searchsorted(self.ends, chosen, side="right")
        found = np.empty((sequences, self.n_ctx + 1), dtype=np.int64)
        for owner in np.unique(owners):
            here = owners == owner
            first = self.ends[owner - 1] if owner else 0
            found[here] = gather(self.shards[owner], (chosen[here] - first) * self.n_ctx, self.n_ctx)
        return found

    def _epoch(self, epoch):
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(self.count))
        return self._order[1]


def leading(sizes, count):
    """How many of the first of each of ``sizes`` to take, ``count`` in all, in proportion to them.

    Each next one is taken where (taken + 1/2) / size is least, as seats go to parties by Webster's method:
    what a smaller count takes, a larger one takes too. ``count`` is at most the sum of ``sizes``.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    # where that rule has come to a little before the end
    share = max(0.0, (count - len(sizes)) / sizes.sum())
    taken = np.minimum(sizes, np.floor(sizes * share + 0.5).astype(np.int64))
    for _ in range(count - taken.sum()):
        with np.errstate(divide="ignore", invalid="ignore"):
            ranks = np.where(taken < sizes, (taken + 0.5) / sizes, np.inf)
        taken[np.argmin(ranks)] += 1
    return taken


def whole_windows(ids, n_ctx, name):
    """How many windows ``ids`` fills; raises UserError, naming the set, where it fills none."""
    count = (len(ids) - 1) // n_ctx
    if count < 1:
        raise _too_short(name, len(ids), n_ctx)
    return count


def _too_short(name, tokens, n_ctx):
    return UserError(
        f"{name}: {tokens} tokens do not fill one context of n_ctx {n_ctx} and the token after it; "
        "use more text or a shorter context"
    )


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
