"""Writing a shard of ids beside the tokenizers library's own encoding of batches, and two shards at once.

Contenders are processes of one thread each, which are kept alive and work in turn, so that what else the
machine does meets them alike.
"""

import functools
import multiprocessing
import os
import statistics
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from scaling import grid, provenance, tokens
from scaling.benchmark.study import copy_checkout
from scaling.corpus import near
from scaling.provenance import UserError

VOCABULARIES = (512, 32768)
BATCH = 1000
"""Documents of a batch of the library's."""
ROUNDS = 7
SETTINGS = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""One thread, the caller's: what a shard's job has, and what the library is quickest with on one core."""


def training_text(root, snakemake, scratch):
    """Path of the default study's training documents: those of the checkout at ``root``, if they are made.

    Else a copy of it in ``scratch`` makes them. Raises UserError where that fails.
    """
    config = grid.default(root)
    config["corpus"]["lock"] = str(root / config["corpus"]["lock"])
    wanted = Path("results/data") / grid.corpus_id(config) / "documents/train.parquet"
    if (root / wanted).exists():
        return root / wanted
    copy_checkout(root, scratch)
    if subprocess.run([snakemake, "--cores", "all", wanted], cwd=scratch, check=False).returncode:
        raise UserError(f"the documents in {scratch} were not made; the last lines above say why")
    return scratch / wanted


# --- the contenders, in processes of their own -----------------------------------------------------------


def _settle():
    os.environ.update(SETTINGS)


@functools.cache
def _tokenizer(path):
    return tokens.load_tokenizer(path)


@functools.cache
def _batches(documents):
    texts = [text for batch in near.texts(documents) for text in batch]
    return [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]


def library(tokenizer, documents, out):
    """Seconds in which the library encodes batches of texts that are in memory; nobody reads the ids."""
    encoder, batches = _tokenizer(tokenizer), _batches(documents)
    began = time.perf_counter()
    for batch in batches:
        encoder.encode_batch_fast(batch, add_special_tokens=False)
    return time.perf_counter() - began


def shard(tokenizer, documents, out):
    """Seconds from a parquet file of documents to a shard of ids and its index on disk."""
    encoder = _tokenizer(tokenizer)
    began = time.perf_counter()
    tokens.write(out, out.stem, encoder, near.texts(documents))
    return time.perf_counter() - began


# --- measuring -------------------------------------------------------------------------------------------


def compete(tokenizer, documents, scratch, rounds=ROUNDS):
    """Seconds by contender and round, a dict of lists.

    ``library`` and ``shard`` work alone; ``libraries`` and ``shards`` are two of a kind at once, each on
    all of the text, until both are done.
    """
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=context, initializer=_settle))
            for _ in range(2)
        ]

        def work(what, count):
            jobs = [
                pool.submit(what, tokenizer, documents, Path(scratch) / f"{place}.npy")
                for place, pool in enumerate(pools[:count])
            ]
            return max(job.result() for job in jobs)

        contenders = {
            "library": (library, 1),
            "shard": (shard, 1),
            "libraries": (library, 2),
            "shards": (shard, 2),
        }
        for what in (library, shard):
            work(what, 2)
        seconds = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, (what, count) in contenders.items():
                seconds[name].append(work(what, count))
    return seconds


def figures_of(n_vocab, size, seconds):
    """The figures of one vocabulary from what :func:`compete` returns, for a text of ``size`` bytes.

    Rates in bytes per second, the median of the rounds. ``ratio``: a shard's over the library's.
    ``speedup``: what two jobs get done in the time in which one does one alone; ``library_speedup`` that of
    the library, which shows what the machine has for two.
    """
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    by_round = [a / b for a, b in zip(seconds["library"], seconds["shard"], strict=True)]
    return {
        "n_vocab": n_vocab,
        "library": size / middle["library"],
        "shard": size / middle["shard"],
        "ratio": middle["library"] / middle["shard"],
        "range": [min(by_round), max(by_round)],
        "speedup": 2 * middle["shard"] / middle["shards"],
        "library_speedup": 2 * middle["library"] / middle["libraries"],
    }


def measure(root, snakemake, scratch, documents=None, vocabularies=VOCABULARIES, rounds=ROUNDS):
    """Figures of tokenization as a dict, with ``documents`` or, if none are given, the default study's."""
    scratch.mkdir(parents=True, exist_ok=True)
    documents = documents or training_text(root, snakemake, scratch / "study")
    size = sum(len(text.encode()) for batch in near.texts(documents) for text in batch)
    found = []
    for n_vocab in vocabularies:
        tokenizer = scratch / f"{n_vocab}.json"
        tokens.train_tokenizer(near.texts(documents), n_vocab).save(str(tokenizer))
        found.append(figures_of(n_vocab, size, compete(tokenizer, documents, scratch, rounds)))
    versions = provenance.versions("tokenizers", "pyarrow", "numpy")
    return {"versions": versions, "bytes": size, "rounds": rounds, "vocabularies": found}


def describe(figures):
    """The figures of :func:`measure` as a table for the terminal."""
    lines = [
        f"tokenizing {figures['bytes'] / 1e6:.1f} MB on one thread, medians of {figures['rounds']} rounds:"
        " MB/s of the library's own batches and of writing a shard,",
        "their ratio, in brackets its range over the rounds, and how much more two at once get done than one",
        f"{'n_vocab':>7} {'library':>8} {'shard':>8} {'ratio':>6}",
    ]
    for found in figures["vocabularies"]:
        low, high = found["range"]
        lines.append(
            f"{found['n_vocab']:>7} {found['library'] / 1e6:>8.2f} {found['shard'] / 1e6:>8.2f}"
            f" {found['ratio']:>6.2f} ({low:.2f} to {high:.2f}); two shards × {found['speedup']:.2f},"
            f" two of the library's × {found['library_speedup']:.2f}"
        )
    return "\n".join(lines)
