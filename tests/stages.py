"""Runs stages of a study as its jobs would, many and fast: imports what they need once, then forks for each.

    python tests/stages.py FOLDER < requests > answers

A request, a JSON line, is a job's command as a list, from the name of its script on; the answer, a line too,
has ``code``, the exit status, and ``text``, standard output and error together.
"""

import json
import os
import runpy
import sys
import tempfile
from pathlib import Path


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


def answer(command):
    """Run one stage in a process of its own."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            code = 255
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                sys.argv = command
                runpy.run_path(command[0], run_name="__main__")
                code = 0
            except SystemExit as end:
                if isinstance(end.code, str):
                    print(end.code, file=sys.stderr)
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
            except BaseException as error:
                print(f"Traceback: {error!r}", file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return {"code": code, "text": output.read().decode(errors="replace")}


if __name__ == "__main__":
    prepare(Path(sys.argv[1]).resolve())
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
