"""Which shingles of the evaluation sets stand in a part of the training text."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.corpus import leaks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=Path, required=True, help="parquet of training documents")
    parser.add_argument("--duplicates", type=Path, help="parquet of the documents to leave out, if any")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="parquet of each evaluation set")
    parser.add_argument("--out", type=Path, required=True, help="parquet to write")
    arguments = parser.parse_args()
    leaks.write(arguments.documents, arguments.sets, arguments.out, arguments.duplicates)


if __name__ == "__main__":
    provenance.run(main)
