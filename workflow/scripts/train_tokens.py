"""What the shards of the training tokens hold together."""

import argparse
from pathlib import Path

from scaling import provenance, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--indexes", type=Path, nargs="+", required=True, help="JSON of each shard's array")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write, one folder above the shards")
    args = parser.parse_args()
    provenance.write_json(args.out, tokens.join(args.indexes, args.out.stem))


if __name__ == "__main__":
    provenance.run(main)
