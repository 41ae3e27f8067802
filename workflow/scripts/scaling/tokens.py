"""Documents to token ids: a byte-level vocabulary, and arrays of ids for each split or transfer set."""

import os
from array import array
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from scaling import provenance
from scaling.corpus import hub
from scaling.provenance import UserError

END_OF_DOCUMENT = "<|endoftext|>"
SAMPLE_BYTES = 2**28
"""Text that a tokenizer is trained on, at most: the first of the documents, which are in random order."""


def sample(text_batches, limit=SAMPLE_BYTES):
    """The first batches of texts that have ``limit`` bytes together."""
    size = 0
    for batch in text_batches:
        yield batch
        size += sum(len(text.encode()) for text in batch)
        if size >= limit:
            return


def train_tokenizer(text_batches, n_vocab):
    """Byte-level BPE of exactly ``n_vocab`` entries: 256 bytes, merges, the end of a document.

    Raises UserError where the text has too few distinct pairs for that many entries.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_vocab,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text_batches, trainer)
    if tokenizer.get_vocab_size() < n_vocab:
        raise UserError(
            f"tokenizer.n_vocab: the training text yields {tokenizer.get_vocab_size()} entries, "
            f"expected {n_vocab}: use more text or a smaller vocabulary"
        )
    return tokenizer


def load_tokenizer(path):
    """Read a tokenizer.json so that a text is tokenized as text, the end-of-document mark in it too.

    What it would add to a text, cut off or fill up is left out. Raises UserError where the file is damaged or
    no tokenizer.
    """
    provenance.check(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises just that
        raise UserError(f"{path} is no tokenizer.json ({error})") from None
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(tokenizer.model, "dropout", None):
        tokenizer.model.dropout = None  # the same text has the same ids
    return tokenizer


def end_of_document(tokenizer_path):
    """The entry that ends a document: END_OF_DOCUMENT, or what end.txt says beside a tokenizer of others."""
    path = tokenizer_path.with_name("end.txt")
    return provenance.check(path).read_text(encoding="utf-8") if path.exists() else END_OF_DOCUMENT


def vocabulary(tokenizer):
    """Size of a vocabulary: ids are below it."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def take_tokenizer(path, n_vocab, end):
    """The tokenizer.json at ``path``, made by others, as text.

    Raises UserError where it is none, has not ``n_vocab`` entries or no entry ``end``.
    """
    tokenizer = load_tokenizer(path)
    if vocabulary(tokenizer) != n_vocab:
        raise UserError(
            f"tokenizer.n_vocab: found {n_vocab}, but {path} has {vocabulary(tokenizer)} entries; set that"
        )
    if tokenizer.token_to_id(end) is None:
        raise UserError(
            f"tokenizer.end: found no entry {end!r} in {path}, expected the one that ends a document; "
            "set tokenizer.end"
        )
    return path.read_text(encoding="utf-8")


def fetch_tokenizer(name, revision, folder):
    """Path of the tokenizer.json of a repository of the hub, fetched into ``folder``; or of a local one.

    Raises UserError where the hub cannot be reached, or has no such repository, revision or file.
    """
    missing = UserError(f"tokenizer.hub: {name} has no tokenizer.json at {revision}; name another repository")
    if hub.is_folder(name):
        path = Path(name) / "tokenizer.json"
        if not path.is_file():
            raise missing
        return path
    from huggingface_hub import errors, hf_hub_download

    def fetch():
        return hf_hub_download(name, "tokenizer.json", revision=revision, local_dir=folder)

    with hub.faults(name, revision):
        try:
            return Path(hub.patiently(fetch))
        except errors.RemoteEntryNotFoundError:
            raise missing from None


