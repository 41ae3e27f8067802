"""The laws: their forms, what each is fitted to, and what was published.

Adding a law is adding one entry to :data:`LAWS`; if no selection of :data:`scaling.selections.SELECTIONS`
names the points it is fitted to, one of those as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from scaling.forms import (
    CRITICAL,
    INVERSE,
    RISING,
    Form,
    Irreducible,
    Logarithm,
    Overfitting,
    Sum,
    Term,
    power,
)
from scaling.units import PF_DAY

PAPER = "Kaplan et al. 2020"
CHINCHILLA = "Hoffmann et al. 2022"
REFIT = "Besiroglu et al. 2024"
PORIAN = "Porian et al. 2024"

SEED_NOISE = 0.02
"""Nats by which the paper's losses differ between seeds (section 4.2)."""
RUN_TO_RUN = 0.05
"""Nats by which they differ between runs whose learning-rate schedules do (appendix D.6)."""

FLOPS = ("6N", "head", "attention")
"""Ways to count FLOPs, of :func:`scaling.counts.flops_per_token`."""
FLOPS_AND_N = (*FLOPS, *(f"{way}_total" for way in FLOPS))
"""Those, and each with the embeddings in N."""

VARIABLES = {
    "N": "non-embedding parameters N",
    "D": "training tokens D",
    "C": "training compute C (PF-days)",
    "C_min": "least training compute C_min (PF-days)",
    "S": "training steps S",
    "S_min": "least training steps S_min",
    "B": "batch size B (tokens)",
    "loss": "test loss (nats per token)",
    "B_crit": "critical batch size (tokens)",
}
"""What each input, and each thing predicted, is called on an axis, with its unit."""

UNSURE = 0.2
"""Huber's δ for what is read off curves, such as a critical batch size: known to a tenth, not to 0.5 %."""


@dataclass(frozen=True)
class Comparison:
    """Another published value of a parameter, and where it stands."""

    value: float
    source: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a law: its published value, its unit (None for an exponent) and its place.

    An exponent is natural on a linear scale, whatever has a unit on a logarithmic one. ``published`` is None
    for what is measured anew for each model.
    """

    symbol: str
    published: float | None
    unit: str | None
    place: str
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Rival:
    """Another form for the same points: a law with or without an irreducible term, or a logarithm."""

    form: Form
    formula: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Derived:
    """A number that a law's parameters imply: how it is written, and ``value(parameters by name)``."""

    symbol: str
    formula: str
    value: Callable
    published: float
    source: str


@dataclass(frozen=True)
class Law:
    """One law. ``parameters`` are in the order of ``form``, ``inputs`` too.

    ``points`` names a selection of :data:`scaling.selections.SELECTIONS`, None for what is fitted as a part
    of another law; ``experiments`` are those without which it has none. ``conventions`` are the ways to count
    FLOPs or parameters that the law is fitted in, the first its own. ``adjusted`` laws are about training far
    below the critical batch size, so that their points need B_crit. ``delta`` is Huber's δ on ln y where what
    is fitted is no loss; for losses a study sets it.
    """

    formula: str
    latex: str
    form: Form
    inputs: tuple[str, ...]
    y: str
    source: str
    parameters: dict[str, Parameter]
    points: str | None
    fitted_to: str
    experiments: tuple[str, ...] = ("size",)
    conventions: tuple[str, ...] = ("6N",)
    rivals: dict[str, Rival] = field(default_factory=dict)
    derived: dict[str, Derived] = field(default_factory=dict)
    delta: float | None = None
    adjusted: bool = False

    def predict(self, inputs, parameters):
        """What the law predicts (P,) at ``inputs`` with ``parameters`` (name -> number).

        Inputs (name -> number or (P,)) are broadcast against each other.
        """
        arrays = np.broadcast_arrays(*(np.atleast_1d(inputs[name]) for name in self.inputs))
        u = np.log(np.array(arrays, dtype=float))
        values = np.array([[parameters[name] for name in self.parameters]])
        origin = np.zeros(len(u))
        return np.exp(self.form.evaluate(self.form.internal(values, origin), u)[0][0])

    def published(self, **inputs):
        """What the law predicts at ``inputs`` with its published constants."""
        return self.predict(inputs, {name: found.published for name, found in self.parameters.items()})


