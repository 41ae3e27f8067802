"""What a figure finds of a claim of the paper, and the rule by which a claim about a fitted law holds."""

from dataclasses import dataclass

from scaling.charts import wording

HOLDS, PARTLY, FAILS, OPEN = "holds", "holds in part", "does not hold", "cannot be told"
DECIDED = 2.0
"""Standard errors by which a difference has to exceed zero to count as one."""


@dataclass(frozen=True)
class Finding:
    """How a claim of the paper fares in a study.

    ``paper`` and ``measured``: the numbers of both as short texts, those measured with their intervals;
    ``verdict``: one of HOLDS, PARTLY, FAILS, OPEN; ``because``: what decided it, a clause with the numbers
    and the threshold it was held against.
    """

    paper: str
    measured: str
    verdict: str
    because: str

    def sentence(self):
        """The finding as one sentence for a reader: 'Holds at this scale: the worst of 10 shapes …'."""
        verdict = self.verdict if self.verdict == OPEN else f"{self.verdict} at this scale"
        return f"{verdict[0].upper()}{verdict[1:]}: {self.because}."


def untold(paper, reason):
    """The :class:`Finding` of a claim that a study cannot decide, and why."""
    return Finding(paper, "–", OPEN, reason)


def of_law(fit, *names):
    """The :class:`Finding` of a fitted law, told by the parameters or derived numbers ``names``.

    Without names its exponents tell it. The law holds where its fit is certified, its forecast of the
    largest tenth of compute lies inside its interval, and no logarithm predicts runs left out better.
    """
    numbers = fit["parameters"] | fit["derived"]
    told = [numbers[name] for name in names] if names else wording.exponents(fit)
    paper, measured = ", ".join(map(published, told)), "; ".join(map(interval, told))
    if not wording.certified(fit):
        return Finding(paper, f"({measured})", OPEN, f"the fit is not certified: {wording.reasons(fit)}")
    forecast = f"the forecast of the largest tenth of compute is {wording.forecast(fit)}"
    if loses_to_logarithm(fit):
        return Finding(paper, measured, FAILS, "a logarithm predicts runs that were left out better")
    if fit["holdout"]["error_percent"] is None:
        return Finding(
            paper, measured, PARTLY, f"the fit is certified, but a forecast is {forecast_gap(fit)}"
        )
    if not fit["holdout"]["covered"]:
        return Finding(paper, measured, PARTLY, f"the fit is certified, but {forecast}")
    return Finding(paper, measured, HOLDS, f"the fit is certified, and {forecast}; {beside(told)}")


def forecast_gap(fit):
    """Why a law was not put to the test of a forecast: 'not possible: …'."""
    return f"not possible: {fit['holdout']['reason']}"


def loses_to_logarithm(fit):
    """Whether the law's logarithm predicts runs left out better, by DECIDED standard errors or more."""
    for rival in fit["rivals"]:
        if rival["name"] == "logarithm" and "difference" in rival and wording.certified(rival):
            return rival["difference"]["value"] + DECIDED * rival["difference"]["se"] < 0
    return False


def published(number):
    """A number with the value that was published: 'α_N 0.076'."""
    return f"{number['symbol']} {wording.published(number['published'])}"


def interval(number):
    """A number with its interval: 'α_N 0.0606 (0.0520 to 0.0704)'."""
    value, low, high = (wording.readable(number[key]) for key in ("value", "low", "high"))
    return f"{number['symbol']} {value} ({low} to {high})"


def beside(numbers):
    """How measured numbers stand to the published ones, in words."""
    inside, words = [], []
    for number in numbers:
        if number["low"] <= number["published"] <= number["high"]:
            inside.append(number["symbol"])
        else:
            side = "above" if number["value"] > number["published"] else "below"
            words.append(f"{number['symbol']} lies {side} the paper's")
    if inside:
        words.insert(0, f"the interval of {' and of '.join(inside)} contains the paper's value")
    return ", ".join(words)
