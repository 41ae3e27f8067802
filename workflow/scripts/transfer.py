"""One transfer set: random documents of one kind of text from wheels."""

import argparse

from scaling import provenance
from scaling.corpus import documents, extract


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="of the set")
    parser.add_argument("--read", required=True, choices=sorted(extract.KINDS), help="kind of text")
    parser.add_argument("--max-bytes", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True, help="of which documents, and of their order")
    parser.add_argument("--wheels", nargs="+", required=True, help="paths, in any order")
    parser.add_argument("--out", required=True, help="parquet to write")
    arguments = parser.parse_args()
    found = documents.transfer(arguments.wheels, arguments.read, arguments.max_bytes, arguments.seed)
    documents.write(arguments.out, found, arguments.name)


if __name__ == "__main__":
    provenance.run(main)
