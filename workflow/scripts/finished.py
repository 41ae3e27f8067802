"""Runs that were trained elsewhere: fetch their file, or write their tables."""

import argparse
import json
from pathlib import Path

from scaling import finished, parquet, provenance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finished", type=json.loads, required=True, help="that part of the config as JSON")
    parser.add_argument("--fetch", type=Path, help="where to put the file of a URL")
    parser.add_argument("--file", type=Path, help="the file of runs")
    parser.add_argument("--out", type=Path, help="folder of the tables to write")
    args = parser.parse_args()
    if args.fetch:
        finished.fetch(args.finished["file"], args.finished["sha256"], args.fetch)
    else:
        tables, record = finished.tables(args.finished, args.file)
        for name, table in tables.items():
            parquet.write(args.out / f"{name}.parquet", table)
        provenance.write_json(args.out / "finished.json", record)


if __name__ == "__main__":
    provenance.run(main)
