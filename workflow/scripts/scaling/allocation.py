"""How a compute budget splits between model, batch and steps, from fitted laws and their draws.

By two roads that share nothing but the runs and B_crit: ``envelope``, power laws fitted to the lower envelope
of the learning curves, and ``law``, the optimum of the fitted L(N, S_min). In every way of counting.
Compute is in PF-days.
"""

from dataclasses import dataclass

import numpy as np

from scaling.fitting.fit import FEWEST, FEWEST_KEPT
from scaling.frontier import CURVES
from scaling.laws import FLOPS_AND_N, LAWS, PAPER, compute_exponent, critical_batch, efficient_excess
from scaling.provenance import versions
from scaling.rows import CONVENTIONS, column, finite, sound
from scaling.selections import INTERVAL
from scaling.units import PF_DAY

NEEDS = (
    "B_crit", "L_D", "L_C", "L_Cmin", "L_NS", "L_NSmin", "N_opt", "N_opt_Cmin", "B_opt", "S_min", "D_opt",
)  # fmt: skip
"""Laws that are read, as far as a study has them."""
BUDGET = 1e9
"""The growth of a budget whose split is told (Kaplan et al. 2020, figure 3)."""
PUBLISHED_SPLIT = {"N": 1e6, "B": 100, "S": 10}
TOLERATED = 0.2
"""Excess of compute within which a size is called near the best (figure 12)."""
CONVERGED = 0.02
"""How far above its converged loss a run is called converged (Appendix B.4)."""
LINE_POINTS = 40
BEYOND, SIZE_POINTS = 1e4, 400
"""How far sizes reach beyond the study's, so that draws have an optimum at its computes, and how many."""
RATIOS = np.exp(np.linspace(-np.log(40), np.log(40), 161))
"""Sizes as multiples of the best."""
QUANTITIES = ("N", "B", "S", "D", "loss")
ROADS = {
    "adjusted": {
        "N": ("N_opt_Cmin", "p_N"), "B": ("B_opt", "p_B"), "S": ("S_min", "p_S"), "D": ("D_opt", "p_D"),
        "loss": ("L_Cmin", "alpha_C"),
    },
    "unadjusted": {"N": ("N_opt", "p_N"), "loss": ("L_C", "alpha_C")},
}  # fmt: skip
"""Law and exponent of each quantity along the envelope, of compute adjusted to C_min and as trained."""
PUBLISHED_CROSSING = {"C": 1e4, "N": 1e12, "D": 1e12, "loss": 1.7}


def allocate(runs, fits, draws):
    """The content of allocation.json.

    ``runs`` are rows of the table, ``fits`` reports by law, ``draws`` {law: {column: (R,)}}, those of NEEDS
    that the study has. A number is {value, low, high, certified}; one that cannot be had is {missing}, with
    the reason.
    """
    study = Study(runs, fits, draws)
    return {
        "law": "allocation",
        "budget": BUDGET,
        "interval": INTERVAL,
        "source": PAPER,
        "conventions": {
            name: {"words": CONVENTIONS[name].words}
            | {kind: _roads(study, name, kind, laws) for kind, laws in ROADS.items()}
            for name in FLOPS_AND_N
            if any(CONVENTIONS[name].of(run) for run in runs)
        },
        "closed_form": _closed_form(study),
        "off_optimum": _off_optimum(study),
        "crossing": _crossing(study),
        "versions": versions("numpy"),
    }


class Missing(Exception):
    """A number cannot be had; the message says why."""


@dataclass(frozen=True)
class Drawn:
    """Numbers from one fit or several: the ``value``, its draws (R,), their tails, whether all fits hold."""

    value: float
    draws: np.ndarray
    tails: tuple[float, float]
    certified: bool
    known: np.ndarray
    """Which draws (R,) are of fits that were not dropped."""

    def number(self):
        """As JSON: {value, low, high, certified}; where many draws give no number it is not certified."""
        given = np.isfinite(self.draws)
        if not (given.any() and np.isfinite(self.value)):
            return {"missing": "its draws determine no number"}
        low, high = np.quantile(self.draws[given], self.tails)
        return {
            "value": float(self.value),
            "low": float(low),
            "high": float(high),
            "certified": bool(self.certified and given[self.known].mean() >= FEWEST_KEPT),
        }


