"""Config files as their users write them: what YAML would take without a word, and should not.

Snakemake reads them with a loader of its own, which knows nothing of what is asked here.
"""

import difflib
import json
import re
from pathlib import Path

import yaml

from scaling.provenance import UserError

MOST_BYTES = 10**6
"""Length of a config file."""
MOST_VALUES = 50_000
"""Keys and values of a config, those of each alias counted where it stands."""
DEEPEST = 50
"""Mappings and lists within each other."""
MISREAD = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""Plain text that YAML 1.1 takes for a number in base 8 or 60: 010 is 8, 4:00 is 240."""
# libyaml's is ten times as fast, and comes with every build of PyYAML on PyPI
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_file(path, known):
    """Raise UserError, a line with file and place, where a config file does not say one thing plainly.

    It is JSON or YAML in UTF-8: one mapping whose keys are among ``known``; each mapping has a key once; no
    text is read as a number in base 8 or 60; length, depth and number of values are bounded.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: found no file to read ({error.strerror}), expected a config") from None
    if len(text) > MOST_BYTES:
        raise UserError(f"{path}: found {len(text)} bytes, expected at most {MOST_BYTES} of a config")
    try:
        text = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: found bytes that are no UTF-8, expected text in it") from None
    found = _read(path, text)
    if not isinstance(found, dict):
        raise UserError(
            f"{path}: found {_kind(found)}, expected a mapping with keys such as study, run and grid"
        )
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UserError(
                f"{path}: found unknown key {str(key)[:60]!r}{hint}, expected one of {', '.join(known)}"
            )


def _kind(value):
    return "nothing" if value is None else "a list" if isinstance(value, list) else "one value alone"


def _read(path, text):
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _each_once(path, pairs))
    except ValueError:  # then it is YAML, as for Snakemake
        pass
    except RecursionError:
        raise _too_deep(path) from None
    try:
        _check_events(path, yaml.parse(text, Loader=LOADER))
        return yaml.load(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise _no_yaml(f"{path}{place}", error.problem or error.context) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _no_yaml(path, error) from None
    except RecursionError:
        raise _too_deep(path) from None


def _each_once(path, pairs):
    found = {}
    for key, value in pairs:
        if key in found:
            raise UserError(f"{path}: found the key {key[:60]!r} twice in one mapping, expected it once")
        found[key] = value
    return found


def _check_events(path, events):
    """Go through the events of a parser; nothing is built, so that what would explode is only counted."""
    # of each mapping or list that is open: its keys, or None of a list; parts so far; values; its anchor
    stack, sizes = [], {}
    for event in events:
        place = f"{path}, line {event.start_mark.line + 1}"
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(stack) == DEEPEST:
                raise _too_deep(place)
            keys = set() if isinstance(event, yaml.MappingStartEvent) else None
            stack.append([keys, 0, 0, event.anchor])
            sizes[event.anchor] = None
            continue
        if isinstance(event, yaml.ScalarEvent):
            size, anchor = 1, event.anchor
            _check_scalar(place, event, stack)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise UserError(f"{place}: found *{event.anchor}, expected &{event.anchor} above it")
            size, anchor = sizes[event.anchor], None
            if size is None:
                raise UserError(
                    f"{place}: found *{event.anchor} within &{event.anchor} itself, expected no loop"
                )
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            *_, size, anchor = stack.pop()
            size += 1
        else:
            continue
        sizes[anchor] = size
        if stack:
            stack[-1][1] += 1
            stack[-1][2] += size
        if size + (stack[-1][2] if stack else 0) > MOST_VALUES:
            raise UserError(f"{place}: found more than {MOST_VALUES} values, expected a config of fewer")


def _check_scalar(place, event, stack):
    plain = event.implicit[0] and event.tag is None
    if plain and MISREAD.fullmatch(event.value):
        raise UserError(
            f"{place}: found {event.value[:60]!r}, which YAML reads as a number in base 8 or 60, expected "
            "one in base 10, or text in quotes"
        )
    if not stack or stack[-1][0] is None or stack[-1][1] % 2:
        return
    keys = stack[-1][0]
    if event.value in keys:
        raise UserError(f"{place}: found the key {event.value[:60]!r} twice in one mapping, expected it once")
    keys.add(event.value)


def _too_deep(place):
    return UserError(
        f"{place}: found more than {DEEPEST} mappings and lists within each other, expected fewer"
    )


def _no_yaml(place, problem):
    line = " ".join(str(problem).split())[:120]
    return UserError(f"{place}: found what is no YAML ({line}), expected keys and values")
