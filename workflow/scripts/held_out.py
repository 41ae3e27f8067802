"""The test set: what the shards hold out, without near-duplicates, in a random order."""

import argparse

from scaling import provenance
from scaling.corpus import shards


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", required=True, help="parquet, one a shard")
    parser.add_argument("--test-bytes", type=int, required=True, help="most bytes of the set")
    parser.add_argument("--seed", type=int, required=True, help="of which documents, and of their order")
    parser.add_argument("--out", required=True, help="parquet to write")
    arguments = parser.parse_args()
    found = shards.test_set(arguments.parts, arguments.test_bytes, arguments.seed)
    shards.write(arguments.out, found, "test", arguments.test_bytes // shards.DIVERSITY)


if __name__ == "__main__":
    provenance.run(main)
