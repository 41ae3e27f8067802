"""The laws: their forms, what each is fitted to, and what was published.

Adding a law is adding one entry to :data:`LAWS`; if no selection of :data:`scaling.frontier.SELECTIONS`
names the points it is fitted to, one of those as well.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PAPER = "Kaplan et al. 2020"
CHINCHILLA = "Hoffmann et al. 2022"
PORIAN = "Porian et al. 2024"


@dataclass(frozen=True)
class Comparison:
    """Another published value of a parameter, and where it stands."""

    value: float
    source: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a law: the paper's value, its unit (None for an exponent) and its place in the paper."""

    symbol: str
    published: float
    unit: str | None
    place: str
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Form:
    """A law as a function, and its parameters from a straight line in log-log coordinates.

    ``predict(x, exponent, scale)`` gives y. ``from_line(intercept, slope)`` turns ln y = intercept +
    slope · ln x into (exponent, scale). All take numbers or arrays.
    """

    predict: Callable
    from_line: Callable


def _exp(exponent):
    """e to the power, held within what a double can express: a scale may be all but unidentified."""
    return np.exp(np.clip(exponent, -700, 700))


def _falling(intercept, slope):
    with np.errstate(divide="ignore"):
        return -slope, _exp(-np.divide(intercept, slope))


FALLING = Form(lambda x, alpha, x_c: (x_c / x) ** alpha, _falling)
"""y = (x_c / x)^α, the form of eqs. 1.1 to 1.3."""

RISING = Form(lambda x, p, scale: scale * x**p, lambda intercept, slope: (slope, _exp(intercept)))
"""y = scale · x^p, the form of the compute-efficient allocations (Table 6)."""


@dataclass(frozen=True)
class Law:
    """One law. ``parameters`` are in the order of ``form``: the exponent, then the scale.

    ``points`` names a selection of :data:`scaling.frontier.SELECTIONS`. ``conventions`` are the ways to
    count training FLOPs per token that the law is fitted in, the paper's own first.
    """

    formula: str
    latex: str
    form: Form
    x: str
    x_label: str
    y: str
    y_label: str
    source: str
    parameters: dict[str, Parameter]
    points: str
    conventions: tuple[str, ...] = ("6N",)

    def published(self, x):
        """y at ``x`` (number or array) by the paper's constants."""
        return self.form.predict(x, *(parameter.published for parameter in self.parameters.values()))


LOSS = {"y": "loss", "y_label": "test loss (nats per token)", "form": FALLING}

LAWS = {
    "L_N": Law(
        formula="L = (N_c / N)^α_N",
        latex=r"L(N) = \left(N_c / N\right)^{\alpha_N}",
        x="N",
        x_label="non-embedding parameters N",
        source=f"{PAPER}, eq. 1.1",
        parameters={
            "alpha_N": Parameter("α_N", 0.076, None, "eq. 1.1"),
            "N_c": Parameter("N_c", 8.8e13, "parameters", "eq. 1.1"),
        },
        points="size",
        **LOSS,
    ),
    "L_D": Law(
        formula="L = (D_c / D)^α_D",
        latex=r"L(D) = \left(D_c / D\right)^{\alpha_D}",
        x="D",
        x_label="training tokens D",
        source=f"{PAPER}, eq. 1.2",
        parameters={
            "alpha_D": Parameter("α_D", 0.095, None, "eq. 1.2"),
            "D_c": Parameter("D_c", 5.4e13, "tokens", "eq. 1.2"),
        },
        points="data",
        **LOSS,
    ),
    "L_C": Law(
        formula="L = (C_c / C)^α_C",
        latex=r"L(C) = \left(C_c / C\right)^{\alpha_C}",
        x="C",
        x_label="training compute C (PF-days)",
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
        **LOSS,
    ),
    "N_opt": Law(
        formula="N_opt = N_e · C^p_N",
        latex=r"N_{\mathrm{opt}}(C) = N_e \, C^{\,p_N}",
        form=RISING,
        x="C",
        x_label="training compute C (PF-days)",
        y="N",
        y_label="best non-embedding parameters N",
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
        conventions=("6N", "head"),
    ),
}
