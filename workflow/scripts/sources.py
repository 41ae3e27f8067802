"""What the sources of text hold now: files, commits, sizes and checksums."""

import argparse
import json

from scaling import provenance
from scaling.corpus import sources


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=json.loads, required=True, help="corpus.sources of the config, JSON")
    parser.add_argument("--out", required=True, help="JSON to write")
    arguments = parser.parse_args()
    provenance.write_json(arguments.out, sources.listing(arguments.specs))


if __name__ == "__main__":
    provenance.run(main)
