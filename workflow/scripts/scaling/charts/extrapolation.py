"""How far forecasts of the ends of learning curves are off. Kaplan et al. 2020, section 1.1."""

import altair as alt

from scaling import extrapolation, trends
from scaling.charts import findings, theme, wording
from scaling.charts.drawing import Drawing
from scaling.charts.findings import Finding
from scaling.fitting.fit import FEWEST
from scaling.laws import RUN_TO_RUN
from scaling.provenance import UserError
from scaling.selections import INTERVAL

PAPER = f"roughly; its runs differ by {RUN_TO_RUN} nats (appendix D.6)"
APART = 1.07
"""Factor in N between the marks of two kinds of forecast, so that they do not lie on each other."""
ERROR_TITLE = "forecast above measured loss (%)"
WHAT = (
    "Forecasts of the last test loss of runs. First half, first quarter: L(N, S) fitted to that part of the "
    "curves of experiments size and long, whose schedules may lower the rate at their end, where loss falls "
    "faster than a power of the steps. Other sizes: L(N, S) fitted to the whole curves of every other size. "
    "Constant rate: L_∞ + (S_c / S)^α fitted to that part of each curve of experiment batch alone, α shared."
)
"""What the kinds of forecast are, in words."""


def draw(tables, fits):
    """The :class:`Drawing`, from the tables runs and curves."""
    found, reasons, lost = extrapolation.forecasts(tables["runs"], tables["curves"])
    if not found:
        why = next(iter(reasons.values()), "the points of their beginnings determine no fit")
        raise UserError(f"no end of a learning curve can be forecast: {why}")
    kinds = [kind for kind in extrapolation.KINDS if any(row["kind"] == kind for row in found)]
    numbers = {kind: extrapolation.summary([row for row in found if row["kind"] == kind]) for kind in kinds}
    points = [point(row, kinds) for row in found]
    spread = run_to_run(found)
    chart = layers(points, spread, kinds)
    caption = sentences(numbers, reasons, lost, spread)
    description = f"Error of forecasts in per cent of the loss against model size. {caption}"
    data = (("forecast", points), ("fit", spread))
    return Drawing(chart, description, caption, data, finding(numbers))


def point(row, kinds):
    """A mark: N as its tooltip says it, x beside it by kind, the error y in per cent."""
    place = kinds.index(row["kind"]) - (len(kinds) - 1) / 2
    numbers = {key: row[key] for key in ("steps", "predicted", "measured", "error")}
    described = {**theme.described(row["run"]), "from": row["kind"]}
    return {**described, **numbers, "x": row["run"]["N"] * APART**place, "y": row["error_percent"]}


def run_to_run(found):
    """Rows of N, x, low and high: RUN_TO_RUN in per cent of the mean measured loss at each size, its ends as
    far out as the marks reach."""
    losses = {}
    for row in found:
        losses.setdefault(row["run"]["N"], []).append(row["measured"])
    share = {N: 100 * RUN_TO_RUN * len(of) / sum(of) for N, of in sorted(losses.items())}
    rows = [{"N": N, "x": N, "low": -value, "high": value} for N, value in share.items()]
    reach = APART ** (len(extrapolation.KINDS) / 2)
    return [rows[0] | {"x": rows[0]["N"] / reach}, *rows, rows[-1] | {"x": rows[-1]["N"] * reach}]


