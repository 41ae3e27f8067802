"""Charts to pages that open offline: ``content`` says what stands on a page, ``render`` writes it."""
