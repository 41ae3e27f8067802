"""The page of a study: curves, frontier, laws, measured exponents beside the paper's, runs and origins."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.charts import catalog, drawing
from scaling.pages import content, render


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--study", "--tables", "--fits", "--manifest", "--out"):
        parser.add_argument(option, required=True, type=Path)
    args = parser.parse_args()
    tables = drawing.read_tables(args.tables, ("runs", "curves", "evaluations"))
    fits = drawing.read_fits(args.fits, catalog.laws(drawing.experiments(tables["runs"])))
    study, manifest = provenance.read_json(args.study), provenance.read_json(args.manifest)
    shown = content.page(study, tables, fits, manifest)
    render.write_page(args.out, "frontier.html", render.library(args.out.parent / "figures"), **shown)


if __name__ == "__main__":
    provenance.run(main)
