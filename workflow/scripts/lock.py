"""Pin the newest wheels of a list of packages: how a corpus lock is made anew."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.corpus import wheels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", required=True, help="a file with one package a line, # for comments")
    parser.add_argument("--out", required=True, help="the lock to write")
    arguments = parser.parse_args()
    lines = Path(arguments.packages).read_text(encoding="utf-8").splitlines()
    packages = [line.split("#")[0].strip() for line in lines]
    locked = wheels.lock(list(filter(None, packages)))
    head = f"# Made by workflow/scripts/lock.py from {Path(arguments.packages).name}\n"
    with provenance.whole(arguments.out) as scratch:
        scratch.write_text(head + locked, encoding="utf-8")


if __name__ == "__main__":
    provenance.run(main)
