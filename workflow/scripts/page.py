"""The page of a study: curves, planner, laws, measured exponents beside the published, runs, origins."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.pages import content, inputs, render


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    inputs.add(parser)
    parser.add_argument("--planner", type=Path, required=True, help="what plans are made from")
    args = parser.parse_args()
    shown = content.page(*inputs.read(args), provenance.read_json(args.planner))
    render.write_page(args.out, "frontier.html", render.library(args.out.parent / "figures"), **shown)


if __name__ == "__main__":
    provenance.run(main)
