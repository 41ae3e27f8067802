"""Learning-rate schedules at one size, and the losses they end at. Kaplan et al. 2020, figure 22."""

import math

import altair as alt
import numpy as np

from scaling.charts import theme, wording
from scaling.charts.drawing import Drawing, converged
from scaling.charts.findings import FAILS, HOLDS, OPEN, PARTLY, Finding
from scaling.laws import RUN_TO_RUN
from scaling.provenance import UserError
from scaling.rows import finite
from scaling.selections import INTERVAL
from scaling.training.schedules import share

FIELDS = ("schedule", "warmup", "horizon", "final", "cooldown", "learning_rate")
"""Columns of a run that make up its schedule."""
SETTING = (
    "architecture", "n_layer", "d_model", "d_ff", "n_head", "d_attn", "reuse", "n_ctx", "tied", "precision",
    "dropout", "D", "B", "S", "optimizer", "betas", "epsilon", "weight_decay", "clip",
)  # fmt: skip
"""Columns of a run that make up all but its schedule and its seed, which it shares with the base, or is left
out."""
KINDS = {
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant",
    "inverse_sqrt": "inverse square root",
    "wsd": "stable, then linear",
}
DECAYED = 0.1
"""Share of the peak rate at or below which a run that ends there counts as decayed."""
FEWEST_SEEDS, FEWEST_SCHEDULES = 2, 2
PAPER = f"within about {RUN_TO_RUN} nats, whatever the schedule"
RATES, MARKED = 60, 6
"""Points of a line of rates, and how many of them are marked."""
SIMULATED = 100_000


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs: rates over steps, and losses against their sum."""
    runs = converged(tables["runs"], "schedule")
    base, groups, strangers = grouped(runs)
    names = {key: named(key, base) for key in groups}
    marks = appearance(names, base)
    rows = [point(run, names[key], key == base) for key, members in groups.items() for run in members]
    lines = [row for key, members in groups.items() for row in rates(members[0], names[key])]
    seeds = np.array([run["test_loss"] for run in groups[base]])
    verdicts = judged(groups, base)
    finding = found(verdicts, names, seeds)
    chart = alt.concat(rates_panel(lines, marks), losses_panel(rows, seeds, marks), columns=2)
    caption = sentences(groups, base, names, verdicts, seeds, strangers, missing(tables["runs"]))
    description = (
        f"Learning rate over training of {len(groups)} schedules, and test loss against the learning rate "
        f"summed over steps. {caption}"
    )
    return Drawing(chart, description, caption, (("measured", rows), ("rate", lines)), finding)


def grouped(runs):
    """The base schedule, runs by schedule with those of the base first, and how many runs are no such runs.

    A schedule is the tuple of its FIELDS; the base has the most seeds. Runs that differ from those of the
    base in more than schedule and seed are counted and left out.
    """
    every = {}
    for run in runs:
        every.setdefault(values(run, FIELDS), []).append(run)
    base = max(every, key=lambda key: len(every[key]))
    shared = values(every[base][0], SETTING)
    kept = {key: [run for run in members if values(run, SETTING) == shared] for key, members in every.items()}
    kept = {key: members for key, members in kept.items() if members}
    if len(kept) < 2:
        raise UserError("the experiment schedule holds one schedule alone: add others to its grid")
    groups = {base: kept[base], **kept}
    return base, groups, len(runs) - sum(map(len, groups.values()))


def values(run, fields):
    """What a run has in the columns ``fields``, to be compared."""
    found = (run.get(field) for field in fields)
    return tuple(tuple(value) if isinstance(value, list) else value for value in found)


def missing(runs):
    """How many runs of the experiment diverged."""
    members = [run for run in runs if "schedule" in run["experiments"]]
    return sum(run["status"] == "diverged" or not finite(run["test_loss"]) for run in members)


def named(key, base):
    """A schedule in words: its kind and what else differs from the base's."""
    of, at = dict(zip(FIELDS, key, strict=True)), dict(zip(FIELDS, base, strict=True))
    differs = {field for field in FIELDS if of[field] is not None and of[field] != at[field]}
    words = [KINDS.get(of["schedule"], of["schedule"])]
    if "warmup" in differs:
        words.append(f"warm-up {of['warmup']}")
    if "horizon" in differs:
        words.append(f"over {of['horizon']} steps")
    if "final" in differs:
        words.append(f"to {wording.percent(of['final'])}")
    if "cooldown" in differs:
        words[0] = f"stable until the last {wording.percent(of['cooldown'])}"
    if "learning_rate" in differs:
        words.append(f"peak {wording.significant(of['learning_rate'], 2)}")
    return ", ".join(words) + (" (base)" if key == base else "")


