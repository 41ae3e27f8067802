"""Tokenizer and token arrays: exact round trip, counts, refusals."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scaling import provenance, tokens
from scaling.provenance import UserError

TEXTS = [
    "The loss falls as a power of the model size, and the power does not depend on the shape.",
    "naïve café — 漢字 🙂\ttabs and\r\nline ends,   runs of spaces  ",
    "a text that spells <|endoftext|> itself\x00and a NUL",
    "",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokens.train_tokenizer([TEXTS], 280).save(str(path))
    return tokens.load_tokenizer(path)


def test_vocabulary_is_exact_and_training_repeats(tokenizer):
    assert tokenizer.get_vocab_size() == 280
    assert tokens.train_tokenizer([TEXTS], 280).to_str() == tokens.train_tokenizer([TEXTS], 280).to_str()


def test_text_too_poor_for_the_vocabulary_is_refused():
    with pytest.raises(UserError, match=r"tokenizer\.n_vocab: the training text yields"):
        tokens.train_tokenizer([["abc"]], 300)


def test_round_trip_is_exact(tokenizer):
    ids, documents, size = tokens.encode(tokenizer, [TEXTS[:2], TEXTS[2:]])
    assert (documents, size) == (4, sum(len(text.encode()) for text in TEXTS))
    assert ids.dtype == np.uint16
    ends = np.flatnonzero(ids == tokenizer.token_to_id(tokens.END_OF_DOCUMENT))
    assert len(ends) == 4, "only ends of documents are the mark"
    starts = [0, *(ends[:-1] + 1)]
    found = [
        tokenizer.decode(ids[a:b].tolist(), skip_special_tokens=False)
        for a, b in zip(starts, ends, strict=True)
    ]
    assert found == TEXTS


def test_a_set_is_written_with_its_index(tokenizer, tmp_path):
    documents = tmp_path / "documents.parquet"
    pq.write_table(pa.table({"text": TEXTS}), documents)
    path = tmp_path / "test.npy"
    tokens.write(path, "test", tokenizer, tokens.texts(documents))
    ids, index = tokens.load(path)
    assert isinstance(ids, np.memmap)
    assert index["tokens"] == len(ids)
    assert index["bytes_per_token"] == pytest.approx(index["bytes"] / len(ids))
    assert index["sha256"] == provenance.sha256(path)


def test_faults_are_named(tokenizer, tmp_path):
    with pytest.raises(UserError, match="code: no document to tokenize"):
        tokens.write(tmp_path / "code.npy", "code", tokenizer, [])
    path = tmp_path / "test.npy"
    tokens.write(path, "test", tokenizer, [TEXTS])
    whole = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"test\.npy cannot be read"):
        tokens.load(path)
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match=r"test.npy cannot be read .*; delete it and run snakemake again"):
        tokens.load(path)
