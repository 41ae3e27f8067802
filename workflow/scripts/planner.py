"""What plans are made from: the laws of a study with their draws, and how far its runs reached."""

import argparse
from pathlib import Path

from scaling import parquet, provenance, roads, tables


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="study.json")
    parser.add_argument("--runs", type=Path, required=True, help="runs.parquet")
    parser.add_argument("--fits", type=Path, nargs="*", default=[], help="{law}.json of each law there is")
    parser.add_argument("--bootstraps", type=Path, nargs="*", default=[], help="{law}.bootstrap.parquet")
    parser.add_argument("--out", type=Path, required=True, help="planner.json to write")
    args = parser.parse_args()
    fits = {fit["law"]: fit for fit in map(provenance.read_json, args.fits)}
    draws = {
        path.name.removesuffix(".bootstrap.parquet"): tables.read_draws(path) for path in args.bootstraps
    }
    runs = parquet.read(args.runs).to_pylist()
    provenance.write_json(args.out, roads.known(provenance.read_json(args.study), runs, fits, draws))


if __name__ == "__main__":
    provenance.run(main)
