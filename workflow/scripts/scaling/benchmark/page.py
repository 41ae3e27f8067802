"""How large the page of a study is and how soon it can be used, in headless Chromium."""

import shutil
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from scaling import allocation, laws, roads, selections
from scaling.benchmark import chain
from scaling.laws import critical_batch
from scaling.pages import content, render
from scaling.provenance import UserError

RUNS, POINTS = 1000, 50
"""Of the study that is simulated: runs, and test points of each."""
EXPERIMENTS = ("size", "long", "data", "shape", "batch")
SETS = {"code": 0.62, "comments": 0.45, "licences": 1.15}
"""Other text, and by how many nats its loss lies above the test loss."""
RESAMPLES, USUAL_RESAMPLES, DELTA, SEED = 20, 1000, 0.01, 0
N_VOCAB, N_CTX, BYTES_PER_TOKEN = 50_257, 1024, 4.2
FITTED = 10
"""Of so many test points the fits read one, but for batch scans."""
ERROR = 0.002
"""Standard error of a test loss, nats."""


def study(count=RUNS, points=POINTS):
    """Tables, fits, study.json and no manifest of a simulated study of about ``count`` runs, plain values.

    Losses are those of :mod:`scaling.benchmark.chain`, with its noise. The grid is the default study's, its
    sizes and data sets as many as the runs allow: two fifths are of `size`, a fifth of `data`.
    """
    rng = np.random.default_rng(SEED)
    tables = {"runs": [], "curves": [], "evaluations": []}
    for experiment, N, D, steps, B, depth in _grid(count):
        _train(tables, rng, points, experiment, N, D, steps, B, depth)
    recipe = {"architecture": "transformer", "n_ctx": N_CTX, "tied": True, "learning_rate": 0.002}
    config = {"study": "simulated", "experiments": list(EXPERIMENTS), "tokenizer": {"n_vocab": N_VOCAB}}
    config |= {"run": recipe, "finished": None}
    listed = [{key: run[key] for key in ("run", "N", "experiments")} for run in tables["runs"]]
    made, draws = fits(tables)
    told = {"study": "simulated", "config": config, "versions": {}, "offered": {}, "runs": listed}
    # as many draws as a study has
    drawn = {
        law: {name: np.tile(values, USUAL_RESAMPLES // RESAMPLES) for name, values in draws[law].items()}
        for law in roads.NEEDS
        if law in draws
    }
    known = roads.known(told, tables["runs"], made, drawn)
    return {"tables": tables, "fits": made, "study": told, "known": known}


def _grid(count):
    """Tuples (experiment, N, D, steps, B, n_layer) of about ``count`` runs."""
    whole, steps, B = 2e11, 2.5e5, chain.BATCH
    sizes = np.geomspace(768, 1.5e9, 2 * count // 5)
    small, some = sizes[:: max(1, len(sizes) // (count // 10))], sizes[:: max(1, len(sizes) // (count // 50))]
    parts = np.geomspace(2e7, 2e10, 11)
    scanned, batches = np.geomspace(3e6, 85e6, 4), 2.0 ** np.arange(14, 23)
    scans = [(N, b, chain.SCAN_STEPS + chain.SCAN_TOKENS / b) for N in scanned for b in batches]
    return [
        *(("size", N, whole, steps, B, 6) for N in sizes),
        *(("long", N, whole, k * steps, B, 6) for N in small for k in (2, 4)),
        *(("data", N, D, 2e4, B, 6) for N in some for D in parts),
        *(("shape", 5e7, whole, steps, B, depth) for depth in range(2, 2 + count // 7)),
        *(("batch", N, whole, last, b, 6) for N, b, last in scans),
    ]


def _train(tables, rng, points, experiment, N, D, last, B, n_layer):
    d_model = max(1, round((N / 12 / n_layer) ** 0.5))
    N, last = round(N), round(last)
    steps = np.unique(np.geomspace(max(1, last / 300), last, points).round())
    scatter = rng.normal(0, laws.SEED_NOISE) + rng.normal(0, chain.POINT_NOISE, len(steps))
    limited = laws.LAWS["L_ND"].published(N=np.full(2, N), D=np.array([D, 1e18]))
    losses = chain.loss(N, steps, B) + (limited[0] - limited[1])
    losses = np.minimum(losses, chain.GREATEST_LOSS) + scatter
    name = f"transformer-L{n_layer}-d{d_model}-N{N}_D{D:.0f}_b{B:.0f}-s{last}_cosine-lr0.002-{experiment}"
    tokens = last * round(B)
    flops = {"6N": 6 * N, "head": 6 * (N + N_VOCAB * d_model)}
    flops["attention"] = flops["head"] + 6 * n_layer * N_CTX * d_model
    end, error = float(losses[-1]), ERROR
    tables["runs"].append({
        **{"run": name, "experiments": [experiment], "status": "finished", "architecture": "transformer"},
        **{"n_layer": n_layer, "d_model": d_model, "d_ff": 4 * d_model, "n_head": 1, "d_attn": d_model},
        **{"n_vocab": N_VOCAB, "n_ctx": N_CTX, "reuse": 1, "tied": True, "dropout": 0.0, "optimizer": "adam"},
        **{"schedule": "cosine", "warmup": 0, "horizon": last, "final": 0.0, "cooldown": None, "seed": 0},
        **{"N": N, "N_total": N + (N_VOCAB + N_CTX) * d_model},
        **{f"flops_per_token_{convention}": value for convention, value in flops.items()},
        **{"D": round(D), "B": round(B), "S": last, "steps": last, "tokens": tokens, "epochs": tokens / D},
        **{"learning_rate": 0.002, "test_loss": end, "test_loss_se": error, "train_loss": end - 0.01},
        **{"best_step": last, "best_test_loss": end, "best_test_loss_se": error},
        **{"seconds_total": 1.0, "seconds_in_steps": 1.0, "tokens_per_second": float(tokens)},
    })  # fmt: skip
    tables["curves"] += [
        {
            **{"run": name, "step": int(step), "tokens": int(step * B), "flops": 6.0 * N * step * B},
            **{"learning_rate": 0.002, "train_loss": loss - 0.01, "test_loss": loss, "test_loss_se": error},
            **{"grad_norm": 0.4, "gradient_square": 1e-4, "gradient_variance": 0.4},
        }
        for step, loss in zip(steps, losses.tolist(), strict=True)
    ]
    tables["evaluations"] += [
        {
            **{"run": name, "step": last, "set": other, "loss": end + offset, "loss_se": error},
            **{"bits_per_byte": (end + offset) / np.log(2) / BYTES_PER_TOKEN, "tokens": 8192},
            "loss_by_position": [],
        }
        for other, offset in {"test": 0.0, **SETS}.items()
    ]


def fits(tables):
    """The fits of a study's tables by law in the order of laws, with how a budget splits; and their draws.

    Few resamples and test points: what pages show of fits is as large as of the whole curves, whose
    points stand in the fits of learning curves.
    """
    made, draws, critical, curves = {}, {}, None, tables["curves"]
    names = laws.available(EXPERIMENTS)
    for law in sorted(names, key=lambda name: name != "B_crit"):
        options = {"resamples": RESAMPLES, "seed": SEED, "delta": DELTA, "critical": critical}
        read = curves if law == "B_crit" else curves[::-FITTED][::-1]
        made[law], draws[law] = selections.fit_law(law, tables["runs"], read, **options)
        if law == "B_crit":
            critical = made[law], draws[law]
    B_crit = partial(
        critical_batch, **{name: found["value"] for name, found in made["B_crit"]["parameters"].items()}
    )
    for law, adjusted in (("L_NS", None), ("L_NSmin", B_crit)):
        selection = selections.learning_curves(tables["runs"], curves, "6N", adjusted)
        shown = selection.shown
        made[law]["data"] |= {
            "points": len(shown.y),
            "run": [selection.runs[owner] for owner in shown.owner],
            "inputs": {name: values.tolist() for name, values in shown.inputs.items()},
            "y": shown.y.tolist(),
        }
    made = {law: made[law] for law in names}
    return made | {"allocation": allocation.allocate(tables["runs"], made, draws)}, draws


# --- the browser ----------------------------------------------------------------------------------------


FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
PATIENCE = 120
"""Seconds that a page may take until all of it is drawn."""
WATCH = """
    window.seen = { drawn: {}, usable: null, blocked: [] };
    new PerformanceObserver((list) => seen.blocked.push(...list.getEntries().map((entry) => entry.duration)))
        .observe({ type: "longtask", buffered: true });
    document.addEventListener("drawn", ({ detail }) => {
        seen.drawn[detail.figure.id] ??= performance.now();
        setTimeout(() => { seen.usable ??= performance.now(); });
    });
"""
"""Notes when charts are drawn, and when input that came before the first of them is handled."""


@contextmanager
def chromium(profile):
    """A headless Chromium with that folder as its profile, which logs what it asks for and complains of.

    Raises UserError where there is none.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        raise UserError("chromium and chromedriver are not installed; `make browser` installs them")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield opened
    finally:
        opened.quit()


def opened(path, browser):
    """What a page in ``browser`` costs its reader: bytes, and seconds from the start of loading it.

    ``first`` until the first chart is drawn and input handled, ``all`` until each has been, ``blocked`` in
    the longest stretch without handling input. Raises UserError where charts stay undrawn.
    """
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    browser.get(Path(path).resolve().as_uri())
    charts = browser.execute_script(
        "return document.querySelectorAll('#explorer, #plan figure, figure > .packed').length"
    )
    try:
        WebDriverWait(browser, PATIENCE).until(
            lambda driver: driver.execute_script("return Object.keys(seen.drawn).length") >= charts
        )
    except TimeoutException:
        raise UserError(f"{path}: not all of its {charts} charts are drawn after {PATIENCE} s") from None
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    seen = browser.execute_script("return seen")
    return {
        "bytes": Path(path).stat().st_size,
        "charts": charts,
        "first": seen["usable"] / 1000,
        "all": max(seen["drawn"].values()) / 1000,
        "blocked": max(seen["blocked"], default=0) / 1000,
    }


def made(study, path):
    """Write the page of a :func:`study` to ``path``; returns the seconds that took."""
    library = render.library(path.parent)
    began = time.perf_counter()
    shown = content.page(*(study[key] for key in ("study", "tables", "fits")), known=study.get("known"))
    render.write_page(path, "frontier.html", library, **shown)
    return time.perf_counter() - began


def measure(root, scratch):
    """Figures of the default study's page in the checkout at ``root``, and of that of a simulated study."""
    default, simulated = root / "results/frontier.html", study()
    if not default.is_file():
        raise UserError(f"{default} does not exist; `snakemake results/frontier.html` makes it")
    scratch.mkdir(parents=True, exist_ok=True)
    seconds = made(simulated, scratch / "frontier.html")
    with chromium(scratch / "profile") as browser:
        return {
            "default study": opened(default, browser),
            f"{len(simulated['tables']['runs'])} runs of {POINTS} test points": opened(
                scratch / "frontier.html", browser
            )
            | {"made": seconds},
        }


def describe(figures):
    """The figures of :func:`measure` as lines for the terminal."""
    return "\n".join(
        f"{name}: {page['bytes'] / 1e6:.1f} MB"
        + (f", made in {page['made']:.1f} s" if "made" in page else "")
        + f"; first of {page['charts']} charts drawn and input handled after {page['first']:.1f} s, all"
        f" drawn after {page['all']:.1f} s, blocked for {page['blocked']:.2f} s at most"
        for name, page in figures.items()
    )
