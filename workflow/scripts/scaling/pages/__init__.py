"""Charts to pages that open offline: ``content`` says what stands on a page, ``fits`` and ``runs`` what its
tables hold, ``explorer`` what readers count anew, ``picking`` which run is marked; ``render`` writes it."""
