"""The functions that laws are made of: ln y of centred logarithms, with analytic gradients.

A form is fitted in coefficients θ, of which R sets are evaluated at once: inputs are ``u`` (V, P), the
natural logarithm of each input less its ``centre`` (V,), so that amplitudes are those in the middle of the
data and nearly uncorrelated with exponents. ``natural`` turns θ into the parameters that a law is published
in, and ``internal`` back. Exponents are linear in θ, amplitudes logarithmic.
"""

from dataclasses import dataclass

import numpy as np

STEEPEST = 10.0
"""Largest exponent. None is below zero: what rises where its law falls ends at that bound, or the reverse."""
STEEPEST_CRITICAL, BEYOND = 60.0, 3.0
"""Largest 1/α_B, and how many e-folds beyond the batches that were tried a critical one may be found."""
FAINTEST, LOUDEST = 12.0, 6.0
"""e-folds below the lowest and above the highest y within which a term among others is looked for: one that
is e⁻¹² of the lowest y is not there."""


def exp(exponent):
    """e to the power, held within what a double can express: a scale may be all but unidentified."""
    return np.exp(np.clip(exponent, -700, 700))


def _ratio(numerator, slope):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.divide(numerator, slope), nan=0.0)


CRITICAL = (lambda a, s, c: (s, exp(c + _ratio(a, s))), lambda s, scale, c: (s * (np.log(scale) - c), s))
"""(scale / x)^s, as in eqs. 1.1 to 1.3."""
AMPLITUDE = (lambda a, s, c: (s, exp(a + s * c)), lambda s, scale, c: (np.log(scale) - s * c, s))
"""scale / x^s, as Hoffmann et al. write it."""
RISING = (lambda a, s, c: (-s, exp(a + s * c)), lambda p, scale, c: (np.log(scale) + p * c, -p))
"""scale · x^p, as in Table 6."""
INVERSE = (
    lambda a, s, c: (_ratio(1.0, s), exp(a + s * c)),
    lambda alpha, scale, c: (np.log(scale) - c / alpha, 1 / alpha),
)
"""scale / x^(1/α), as in eq. 5.3."""


@dataclass(frozen=True)
class Term:
    """One term of a sum: t = exp(a − s · u).

    ``x`` is the index of its input, None for a constant. ``written`` is how its parameters are published,
    one of CRITICAL, AMPLITUDE, RISING and INVERSE: functions from (a, s, centre) to (exponent, scale) and
    back. ``fixed`` is a slope that is known and so no parameter.
    """

    x: int | None = None
    written: tuple = AMPLITUDE
    fixed: float | None = None

    @property
    def free(self):
        """Whether the slope is a parameter."""
        return self.x is not None and self.fixed is None


class Form:
    """What every form has: ``names`` of its parameters' places and the methods below."""

    size: int
    """Number of coefficients, and of parameters."""

    @property
    def wanted(self):
        """How many coefficients, the first, are to be known; others may belong to points left out."""
        return self.size

    def evaluate(self, theta, u):
        """ln y (R, P) and its gradient (R, size, P) for coefficients (R, size) at inputs ``u`` (V, P)."""
        raise NotImplementedError

    def natural(self, theta, centre):
        """Parameters (R, size) as published."""
        raise NotImplementedError

    def internal(self, parameters, centre):
        """Coefficients (R, size) from parameters (R, size) as published."""
        raise NotImplementedError

    def bounds(self, u, v):
        """Lowest and highest coefficients (size,) each, from the data: inputs (V, P), ln y (P,)."""
        raise NotImplementedError

    def starts(self, u, v, rng, count):
        """Coefficients (count, size) to start from, drawn from the data's own range."""
        raise NotImplementedError

    def predict(self, theta, u, centre):
        """ln of what the law is about (R, Q) at inputs ``u`` (V, Q): ln y, unless a form says otherwise."""
        return self.evaluate(theta, u)[0]


