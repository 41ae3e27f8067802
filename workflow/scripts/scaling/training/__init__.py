"""One run, from its description to its curve, record and snapshots."""
