"""Whether loss on other text is the test loss and an offset, as Kaplan et al. 2020 find (section 3.2.2)."""

import numpy as np

from scaling.fitting.resampling import draw
from scaling.rows import finite, sound
from scaling.trends import RESAMPLES, interval, slopes


def offsets(runs, evaluations):
    """The offset of each set from the test loss at the end of training, {set: result of :func:`offset`}.

    ``runs`` and ``evaluations`` are rows of the tables; the runs are those of experiment `size`.
    """
    kept = {run["run"] for run in sound(runs, ("size",), "test_loss")[0]}
    found = [row for row in evaluations if row["run"] in kept and finite(row["loss"])]
    last = ends(found)
    final = [row for row in found if last.get(row["run"]) == (row["step"] or 0)]
    test = {row["run"]: row["loss"] for row in final if row["set"] == "test"}
    pairs = {}
    for row in final:
        if row["set"] != "test":
            pairs.setdefault(row["set"], []).append((test[row["run"]], row["loss"]))
    return {name: offset(*np.array(losses).T) for name, losses in pairs.items()}


def ends(evaluations):
    """The last step, or 0 where steps are unknown, at which a run has a loss on the test split and on other
    text: {run: step}. Rows of finished runs may have only one of the two at their very end.
    """
    sets = {}
    for row in evaluations:
        if finite(row["loss"]):
            sets.setdefault((row["run"], row["step"] or 0), set()).add(row["set"])
    both = sorted((step, run) for (run, step), found in sets.items() if "test" in found and len(found) > 1)
    return {run: step for step, run in both}


def offset(test, loss, *, resamples=RESAMPLES, seed=0):
    """The mean of ``loss`` less ``test`` (runs,), in nats, and its drift, each {value, low, high}.

    The drift is the slope of that difference against the test loss, by least squares: zero for an offset
    that is one, negative where it rises as the test loss falls. The ends are those of an interval from
    resampling runs, as for a law; NaN where there are too few for them (:data:`scaling.trends.SPARE`).
    """
    difference, runs = loss - test, len(test)
    counts = np.concatenate([np.ones((1, runs)), draw(runs, resamples, seed)])
    mean, drift = counts @ difference / runs, slopes(test, difference, counts)
    return {"runs": runs, "mean": interval(mean, runs, 1), "drift": interval(drift, runs, 2)}
