"""What stands on the page of a study, computed from its tables and fits: sentences and rows, no markup."""

import math

from scaling import provenance
from scaling.charts import catalog, drawing, wording
from scaling.units import pf_days

CAVEAT = (
    "The paper's models reach 1.5 billion parameters, read contexts of 1,024 tokens from a vocabulary "
    "of 50,257 and see some 20 billion tokens of text. At a small scale the embeddings and the output "
    "head, which N leaves out, hold a large share of the parameters and of the compute; a short context "
    "and a small vocabulary leave less to learn; and learning rate, warm-up and batch weigh differently "
    "on each size. Exponents are therefore expected to differ from the paper's, and their intervals "
    "cover the scatter between runs, not these differences. Scales such as N_c depend on vocabulary and "
    "text and have no meaning of their own."
)

RECIPE = (
    "architecture", "reuse", "tied", "dropout", "precision", "optimizer", "schedule", "B", "S", "seed",
)  # fmt: skip
"""What the table of runs tells of a run beside its size, where the study varies it."""


def page(study, tables, fits, manifest):
    """Everything that the template of frontier.html shows, a dict.

    ``study`` is study.json, ``tables`` lists of rows, ``fits`` by law, ``manifest`` the corpus's own.
    """
    runs, carried = tables["runs"], drawing.experiments(tables["runs"])
    figures = [figure(name, tables, fits, carried) for name in catalog.FIGURES]
    fits = {law: fits[law] for law in catalog.laws(carried) if "parameters" in fits.get(law, {})}
    return {
        "study": study["study"],
        "lead": lead(runs, fits),
        "key_numbers": key_numbers(runs, fits),
        "figures": figures,
        "interval": " or ".join(sorted({wording.percent(fit["interval"]) for fit in fits.values()})),
        "exponents": [block for fit in fits.values() for block in exponents(fit)],
        "excluded": excluded(runs, fits),
        "caveat": CAVEAT,
        "runs": run_rows(runs, tables["evaluations"]),
        "sets": set_rows(runs, tables["evaluations"], manifest),
        "config": study["config"],
        "config_digest": provenance.digest(study["config"]),
        "versions": study["versions"],
        "wheels": manifest["wheels"],
        "texts": manifest["sets"],
    }


def lead(runs, fits):
    """Two sentences: what was trained, and what the fits say of it."""
    sizes, tokens = [run["N"] for run in runs], [run["tokens"] for run in runs]
    flops = total_flops(runs)
    trained = (
        f"{wording.counted(len(runs), 'language model')} of {wording.words(min(sizes))} to "
        f"{wording.words(max(sizes))} non-embedding parameters were trained here on "
        f"{wording.words(sum(tokens))} tokens of text in all, {wording.scientific(flops)} FLOPs or "
        f"{wording.scientific(pf_days(flops))} PF-days of training compute."
    )
    what = {
        "L_N": ("test loss goes with model size to the power", -1),
        "L_D": ("with data to the power", -1),
        "L_C": ("with compute to the power", -1),
        "N_opt": ("the best size goes with compute to the power", 1),
    }
    found = [
        f"{words} {wording.readable(sign * exponent['value'])} (the paper: "
        f"{wording.published(sign * exponent['published'])})"
        for law, (words, sign) in what.items()
        if law in fits
        for exponent in [wording.exponent(fits[law])]
    ]
    return [trained, f"Measured: {', '.join(found)}."] if found else [trained]


def total_flops(runs):
    """Training FLOPs of all runs, by the paper's count of 6 N per token."""
    return sum(run["flops_per_token_6N"] * run["tokens"] for run in runs)


def key_numbers(runs, fits):
    """Pairs (what, number) for the head of the page."""
    sizes = [run["N"] for run in runs]
    losses = [run["best_test_loss"] for run in runs if math.isfinite(run["best_test_loss"])]
    numbers = [
        ("runs", str(len(runs))),
        ("sizes N", f"{wording.si(min(sizes))} – {wording.si(max(sizes))}"),
        ("training tokens", wording.si(sum(run["tokens"] for run in runs))),
        ("training FLOPs", wording.scientific(total_flops(runs))),
    ]
    if losses:
        numbers.append(("best test loss", f"{min(losses):.2f} nats"))
    return numbers + [
        (exponent["symbol"], wording.readable(exponent["value"]))
        for exponent in map(wording.exponent, fits.values())
    ]


def figure(name, tables, fits, experiments):
    """A figure for the template: title, and either its specification and caption or what it lacks."""
    title, line = catalog.FIGURES[name].title, catalog.missing(name, experiments, fits)
    try:
        drawn = None if line else drawing.draw(name, tables, fits)
    except provenance.UserError as error:
        line = f"Cannot be drawn: {error}."
    if line:
        return {"name": name, "title": title, "missing": line}
    spec = drawing.responsive(drawing.specification(drawn))
    return {"name": name, "title": title, "spec": spec, "caption": drawn.caption}


