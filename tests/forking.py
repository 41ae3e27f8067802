"""Serves dry runs of Snakemake: imports it once, then forks for each request, a JSON line on standard input.

    python tests/forking.py FOLDER < requests > answers

A request is the list of the command line's arguments; the answer, a line too, has ``code``, the exit status,
and ``text``, standard output and error together. The process that answers has imported what the Snakefile of
FOLDER imports, and nothing else: what it forks is in the state in which the command begins.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path

import forked

SECONDS = 30
"""After which a dry run is killed: its status is then that of SIGALRM."""
COMMAND = 2**17 - 4096
"""Bytes of what a command line is given, beside some for the rest of it."""
MEMORY = 4 * 2**30
"""Bytes of address space that a dry run may have."""


def prepare(folder):
    """Import what every request needs."""
    os.chdir(folder)
    sys.path[:0] = [str(folder / "workflow" / "scripts")]
    import snakemake.cli  # noqa: F401
    from scaling import laws, planned, roads  # noqa: F401
    from scaling.charts import catalog  # noqa: F401
    from scaling.pages import plan  # noqa: F401


def plan_too(arguments):
    """Snakemake on ``arguments``; then the plan, as its job would make it, where that is among the jobs."""
    import snakemake.cli
    from scaling import grid, planned
    from scaling.pages import plan

    seen, expand, look = {}, grid.expand, planned.look

    def expanded(config):
        seen.setdefault("config", json.dumps(config))
        return expand(config)

    def looked(runs, folder, jobs):
        seen["jobs"] = json.dumps(jobs)
        return look(runs, folder, jobs)

    grid.expand, planned.look = expanded, looked
    try:
        snakemake.cli.main(arguments)
    except SystemExit as end:
        if end.code or "jobs" not in seen:
            raise
    if len(seen["config"]) + len(planned.packed(json.loads(seen["jobs"]))) > COMMAND:
        raise ValueError("the plan's command is longer than the system takes")
    config, jobs = (json.loads(seen[name]) for name in ("config", "jobs"))
    runs = expand(config)
    found = planned.plan(config, runs, jobs, look(runs, "results/runs", jobs), "results/runs", 2)
    json.dumps(found, allow_nan=False)
    plan.page(found)
    print(plan.text(found))


def bounded(arguments):
    """:func:`plan_too` within SECONDS and MEMORY."""
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    plan_too(arguments)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]).resolve())
    forked.serve(bounded)
