"""Near-duplicate documents: those whose sketch nearly equals that of an earlier one.

A sketch is the MinHash of a text's shingles of eight words (Broder 1997): of two texts, the share of equal
entries estimates their Jaccard similarity, the shingles they share over those of either. Candidates are
found by bands of entries (Indyk and Motwani 1998).
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scaling import parquet, provenance
from scaling.corpus import dedup
from scaling.provenance import UserError

ENTRIES = 32
"""Entries of a sketch."""
BANDS = 8
"""Bands of a sketch. Two texts are compared if a whole band of theirs is equal: 98 % of pairs of similarity
0.8 are, 40 % at 0.5, 6 % at 0.3."""
EQUAL = 26
"""Least equal entries of duplicates, of 32: a share of 0.8. That many have 96 % of pairs of similarity 0.9,
54 % at 0.8, 11 % at 0.7, 3 in 10,000 at 0.5."""
LOOK_BACK = 64
"""Most earlier documents with which one is compared in a band: the last before it whose band is equal."""
PIECE = 2**20
"""Characters of text that are in memory at once, with what is made of them."""
SKETCH = pa.list_(pa.uint32(), ENTRIES)
"""Type of the column `sketch` of a parquet file of documents."""
FOUND = pa.schema([("part", pa.string()), ("row", pa.int64())])
"""Documents to leave out: the name of a part, without its ending, and a row of it from 0."""

_MULTIPLIERS = np.array(
    [
        int.from_bytes(hashlib.sha256(f"sketch {i}".encode()).digest()[:8], "little") | 1
        for i in range(ENTRIES)
    ],
    dtype=np.uint64,
)
_ROWS = 2**15
"""Pairs of sketches that are compared at once."""


def texts(path, skip=()):
    """Batches of the texts of a parquet file of documents, in its order, without the rows to ``skip``.

    A batch has PIECE characters at most, or is a single document.
    """
    skip, found, size = set(skip), [], 0
    for row, text in enumerate(_column(path, "text")):
        if row in skip:
            continue
        if found and size + len(text) > PIECE:
            yield found
            found, size = [], 0
        found.append(text)
        size += len(text)
    if found:
        yield found


def _column(path, name):
    # mapped, or the whole of the column in a row group would be read at once
    for batch in parquet.opened(path, memory_map=True).iter_batches(batch_size=16, columns=[name]):
        yield from batch.column(0).to_pylist()


def shingled(texts):
    """Batches of the shingles of texts: hashes (uint64) and the index of the text of each (int64), ascending.

    A batch is of PIECE characters at most. A text longer than that is cut into pieces, each shingled by
    itself: words across a cut make no shingle.
    """
    pieces, owners, size = [], [], 0
    for owner, text in enumerate(texts):
        for start in range(0, max(1, len(text)), PIECE):
            piece = text[start : start + PIECE]
            if size + len(piece) > PIECE:
                yield _shingles(pieces, owners)
                pieces, owners, size = [], [], 0
            pieces.append(piece)
            owners.append(owner)
            size += len(piece)
    if pieces:
        yield _shingles(pieces, owners)


def _shingles(pieces, owners):
    hashes, owner = dedup.shingles(pieces)
    return hashes, np.array(owners)[owner]


def sketches(texts):
    """Sketches of a list of texts: uint32 (documents, ENTRIES), the same in every process and machine.

    A text of one shingle or none is known by its bytes: its sketch equals another's only if the texts do.
    """
    found = np.full((len(texts), ENTRIES), 2**32 - 1, np.uint32)
    counts = np.zeros(len(texts), np.int64)
    for hashes, owner in shingled(texts):
        starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1])[: len(owner)])
        counts += np.bincount(owner, minlength=len(texts))
        mixed = _mixed(hashes)
        for entry, multiplier in enumerate(_MULTIPLIERS if len(starts) else ()):
            least = np.minimum.reduceat((mixed * multiplier) >> np.uint64(32), starts)
            found[owner[starts], entry] = np.minimum(found[owner[starts], entry], least.astype(np.uint32))
    for row in np.flatnonzero(counts <= 1):
        digest = hashlib.shake_128(texts[row].encode()).digest(4 * ENTRIES)
        found[row] = np.frombuffer(digest, "<u4")
    return found


def _mixed(hashes):
    """Hashes spread over all bits (the finalizer of MurmurHash3), since a product carries upwards only."""
    hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return hashes ^ (hashes >> np.uint64(33))


def duplicates(sketches):
    """Which documents duplicate an earlier one, by their sketches in order: a boolean array (documents,).

    A document duplicates an earlier one if at least EQUAL entries of their sketches are equal, among them a
    band, and fewer than LOOK_BACK documents that have that band as well lie between them. What is itself a
    duplicate counts as earlier all the same: a chain of small edits leaves its first link only. Beside the
    sketches, needs some 40 bytes a document: bands are taken one at a time.
    """
    gone = np.zeros(len(sketches), bool)
    width = ENTRIES // BANDS
    for band in range(BANDS):
        keys = np.zeros(len(sketches), np.uint64)
        for entry in range(band * width, (band + 1) * width):
            keys = _mixed(keys + sketches[:, entry])
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
        del keys
        # place p of the order has as many documents of its own key before it as p − first[p]
        linked = np.append(False, ranked[1:] == ranked[:-1])[: len(ranked)]
        del ranked
        later = np.flatnonzero(linked)
        opening = np.flatnonzero(~linked)
        before = later - opening[np.searchsorted(opening, later) - 1]
        del linked, opening
        for distance in range(1, LOOK_BACK + 1):
            still = (before >= distance) & ~gone[order[later]]
            later, before = later[still], before[still]
            if not len(later):
                break
            for start in range(0, len(later), _ROWS):
                a = order[later[start : start + _ROWS]]
                b = order[later[start : start + _ROWS] - distance]
                gone[a] |= (sketches[a] == sketches[b]).sum(1) >= EQUAL
    return gone


def read_sketches(paths):
    """Sketches of the documents of parquet files, one after another, and how many each file has.

    Only their column is read. Raises UserError for a file without it and for two of one name.
    """
    files = [parquet.opened(path) for path in paths]
    names = [Path(path).stem for path in paths]
    for path, name, file in zip(paths, names, files, strict=True):
        if "sketch" not in file.schema_arrow.names:
            raise provenance.damaged(path, "no column sketch")
        if names.count(name) > 1:
            raise UserError(f"{path} has the name of another part, {name}; give each part once")
    counts = [file.metadata.num_rows for file in files]
    found, row = np.empty((sum(counts), ENTRIES), np.uint32), 0
    for path, file in zip(paths, files, strict=True):
        for batch in file.iter_batches(batch_size=_ROWS, columns=["sketch"]):
            # parquet itself knows no lists of one length
            entries = batch.column(0).flatten()
            if len(entries) != ENTRIES * len(batch):
                raise provenance.damaged(path, "sketches of another length")
            found[row : row + len(batch)] = entries.to_numpy().reshape(-1, ENTRIES)
            row += len(batch)
    return found, counts


def write_duplicates(paths, out):
    """Write which training documents to leave out, with the columns of FOUND; return counts by part.

    ``paths``: first the test documents, which all stay, then the parts of the training text in order, so
    that a training document that duplicates a test document is the one that goes. Counts: documents and
    duplicates of each part, by name. Raises UserError as :func:`read_sketches` does.
    """
    sketched, counts = read_sketches(paths)
    gone = duplicates(sketched)
    first = np.cumsum([0, *counts])
    parts, told = [], {}
    for path, start, end in zip(paths[1:], first[1:-1], first[2:], strict=True):
        rows = np.flatnonzero(gone[start:end])
        told[Path(path).stem] = {"documents": int(end - start), "duplicates": len(rows)}
        names = pa.repeat(pa.scalar(Path(path).stem), len(rows))
        parts.append(pa.table([names, pa.array(rows, pa.int64())], schema=FOUND))
    parquet.write(out, pa.concat_tables([FOUND.empty_table(), *parts]))
    return told


def rows_of(path, part):
    """Rows of ``part`` (its path or name) that the file of duplicates at ``path`` names: int64, ascending."""
    table = parquet.read(path, schema=FOUND)
    return table.filter(pc.field("part") == Path(part).stem)["row"].to_numpy()
