"""Show how the training of a study goes: a few lines now and then, until the parent process ends."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from scaling import progress, provenance


def main():
    parser = argparse.ArgumentParser(
        description=__doc__ + " Reads the list of runs, JSON, from standard input."
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--parent", type=int, required=True, help="process to watch for")
    args = parser.parse_args()
    runs = json.load(sys.stdin)
    interval = 15 if sys.stderr.isatty() else 60  # a log file grows by a few lines a minute
    shown, due = None, time.monotonic() + 3
    while os.getppid() == args.parent:
        if time.monotonic() >= due:
            due = time.monotonic() + interval
            text = progress.report(runs, args.runs)
            if text != shown:
                shown = text
                print(text, file=sys.stderr, flush=True)
        time.sleep(0.5)


if __name__ == "__main__":
    provenance.run(main)
