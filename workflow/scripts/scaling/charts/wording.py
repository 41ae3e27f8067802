"""How numbers read in charts, captions and pages."""

import math
import re

DIGITS, RAISED = "−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
GREEK = {"alpha": "α", "beta": "β", "inf": "∞"}


def significant(value, digits=3):
    """A number rounded to significant ``digits``, never in exponent form: 0.0709, 3.26, 1190."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits}g}"))))
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
    """A difference with its sign: −0.057, +0.28; what rounds to nothing is +0.00."""
    return f"{round(value, places) + 0.0:+.{places}f}".replace("-", "−")


def percent(share):
    """A share as a percentage: 0.9 -> '90 %'."""
    return f"{100 * share:.3g} %"


def superscript(integer):
    """An integer as an exponent: -12 -> '⁻¹²'."""
    return str(integer).replace("-", "−").translate(str.maketrans(DIGITS, RAISED))


def lowered(text):
    """The inverse of :func:`superscript`: '⁻¹²' -> '−12'."""
    return text.translate(str.maketrans(RAISED, DIGITS))


def greek(text):
    """Names of parameters as they are printed: 'alpha_N' -> 'α_N', 'L_inf' -> 'L_∞'."""
    return re.sub(r"\b(alpha|beta)(?=_|\b)|(?<=_)inf\b", lambda name: GREEK[name[0]], text)


def exponents(fit):
    """The exponents of a fitted law: its parameters without a unit."""
    return [parameter for parameter in fit["parameters"].values() if parameter["unit"] is None]


def certified(fit):
    """Whether a fit passed its certificate, so that it may be drawn and read as one."""
    return fit["certificate"]["passed"]


def reasons(fit):
    """Why a fit did not pass its certificate, in words."""
    return greek("; ".join(fit["certificate"]["reasons"]))


def forecast(fit):
    """How the law, fitted to the rest, forecasts the largest tenth of compute: 'off by 1.3 %, inside …'."""
    holdout = fit["holdout"]
    if holdout["error_percent"] is None:
        return f"not possible: {holdout['reason']}"
    place = "inside" if holdout["covered"] else "outside"
    error, low, high = map(_signed, (holdout["error_percent"], *holdout["interval_percent"]))
    return f"off by {error} %, {place} its interval of {low} to {high} %"


def _signed(percentage):
    """A percentage with its sign, to a tenth, or where it is more than ten to the whole."""
    return signed(percentage, 1 if abs(percentage) < 10 else 0)


def finding(fit):
    """A fit in two sentences: what it measured beside what is published, and how well it forecasts."""
    data = fit["data"]
    points = f"{counted(data['points'], 'point')} of {counted(data['runs'], 'run')}"
    if not certified(fit):
        return (
            f"The fit of {fit['formula']} to {points} is not drawn, since it does not pass its certificate: "
            f"{reasons(fit)}."
        )
    interval = f"{percent(fit['interval'])} interval"
    found = [measured(exponent, interval) for exponent in exponents(fit)]
    implied = [f"; hence {n['formula']}, {measured(n, interval)}" for n in fit["derived"].values()]
    return (
        f"Fitted to {points}: {fit['formula']} with {' and '.join(found)}{''.join(implied)}. "
        f"Forecast of the largest tenth of compute: {forecast(fit)}."
    )


def measured(parameter, interval):
    """A parameter, its interval and what is published: 'α_N = 0.0605 (90 % interval 0.05 to 0.07, …)'."""
    value, low, high = (readable(parameter[key]) for key in ("value", "low", "high"))
    known = parameter["published"]
    beside = "" if known is None else f"; published: {published(known)}"
    return f"{parameter['symbol']} = {value} ({interval} {low} to {high}{beside})"


def counted(count, noun):
    """A count with its noun: '1 run', '9 runs'."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cost(found):
    """A :class:`scaling.costs.Cost` in words: '12 runs, 2.2 × 10¹⁵ FLOPs, about 9 minutes of a CPU core'."""
    if not found.runs:
        return "nothing to train, all its runs are in this study"
    parts = [counted(found.runs, "run"), f"{scientific(found.flops)} FLOPs"]
    if found.seconds is not None:
        unit = "CPU core" if found.device == "cpu" else "GPU"
        parts.append(f"about {duration(found.seconds)} of a {unit}")
    return ", ".join(parts)


def duration(seconds):
    """Seconds as a reader says them: '40 seconds', '9 minutes', '3.2 hours'."""
    if seconds < 90:
        return counted(max(1, round(seconds)), "second")
    if seconds < 5400:
        return counted(round(seconds / 60), "minute")
    return f"{significant(seconds / 3600, 2)} hours"


def shape(run):
    """A run's shape as a reader says it, as far as it is known: '2 layers, width 32, 2 heads', or ''."""
    layers, width, feed_forward, heads = (run.get(key) for key in ("n_layer", "d_model", "d_ff", "n_head"))
    parts = [
        layers and counted(layers, "layer"),
        width and f"width {width}",
        feed_forward and f"feed-forward {feed_forward}",
        heads and counted(heads, "head"),
    ]
    return ", ".join(filter(None, parts))