def _slopes(u, v, rng, count):
    """Slopes to start from: that of a line through the data's range, from a fifth of it to five times."""
    steepness = max(np.ptp(v), 1e-3) / max(np.ptp(u), 1e-3)
    return steepness * np.exp(rng.uniform(np.log(0.2), np.log(5), count))


@dataclass(frozen=True)
class Sum(Form):
    """y = Σ_k t_k. Parameters, term by term: the exponent, unless it is fixed, and the scale."""

    terms: tuple[Term, ...]

    @property
    def size(self):
        return sum(1 + term.free for term in self.terms)

    def _places(self):
        """Triples (term, index of its slope in θ or None, index of its amplitude)."""
        at, places = 0, []
        for term in self.terms:
            places.append((term, at if term.free else None, at + term.free))
            at += 1 + term.free
        return places

    def evaluate(self, theta, u):
        parts = []
        for term, s, a in self._places():
            part = theta[:, a, None]
            if term.x is not None:
                part = part - (term.fixed if s is None else theta[:, s, None]) * u[term.x]
            parts.append(np.broadcast_to(part, (len(theta), u.shape[1])))
        value, shares = _log_sum(parts)
        gradient = np.empty((len(theta), self.size, u.shape[1]))
        for (term, s, a), share in zip(self._places(), shares, strict=True):
            gradient[:, a] = share
            if s is not None:
                gradient[:, s] = -share * u[term.x]
        return value, gradient

    def natural(self, theta, centre):
        found = np.empty(theta.shape)
        for term, s, a in self._places():
            if s is not None:
                found[:, s], found[:, a] = term.written[0](theta[:, a], theta[:, s], centre[term.x])
            else:
                found[:, a] = exp(theta[:, a] + (0 if term.x is None else term.fixed * centre[term.x]))
        return found

    def internal(self, parameters, centre):
        theta = np.empty(parameters.shape)
        for term, s, a in self._places():
            if s is not None:
                theta[:, a], theta[:, s] = term.written[1](parameters[:, s], parameters[:, a], centre[term.x])
            else:
                theta[:, a] = np.log(parameters[:, a])
                theta[:, a] -= 0 if term.x is None else term.fixed * centre[term.x]
        return theta

    def bounds(self, u, v):
        low, high = np.full(self.size, -np.inf), np.full(self.size, np.inf)
        for term, s, a in self._places():
            if s is not None:
                low[s], high[s] = (-STEEPEST, 0.0) if term.written is RISING else (0.0, STEEPEST)
            if len(self.terms) > 1:
                low[a], high[a] = v.min() - FAINTEST, v.max() + LOUDEST
        return low, high

    def starts(self, u, v, rng, count):
        theta = np.empty((count, self.size))
        for term, s, a in self._places():
            theta[:, a] = rng.uniform(v.min() - (len(self.terms) > 1) * 2, v.max(), count)
            if s is not None:
                theta[:, s] = _slopes(u[term.x], v, rng, count) * (-1 if term.written is RISING else 1)
        return theta


def power(written=CRITICAL):
    """One power of one input: a straight line in log-log."""
    return Sum((Term(0, written),))


