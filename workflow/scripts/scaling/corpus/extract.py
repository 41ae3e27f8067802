"""A file of a wheel to pieces of text: what each kind of text takes from which files."""

import html
import json
import re
from email.parser import HeaderParser

from scaling.corpus import clean, wheels

TOKEN = re.compile(
    r"#[^\n]*"
    r'|"""([^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*)"""'
    r"|'''([^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*)'''"
    r'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
    r"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'",
    re.DOTALL,
)
"""A comment or a string literal of Python source; groups 1 and 2 are the body of a triple-quoted one.

Not ``ast``, since that follows the grammar of the interpreter that runs it: a module written for a newer
Python would be in the corpus on one machine and not on the next. It also takes 25 times as long.
"""

DOCUMENTATION = re.compile(r"^(?:[ \t]*|[^\"'#]*doc.*[=(,][ \t]*)([rRuU]?)$", re.IGNORECASE)
"""What stands before a string that documents: nothing but indentation, or a name with 'doc' in it."""

ESCAPE = re.compile(r"\\([\n\\'\"nt])")
ESCAPED = {"\n": "", "n": "\n", "t": "\t"}
BLOCK_END = re.compile(r"</(?:p|li|[uod]l|d[td]|h\d|div|note|important)>|<br ?/?>")
PRAGMA = re.compile(r"-\*-|\b(?:noqa|pylint|mypy|type: ignore|pragma|copyright|licen[cs]e)\b", re.IGNORECASE)
TAG = re.compile(r"<[^>]*>")

SKIPPED = (
    r"(?!(?:.*/)?(?:tests?|_?testing|_?vendor(?:ed)?|_?externals?|extern|distutils)/)"
    r"(?!(?:.*/)?(?:conftest|test_[^/]*|[^/]*_test|__config__|_?version|_distributor_init)\.py$)"
)
"""Tests, copies of other projects, and modules that builds generate."""

PYTHON = SKIPPED + r".+\.py"


def docstrings(source):
    """Bodies of the triple-quoted strings of Python source that document it, escapes resolved."""
    for token in TOKEN.finditer(source):
        prefix = _documents(token)
        if prefix is not None:
            body = token[token.lastindex]
            raw = prefix in ("r", "R")
            yield body if raw else ESCAPE.sub(lambda found: ESCAPED.get(found[1], found[1]), body)


def _documents(token):
    """The prefix of a string that documents, None for another token."""
    if not token.lastindex:
        return None
    source, start = token.string, token.start()
    before = DOCUMENTATION.search(source[source.rfind("\n", 0, start) + 1 : start])
    return before and before[1]


def prose(source):
    """Paragraphs of the docstrings of Python source."""
    return [paragraph for docstring in docstrings(source) for paragraph in clean.paragraphs(docstring)]


def comments(source):
    """Comments of Python source that say something; those on consecutive lines are one."""
    blocks, end = [], 0
    for token in TOKEN.finditer(source):
        if token[0].startswith("#"):
            gap = source[end : token.start()]
            if not (blocks and gap.isspace() and gap.count("\n") == 1):
                blocks.append([])
            blocks[-1].append(token[0].lstrip("#:").removeprefix(" ").rstrip())
            end = token.end()
    joined = ("\n".join(lines).strip("\n") for lines in blocks)
    return [block for block in joined if clean.is_prose(block) and not PRAGMA.search(block)]


def code(source):
    """Python source without comments, docstrings and repeated blank lines, as one piece."""
    kept, end = [], 0
    for token in TOKEN.finditer(source):
        prefix = "" if token[0].startswith("#") else _documents(token)
        if prefix is not None:
            kept.append(source[end : token.start() - len(prefix)])
            end = token.end()
    bare = re.sub(r"[ \t]+\n", "\n", "".join(kept) + source[end:])
    return [re.sub(r"\n{3,}", "\n\n", bare).strip("\n")]


def cloud(description):
    """Documentation strings of an API description in JSON, as plain text."""
    found, waiting = [], [json.loads(description)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("documentation"), str):
                found.append(_plain(value["documentation"]))
            value = list(value.values())
        if isinstance(value, list):
            waiting.extend(reversed(value))
    return [text for text in found if text]


def _plain(markup):
    lines = html.unescape(TAG.sub("", BLOCK_END.sub("\n", markup))).split("\n")
    return "\n".join(filter(None, (" ".join(line.split()) for line in lines)))


def blocks(text):
    """Text between blank lines."""
    return [block for block in re.split(r"\n\s*\n", text.strip()) if block]


def description(metadata):
    """Paragraphs of the long description in a wheel's METADATA."""
    message = HeaderParser().parsestr(metadata)
    return blocks(message.get_payload() or message["Description"] or "")


def whole(text):
    """The text as one piece."""
    return [text.strip("\n")]


KINDS = {
    "prose": (PYTHON, prose),
    "comments": (PYTHON, comments),
    "code": (PYTHON, code),
    "cloud": (r".+/service-\d+\.json(?:\.gz)?", cloud),
    "headers": (r".+\.(?:h|hh|hpp|hxx|cuh)", whole),
    "readmes": (wheels.METADATA, description),
    "licences": (r"[^/]+\.dist-info/(?:licenses/.+|[^/]*(?:LICEN[CS]E|COPYING|NOTICE)[^/]*)", blocks),
}
"""Each kind of text: which members of a wheel hold it, and how a member's text becomes its pieces."""


def pieces(wheel, kind, name):
    """Pieces of text of one ``kind`` in the member ``name`` of an open wheel: a list of strings."""
    text = wheel.read(name).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    return KINDS[kind][1](text)


def names(wheel, kind):
    """The members of an open wheel that may hold text of a ``kind``, sorted."""
    member = re.compile(KINDS[kind][0])
    return [name for name in wheel.names if member.fullmatch(name)]
