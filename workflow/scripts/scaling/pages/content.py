"""What stands on the page of a study, computed from its tables and fits: sentences and rows, no markup."""

from scaling import provenance
from scaling.charts import catalog, drawing, wording
from scaling.fitting.wild import UNEXPLAINED
from scaling.grid import file_name
from scaling.laws import LAWS
from scaling.pages import allocation, explorer, packing, picking, planner
from scaling.pages.fits import excluded, exponents, forms, left_out
from scaling.pages.runs import run_table, set_table
from scaling.rows import finite
from scaling.selections import INTERVAL, blocks
from scaling.trunks import tokens_trained
from scaling.units import pf_days

CAVEAT = (
    "The paper's models reach 1.5 billion parameters, read contexts of 1,024 tokens from a vocabulary "
    "of 50,257 and train on some 130 billion tokens. At a small scale the embeddings and the output "
    "head, which N leaves out, hold a large share of the parameters and of the compute; a short context "
    "and a small vocabulary leave less to learn; and learning rate, warm-up and batch weigh differently "
    "on each size. Exponents are therefore expected to differ from the paper's, and their intervals "
    "cover the scatter between runs, not these differences. Scales such as N_c depend on vocabulary and "
    "text and have no meaning of their own."
)

HEADLINES = (
    ("L_N", "alpha_N", "α_N", "test loss goes with model size to the power", -1),
    ("L_D", "alpha_D", "α_D", "with data to the power", -1),
    ("L_C", "alpha_C", "α_C", "with compute to the power", -1),
    ("B_crit", "alpha_B", "α_B", "", 1),
    ("N_opt", "p_N", "p_N", "the best size goes with compute to the power", 1),
    ("N_opt_Cmin", "p_N", "p_N of C_min", "the best size goes with C_min to the power", 1),
    ("chinchilla", "p_N", "p_N = β/(α+β)", "the best size by L(N, D) goes with compute to the power", 1),
)
"""Law, name of its exponent or of a number that follows from it, its label, what it says (nothing: it stands
among the numbers alone), its sign there."""
FEW = 3
"""Laws without a certificate that the head of the page names; of more it tells how many they are."""


def page(study, tables, fits, manifest=None, finished=None, known=None):
    """Everything that the template of frontier.html shows, a dict.

    ``study`` is study.json, ``tables`` lists of rows, ``fits`` by law in the order to show them, the split of
    a budget among them ("allocation") where there is one, ``manifest`` the corpus's own, ``finished`` the
    record of the file of runs that were trained elsewhere, ``known`` planner.json.
    """
    laws = {law: fit for law, fit in fits.items() if law != "allocation"}
    runs, evaluations = tables["runs"], tables["evaluations"]
    costs = drawing.told_costs(study["offered"], runs)
    figures = [figure(name, tables, fits, costs) for name in catalog.FRONTIER_PAGE]
    absent = [shown for shown in figures if "missing" in shown]
    figures = [shown | {"spec": picking.pickable(shown["spec"])} for shown in figures if "spec" in shown]
    if not finished:  # what a file of runs cannot tell is not missing
        figures += together(absent)
    every = [block for fit in laws.values() for block in blocks(fit).values() if "parameters" in block]
    return {
        "study": study["study"],
        "finished": finished,
        "lead": lead(runs, laws, finished),
        "key_numbers": key_numbers(runs, laws),
        "explorer": explorer.section(tables, laws),
        "picking": picking.runs(runs),
        "figures": figures,
        "interval": " or ".join(sorted({wording.percent(block["interval"]) for block in every})),
        "share": wording.percent(INTERVAL),
        "plan": known and planner.section(known),
        "split": split(fits, finished),
        "exponents": [exponents(fit) for fit in laws.values()],
        "forms": {law: forms(fit) for law, fit in laws.items() if fit.get("rivals")},
        **missing_runs(runs, laws, finished),
        "caveat": None if finished else CAVEAT,
        "runs": run_table(runs, evaluations, finished),
        "sets": set_table(runs, evaluations),
        **origins(study, manifest),
    }


def missing_runs(runs, laws, finished):
    """What both pages tell of runs that are left out of the fits, or hardly count."""
    return {"excluded": excluded(runs, laws), "left_out": left_out(finished) if finished else []}


def origins(study, manifest):
    """What the foot of a page tells of a study's config, versions and text."""
    return {
        "config": study["config"],
        "config_digest": provenance.digest(study["config"]),
        "versions": study["versions"],
        "texts": manifest and texts(manifest),
    }


