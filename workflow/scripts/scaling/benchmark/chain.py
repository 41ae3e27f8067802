"""A whole study simulated from the paper's L(N, S_min) and B_crit, on its grid, to try the chain on.

From batch scans to B_crit, from learning curves to L(N, S_min), L(C_min) and the frontier.
"""

from functools import partial

import numpy as np

from scaling import allocation, selections
from scaling.laws import LAWS, SEED_NOISE, critical_batch

POINT_NOISE = 0.005
"""Nats between test points of one curve."""
SIZES = np.geomspace(768, 1.5e9, 24)
STEPS = np.geomspace(3000, 2.5e5, 12)
BATCH = 2**19
SCANNED = (3e6, 85e6)
"""Sizes of the paper's batch scans (figure 18)."""
BATCHES = 2.0 ** np.arange(14, 23)
SCAN_STEPS, SCAN_TOKENS = 1.2e4, 1e10
"""A scan's run takes so many steps and so many tokens / B more, which reaches about 0.3 nats above the
converged loss with any batch."""
SCAN_POINTS = 24
GREATEST_LOSS = 12.0
DELTA = 0.01
FITTED = (
    "B_crit",
    *(law for laws in allocation.ROADS.values() for law, _ in laws.values()),
    "L_NS",
    "L_NSmin",
)


def truth():
    """The constants that studies are simulated with: those of L(N, S_min) and B_crit by name."""
    return {
        key: parameter.published
        for law in ("L_NSmin", "B_crit")
        for key, parameter in LAWS[law].parameters.items()
    }


def exponents():
    """The frontier's exponents that they imply, by name (Kaplan et al. 2020, eqs. 6.4 to 6.7)."""
    constants = truth()
    alpha_C = 1 / sum(1 / constants[key] for key in ("alpha_N", "alpha_S", "alpha_B"))
    p_N, p_B, p_S = (alpha_C / constants[key] for key in ("alpha_N", "alpha_B", "alpha_S"))
    return {"alpha_C": alpha_C, "p_N": p_N, "p_B": p_B, "p_S": p_S, "p_D": p_B + p_S}


def loss(N, S, B):
    """The loss after ``S`` steps of ``B`` tokens by L(N, S_min) and B_crit(L); arrays are broadcast.

    S_min depends on the loss by B_crit: the root in between is found by bisection of ln L.
    """
    c = truth()
    N, S, B = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (N, S, B)))
    converged = (c["N_c"] / N) ** c["alpha_N"]
    low, high = np.log(converged), np.full(N.shape, np.log(1e3))
    for _ in range(60):
        middle = (low + high) / 2
        S_min = S / (1 + critical_batch(np.exp(middle), alpha_B=c["alpha_B"], B_star=c["B_star"]) / B)
        above = converged + (c["S_c"] / S_min) ** c["alpha_S"] > np.exp(middle)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp(low)


def study(rng, *, noise=1.0):
    """Tables of runs and curves: the paper's sizes at its batch, and its batch scans."""
    tables = [], []
    for N in SIZES.round():
        _train(tables, rng, noise, "size", N, BATCH, STEPS)
    for N in SCANNED:
        for B in BATCHES:
            last = SCAN_STEPS + SCAN_TOKENS / B
            _train(tables, rng, noise, "batch", N, B, np.geomspace(last / 300, last, SCAN_POINTS))
    return tables


def chain(runs, curves, *, seed, resamples):
    """Every law of the frontier fitted to tables of runs and curves, and how a budget splits by them."""
    fits, draws, critical = {}, {}, None
    for law in FITTED:
        options = {"resamples": resamples, "seed": seed, "delta": DELTA, "critical": critical}
        fits[law], draws[law] = selections.fit_law(law, runs, curves, **options)
        if law == "B_crit":
            critical = fits[law], draws[law]
    return fits, allocation.allocate(runs, fits, draws)


def run(seed, *, resamples, noise=1.0):
    """The :func:`chain` on one simulated study."""
    return chain(*study(np.random.default_rng(seed), noise=noise), seed=seed, resamples=resamples)


def held(seed, *, resamples):
    """Which true values lie inside their intervals in one simulated study: {name: bool}."""
    fits, split = run(seed, resamples=resamples)
    true = exponents()
    alpha_B = fits["B_crit"]["parameters"]["alpha_B"]
    found = {"α_B": alpha_B["low"] <= truth()["alpha_B"] <= alpha_B["high"]}
    for quantity, both in split["conventions"]["6N"]["adjusted"]["exponents"].items():
        value = true["alpha_C" if quantity == "loss" else f"p_{quantity}"]
        for road in ("envelope", "law"):
            number = both[road]
            inside = "missing" not in number and number["low"] <= value <= number["high"]
            found[f"{both['symbol']} by the {road}"] = inside and number["certified"]
    return found


def coverage(*, repetitions, resamples, run=map):
    """Share of ``repetitions`` in which each interval held the true value, by name."""
    found = list(run(partial(held, resamples=resamples), range(repetitions)))
    return {name: sum(one[name] for one in found) / repetitions for name in found[0]}


def _train(tables, rng, noise, experiment, N, B, steps):
    name = f"{experiment}-N{N:.0f}-B{B:.0f}"
    scatter = rng.normal(0, SEED_NOISE) + rng.normal(0, POINT_NOISE, len(steps))
    losses = np.minimum(loss(N, steps, B), GREATEST_LOSS) + noise * scatter
    runs, curves = tables
    runs.append({
        **{"run": name, "experiments": [experiment], "status": "finished", "N": N, "B": B, "warmup": 0},
        **{"test_loss": losses[-1], "tokens": B * steps[-1], "steps": steps[-1], "flops_per_token_6N": 6 * N},
    })  # fmt: skip
    curves += [
        {"run": name, "step": S, "tokens": B * S, "test_loss": value}
        for S, value in zip(steps, losses, strict=True)
    ]
