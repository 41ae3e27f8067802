"""Write down a study: its whole config, every run of it, and what the experiments it leaves out would add."""

import argparse
import json
from pathlib import Path

from scaling import grid, provenance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="the study's config as JSON")
    parser.add_argument("--out", type=Path, required=True, help="study.json to write")
    args = parser.parse_args()
    runs = grid.expand(args.config)
    offered = grid.offered(args.config, runs)
    packages = ("torch", "numpy", "pyarrow", "tokenizers")
    if args.config["finished"] is not None:  # a study without training has no more of a config than this
        args.config = {key: args.config[key] for key in ("study", "finished", "fits")}
    study = {"study": args.config["study"], "config": args.config, "runs": list(runs.values())}
    study |= {"offered": offered, "versions": provenance.versions(*packages)}
    provenance.write_json(args.out, study)


if __name__ == "__main__":
    provenance.run(main)