def _loss_law(law):
    """``law`` with its rivals: an irreducible term more or less, and a logarithm for a single input."""
    formula = law.formula.removeprefix("L = ")
    rivals, names = {}, tuple(law.parameters)
    if isinstance(law.form, Sum) and law.form.terms[-1].x is None:
        reducible = replace(law.form, terms=law.form.terms[:-1])
        rivals["without irreducible term"] = Rival(
            reducible, f"L = {formula.removeprefix('E + ')}", names[:-1]
        )
    else:
        form = Sum((*law.form.terms, Term())) if isinstance(law.form, Sum) else Irreducible(law.form)
        rivals["with irreducible term"] = Rival(form, f"L = L_∞ + {formula}", (*names, "L_inf"))
    if len(law.inputs) == 1:
        x = law.inputs[0]
        rivals["logarithm"] = Rival(Logarithm(), f"L = k · ln({x}_0 / {x})", ("k", f"{x}_0"))
    return replace(law, rivals=rivals)


def _allocation(y, exponent, p, scale, unit, points, fitted_to, others=((), ()), conventions=FLOPS):
    """How the compute-efficient choice of ``y`` goes with C_min (Table 6)."""
    of_p, of_scale = (tuple(Comparison(*other) for other in found) for found in others)
    (letter, which), (name, published) = y.split("_"), scale
    return Law(
        formula=f"{y} = {name} · C_min^{exponent}",
        latex=rf"{letter}_\mathrm{{{which}}}(C_\min) = {name} \, C_\min^{{{exponent}}}",
        form=power(RISING),
        inputs=("C_min",),
        y=letter,
        source=f"{PAPER}, Table 6",
        parameters={
            exponent: Parameter(exponent, p, None, "Table 6", of_p),
            name: Parameter(name, published, unit, "Table 6", of_scale),
        },
        points=points,
        experiments=("size", "batch"),
        conventions=conventions,
        fitted_to=fitted_to,
        delta=UNSURE,
        adjusted=True,
    )


def _steps_law(steps, latex, **more):
    """L(N, S) in ``steps`` as trained or as adjusted, by name; ``more`` are other fields of a law."""
    law = Law(
        formula=f"L = (N_c / N)^α_N + (S_c / {steps})^α_S",
        latex=f"L = {latex}",
        form=Sum((Term(0, CRITICAL), Term(1, CRITICAL))),
        inputs=("N", steps),
        y="loss",
        source=f"{PAPER}, eq. 1.6",
        parameters={
            "alpha_N": Parameter("α_N", 0.077, None, "Table 3"),
            "N_c": Parameter("N_c", 6.5e13, "parameters", "Table 3"),
            "alpha_S": Parameter("α_S", 0.76, None, "Table 3"),
            "S_c": Parameter("S_c", 2.1e3, "steps", "Table 3"),
        },
        points="curves",
        conventions=("6N", "6N_total"),
        **more,
    )
    return _loss_law(law)


def _exponents(parameters):
    """Those that the frontier follows from, of all ``parameters`` by name."""
    return {name: parameters[name] for name in ("alpha_N", "alpha_S", "alpha_B")}


