"""Data sets of the Hugging Face hub: which files hold a split, and ranges of their bytes.

A name that begins with ``/`` or ``.`` is a folder laid out like a repository of the hub, read by the same
rules. The token is the one that huggingface_hub finds (``HF_TOKEN``); it goes into requests only.
"""

import logging
import re
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from scaling.provenance import UserError

PAUSES = (1, 4, 16)
"""Seconds before each new try of a request that failed on its way."""

GATED = "is gated; ask for access on its page and set HF_TOKEN to a token of that account"


def is_folder(name):
    return name.startswith(("/", "."))


@contextmanager
def faults(name, revision=None):
    """What goes wrong on the way to the hub, as a :class:`UserError`: no network, no such thing, no access.

    Of a folder, and of what is no fault of the hub, errors stay as they are.
    """
    try:
        yield
    except Exception as error:
        message = None if is_folder(name) else _told(_origin(error), revision)
        if message is None:
            raise
        raise UserError(f"{name} of the Hugging Face hub {message}") from None


def _origin(error):
    """The error in whose place huggingface_hub put a FileNotFoundError, or the error itself."""
    from huggingface_hub.errors import HfHubHTTPError

    while isinstance(error, FileNotFoundError) and not isinstance(error, HfHubHTTPError):
        if error.__cause__ is None:
            break
        error = error.__cause__
    return error


def _told(error, revision):
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return GATED
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {revision!r}; set `revision` to one of its branches, tags or commits"
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return "does not exist or is private; check the name, or set HF_TOKEN to a token that may read it"
    if isinstance(error, errors.HfHubHTTPError):
        return f"cannot be read: the hub answered {error.response.status_code}; try again later"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "cannot be read offline; unset HF_HUB_OFFLINE, or give local files"
    if isinstance(error, httpx2.HTTPError | ConnectionError | TimeoutError):
        return (
            f"cannot be read: the hub is out of reach ({type(error).__name__}); check the network and "
            "HF_ENDPOINT, or give local files"
        )
    return None


def patiently(request):
    """What ``request()`` returns; tried anew, after each of PAUSES, where the network or the server fails."""
    import httpx2
    from huggingface_hub import errors

    for pause in (*PAUSES, None):
        try:
            return request()
        except (httpx2.TransportError, ConnectionError, errors.HfHubHTTPError) as error:
            answer = getattr(error, "response", None)
            lasting = isinstance(error, errors.OfflineModeIsEnabled) or (
                answer is not None and answer.status_code < 500 and answer.status_code != 429
            )
            if pause is None or lasting:
                raise
            time.sleep(pause)


def resolve(spec):
    """What a source ``{hub, subset, revision, split}`` stands for: its commit, declared licence and files.

    ``files``: ``path`` in the repository, ``bytes``, and ``sha256`` of the content where it is stored as a
    large file, else git's ``blob_id``; of a folder neither. The commit of a folder is its ``revision`` as
    given. Raises :class:`UserError` as :func:`faults`, and for an unknown subset or split.
    """
    name, revision = spec["hub"], spec["revision"]
    if is_folder(name):
        try:
            return _folder(spec)
        except UserError:
            raise
        except Exception as error:  # whatever its card makes the library do
            line = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:120]}"
            raise UserError(f"{name} cannot be read as a data set ({line}); mend its README.md") from None
    from huggingface_hub import HfApi

    api = HfApi()
    with faults(name, revision):
        info = patiently(lambda: api.dataset_info(name, revision=revision, timeout=30))
        paths = _paths(f"hf://datasets/{name}", spec, info.sha)
        start = f"hf://datasets/{name}@{info.sha}/"
        paths = [path.removeprefix(start) for path in paths]
        found = []
        for first in range(0, len(paths), 500):
            chunk = paths[first : first + 500]
            found += patiently(
                lambda chunk=chunk: api.get_paths_info(name, chunk, revision=info.sha, repo_type="dataset")
            )
    if len(found) != len(paths):
        raise UserError(f"{name} names files outside of itself; give another `subset`, or local files")
    files = [
        {"path": file.path, "bytes": file.size}
        | ({"sha256": file.lfs.sha256} if file.lfs else {"blob_id": file.blob_id})
        for file in found
    ]
    return {"revision": info.sha, "licence": _licence(info.card_data), "files": files}


def _folder(spec):
    from huggingface_hub import DatasetCard

    folder = Path(spec["hub"])
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder; set `hub` to a folder laid out like a data set, or to a name"
        )
    card = folder / "README.md"
    licence = _licence(DatasetCard.load(card, ignore_metadata_errors=True).data if card.is_file() else None)
    root = folder.resolve()
    found = [Path(path) for path in _paths(str(root), spec)]
    for path in found:
        if not path.resolve().is_relative_to(root):
            raise UserError(f"{card} names {path}, which is not in {folder}; mend it")
    paths = [str(path.resolve().relative_to(root)) for path in found]
    files = [{"path": path, "bytes": (root / path).stat().st_size} for path in paths]
    return {"revision": spec["revision"], "licence": licence, "files": files}


def _licence(card):
    declared = getattr(card, "license", None) or "not declared"
    return declared if isinstance(declared, str) else "; ".join(declared)


def _paths(where, spec, commit=None):
    """Paths of the files of a subset's split, in the order of the data set, by the rules of `datasets`."""
    import datasets

    for logger in ("datasets", "huggingface_hub"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    name, subset, split = spec["hub"], spec["subset"], spec["split"]
    # a cache of its own, or what an earlier call has left there would take the place of what is asked for
    with tempfile.TemporaryDirectory() as cache:
        try:
            builder = datasets.load_dataset_builder(where, subset, revision=commit, cache_dir=cache)
        except datasets.exceptions.DatasetNotFoundError:
            # it was described a moment ago, so it is there, and what is refused is its files
            raise UserError(f"{name} of the Hugging Face hub {GATED}") from None
        except (datasets.exceptions.DataFilesNotFoundError, datasets.data_files.EmptyDatasetError):
            raise UserError(f"data set {name} has no files of text; name another") from None
        except ValueError as error:
            known = re.search(r"\[[^]]*\]", str(error))
            if not known:
                raise UserError(
                    f"data set {name} cannot be resolved ({' '.join(str(error).split())[:200]})"
                ) from None
            found = f"no subset {subset!r}" if subset else "several subsets"
            raise UserError(f"data set {name} has {found}; set `subset` to one of {known[0][1:-1]}") from None
        except RuntimeError:
            raise UserError(
                f"data set {name} is made by a script, which is not run; name another, of files"
            ) from None
    files = builder.config.data_files or {}
    if subset is not None and builder.config.name != subset:
        raise UserError(f"data set {name} has no subset {subset!r}; set `subset` to null")
    if split not in files:
        known = ", ".join(map(repr, files)) or "none"
        raise UserError(f"data set {name} has no split {split!r}; set `split` to one of {known}")
    return [str(path) for path in files[split]]


def opened(name, commit, path, whole):
    """A file of a data set, open for reading bytes: by blocks if ``whole``, else by ranges as asked for.

    A range that fails on its way is asked for again, with pauses. Raises what :func:`faults` explains.
    """
    if is_folder(name):
        return (Path(name) / path).open("rb")
    from huggingface_hub import HfFileSystem

    kind = {"cache_type": "readahead", "block_size": 8 * 2**20} if whole else {"cache_type": "none"}
    return patiently(lambda: HfFileSystem().open(f"datasets/{name}@{commit}/{path}", "rb", **kind))
