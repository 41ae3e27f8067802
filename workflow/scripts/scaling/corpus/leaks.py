"""Leaks: how much of each evaluation set stands in the training text, by shingles of eight words."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from scaling import parquet, provenance
from scaling.corpus import near

HALF = 0.5
"""Least share of its shingles, seen in training, that makes a document one that leaked."""

FOUND = pa.schema([("set", pa.string()), ("shingles", pa.int64()), ("seen", pa.binary())])
"""What of each set stands in a part of the training text: the set's number of shingles, and a bit for each in
ascending order (numpy.packbits)."""

_TABLE_BITS = 26
"""A table of 2^26 bytes tells most shingles of training text from all of the sets' at one look."""


def unique(path):
    """Hashes of the unique shingles of a parquet file of documents, ascending: uint64."""
    return _distinct([hashes for batch in near.texts(path) for hashes, _ in near.shingled(batch)])


def _distinct(arrays, dtype=np.uint64):
    """Distinct values of arrays, ascending; numpy.unique takes a hundred times as long for hashes."""
    ranked = np.sort(np.concatenate([np.empty(0, dtype), *arrays]))
    return ranked[np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)]]


def seen(text_batches, sets):
    """Which shingles of ``sets`` stand in the texts: a boolean array for each, as long as it.

    ``sets``: arrays as :func:`unique` makes them. A batch of texts is in memory at a time.
    """
    known = _distinct(sets)
    bits = min(_TABLE_BITS, max(8, 3 + len(known).bit_length()))
    shift = np.uint64(64 - bits)
    table = np.zeros(2**bits, bool)
    table[_place(known, shift)] = True
    found = np.zeros(len(known), bool)
    for batch in text_batches:
        for hashes, _ in near.shingled(batch):
            likely = np.sort(hashes[table[_place(hashes, shift)]])
            at = np.searchsorted(known, likely)
            at[at == len(known)] = 0
            found[at[known[at] == likely]] = True
    return [found[np.searchsorted(known, one)] for one in sets]


def _place(hashes, shift):
    """Places in a table of 2^(64 − shift): the highest bits of a product, which depend on all of a hash's."""
    return (hashes * np.uint64(0x9E3779B97F4A7C15)) >> shift


def write(documents, sets, out, duplicates=None):
    """Write which shingles of evaluation sets stand in a part of the training text; the columns are FOUND.

    ``documents`` and ``sets`` are paths of parquet files of documents; a set has the name of its file.
    ``duplicates``: that of :func:`near.write_duplicates`; the documents it names are left out.
    """
    shingles = [unique(path) for path in sets]
    skip = () if duplicates is None else near.rows_of(duplicates, documents)
    rows = [
        {"set": Path(path).stem, "shingles": len(one), "seen": np.packbits(bits).tobytes()}
        for path, one, bits in zip(sets, shingles, seen(near.texts(documents, skip), shingles), strict=True)
    ]
    parquet.write(out, pa.Table.from_pylist(rows, schema=FOUND))


def report(parts, sets):
    """What of each evaluation set stands anywhere in the training text, by the set's name.

    ``parts``: files of :func:`write`, one for each part of the training text; ``sets``: parquet files of
    documents, the same as they were made with. ``shingles`` are unique ones, ``seen`` so many of them,
    ``share`` that part; ``documents``, and of them ``leaked`` with at least HALF of their own unique shingles
    seen. Raises UserError where a part was made with another set of a name.
    """
    read = {part: {row["set"]: row for row in parquet.read(part, schema=FOUND).to_pylist()} for part in parts}
    told = {}
    for path in sets:
        name, shingles = Path(path).stem, unique(path)
        bits = np.zeros(len(shingles), bool)
        for part, rows in read.items():
            if name not in rows or rows[name]["shingles"] != len(shingles):
                raise provenance.damaged(part, f"made with another set {name}")
            packed = np.frombuffer(rows[name]["seen"], np.uint8)
            bits |= np.unpackbits(packed, count=len(shingles)).astype(bool)
        documents, leaked = _documents(path, shingles, bits)
        total = int(bits.sum())
        told[name] = {
            "shingles": len(shingles),
            "seen": total,
            "share": round(total / len(shingles), 4) if len(shingles) else 0.0,
            "documents": documents,
            "leaked": leaked,
        }
    return told


def _documents(path, shingles, bits):
    """How many documents a set has, and how many have at least HALF of their shingles among ``bits``."""
    documents = leaked = 0
    for batch in near.texts(path):
        pairs = [
            owner * len(shingles) + np.searchsorted(shingles, hashes)
            for hashes, owner in near.shingled(batch)
        ]
        owner, at = np.divmod(_distinct(pairs, np.int64), max(1, len(shingles)))
        has = np.bincount(owner, minlength=len(batch))
        hits = np.bincount(owner, weights=bits[at], minlength=len(batch))
        documents += len(batch)
        leaked += int(((hits >= HALF * has) & (has > 0)).sum())
    return documents, leaked
