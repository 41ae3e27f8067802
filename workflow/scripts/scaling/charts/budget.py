"""Size, batch, steps and data against a compute budget, beside what others published.

Kaplan et al. 2020, table 6, and Hoffmann et al. 2022, equation 4. Against C_min where batch scans adjust the
study's laws. Elsewhere batch and steps are what they were, and size and data stand against C as trained.
"""

import altair as alt
import numpy as np

from scaling.charts import fitted, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.N_opt_Cmin import LEAST, exponents, panel, undrawn
from scaling.laws import CHINCHILLA, LAWS, PAPER, REFIT, VARIABLES, compute_optimal
from scaling.provenance import UserError
from scaling.units import PF_DAY, pf_days

ADJUSTED = {"N": "N_opt_Cmin", "B": "B_opt", "S": "S_min", "D": "D_opt"}
"""The law of each quantity along the envelope, where compute is adjusted to C_min."""
TITLES = {"N": VARIABLES["N"], "B": VARIABLES["B"], "S": VARIABLES["S_min"], "D": VARIABLES["D"]}
ENVELOPE, LAW, LAW_AS_TRAINED, LAW_OF_D, KAPLAN, HOFFMANN, BESIROGLU = LINES = (
    "fit to the points, with its band",
    "optimum of the fitted L(N, S_min), with its band",
    "optimum of the fitted L(N, S), with its band",
    "optimum of the fitted L(N, D)",
    PAPER,
    CHINCHILLA,
    f"the same, refitted by {REFIT}",
)
COLOURS = {
    **{ENVELOPE: theme.INK, LAW: theme.CATEGORY_COLOURS[0], KAPLAN: theme.MUTED},
    **dict.fromkeys((HOFFMANN, BESIROGLU), theme.CATEGORY_COLOURS[1]),
    **{LAW_OF_D: theme.CATEGORY_COLOURS[2], LAW_AS_TRAINED: theme.CATEGORY_COLOURS[0]},
}
"""Of each line, in the order of their dashes."""
LINE_POINTS = 40
OPTIMAL = ("alpha", "A", "beta", "B")
"""The parameters of L(N, D) that tell its optimum."""
ELSEWHERE = (
    "Lines of others hold for their vocabulary and text, so that their slopes compare and their heights "
    "hardly do; they are drawn over this study's compute alone."
)
NOT_FITTED = " is not fitted in this study"


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and those of the fits ADJUSTED, N_opt, chinchilla and
    allocation that there are.

    Raises UserError where they hold nothing to draw.
    """
    scanned = any(law in fits for law in ADJUSTED.values())
    points, lines, told, absent = (adjusted if scanned else as_trained)(fits, tables["runs"])
    if not points and not lines:
        raise UserError("; ".join(absent) or "N_opt and chinchilla are not fitted in this study")
    ends = theme.domain([row["x"] for row in points + lines])
    lines += (published_least if scanned else published)(ends)
    names = [name for name in LINES if any(line["line"] == name for line in lines)]
    panels = []
    for quantity in shown(scanned):
        own, drawn = ([row for row in rows if row["quantity"] == quantity] for rows in (points, lines))
        compute = LEAST if scanned else (theme.compute_axis, theme.exponents)
        panels.append(panel(TITLES[quantity], own, drawn, names, COLOURS, ends, compute))
    caption = " ".join([*told, *(f"{line}." for line in absent), *of_others(scanned), ELSEWHERE])
    what = ", ".join(TITLES[quantity] for quantity in shown(scanned))
    compute = "least training compute" if scanned else "training compute"
    description = f"{what}, each in a panel against {compute} in PF-days, all logarithmic. {caption}"
    data = (*([("measured", points)] if points else []), ("fit", lines))
    return Drawing(alt.concat(*panels, columns=2), description, caption, data)


def shown(scanned):
    """The quantities that have a panel."""
    return [*ADJUSTED] if scanned else ["N", "D"]


def adjusted(fits, runs):
    """Points and lines of N, B, S and D against C_min, the caption's sentences, and what is missing."""
    laws, absent = known(fits, ADJUSTED.values())
    found = fitted.allocated(fits) if "allocation" in fits else {}
    points, lines, told = [], [], []
    for quantity, fit in ((quantity, laws[law]) for quantity, law in ADJUSTED.items() if law in laws):
        points += [{"quantity": quantity, **row} for row in fitted.points(fit, runs)]
        lines += of(quantity, ENVELOPE, *(rows for _, rows in fitted.series(fit)))
        told.append(exponents(fit, found.get("exponents", {}).get(quantity)))
    if told:
        interval = wording.percent(next(iter(laws.values()))["interval"])
        told.insert(
            0,
            "Points: at each C_min the best size, the critical batch size at its loss, and the fewest steps "
            f"and the tokens to that loss. With {interval} intervals in brackets,",
        )
    law = found.get("lines")
    if law and law["certified"]:
        for quantity in ADJUSTED:
            lines += of(quantity, LAW, fitted.band_rows({"band": {"x": law["C"], **law[quantity]}}))
    else:
        told.append(undrawn([], found).strip())
    return points, lines, told, absent


