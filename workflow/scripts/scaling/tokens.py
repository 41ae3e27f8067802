"""Documents to token ids: a byte-level vocabulary, and one array of ids for each split or transfer set."""

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from scaling import provenance
from scaling.provenance import UserError

END_OF_DOCUMENT = "<|endoftext|>"


def texts(documents):
    """Batches of the texts of a parquet file of documents, in its order."""
    for batch in pq.ParquetFile(documents).iter_batches(batch_size=256, columns=["text"]):
        yield batch.column(0).to_pylist()


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
    """Read a tokenizer.json so that every text round-trips, one that spells the end-of-document mark too."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer, text_batches):
    """Ids of all documents, each followed by the end of a document: (ids, documents, bytes of text).

    ``ids`` is 1-D, uint16 where the vocabulary fits it, else uint32.
    """
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    end = tokenizer.token_to_id(END_OF_DOCUMENT)
    parts, documents, size = [np.empty(0, dtype)], 0, 0
    for batch in text_batches:
        parts += [np.array([*found.ids, end], dtype) for found in tokenizer.encode_batch_fast(batch)]
        documents += len(batch)
        size += sum(len(text.encode()) for text in batch)
    return np.concatenate(parts), documents, size


def write(path, name, tokenizer, text_batches):
    """Write the ids of a set as ``path`` (.npy) and what it holds as JSON beside it.

    Raises UserError for a set without a single document.
    """
    ids, documents, size = encode(tokenizer, text_batches)
    if not documents:
        raise UserError(f"{name}: no document to tokenize; give the set wheels that hold text of its kind")
    with provenance.whole(path) as scratch:
        np.save(scratch, ids)
    index = {
        "set": name,
        "documents": documents,
        "bytes": size,
        "tokens": len(ids),
        "bytes_per_token": size / len(ids),
        "n_vocab": tokenizer.get_vocab_size(),
        "dtype": str(ids.dtype),
        "sha256": provenance.sha256(path),
    }
    provenance.write_json(path.with_suffix(".json"), index)


def load(path):
    """Memory-mapped ids of a set and its index. Raises UserError where the file is missing or damaged."""
    index = provenance.read_json(path.with_suffix(".json"))
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it and run snakemake again") from None
    if len(ids) != index["tokens"]:
        raise UserError(
            f"{path} holds {len(ids)} tokens, its index {index['tokens']}; delete both and run again"
        )
    return ids, index
