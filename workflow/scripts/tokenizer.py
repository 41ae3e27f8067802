"""Train the tokenizer of a corpus on its training text, or the first of it."""

import argparse
from pathlib import Path

from scaling import provenance, tokens
from scaling.corpus import near


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=Path, required=True, help="parquet of the training documents")
    parser.add_argument("--n-vocab", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="tokenizer.json to write")
    args = parser.parse_args()
    text = tokens.sample(near.texts(args.documents))
    tokenizer = tokens.train_tokenizer(text, args.n_vocab)
    with provenance.whole(args.out) as scratch:
        scratch.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


if __name__ == "__main__":
    provenance.run(main)
