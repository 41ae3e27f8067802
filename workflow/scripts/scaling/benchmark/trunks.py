"""Laws from branches off trunks beside those from separate runs: what they say, and what they cost."""

import os
import subprocess
from pathlib import Path

import numpy as np
import yaml

from scaling import parquet, selections
from scaling.benchmark.study import copy_checkout
from scaling.provenance import UserError
from scaling.rows import column
from scaling.trunks import EXPERIMENT, tokens_trained

WAYS = {
    "branches": {},
    "separate wsd": {"trunk": False, "seed": 1},
    "separate cosine": {"trunk": False, "seed": 1, "schedule": "cosine"},
}
"""How the grid of studies/trunks.yaml is trained, by what differs in its recipe. The others have a seed of
their own: with that of the branches the runs of wsd would be the same runs."""
LAWS = ("L_C", "L_NS", "chinchilla")
RESAMPLES = 1000


def measure(root, snakemake, scratch, ways=WAYS, change=None, cores=None):
    """Train the grid in each of ``ways`` in a copy of the checkout ``root`` at ``scratch``; return figures.

    ``change``: what the study has otherwise, as a mapping like a study file. The figures: of each way its
    tokens, core-seconds of its training jobs and laws, and the differences to the first
    (:func:`differences`, :func:`losses`).
    Raises UserError where a study fails.
    """
    scratch, cores = Path(scratch), cores or os.cpu_count()
    copy_checkout(root, scratch)
    found = {}
    for way, recipe in ways.items():
        study = {**(change or {}), "study": way.replace(" ", "-")}
        study["run"] = {**study.get("run", {}), **recipe}
        (scratch / "way.yaml").write_text(yaml.safe_dump(study))
        tables = scratch / "results" / "studies" / study["study"] / "tables"
        command = [snakemake, "--cores", str(cores), "--configfile", "studies/trunks.yaml", "way.yaml", "--"]
        target = str((tables / "runs.parquet").relative_to(scratch))
        if subprocess.run([*command, target], cwd=scratch, check=False).returncode:
            raise UserError(f"the study {way} in {scratch} failed; its last lines above say why")
        found[way] = [parquet.read(tables / f"{name}.parquet").to_pylist() for name in ("runs", "curves")]
    return {"cores": cores} | compare(found)


def compare(found):
    """The figures of :func:`measure` from ``found``: rows of the tables of runs and curves, by way."""
    first = next(iter(found))
    fitted = {way: laws(*tables) for way, tables in found.items()}
    return {
        "ways": {
            way: {
                "runs": len(runs),
                "tokens": sum(map(tokens_trained, runs)),
                "core_seconds": sum(run["seconds_total"] * run["threads"] for run in runs),
                "laws": {law: report for law, (report, _) in fitted[way].items()},
            }
            for way, (runs, _) in found.items()
        },
        "differences": {
            way: {"losses": losses(found[first][0], runs), "laws": differences(fitted[first], fitted[way])}
            for way, (runs, _) in found.items()
            if way != first
        },
    }


def laws(runs, curves):
    """Fits to a study: {law: (parameters with intervals or why there are none, draws)}.

    L(N) is fitted to the runs of each length, the others to all; trunks are in none.
    """
    runs = [run | {"experiments": ["size"]} for run in runs if EXPERIMENT not in run["experiments"]]
    asked = {law: (law, runs) for law in LAWS}
    for S in sorted({run["S"] for run in runs}):
        asked[f"L_N, S = {S}"] = ("L_N", [run for run in runs if run["S"] == S])
    found = {}
    for label, (law, members) in asked.items():
        report, draws = selections.fit_law(law, members, curves, resamples=RESAMPLES, seed=0, delta=0.01)
        kept = {key: report[key] for key in ("unfitted", "parameters", "quantiles") if key in report}
        if "parameters" in report:
            kept["certified"] = report["certificate"]["passed"]
        found[label] = kept, draws
    return found


