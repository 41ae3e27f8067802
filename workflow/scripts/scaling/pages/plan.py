"""What stands on plan.html and in the terminal: what a study costs before it starts. No markup."""

import math

from scaling.charts import wording
from scaling.pages.runs import Column, table, words

TOLD = 10
"""Runs that the terminal names; of more it says how many they are."""
STEPS = {
    "wheel": "download the wheels",
    "sources": "look up the files of the sources",
    "prose": "read the text",
    "shard": "read a shard of the text",
    "held_out": "gather the test text",
    "duplicates": "find duplicates",
    "take_tokenizer": "take the tokenizer",
    "tokenizer": "train the tokenizer",
    "tokens": "tokenize",
    "tokens_of_shard": "tokenize a shard",
    "train_tokens": "count the tokens",
    "finished_file": "download the finished runs",
    "finished": "read the finished runs",
    "tables": "gather the runs into tables",
    "fit": "fit the laws",
    "allocation": "tell how a budget splits",
    "report": "draw the page",
}


def page(plan):
    """Everything that the template of plan.html shows, a dict; ``plan`` is the content of plan.json."""
    return {
        "study": plan["study"],
        "lead": lead(plan),
        "key_numbers": key_numbers(plan),
        "trains": bool(plan["totals"]["runs"]),
        "unit": unit(plan),
        "site": site(plan),
        "unfit": table(UNFIT, plan["unfit"]) if plan["unfit"] else None,
        "damaged": plan["damaged"],
        "experiments": experiment_table(plan),
        "fits": table(fitting_columns(plan), plan["experiments"]),
        "rules": table(RULES, plan["rules"]),
        "elapsed": table(ELAPSED, elapsed_rows(plan)),
        "chain": chain_table(plan),
        "slow": table(SLOW, plan["slow"]) if plan["slow"] else None,
        "rates": table(RATES, rate_rows(plan)),
        "trust": trust(plan),
        "spent": spent(plan),
        "disk": disk(plan),
    }


def text(plan):
    """The plan for a terminal."""
    if not plan["totals"]["runs"]:
        return " ".join(lead(plan)) + "\n"
    parts = [
        " ".join(lead(plan)),
        plain(experiment_table(plan, brief=True)),
        f"{largest(plan)} {disk(plan)}",
        plain(table(RULES, plan["rules"])),
    ]
    if plan["devices"]:
        parts.append(plain(table(ELAPSED, elapsed_rows(plan))))
    if plan["chain"]:
        steps = "; ".join(f"{step_words(step)}, {elapsed(step['seconds'])}" for step in plan["chain"])
        parts.append(f"Longest chain, {elapsed(chain_seconds(plan))}: {steps}.")
    parts.append(" ".join(trust(plan)))
    for row in plan["unfit"][:TOLD]:
        parts.append(f"does not fit: {row['run']}: {row['lacking']}. What would help: {helps(row)[0]}")
    if len(plan["unfit"]) > TOLD:
        parts.append(f"and {len(plan['unfit']) - TOLD} more runs that do not fit")
    parts += plan["damaged"][:TOLD]
    if len(plan["damaged"]) > TOLD:
        parts.append(f"and {len(plan['damaged']) - TOLD} more damaged records")
    return "\n\n".join(parts) + "\n"