@dataclass(frozen=True)
class Study:
    """Runs, fits and draws of a study."""

    runs: list
    fits: dict
    draws: dict

    def block(self, law, convention):
        """The fit of ``law`` in a convention, and the ending of its columns; raises Missing."""
        if law not in self.fits:
            raise Missing(self.absent(law))
        first = convention == LAWS[law].conventions[0]
        report = self.fits[law] if first else self.fits[law].get(f"with_{convention}")
        if report is None:
            raise Missing(f"{law} is not fitted with {CONVENTIONS[convention].words}")
        if "unfitted" in report:
            raise Missing(report["unfitted"])
        return report, "" if first else f"_with_{convention}"

    def absent(self, law):
        """Why there is no fit of ``law``."""
        scanned = "B_crit" in self.fits or any("adjusted_by" in fit for fit in self.fits.values())
        if LAWS[law].adjusted and not scanned:
            return f"{law} is adjusted by B_crit(L), which no batch scan of this study measures"
        return f"{law} is not fitted in this study"

    def parameters(self, law, convention):
        """Every parameter of a fit, and what its points were adjusted by, as :class:`Drawn` by name."""
        report, ending = self.block(law, convention)
        values = {name: found["value"] for name, found in report["parameters"].items()}
        tails, passed = tuple(report["quantiles"]), report["certificate"]["passed"]
        found = {}
        for name, value in (values | report.get("adjusted_by", {})).items():
            draws = np.asarray(self.draws[law][name + ending], dtype=float)
            found[name] = Drawn(value, draws, tails, passed, np.isfinite(draws))
        return found


def combine(function, *drawn):
    """``function`` of several :class:`Drawn`, paired draw by draw: resamples of the same number were adjusted
    by the same draw of B_crit. What else they share, such as runs, pairs only within one law."""
    length = min(len(one.draws) for one in drawn)
    with np.errstate(all="ignore"):
        values = function(*(np.float64(one.value) for one in drawn))
        draws = function(*(one.draws[:length] for one in drawn))
    tails = min(one.tails[0] for one in drawn), max(one.tails[1] for one in drawn)
    known = np.all([one.known[:length] for one in drawn], axis=0)
    return Drawn(float(values), draws, tails, all(one.certified for one in drawn), known)


def counted(law, convention):
    """The convention of ``law`` that goes with ``convention``: a law of C knows nothing of N."""
    return convention if convention in LAWS[law].conventions else convention.removesuffix("_total")


# --- two roads ------------------------------------------------------------------------------------------


def _roads(study, convention, kind, laws):
    """Each exponent by both roads and their difference, the split of a budget, and the law's lines."""
    along = {}
    for quantity, (law, exponent) in laws.items():
        try:
            along[quantity] = study.parameters(law, counted(law, convention))[exponent]
        except Missing as reason:
            along[quantity] = reason
    try:
        optimum = Optimum.of(study, convention, kind)
        by_law = {quantity: optimum.exponent(quantity) for quantity in laws}
        lines = optimum.lines()
    except Missing as reason:
        by_law, lines = dict.fromkeys(laws, reason), None
    return {
        "exponents": {
            quantity: {
                "symbol": LAWS[law].parameters[exponent].symbol,
                "envelope": _told(along[quantity]),
                "law": _told(by_law[quantity]),
                "difference": _told(along[quantity], by_law[quantity], of=lambda one, other: one - other),
                "published": LAWS[law].parameters[exponent].published,
            }
            for quantity, (law, exponent) in laws.items()
        },
        "split": {
            quantity: {
                "envelope": _told(along[quantity], of=lambda p: BUDGET**p),
                "law": _told(by_law[quantity], of=lambda p: BUDGET**p),
                "published": PUBLISHED_SPLIT[quantity],
            }
            for quantity in PUBLISHED_SPLIT
            if quantity in laws and kind == "adjusted"
        },
        "lines": lines,
    }


def _told(*numbers, of=None):
    """Numbers, or the Missing in place of one of them, as JSON; ``of`` them, if it is given."""
    for number in numbers:
        if isinstance(number, Missing):
            return {"missing": str(number)}
    return (combine(of, *numbers) if of else numbers[0]).number()


