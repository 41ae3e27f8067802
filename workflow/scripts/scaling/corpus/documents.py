"""Wheels to documents: one a file, de-duplicated, split, in a random order, in a table."""

import hashlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scaling import parquet, provenance
from scaling.corpus import dedup, extract, near
from scaling.corpus.wheels import Wheel

LEAST = 100
"""Bytes; a shorter document says nothing."""

LARGE = 32_000
"""Bytes; a longer document belongs in train, or it alone would be a large part of the test set."""

DIVERSITY = 16
"""A document of a transfer set is at most this part of the set."""

SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "source", "version", "set", "text")])


@dataclass(frozen=True)
class Document:
    """The text taken from one file of a wheel; ``id`` is the source and the file's path in the wheel."""

    id: str
    source: str
    version: str
    text: str


def prose(paths, processes=1):
    """Docstring prose of the wheels at ``paths``: a list of documents, one a module, sorted by id.

    Duplicate paragraphs are gone. Which of two stays goes by id alone, so that neither the order of
    ``paths`` nor ``processes`` matters. Raises :class:`UserError` for a package given twice and if the
    wheels hold no prose.
    """
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            found = list(pool.map(_modules, paths))
    else:
        found = [_modules(path) for path in paths]
    _distinct(wheel[0][1] for wheel in found if wheel)
    modules = sorted((module for wheel in found for module in wheel), key=lambda module: module[0])
    if not modules:
        raise provenance.UserError(f"no prose in {', '.join(map(str, paths))}; name other wheels")

    first = np.cumsum([0, *(len(paragraphs) for *_, paragraphs, _, _ in modules)])
    owners = [owner + start for (*_, owner), start in zip(modules, first[:-1], strict=True)]
    hashes = [hashes for *_, hashes, _ in modules]
    gone = dedup.duplicates(np.concatenate(hashes), np.concatenate(owners), first[-1])
    documents = []
    for (*origin, paragraphs, _, _), start in zip(modules, first[:-1], strict=True):
        kept = [paragraph for place, paragraph in enumerate(paragraphs, start) if not gone[place]]
        documents.append(Document(*origin, "\n\n".join(kept)))
    return [document for document in documents if _size(document) >= LEAST]


def _modules(path):
    """Every module of a wheel that holds prose: id, source, version, paragraphs, shingles, their owners."""
    with Wheel(path) as wheel:
        found = []
        for name in extract.names(wheel, "prose"):
            paragraphs = extract.pieces(wheel, "prose", name)
            if paragraphs:
                origin = (f"{wheel.source}/{name}", wheel.source, wheel.version)
                found.append((*origin, paragraphs, *dedup.shingles(paragraphs)))
        return found


def split(documents, test_fraction):
    """Documents as (train, test), whole folders in the order of a hash of their path.

    Of every source, folders go to test while they fit in ``test_fraction`` of its bytes: so the two have
    the same composition, and neighbours stay together. Documents over LARGE go to train. Raises
    :class:`UserError` if a split is left empty.
    """
    room, folders = Counter(), {}
    for document in documents:
        room[document.source] += test_fraction * _size(document)
        if _size(document) <= LARGE:
            folders.setdefault(document.id.rpartition("/")[0], []).append(document)
    test = []
    for folder in sorted(folders, key=lambda folder: hashlib.sha256(folder.encode()).digest()):
        size = sum(map(_size, folders[folder]))
        source = folders[folder][0].source
        if size <= room[source]:
            room[source] -= size
            test += folders[folder]
    tested = {document.id for document in test}
    train = [document for document in documents if document.id not in tested]
    if not (train and test):
        raise provenance.UserError(
            f"of {len(documents)} documents {len(train)} are for training and {len(test)} for test; "
            f"name more wheels or change the test fraction, {test_fraction}"
        )
    return train, test


