"""How a compute budget splits between model, batch and steps, from the fits of a study."""

import argparse
from pathlib import Path

from scaling import allocation, parquet, provenance, tables


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", required=True, help="runs.parquet")
    parser.add_argument("--fits", type=Path, nargs="+", required=True, help="{law}.json of each law there is")
    parser.add_argument("--bootstraps", type=Path, nargs="+", required=True, help="{law}.bootstrap.parquet")
    parser.add_argument("--out", required=True, help="the split, as JSON")
    args = parser.parse_args()
    fits = {fit["law"]: fit for fit in map(provenance.read_json, args.fits)}
    draws = {
        path.name.removesuffix(".bootstrap.parquet"): tables.read_draws(path) for path in args.bootstraps
    }
    runs = parquet.read(args.runs).to_pylist()
    provenance.write_json(args.out, allocation.allocate(runs, fits, draws))


if __name__ == "__main__":
    provenance.run(main)