def appearance(names, base):
    """Colour by kind of schedule and shape by schedule, as encodings that share a legend; the base in ink."""
    kinds = list(dict.fromkeys(key[0] for key in names if key != base))
    within, colours, shapes = dict.fromkeys(kinds, 0), [], []
    for key in names:
        if key == base:
            colours.append(theme.INK)
            shapes.append(theme.CATEGORY_SHAPES[0])
            continue
        index = kinds.index(key[0])
        colours.append(theme.CATEGORY_COLOURS[index % len(theme.CATEGORY_COLOURS)])
        shapes.append(theme.CATEGORY_SHAPES[(1 + within[key[0]] + 2 * index) % len(theme.CATEGORY_SHAPES)])
        within[key[0]] += 1
    legend = alt.Legend(
        **{"title": None, "orient": "bottom", "direction": "vertical", "columns": 2},
        **{"symbolSize": 55, "labelLimit": 230, "symbolStrokeWidth": 0, "offset": 6},
    )
    domain = list(names.values())
    return {
        "color": alt.Color("name:N", scale=alt.Scale(domain=domain, range=colours), legend=legend),
        "shape": alt.Shape("name:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend),
    }


def summed(run):
    """The learning rate summed over the steps of ``run``."""
    return run["learning_rate"] * math.fsum(share(step, run) for step in range(run["steps"]))


def ends_at(run):
    """The share of the peak rate that the schedule of ``run`` has come to when the run has ended."""
    return share(run["steps"], run)


def point(run, name, is_base):
    """A row of a run: the summed learning rate x, the final test loss y with its error's ends."""
    row = {**theme.described(run), "name": name, "seed": run.get("seed"), "base": is_base}
    row |= {field: run.get(field) for field in FIELDS}
    row |= {"x": summed(run), "y": run["test_loss"], "ends at": ends_at(run)}
    return theme.with_error(row, run["test_loss_se"])


def rates(run, name):
    """Rows of the learning rate y of ``run`` at about RATES of its steps x, its warm-up's end among them."""
    last = run["steps"] - 1
    steps = {round(step) for step in np.linspace(0, last, RATES)} | {min(run["warmup"], last)}
    return [
        {"name": name, "x": step + 1, "y": run["learning_rate"] * share(step, run)} for step in sorted(steps)
    ]


def judged(groups, base):
    """Rows of every schedule but the base: key, whether it ``warms`` up and ``decays``, its mean ``apart``
    from the mean of the base's seeds in nats."""
    level = np.mean([run["test_loss"] for run in groups[base]])
    return [
        {
            "key": key,
            "warms": members[0]["warmup"] > 1,
            "decays": ends_at(members[0]) <= DECAYED + 1e-9,
            "apart": float(np.mean([run["test_loss"] for run in members]) - level),
        }
        for key, members in groups.items()
        if key != base
    ]


def rates_panel(lines, marks):
    """The learning rate over the steps, one line a schedule."""
    top = max(row["y"] for row in lines)
    x = alt.X("x:Q").scale(nice=False).axis(alt.Axis(title="training step", tickCount=4))
    y = alt.Y("y:Q").scale(domain=[0, 1.04 * top], nice=False)
    y = y.axis(alt.Axis(title="learning rate", tickCount=5))
    by_name = {}
    for row in lines:
        by_name.setdefault(row["name"], []).append(row)
    every = RATES // MARKED
    seen = [
        row for index, part in enumerate(by_name.values()) for row in part[(4 * index + 2) % every :: every]
    ]
    encoded = theme.chart(lines).encode(x=x, y=y, color=marks["color"])
    shaped = theme.chart(seen).encode(x=x, y=y, **marks, tooltip=["name:N", "x:Q", "y:Q"])
    return alt.layer(
        encoded.mark_line(strokeWidth=1.3, opacity=0.85, aria=False),
        shaped.mark_point(filled=True, size=30, opacity=1),
    ).properties(width=230, height=250)


def losses_panel(rows, seeds, marks):
    """Final test loss against the summed learning rate; the band is the mean of the seeds ± their sd."""
    x_ends = theme.domain([row["x"] for row in rows], room=0.06)
    band = {}
    if len(seeds) >= FEWEST_SEEDS:
        mean, spread = float(seeds.mean()), float(seeds.std(ddof=1))
        band = {"low": mean - spread, "high": mean + spread}
    y = theme.loss_axis([*rows, band])

    def x(field):
        return theme.log_axis(
            alt.X, field, ends=x_ends, title="learning rate summed over steps", label="{:g}".format
        )

    tooltip = [
        *("name:N", alt.Tooltip("seed:Q"), *theme.run_tooltip(rows)),
        alt.Tooltip("x:Q", format=".3g", title="summed learning rate"),
        alt.Tooltip("y:Q", format=".3f", title="nats per token"),
    ]
    layers = [theme.error_bars(rows, x, y).encode(color=marks["color"], opacity=alt.value(0.6))]
    if band:
        area = theme.chart([{**band, "from": x_ends[0], "to": x_ends[1]}]).mark_rect(style="band", aria=False)
        layers.insert(0, area.encode(x=x("from"), x2="to:Q", y=y("low"), y2="high:Q"))
    points = theme.chart(rows).mark_point(filled=True, opacity=1)
    size = alt.Size("base:O").scale(domain=[False, True], range=[65, 40]).legend(None)
    layers.append(points.encode(x=x("x"), y=y("y"), **marks, size=size, tooltip=tooltip))
    return alt.layer(*layers).properties(width=230, height=250)


def found(verdicts, names, seeds):
    """The finding: schedules that warm up and decay end near the base's mean over its seeds.

    HOLDS where all lie within RUN_TO_RUN of it, PARTLY where the root mean square of their differences from
    it does, else FAILS; OPEN where the base has one seed or fewer than two others warm up and decay.
    """
    plain = [row for row in verdicts if row["warms"] and row["decays"]]
    if len(seeds) < FEWEST_SEEDS:
        return Finding(PAPER, "–", OPEN, "the base has one seed alone, so that its own scatter is not known")
    if len(plain) < FEWEST_SCHEDULES:
        few = f"{wording.counted(len(plain), 'schedule')} beside the base warms up and decays"
        return Finding(PAPER, "–", OPEN, f"{few}, {FEWEST_SCHEDULES} are needed")
    apart, sd = np.array([row["apart"] for row in plain]), float(seeds.std(ddof=1))
    spread, typical = float(apart.std(ddof=1)), float(np.sqrt((apart**2).mean()))
    worst = max(plain, key=lambda row: abs(row["apart"]))
    measured = (
        f"sd {spread:.3f} nats over {len(plain)} schedules, {sd:.3f} over {len(seeds)} seeds"
        f"{ratio(spread, len(plain), sd, len(seeds))}"
    )
    within = int((abs(apart) <= RUN_TO_RUN).sum())
    verdict = HOLDS if within == len(plain) else PARTLY if typical <= RUN_TO_RUN else FAILS
    because = (
        f"of {len(plain)} schedules that warm up and decay to {wording.percent(DECAYED)} of the peak or "
        f"less, {'all' if within == len(plain) else within} end within {RUN_TO_RUN} nats of the base's mean; "
        f"furthest is {names[worst['key']]}, by {wording.signed(worst['apart'], 3)} nats"
    )
    if verdict != HOLDS:
        because += f"; the root mean square of their differences is {typical:.3f}"
    return Finding(PAPER, measured, verdict, because)


def ratio(spread, schedules, sd, seeds):
    """The ratio of two standard deviations in words, with its interval if both are of normal scatter."""
    if not sd:
        return ""
    random = np.random.default_rng(0)
    above, below = (random.chisquare(count - 1, SIMULATED) / (count - 1) for count in (schedules, seeds))
    low, high = np.quantile(np.sqrt(below / above), [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2])
    value, low, high = (wording.significant(spread / sd * factor, 2) for factor in (1, low, high))
    return f", ratio {value} ({low} to {high})"


def sentences(groups, base, names, verdicts, seeds, strangers, diverged):
    """The caption."""
    run = groups[base][0]
    count = sum(map(len, groups.values()))
    said = (
        f"{wording.counted(count, 'run')} of {wording.si(run['N'])} parameters and {run['S']:,} steps under "
        f"{len(groups)} schedules. Left: the learning rate; right: the final test loss against its sum over "
        f"steps. Base: {names[base].removesuffix(' (base)')}, warm-up {run['warmup']}, peak "
        f"{wording.significant(run['learning_rate'], 2)}. {theme.bars([point(run, '', True)])}"
    )
    if len(seeds) >= FEWEST_SEEDS:
        said += (
            f"Band: mean and standard deviation of the {len(seeds)} seeds of the base, {seeds.mean():.3f} ± "
            f"{seeds.std(ddof=1):.3f} nats. "
        )
    kinds = {
        "warm up and decay": [row for row in verdicts if row["warms"] and row["decays"]],
        f"end above {wording.percent(DECAYED)} of the peak": [row for row in verdicts if not row["decays"]],
        "do not warm up": [row for row in verdicts if not row["warms"] and row["decays"]],
    }
    told = [
        f"{wording.signed(float(np.mean([row['apart'] for row in rows])), 3)} ({len(rows)} that {words})"
        for words, rows in kinds.items()
        if rows
    ]
    said += f"Mean difference from the base, nats: {', '.join(told)}."
    if strangers:
        said += f" Left out: {wording.counted(strangers, 'run')} that differ in more than the schedule."
    if diverged:
        said += f" {wording.counted(diverged, 'run')} of the experiment diverged."
    return said
