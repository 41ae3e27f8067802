"""The planner: from a budget, a loss or a size to a model, its training and its price, with joint intervals.

Answers come from a road of a study (:mod:`scaling.roads`): L = E + (N_c / N)^a + (x_c / x)^b. Every number
has the quantiles of what the draws of the road's parameters make of the same question: one draw makes all of
them, so that they belong together. pages/templates/planner.js answers in the page by the same steps; a test
holds the two against each other.

Arrays (R,) are of a road: its fit first, then its draws. Compute is in FLOPs; B, D and what is served in
tokens.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from scaling import shapes
from scaling.counts import flops_per_token, non_embedding
from scaling.fitting.fit import FEWEST_KEPT
from scaling.provenance import UserError

SMALLEST, LARGEST, SIZES = math.log(10), math.log(1e22), 96
"""ln of the sizes between which the best one is sought, and on how many of them its branch is chosen."""
HALVINGS, REACH = 48, 120.0
"""How often an interval is halved, and within how many e-folds of x_c steps or tokens lie."""
TIMES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""Sizes that are told beside the best one, as multiples of it."""
BATCHES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16)
"""Batches that are told beside the chosen one, as multiples of the critical one."""
EMPTY = {
    **{"best": {}, "planned": {}, "money": {}, "sizes": [], "batches": [], "shapes": []},
    "beyond": {"C": None, "N": None, "D": None},
}
"""An answer without an answer."""
PAPERS_RATE = (0.003239, 0.0001395)
"""a and b of the learning rate a − b ln N (Kaplan et al. 2020, equation D.1)."""


