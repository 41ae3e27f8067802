"""A docstring to paragraphs of prose.

ASCII classes throughout: what counts as a letter elsewhere depends on the Unicode tables of each Python.
"""

import re

CODE = re.compile(
    r"\.\. +(code|code-block|sourcecode|ipython|plot|math|doctest|test(code|setup|output)|(csv-|list-)?table"
    r"|autosummary|toctree|image|figure|raw|parsed-literal|jupyter-execute|graphviz|productionlist) ?::"
)
DIRECTIVE = re.compile(r"\.\. +[a-z:-]+:: *")
ROLE = re.compile(r":[a-z:+-]+:`[~!.]*([^`<]+?)(?: *<[^`]*>)?`|\b[LCIBMU]\{([^{}]*)\}")
FUNCTION_WORD = re.compile(
    r"\b(the|an?|of|to|is|are|be|been|in|for|and|or|if|that|this|with|as|by|on|from|it|its|not|can|will|when|which"
    r"|at|has|have|was|were|you|we|no|any|all|each|only|used?|should|must|may)\b",
    re.IGNORECASE,
)
WORDLESS = re.compile(r"[^A-Za-z0-9]+")
NO_TEXT = re.compile(r"[^A-Za-z\s]+", re.ASCII)
LETTERS = 0.6
"""Least share of letters and white space in a paragraph of prose."""


def paragraphs(docstring):
    """The prose paragraphs of a docstring, each a string without common indentation.

    Dropped: doctests with their output, fenced and literal blocks, directives that hold no prose, lines
    without a letter or a digit, and paragraphs that :func:`is_prose` refuses.
    """
    kept = []
    for lines in _split(_without_code(_dedent(docstring))):
        paragraph = ROLE.sub(r"\1\2", "\n".join(_outdent(lines)))
        if is_prose(paragraph):
            kept.append(paragraph)
    return kept


def is_prose(paragraph):
    """Whether a paragraph holds a function word and at least LETTERS of it are letters and white space.

    The first drops what reads as no sentence: lone headings, lists of names, addresses.
    """
    letters = len(NO_TEXT.sub("", paragraph))
    return letters >= LETTERS * len(paragraph) and bool(FUNCTION_WORD.search(paragraph))


def _dedent(docstring):
    """Lines without trailing white space and common indentation, to which the first does not count."""
    first, *rest = (line.rstrip() for line in docstring.expandtabs().split("\n"))
    return [first.lstrip(), *_outdent(rest)]


def _outdent(lines):
    margin = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    return [line[margin:] for line in lines]


def _without_code(lines):
    """The lines, with those of code blanked and those without a word removed."""
    fenced = doctest = False
    literal = None
    for line in lines:
        text = line.lstrip()
        indent = len(line) - len(text)
        doctest = bool(text) and (doctest or text.startswith(">>>"))
        if literal is not None and text and indent <= literal:
            literal = None
        if text.startswith(("```", "~~~")):
            fenced = not fenced
            text = ""
        if fenced or doctest or literal is not None:
            text = ""
        elif CODE.match(text):
            literal, text = indent, ""
        elif text.endswith("::") and not text.startswith(".."):
            literal, text = indent, text[:-1]
        if text.startswith(".."):
            text = DIRECTIVE.sub("", text)
        if not WORDLESS.fullmatch(text):
            yield " " * indent + text if text else ""


def _split(lines):
    """Runs of lines that are not blank."""
    block = []
    for line in (*lines, ""):
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []
