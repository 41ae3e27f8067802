"""What stands on the page of a study, computed from its tables and fits: sentences and rows, no markup."""

import math

from scaling import provenance
from scaling.charts import catalog, drawing, wording
from scaling.units import pf_days

CAVEAT = (
    "The paper's models are thousands to millions of times larger, read contexts of 1,024 tokens from a vocabulary "
    "of 50,257, and see far more text. At a small scale the embeddings and the output head, which N leaves out, hold "
    "a large share of the parameters and of the compute; a short context and a small vocabulary leave less to learn; "
    "and learning rate, warm-up and batch weigh differently on each size. Exponents are therefore expected to differ "
    "from the paper's, and their intervals cover the scatter between runs, not these differences. Scales such as N_c "
    "depend on vocabulary and text and have no meaning of their own."
)


def page(study, tables, fits, manifest):
    """Everything that the template of frontier.html shows, a dict.

    ``study`` is study.json, ``tables`` lists of rows, ``fits`` by law, ``manifest`` the corpus's own.
    """
    runs, carried = tables["runs"], drawing.experiments(tables["runs"])
    return {
        "study": study["study"],
        "lead": lead(runs, fits),
        "key_numbers": key_numbers(runs, fits),
        "figures": [figure(name, tables, fits, carried) for name in catalog.FIGURES],
        "exponents": [row for fit in fits.values() for row in parameters(fit)],
        "excluded": excluded(runs, fits),
        "caveat": CAVEAT,
        "runs": [run_row(run, tables["evaluations"]) for run in sorted(runs, key=lambda run: (run["N"], run["D"]))],
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
        "L_N": "test loss falls with model size to the power −{}",
        "L_D": "with data to the power −{}",
        "L_C": "with compute to the power −{}",
        "N_opt": "the best size grows as compute to the power {}",
    }
    found = [
        f"{what[law].format(wording.readable(exponent['value']))} (the paper: "
        f"{wording.published(exponent['published'])})"
        for law in what
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


def parameters(fit):
    """Rows of the table of exponents: one for each parameter of a law, in each convention it is fitted in."""
    blocks = [fit, *(block for key, block in fit.items() if key.startswith("with_"))]
    return [
        {
            "law": fit["law"],
            "formula": fit["formula"],
            "source": fit["source"],
            "convention": None if block is fit else block["x_label"],
            "parameter": parameter,
            "interval": wording.percent(block["interval"]),
            "runs": block["data"]["runs"],
            "points": block["data"]["points"],
            "verdict": verdict(parameter),
        }
        for block in blocks
        for parameter in block["parameters"].values()
    ]


def verdict(parameter):
    """How a measured parameter stands to the paper's, in a few words."""
    published = parameter["published"]
    if parameter["low"] <= published <= parameter["high"]:
        return "interval contains the paper's value"
    if parameter["unit"] is not None:
        return "differs; depends on vocabulary and text"
    return "steeper than the paper's" if parameter["value"] > published else "shallower than the paper's"


def excluded(runs, fits):
    """Runs left out of fits: rows of run, the laws concerned and the reason; diverged runs always."""
    reasons = {(run["run"], "diverged"): [] for run in runs if run["status"] == "diverged"}
    for law, fit in fits.items():
        for item in fit["excluded"]:
            reasons.setdefault((item["run"], item["reason"]), []).append(law)
    return [{"run": run, "reason": reason, "laws": laws} for (run, reason), laws in reasons.items()]


def run_row(run, evaluations):
    """A row of the table of runs: the run itself and its last bits per byte on the test split."""
    tested = [e for e in evaluations if e["run"] == run["run"] and e["set"] == "test"]
    last = max(tested, key=lambda e: e["step"], default=None)
    return {**run, "shape": wording.shape(run), "bits_per_byte": last and last["bits_per_byte"]}


def set_rows(runs, evaluations, manifest):
    """A row for each evaluated set: losses of the largest converged run of `size` at its end, the test split first."""
    sizes = [run for run in runs if "size" in run["experiments"] and run["status"] != "diverged"]
    if not sizes:
        return []
    largest = max(sizes, key=lambda run: run["N"])
    found = [e for e in evaluations if e["run"] == largest["run"]]
    final = [e for e in found if e["step"] == max(e["step"] for e in found)]
    test = next((e["loss"] for e in final if e["set"] == "test"), math.nan)
    order = sorted(final, key=lambda e: (e["set"] != "test", e["loss"]))
    return [
        {**e, "offset": e["loss"] - test, "N": largest["N"], "text": manifest["sets"].get(e["set"])} for e in order
    ]