@dataclass(frozen=True)
class Optimum:
    """The best size of L(N, S) at each compute, along sizes: logarithms (1 + R, G) of C, N, B, S, D and loss,
    the fit's first, then its draws'."""

    logs: dict[str, np.ndarray]
    tails: tuple[float, float]
    certified: bool
    known: np.ndarray
    computes: tuple[float, float]

    @classmethod
    def of(cls, study, convention, kind):
        """The optimum in a way of counting; with ``kind`` "adjusted" by S_min and C_min, else at the batch
        that the runs share.

        At a fixed compute S = C / (f(N) B) and L = T_N + T_S is least where α_N T_N = α_S T_S · g, with
        g = d ln f / d ln N, f the FLOPs per token: 1 for the paper's 6 N. There the loss does not move, nor
        does B_crit, so that the condition is the same with C_min (Kaplan et al. 2020, Appendix B.1).
        """
        counting = CONVENTIONS[convention]
        law = "L_NSmin" if kind == "adjusted" else "L_NS"
        found = study.parameters(law, "6N_total" if counting.N == "N_total" else "6N")
        runs, _ = sound(study.runs, CURVES, "test_loss")
        runs = [run for run in runs if counting.of(run)]
        N, f, g = _sizes(runs, counting)
        values = {name: np.concatenate([[one.value], one.draws])[:, None] for name, one in found.items()}
        with np.errstate(all="ignore"):
            of_size = (values["N_c"] / N) ** values["alpha_N"]
            of_steps = values["alpha_N"] * of_size / (values["alpha_S"] * g)
            loss, S = of_size + of_steps, values["S_c"] / of_steps ** (1 / values["alpha_S"])
            if kind == "adjusted":
                B = critical_batch(loss, alpha_B=values["alpha_B"], B_star=values["B_star"])
                D = 2 * S * B
            else:
                B = shared_batch(runs)
                D = S * B
            logs = {"C": f * S * B / PF_DAY, "N": N, "B": B, "S": S, "D": D, "loss": loss}
            logs = {name: np.log(np.broadcast_to(value, loss.shape)) for name, value in logs.items()}
        first = next(iter(found.values()))
        computes = _computes(study, convention, kind, logs["C"][0])
        return cls(logs, first.tails, first.certified, first.known, computes)

    def at(self, quantity, computes):
        """ln of ``quantity`` (1 + R, Q) at ``computes`` (PF-days); NaN where a draw does not reach them."""
        wanted, rows = np.log(computes), []
        for C, y in zip(self.logs["C"], self.logs[quantity], strict=True):
            C, y = C[np.isfinite(C)], y[np.isfinite(C)]
            # far below the sizes of a study, where embeddings are all of them, there is no optimum
            falling = np.flatnonzero(C[1:] <= C[:-1])
            C, y = (values[falling[-1] + 1 if len(falling) else 0 :] for values in (C, y))
            nothing = np.full(len(wanted), np.nan)
            rows.append(np.interp(wanted, C, y, left=np.nan, right=np.nan) if len(C) > 1 else nothing)
        return np.array(rows)

    def exponent(self, quantity):
        """d ln quantity / d ln C between the ends of the envelope's computes, less for the loss."""
        ends = self.at(quantity, np.array(self.computes))
        slopes = (ends[:, 1] - ends[:, 0]) / np.log(self.computes[1] / self.computes[0])
        slopes = -slopes if quantity == "loss" else slopes
        return Drawn(slopes[0], slopes[1:], self.tails, self.certified, self.known)

    def lines(self):
        """Lines over the envelope's computes as JSON: C and, for each quantity, y, low and high."""
        computes = np.geomspace(*self.computes, LINE_POINTS)
        lines = {"C": computes.tolist()}
        for quantity in QUANTITIES:
            found = np.exp(self.at(quantity, computes))
            kept = found[1:][np.isfinite(found[1:]).all(1)]
            if not (len(kept) and np.isfinite(found[0]).all()):
                return None
            low, high = np.quantile(kept, self.tails, axis=0)
            lines[quantity] = {"y": found[0].tolist(), "low": low.tolist(), "high": high.tolist()}
        return lines | {"certified": self.certified}


