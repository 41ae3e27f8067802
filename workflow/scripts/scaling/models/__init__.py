"""The networks; :func:`build` makes the one that a run describes."""

from scaling.models.transformer import Transformer

COMMON = ("d_model", "n_vocab", "n_ctx", "dropout", "tied", "precision")
TRANSFORMER = (*COMMON, "n_layer", "d_ff", "n_head", "d_attn")
FIELDS = {
    "transformer": (Transformer, TRANSFORMER),
    "recurrent": (Transformer, (*TRANSFORMER, "reuse")),
}


def build(run):
    """The network of a run, freshly initialised from torch's global random state."""
    network, fields = FIELDS[run["architecture"]]
    return network(**{name: run[name] for name in fields})