@dataclass(frozen=True)
class Overfitting(Form):
    """y = [(N_c/N)^(α_N/α_D) + D_c/D]^α_D (Kaplan et al. 2020, eq. 1.5).

    Inputs N, D; parameters α_N, N_c, α_D, D_c. θ holds α_N, a, α_D, b, where exp(a) and exp(b) are what the
    two terms would make of the loss alone, in the middle of the data.
    """

    size = 4

    def evaluate(self, theta, u):
        alpha_N, a, alpha_D, b = (theta[:, k, None] for k in range(4))
        size, data = (a - alpha_N * u[0]) / alpha_D, b / alpha_D - u[1]
        total, (of_size, of_data) = _log_sum([size, data])
        moved = total - of_size * size - of_data * b / alpha_D
        return alpha_D * total, np.stack([-of_size * u[0], of_size, moved, of_data], axis=1)

    def natural(self, theta, centre):
        alpha_N, a, alpha_D, b = theta.T
        return np.stack(
            [alpha_N, exp(centre[0] + _ratio(a, alpha_N)), alpha_D, exp(centre[1] + _ratio(b, alpha_D))],
            axis=1,
        )

    def internal(self, parameters, centre):
        alpha_N, N_c, alpha_D, D_c = parameters.T
        return np.stack(
            [alpha_N, alpha_N * (np.log(N_c) - centre[0]), alpha_D, alpha_D * (np.log(D_c) - centre[1])],
            axis=1,
        )

    def bounds(self, u, v):
        least, most = v.min() - FAINTEST, v.max() + LOUDEST
        return np.array([0.0, least, 1e-3, least]), np.array([STEEPEST, most, STEEPEST, most])

    def starts(self, u, v, rng, count):
        amplitudes = rng.uniform(v.min() - 1, v.max(), (2, count))
        return np.stack(
            [_slopes(u[0], v, rng, count), amplitudes[0], _slopes(u[1], v, rng, count), amplitudes[1]], axis=1
        )


@dataclass(frozen=True)
class Irreducible(Form):
    """y = ``reducible`` + y_∞, a constant that no input lowers; its parameter comes last.

    For a form that is no sum; a sum takes one :class:`Term` more.
    """

    reducible: Form

    @property
    def size(self):
        return self.reducible.size + 1

    def evaluate(self, theta, u):
        rest, gradient = self.reducible.evaluate(theta[:, :-1], u)
        value, (share, floor) = _log_sum([rest, np.broadcast_to(theta[:, -1:], rest.shape)])
        return value, np.concatenate([gradient * share[:, None], floor[:, None]], axis=1)

    def natural(self, theta, centre):
        return np.column_stack([self.reducible.natural(theta[:, :-1], centre), exp(theta[:, -1])])

    def internal(self, parameters, centre):
        rest = self.reducible.internal(parameters[:, :-1], centre)
        return np.column_stack([rest, np.log(parameters[:, -1])])

    def bounds(self, u, v):
        low, high = self.reducible.bounds(u, v)
        return np.append(low, v.min() - FAINTEST), np.append(high, v.max() + LOUDEST)

    def starts(self, u, v, rng, count):
        rest = self.reducible.starts(u, v, rng, count)
        return np.column_stack([rest, rng.uniform(v.min() - 2, v.min(), count)])