def shuffled(items, seed, key=lambda document: document.id):
    """Items in the random order of ``seed``, the same for an item whatever stands beside it."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{key(item)}".encode()).digest())


def transfer(paths, kind, max_bytes, seed):
    """Random documents of one ``kind`` from the wheels at ``paths``, in random order, max_bytes at most.

    Files are read in the random order of ``seed`` until the set is full. A piece of text that an earlier
    file holds is dropped, and a file gives its first pieces up to 1/DIVERSITY of the set. Raises
    :class:`UserError` for a package given twice and if the wheels hold no such text.
    """
    documents, seen, total = [], set(), 0
    with ExitStack() as stack:
        opened = [stack.enter_context(Wheel(path)) for path in paths]
        _distinct(wheel.source for wheel in opened)
        files = [(wheel, name) for wheel in opened for name in extract.names(wheel, kind)]
        for wheel, name in shuffled(files, seed, key=lambda file: f"{file[0].source}/{file[1]}"):
            pieces = [
                piece for piece in dict.fromkeys(extract.pieces(wheel, kind, name)) if piece not in seen
            ]
            seen.update(pieces)
            text = _leading(pieces, max_bytes // DIVERSITY)
            document = Document(f"{wheel.source}/{name}", wheel.source, wheel.version, text)
            if _size(document) < LEAST:
                continue
            total += _size(document)
            if total > max_bytes:
                break
            documents.append(document)
    if not documents:
        raise provenance.UserError(
            f"no text of the kind {kind!r} in {', '.join(map(str, paths))}; name other wheels"
        )
    return documents


def _leading(pieces, limit):
    """The first pieces, blank lines between them, that fit in ``limit`` bytes."""
    ends = np.cumsum([len(piece.encode()) + 2 for piece in pieces]) - 2
    return "\n\n".join(pieces[: np.searchsorted(ends, limit, side="right")])


def _distinct(sources):
    for source, count in Counter(sources).items():
        if count > 1:
            raise provenance.UserError(f"{count} wheels of {source} are given; give one")


def _size(document):
    """Bytes of UTF-8."""
    return len(document.text.encode())


def write(path, documents, name):
    """Write documents as parquet with the columns of SCHEMA, ``name`` in the column ``set``.

    Uncompressed and without statistics or notes, so that only the version of pyarrow can change a byte.
    """
    rows = [asdict(document) | {"set": name} for document in documents]
    with provenance.whole(path) as scratch:
        pq.write_table(
            pa.Table.from_pylist(rows, schema=SCHEMA),
            scratch,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            store_schema=False,
        )


def manifest(parts, wheels, leaked, listing=(), duplicates=None):
    """What a corpus is made of, as one JSON value.

    ``parts``: paths of the parquet files of each set, by name, ``wheels`` those of the wheels, ``leaked``
    what :func:`scaling.corpus.leaks.report` tells; ``listing`` is sources.json and ``duplicates`` the path of
    the documents to leave out, where the text is that of sources.

    ``wheels``: source, version, declared licence, sha256 and bytes of each, by source; ``sources``: the same
    of what else is read, with its ``files``: a version is a commit of the hub, or tells its files. ``sets``,
    by name: documents, bytes of text, sha256 of the file and of the text (ids and texts, each ended by a zero
    byte: independent of pyarrow), the share of the largest document and of each source in the bytes.
    ``leaks``: see there.
    """
    described = []
    for path in wheels:
        with Wheel(path) as wheel:
            record = {"source": wheel.source, "version": wheel.version, "licence": wheel.licence}
        described.append(record | {"sha256": provenance.sha256(path), "bytes": Path(path).stat().st_size})
    _distinct(record["source"] for record in described)
    return {
        "wheels": sorted(described, key=lambda record: record["source"]),
        "sources": [_origin(source) for source in listing],
        "sets": {name: _described(paths, duplicates) for name, paths in parts.items()},
        "leaks": leaked,
    }


def _origin(source):
    version = source.get("revision") or provenance.digest(source["files"], 12)
    return {key: source[key] for key in ("licence", "files")} | {"source": source["name"], "version": version}


def _described(paths, duplicates):
    """What ``manifest`` tells of the set in the parquet files at ``paths``."""
    count = total = largest = 0
    shares, content = Counter(), hashlib.sha256()
    for path in paths:
        gone = set(near.rows_of(duplicates, path)) if duplicates else ()
        for row, (name, source, text) in enumerate(_rows(path)):
            if row in gone:
                continue
            size = len(text.encode())
            count, total, largest = count + 1, total + size, max(largest, size)
            shares[source] += size
            content.update(f"{name}\0{text}\0".encode())
    checksums = [provenance.sha256(path) for path in paths]
    return {
        "documents": count,
        "bytes": total,
        "sha256": checksums[0] if len(paths) == 1 else provenance.digest(checksums, 64),
        "text_sha256": content.hexdigest(),
        "largest_share": round(largest / total, 4),
        "source_shares": {source: round(size / total, 4) for source, size in sorted(shares.items())},
    }


def _rows(path):
    """Id, source and text of each document of a parquet file, a batch of them in memory at a time."""
    for batch in parquet.opened(path).iter_batches(batch_size=256, columns=["id", "source", "text"]):
        yield from zip(*(batch.column(name).to_pylist() for name in ("id", "source", "text")), strict=True)