def exponents(fit):
    """What the table of exponents shows of a fit: one block for each convention that it is fitted in."""
    law = fit["law"]
    others_of = {f"{law}-{key}": block for key, block in fit.items() if key.startswith("with_")}
    blocks = {law: fit} | {name: block for name, block in others_of.items() if "parameters" in block}
    return [
        {
            "formula": fit["formula"],
            "convention": block["x_label"].removeprefix(fit["x_label"]).strip(", "),
            "data": [wording.counted(block["data"][f"{what}s"], what) for what in ("run", "point")],
            "rows": [
                {**row, "id": f"{name}-{key}", "verdict": verdict(row)}
                for key, row in block["parameters"].items()
            ],
            "others": others(wording.exponent(fit)["comparisons"]) if block is fit else [],
        }
        for name, block in blocks.items()
    ]


def markdown(fits):
    """The table of exponents as Markdown, for a terminal or a README; ``fits`` in the order to show them."""
    lines = ["| law | exponent | measured | interval | paper | runs | points |", "|" + 7 * "---|"]
    for fit in fits:
        if "unfitted" in fit:
            lines.append(f"| {fit['formula']} | | {fit['unfitted']} | | | | |")
            continue
        for block in exponents(fit):
            name = ", ".join(filter(None, [fit["formula"], block["convention"]]))
            for row in block["rows"]:
                if row["unit"] is None:
                    measured, low, high = (wording.readable(row[key]) for key in ("value", "low", "high"))
                    cells = [name, row["symbol"], measured, f"{low} to {high}", str(row["published"])]
                    lines.append(f"| {' | '.join([*cells, *block['data']])} |")
    return "\n".join(lines) + "\n"


def others(comparisons):
    """Other published values, one line a source: pairs (value or range of values, source)."""
    sources = {}
    for other in comparisons:
        sources.setdefault(other["source"].split(":")[0].split(",")[0], []).append(other)
    return [
        (wording.published(found[0]["value"]), found[0]["source"])
        if len(found) == 1
        else (" to ".join(wording.published(pick(o["value"] for o in found)) for pick in (min, max)), source)
        for source, found in sources.items()
    ]


def verdict(parameter):
    """How a measured parameter stands to the paper's, in a few words."""
    published = parameter["published"]
    if parameter["low"] <= published <= parameter["high"]:
        return "interval contains the paper's value"
    above, below = ("steeper", "shallower") if parameter["unit"] is None else ("larger", "smaller")
    return f"{above if parameter['value'] > published else below} than the paper's"


def excluded(runs, fits):
    """Runs left out of fits: rows of run, the laws concerned and the reason; diverged runs always."""
    reasons = {(run["run"], "diverged"): [] for run in runs if run["status"] == "diverged"}
    for law, fit in fits.items():
        for item in fit["excluded"]:
            reasons.setdefault((item["run"], item["reason"]), []).append(law)
    return [{"run": run, "reason": reason, "laws": laws} for (run, reason), laws in reasons.items()]


def run_rows(runs, evaluations):
    """The table of runs in order of N and D: each run and its last bits per byte on the test split."""
    tested = sorted((e for e in evaluations if e["set"] == "test"), key=lambda e: e["step"])
    last = {e["run"]: e["bits_per_byte"] for e in tested}
    ordered = sorted(runs, key=lambda run: (run["N"], run["D"]))
    varied = [key for key in RECIPE if len({str(run.get(key)) for run in runs}) > 1]
    recipes = {run["run"]: ", ".join(f"{key} {run.get(key)}" for key in varied) for run in runs}
    return [{**run, "bits_per_byte": last.get(run["run"]), "recipe": recipes[run["run"]]} for run in ordered]


def set_rows(runs, evaluations, manifest):
    """A row for each evaluated set, the test split first: final losses of the largest run of `size`."""
    sizes = [run for run in runs if "size" in run["experiments"] and run["status"] != "diverged"]
    if not sizes:
        return []
    largest = max(sizes, key=lambda run: run["N"])
    found = [e for e in evaluations if e["run"] == largest["run"]]
    end = max((e["step"] for e in found), default=None)
    final = [e for e in found if e["step"] == end]
    test = next((e["loss"] for e in final if e["set"] == "test"), math.nan)
    order = sorted(final, key=lambda e: (e["set"] != "test", e["loss"]))
    return [
        {**e, "offset": e["loss"] - test, "N": largest["N"], "text": manifest["sets"].get(e["set"])}
        for e in order
    ]
