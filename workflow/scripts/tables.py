"""Gather a study's runs into its three tables."""

import argparse
from pathlib import Path

from scaling import parquet, provenance, tables


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="study.json")
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables to write")
    args = parser.parse_args()
    for name, table in tables.collect(provenance.read_json(args.study), args.runs).items():
        parquet.write(args.out / f"{name}.parquet", table)


if __name__ == "__main__":
    provenance.run(main)
