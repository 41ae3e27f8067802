"""Weights kept during a run: one safetensors file a snapshot, named by its step."""

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from scaling.provenance import UserError


def save(model, path):
    """Write the weights of ``model`` to ``path``."""
    save_file(model.state_dict(), path)


def load(model, path):
    """Load a snapshot into ``model``. Raises UserError where the file is damaged or of another shape."""
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be loaded ({line}); delete its run's folder and run again") from None
