"""The networks; :func:`build` makes the one that a run describes."""

from scaling.models.lstm import LSTM
from scaling.models.transformer import Transformer

COMMON = ("n_layer", "d_model", "n_vocab", "n_ctx", "dropout", "tied", "precision")
TRANSFORMER = (*COMMON, "d_ff", "n_head", "d_attn", "reuse")
FIELDS = {
    "transformer": (Transformer, TRANSFORMER),
    "recurrent": (Transformer, TRANSFORMER),
    "lstm": (LSTM, COMMON),
}


def build(run):
    """The network of a run, freshly initialised from torch's global random state."""
    network, fields = FIELDS[run["architecture"]]
    return network(**{name: run[name] for name in fields})
