"""When runs on limited data are best stopped, and the bound on it (Kaplan et al. 2020, section 5.3)."""

import math
from statistics import NormalDist

from scaling.laws import LAWS, earliest_stop
from scaling.rows import finite, sound


def limited(runs, curves):
    """Runs of experiment `data` whose test loss turned before their end, as rows in order of N.

    A row has run (a row of ``runs``), step of its lowest test loss, and low and high, the steps of the test
    points before and after that one: where the lowest was is known to this gap. Runs on the largest D of the
    study are not limited by data.
    """
    kept, _ = sound(runs, ("data",), "best_test_loss")
    kept = [run for run in kept if finite(run.get("best_step")) and finite(run.get("steps"))]
    whole = max((run["D"] for run in runs if finite(run.get("D"))), default=math.inf)
    tested = {}
    for row in curves:
        if finite(row["test_loss"]) and finite(row["step"]):
            tested.setdefault(row["run"], []).append(row["step"])
    found = []
    for run in kept:
        step = run["best_step"]
        if run["D"] < whole and 0 < step < run["steps"]:
            steps = tested.get(run["run"], [])
            low = max((other for other in steps if 0 < other < step), default=step)
            high = min((other for other in steps if other > step), default=run["steps"])
            found.append({"run": run, "step": step, "low": low, "high": high})
    return found


def bound(run, L_ND, L_NS):
    """The steps before which ``run`` is not best stopped (eq. 5.7): {excess, steps, low, high}.

    ``L_ND`` and ``L_NS`` are parameters of these laws by name. As in the paper's figure 16, L(N, D) is the
    lowest test loss of the run, L(N, ∞) the law's at infinite D; the ends are at a standard error of the loss
    above and below it, infinite where that leaves no excess. None where the loss itself lies at L(N, ∞) or
    below, so that there is no bound.
    """
    excess = run["best_test_loss"] - (L_ND["N_c"] / run["N"]) ** L_ND["alpha_N"]
    error = run.get("best_test_loss_se")
    error = error if finite(error) else 0.0
    if excess <= 0:
        return None
    found = {name: L_NS[name] for name in ("alpha_S", "S_c")}
    ends = (
        earliest_stop(excess + sign * error, **found) if excess + sign * error > 0 else math.inf
        for sign in (1, -1)
    )
    names = ("steps", "low", "high")
    return {"excess": excess} | dict(zip(names, (earliest_stop(excess, **found), *ends), strict=True))


def parameters(fit):
    """The fitted parameters of a law, name -> number."""
    return {name: fit["parameters"][name]["value"] for name in LAWS[fit["law"]].parameters}


def share(count, of, interval):
    """The share ``count`` / ``of`` with Wilson's ``interval`` for it: {value, low, high}."""
    z, value = NormalDist().inv_cdf(0.5 + interval / 2), count / of
    middle, total = value + z**2 / (2 * of), 1 + z**2 / of
    reach = z * math.sqrt(value * (1 - value) / of + z**2 / (4 * of**2))
    return {
        "value": value,
        "low": max(0.0, (middle - reach) / total),
        "high": min(1.0, (middle + reach) / total),
    }
