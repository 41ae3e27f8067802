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
        return Finding(paper, f"({measured})", OPEN, uncertified(fit))
    verdict, because = of_forecast(fit)
    if loses_to_logarithm(fit):
        error = logarithm(fit)["difference"]
        verdict = FAILS
        because = (
            f"on runs that were left out of the fit a logarithm errs less by {points(-error['value'])} ± "
            f"{points(error['se'])} percentage points, {DECIDED:g} standard errors or more"
        )
    return Finding(paper, measured, verdict, f"{because}; {beside(told)}")


def uncertified(fit, law=None):
    """Why nothing can be told by a fit, of a ``law``, that does not pass its certificate: a clause."""
    return f"the fit{f' of {law}' if law else ''} is not certified, since {wording.reasons(fit)}"


def of_forecast(fit):
    """The verdict on a certified law by its forecast of the largest tenth of compute, and a clause on it."""
    if fit["holdout"]["error_percent"] is None:
        return PARTLY, f"the fit is certified, but a forecast is {forecast_gap(fit)}"
    covered = fit["holdout"]["covered"]
    told = f"its forecast of the largest tenth of compute is {wording.forecast(fit)}"
    return (HOLDS if covered else PARTLY), f"the fit is certified, {'and' if covered else 'but'} {told}"


def forecast_gap(fit):
    """Why a law was not put to the test of a forecast: 'not possible: …'."""
    return f"not possible: {fit['holdout']['reason']}"


def logarithm(fit):
    """The logarithm fitted to the points of a law, an entry of its ``rivals``; None where there is none.

    One that could not be fitted, or does not pass its certificate, is none.
    """
    for rival in fit["rivals"]:
        if rival["name"] == "logarithm" and "difference" in rival and wording.certified(rival):
            return rival
    return None


def loses_to_logarithm(fit):
    """Whether the law's logarithm predicts runs left out better, by DECIDED standard errors or more."""
    return _apart(fit, -1)


def beats_logarithm(fit):
    """Whether the law predicts runs left out better than its logarithm, by as much or more."""
    return _apart(fit, 1)


def _apart(fit, sign):
    rival = logarithm(fit)
    if rival is None:
        return False
    value, se = (rival["difference"][key] for key in ("value", "se"))
    return sign * value > 0 and sign * value >= DECIDED * se


def points(value):
    """A difference of percentages, to a hundredth: '0.62'."""
    return wording.signed(value, 2).removeprefix("+")


def published(number):
    """A number with the value that was published: 'α_N 0.076'."""
    return f"{number['symbol']} {wording.published(number['published'])}"


def interval(number):
    """A number with its interval: 'α_N 0.0606 (0.0520 to 0.0704)'."""
    value, low, high = (wording.readable(number[key]) for key in ("value", "low", "high"))
    return f"{number['symbol']} {value} ({low} to {high})"


def beside(numbers):
    """How the intervals of measured numbers stand to the published values, a clause."""
    places = {"contain": [], "lie above": [], "lie below": []}
    for number in numbers:
        low, known, high = (number[key] for key in ("low", "published", "high"))
        place = "lie above" if low > known else "lie below" if high < known else "contain"
        places[place].append(number["symbol"])
    return ", ".join(_stands(place, symbols) for place, symbols in places.items() if symbols)


def _stands(place, symbols):
    """'the interval of α_N contains the paper's value'; of several symbols in the plural."""
    several = len(symbols) > 1
    verb, *where = place.split()
    verb = verb if several else f"{verb}s"
    who = f"the interval{'s' if several else ''} of {' and '.join(symbols)}"
    return f"{' '.join([who, verb, *where])} the paper's value{'s' if several else ''}"