# --- questions ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What is asked: one of ``budget`` (FLOPs) and ``loss`` (nats per token), or ``N`` with or without a
    budget, by a ``road`` and a ``counting``, both by name.

    The batch is ``times`` the critical one; a road that knows no critical batch has its own.
    ``served`` tokens of inference count against a budget, at a third of training's FLOPs per token (Sardana
    et al. 2023). Wall time and price are those of ``devices`` at ``flops`` FLOP/s each, after utilisation, at
    ``price`` an hour.
    """

    road: str
    counting: str
    budget: float | None = None
    loss: float | None = None
    N: float | None = None
    times: float = 1.0
    served: float = 0.0
    devices: float = 1.0
    flops: float | None = None
    price: float | None = None


@dataclass(frozen=True)
class Model:
    """FLOPs per token and parameters of a size whose shape is that of :func:`shapes.width`."""

    counting: str
    text: dict | None

    def flops(self, N):
        """Training FLOPs per token (:func:`scaling.counts.flops_per_token`)."""
        d_model, head, context = shapes.width(N), *self._beyond()
        return 6 * N + head * d_model + context * N / d_model

    def flops_slope(self, N):
        """d ln FLOPs / d ln N."""
        d_model, head, context = shapes.width(N), *self._beyond()
        return (6 * N + head * d_model / 3 + context * N / d_model * 2 / 3) / self.flops(N)

    def size(self, N, total):
        """The parameters that a road means by N: ``total`` ones or those without embeddings."""
        return N + self._embedded() * shapes.width(N) if total else N

    def size_slope(self, N, total):
        """d ln size / d ln N."""
        return (N + self._embedded() * shapes.width(N) / 3) / self.size(N, True) if total else N / N

    def _beyond(self):
        """FLOPs of the head by d_model; of attention by N / d_model = 12 · n_layer · d_model."""
        head = 0 if self.counting == "6N" else 6 * self.text["n_vocab"]
        return head, self.text["n_ctx"] if self.counting == "attention" else 0

    def _embedded(self):
        text = self.text or {"n_vocab": 0, "n_ctx": 0, "tied": True}
        return (1 if text["tied"] else 2) * text["n_vocab"] + text["n_ctx"]


@dataclass(frozen=True)
class Planner:
    """A road's arrays (R,) with its input ``x`` (S_min, S or D), whether its N is ``total``, and the ``own``
    batch of its runs; the :class:`Model`; and the :class:`Question`."""

    a: np.ndarray
    ln_N: np.ndarray
    b: np.ndarray
    ln_x: np.ndarray
    E: np.ndarray
    of_loss: np.ndarray | None
    ln_B: np.ndarray | None
    x: str
    total: bool
    own: float | None
    model: Model
    question: Question

    @classmethod
    def of(cls, road, model, question):
        """That of a road of planner.json."""
        columns = {name: np.array(values) for name, values in road["columns"].items()}
        for name in ("of_loss", "ln_B"):
            columns.setdefault(name, None)
        columns.setdefault("E", np.zeros(len(columns["a"])))
        of_road = {"x": road["x"], "total": road["total"], "own": road["batch"]}
        return cls(**columns, **of_road, model=model, question=question)

    def of_size(self, N):
        """What a size N leaves to a loss however long it is trained, less E: (N_c / N)^a (R,)."""
        return np.exp(self.a * (self.ln_N - np.log(self.model.size(N, self.total))))

    def of_x(self, ln_x):
        """(x_c / x)^b (R,)."""
        return np.exp(self.b * (self.ln_x - ln_x))

    def critical(self, loss):
        """B_crit (R,) at a loss; None of a road that knows none."""
        return np.exp(self.ln_B - self.of_loss * np.log(loss)) if self.x == "S_min" else None

    def batch(self, loss):
        """The batch (tokens) at a loss; None of a road that knows none."""
        if self.x == "D":
            return None
        if self.x == "S":
            return np.full(len(self.a), float(self.own))
        return self.question.times * self.critical(loss)

    def tokens(self, ln_x, loss):
        """D (R,) of x at the loss that it leads to: x, S · B, or S_min · (B + B_crit(L))."""
        x = np.exp(ln_x)
        if self.x == "D":
            return x
        return x * (self.batch(loss) + (self.critical(loss) if self.x == "S_min" else 0))

    def compute(self, N, D):
        """FLOPs of training a size on D tokens and of serving it."""
        return self.model.flops(N) * (D + self.question.served / 3)

    # each of these gives (ln x, loss)

    def trained(self, N, D):
        """Where a size stands after D tokens (R,); infinite where D is none."""
        converged = self.E + self.of_size(N)
        with np.errstate(all="ignore"):
            if self.x == "D":
                ln_x = np.log(np.broadcast_to(D, self.a.shape))
            elif self.x == "S":
                ln_x = np.log(D / self.batch(None))
            else:
                ln_x = self._halve(lambda y: self.tokens(y, converged + self.of_x(y)) < D)
            ln_x = np.where(D > 0, ln_x, np.nan)
            return ln_x, np.where(D > 0, converged + self.of_x(ln_x), np.inf)

    def reaching(self, N, loss):
        """Where a size reaches a loss; ln x is infinite where it never does."""
        left = loss - self.E - self.of_size(N)
        with np.errstate(all="ignore"):
            ln_x = np.where(left > 0, self.ln_x - np.log(left) / self.b, np.inf)
        return ln_x, np.broadcast_to(loss, ln_x.shape)

    def best(self, N):
        """Where training a size has to end for no other to do better with the same compute.

        With D(N) = C / f − served / 3 the loss is least where

            a T_N d ln size / d ln N = b T_x · d ln f / d ln N · (1 + served / 3D),

        T_N and T_x being the law's two terms: eq. B.4 of Kaplan et al. 2020 where f = 6 N and nothing is
        served. B_crit moves with the loss alone, which at its least does not move, so that the batch does not
        enter.
        """
        converged = self.E + self.of_size(N)
        wanted = self.a * self.of_size(N) * self.model.size_slope(N, self.total)
        slope = self.b * self.model.flops_slope(N)
        ln_x = self.ln_x - np.log(wanted / slope) / self.b
        if self.question.served:

            def short(y):
                term = self.of_x(y)
                share = 1 + self.question.served / (3 * self.tokens(y, converged + term))
                return slope * term * share > wanted

            ln_x = self._halve(short)
        return ln_x, converged + self.of_x(ln_x)

    def _halve(self, short):
        """ln x (R,) where ``short`` of it turns from true to false."""
        low, high = self.ln_x - REACH, self.ln_x + REACH
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = short(middle)
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def optimum(self, budget=None, loss=None):
        """N (R,) that is best for a budget, or the cheapest way to a loss; NaN where there is none, infinite
        where no size reaches that loss.

        Along the best sizes compute grows and the loss falls, from the size on after which compute never
        falls again: where embeddings or the head are most of a model there may be no best size.
        """
        grid = np.linspace(SMALLEST, LARGEST, SIZES)
        unserved = replace(self, question=replace(self.question, served=0.0))
        with np.errstate(all="ignore"):
            computes = np.array([unserved._at(n)[0] for n in grid])
            falls = np.diff(computes, axis=0) <= 0
            first = np.where(falls.any(0), len(grid) - 1 - falls[::-1].argmax(0), 0)
            low, high = grid[first], np.full(len(self.a), LARGEST)
            ends = [self._short(n, budget, loss) for n in (low, high)]
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                below = self._short(middle, budget, loss)
                low, high = np.where(below, middle, low), np.where(below, high, middle)
        beyond = np.nan if loss is None else np.inf
        return np.where(ends[1], beyond, np.where(ends[0], np.exp((low + high) / 2), np.nan))

    def _at(self, n):
        """FLOPs and loss (R,) of the best training of sizes exp(``n``)."""
        N = np.exp(n)
        ln_x, loss = self.best(N)
        return self.compute(N, self.tokens(ln_x, loss)), loss

    def _short(self, n, budget, loss):
        """Whether the best training of sizes exp(``n``) takes less than a budget, or ends above a loss."""
        computes, losses = self._at(n)
        return computes < budget if loss is None else losses > loss


# --- answers --------------------------------------------------------------------------------------------


@np.errstate(all="ignore")  # draws may have no answer
def answer(known, question):
    """The plan, a dict of numbers {value, low, high, certified}.

    ``best`` tells the size, its training and its loss, each draw its own: of a budget or a loss the best
    size, of a given size the training for which it is the best, or with a budget what that pays for.
    ``planned`` is what the size that the fit tells comes to in every draw: its ``loss`` with this compute,
    its loss ``converged`` and, of a given size with a budget, where it ``is_best``. Then ``money``,
    what other ``sizes`` and ``batches`` cost, ``shapes``, and how far ``beyond`` the study's runs it is.
    Where the fit has no answer all is empty but the ``reason``.

    A number is None where the fit gives none; its low or high is None where the interval has no end. Raises
    UserError for a question that cannot be asked.
    """
    plan = _planner(known, question)
    tell = _Teller(next(road for road in known["roads"] if road["name"] == question.road))
    N, D, reason = _choice(plan)
    found = _training(plan, N, D)
    if not reason and not np.isfinite(found["C"][0]):
        reason = "it takes endless compute by the fit"
    if reason:
        return {"reason": reason} | EMPTY
    found["learning_rate"] = _rates(known["learning_rate"], found)
    told = {name: tell(values) for name, values in found.items() if values is not None}
    reached = known["reached"]
    farthest = {"C": reached["C"].get(question.counting), "N": reached["N"], "D": reached["D"]}
    return {
        "reason": None,
        "best": told,
        "planned": _planned(plan, tell, found),
        "money": _money(tell, found, question),
        "sizes": _sizes(plan, tell, found),
        "batches": _batches(plan, tell, found),
        "shapes": _shapes(plan, known, tell, found),
        "beyond": {name: told[name]["value"] / most if most else None for name, most in farthest.items()},
    }


def _planner(known, question):
    """The :class:`Planner` of a question; raises UserError where it cannot be asked."""
    road = {road["name"]: road for road in known["roads"]}.get(question.road)
    if not known["roads"]:
        reasons = "; ".join(known["missing"].values())
        raise UserError(f"{known['study']}: no law that plans are made by is fitted: {reasons}")
    if road is None:
        names = ", ".join(road["name"] for road in known["roads"])
        raise UserError(f"law: found {question.road!r}, expected one of {names}")
    if question.counting not in known["countings"]:
        names = ", ".join(known["countings"])
        raise UserError(f"counting: found {question.counting!r}, expected one of {names}")
    if road["x"] != "S_min" and question.times != 1:
        raise UserError(
            f"batch: found {question.times:g} times the critical one, which {question.road} does not know; "
            "leave it out, or plan by L_NSmin"
        )
    return Planner.of(road, Model(question.counting, known["text"]), question)


def _choice(plan):
    """N (R,) to train, D where a size and a budget are given, and why there is no answer, or None."""
    question = plan.question
    if question.N is None:
        N = plan.optimum(question.budget, question.loss)
        if np.isfinite(N[0]):
            return N, None, None
        if question.loss is None:
            return N, None, "no size is best for this budget by the fit"
        never = np.isinf(N[0])
        return N, None, f"{'no' if never else 'every'} size gets below this loss by the fit"
    N = np.full(len(plan.a), float(question.N))
    if not question.budget:
        return N, None, None
    D = question.budget / plan.model.flops(N) - question.served / 3
    return N, D, None if D[0] > 0 else "serving this size takes more than the budget"


class _Teller:
    """Numbers of a road's arrays: the fit's value between the quantiles of its draws'."""

    def __init__(self, road):
        self.tails, self.certified = road["tails"], road["certificate"]["passed"]

    def __call__(self, values):
        """{value, low, high, certified}; None where the fit itself gives none. Draws that give none are left
        out, and where they are many the number is not certified."""
        value, draws = values[0], values[1:]
        if not np.isfinite(value):
            return None
        given = draws[~np.isnan(draws)]
        low, high = (_quantile(given, tail) for tail in self.tails) if len(given) else (math.nan, math.nan)
        share = len(given) / max(len(draws), 1)
        return {
            "value": float(value),
            "low": low if math.isfinite(low) else None,
            "high": high if math.isfinite(high) else None,
            "certified": bool(self.certified and share >= FEWEST_KEPT),
        }


