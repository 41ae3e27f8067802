"""Turn the documents of one split, or of a shard of it, or of a transfer set into an array of token ids."""

import argparse
from pathlib import Path

from scaling import provenance, tokens
from scaling.corpus import near


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tokenizer",
        type=Path,
        required=True,
        help="tokenizer.json, with its end.txt beside it if it has one",
    )
    parser.add_argument("--documents", type=Path, required=True, help="parquet of the set's documents")
    parser.add_argument("--duplicates", type=Path, help="parquet of documents to leave out")
    parser.add_argument("--set", help="its name, if the output has another")
    parser.add_argument("--n-ctx", type=int, default=1, help="context of which the set has to fill two")
    parser.add_argument("--out", type=Path, required=True, help=".npy to write; its index goes beside it")
    args = parser.parse_args()
    skip = near.rows_of(args.duplicates, args.documents) if args.duplicates else ()
    found = near.texts(args.documents, skip)
    tokenizer = tokens.load_tokenizer(args.tokenizer)
    end = tokens.end_of_document(args.tokenizer)
    # a shard is one of several
    n_ctx = None if args.set else args.n_ctx
    tokens.write(args.out, args.set or args.out.stem, tokenizer, found, end, n_ctx=n_ctx)


if __name__ == "__main__":
    provenance.run(main)
