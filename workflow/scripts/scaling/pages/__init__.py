"""Charts to pages that open offline: ``content`` says what stands on a page, ``fits`` and ``runs`` what its
tables hold, ``render`` writes it."""
