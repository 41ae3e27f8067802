"""One transfer set from a source that is no wheel: random documents of it."""

import argparse
import json

from scaling import provenance
from scaling.corpus import shards


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--spec", type=json.loads, required=True, help="of corpus.transfer in the config, JSON"
    )
    parser.add_argument("--name", required=True, help="of the set")
    parser.add_argument("--max-bytes", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True, help="of which documents, and of their order")
    parser.add_argument("--out", required=True, help="parquet to write")
    arguments = parser.parse_args()
    found = shards.transfer(arguments.spec, arguments.name, arguments.max_bytes, arguments.seed)
    shards.write(arguments.out, found, arguments.name)


if __name__ == "__main__":
    provenance.run(main)
