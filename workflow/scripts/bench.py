"""Measure the training engine, where a study's time goes, the fits, the page, tokenization, and trunks."""

import argparse
import sys
import tempfile
from pathlib import Path

from scaling import provenance
from scaling.benchmark import engine, fits, page, study, tokenizing, trunks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    names = ["engine", "study", "fits", "page", "tokens", "trunks"]
    parser.add_argument("part", nargs="?", choices=names, help="all if none is named")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the figures")
    args = parser.parse_args()
    root, snakemake = Path(__file__).parents[2], Path(sys.executable).parent / "snakemake"
    published = root / "results/studies/chinchilla/tables/runs.parquet"
    with tempfile.TemporaryDirectory() as scratch:
        parts = {
            "engine": (engine, lambda: engine.measure(root, Path(scratch) / "engine")),
            "study": (study, lambda: study.measure(root, snakemake, Path(scratch) / "study")),
            "fits": (fits, lambda: fits.measure(published)),
            "page": (page, lambda: page.measure(root, Path(scratch) / "page")),
            "trunks": (trunks, lambda: trunks.measure(root, snakemake, Path(scratch) / "trunks")),
            "tokens": (tokenizing, lambda: tokenizing.measure(root, snakemake, Path(scratch) / "tokens")),
        }
        for name in [args.part] if args.part else parts:
            part, measure = parts[name]
            figures = measure()
            print(part.describe(figures))
            provenance.write_json(args.out / f"{name}.json", figures)


if __name__ == "__main__":
    provenance.run(main)
