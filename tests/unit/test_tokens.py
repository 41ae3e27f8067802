"""Tokenizer and token arrays: exact round trip, counts, refusals."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scaling import provenance, tokens
from scaling.corpus import near
from scaling.provenance import UserError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

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


def test_round_trip_is_exact(tokenizer, tmp_path):
    tokens.write(tmp_path / "test.npy", "test", tokenizer, [TEXTS[:2], TEXTS[2:]])
    ids, index = tokens.load(tmp_path / "test.npy")
    assert (index["documents"], index["bytes"]) == (4, sum(len(text.encode()) for text in TEXTS))
    assert ids.dtype == np.uint16
    ends = np.flatnonzero(ids == tokenizer.token_to_id(tokens.END_OF_DOCUMENT))
    assert len(ends) == 4, "only ends of documents are the mark"
    starts = [0, *(ends[:-1] + 1)]
    found = [
        tokenizer.decode(ids[a:b].tolist(), skip_special_tokens=False)
        for a, b in zip(starts, ends, strict=True)
    ]
    assert found == TEXTS


def given(tmp_path, size=300, mark="</s>"):
    """The path of a tokenizer.json of others, which cuts, fills up and marks what it is given."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<s>", mark], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=50)
    path = tmp_path / "given.json"
    tokenizer.save(str(path))
    return path


def test_a_tokenizer_of_others_neither_cuts_nor_adds(tmp_path):
    path = given(tmp_path)
    assert tokens.take_tokenizer(path, 300, "</s>") == path.read_text(encoding="utf-8")
    tokenizer = tokens.load_tokenizer(path)
    tokens.write(tmp_path / "test.npy", "test", tokenizer, [TEXTS[:1]], "</s>")
    ids, _ = tokens.load(tmp_path / "test.npy")
    assert tokenizer.decode(ids[:-1].tolist(), skip_special_tokens=False) == TEXTS[0]
    assert ids[-1] == tokenizer.token_to_id("</s>")
    with pytest.raises(UserError, match=r"n_vocab: found 512, but .* has 300 entries; set that"):
        tokens.take_tokenizer(path, 512, "</s>")
    with pytest.raises(UserError, match=r"tokenizer\.end: found no entry '<.endoftext.>'"):
        tokens.take_tokenizer(path, 300, tokens.END_OF_DOCUMENT)
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"other\.json is no tokenizer\.json"):
        tokens.take_tokenizer(tmp_path / "other.json", 300, "</s>")


def test_the_same_text_has_the_same_ids(tmp_path):
    path = given(tmp_path)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.model.dropout = 0.5
    tokenizer.save(str(path))
    assert tokens.load_tokenizer(path).model.dropout is None


def test_a_shard_without_a_document_is_read_with_the_others(tokenizer, tmp_path):
    tokens.write(tmp_path / "train/00000.npy", "train", tokenizer, [TEXTS])
    tokens.write(tmp_path / "train/00001.npy", "train", tokenizer, [[]], n_ctx=None)
    paths = [tmp_path / f"train/0000{i}.json" for i in range(2)]
    provenance.write_json(tmp_path / "train.json", tokens.join(paths, "train"))
    (first, second), index = tokens.load(tmp_path / "train.json")
    assert (len(second), index["tokens"]) == (0, len(first))
    with pytest.raises(UserError, match="train: no document is left in any shard"):
        tokens.join(paths[1:], "train")


def test_a_large_vocabulary_takes_four_bytes(tmp_path):
    vocabulary = {f"w{i}": i for i in range(2**16 + 1)} | {"</s>": 2**16 + 1}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens.write(tmp_path / "test.npy", "test", tokenizer, [["w65536 w1"]], "</s>")
    ids, index = tokens.load(tmp_path / "test.npy")
    assert (ids.dtype, index["dtype"]) == (np.uint32, "uint32")
    assert ids.tolist() == [65536, 1, 65537]


def test_ids_are_written_as_numpy_would(tokenizer, tmp_path):
    tokens.write(tmp_path / "test.npy", "test", tokenizer, [TEXTS])
    np.save(tmp_path / "whole.npy", np.array(tokens.load(tmp_path / "test.npy")[0]))
    assert (tmp_path / "test.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_set_in_shards_is_joined_by_its_index(tokenizer, tmp_path):
    documents = tmp_path / "documents.parquet"
    pq.write_table(pa.table({"text": TEXTS}), documents)
    shards = [TEXTS[:1], TEXTS[2:]]
    for i, texts in enumerate(shards):
        tokens.write(tmp_path / f"train/0000{i}.npy", "train", tokenizer, [texts])
    provenance.write_json(
        tmp_path / "train.json", tokens.join(sorted((tmp_path / "train").glob("*.json")), "train")
    )
    (first, second), index = tokens.load(tmp_path / "train.json")
    assert index["tokens"] == len(first) + len(second)
    assert index["documents"] == 3
    assert index["sha256"] != index["shards"][0]["sha256"]
    tokens.write(tmp_path / "all.npy", "train", tokenizer, near.texts(documents, skip=[1]))
    np.testing.assert_array_equal(tokens.load(tmp_path / "all.npy")[0], np.concatenate([first, second]))
    (tmp_path / "train/00001.npy").unlink()
    with pytest.raises(
        UserError, match=r"train/00001\.npy does not exist; `snakemake .*/train/00001\.npy` makes it"
    ):
        tokens.load(tmp_path / "train.json")


def test_a_tokenizer_is_trained_on_the_first_of_the_text():
    assert list(tokens.sample([["abc", "d"], ["ef"], ["g"]], limit=5)) == [["abc", "d"], ["ef"]]


def test_tokenizing_holds_one_batch_in_memory(tokenizer, tmp_path):
    def batches(count):
        for _ in range(count):
            yield TEXTS[:3] * 200

    peaks = []
    for count in (10, 40):
        tracemalloc.start()
        tokens.write(tmp_path / "test.npy", "test", tokenizer, batches(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_set_is_written_with_its_index(tokenizer, tmp_path):
    documents = tmp_path / "documents.parquet"
    pq.write_table(pa.table({"text": TEXTS}), documents)
    path = tmp_path / "test.npy"
    tokens.write(path, "test", tokenizer, near.texts(documents))
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
    with pytest.raises(UserError, match=r"test\.npy is damaged"):
        tokens.load(path)
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match=r"test.npy is damaged .*; `snakemake --force .*test\.npy`, with"):
        tokens.load(path)
