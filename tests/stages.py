"""Runs stages of a study as its jobs would, many and fast: imports what they need once, then forks for each.

    python tests/stages.py FOLDER < requests > answers

A request, a JSON line, is a job's command as a list, from the name of its script on; the answer, a line too,
has ``code``, the exit status, and ``text``, standard output and error together.
"""

import os
import runpy
import sys
from pathlib import Path

import forked


def prepare(folder):
    """Import what the stages need, without running any of it: threads would not survive a fork."""
    os.chdir(folder)
    sys.path[:0] = [str(folder / "workflow" / "scripts")]
    import scaling.corpus.documents
    import scaling.corpus.leaks
    import scaling.evaluation
    import scaling.models.huggingface
    import scaling.pages.content
    import scaling.pages.report
    import scaling.selections
    import scaling.training.job
    import scaling.training.launch  # noqa: F401


def stage(command):
    """Run one stage."""
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    prepare(Path(sys.argv[1]).resolve())
    forked.serve(stage)
