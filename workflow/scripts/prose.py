"""Docstring prose of wheels as documents for training and test."""

import argparse

from scaling import provenance
from scaling.corpus import documents


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", nargs="+", required=True, help="paths, in any order")
    parser.add_argument("--seed", type=int, required=True, help="of the documents' order")
    parser.add_argument("--test-fraction", type=float, required=True, help="of the folders, by a hash")
    parser.add_argument("--train", required=True, help="parquet to write")
    parser.add_argument("--test", required=True, help="parquet to write")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    found = documents.prose(arguments.wheels, arguments.processes)
    train, test = documents.split(found, arguments.test_fraction)
    documents.write(arguments.train, documents.shuffled(train, arguments.seed), "train")
    documents.write(arguments.test, documents.shuffled(test, arguments.seed), "test")


if __name__ == "__main__":
    provenance.run(main)
