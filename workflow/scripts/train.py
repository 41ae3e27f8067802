"""Train one run."""

import argparse
import json
from pathlib import Path

from scaling import provenance
from scaling.training import job


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=json.loads, required=True, help="the run's description as JSON")
    parser.add_argument("--train", type=Path, required=True, help=".npy of the training tokens")
    parser.add_argument("--test", type=Path, required=True, help=".npy of the test tokens")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    job.train(args.run, train=args.train, test=args.test, folder=args.out, threads=args.threads)


if __name__ == "__main__":
    provenance.run(main)
