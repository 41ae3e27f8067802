"""Write down a study: its whole config and every run that follows from it."""

import argparse
import json
from pathlib import Path

from scaling import grid, provenance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="the study's config as JSON")
    parser.add_argument("--out", type=Path, required=True, help="study.json to write")
    args = parser.parse_args()
    runs = list(grid.expand(args.config).values())
    packages = ("torch", "numpy", "pyarrow", "tokenizers")
    if args.config["finished"] is not None:  # a study without training has no more of a config than this
        args.config = {key: args.config[key] for key in ("study", "finished", "fits")}
    study = {"study": args.config["study"], "config": args.config, "runs": runs}
    provenance.write_json(args.out, study | {"versions": provenance.versions(*packages)})


if __name__ == "__main__":
    provenance.run(main)
