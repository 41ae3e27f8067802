"""What a page is made of, as options of a script."""

from pathlib import Path

from scaling import provenance
from scaling.charts import drawing


def add(parser):
    """Add the options of a page to an argparse ``parser``."""
    for option in ("--study", "--tables", "--out"):
        parser.add_argument(option, required=True, type=Path)
    parser.add_argument("--manifest", type=Path, help="what the corpus is made of, where there is one")
    parser.add_argument("--finished", type=Path, help="what became of a file of finished runs")
    parser.add_argument("--fits", type=Path, nargs="*", default=[], help="fits in the order to show them")


def read(args):
    """Study, tables, fits by law, manifest and record of finished runs, or None for what there is not."""
    tables = drawing.read_tables(args.tables, ("runs", "curves", "evaluations"))
    fits = {fit["law"]: fit for fit in map(provenance.read_json, args.fits)}
    study, manifest, finished = (
        path and provenance.read_json(path) for path in (args.study, args.manifest, args.finished)
    )
    return study, tables, fits, manifest, finished