LAWS = {
    "L_N": _loss_law(
        Law(
            formula="L = (N_c / N)^α_N",
            latex=r"L(N) = \left(N_c / N\right)^{\alpha_N}",
            form=power(),
            inputs=("N",),
            y="loss",
            source=f"{PAPER}, eq. 1.1",
            parameters={
                "alpha_N": Parameter("α_N", 0.076, None, "eq. 1.1"),
                "N_c": Parameter("N_c", 8.8e13, "parameters", "eq. 1.1"),
            },
            points="size",
            fitted_to="the last test loss of each size, trained to convergence on enough data",
        )
    ),
    "L_D": _loss_law(
        Law(
            formula="L = (D_c / D)^α_D",
            latex=r"L(D) = \left(D_c / D\right)^{\alpha_D}",
            form=power(),
            inputs=("D",),
            y="loss",
            source=f"{PAPER}, eq. 1.2",
            parameters={
                "alpha_D": Parameter("α_D", 0.095, None, "eq. 1.2"),
                "D_c": Parameter("D_c", 5.4e13, "tokens", "eq. 1.2"),
            },
            points="data",
            experiments=("data",),
            fitted_to="the lowest test loss of a large model at each D, stopped early",
        )
    ),
    "L_C": _loss_law(
        Law(
            formula="L = (C_c / C)^α_C",
            latex=r"L(C) = \left(C_c / C\right)^{\alpha_C}",
            form=power(),
            inputs=("C",),
            y="loss",
            source=f"{PAPER}, Table 5 (fixed batch size)",
            parameters={
                "alpha_C": Parameter(
                    "α_C",
                    0.057,
                    None,
                    "Table 5",
                    (Comparison(0.050, f"{PAPER}, eq. 1.3: C_min, batch adjusted"),),
                ),
                "C_c": Parameter("C_c", 1.6e7, "PF-days", "Table 5"),
            },
            points="envelope",
            conventions=FLOPS,
            fitted_to="the lower envelope of the learning curves of all sizes at one batch size",
        )
    ),
    "L_Cmin": _loss_law(
        Law(
            formula="L = (C_c / C_min)^α_C",
            latex=r"L(C_{\min}) = \left(C_c^{\min} / C_{\min}\right)^{\alpha_C^{\min}}",
            form=power(),
            inputs=("C_min",),
            y="loss",
            source=f"{PAPER}, eq. 1.3",
            parameters={
                "alpha_C": Parameter(
                    "α_C",
                    0.050,
                    None,
                    "eq. 1.3",
                    (
                        Comparison(0.054, f"{PAPER}, eq. 6.4: from the other exponents"),
                        Comparison(0.052, f"{PAPER}, eq. B.7: from the other exponents"),
                        Comparison(0.0525, f"{PAPER}: eq. 6.4 by arithmetic"),
                    ),
                ),
                "C_c": Parameter("C_c", 3.1e8, "PF-days", "eq. 1.3"),
            },
            points="envelope",
            experiments=("size", "batch"),
            conventions=FLOPS,
            fitted_to="the envelope of the learning curves, compute adjusted to batches far below B_crit",
            adjusted=True,
        )
    ),
    "L_ND": _loss_law(
        Law(
            formula="L = [(N_c / N)^(α_N/α_D) + D_c / D]^α_D",
            latex=r"L(N, D) = \left[\left(N_c / N\right)^{\alpha_N / \alpha_D} + D_c / D\right]^{\alpha_D}",
            form=Overfitting(),
            inputs=("N", "D"),
            y="loss",
            source=f"{PAPER}, eq. 1.5",
            parameters={
                "alpha_N": Parameter("α_N", 0.076, None, "Table 2"),
                "N_c": Parameter("N_c", 6.4e13, "parameters", "Table 2"),
                "alpha_D": Parameter("α_D", 0.103, None, "Table 2"),
                "D_c": Parameter("D_c", 1.8e13, "tokens", "Table 2"),
            },
            points="size_and_data",
            experiments=("data",),
            fitted_to="the lowest test loss of every size on every data set, stopped early",
            derived={
                "data_exponent": Derived(
                    "α_N/α_D",
                    "D ∝ N^(α_N/α_D) avoids overfitting",
                    lambda p: p["alpha_N"] / p["alpha_D"],
                    0.74,
                    f"{PAPER}, eq. 4.4",
                )
            },
        )
    ),
    "L_NS": _steps_law(
        "S",
        r"(N_c / N)^{\alpha_N} + (S_c / S)^{\alpha_S}",
        fitted_to="learning curves of all sizes past warm-up, steps as trained; the paper's are S_min",
    ),
    "L_NSmin": _steps_law(
        "S_min",
        r"(N_c / N)^{\alpha_N} + (S_c / S_{\min})^{\alpha_S}",
        fitted_to="learning curves of all sizes past warm-up, steps adjusted to batches far above B_crit",
        experiments=("size", "batch"),
        adjusted=True,
        derived={
            "alpha_C": Derived(
                "α_C",
                "α_C = 1/(1/α_S + 1/α_B + 1/α_N)",
                lambda p: compute_exponent(**_exponents(p)),
                0.054,
                f"{PAPER}, eq. 6.4",
            ),
            "p_N": Derived(
                "p_N",
                "N_opt ∝ C_min^(α_C/α_N)",
                lambda p: compute_exponent(**_exponents(p)) / p["alpha_N"],
                0.71,
                f"{PAPER}, eq. 6.5",
            ),
            "excess": Derived(
                "α_N/α_S",
                "the best size stops at α_N/α_S above its converged loss",
                lambda p: efficient_excess(alpha_N=p["alpha_N"], alpha_S=p["alpha_S"]),
                0.10,
                f"{PAPER}, eq. B.4",
            ),
        },
    ),
    "chinchilla": _loss_law(
        Law(
            formula="L = E + A / N^α + B / D^β",
            latex=r"L(N, D) = E + A / N^{\alpha} + B / D^{\beta}",
            form=Sum((Term(0), Term(1), Term())),
            inputs=("N", "D"),
            y="loss",
            source=f"{CHINCHILLA}, eq. 10",
            parameters={
                "alpha": Parameter("α", 0.34, None, "eq. 10", (Comparison(0.3478, REFIT),)),
                "A": Parameter("A", 406.4, "nats", "eq. 10", (Comparison(482.01, REFIT),)),
                "beta": Parameter("β", 0.28, None, "eq. 10", (Comparison(0.3658, REFIT),)),
                "B": Parameter("B", 410.7, "nats", "eq. 10", (Comparison(2085.43, REFIT),)),
                "E": Parameter("E", 1.69, "nats", "eq. 10", (Comparison(1.8169, REFIT),)),
            },
            points="size_and_tokens",
            fitted_to="the last test loss of several sizes after several numbers of tokens, each seen once",
            conventions=("6N", "6N_total"),
            derived={
                "p_N": Derived(
                    "p_N",
                    "N_opt ∝ C^(β/(α+β))",
                    lambda p: p["beta"] / (p["alpha"] + p["beta"]),
                    0.46,
                    f"{CHINCHILLA}, Table 2",
                )
            },
        )
    ),
    "B_crit": Law(
        formula="B_crit = B* / L^(1/α_B)",
        latex=r"B_{\mathrm{crit}}(L) = B_* / L^{1/\alpha_B}",
        form=power(INVERSE),
        inputs=("loss",),
        y="B_crit",
        source=f"{PAPER}, eq. 5.3",
        parameters={
            "alpha_B": Parameter("α_B", 0.21, None, "Table 5"),
            "B_star": Parameter("B*", 2.1e8, "tokens", "Table 5", (Comparison(2e8, f"{PAPER}, eq. 1.4"),)),
        },
        points="critical",
        experiments=("batch",),
        fitted_to="steps to reach each loss at each batch size of batch scans, all hyperbolas at once",
        delta=UNSURE,
    ),
    "steps_examples": Law(
        formula="S = S_min + E_min / B",
        latex=r"\left(S / S_{\min} - 1\right)\left(E / E_{\min} - 1\right) = 1, \quad E = B S",
        form=Sum((Term(), Term(0, fixed=1.0))),
        inputs=("B",),
        y="S",
        source=f"{PAPER}, eq. 5.1",
        parameters={
            "S_min": Parameter("S_min", None, "steps", "eq. 5.1"),
            "E_min": Parameter("E_min", None, "tokens", "eq. 5.1"),
        },
        points=None,
        experiments=("batch",),
        fitted_to="steps to reach one loss at each batch size; in a study, the levels of B_crit",
        delta=UNSURE,
    ),
    "N_opt": Law(
        formula="N_opt = N_e · C^p_N",
        latex=r"N_{\mathrm{opt}}(C) = N_e \, C^{\,p_N}",
        form=power(RISING),
        inputs=("C",),
        y="N",
        source=f"{PAPER}, Figure 14 (fixed batch size)",
        parameters={
            "p_N": Parameter(
                "p_N",
                0.88,
                None,
                "Figure 14",
                (
                    Comparison(0.73, f"{PAPER}, Table 6: C_min, batch adjusted"),
                    Comparison(0.50, f"{CHINCHILLA}, about"),
                    Comparison(0.835, f"{PORIAN}: the paper's recipe repeated"),
                    Comparison(0.706, f"{PORIAN}: output head counted"),
                    Comparison(0.602, f"{PORIAN}: and a shorter warm-up"),
                    Comparison(0.571, f"{PORIAN}: and a schedule per budget"),
                    Comparison(0.497, f"{PORIAN}: and an optimizer tuned per size"),
                ),
            ),
            "N_e": Parameter("N_e", 1.6e9, "parameters", "Figure 14"),
        },
        points="best_size",
        fitted_to="the size with the lowest loss at each compute, at one batch size",
        conventions=FLOPS_AND_N,
    ),
    "N_opt_Cmin": _allocation(
        *("N_opt", "p_N", 0.73, ("N_e", 1.3e9), "parameters", "best_size"),
        "the size with the lowest loss at each C_min",
        (
            (
                (0.71, f"{PAPER}, eq. 6.5: from the other exponents"),
                (0.50, f"{CHINCHILLA}, about"),
            ),
            ((5.8e8, f"{PAPER}, Appendix B: from the other constants"),),
        ),
        FLOPS_AND_N,
    ),
    "B_opt": _allocation(
        *("B_opt", "p_B", 0.24, ("B_e", 2.0e6), "tokens", "efficient_batch"),
        "the critical batch size at the loss of each C_min's best size",
    ),
    "S_min": _allocation(
        *("S_min", "p_S", 0.03, ("S_e", 5.4e3), "steps", "best_steps"),
        "the fewest steps to the loss of each C_min's best size",
    ),
    "D_opt": _allocation(
        *("D_opt", "p_D", 0.27, ("D_e", 2e10), "tokens", "best_data"),
        "the tokens that each C_min's best size sees when trained at the critical batch size",
        (((0.26, f"{PAPER}, eq. 6.7"),), ((4e10, f"{PAPER}, eq. 6.7"),)),
    ),
}
"""Every law by the name of its file, results/fits/{law}.json."""


