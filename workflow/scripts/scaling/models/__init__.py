"""The networks, one module an architecture; :func:`build` makes the one that a run describes."""

from scaling.models.transformer import Transformer

SHAPE = ("n_layer", "d_model", "d_ff", "n_head", "n_ctx", "n_vocab")


def build(run):
    """The network of a run, freshly initialised from torch's global random state."""
    return Transformer(**{name: run[name] for name in SHAPE})