def differences(first, other):
    """How much exponents differ, first minus other, with the interval of the differences of their draws.

    ``first`` and ``other`` are what :func:`laws` returns. Both grids have the same cells and are drawn with
    one seed, so that a draw leaves out the same cells of both. ``agree`` where the interval holds zero.
    """
    found = {}
    for law, (report, draws) in first.items():
        beside, drawn = other[law]
        if "unfitted" in report or "unfitted" in beside:
            continue
        low, high = np.transpose([report["quantiles"], beside["quantiles"]])
        for name in exponents(report["parameters"]):
            values = draws[name] - drawn[name]
            ends = np.quantile(values[np.isfinite(values)], [low.min(), high.max()]).tolist()
            a, b = (each["parameters"][name] for each in (report, beside))
            found.setdefault(law, {})[name] = {
                "value": a["value"] - b["value"],
                "low": ends[0],
                "high": ends[1],
                "agree": ends[0] <= 0 <= ends[1],
                "intervals_overlap": a["low"] <= b["high"] and b["low"] <= a["high"],
            }
    return found


def exponents(parameters):
    """Names of those of ``parameters`` that are exponents."""
    return [name for name in parameters if name.startswith(("alpha", "beta"))]


def losses(first, other):
    """Last test loss of ``first`` minus that of ``other``, rows of runs, by steps: mean and spread, nats."""
    cells = {(run["N"], run["S"]): run["test_loss"] for run in other}
    rows = [
        run | {"off": run["test_loss"] - cells[cell]}
        for run in first
        if (cell := (run["N"], run["S"])) in cells
    ]
    rows = [run for run in rows if EXPERIMENT not in run["experiments"]]
    found = {}
    for S in sorted({run["S"] for run in rows}):
        off = column([run for run in rows if run["S"] == S], "off")
        found[S] = {"mean": float(off.mean()), "spread": float(off.std(ddof=1)) if len(off) > 1 else None}
    return found


def describe(figures):
    """The figures of :func:`measure` as Markdown: costs, exponents, differences."""
    ways, different = figures["ways"], figures["differences"]
    first = next(iter(ways))
    lines = ["| | runs trained | tokens | core-seconds |", "|---|---|---|---|"]
    for way, found in ways.items():
        lines.append(
            f"| {way} | {found['runs']} | {found['tokens'] / 1e6:.1f}M | {found['core_seconds']:.0f} |"
        )
    for way in different:
        tokens, seconds = (1 - ways[first][key] / ways[way][key] for key in ("tokens", "core_seconds"))
        lines.append(f"| saved, beside {way} | | {tokens:.0%} | {seconds:.0%} |")
    heads = [*ways, *(f"difference to {way}" for way in different)]
    lines += ["", f"| exponent | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for law, report in ways[first]["laws"].items():
        for name in exponents(report.get("parameters", {})):
            cells = [_words(found["laws"][law], name) for found in ways.values()]
            cells += [_difference(found["laws"].get(law, {}).get(name)) for found in different.values()]
            lines.append(f"| {name} of {law} | {' | '.join(cells)} |")
    lines += ["", f"| steps | {' | '.join(f'loss beside {way}, nats' for way in different)} |"]
    lines.append(f"|---|{'---|' * len(different)}")
    for S in next(iter(different.values()))["losses"]:
        cells = [found["losses"][S] for found in different.values()]
        spreads = ["" if cell["spread"] is None else f" ± {cell['spread']:.4f}" for cell in cells]
        told = (f"{cell['mean']:+.4f}{spread}" for cell, spread in zip(cells, spreads, strict=True))
        lines.append(f"| {S} | {' | '.join(told)} |")
    return "\n".join(lines)


def _words(report, name):
    if "unfitted" in report:
        return "–"
    found = report["parameters"][name]
    text = f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"
    return text if report["certified"] else f"{text}, not certified"


def _difference(found):
    if found is None:
        return "–"
    verdict = "agree" if found["agree"] else "differ"
    return f"{found['value']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f}), {verdict}"
