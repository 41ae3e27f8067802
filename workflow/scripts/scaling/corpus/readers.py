"""Files of text to documents, one after another, in memory that does not grow with the file.

A file's kind is told by its ending: ``.txt`` is one document or more, ``.jsonl`` (and ``.json``, as data
sets of the hub name the same thing) has an object in each line, ``.parquet`` has columns. All but the last
may be packed (``.gz``, ``.zst``).
"""

import io
import json
import re
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.provenance import UserError

ENDINGS = re.compile(r"\.(txt|jsonl?|parquet)(?:(?<!parquet)\.(gz|zst))?$", re.IGNORECASE)
KNOWN = ".txt, .jsonl, .json (a line an object), each also .gz or .zst, and .parquet"

LONGEST = 64 * 2**10
"""Bytes of the longest document of a ``.txt``; what is longer is cut."""

LIMIT = 64 * 2**20
"""Bytes that a line of JSON, or a document, may have; more is taken for damage."""

MOST_PACKED = 250
"""How many times its packed bytes a column of parquet may have, if over 4 LIMIT; text packs to a tenth."""

SEPARATOR = re.compile(rb"(?m:^)<\|endoftext\|>[ \t]*\r?(?:\n|\Z)")
"""A line that ends a document."""

BOM = b"\xef\xbb\xbf"
BLOCK = 2**20
CODECS = {"gz": "gzip", "zst": "zstd"}


def kind(path):
    """What a file is, by its ending: ``(txt|jsonl|parquet, gz|zst|None)``; raises UserError for another."""
    found = ENDINGS.search(path)
    if not found:
        raise UserError(f"{path} is of no known kind; expected {KNOWN}")
    name, packed = found[1].lower(), found[2] and found[2].lower()
    return "jsonl" if name == "json" else name, packed


WHOLE = (0.0, 1.0)
"""All of a file: see :func:`belongs`."""
SPREAD = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: multiples of it, modulo 2^64, lie evenly however many there are."""


def belongs(number, part):
    """Whether the document ``number`` of a file is in its ``part`` (a, b), the share of them from a to b.

    Parts that meet have no document in common, and all of them have every document.
    """
    return part[0] <= (number * SPREAD % 2**64) / 2**64 < part[1]


def texts(file, path, column, part=WHOLE):
    """Documents of an open binary ``file`` that is no parquet: pairs of the document's number and its text.

    Those that do not belong to ``part`` are passed over. A text is None where it
    has no UTF-8 form. Raises :class:`UserError` for an empty or damaged file (a packed one that ends too
    soon included), broken UTF-8, a line that is no JSON object, has no ``column`` or other than text in it,
    and for what is longer than LIMIT.
    """
    what, packed = kind(path)
    with _damage(path):
        if packed:
            file = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), CODECS[packed])
        buffered = io.BufferedReader(file, BLOCK)
        if not buffered.peek(1):
            raise UserError(f"{path} is empty; remove it or leave it out of corpus.sources")
        found = _lines(buffered, path, column, part) if what == "jsonl" else _plain(buffered, path, part)
        yield from found


@contextmanager
def _damage(path):
    try:
        yield
    except (pa.ArrowException, EOFError) as error:
        raise UserError(f"{path} is damaged or cut short ({_line(error)}); fetch or pack it again") from None
    except OSError as error:
        if type(error) is not OSError:
            raise  # not of pyarrow's decompression: a fault of the hub, which its caller explains
        raise UserError(f"{path} is damaged or cut short ({_line(error)}); fetch or pack it again") from None


def _line(error):
    return " ".join(str(error).split())[:120]


def _plain(file, path, part):
    for number, (offset, piece) in enumerate(_pieces(file)):
        if belongs(number, part):
            yield number, _decoded(piece, f"{path} at byte", offset)


def _pieces(file):
    """Pieces of at most LONGEST bytes, and the offset of each: cut at separators, and where too long."""
    held, start, before, ended = b"", 0, 0, False
    while not ended or start < len(held):
        found = SEPARATOR.search(held, start, start + LONGEST + 64)
        if found and (ended or found.end() < min(len(held), start + LONGEST + 64)):
            stop, following = found.start(), found.end()
        elif len(held) - start > LONGEST + 64 or (ended and len(held) - start > LONGEST):
            stop = following = start + cut(held[start : start + LONGEST + 1], LONGEST)
        elif ended:
            stop = following = len(held)
        else:
            block = file.read(BLOCK)
            before, held, start, ended = before + start, held[start:] + block, 0, not block
            continue
        if stop > start:
            yield before + start, held[start:stop]
        start = following


def cut(text, limit):
    """Where to cut UTF-8 ``text``, bytes, so that at most ``limit`` of them stay.

    After the last blank line there, else after a line, else between two characters.
    """
    if len(text) <= limit:
        return len(text)
    for end in (b"\n\n", b"\n\r\n", b"\n"):
        place = text.rfind(end, 0, limit)
        if place > 0:
            return place + len(end)
    while limit > 1 and text[limit] & 0xC0 == 0x80:
        limit -= 1
    return limit


def _decoded(content, where, offset=0):
    if offset == 0:
        content = content.removeprefix(BOM)
    try:
        return content.decode().replace("\r\n", "\n").strip("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} {offset + error.start} is no UTF-8; convert the file to UTF-8") from None


def _lines(file, path, column, part):
    number = -1
    while line := file.readline(LIMIT + 1):
        number += 1
        if len(line) > LIMIT:
            raise UserError(
                f"{path} line {number + 1} is longer than {LIMIT} bytes; cut it or leave the file out"
            )
        if not belongs(number, part) or line.isspace():
            continue
        where = f"{path} line {number + 1}"
        try:
            value = json.loads((line.removeprefix(BOM) if number == 0 else line).decode())
        except UnicodeDecodeError:
            raise UserError(f"{where} is no UTF-8; convert the file to UTF-8") from None
        except (ValueError, RecursionError):
            raise UserError(f"{where} is no JSON; expected an object in each line") from None
        if not isinstance(value, dict):
            raise UserError(f"{where} is no JSON object; expected one in each line")
        if column not in value:
            raise _no_column(where, column, value)
        yield number, _text(value[column], f"{where}, column {column!r},")


def _no_column(where, column, known):
    listed = ", ".join(map(repr, known))[:200]
    return UserError(f"{where} has no column {column!r}; set `column` to one of {listed}")


def _text(value, where):
    """A document's text; the empty text where it is null, None where it has half a surrogate pair."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{where} is no text but {type(value).__name__}; set `column` to one of text")
    if len(value) > LIMIT:
        raise UserError(f"{where} is longer than {LIMIT} characters; leave the file out")
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value.replace("\r\n", "\n")


