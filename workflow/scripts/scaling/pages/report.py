"""What stands on report.html: every figure of the paper and what a study finds of its claims. No markup."""

from scaling.charts import catalog, drawing, findings
from scaling.pages import content

ABSENT = "not in this study"
CELLS = ("paper", "measured", "reason")


def page(study, tables, fits, manifest=None, finished=None):
    """Everything that the template of report.html shows, a dict; the arguments are :func:`content.page`'s."""
    costs = drawing.told_costs(study["offered"], tables["runs"])
    figures = [entry(name, tables, fits, costs) for name in catalog.FIGURES]
    by_name = {figure["name"]: figure for figure in figures}
    laws = {law: fit for law, fit in fits.items() if law != "allocation"}
    summary = [by_name[name] for name in catalog.SUMMARY]
    return {
        "study": study["study"],
        "finished": finished,
        "lead": [content.lead(tables["runs"], laws, finished)[0], verdicts(summary)],
        "key_numbers": content.key_numbers(tables["runs"], laws),
        "summary": summary,
        "figures": [figure for figure in figures if "spec" in figure],
        "absent": [figure for figure in figures if "missing" in figure],
        "caveat": None if finished else content.CAVEAT,
        **content.missing_runs(tables["runs"], laws, finished),
        **content.origins(study, manifest),
    }


def entry(name, tables, fits, costs):
    """A figure for the template, with its place in the paper, the paper's claim and what was found of it."""
    figure = catalog.FIGURES[name]
    shown = content.figure(name, tables, fits, costs)
    found = shown.get("finding") or findings.untold("–", shown.get("missing", "").rstrip("."))
    absent = set(figure.experiments) - drawing.experiments(tables["runs"])
    return shown | {
        "place": place(figure.paper),
        "claim": figure.claim,
        "paper": found.paper,
        "measured": found.measured,
        "verdict": ABSENT if absent else found.verdict,
        "reason": shown["missing"] if absent else found.sentence(),
    }


def place(labels):
    """Where the paper shows a figure: 'Figure 9', 'Figures 1 left and 2 right', 'Equation D.1'; or ''."""
    numbered = [label for label in labels if label[0].isdigit()]
    if not numbered:
        return "".join(labels)
    return f"Figure{'s' if len(numbered) > 1 else ''} {' and '.join(numbered)}"


def verdicts(summary):
    """How many of the claims of ``summary`` hold, in a sentence."""
    verdicts = [row["verdict"] for row in summary]
    words = {
        findings.HOLDS: f"hold{'s' if verdicts.count(findings.HOLDS) == 1 else ''} at this scale",
        findings.PARTLY: "in part",
        findings.FAILS: "not",
        findings.OPEN: "left open",
        ABSENT: "left to experiments that are not in this study",
    }
    told = [f"{verdicts.count(v)} {said}" for v, said in words.items() if v in (findings.HOLDS, *verdicts)]
    return f"Of the {len(summary)} claims of the paper's summary {', '.join(told)}."


def markdown(summary):
    """The findings as a table in Markdown."""
    head = "| claim | paper | measured | verdict |\n| --- | --- | --- | --- |\n"
    rows = ((f"{row['claim']} ({row['place']})", *(row[key] for key in CELLS)) for row in summary)
    return head + "".join(f"| {' | '.join(text.replace('|', '/') for text in row)} |\n" for row in rows)
