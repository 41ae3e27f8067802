"""Runs that share their beginning: a trunk at the peak rate, off which runs of several horizons branch.

A run of schedule wsd (warm-up, stable, decay) knows nothing of its horizon before its rate falls. Runs that
differ in nothing but their length are therefore the same run up to there: one trunk is trained as far as the
last of them needs it, and each branches off where its own fall begins (Hägele et al. 2024, arXiv:2405.18392).
"""

import json

EXPERIMENT = "trunk"
"""What a trunk belongs to in place of an experiment: no law is fitted to it, no figure drawn of it."""
LENGTH = ("S", "horizon")
"""In what alone the runs of a family differ."""
NAMES = ("run", "experiments")


def fall(run):
    """Steps that ``run``, of schedule wsd, does at the peak rate before it falls, the warm-up included."""
    horizon = run["horizon"]
    return max(run["warmup"], horizon - max(1, round(run["cooldown"] * horizon)))


def steps_to_train(run):
    """Steps that ``run``, as :func:`scaling.grid.expand` describes it, is trained by itself."""
    return run["S"] - run.get("start", 0)


def tokens_trained(row):
    """Tokens that a run was trained on by itself, from its record or its row of the table of runs."""
    steps = row.get("steps_trained")
    return row["tokens"] if steps is None else steps * row["B"]


def branch_off(runs, name):
    """``runs`` by name, where those with ``trunk`` true are branches, and the trunks that they leave.

    ``name(run)`` is what a run is called. A branch has the name of its trunk as ``trunk`` and the step at
    which it leaves it as ``start``; a trunk, which comes before its branches, has these steps as
    ``branches``. A run that shares its beginning with no other is one without a trunk.
    """
    families = {}
    for run in runs.values():
        if run.get("trunk") and fall(run):
            families.setdefault(_family(run), []).append(run)
    found = {}
    for run in runs.values():
        if run.get("trunk"):
            members = families.get(_family(run), [])
            run = {key: value for key, value in run.items() if key != "trunk"}
            if fall(run) and len(members) > 1:
                trunk = _trunk(run, sorted({fall(member) for member in members}))
                trunk["run"] = name(trunk)
                found[trunk["run"]] = trunk
                run |= {"trunk": trunk["run"], "start": fall(run)}
            run["run"] = name(run)
        known = found.setdefault(run["run"], run)
        known["experiments"] = list(dict.fromkeys([*known["experiments"], *run["experiments"]]))
    return found


def _family(run):
    return json.dumps({key: run[key] for key in sorted(run) if key not in (*LENGTH, *NAMES)})


def _trunk(run, branches):
    unused = dict.fromkeys(("horizon", "final", "cooldown"))
    own = {"schedule": "constant", "S": branches[-1], "branches": branches, "experiments": [EXPERIMENT]}
    return run | unused | own
