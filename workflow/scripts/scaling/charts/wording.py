"""How numbers read in charts, captions and pages."""

import math

DIGITS, RAISED = "−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"


def significant(value, digits=3):
    """A number rounded to significant ``digits``, never in exponent form: 0.0709, 3.26, 1190."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):.{max(places, 0)}f}"


def si(value, digits=3):
    """A count with its SI suffix: 768 -> '768', 24576 -> '24.6k'."""
    return "".join(_scaled(value, ("", "k", "M", "G", "T"), digits))


def words(value, digits=3):
    """A count as a reader says it: 24576 -> '24.6 thousand'."""
    return " ".join(_scaled(value, ("", "thousand", "million", "billion", "trillion"), digits)).strip()


def _scaled(value, names, digits):
    rounded = float(f"{value:.{digits}g}")
    power = max((k for k in range(len(names)) if abs(rounded) >= 1000**k), default=0)
    return f"{rounded / 1000**power:.{max(digits, 3)}g}", names[power]


def scientific(value, digits=2):
    """A number as a power of ten: 8.8e13 -> '8.8 × 10¹³'."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × 10{superscript(int(exponent))}"


def readable(value):
    """A parameter: plain between 0.001 and 10,000, as a power of ten outside; with a real minus sign."""
    plain = value == 0 or 1e-3 <= abs(value) < 1e4
    return (significant(value) if plain else scientific(value, 3)).replace("-", "−")


def published(value):
    """A constant as it was published, with no digit added: 0.076, 8.8 × 10¹³."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:g}".replace("-", "−")
    mantissa, exponent = f"{value:.10e}".split("e")
    return f"{float(mantissa):g} × 10{superscript(int(exponent))}"


def signed(value, places):
    """A difference with its sign: −0.057, +0.28."""
    return f"{value:+.{places}f}".replace("-", "−")


def percent(share):
    """A share as a percentage: 0.9 -> '90 %'."""
    return f"{100 * share:.3g} %"


def superscript(integer):
    """An integer as an exponent: -12 -> '⁻¹²'."""
    return str(integer).replace("-", "−").translate(str.maketrans(DIGITS, RAISED))


def lowered(text):
    """The inverse of :func:`superscript`: '⁻¹²' -> '−12'."""
    return text.translate(str.maketrans(RAISED, DIGITS))


def exponent(fit):
    """The exponent of a fitted power law: its one parameter without a unit."""
    return next(parameter for parameter in fit["parameters"].values() if parameter["unit"] is None)


def finding(fit):
    """A fitted law in a sentence: exponent, interval, the paper's value, the points behind it."""
    parameter, data = exponent(fit), fit["data"]
    return (
        f"Fitted: {fit['formula']} with {parameter['symbol']} = {readable(parameter['value'])}, "
        f"{percent(fit['interval'])} interval {readable(parameter['low'])} to {readable(parameter['high'])}, "
        f"from {counted(data['points'], 'point')} of {counted(data['runs'], 'run')}; the paper has "
        f"{published(parameter['published'])}."
    )


def counted(count, noun):
    """A count with its noun: '1 run', '9 runs'."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shape(run):
    """A run's shape as a reader says it: '2 layers, width 32, feed-forward 128, 2 heads'."""
    return (
        f"{counted(run['n_layer'], 'layer')}, width {run['d_model']}, feed-forward {run['d_ff']}, "
        f"{counted(run['n_head'], 'head')}"
    )
