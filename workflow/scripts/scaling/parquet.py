"""Parquet files, as stages give them to each other: written whole, read as they were written."""

import pyarrow as pa
import pyarrow.parquet as pq

from scaling import provenance


def write(path, table):
    """Write a pyarrow Table, whole or not at all."""
    with provenance.whole(path) as scratch:
        pq.write_table(table, scratch)


def read(path, **options):
    """A pyarrow Table of the file at ``path``; raises UserError naming it if it is missing or damaged.

    ``options`` are those of pyarrow.parquet.read_table.
    """
    return _by(pq.read_table, path, options)


def opened(path, **options):
    """The file at ``path``, a pyarrow ParquetFile, to be read in parts; raises UserError as :func:`read`."""
    return _by(pq.ParquetFile, path, options)


def _by(reader, path, options):
    provenance.check(path)
    try:
        return reader(path, **options)
    except FileNotFoundError:
        raise provenance.missing(path) from None
    except (pa.ArrowException, OSError) as error:
        raise provenance.damaged(path, error) from None
