"""What a page tells of fits: measured beside published, forms beside each other, runs left out."""

from scaling.charts import wording
from scaling.selections import blocks


def exponents(fit):
    """What the table of exponents shows of a law: its fit in its own convention, and a line for each other.

    ``rows`` are parameters and what they imply; where there is no fit there are none, and ``unfitted`` says
    why. ``others`` are the ways to count that the law is fitted in besides.
    """
    entry = {"formula": fit["formula"], "others": others(fit)}
    adjusted = ["adjusted by B_crit(L)"] if "adjusted_by" in fit else []
    if "unfitted" in fit:
        entry |= {"rows": [], "unfitted": f"{fit['unfitted']}.", "uncertified": "", "data": []}
    else:
        entry |= fitted(fit)
    return entry | {"about": [fit["source"], *adjusted, *entry["data"]]}


def others(fit):
    """A line for each further way to count: in words, its exponents, its certificate.

    Ways that cannot be fitted for one reason share a line; they have none if it is that of the law itself.
    """
    lines, reasons = [], {}
    for name, block in blocks(fit).items():
        if "unfitted" in block:
            reasons.setdefault(block["unfitted"], []).append(block.get("convention"))
        elif name:
            found = [
                f"{row['symbol']} {bracketed(wording.readable(row['value']), block)}, "
                f"{bracketed(ends(row), block)}"
                for row in (block["parameters"] | block["derived"]).values()
                if not row.get("unit")
            ]
            passed = certificate(block).replace("Certified", "certified")
            lines.append(f"{block['convention']}: {'; '.join(found)}; {passed}")
    return lines + [f"{'; '.join(ways)}: {reason}" for reason, ways in reasons.items() if None not in ways]


def fitted(block):
    """The fit of a law for the table of exponents."""
    data, passed = block["data"], wording.certified(block)
    holdout, gradient = block["holdout"], block["certificate"]["gradient_norm"]
    rows = [
        {"unit": "", "formula": ""}
        | row
        | {"id": f"{block['law']}-{key}", "place": row["place"].split(", ")[-1]}
        | {"verdict": verdict(row) if passed else "not certified"}
        | {"measured": bracketed(wording.readable(row["value"]), block)}
        | {"interval": bracketed(ends(row), block)}
        for key, row in (block["parameters"] | block["derived"]).items()
    ]
    points = wording.counted(holdout["points"], "point")
    each = f", {holdout['within']} of {points} inside intervals of their own"
    condition = block["certificate"]["condition"]
    return {
        "rows": rows,
        "unfitted": "",
        "uncertified": "" if passed else wording.reasons(block),
        "data": [wording.counted(data[f"{what}s"], what) for what in ("run", "point")],
        "forecast": wording.forecast(block),
        "each": "" if holdout["error_percent"] is None or holdout["points"] == 1 else each,
        "agreeing": agreeing(block),
        "details": [
            f"gradient {wording.scientific(gradient)} of what the points could exert",
            f"condition {'infinite' if condition is None else wording.significant(condition, 2)}",
            f"{block['dropped']} of {block['resamples']} resamples dropped",
            f"residuals {wording.percent(block['rms_log_residual'])} (rms)",
            f"Huber's δ {block['delta']:g}",
        ],
        "method": block["method"],
        "elsewhere": elsewhere(block["parameters"].values()),
    }


def ends(number):
    """The interval of a number: '0.0520 to 0.0704'."""
    return f"{wording.readable(number['low'])} to {wording.readable(number['high'])}"


def agreeing(block):
    """How many starts agree, and whether the fit is certified."""
    found = block["certificate"]
    starts = f"{found['agreeing']} of {found['starts']} starts end at the same optimum"
    return f"Certified: {starts}" if wording.certified(block) else starts


def certificate(block):
    """The certificate of a fit in a few words."""
    return agreeing(block) if wording.certified(block) else f"not certified: {wording.reasons(block)}"


def verdict(parameter):
    """How a measured parameter stands to the published one, in a few words."""
    published = parameter["published"]
    if published is None:
        return ""
    if parameter["low"] <= published <= parameter["high"]:
        return "interval contains the published value"
    exponent = parameter.get("unit", "") is None
    above, below = ("steeper", "shallower") if exponent else ("larger", "smaller")
    return f"{above if parameter['value'] > published else below} than published"


