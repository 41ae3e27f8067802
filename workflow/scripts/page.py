"""The page of a study: curves, frontier, laws, measured exponents beside the published, runs and origins."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.charts import drawing
from scaling.pages import content, render


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--study", "--tables", "--out"):
        parser.add_argument(option, required=True, type=Path)
    parser.add_argument("--manifest", type=Path, help="what the corpus is made of, where there is one")
    parser.add_argument("--finished", type=Path, help="what became of a file of finished runs")
    parser.add_argument("--fits", type=Path, nargs="*", default=[], help="fits in the order to show them")
    args = parser.parse_args()
    tables = drawing.read_tables(args.tables, ("runs", "curves", "evaluations"))
    fits = {fit["law"]: fit for fit in map(provenance.read_json, args.fits)}
    study, manifest, finished = (
        path and provenance.read_json(path) for path in (args.study, args.manifest, args.finished)
    )
    shown = content.page(study, tables, fits, manifest, finished)
    render.write_page(args.out, "frontier.html", render.library(args.out.parent / "figures"), **shown)


if __name__ == "__main__":
    provenance.run(main)