def layers(points, spread, names):
    """The chart: errors by kind, on the band of ``spread`` and the line of no error."""
    x_ends = theme.domain([row["x"] for row in [*points, *spread]], room=0.01)
    heights = [row["y"] for row in points] + [row[end] for row in spread for end in ("low", "high")]
    room = 0.06 * (max(heights) - min(heights))

    def x(field):
        return theme.log_axis(alt.X, field, x_ends, theme.N_TITLE, wording.si)

    def y(field):
        scale = alt.Scale(domain=[min(heights) - room, max(heights) + room], nice=False)
        return alt.Y(field, type="quantitative", scale=scale).axis(alt.Axis(title=ERROR_TITLE, tickCount=7))

    mark = theme.category("from:N", names)
    for channel in mark.values():
        channel["legend"]["columns"], channel["legend"]["direction"] = 2, "horizontal"
    band = theme.chart(spread).mark_area(style="band", clip=True, aria=False)
    zero = theme.chart([{"y": 0}]).mark_rule(style="reference", aria=False)
    marks = theme.chart(points).mark_point(filled=True, size=48, opacity=0.9)
    tips = [
        alt.Tooltip("from:N"),
        *theme.run_tooltip(points),
        alt.Tooltip("steps:Q", format=",d"),
        alt.Tooltip("predicted:Q", format=".4f", title="forecast loss"),
        alt.Tooltip("measured:Q", format=".4f", title="measured loss"),
        alt.Tooltip("y:Q", format="+.2f", title="error (%)"),
    ]
    return alt.layer(
        band.encode(x=x("x"), y=y("low"), y2="high:Q"),
        zero.encode(y=y("y")),
        marks.encode(x=x("x"), y=y("y"), **mark, tooltip=tips),
    )


def finding(numbers):
    """The :class:`Finding`: holds where the median size of the error is RUN_TO_RUN or less for every kind of
    forecast of at least FEWEST runs, in part where it is for some."""
    judged = {kind: found for kind, found in numbers.items() if found["runs"] >= FEWEST}
    if not judged:
        return findings.untold(PAPER, f"fewer than {FEWEST} runs can be forecast in any way")
    within = [kind for kind, found in judged.items() if found["absolute"]["value"] <= RUN_TO_RUN]
    told = (f"{percent(found['percent'], 1)} ({kind})" for kind, found in judged.items())
    each = ", ".join(f"{found['absolute']['value']:.3f} ({kind})" for kind, found in judged.items())
    because = (
        f"the median error is at most {RUN_TO_RUN:g} nats, by which the paper's runs differ, in "
        f"{len(within)} of {wording.counted(len(judged), 'kind')} of forecast: {each}"
    )
    verdict = findings.HOLDS if len(within) == len(judged) else findings.PARTLY
    verdict = verdict if within else findings.FAILS
    return Finding(PAPER, f"median error {'; '.join(told)}", verdict, because)


def sentences(numbers, reasons, lost, spread):
    """The caption: what was forecast from what, and how far each kind of forecast is off."""
    told = "; ".join(
        f"{kind} ({of_runs(found['runs'], lost[kind])}): {percent(found['percent'])}, mean "
        f"{percent(found['bias'], signed=True)}, worst {wording.signed(found['worst'], 2)} %"
        for kind, found in numbers.items()
    )
    without = {}
    for kind, reason in reasons.items():
        without.setdefault(reason, []).append(kind)
    missing = "".join(f" Without forecasts: {'; '.join(kinds)} ({why})." for why, kinds in without.items())
    least, most = (f"{end([row['high'] for row in spread]):.2g}" for end in (min, max))
    return (
        f"{WHAT} Median size of the error with its {wording.percent(INTERVAL)} interval from resampling "
        f"runs, and mean error, which above zero says that forecasts were too high: {told}.{missing} Shaded: "
        f"{RUN_TO_RUN:g} nats, by which runs of the paper differ, {least} to {most} % of the losses here."
    )


def of_runs(count, lost):
    """How many runs were forecast: '7 runs', or '6 of 7 runs, no fit for the others'."""
    if not lost:
        return wording.counted(count, "run")
    return f"{count} of {wording.counted(count + lost, 'run')}, no fit for the others"


def percent(number, places=2, signed=False):
    """A number of a summary in per cent: '1.20 % (0.80 to 1.90)', the interval where there is one."""
    keys = ("value", "low", "high") if trends.known(number) else ("value",)
    texts = [wording.signed(number[key], places) if signed else f"{number[key]:.{places}f}" for key in keys]
    return f"{texts[0]} %" + (f" ({texts[1]} to {texts[2]})" if len(texts) > 1 else "")
