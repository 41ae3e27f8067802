"""Weights kept during a run: one safetensors file a snapshot, named by its step."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from scaling import provenance

LARGEST_HEADER = 2**22
"""Bytes that name some 30,000 tensors. The library allows 100 MB, which take 2 GB to read."""


def read(path):
    """The tensors of a safetensors file by name.

    Raises SafetensorError for a file that is none, or whose header is larger than LARGEST_HEADER.
    """
    with Path(path).open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > LARGEST_HEADER:
        raise SafetensorError(f"its header has {header:,} bytes, at most {LARGEST_HEADER:,} are read")
    return load_file(path)


def save(weights, path):
    """Write ``weights``, a network's state_dict on the CPU, to ``path``, whole or not at all.

    Raises UserError where the disk refuses.
    """
    with provenance.whole(path) as scratch:
        scratch.touch()
        mode = scratch.stat().st_mode
        try:
            save_file(weights, scratch, metadata={"format": "pt"})  # transformers wants to be told
        except SafetensorError as error:
            line = str(error).splitlines()[0]
            raise provenance.UserError(
                f"{path} cannot be written ({line}); run snakemake again when it can"
            ) from None
        scratch.chmod(mode)  # safetensors lets nobody but its writer read a file


def load(model, path):
    """Load a snapshot into ``model``. Raises UserError for a damaged file, and other shapes or dtypes."""
    provenance.check(path)
    try:
        weights, wanted = read(path), model.state_dict()
        for name in weights.keys() & wanted.keys():
            # load_state_dict would convert it without a word
            if weights[name].dtype != wanted[name].dtype:
                found = f"{name} is {weights[name].dtype}, expected {wanted[name].dtype}"
                raise provenance.damaged(path, found)
        model.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise provenance.damaged(path, error) from None
