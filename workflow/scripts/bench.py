"""Run the default study from nothing in a scratch folder and measure where its time went."""

import argparse
import sys
import tempfile
from pathlib import Path

from scaling import benchmark, provenance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/study.json"))
    args = parser.parse_args()
    root = Path(__file__).parents[2]
    snakemake = Path(sys.executable).parent / "snakemake"
    with tempfile.TemporaryDirectory() as scratch:
        figures = benchmark.measure(root, snakemake, Path(scratch))
    print(benchmark.describe(figures))
    provenance.write_json(args.out, figures)


if __name__ == "__main__":
    provenance.run(main)
