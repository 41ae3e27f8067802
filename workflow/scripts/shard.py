"""One shard of the sources' text: its training documents and those held out for test."""

import argparse

from scaling import provenance
from scaling.corpus import shards


def main():
    arguments = parsed()
    asked = ("seed", "test_fraction", "train_bytes", "test_bytes", "weights")
    training, held_out, record = shards.make(
        provenance.read_json(arguments.listing),
        arguments.shard,
        arguments.shards,
        **{name: getattr(arguments, name) for name in asked},
    )
    shards.write(arguments.train, training, "train")
    shards.write(arguments.held_out, held_out, "test")
    provenance.write_json(arguments.record, record)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listing", required=True, help="sources.json")
    parser.add_argument("--shard", type=int, required=True, help="number of this one, from 0")
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument(
        "--seed", type=int, required=True, help="of units and documents, their split and order"
    )
    parser.add_argument("--test-fraction", type=float, required=True, help="of the documents, by a hash")
    parser.add_argument(
        "--train-bytes", type=float, help="most bytes of training text in all shards; else all"
    )
    parser.add_argument("--test-bytes", type=int, required=True, help="most bytes held out in all shards")
    parser.add_argument("--weights", type=float, nargs="+", help="each source's share of the training bytes")
    parser.add_argument("--train", required=True, help="parquet to write")
    parser.add_argument("--held-out", required=True, help="parquet to write")
    parser.add_argument("--record", required=True, help="JSON to write")
    return parser.parse_args()


if __name__ == "__main__":
    provenance.run(main)
