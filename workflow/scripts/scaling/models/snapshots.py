"""Weights kept during a run: one safetensors file a snapshot, named by its step."""

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from scaling import provenance


def save(weights, path):
    """Write ``weights``, a network's state_dict on the CPU, to ``path``, whole or not at all."""
    with provenance.whole(path) as scratch:
        scratch.touch()
        mode = scratch.stat().st_mode
        save_file(weights, scratch, metadata={"format": "pt"})  # transformers wants to be told
        scratch.chmod(mode)  # safetensors lets nobody but its writer read a file


def load(model, path):
    """Load a snapshot into ``model``. Raises UserError where the file is damaged or of another shape."""
    provenance.check(path)
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise provenance.damaged(path, error) from None