def texts(manifest):
    """What the foot of a page tells of the text: rows of its origins, and of its sets."""
    sources = [
        {**source, "sha256": None, "files": len(source["files"])}
        | {"bytes": sum(file["bytes"] for file in source["files"])}
        for source in manifest["sources"]
    ]
    leaks = manifest["leaks"]
    sets = {
        name: row | {"seen": wording.percent(leaks[name]["share"]) if name in leaks else "–"}
        for name, row in manifest["sets"].items()
    }
    return {"origins": [*manifest["wheels"], *sources], "sets": sets}


def together(absent):
    """Figures that lack the same, as one with the titles of all."""
    by_line = {}
    for shown in absent:
        by_line.setdefault(shown["missing"], []).append(shown)
    return [
        shown[0] | {"title": "; ".join(figure["title"] for figure in shown)} for shown in by_line.values()
    ]


def split(fits, finished=None):
    """The section on how a budget splits, of fits that tell it; None of others."""
    if "allocation" not in fits:
        return None
    scanned = any(LAWS[law].adjusted for law in fits if law in LAWS)
    return allocation.section(fits["allocation"], fits, scanned, finished)


def lead(runs, fits, finished=None):
    """What was trained or read, what the fits say of it, and which of them do not hold: sentences."""
    sizes, tokens = [run["N"] for run in runs], sum(map(tokens_trained, runs))
    flops = total_flops(runs)
    extent = f"{wording.words(min(sizes))} to {wording.words(max(sizes))}"
    compute = f"{wording.scientific(flops)} FLOPs or {wording.readable(pf_days(flops))} PF-days"
    if finished:
        first = (
            f"{wording.counted(len(runs), 'finished run')} of {extent} parameters, trained elsewhere on "
            f"{wording.words(tokens)} tokens in all with {compute} of training compute, were read from "
            f"{file_name(finished['file'])}."
        )
    else:
        first = (
            f"{wording.counted(len(runs), 'language model')} of {extent} non-embedding parameters were "
            f"trained here on {wording.words(tokens)} tokens of text in all, {compute} of training compute."
        )
    found = [
        f"{words} {wording.readable(sign * number['value'])} (published: "
        f"{wording.published(sign * number['published'])})"
        for _, words, sign, number in headlines(fits)
        if words
    ]
    fitted = [fit for fit in fits.values() if "parameters" in fit]
    failed = [fit["formula"] for fit in fitted if not wording.certified(fit)]
    which = ", ".join(failed) if len(failed) <= FEW else f"{len(failed)} of {len(fitted)} laws"
    return [
        first,
        *([f"Measured: {', '.join(found)}."] if found else []),
        *([f"Not certified, and so not drawn: {which}."] if failed else []),
    ]


def headlines(fits):
    """Label, words, sign and number of HEADLINES, for the laws whose fit holds."""
    return [
        (label, words, sign, (fit["parameters"] | fit["derived"])[name])
        for law, name, label, words, sign in HEADLINES
        if "parameters" in (fit := fits.get(law, {})) and wording.certified(fit)
    ]


def total_flops(runs):
    """Training FLOPs of all runs, by the paper's count of 6 N per token."""
    return sum(run["flops_per_token_6N"] * tokens_trained(run) for run in runs)


def key_numbers(runs, fits):
    """Pairs (what, number) for the head of the page."""
    sizes = [run["N"] for run in runs]
    wild = {row["run"] for row in excluded(runs, fits) if row["reason"].endswith(UNEXPLAINED)}
    losses = [
        run["best_test_loss"] for run in runs if finite(run["best_test_loss"]) and run["run"] not in wild
    ]
    numbers = [
        ("runs", str(len(runs))),
        ("sizes N", f"{wording.si(min(sizes))} – {wording.si(max(sizes))}"),
        ("training tokens", wording.si(sum(map(tokens_trained, runs)))),
        ("training FLOPs", wording.scientific(total_flops(runs))),
    ]
    if losses:
        numbers.append(("best test loss", f"{min(losses):.2f} nats"))
    return numbers + [(label, wording.readable(number["value"])) for label, _, _, number in headlines(fits)]


def figure(name, tables, fits, costs):
    """A figure for the template: title, and either its specification and caption or what it lacks.

    ``costs``: what experiments that the study leaves out would cost, in words. Where the paper claims
    something there is its ``finding`` too, None where the figure cannot be drawn.
    """
    entry = catalog.FIGURES[name]
    line = catalog.missing(name, drawing.experiments(tables["runs"]), fits, costs)
    try:
        drawn = None if line else drawing.draw(name, tables, fits)
    except provenance.UserError as error:
        line = f"Cannot be drawn: {error}."
    shown = {"name": name, "title": entry.title}
    if line:
        return shown | {"missing": line}
    return shown | packing.shown(drawn) | {"finding": drawn.finding}