OF_CURVES = (
    "curves", "envelope", "best_size", "critical", "efficient_batch", "best_steps", "best_data",
)  # fmt: skip
"""Selections that need learning curves, not only how runs ended."""


def available(experiments, *, curves=True, wanted="all"):
    """Names of the laws to fit to a study, in order: what is ``wanted`` ("all" or names) and can have points.

    ``experiments`` are the study's; ``curves``: whether it has learning curves.
    """
    return [
        name
        for name, law in LAWS.items()
        if (wanted == "all" and law.points and set(law.experiments) <= set(experiments)
            and (curves or law.points not in OF_CURVES)) or name in wanted
    ]  # fmt: skip


# --- what follows from fitted laws ----------------------------------------------------------------------


def overfitting(N, D, *, alpha_N, N_c, alpha_D, D_c):
    """δL = L(N, D) / L(N, ∞) − 1 by the parameters of L_ND (Kaplan et al. 2020, eq. 4.3)."""
    return (1 + (N / N_c) ** (alpha_N / alpha_D) * D_c / D) ** alpha_D - 1


def earliest_stop(excess, *, alpha_S, S_c):
    """Steps after which a run may stop early: S_c / [L(N, D) − L(N, ∞)]^(1/α_S) at least (eq. 5.7).

    ``excess`` is that difference of losses, in nats; α_S and S_c are those of L_NS.
    """
    return S_c / excess ** (1 / alpha_S)


