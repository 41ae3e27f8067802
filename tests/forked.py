"""Answers requests, JSON lines on standard input, each in a process forked for it."""

import json
import os
import sys
import tempfile
import traceback


def serve(work):
    """Print for each request a JSON line: ``code``, the exit status, and ``text``, all that was said.

    ``work``: a function of the request, which may end by sys.exit; what it needs is imported before.
    """
    for line in sys.stdin:
        print(json.dumps(_answer(work, json.loads(line))), flush=True)


def _answer(work, request):
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            code = 255
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                work(request)
                code = 0
            except SystemExit as end:
                if isinstance(end.code, str):
                    print(end.code, file=sys.stderr)
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return {"code": code, "text": output.read().decode(errors="replace")}
