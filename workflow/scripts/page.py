"""The page of a study: curves, frontier, laws, measured exponents beside the published, runs and origins."""

import argparse

from scaling import provenance
from scaling.pages import content, inputs, render


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    inputs.add(parser)
    args = parser.parse_args()
    shown = content.page(*inputs.read(args))
    render.write_page(args.out, "frontier.html", render.library(args.out.parent / "figures"), **shown)


if __name__ == "__main__":
    provenance.run(main)
