"""Near-duplicate paragraphs: those of which half the shingles of eight words stand in an earlier one."""

import numpy as np

SHINGLE = 8
"""Words of a shingle."""

SEEN = 0.5
"""Least share of a paragraph's shingles, seen in earlier paragraphs, that makes it a duplicate."""

FACTOR = 0x9E3779B97F4A7C15
"""Base of the polynomial hash modulo 2^64; odd, so that it has an inverse."""

_LOWERED = np.frombuffer(bytes(range(256)).lower(), dtype=np.uint8).astype(np.uint64)
_IN_WORD = np.array([code >= 128 or bytes([code]).isalnum() for code in range(256)])


def shingles(paragraphs):
    """Hashes of the shingles of a list of strings, and the index of the paragraph that each stands in.

    Two arrays of one shape (number of shingles,), uint64 and int64. Case and punctuation do not count;
    a paragraph of fewer than SHINGLE words is one shingle. The hashes are the same in every process.
    """
    encoded = [paragraph.encode() for paragraph in paragraphs]
    characters = np.frombuffer(b"\n".join(encoded), dtype=np.uint8)
    in_word = _IN_WORD[characters]
    places = np.flatnonzero(in_word)
    starts = np.flatnonzero(~np.append(False, in_word[:-1])[places])
    values = _LOWERED[characters[places]]
    values[starts] += np.uint64(256)
    sums = np.append(np.uint64(0), np.cumsum(values * _powers(FACTOR, len(values))))
    ends = np.append(starts[1:], len(values))

    borders = np.cumsum([len(text) + 1 for text in encoded])
    owner = np.searchsorted(borders, places[starts], side="right")
    counts = np.bincount(owner, minlength=len(encoded))
    last = (np.cumsum(counts) - 1)[owner]
    words = np.arange(len(starts))
    kept = (words + SHINGLE - 1 <= last) | (words == last - counts[owner] + 1)
    closing = ends[np.minimum(words + SHINGLE - 1, last)]
    unshift = _powers(pow(FACTOR, -1, 2**64), len(values))[starts]
    hashes = (sums[closing] - sums[starts]) * unshift
    return hashes[kept], owner[kept]


def duplicates(hashes, owner, count):
    """Which of ``count`` paragraphs duplicate an earlier one: a boolean array of shape (count,).

    ``hashes`` and ``owner`` as from :func:`shingles`, owners ascending. What is itself a duplicate has
    been seen all the same: a chain of small edits leaves its first link only.
    """
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    fresh = np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)]
    first = owner[order][np.flatnonzero(fresh)[np.cumsum(fresh) - 1]]
    seen = np.bincount(owner[order], weights=first < owner[order], minlength=count)
    shingle_counts = np.bincount(owner, minlength=count)
    return (seen >= SEEN * shingle_counts) & (shingle_counts > 0)


def _powers(base, count):
    return np.cumprod(np.append(np.uint64(1), np.full(count, base, dtype=np.uint64)))[:count]