@dataclass(frozen=True)
class Logarithm(Form):
    """y = k · ln(X / x), which reaches zero at X (Kaplan et al. 2020, figure 23). Parameters k, X."""

    size = 2

    def evaluate(self, theta, u):
        y = theta[:, 1, None] - theta[:, 0, None] * u[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            value, slope = np.log(y), 1 / y
        return value, np.stack([-u[0] * slope, slope], axis=1)

    def natural(self, theta, centre):
        return np.stack([theta[:, 0], exp(centre[0] + _ratio(theta[:, 1], theta[:, 0]))], axis=1)

    def internal(self, parameters, centre):
        k, X = parameters.T
        return np.stack([k, k * (np.log(X) - centre[0])], axis=1)

    def bounds(self, u, v):
        return np.full(2, -np.inf), np.full(2, np.inf)

    def starts(self, u, v, rng, count):
        middle = np.exp(rng.uniform(v.min(), v.max(), count))
        furthest = np.abs(u[0]).max() or 1.0
        return np.stack([middle / furthest * rng.uniform(0.05, 0.9, count), middle], axis=1)


@dataclass(frozen=True)
class Valley(Form):
    """ln y quadratic in c = ln C and n = ln N, whose minimum over N moves as a power of C.

    ln y = θ · (1, c, c², n, n², n c); the minimum lies at n = −(θ_3 + θ_5 c) / 2 θ_4, NaN where θ_4 is not
    above zero. Inputs C, N; parameters as of RISING: the exponent p and the scale of N_opt = scale · C^p,
    followed by what is of no interest. ``predict`` gives ln N_opt at C.
    """

    size = 6

    def evaluate(self, theta, u):
        c, n = u
        features = np.stack([np.ones_like(c), c, c**2, n, n**2, n * c])
        return theta @ features, np.broadcast_to(features, (len(theta), *features.shape))

    def _line(self, theta):
        curvature = np.where(theta[:, 4] > 0, 2 * theta[:, 4], np.nan)
        return -theta[:, 3] / curvature, -theta[:, 5] / curvature

    def natural(self, theta, centre):
        offset, slope = self._line(theta)
        return np.stack([slope, exp(centre[1] + offset - slope * centre[0])], axis=1)

    def predict(self, theta, u, centre):
        offset, slope = self._line(theta)
        return centre[1] + offset[:, None] + slope[:, None] * u[0]

    def bounds(self, u, v):
        return np.full(6, -np.inf), np.full(6, np.inf)

    def starts(self, u, v, rng, count):
        return np.column_stack([rng.uniform(v.min(), v.max(), count), rng.normal(0, 0.1, (count, 5))])


@dataclass(frozen=True)
class Hyperbolas(Form):
    """S = S_min · (1 + B_crit/B) with B_crit = B*/L^(1/α_B): the hyperbolas of Kaplan et al. 2020, eqs. 5.1,
    5.3, all at once, each with an S_min of its own.

    Inputs L, B. ``group`` (P,) says which hyperbola each point lies on. θ holds the slope 1/α_B and ln B_crit
    at the centres of the inputs, then ln S_min of each; parameters α_B, B*. ``predict`` gives ln B_crit at L.
    """

    group: np.ndarray
    wanted = 2

    @property
    def size(self):
        return 2 + int(self.group.max()) + 1

    def evaluate(self, theta, u):
        s, b = theta[:, 0, None], theta[:, 1, None]
        x = b - s * u[0] - u[1]
        share = 1 / (1 + np.exp(-x))
        gradient = np.zeros((len(theta), self.size, u.shape[1]))
        gradient[:, 0], gradient[:, 1] = -share * u[0], share
        gradient[:, 2 + self.group, np.arange(u.shape[1])] = 1.0
        return theta[:, 2 + self.group] + np.logaddexp(0, x), gradient

    def natural(self, theta, centre):
        alpha, scale = INVERSE[0](theta[:, 1] + centre[1], theta[:, 0], centre[0])
        return np.column_stack([alpha, scale])

    def predict(self, theta, u, centre):
        return theta[:, 1, None] + centre[1] - theta[:, 0, None] * u[0]

    def bounds(self, u, v):
        """B_crit within BEYOND e-folds of the batches in the middle of the losses."""
        low, high = np.full(self.size, -np.inf), np.full(self.size, np.inf)
        low[:2], high[:2] = (1 / STEEPEST, u[1].min() - BEYOND), (STEEPEST_CRITICAL, u[1].max() + BEYOND)
        return low, high

    def starts(self, u, v, rng, count):
        theta = np.empty((count, self.size))
        theta[:, 0] = np.exp(rng.uniform(np.log(0.5), np.log(20), count))
        theta[:, 1] = rng.uniform(u[1].min(), u[1].max(), count)
        theta[:, 2:] = rng.uniform(v.min(), v.max(), (count, self.size - 2))
        return theta


def _log_sum(logs):
    """ln Σ exp of a list of arrays, and the share of each in the sum."""
    if len(logs) == 1:
        return np.array(logs[0]), [np.ones_like(logs[0])]
    top = np.maximum.reduce(logs)
    parts = [np.exp(part - top) for part in logs]
    total = sum(parts)
    return top + np.log(total), [part / total for part in parts]
