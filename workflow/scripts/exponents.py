"""The measured exponents beside the published, as a table in Markdown."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.pages.fits import markdown


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=Path, nargs="*", default=[], help="fits in the order to show them")
    parser.add_argument("--out", type=Path, required=True, help="the table to write")
    args = parser.parse_args()
    with provenance.whole(args.out) as scratch:
        scratch.write_text(markdown(map(provenance.read_json, args.fits)), encoding="utf-8")


if __name__ == "__main__":
    provenance.run(main)
