"""What a study will cost before it starts: a page, the same as JSON, and the tables on the terminal."""

import argparse
import json
from pathlib import Path

from scaling import grid, planned, provenance
from scaling.pages import plan, render


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="the study's config as JSON")
    parser.add_argument(
        "--jobs", type=planned.unpacked, required=True, help="files of the jobs of each rule, packed"
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--cores", type=int, required=True, help="of this machine")
    parser.add_argument("--json", type=Path, required=True, help="plan.json to write")
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    args = parser.parse_args()
    runs = grid.expand(args.config)
    state = planned.look(runs, args.runs, args.jobs)
    found = planned.plan(args.config, runs, args.jobs, state, args.runs, args.cores)
    provenance.write_json(args.json, found)
    render.write_page(args.out, "plan.html", "", **plan.page(found))
    print(plan.text(found), end="")


if __name__ == "__main__":
    provenance.run(main)