def _sizes(runs, counting):
    """Sizes (G,) as they are counted, far beyond those of ``runs``, their FLOPs per token (G,), and
    d ln FLOPs / d ln size (G,).

    What is counted beyond N, in size and in FLOPs beyond a multiple of N, goes as a power of N that is fitted
    to the study's sizes: head and embeddings go with the width.
    """
    N = column(runs, "N")
    if len(np.unique(N)) < FEWEST:
        raise Missing(f"{len(np.unique(N))} sizes, at least {FEWEST} are needed")
    body = (column(runs, "flops_per_token_6N") / N).mean()
    grid = np.geomspace(N.min() / BEYOND, N.max() * BEYOND, SIZE_POINTS)
    size = grid + _power(N, column(runs, counting.N) - N, grid)
    flops = body * grid + _power(N, column(runs, counting.flops) - body * N, grid)
    return size, flops, np.gradient(np.log(flops), np.log(size))


def _power(N, rest, grid):
    """``rest``, a power of ``N`` by least squares of logarithms, at ``grid``; nothing where there is none."""
    there = rest > 1e-9 * N
    if len(np.unique(N[there])) < 2:
        return np.zeros(len(grid))
    slope, intercept = np.polyfit(np.log(N[there]), np.log(rest[there]), 1)
    return np.exp(intercept) * grid**slope


def shared_batch(runs):
    """The batch (tokens) that all runs share; raises :class:`Missing` where they share none."""
    batches = {run.get("B") for run in runs}
    if len(batches) > 1 or not all(map(finite, batches)):
        raise Missing("its runs do not share one batch size B")
    return batches.pop()