def elsewhere(parameters):
    """What others published, a text for each source: 'α 0.3478, β 0.3658 in Besiroglu et al. 2024'.

    Of several values of a source there is the range.
    """
    told = {}
    for parameter in parameters:
        sources = {}
        for other in parameter["comparisons"]:
            sources.setdefault(other["source"].split(":")[0].split(",")[0], []).append(other)
        for authors, found in sources.items():
            ends = dict.fromkeys(wording.published(pick(o["value"] for o in found)) for pick in (min, max))
            source = found[0]["source"] if len(found) == 1 else authors
            told.setdefault(source, []).append(f"{parameter['symbol']} {' to '.join(ends)}")
    return [f"{', '.join(values)} in {source}" for source, values in told.items()]


def forms(fit):
    """The rows of a law and of its rivals: name, formula, error, difference to the law's, verdict."""
    certified = wording.certified(fit)
    rows = [
        {
            **{"name": rival["name"], "formula": rival["formula"], "error": error(rival)},
            **{"difference": difference(rival), "verdict": preference(rival, certified)},
        }
        for rival in fit["rivals"][1:]
    ]
    own = fit["rivals"][0] | {"certificate": fit["certificate"]}
    failed = "" if certified else f"not certified: {wording.reasons(fit)}"
    unknown = f"error unknown: {own['unfitted']}" if "unfitted" in own else ""
    law = {"name": "the law", "formula": own["formula"], "error": error(own), "difference": "–"}
    return [law | {"verdict": "; ".join(filter(None, [failed, unknown]))}, *rows]


def error(rival):
    """The error of a form on runs that it was not fitted to: '2.2 %'."""
    found = rival.get("error_percent")
    return "–" if found is None else bracketed(f"{wording.significant(found, 2)} %", rival)


def difference(rival):
    """How much more a rival errs than the law, with the standard error: '+0.68 ± 0.61'."""
    if "difference" not in rival:
        return "–"
    value, se = rival["difference"]["value"], rival["difference"]["se"]
    return bracketed(f"{wording.signed(value, 2)} ± {se:.2f}", rival)


def bracketed(text, fit):
    """A number of a fit as it stands in a table: in brackets where the fit does not hold."""
    return text if wording.certified(fit) else f"({text})"


def preference(rival, certified):
    """Whether a rival errs less than the law, whose fit is ``certified`` or not: two standard errors decide.

    Less than half of what the last digit shows is no difference.
    """
    if "unfitted" in rival:
        return f"not fitted: {rival['unfitted']}"
    failed = [] if wording.certified(rival) else [f"not certified: {wording.reasons(rival)}"]
    if not certified or "difference" not in rival:
        found = "not compared" if certified else "not compared, since the law is not certified"
    else:
        value, se = rival["difference"]["value"], rival["difference"]["se"]
        apart = abs(value) > max(2 * se, 0.005)
        found = ("better" if value < 0 else "worse") if apart else "not told apart"
    return "; ".join([found, *failed])


def markdown(fits):
    """The table of exponents as Markdown, for a terminal or a README; ``fits`` in the order to show them."""
    columns = (
        "law", "exponent", "measured", "interval", "published", "forecast of the largest tenth",
        "certificate", "runs", "points",
    )  # fmt: skip
    lines = []
    for fit in fits:
        entry = exponents(fit)
        if entry["unfitted"]:
            lines.append([entry["formula"], "", entry["unfitted"], *[""] * 6])
            continue
        for row in entry["rows"]:
            if row["unit"]:
                continue
            known = "" if row["published"] is None else wording.published(row["published"])
            cells = [entry["formula"], row["symbol"], row["measured"], row["interval"], known]
            lines.append([*cells, entry["forecast"], certificate(fit), *entry["data"]])
    return pipes(columns, lines)


def pipes(headings, rows):
    """Rows of cells as a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def left_out(finished):
    """What of a file of finished runs is not among them: a line for each run and for each reason."""
    runs = [
        f"{item['run']}, loss {wording.significant(item['loss'], 4)}: {item['reason']} "
        "(finished.drop_largest_losses)"
        for item in finished["dropped"]
    ]
    notes = (*finished["left_out"], *finished.get("repeated", []))
    return runs + [f"{wording.counted(note['rows'], 'row')}: {note['reason']}" for note in notes]


def excluded(runs, fits):
    """Runs left out of fits or hardly counted: rows of run, the laws and the reason; diverged runs always."""
    reasons = {(run["run"], "diverged"): {} for run in runs if run["status"] == "diverged"}
    for law, fit in fits.items():
        for block in blocks(fit).values():
            data = block.get("data", {})
            for item in (*data.get("excluded", []), *data.get("outliers", [])):
                reasons.setdefault((item["run"], item["reason"]), {})[law] = None
    return [{"run": run, "reason": reason, "laws": list(laws)} for (run, reason), laws in reasons.items()]
