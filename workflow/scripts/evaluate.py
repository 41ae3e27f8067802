"""Evaluate the snapshots of one run on every set."""

import argparse
from pathlib import Path

from scaling import evaluation, provenance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help=".npy files of token ids")
    parser.add_argument("--tokens", type=int, required=True, help="tokens of each set to predict")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    evaluation.evaluate(args.run, args.sets, tokens_per_set=args.tokens, threads=args.threads)


if __name__ == "__main__":
    provenance.run(main)