def _computes(study, convention, kind, own):
    """The computes between which the envelope's law of N is fitted; without it, those of its law of L."""
    for quantity in ("N", "loss"):
        law = ROADS[kind][quantity][0]
        try:
            report, _ = study.block(law, counted(law, convention))
        except Missing:
            continue
        computes = next(iter(report["data"]["inputs"].values()))
        if max(computes) > min(computes):
            return min(computes), max(computes)
    inner = own[np.isfinite(own)]
    if not len(inner):
        raise Missing("the optimum of L(N, S) has no finite compute")
    return float(np.exp(inner[len(inner) // 3])), float(np.exp(inner[2 * len(inner) // 3]))


# --- what follows ---------------------------------------------------------------------------------------


def _closed_form(study):
    """α_C of L(C_min) by the envelope, as the other exponents imply it (eq. 6.4), and the difference."""
    try:
        fitted = study.parameters("L_Cmin", "6N")["alpha_C"]
    except Missing as reason:
        fitted = reason
    try:
        found = study.parameters("L_NSmin", "6N")
        implied = combine(
            lambda N, S, B: compute_exponent(alpha_N=N, alpha_S=S, alpha_B=B),
            *(found[name] for name in ("alpha_N", "alpha_S", "alpha_B")),
        )
    except Missing as reason:
        implied = reason
    return {
        "fitted": _told(fitted),
        "implied": _told(implied),
        "difference": _told(fitted, implied, of=lambda one, other: one - other),
        "published": {"fitted": 0.050, "implied": 0.054},
    }


def _off_optimum(study):
    """What a size other than the best costs in compute and steps, at one loss, by L(N, S_min), C = 6 N B S.

    At the loss L the best size has T_N = L / (1 + φ) with φ = α_N/α_S (Appendix B.2); a size r times as
    large leaves L − T_N r^(−α_N) to its steps. Neither depends on L.
    """
    try:
        found = study.parameters("L_NSmin", "6N")
    except Missing as reason:
        return {"missing": str(reason)}
    N, S = found["alpha_N"], found["alpha_S"]

    def steps(r):
        def ratio(alpha_N, alpha_S):
            left = 1 + alpha_N / alpha_S - r**-alpha_N
            share = np.where(left > 0, left / (alpha_N / alpha_S), np.nan)
            return share ** (-1 / alpha_S)

        return ratio

    def compute(r):
        return lambda alpha_N, alpha_S: r * steps(r)(alpha_N, alpha_S)

    def against_convergence(of):
        def ratio(alpha_N, alpha_S):
            excess = efficient_excess(alpha_N=alpha_N, alpha_S=alpha_S)
            larger = ((1 + excess) / (1 + CONVERGED)) ** (1 / alpha_N)
            fewer = ((1 + CONVERGED) / CONVERGED / ((1 + excess) / excess)) ** (1 / alpha_S)
            return {"parameters": larger, "steps": fewer, "compute": 1 - larger / fewer}[of]

        return combine(ratio, N, S).number()

    near = {end: combine(lambda a, b, end=end: _reach(a, b, end), N, S).number() for end in (-1, 1)}
    curve = [
        {"ratio": float(r), "compute": compute_of, "steps": steps_of}
        for r in RATIOS
        for compute_of, steps_of in [(combine(compute(r), N, S).number(), combine(steps(r), N, S).number())]
        if "value" in compute_of and "value" in steps_of
    ]
    return {
        "tolerated": TOLERATED,
        "smallest": near[-1] | {"published": 0.6},
        "largest": near[1] | {"published": 2.2},
        "against_convergence": {
            "parameters": against_convergence("parameters") | {"published": 2.7},
            "steps": against_convergence("steps") | {"published": 7.7},
            "compute": against_convergence("compute") | {"published": 0.65},
        },
        "curve": curve,
    }


def _reach(alpha_N, alpha_S, end):
    """The smallest (``end`` −1) or largest (1) multiple of the best size within TOLERATED more compute."""
    alpha_N, alpha_S = np.atleast_1d(alpha_N)[:, None], np.atleast_1d(alpha_S)[:, None]
    size = np.linspace(0, end * np.log(1e4), 4000)
    left = 1 + alpha_N / alpha_S - np.exp(-alpha_N * size)
    share = np.where(left > 0, left * alpha_S / alpha_N, 1e-300)
    dearer = size - np.log(share) / alpha_S > np.log1p(TOLERATED)
    first = dearer.argmax(1)
    found = np.where(dearer.any(1), np.exp(size[first]), np.nan)
    return found if len(found) > 1 else found[0]


def _crossing(study):
    """Where L(C_min) would fall below L(D) of the tokens that its best size sees (section 6.3, figure 15).

    With D = D_e C^p_D the loss cannot be less than L(D) = (D_c/D)^α_D, which falls as C^(−α_D p_D): more
    slowly than L(C_min), if the laws are to contradict each other somewhere.
    """
    laws = {"L_Cmin": ("alpha_C", "C_c"), "D_opt": ("p_D", "D_e"), "L_D": ("alpha_D", "D_c")}
    try:
        names = [study.parameters(law, "6N")[name] for law, both in laws.items() for name in both]
        size = [study.parameters("N_opt_Cmin", "6N")[name] for name in ("p_N", "N_e")]
    except Missing as reason:
        return {"missing": str(reason)}

    def where(alpha_C, C_c, p_D, D_e, alpha_D, D_c):
        gap = alpha_C - alpha_D * p_D
        C = (alpha_C * np.log(C_c) - alpha_D * (np.log(D_c) - np.log(D_e))) / gap
        return np.where(gap > 0, np.exp(np.clip(C, -700, 700)), np.nan)

    C = combine(where, *names)
    if not all(one.certified for one in names):
        return {"missing": f"a fit that it needs, of {', '.join(laws)}, is not certified"}
    if not np.isfinite(C.value):
        return {
            "missing": "L(D) of the efficient runs falls no slower than L(C_min), so that they do not meet"
        }
    alpha_C, C_c, p_D, D_e, *_ = names
    crossing = {
        "C": C,
        "N": combine(lambda C, p, scale: scale * C**p, C, *size),
        "D": combine(lambda C, p, scale: scale * C**p, C, p_D, D_e),
        "loss": combine(lambda C, alpha, scale: (scale / C) ** alpha, C, alpha_C, C_c),
    }
    found = {name: one.number() | {"published": PUBLISHED_CROSSING[name]} for name, one in crossing.items()}
    return found | {"crossing_share": float(np.isfinite(C.draws[C.known]).mean())}
