"""Which training documents nearly equal a test document or an earlier one of the training text."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.corpus import near


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts", type=Path, nargs="+", required=True, help="parquet files: test, then training's in order"
    )
    parser.add_argument("--out", type=Path, required=True, help="parquet to write: a part and a row of each")
    arguments = parser.parse_args()
    for part, counts in near.write_duplicates(arguments.parts, arguments.out).items():
        print(f"{part}: {counts['duplicates']} of {counts['documents']} documents are left out")


if __name__ == "__main__":
    provenance.run(main)
