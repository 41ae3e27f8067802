"""Show how the training of a study goes: a few lines now and then, until the parent process ends."""

import argparse
import os
import sys
import time
from pathlib import Path

from scaling import progress, provenance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="study.json")
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--parent", type=int, help="process to watch for; without it, the lines show once")
    args = parser.parse_args()
    interval = 15 if sys.stderr.isatty() else 60  # a log file grows by a few lines a minute
    shown, due = None, time.monotonic()
    while True:
        if time.monotonic() >= due:
            text = progress.report(args.study, args.runs)
            if text:
                due = time.monotonic() + interval
            if text not in ("", shown):
                shown = text
                print(text, file=sys.stderr, flush=True)
        if os.getppid() != args.parent:
            break
        time.sleep(0.5)


if __name__ == "__main__":
    provenance.run(main)
