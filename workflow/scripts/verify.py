"""Check every file of a results folder against its record."""

import argparse
import sys
from pathlib import Path

from scaling import provenance, verifying


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder to check, whole")
    args = parser.parse_args()
    found = verifying.verify(args.results)
    print(*verifying.lines(found, args.results), sep="\n")
    sys.exit(0 if found.sound else 1)


if __name__ == "__main__":
    provenance.run(main)