def compute_exponent(*, alpha_N, alpha_S, alpha_B):
    """α_C of L(C_min) as the other laws imply it: 1 / (1/α_S + 1/α_B + 1/α_N) (eq. 6.4)."""
    return 1 / (1 / alpha_S + 1 / alpha_B + 1 / alpha_N)


def efficient_excess(*, alpha_N, alpha_S):
    """How far above its converged loss the compute-efficient size stops, as a share: α_N / α_S (eq. B.4)."""
    return alpha_N / alpha_S


def compute_optimal(C, *, alpha, A, beta, B):
    """N and D where E + A / N^α + B / D^β is least at ``C`` = 6 N D PF-days (Hoffmann et al. 2022, eq. 4)."""
    product = C * PF_DAY / 6
    scale = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return scale * product ** (beta / (alpha + beta)), product ** (alpha / (alpha + beta)) / scale


def critical_batch(loss, *, alpha_B, B_star):
    """B_crit (tokens) at a loss (nats per token): B* / L^(1/α_B) (eq. 5.3)."""
    return B_star / loss ** (1 / alpha_B)


def least_steps(S, B, B_crit):
    """S_min = S / (1 + B_crit / B): the steps that batches far above B_crit would have taken (eq. 5.4)."""
    return S / (1 + B_crit / B)


def least_compute(C, B, B_crit):
    """C_min = C / (1 + B / B_crit): the compute that batches far below B_crit would have taken (eq. 5.5)."""
    return C / (1 + B / B_crit)


def loss_at_compute(N, C_min, *, alpha_N, N_c, alpha_S, S_c, alpha_B, B_star):
    """The loss of a size ``N`` at a least compute (PF-days), by L(N, S_min) at S_min = C_min / (6 N B_crit).

    B_crit depends on the loss: it falls as the loss rises, the steps rise, and so the law's loss falls, which
    leaves one root, found by bisection of ln L. Arrays are broadcast.
    """
    N, C_min = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (N, C_min)))
    converged = (N_c / N) ** alpha_N
    low, high = np.log(converged), np.log(converged) + 100
    for _ in range(60):
        middle = (low + high) / 2
        B_crit = critical_batch(np.exp(middle), alpha_B=alpha_B, B_star=B_star)
        S_min = C_min * PF_DAY / (6 * N * B_crit)
        above = converged + (S_c / S_min) ** alpha_S > np.exp(middle)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp(low)