def parquet(file, path, column):
    """An open parquet file; raises :class:`UserError` if it is damaged, empty, or has no text there.

    And where a row group of it says that it unpacks to more than MOST_PACKED times its bytes.
    """
    with _damage(path):
        opened = pq.ParquetFile(file, pre_buffer=True)
        schema = opened.schema_arrow
    if column not in schema.names:
        raise _no_column(path, column, schema.names)
    found = schema.field(column).type
    of = found.value_type if pa.types.is_dictionary(found) else found
    if not (pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of)):
        raise UserError(f"{path}: column {column!r} is {found}; set `column` to one of text")
    if not opened.metadata.num_rows:
        raise UserError(f"{path} is empty; remove it or leave it out of corpus.sources")
    for group in range(opened.metadata.num_row_groups):
        described = opened.metadata.row_group(group)
        columns = map(described.column, range(described.num_columns))
        sizes = next(one for one in columns if one.path_in_schema == column)
        if sizes.total_uncompressed_size > max(4 * LIMIT, MOST_PACKED * sizes.total_compressed_size):
            raise UserError(
                f"{path}: column {column!r} unpacks to {sizes.total_uncompressed_size} bytes in row group "
                f"{group}, more than {MOST_PACKED} times what is there; leave the file out"
            )
    # what stands in a file once, for many rows, is then in memory once
    return pq.ParquetFile(file, metadata=opened.metadata, pre_buffer=True, read_dictionary=[column])


def rows(opened, path, column, group, part=WHOLE):
    """Documents of one row group of an open parquet file, as :func:`texts`: pairs of row in the file and
    text.

    Only the bytes of the one column in the one group are read.
    """
    first = sum(opened.metadata.row_group(place).num_rows for place in range(group))
    number = -1
    with _damage(path):
        for batch in opened.iter_batches(256, row_groups=[group], columns=[column]):
            for value in batch.column(0):
                number += 1
                if belongs(number, part):
                    where = f"{path} row {first + number}"
                    try:
                        value = value.as_py()
                    except UnicodeDecodeError:
                        raise UserError(f"{where} is no UTF-8; convert the file to UTF-8") from None
                    yield first + number, _text(value, f"{where}, column {column!r},")