def _quantile(values, share):
    """The quantile, linear between values of finite ones; infinite where it lies on an infinite one."""
    ordered = np.sort(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    if place == below or ordered[below] == ordered[above]:
        return float(ordered[below])
    if not np.isfinite(ordered[above]):
        return math.inf
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def _training(plan, N, D=None):
    """Everything of training sizes ``N`` on ``D`` tokens, or for as long as they are the best: arrays (R,) by
    name, None where a road tells none."""
    ln_x, loss = plan.best(N) if D is None else plan.trained(N, D)
    D, B = plan.tokens(ln_x, loss) if D is None else D, plan.batch(loss)
    served = plan.model.flops(N) * plan.question.served / 3
    found = {"N": N, "D": D, "C": plan.model.flops(N) * D, "served": served}
    if B is not None:
        found["S"] = D / B
    endless = np.isinf(N) | np.isinf(found["C"])
    found = {name: np.where(endless, np.inf, values) for name, values in found.items()}
    return {"S": None} | found | {"B": B, "loss": loss, "B_crit": plan.critical(loss)}


def _planned(plan, tell, found):
    """What the size that the fit tells comes to, in every draw."""
    N = np.full(len(plan.a), found["N"][0])
    told = {
        "loss": tell(plan.trained(N, np.full(len(N), found["D"][0]))[1]),
        "converged": tell(plan.E + plan.of_size(N)),
    }
    if plan.question.N is None or not plan.question.budget:
        return told
    best = _training(plan, N)
    return told | {"is_best": {"C": tell(best["C"]), "loss": tell(best["loss"])}}


def _rates(rule, found):
    """The learning rate (R,) of sizes by the study's rule, or by the paper's where there is none."""
    N, B = found["N"], found["B"]
    if rule is None:
        a, b = PAPERS_RATE
        rule = {"value": a, "ln_N": -b}
    if isinstance(rule, dict) and rule.get("ln_N") is not None:
        rates = rule["value"] + rule["ln_N"] * np.log(N)
        return np.where(rates > 0, rates, np.nan)
    if not isinstance(rule, dict):
        return np.full(len(N), float(rule))
    by = {"N": N, "d_model": shapes.width(N), "B": B}
    rates = np.full(len(N), float(rule["value"]))
    for name, values in by.items():
        if rule.get(name):
            if values is None:
                return None
            rates = rates * (values / rule[name]["at"]) ** rule[name]["exponent"]
    return np.minimum(rates, rule["most"]) if rule.get("most") else rates


def _money(tell, found, question):
    """Seconds, device-hours and price of the training, and the price of serving, as far as the question tells
    devices and price."""
    if not question.flops:
        return {}
    hours, served = (found[name] / question.flops / 3600 for name in ("C", "served"))
    told = {"seconds": tell(3600 * hours / question.devices), "device_hours": tell(hours)}
    if question.price is not None:
        told |= {"price": tell(hours * question.price), "serving": tell(served * question.price)}
    return told


def _sizes(plan, tell, found):
    """Sizes about the best one of the fit: the loss of each with the same compute, how much worse that is
    than the best one's, and how many times the compute each takes to the same loss."""
    total = found["C"][0] + found["served"][0]

    def trained(N):
        D = total / plan.model.flops(N) - plan.question.served / 3
        return D, plan.trained(N, np.full(len(plan.a), D))[1]

    told, least = [], trained(found["N"][0])[1]
    for times in TIMES:
        N = times * found["N"][0]
        D, loss = trained(N)
        ln_x, reached = plan.reaching(N, least)
        dearer = plan.compute(N, plan.tokens(ln_x, reached)) / total
        worse = np.where(np.isfinite(loss), loss - least, loss)
        told.append({
            "times": times,
            "N": float(N),
            "D": float(D) if D > 0 else None,
            "loss": tell(loss),
            "worse": tell(worse),
            "compute": tell(dearer),
        })  # fmt: skip
    return told


def _batches(plan, tell, found):
    """Batches about the critical one: steps, tokens and compute of the best size to the same loss; of a road
    that knows none, nothing."""
    if plan.x != "S_min":
        return []
    told, S_min = [], found["D"] / (found["B"] + found["B_crit"])
    for times in BATCHES:
        S, D = S_min * (1 + 1 / times), S_min * found["B_crit"] * (1 + times)
        told.append({
            "times": times,
            "B": tell(times * found["B_crit"]),
            "S": tell(S),
            "steps": tell(S / found["S"]),
            "compute": tell(D / found["D"]),
        })  # fmt: skip
    return told


def _shapes(plan, known, tell, found):
    """Shapes near the best size of the fit: parameters and FLOPs as they are, tokens and loss with the same
    compute; without shapes where the study does not tell its vocabulary."""
    if not known["text"]:
        return []
    told, total = [], found["C"][0] + found["served"][0]
    for shape in shapes.near(found["N"][0]):
        N = non_embedding(**shape)
        f = flops_per_token(**shape, **known["text"])[plan.question.counting]
        D = total / f - plan.question.served / 3
        loss = plan.trained(np.full(len(found["N"]), float(N)), np.full(len(found["N"]), D))[1]
        told.append(
            shape | {"N": N, "flops_per_token": f, "D": float(D) if D > 0 else None, "loss": tell(loss)}
        )
    return told
