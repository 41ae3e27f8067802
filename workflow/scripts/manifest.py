"""What a corpus is made of: origins, licences, checksums and sizes."""

import argparse

from scaling import provenance
from scaling.corpus import documents


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", nargs="+", required=True, help="parquet files, one a set")
    parser.add_argument("--wheels", nargs="+", required=True, help="every wheel they were made from")
    parser.add_argument("--out", required=True, help="JSON to write")
    arguments = parser.parse_args()
    provenance.write_json(arguments.out, documents.manifest(arguments.documents, arguments.wheels))


if __name__ == "__main__":
    provenance.run(main)
