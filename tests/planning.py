"""Roads that plans are made by, with published parameters and draws about them."""

import math

import numpy as np
from scaling.laws import LAWS

TEXT = {"n_vocab": 50257, "n_ctx": 1024, "tied": True}
PAPER = {"a": 0.077, "ln_N": math.log(6.5e13), "b": 0.76, "ln_x": math.log(2.1e3)}
CRITICAL = {"of_loss": 1 / 0.21, "ln_B": math.log(2.1e8)}
HOFFMANN = {name: found.published for name, found in LAWS["chinchilla"].parameters.items()}
CHINCHILLA = {
    **{"a": HOFFMANN["alpha"], "ln_N": math.log(HOFFMANN["A"]) / HOFFMANN["alpha"]},
    **{"b": HOFFMANN["beta"], "ln_x": math.log(HOFFMANN["B"]) / HOFFMANN["beta"], "E": HOFFMANN["E"]},
}
PASSED = {"passed": True, "reasons": []}


def road(x="S_min", total=False, scatter=0.0, draws=40, **changed):
    """A road with the published parameters and draws about them."""
    values = {"S_min": PAPER | CRITICAL, "S": PAPER, "D": CHINCHILLA}[x]
    random = np.random.default_rng(0)
    shake = 1 + scatter * np.concatenate([[0], random.normal(size=draws)])
    columns = {
        name: (value * (shake if name in ("a", "b") else 1 + 0 * shake)).tolist()
        for name, value in values.items()
    }
    return {
        **{"name": x, "law": x, "formula": "L = …", "counted": "6N", "total": total, "x": x},
        **{
            "batch": 2**19 if x == "S" else None,
            "critical_losses": [3.0, 4.5] if x == "S_min" else None,
            "certificate": PASSED,
        },
        **{"holdout": {"error_percent": None, "reason": "too few points"}, "runs": 9, "points": 90},
        **{"tails": [0.05, 0.95], "dropped": 0, "columns": columns, **changed},
    }


def known(*held, text=TEXT, rule=0.001):
    """A planner.json of roads."""
    return {
        **{
            "study": "default",
            "interval": 0.9,
            "roads": list(held),
            "chosen": held[0]["name"],
            "missing": {},
        },
        **{"text": text, "countings": dict.fromkeys(("6N", "head", "attention") if text else ("6N",), "…")},
        **{
            "learning_rate": rule,
            "reached": {"C": {"6N": 1e18, "attention": 1e18}, "N": 1e8, "D": 1e10, "loss": 3.0},
        },
    }
