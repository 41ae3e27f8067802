"""Sources of text that are no wheels: what each holds now, and reading any part of it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from scaling import grid, provenance
from scaling.corpus import debian, hub, readers
from scaling.provenance import UserError

AT_ONCE = 8
"""Files of the hub whose ends are read at the same time, to see what they hold."""

KEPT_OPEN = 32
"""Files of parquet that a reader keeps open: the next row group then costs only its own bytes."""


def listing(specs, where="corpus.sources"):
    """What the sources ``specs``, as the config has them at ``where``, hold now: a list, one mapping for
    each.

    ``name`` (unique among them), ``kind`` (hub, files, debian), ``column`` and ``licence`` as declared; of
    the hub also ``hub`` and ``revision``, the commit; ``files`` in a fixed order, each with ``path``,
    ``bytes``, ``sha256`` or git's ``blob_id``, and ``row_groups`` if it is parquet. Every further step
    reads this and asks for nothing else, so that a branch that moves on in the meantime changes nothing.
    Raises :class:`UserError` for what is not there, of unknown kind, empty, or without text in the column.
    """
    found = []
    for place, spec in enumerate(specs):
        source = grid.source(spec)
        (kind,) = {"hub", "files", "debian"} & set(source)
        described = {"name": _name(source), "kind": kind, "licence": "not declared"}
        if kind == "hub":
            described |= {"hub": source["hub"], "column": source["column"]} | hub.resolve(source)
        elif kind == "files":
            paths = grid.local_files(spec, f"{where}[{place}]")
            files = [{"path": path, "bytes": Path(path).stat().st_size} for path in paths]
            described |= {"column": source["column"], "files": files}
        else:
            described["files"] = debian.listed(source["debian"])
        if described["name"] in [other["name"] for other in found]:
            raise UserError(f"{where}: found {described['name']} twice, expected each source once")
        described["files"] = _checked(described)
        found.append(described)
    return found


def _name(source):
    if "hub" in source:
        subset = f" ({source['subset']})" if source["subset"] else ""
        split = f" {source['split']}" if source["split"] != "train" else ""
        return source["hub"] + subset + split
    return ", ".join(source.get("files", ())) or f"Debian {', '.join(source['debian'])}"


def _checked(source):
    """Files of a source in order of their paths; what can be told before reading them is checked."""
    files = sorted(source["files"], key=lambda file: file["path"])
    if source["kind"] == "debian":
        return files
    for file in files:
        readers.kind(file["path"])
        if not file["bytes"]:
            raise UserError(f"{file['path']} of {source['name']} is empty; remove it or leave it out")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda numbered: _inspected(source, *numbered), enumerate(files)))


def _inspected(source, place, file):
    with opened(source, file) as handle:
        if readers.kind(file["path"])[0] == "parquet":
            table = readers.parquet(handle, file["path"], source["column"])
            file = file | {"row_groups": table.metadata.num_row_groups}
        elif place == 0 or source["kind"] == "files":
            next(readers.texts(handle, file["path"], source["column"]), None)
    if _is_local(source):
        file = file | {"sha256": provenance.sha256(_local(source, file))}
    return file


def _is_local(source):
    return source["kind"] == "files" or hub.is_folder(source["hub"])


def _local(source, file):
    return Path(source.get("hub", "")) / file["path"]


@contextmanager
def opened(source, file):
    """A file of the hub or of this machine, open for reading bytes.

    Raises :class:`UserError` as :func:`hub.faults`, also for what happens inside the block, and for a local
    file that has another size than was listed.
    """
    if _is_local(source):
        path = _local(source, file)
        if not path.is_file() or path.stat().st_size != file["bytes"]:
            raise UserError(f"{path} has changed since it was listed; run snakemake again")
        with path.open("rb") as handle:
            yield handle
        return
    whole = readers.kind(file["path"])[0] != "parquet"
    with (
        _faults(source),
        hub.opened(source["hub"], source["revision"], file["path"], whole) as handle,
    ):
        yield handle


def _faults(source):
    return hub.faults(source["hub"], source["revision"]) if source["kind"] == "hub" else nullcontext()


def units(source):
    """What can be read by itself: pairs (file, row group) of parquet, (file, None) of others, in order."""
    return [
        (file, group)
        for file in source["files"]
        for group in (range(file["row_groups"]) if "row_groups" in file else [None])
    ]


class Reader:
    """Reads units of sources one after another; what it has open of parquet is closed with it."""

    def __init__(self):
        self._tables = {}
        self._progress = lambda: 1.0

    @property
    def share(self):
        """How much of the unit's file is read, 0 to 1, where it is read from beginning to end; else 1."""
        return self._progress()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _, stack in self._tables.values():
            stack.close()

    def texts(self, source, file, group, part=readers.WHOLE):
        """Documents of a unit: pairs of a number, unique in the file, and text, as :func:`readers.texts`."""
        self._progress = lambda: 1.0
        if source["kind"] == "debian":
            yield from debian.texts(file, part)
        elif group is None:
            with opened(source, file) as handle:
                self._progress = lambda: handle.tell() / file["bytes"]
                yield from readers.texts(handle, file["path"], source["column"], part)
        else:
            with _faults(source):
                yield from readers.rows(
                    self._table(source, file), file["path"], source["column"], group, part
                )

    def _table(self, source, file):
        key = source["name"], file["path"]
        if key not in self._tables:
            while len(self._tables) >= KEPT_OPEN:
                _, stack = self._tables.pop(next(iter(self._tables)))
                stack.close()
            with ExitStack() as stack:
                handle = stack.enter_context(opened(source, file))
                table = readers.parquet(handle, file["path"], source["column"])
                self._tables[key] = table, stack.pop_all()
        return self._tables[key][0]