def write(path, name, tokenizer, text_batches, end=END_OF_DOCUMENT, *, n_ctx=1):
    """Write the ids of a set as ``path`` (.npy) and what it holds as JSON beside it.

    Each document is followed by the entry ``end``. Ids are uint16 where the vocabulary fits it, else uint32.
    A batch of texts is in memory at a time. Raises UserError for a set without a single document, and for
    one that does not fill two contexts of ``n_ctx`` tokens; None for a shard, which may be empty.
    """
    n_vocab, mark = vocabulary(tokenizer), tokenizer.token_to_id(end)
    dtype = np.dtype(np.uint16 if n_vocab <= 2**16 else np.uint32)
    counted = {"documents": 0, "bytes": 0, "tokens": 0}
    with provenance.whole(path) as scratch:
        with scratch.open("wb") as file:
            _header(file, dtype, 0)
            for batch in text_batches:
                ids = encode(tokenizer, batch, mark, dtype)
                file.write(ids)
                counted["documents"] += len(batch)
                counted["bytes"] += sum(len(text.encode()) for text in batch)
                counted["tokens"] += len(ids)
            if n_ctx and not counted["documents"]:
                raise UserError(f"{name}: no document to tokenize; give the set text of its kind")
            if n_ctx and (counted["tokens"] - 1) // n_ctx < 2:
                raise UserError(
                    f"{name}: {counted['tokens']} tokens are not two contexts of n_ctx {n_ctx}, the least "
                    "that gives a standard error; use more text or a shorter context"
                )
            _header(file, dtype, counted["tokens"])
        checksum = provenance.sha256(scratch)
    index = {
        "set": name,
        **counted,
        "bytes_per_token": counted["bytes"] / max(1, counted["tokens"]),
        "n_vocab": n_vocab,
        "dtype": str(dtype),
        "sha256": checksum,
    }
    provenance.write_json(path.with_suffix(".json"), index)


def encode(tokenizer, batch, mark, dtype):
    """Ids of the texts of ``batch``, each followed by ``mark``: a 1-D array of ``dtype``."""
    found = array("I")  # fills from a list in half the time that numpy takes
    for encoding in _encoded(tokenizer, batch):
        found.fromlist(encoding.ids)
        found.append(mark)
    return np.array(found, dtype)


def _encoded(tokenizer, batch):
    try:
        return tokenizer.encode_batch_fast(batch, add_special_tokens=False)
    except BaseException as error:
        # what the library did not foresee, and which is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise UserError(
            f"the tokenizer fails on a text ({' '.join(str(error).split())[:120]}); take another "
            "tokenizer.json"
        ) from None


def _header(file, dtype, count):
    """Write the header of a .npy file of ``count`` ids at its begin; it takes as much room for any number."""
    file.seek(0)
    described = {"descr": dtype.str, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, described)


def join(paths, name):
    """What the shards of the set ``name`` hold together, as one index, from those of each, beside its array.

    ``shards``: file, documents, bytes, tokens and sha256 of each, in the order of ``paths``; files are named
    from the folder above them.
    """
    indexes = [(path, provenance.read_json(path)) for path in paths]
    shards = [
        {"file": f"{path.parent.name}/{path.stem}.npy"}
        | {key: index[key] for key in ("documents", "bytes", "tokens", "sha256")}
        for path, index in indexes
    ]
    whole = {key: sum(shard[key] for shard in shards) for key in ("documents", "bytes", "tokens")}
    if not whole["documents"]:
        raise UserError(f"{name}: no document is left in any shard; give corpus.sources more text")
    return {
        "set": name,
        **whole,
        "bytes_per_token": whole["bytes"] / whole["tokens"],
        "n_vocab": indexes[0][1]["n_vocab"],
        "dtype": indexes[0][1]["dtype"],
        "sha256": provenance.digest([shard["sha256"] for shard in shards], 64),
        "shards": shards,
    }


def load(path):
    """Memory-mapped ids of a set and its index. Raises UserError where a file is missing or damaged.

    ``path``: that of its array or, for a set in shards, of its index: the ids are then a list of the
    shards' arrays.
    """
    index = provenance.read_json(path.with_suffix(".json"))
    if "shards" not in index:
        return _load(path.with_suffix(".npy"), index["tokens"]), index
    shards = [(path.parent / shard["file"], shard["tokens"]) for shard in index["shards"]]
    with ThreadPoolExecutor(4) as pool:  # checksums keep it busy: they let other threads run
        return list(pool.map(lambda shard: _load(*shard), shards)), index


def _load(path, count):
    # of the processes of one run the first looks for all
    if os.environ.get("RANK", "0") == "0" and path.exists():
        stat = path.stat()
        _check(path, stat.st_mtime_ns, stat.st_size)
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise provenance.missing(path) from None
    except (OSError, ValueError, EOFError) as error:
        raise provenance.damaged(path, error) from None
    if len(ids) != count:
        raise provenance.damaged(path, f"{len(ids)} tokens, in its index {count}")
    return ids


@cache
def _check(path, *_):
    """Check the file once as long as it stays the same: it may be large."""
    provenance.check(path)
