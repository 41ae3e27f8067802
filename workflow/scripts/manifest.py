"""What a corpus is made of: origins, licences, checksums, sizes, and what of each set was trained on."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.corpus import documents, leaks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="parquet of training documents")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="parquet of each other set")
    parser.add_argument("--leaks", type=Path, nargs="+", required=True, help="parquet for each of --train")
    parser.add_argument("--wheels", nargs="*", default=[], help="every wheel they were made from")
    parser.add_argument("--sources", type=Path, help="JSON with the files of all other sources")
    parser.add_argument("--duplicates", type=Path, help="parquet of training documents to leave out")
    parser.add_argument("--out", required=True, help="JSON to write")
    args = parser.parse_args()
    parts = {"train": args.train} | {path.stem: [path] for path in args.sets}
    leaked = leaks.report(args.leaks, args.sets)
    listing = provenance.read_json(args.sources) if args.sources else []
    found = documents.manifest(parts, args.wheels, leaked, listing, args.duplicates)
    provenance.write_json(args.out, found)


if __name__ == "__main__":
    provenance.run(main)
