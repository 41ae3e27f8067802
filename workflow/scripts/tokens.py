"""Turn the documents of one split or transfer set into an array of token ids."""

import argparse
from pathlib import Path

from scaling import provenance, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--documents", type=Path, required=True, help="parquet of the set's documents")
    parser.add_argument("--out", type=Path, required=True, help=".npy to write; its index goes beside it")
    args = parser.parse_args()
    tokens.write(args.out, args.out.stem, tokens.load_tokenizer(args.tokenizer), tokens.texts(args.documents))


if __name__ == "__main__":
    provenance.run(main)
