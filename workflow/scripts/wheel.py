"""Fetch one pinned wheel."""

import argparse

from scaling import provenance
from scaling.corpus import wheels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pin", required=True, help="'name==version --hash=sha256:…'")
    parser.add_argument("--out", required=True, help="the wheel's path")
    arguments = parser.parse_args()
    wheels.fetch(arguments.pin, arguments.out)


if __name__ == "__main__":
    provenance.run(main)
