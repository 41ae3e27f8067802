"""Evaluate the snapshots of one run on every set."""

import argparse
from pathlib import Path

from scaling import evaluated, provenance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help=".npy files of token ids")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--gpu-percent", type=int, default=100, help="share of a GPU to take")
    args = parser.parse_args()
    where = {"threads": args.threads, "device": args.device, "gpu_percent": args.gpu_percent}
    known, new = evaluated.complete(args.run, args.sets, **where)
    print(f"{known} losses were known, {new} are new")


if __name__ == "__main__":
    provenance.run(main)
