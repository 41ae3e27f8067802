"""The measured exponents beside the published, and in every way of counting, as tables in Markdown."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.pages import allocation
from scaling.pages.fits import markdown


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=Path, nargs="*", default=[], help="fits in the order to show them")
    parser.add_argument("--out", type=Path, required=True, help="the tables to write")
    args = parser.parse_args()
    fits = {fit["law"]: fit for fit in map(provenance.read_json, args.fits)}
    split = fits.pop("allocation", None)
    text = markdown(fits.values()) + (allocation.markdown(split) if split else "")
    with provenance.whole(args.out) as scratch:
        scratch.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    provenance.run(main)