def plain(shown):
    """A table as lines of text, its columns aligned."""
    rows = [[heading for heading, _ in shown["headings"]]]
    rows += [[text + aside for text, aside, _ in row] for row in shown["rows"]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [kind.startswith("number") for _, kind in shown["headings"]]
    lines = (
        "  ".join(
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)


# --- sentences ------------------------------------------------------------------------------------------


def unit(plan):
    """What device-hours are hours of, as their prefix: 'GPU' or 'core'."""
    return plan["device"]


def lead(plan):
    """What remains, for how long and on what, and what of it is in the way: sentences."""
    totals = plan["totals"]
    if plan["finished"]:
        return ["The runs of this study are finished ones, read from a file: there is nothing to train."]
    if not totals["to_do"]:
        runs = "The only run is" if totals["runs"] == 1 else f"All {totals['runs']:,} runs are"
        return [f"{runs} trained and evaluated: nothing remains to train."]
    evaluated = totals["to_do"] - plan["to_train"]
    training = f"{plan['to_train']:,} of {counted(totals['runs'], 'run')} remain to be trained"
    training += f", {evaluated:,} more to be evaluated" if evaluated else ""
    sentences = [
        f"{training}: {hours(totals['device_seconds_to_do'])} {unit(plan)}-hours in "
        f"{counted(slurm_jobs(plan), 'job')} of Slurm, {basis(plan)}."
    ]
    several, here = plan["devices"][:2][-1], plan["here"]
    sentences.append(
        f"On {counted(several['devices'], unit(plan))} at once that takes {elapsed(several['seconds'])}, "
        f"waiting in the queue left out; on {counted(here['cores'], 'core')} of this machine "
        f"{elapsed(here['seconds'])}."
    )
    if plan["unfit"]:
        does, whose = ("run does", "its") if len(plan["unfit"]) == 1 else ("runs do", "theirs")
        theirs = hours(math.fsum(row["device_seconds"] for row in plan["unfit"]))
        sentences.append(
            f"{len(plan['unfit'])} {does} not fit and cannot be trained as things are; {theirs} of these "
            f"{unit(plan)}-hours would be {whose}."
        )
    return sentences + damage(plan)


def damage(plan):
    """Records that are damaged, in a sentence, or nothing."""
    count = len(plan["damaged"])
    return (
        [f"{counted(count, 'record')} of finished runs {'is' if count == 1 else 'are'} damaged."]
        if count
        else []
    )


def basis(plan):
    """Whether the hours lean on stated or on measured rates, in words."""
    used = [rate for kind, rate in plan["rates"].items() if on(kind) == unit(plan)]
    measured = sum(rate["runs"] for rate in used)
    runs = counted(measured, "finished run")
    if not measured:
        return f"by the rates stated in slurm/site.yaml, since no run is measured on a {unit(plan)} yet"
    if all(rate["runs"] for rate in used):
        return f"by the rates of {runs}"
    return f"by the rates of {runs} and, for another precision, the stated one"


def on(kind):
    """The device that a rate of slurm/site.yaml is of."""
    return "GPU" if kind.startswith("gpu") else "core"


def key_numbers(plan):
    """Pairs (what, number) for the head of the page."""
    totals = plan["totals"]
    if not totals["runs"]:
        return []
    return [
        ("runs to do", f"{totals['to_do']:,} of {totals['runs']:,}"),
        ("jobs of Slurm", f"{slurm_jobs(plan):,}"),
        (f"{unit(plan)}-hours to do", hours(totals["device_seconds_to_do"])),
        (f"{unit(plan)}-hours in all", hours(totals["device_seconds"])),
        ("training FLOPs to do", flops(totals["flops_to_do"])),
        ("longest chain", elapsed(chain_seconds(plan)) if plan["chain"] else "–"),
        ("disk in all", size(totals["disk_bytes"])),
    ]


def chain_seconds(plan):
    """Seconds of the longest chain."""
    return math.fsum(step["seconds"] for step in plan["chain"])


def largest(plan):
    """Memory that the largest runs take, and their checkpoints, in a sentence."""
    totals = plan["totals"]
    gpu = f"{size(totals['gpu_bytes'])} of each GPU at least, " if totals["gpu_bytes"] else ""
    return (
        f"The largest runs take {gpu}{size(totals['host_bytes'])} of memory of a node and "
        f"{size(totals['checkpoint_bytes'])} of disk for checkpoints."
    )


def slurm_jobs(plan):
    """Jobs of Slurm that remain, those of the data among them."""
    return sum(row["slurm_jobs"] for row in plan["rules"])


def site(plan):
    """The site that the plan is made for, in a sentence."""
    known = plan["site"]
    nodes = f"up to {counted(known['nodes'], 'node')} for a run, each with "
    cores = f"{known['cpus_per_node']} cores and {known['memory_gb']:g} GB of memory"
    kind = f" ({known['gpu_type']})" if known["gpu_type"] else ""
    gpus = f", {counted(known['gpus_per_node'], 'GPU')}{kind} of {known['gpu_memory_gb']:g} GB"
    jobs = f"; jobs of at most {counted(known['hours'], 'hour')}"
    return nodes + cores + (gpus if unit(plan) == "GPU" else "") + jobs + "."


def trust(plan):
    """How far the hours can be trusted: sentences, from the runs that are finished."""
    told = []
    for kind, rate in plan["rates"].items():
        if not rate["runs"]:
            continue
        what, runs = kind_words(kind), counted(rate["runs"], "run")
        told.append(f"{runs} on a {what} took {spread(rate['off_stated'])} of what the stated rate foresees.")
        if "off_measured" in rate:
            others = spread(rate["off_measured"])
            told.append(f"Each of the {rate['sizes']} sizes foreseen from the others' rates: {others}.")
        else:
            told.append("All have one size, so that nothing is known of how rates go with size.")
    if not told:
        return [
            "No run of this study is finished, so that nothing is known of how far the stated rates hold: "
            "train a few, the smallest and a large one, and ask for the plan again."
        ]
    return told


def spread(found):
    """Median ratio and its range: '0.71 × (0.27 to 1.2)'."""
    median, low, high = (wording.significant(found[key], 2) for key in ("median", "low", "high"))
    return f"{median} × ({low} to {high})"


def spent(plan):
    """What the finished runs took by their own records, in a sentence; None where there are none."""
    names = {"cpu": "core", "cuda": "GPU"}
    parts = [f"{hours(seconds)} {names[device]}-hours" for device, seconds in sorted(plan["spent"].items())]
    return f"By their own records the finished runs took {' and '.join(parts)}." if parts else None


def disk(plan):
    """What is known of the corpus on disk, in a sentence."""
    if plan["data_bytes"] is None:
        return "What the corpus takes is not known before it exists; it is not counted."
    return f"The corpus and its tokens take {size(plan['data_bytes'])} more."


# --- numbers --------------------------------------------------------------------------------------------


def hours(seconds):
    """Device-hours: three digits, with commas; what is less than a hundredth is said to be so."""
    found = seconds / 3600
    if found == 0:
        return "0"
    if found < 0.01:
        return "< 0.01"
    rounded = float(f"{found:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"


def elapsed(seconds):
    """Time on the clock; of more than three days as days."""
    if seconds >= 3 * 86400:
        days = float(f"{seconds / 86400:.2g}")
        return f"{days:,.0f} days" if days >= 10 else f"{days:g} days"
    return wording.duration(seconds)


def size(count):
    """Bytes with their unit: '1.25 GB'."""
    if count == 0:
        return "0"
    scaled = wording.si(count)
    number = scaled.rstrip("kMGT")
    return f"{number} {scaled[len(number) :]}B"


def counted(count, noun):
    """A count with its noun, with commas: '1 run', '5,000 runs'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def flops(count):
    """FLOPs as a power of ten."""
    return wording.scientific(count) if count else "0"


def kind_words(kind):
    """A rate of slurm/site.yaml in words: 'GPU in fp32', 'core'."""
    return f"GPU in {kind.split('.')[1]}" if "." in kind else "core"


# --- tables ---------------------------------------------------------------------------------------------


def cell(name, write):
    """The cells of the number ``name``."""
    return lambda row: (write(row[name]) if row[name] is not None else "–", "")


def sizes(row):
    """The range of N of an experiment."""
    if row["N"] is None:
        return "–", ""
    low, high = map(wording.si, row["N"])
    return (low if low == high else f"{low} – {high}"), ""


def experiment_table(plan, brief=False):
    """What each experiment costs, in all and still to do, and the sum; ``brief`` for a terminal."""
    totals = {**plan["totals"], "experiment": "in all", "shared": 0}
    rows = [*plan["experiments"], totals]
    count, short = "{:,}".format, "h" if brief else "hours"
    device = unit(plan)
    columns = [
        Column("experiment", words("experiment"), ""),
        Column("runs", cell("runs", count)),
        Column("shared", cell("shared", lambda n: f"+ {n:,}" if n else "–")),
        Column("cached", cell("cached", count)),
        Column("to do", cell("to_do", count)),
        Column("Slurm jobs", cell("slurm_jobs", count)),
        Column("N", sizes),
        Column("tokens", cell("tokens", wording.si)),
        Column("FLOPs", cell("flops", flops)),
        Column("PF-days", cell("pf_days", wording.readable)),
        Column(f"{device}-{short}", cell("device_seconds", hours)),
        Column("of them to do", cell("device_seconds_to_do", hours)),
        Column(f"core-{short} here", cell("core_seconds_to_do", hours)),
        Column("disk", cell("disk_bytes", size)),
    ]
    # what a page leaves out stands in its second table
    left_out = ("Slurm jobs", "PF-days", "tokens") if brief else ("N", "disk")
    return table([column for column in columns if column.heading not in left_out], rows)


def fitting_columns(plan):
    """What the largest run of each experiment takes, and what all of them keep."""
    return (
        Column("experiment", words("experiment"), ""),
        Column("N", sizes),
        Column("longest run", cell("seconds", elapsed)),
        Column(
            "memory of each GPU, at least",
            lambda row: (size(row["gpu_bytes"]) if row["gpu_bytes"] else "–", ""),
        ),
        Column("memory of a node", cell("host_bytes", size)),
        Column("disk for checkpoints", cell("checkpoint_bytes", size)),
        Column("disk kept, all runs", cell("disk_bytes", size)),
    )


def elapsed_rows(plan):
    """Rows of the table of how long it takes: on devices of the site, and on this machine."""
    device = unit(plan)
    rows = [{**row, "where": f"{counted(row['devices'], device)} at once"} for row in plan["devices"]]
    here = {
        "where": f"this machine, {counted(plan['here']['cores'], 'core')}",
        "checkpoint_bytes": None,
    }
    return [*rows, plan["here"] | here]


def chain_table(plan):
    """The longest chain, step by step, with its sum."""
    steps = [{"step": step_words(step), "seconds": step["seconds"]} for step in plan["chain"]]
    total = {"step": "in all", "seconds": chain_seconds(plan)}
    return table(CHAIN, [*steps, total]) if steps else None


def step_words(step):
    """What a step of the longest chain does."""
    if step["rule"] != "train":
        return STEPS[step["rule"]]
    runs = step["runs"]
    return f"train and evaluate {runs[0] if len(runs) == 1 else f'a pack of {len(runs)} runs'}"


def helps(row):
    """The cells of what would help a run that does not fit."""
    return "; or ".join(row["remedy"] or ["a smaller run"]), ""


def rate_rows(plan):
    """Rows of the table of rates."""
    rows = []
    for kind, rate in plan["rates"].items():
        low, high = rate.get("measured", (None, None))
        line = rate.get("site_line")
        rows.append(
            {
                "kind": kind_words(kind),
                "stated": wording.scientific(rate["stated"]),
                "measured": f"{wording.scientific(low)} to {wording.scientific(high)}"
                if rate["runs"]
                else "–",
                "runs": f"{rate['runs']:,}",
                "used": "measured" if rate["runs"] else "stated",
                "off": spread(rate["off_stated"]) if rate["runs"] else "–",
                "left_out": spread(rate["off_measured"]) if "off_measured" in rate else "–",
                "line": site_line(kind, line) if line else "–",
            }
        )
    return rows


def site_line(kind, flops):
    """The line of slurm/site.yaml that states ``flops`` for a kind of device."""
    key, _, precision = kind.partition(".")
    return f"{key}: {{{precision}: {flops:.1e}}}" if precision else f"{key}: {flops:.1e}"


RULES = (
    Column("rule", words("rule"), ""),
    Column("jobs", cell("jobs", "{:,}".format)),
    Column("cached", cell("cached", "{:,}".format)),
    Column("to do", cell("to_do", "{:,}".format)),
    Column("Slurm jobs", cell("slurm_jobs", lambda n: f"{n:,}" if n else "–")),
    Column("where", words("where"), ""),
)
ELAPSED = (
    Column("on", words("where"), ""),
    Column("takes", cell("seconds", elapsed)),
    Column("checkpoints meanwhile, at most", cell("checkpoint_bytes", size)),
)
CHAIN = (Column("step", words("step"), "wrap"), Column("takes", cell("seconds", elapsed)))
UNFIT = (
    Column("run", words("run"), "wrap"),
    Column("what would help", helps, "wrap"),
    Column("why", words("lacking"), "wrap"),
    Column("N", cell("N", "{:,}".format)),
    Column("sequences a step", cell("sequences", "{:,}".format)),
)
SLOW = (
    Column("run", words("run"), "wrap"),
    Column("devices", cell("devices", str)),
    Column("takes", cell("seconds", elapsed)),
    Column("its job may take", cell("limit_seconds", elapsed)),
    Column("jobs one after another", cell("jobs", str)),
)
RATES = (
    Column("device", words("kind"), ""),
    Column("stated FLOP/s", words("stated"), "number"),
    Column("measured FLOP/s", words("measured"), "number"),
    Column("runs", words("runs"), "number"),
    Column("used", words("used"), ""),
    Column("measured / expected", words("off"), "number"),
    Column("by other sizes' rates", words("left_out"), "number"),
    Column("line for site.yaml", words("line"), "slug"),
)
