"""Sources to shards of documents: which ones, for training or held out, how mixed, their tables on disk.

A document's id is its source, its file and its number in it. Whether it is held out is told by a hash
of its text: the same for any number of shards, and for copies.
"""

import hashlib
import math
from collections import Counter
from dataclasses import asdict, replace
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scaling import parquet, provenance
from scaling.corpus import documents, near, readers, sources
from scaling.corpus.documents import DIVERSITY, LEAST, Document
from scaling.provenance import UserError

MOST = 2**30
"""Bytes of text that a shard may hold: they are in memory together, to be put in a random order."""

GROUP = 32 * 2**20
"""Bytes of text in a row group of what is written, or one document."""

SKETCHED = documents.SCHEMA.append(pa.field("sketch", near.SKETCH))
"""Columns of what is written: the documents' own, and what near-duplicates are found by."""


def make(listing, shard, shards, *, seed, test_fraction, train_bytes, test_bytes, weights=None):
    """Shard number ``shard`` (from 0) of ``shards``: (training documents, held-out documents, record).

    ``listing`` as :func:`sources.listing` gives it. Of each source a shard reads its own units, in the order
    of a hash, until it has its part of ``train_bytes``, or all of them where that is None. Documents whose
    hash is below ``test_fraction`` are held out; of these at most ``test_bytes`` / ``shards``, and one more,
    are kept, whole, of which each counts 1/DIVERSITY of ``test_bytes`` at most. ``weights``, one for each
    source, are their shares of the training bytes: all are cut at random, to the nearest document, to what
    the scarcest allows, and the held-out ones in the same way.

    Both lists are in the random order of ``seed``. The record has, for each source: documents and bytes
    that were read, that are for training, that are held out, and the number dropped by reason. Raises
    :class:`UserError` if a source has no text for this shard, or none by its weight, and for more than MOST
    bytes.
    """
    shares = np.array(weights or [1.0] * len(listing)) / sum(weights or [1.0] * len(listing))
    most = train_bytes / shards if train_bytes else math.inf
    if train_bytes and most > MOST * (1 - test_fraction):
        raise _too_large(train_bytes / (1 - test_fraction), shards)
    size_limit = _Size(listing, shard, shards)
    training, testing, record = [], [], []
    with sources.Reader() as reader:
        for source, share in zip(listing, shares, strict=True):
            found, held_out, dropped, room = [], [], Counter(), most * share
            for document in _documents(reader, source, shard, shards, seed, dropped, size_limit):
                # by its text, so that copies are on one side
                if _hash(f"held out:{seed}:{document.text}") < test_fraction:
                    held_out.append(document)
                else:
                    found.append(document)
                    room -= size(document)
                    if room <= 0:
                        break
            if not found:
                raise UserError(
                    f"{source['name']} has no text for training in shard {shard} of {shards}; set "
                    "corpus.shards to fewer, or leave the source out"
                )
            training.append(documents.shuffled(found, seed))
            testing.append(documents.shuffled(held_out, seed))
            record.append(
                {"name": source["name"], "read": _totals(found + held_out), "dropped": dict(dropped)}
            )
    read = np.array([_bytes(found) for found in training])
    wanted = shares * min(most, (read / shares).min()) if weights else np.minimum(read, most)
    training = [_nearest(found, limit) for found, limit in zip(training, wanted, strict=True)]
    for source, found in zip(listing, training, strict=True):
        if not found:
            raise UserError(
                f"of {source['name']} not one document is in shard {shard} of {shards} by its weight, beside "
                f"{', '.join(s['name'] for s in listing if s is not source)}; set corpus.shards to fewer, or "
                "corpus.train_bytes or the weight to more"
            )
    testing = [
        _nearest(held_out, _bytes(held_out) * part)
        for held_out, part in zip(testing, wanted / read, strict=True)
    ]
    test, room = [], test_bytes / shards
    for document in documents.shuffled(chain(*testing), seed):
        if room > 0:
            test.append(document)
            room -= min(size(document), test_bytes // DIVERSITY)
    for described, found in zip(record, training, strict=True):
        described["training"] = _totals(found)
        own_test = [document for document in test if document.source == described["name"]]
        described["held_out"] = _totals(
            [_beginning(document, test_bytes // DIVERSITY) for document in own_test]
        )
    record = {"shard": shard, "shards": shards, "sources": record}
    return documents.shuffled(chain(*training), seed), test, record


def own(units, shard, shards):
    """A shard's part of ``units``, pairs (file, row group): triples of file, row group and part of it.

    Laid end to end by their bytes, units are cut into ``shards`` equal stretches. One across a cut is read
    by several shards, each of which takes its share of the documents (:func:`readers.belongs`).
    """
    ends = np.cumsum([0.0, *(_cost(*unit) for unit in units)])
    first, last = (place * ends[-1] / shards for place in (shard, shard + 1))
    found = []
    for (file, group), begin, end in zip(units, ends[:-1], ends[1:], strict=True):
        part = tuple(min(1.0, max(0.0, (cut - begin) / (end - begin))) for cut in (first, last))
        if part[0] < part[1]:
            found.append((file, group, part))
    return found


def _in_order(source, seed):
    """Units of a source in the random order of ``seed``."""
    key = lambda unit: f"{source['name']}/{unit[0]['path']}:{unit[1]}"  # noqa: E731
    return documents.shuffled(sources.units(source), seed, key)


def _documents(reader, source, shard, shards, seed, dropped, size_limit):
    for file, group, part in own(_in_order(source, seed), shard, shards):
        for document in _of_unit(reader, source, file, group, part, dropped):
            size_limit.add(size(document), reader.share * _cost(file, group))
            yield document
        size_limit.done += (part[1] - part[0]) * _cost(file, group)


def _of_unit(reader, source, file, group, part, dropped):
    version = source.get("revision") or file.get("version") or file["sha256"][:12]
    for number, text in reader.texts(source, file, group, part):
        if fault := _fault(text):
            dropped[fault] += 1
        else:
            yield Document(f"{source['name']}/{file['path']}#{number}", source["name"], version, text)


def _fault(text):
    """Why a text is left out, or None."""
    if text is None:
        return "half a surrogate pair"
    if len(text.encode()) < LEAST:
        return f"under {LEAST} bytes"
    return "zero bytes" if "\0" in text else None


class _Size:
    """The bytes of text that a shard holds, and from how much of its reading they come."""

    def __init__(self, listing, shard, shards):
        self.shards = shards
        self.all = sum(_cost(*unit) for source in listing for unit in sources.units(source)) / shards
        self.held = self.done = 0

    def add(self, count, unit):
        self.held += count
        if self.held > MOST:
            raise _too_large(self.held * self.shards * max(1, self.all / (self.done + unit)), self.shards)


def _cost(file, group):
    """Bytes of a unit as listed, packed if it is packed."""
    return file["bytes"] / (1 if group is None else file["row_groups"])


def _too_large(total, shards):
    needed = max(shards + 1, math.ceil(1.1 * total / MOST))
    return UserError(
        f"corpus.shards: found {shards}, with which a shard has more than {MOST} bytes of text; "
        f"set it to {needed} or more, or corpus.train_bytes to less"
    )


def _hash(text):
    """A number in [0, 1) that only the text decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _beginning(document, limit):
    content = document.text.encode()
    if limit is None or len(content) <= limit:
        return document
    return replace(document, text=content[: readers.cut(content, limit)].decode().rstrip("\n"))


def _nearest(found, limit):
    """The first documents, as many as come nearest to ``limit`` bytes."""
    sizes = np.array([size(document) for document in found])
    return found[: np.searchsorted(np.cumsum(sizes) - sizes / 2, limit, side="right")]


def _within(found, limit, each=math.inf):
    """The first documents of at most ``limit`` bytes together, of which one counts ``each`` at most."""
    sizes = [min(size(document), each) for document in found]
    return found[: np.searchsorted(np.cumsum(sizes), limit, side="right")]


def size(document):
    """Bytes of UTF-8."""
    return len(document.text.encode())


def _bytes(found):
    return sum(map(size, found))


def _totals(found):
    return {"documents": len(found), "bytes": _bytes(found)}


def write(path, found, name, limit=None):
    """Write documents as parquet with the columns of SKETCHED, ``name`` in the column ``set``.

    Of each its beginning, up to ``limit`` bytes if there is a limit; its sketch is that of the whole.
    Written as :func:`documents.write` does, in row groups of at most GROUP bytes of text, or of one document.
    """
    options = {
        "compression": "none",
        "use_dictionary": False,
        "write_statistics": False,
        "store_schema": False,
    }
    ends = np.cumsum([size(document) for document in found])
    with provenance.whole(path) as scratch, pq.ParquetWriter(scratch, SKETCHED, **options) as writer:
        first = 0
        while first < len(found):
            before = ends[first - 1] if first else 0
            stop = max(first + 1, int(np.searchsorted(ends, before + GROUP, side="right")))
            group = found[first:stop]
            values = near.sketches([document.text for document in group])
            sketch = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), near.ENTRIES)
            rows = pa.Table.from_pylist(
                [asdict(_beginning(document, limit)) | {"set": name} for document in group],
                schema=documents.SCHEMA,
            )
            writer.write_table(
                rows.append_column(SKETCHED.field("sketch"), sketch), row_group_size=len(group)
            )
            first = stop


def test_set(paths, max_bytes, seed):
    """The documents that shards hold out, at ``paths``, as one set: at random, ``max_bytes`` at most.

    They come whole, but one counts as no more than 1/DIVERSITY of the set. Near-duplicates of earlier ones
    are dropped. Raises :class:`UserError` if there is none.
    """
    columns = [name for name in documents.SCHEMA.names if name != "set"]
    rows = [row for path in paths for row in parquet.read(path, columns=columns).to_pylist()]
    distinct = _distinct(documents.shuffled([Document(**row) for row in rows], seed))
    found = _within(distinct, max_bytes, max_bytes // DIVERSITY)
    if not found:
        raise UserError("the sources have no text held out for test; raise corpus.test_fraction, or add text")
    return found


def transfer(spec, name, max_bytes, seed):
    """Random documents of a source ``spec``, as the config has it for the set ``name``, ``max_bytes`` at
    most.

    Units are read in the random order of ``seed``, of each its beginning: 1/DIVERSITY of the set, or more
    where there are fewer units, until the set is full. A document's own beginning, up to 1/DIVERSITY of the
    set, is taken; near-duplicates of earlier ones are dropped. Raises :class:`UserError` as
    :func:`sources.listing` and if there is no text.
    """
    (source,) = sources.listing([spec], f"corpus.transfer, set {name}")
    units, found, room = _in_order(source, seed), [], max_bytes
    with sources.Reader() as reader:
        for place, (file, group) in enumerate(units):
            of_unit = max(max_bytes / DIVERSITY, room / (len(units) - place))
            for document in _of_unit(reader, source, file, group, readers.WHOLE, Counter()):
                found.append(_beginning(document, max_bytes // DIVERSITY))
                of_unit -= size(found[-1])
                room -= size(found[-1])
                if of_unit <= 0:
                    break
            if room <= 0:
                break
    found = _within(_distinct(documents.shuffled(found, seed)), max_bytes)
    if not found:
        raise UserError(f"corpus.transfer, set {name}: {source['name']} has no text; name another source")
    return found


def _distinct(found):
    """Documents without those that nearly duplicate an earlier one."""
    gone = near.duplicates(near.sketches([document.text for document in found]))
    return [document for document, duplicate in zip(found, gone, strict=True) if not duplicate]
