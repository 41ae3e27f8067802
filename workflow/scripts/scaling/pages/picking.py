"""One run marked through all charts of a page: what is said of it, and charts that dim the others."""

from scaling.charts import wording
from scaling.rows import finite

PICKED = "picked"
"""The parameter of a chart that holds the name of the run that is marked, or nothing."""
DIM = 0.12
"""Opacity of the marks of other runs."""
MARKS = ("point", "rule", "line")


def runs(rows):
    """What a page says of the run that is marked, columns of the table of runs in its order.

    Shapes are in words, counts in parameters and tokens, losses in nats per token; None for what is unknown.
    """
    columns = {name: [number(row.get(name)) for row in rows] for name in ("N", "N_total", "B", "tokens")}
    return columns | {
        "run": [row["run"] for row in rows],
        "shape": [wording.shape(row) for row in rows],
        "steps": [number(row.get("steps") or row.get("S")) for row in rows],
        "loss": [number(row["test_loss"]) for row in rows],
        "status": [row["status"] for row in rows],
        "experiments": [", ".join(row["experiments"]) for row in rows],
    }


def number(value):
    """``value`` to six significant digits, or whole; None for what is missing or not finite."""
    if not finite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")


def pickable(spec):
    """``spec``, a Vega-Lite specification as Altair makes it, with a parameter :data:`PICKED` that dims all
    marks of other runs than the one it names.

    Marks whose rows name no run stay as they are, and so do lines and areas that join several runs.
    """
    made = _dimmed(spec, spec.get("datasets", {}), ())
    if made is spec:
        return spec
    return {**made, "params": [*spec.get("params", []), {"name": PICKED, "value": ""}]}


def _dimmed(spec, datasets, rows):
    """``spec`` and what it holds, dimmed where that can be; ``rows`` are those of what it stands in."""
    data = spec.get("data", {})
    rows = datasets.get(data["name"], ()) if "name" in data else data.get("values", rows)
    for parts in ("layer", "concat", "hconcat", "vconcat"):
        if parts in spec:
            made = [_dimmed(part, datasets, rows) for part in spec[parts]]
            if all(new is old for new, old in zip(made, spec[parts], strict=True)):
                return spec
            return {**spec, parts: made}
    mark, encoding = spec.get("mark"), spec.get("encoding", {})
    kind = mark["type"] if isinstance(mark, dict) else mark
    joins_runs = kind == "line" and encoding.get("detail", {}).get("field") != "run"
    if kind not in MARKS or joins_runs or not rows or not all("run" in row for row in rows):
        return spec
    opacity = encoding.get("opacity", {})
    if not opacity.keys() <= {"value"}:
        return spec
    others = {"test": f"{PICKED} !== '' && datum.run !== {PICKED}", "value": DIM}
    return {**spec, "encoding": {**encoding, "opacity": {**opacity, "condition": others}}}