def as_trained(fits, runs):
    """Points and lines of N and D against C = 6 N D, the caption's sentences, and what is missing."""
    laws, absent = known(fits, [law for law in ("N_opt", "chinchilla") if law in fits])
    points, lines, told = [], [], []
    if "N_opt" in laws:
        fit = laws["N_opt"]
        best = fitted.points(fit, runs)
        points = of_both(best)
        lines += of_both(*(rows for _, rows in fitted.series(fit)), line=ENVELOPE)
        told.append(
            "Points: for each compute, the lowest point of a parabola in ln N through the best sizes, and "
            f"the tokens that such a size sees at that compute, D = C / (6 N). {wording.finding(fit)}"
        )
    kinds = fits["allocation"]["conventions"].get("6N", {}) if "allocation" in fits else {}
    law = kinds.get("unadjusted", {}).get("lines")
    if law and law["certified"]:
        for quantity in ("N", "D"):
            band = {"x": law["C"], **law[quantity]}
            lines += of(quantity, LAW_AS_TRAINED, fitted.band_rows({"band": band}))
        told.append("The optimum of L(N, S) is that at the batch size of the runs.")
    if "chinchilla" in laws:
        fit = laws["chinchilla"]
        every = fitted.points(fit, runs)
        ends = [pf_days(6 * end(row["N"] * row["D"] for row in every)) for end in (min, max)]
        if not points:
            points = of_both([measured(row) for row in every])
            told.append("Points: every run, at 6 N D FLOPs.")
        if wording.certified(fit):
            lines += optimum(LAW_OF_D, ends, {name: fit["parameters"][name]["value"] for name in OPTIMAL})
        told.append(wording.finding(fit))
    return points, lines, told, absent


def known(fits, names):
    """Those of the fits ``names`` that could be made, by law, and why others are missing, a reason once."""
    reasons = {}
    for law in names:
        reason = fits[law].get("unfitted") if law in fits else f"{law}{NOT_FITTED}"
        if reason:
            reasons.setdefault(reason.removeprefix(law), []).append(law)
    absent = [f"{', '.join(laws)}{reason}" for reason, laws in reasons.items()]
    return {law: fits[law] for law in names if "parameters" in fits.get(law, {})}, absent


def measured(point):
    """A run that L(N, D) is fitted to, a row of :func:`fitted.points`, at its compute x and its size y."""
    row = {key: value for key, value in point.items() if key not in ("low", "high")}
    return row | {"x": pf_days(6 * row["N"] * row["D"]), "y": row["N"], "loss": row["y"]}


def of(quantity, line, *parts):
    """Rows of the panel of ``quantity`` and of a ``line``."""
    return [{"quantity": quantity, "line": line, **row} for rows in parts for row in rows]


def of_both(*parts, **more):
    """Rows of x = C and y = N, with ``more`` fields, for the panel of N and, as D, for that of D."""
    rows = [more | row for part in parts for row in part]
    return [{"quantity": "N", **row} for row in rows] + [{"quantity": "D", **tokens(row)} for row in rows]


def tokens(row):
    """A row of x = C (PF-days) and y = N as one of y = D = C / (6 N), the ends of its interval swapped."""
    ends = {"y": "y", "low": "high", "high": "low"}
    return row | {key: row["x"] * PF_DAY / 6 / row[end] for key, end in ends.items() if end in row}


def published_least(ends):
    """Rows of the published lines of N, B, S and D against C_min; Chinchilla's are of N and D alone."""
    computes = np.geomspace(*ends, LINE_POINTS)
    rows = []
    for quantity, law in ADJUSTED.items():
        rows += of(quantity, KAPLAN, xy(computes, LAWS[law].published(C_min=computes)))
    return rows + chinchilla(ends)


def published(ends):
    """Rows of the published lines of N and D against C as trained."""
    computes = np.geomspace(*ends, LINE_POINTS)
    size = xy(computes, LAWS["N_opt"].published(C=computes))
    return of_both(size, line=KAPLAN) + chinchilla(ends)


def chinchilla(ends):
    """Rows of the optimum of the published L(N, D), and of its refit."""
    parameters = LAWS["chinchilla"].parameters
    first = {name: parameters[name].published for name in OPTIMAL}
    again = {name: parameters[name].comparisons[0].value for name in OPTIMAL}
    return optimum(HOFFMANN, ends, first) + optimum(BESIROGLU, ends, again)


def optimum(line, ends, parameters):
    """Rows of N and D where E + A / N^α + B / D^β is least at C = 6 N D, between ``ends`` (PF-days)."""
    computes = np.geomspace(*ends, LINE_POINTS)
    N, D = compute_optimal(computes, **parameters)
    return of("N", line, xy(computes, N)) + of("D", line, xy(computes, D))


def xy(x, y):
    """Rows of x and y."""
    return [{"x": float(a), "y": float(b)} for a, b in zip(x, y, strict=True)]


def of_others(scanned):
    """What the caption says of the published lines: where they stand, and the powers of N and D."""
    parameters = LAWS["chinchilla"].parameters
    shares = [
        parameters["beta"].published / (parameters["alpha"].published + parameters["beta"].published),
        parameters["beta"].comparisons[0].value
        / (parameters["alpha"].comparisons[0].value + parameters["beta"].comparisons[0].value),
    ]
    first, again = (f"N ∝ C^{share:.2f} and D ∝ C^{1 - share:.2f}" for share in shares)
    place = "Table 6" if scanned else "Figure 14, at a fixed batch size"
    silent = "; it says nothing of batch and steps" if scanned else ""
    return [
        f"{PAPER}: {place}.",
        f"{CHINCHILLA}: the optimum of their L(N, D) at C = 6 N D, embeddings counted in N, {first}; by the "
        f"refit of {REFIT} {again}{silent}.",
    ]
