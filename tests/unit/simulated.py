"""A study that was never trained: tables and fits of the shape and size that the pipeline writes.

python tests/unit/simulated.py FOLDER    writes them to FOLDER, to look at charts and pages made of them
"""

import functools
import json
import math
import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scaling import allocation, laws, selections
from scaling import finished as importer
from scaling.charts.catalog import splits

B, S, N_CTX, N_VOCAB, D_ALL = 2048, 1500, 128, 512, 14_000_000
SIZES = [(1, 8, 1), (1, 16, 1), (2, 16, 2), (2, 24, 2), (2, 32, 2), (2, 48, 3), (3, 64, 4), (4, 96, 4)]
SETS = {"cloud": 0.28, "comments": 0.45, "code": 0.62, "readmes": 0.94, "licences": 1.15, "headers": 1.9}
NAME = "transformer"
BYTES_PER_TOKEN = 1.94
BATCHES = (256, 512, 1024, 2048, 4096, 8192, 32768)
EXPERIMENTS = (
    "size", "long", "data", "shape", "batch", "depth", "architecture", "schedule", "learning_rate", "context",
)  # fmt: skip
RECIPE = {"schedule": "cosine", "warmup": 50, "horizon": S, "final": 0.0, "cooldown": None, "seed": 0}


def study(experiments=EXPERIMENTS, transfer=SETS, name=NAME, diverged=None):
    """Tables, fits, study.json and manifest.json of a simulated study, as a dict of plain values.

    ``transfer`` maps transfer sets to their offsets in nats, ``name`` begins the name of every run, and the
    run of `size` whose N is ``diverged`` has no losses.
    """
    return pickle.loads(_study(tuple(experiments), tuple(transfer.items()), name, diverged))


@functools.cache
def _study(experiments, transfer, name, diverged):
    """What :func:`study` gives, pickled: its fits take ten seconds, and tests change what they get.

    Laws are fitted to runs and curves, which are the same whatever the runs are called and evaluated on.
    """
    usual, transfer = (NAME, tuple(SETS.items())), dict(transfer)
    random = np.random.default_rng(0)
    runs, curves, evaluations = {}, [], []
    for experiment, shape, D, planned, batch, more in _grid(experiments):
        run = _run(name, shape, D, planned, batch, more, random)
        if run["run"] in runs:
            runs[run["run"]]["experiments"].append(experiment)
            continue
        run["experiments"].append(experiment)
        runs[run["run"]] = run
        if experiment == "batch":
            run |= {"warmup": 10, "schedule": "constant", "horizon": None, "final": None}
        made = _curve(run, random)
        if run["D"] < D_ALL:
            _turn(run, made)
        curves += made
        evaluations += _evaluate(run, transfer, random)
        if run["N"] == diverged and D == D_ALL and planned == S:
            run["status"] = "diverged"
            for row in (run, *(row for row in curves + evaluations if row["run"] == run["run"])):
                row |= {key: math.nan for key in row if "loss" in key and key != "loss_by_position"}
    tables = {"runs": list(runs.values()), "curves": curves, "evaluations": evaluations}
    if (name, tuple(transfer.items())) == usual:
        fits = _fits(tables, experiments)
    else:
        fits = _renamed(pickle.loads(_study(experiments, usual[1], NAME, diverged))["fits"], name)
    config = {"study": "default", "experiments": list(experiments), "tokenizer": {"n_vocab": N_VOCAB}}
    made = {
        "tables": tables,
        "fits": fits,
        "study": {
            **{"study": "default", "config": config, "versions": {"python": "3.12.0", "torch": "2.13.0"}},
            "offered": {},
            "runs": [{key: run[key] for key in ("run", "N", "experiments")} for run in runs.values()],
        },
        "manifest": _manifest(transfer),
    }
    return pickle.dumps(made)


def finished(points=90):
    """What :func:`study` gives, of runs that somebody else finished: N, D and a loss of each, no shape."""
    random = np.random.default_rng(0)
    law, rows = laws.LAWS["chinchilla"], []
    for index, (N, D) in enumerate(zip(*np.exp(random.uniform(19, 24, (2, points))), strict=True)):
        loss = float(law.published(N=N, D=D)[0] * np.exp(random.normal(0, 0.003)))
        counts = {
            "N": round(N),
            "D": round(D),
            "tokens": round(D),
            "epochs": 1.0,
            "flops_per_token_6N": 6 * N,
        }
        losses = {"test_loss": loss, "best_test_loss": loss, "test_loss_se": math.nan}
        rows.append(
            {"run": f"row{index + 1}", "experiments": ["size"], "status": "finished", **counts, **losses}
        )
    runs = pa.Table.from_pylist(rows, importer.RUN).to_pylist()
    wanted = laws.available(["size"], curves=False)
    return {
        "tables": {"runs": runs, "curves": [], "evaluations": []},
        "fits": {
            law: selections.fit_law(law, runs, [], resamples=60, seed=0, delta=0.01)[0] for law in wanted
        },
        "study": {
            **{"study": "published", "config": {"study": "published", "finished": {"file": "runs.csv"}}},
            **{"versions": {"python": "3.12.0"}, "offered": {}, "runs": []},
        },
        "manifest": None,
        "finished": {
            **{"file": "somewhere/runs.csv", "sha256": "ef" * 32, "rows_read": points + 2, "runs": points},
            **{"derived": ["D = tokens"], "where": {}},
            "dropped": [{"run": "row91", "row": 91, "loss": 5.25, "reason": "the largest loss"}],
            "left_out": [{"reason": "the same as a row before in every column", "rows": 1}],
        },
    }


def write(study, folder):
    """Write a simulated study under ``folder`` where the pipeline would; returns the folder."""
    folder = Path(folder)
    for name in ("tables", "fits", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, rows in study["tables"].items():
        pq.write_table(pa.Table.from_pylist(rows), folder / "tables" / f"{name}.parquet")
    for law, fit in study["fits"].items():
        (folder / "fits" / f"{law}.json").write_text(json.dumps(fit))
    (folder / "study.json").write_text(json.dumps(study["study"]))
    (folder / "data" / "manifest.json").write_text(json.dumps(study["manifest"]))
    (folder / "finished.json").write_text(json.dumps(study.get("finished")))
    return folder


def _grid(experiments):
    """Tuples (experiment, (n_layer, d_model, n_head, d_ff), D, S, B, what else of the run is its own)."""
    full = [(L, d, h, 4 * d) for L, d, h in SIZES]
    grid = {
        "size": [(shape, D_ALL) for shape in full],
        "data": [
            (full[i], D) for D in (20_000, 40_000, 80_000, 160_000, 640_000, D_ALL) for i in (1, 3, 4, 5)
        ],
        "shape": [
            (shape, D_ALL)
            for shape in [
                *((2, 32, 2, 128), (4, 32, 2, 32), (3, 32, 2, 64), (1, 32, 2, 320)),
                *(
                    (1, 45, 3, 180),
                    (3, 26, 2, 104),
                    (8, 16, 1, 64),
                    (2, 32, 1, 128),
                    (2, 32, 4, 128),
                    (2, 32, 8, 128),
                ),
            ]
        ],
    }
    points = [
        (experiment, *point, S, B, {}) for experiment in experiments for point in grid.get(experiment, [])
    ]
    longer = [("long", shape, D_ALL, k * S, B, {}) for shape in full[:4] for k in (2, 4)]
    scans = [("batch", full[i], D_ALL, 250 + 3_000_000 // b, b, {}) for i in (1, 4) for b in BATCHES]
    points += (longer if "long" in experiments else []) + (scans if "batch" in experiments else [])
    return points + [
        (experiment, shape, D_ALL, S, B, more)
        for experiment in experiments
        for shape, more in _variants(full).get(experiment, [])
    ]


def _variants(full):
    """Of experiments that vary more than shape and data: pairs (shape, what else of the run is its own)."""
    schedules = [
        *({"seed": seed} for seed in range(5)),
        *({"schedule": "linear", "final": final} for final in (0.0, 0.1)),
        *({"schedule": "wsd", "cooldown": cooldown} for cooldown in (0.2, 0.5)),
        *({"schedule": kind, "horizon": None, "final": None} for kind in ("constant", "inverse_sqrt")),
        *({"warmup": 600}, {"final": 0.1}, {"horizon": 2 * S}, {"learning_rate": 0.01}),
    ]
    return {
        "depth": [
            ((L, d, 1, 4 * d), {})
            for L in (1, 2, 4, 8)
            for d in (round(c / L**0.5) for c in (16, 32, 64, 128))
        ],
        "architecture": [
            *(((L, d, None, None), {"architecture": "lstm"}) for L in (1, 2, 4) for d in (16, 32, 64, 96)),
            *(
                ((1, d, 1, 4 * d), {"architecture": "recurrent", "reuse": reuse})
                for d in (16, 32, 64)
                for reuse in (2, 4, 8)
            ),
        ],
        "schedule": [(full[4], more) for more in schedules],
        "learning_rate": [
            (full[i], {"learning_rate": rate})
            for i in (0, 1, 3, 5, 6)
            for rate in (0.0014, 0.0028, 0.0056, 0.011, 0.022, 0.044, 0.088)
        ],
        "context": [(full[i], {"n_ctx": 8}) for i in (1, 3, 5, 6)],
    }


def _parameters(shape, architecture="transformer"):
    L, d, _, ff = shape
    return 8 * L * d**2 if architecture == "lstm" else 2 * d * L * (2 * d + ff)


def _run(name, shape, D, planned, batch, more, random):
    L, d, h, ff = shape
    more = RECIPE | {"architecture": "transformer", "reuse": 1, "n_ctx": N_CTX} | more
    N = _parameters(shape, more["architecture"])
    early = min(planned, round(120 * (D / 40_000) ** 0.8))
    steps, status = (planned, "finished") if D == D_ALL else (early, "stopped")
    rate = more.pop("learning_rate", 0.02 * (32 / d) ** 0.5)
    loss = _loss(shape, D, steps, batch, more["reuse"]) + random.normal(0, 0.008)
    loss += 0.02 * math.log(rate / (0.02 * (32 / d) ** 0.5)) ** 2
    loss *= {"lstm": 1.02}.get(more["architecture"], 1) * (1.12 if more["n_ctx"] < N_CTX else 1)
    loss *= 1.02 if more["schedule"] in ("constant", "inverse_sqrt") else 1
    data = "all" if D == D_ALL else D
    varied = "".join(f"-{key}{value}" for key, value in more.items() if value != RECIPE.get(key, value))
    slug = f"{name}-L{L}-d{d}-ff{ff}-h{h}_D{data}_b{batch}-s{planned}_cosine-lr{rate:.3g}{varied}-1a2b3c"
    slug = slug.replace(name, f"{name}-{more['architecture']}-r{more['reuse']}-c{more['n_ctx']}")
    speed = 2.3e5 / (1 + N / 30_000)
    return {
        **{"run": slug, "experiments": [], "d_attn": None if h is None else d},
        **{"n_layer": L, "d_model": d, "d_ff": ff, "n_head": h, "n_vocab": N_VOCAB, **more},
        **{"N": N, "N_total": N + (N_VOCAB + N_CTX) * d},
        **{"flops_per_token_6N": 6 * N * more["reuse"]},
        **{"flops_per_token_head": 6 * (N * more["reuse"] + N_VOCAB * d)},
        **{"flops_per_token_attention": 6 * (N * more["reuse"] + N_VOCAB * d + L * N_CTX * d)},
        **{"D": D, "B": batch, "S": planned, "steps": steps},
        **{"tokens": steps * batch, "epochs": steps * batch / D},
        **{"learning_rate": rate, "status": status, "tied": True, "dropout": 0.0, "optimizer": "adam"},
        **{"test_loss": loss, "test_loss_se": 0.011, "train_loss": loss - 0.03},
        **{"best_step": steps, "best_test_loss": loss, "best_test_loss_se": 0.011},
        **{"seconds_total": steps * batch / speed * 1.1, "seconds_in_steps": steps * batch / speed},
        **{"tokens_per_second": speed},
    }


def _loss(shape, D, step, batch=B, reuse=1):
    """L(N, D) with a learning-curve term, held under the loss of a uniform guess.

    Steps count as far as the batch lets them, against those of a batch B; weights that are used several times
    as somewhat more of them. A shape without heads is an LSTM's.
    """
    L, d, h, ff = shape
    N = _parameters(shape, "transformer" if h else "lstm") * reuse**0.3
    uneven = (
        0
        if h is None
        else (
            0.004 * abs(math.log(ff / d / 4)) ** 2
            + 0.004 * abs(math.log(d / L / 16))
            + 0.003 * abs(math.log(d / h / 16))
        )
    )
    converged = ((2.6e12 / N) ** (0.067 / 0.12) + 2.2e10 / D) ** 0.12 * (1 + uneven)
    loss = converged + (300 / step) ** 0.62 * 0.4
    for _ in range(30):
        critical = 4000 * (4.2 / loss) ** 6
        loss = converged + (300 / step * (1 + critical / batch) / (1 + critical / B)) ** 0.62 * 0.4
    return (loss**-5 + 6.24**-5) ** (-1 / 5)


def _curve(run, random):
    shape = (run["n_layer"], run["d_model"], run["n_head"], run["d_ff"])
    steps = sorted({1, *(round(s) for s in np.geomspace(15, run["steps"], 14))})
    noise = 0.003 if "batch" in run["experiments"] else 0.008
    losses = [
        _loss(shape, run["D"], step, run["B"], run["reuse"]) + random.normal(0, noise) for step in steps[:-1]
    ]
    losses.append(run["test_loss"])
    tokens = [step * run["B"] for step in steps]
    return [
        {
            **{"run": run["run"], "step": step, "tokens": seen, "flops": 6 * run["N"] * seen},
            **{"learning_rate": 0.01, "train_loss": loss - 0.02, "test_loss": loss, "test_loss_se": 0.011},
            **{
                "grad_norm": 0.4,
                "gradient_square": 1e-4,
                "gradient_variance": 0.4 * random.uniform(0.5, 1.5),
            },
        }
        for step, seen, loss in zip(steps, tokens, losses, strict=True)
    ]


def _turn(run, curve):
    """Let a run on limited data go on past its best test point: then its test loss rises, no other."""
    *_, best, a, b, c = curve
    for behind, row in enumerate((best, a, b, c)):
        row |= {"test_loss": run["best_test_loss"] + 0.1 * behind}
        row |= {"train_loss": run["best_test_loss"] - 0.3 - 0.15 * behind}
    run |= {"best_step": best["step"], "test_loss": c["test_loss"], "train_loss": c["train_loss"]}


def _evaluate(run, transfer, random):
    """Rows of the table of evaluations; they take as much of ``random`` whatever the sets are."""
    sets = [("test", 0.0), *transfer.items()]
    shape = (run["n_layer"], run["d_model"], run["n_head"], run["d_ff"])
    steps = [50, 171, 585, run["steps"]] if "size" in run["experiments"] else [run["steps"]]
    return [
        {
            **{"run": run["run"], "step": step, "set": name, "loss": loss, "loss_se": 0.02},
            **{"bits_per_byte": loss / math.log(2) / BYTES_PER_TOKEN, "tokens": 8192},
            "loss_by_position": _by_position(loss, run),
        }
        for step in steps
        for (name, offset), noise in zip(sets, _noises(len(sets), step, random), strict=True)
        for loss in [
            _loss(shape, run["D"], step, run["B"], run["reuse"]) + offset * (1 - 30 / (step + 40)) + noise
        ]
    ]


def _noises(count, step, random):
    usual = random.normal(0, 0.015, 1 + len(SETS))
    more = np.random.default_rng(step).normal(0, 0.015, max(0, count - len(usual)))
    return [*usual, *more][:count]


def _by_position(loss, run):
    """Losses of mean ``loss`` that fall as a power of the position; an LSTM's stop falling at the 30th."""
    position = np.arange(1.0, run["n_ctx"] + 1)
    if run["architecture"] == "lstm":
        position = np.minimum(position, 30)
    falling = 1 + 0.6 * position**-0.7
    return (loss * falling / falling.mean()).tolist()


def _fits(tables, experiments):
    fits, draws, critical = {}, {}, None
    names = laws.available(experiments)
    for law in sorted(names, key=lambda name: name != "B_crit"):  # the others are adjusted by it
        options = {"resamples": 60, "seed": 0, "delta": 0.01, "critical": critical}
        fits[law], draws[law] = selections.fit_law(law, tables["runs"], tables["curves"], **options)
        if law == "B_crit":
            critical = fits[law], draws[law]
    fits = {law: fits[law] for law in names}
    if splits(names):
        fits["allocation"] = allocation.allocate(tables["runs"], fits, draws)
    return fits


def _renamed(fits, name):
    """``fits`` in which every run's name begins with ``name``."""
    if isinstance(fits, dict):
        return {key: _renamed(value, name) for key, value in fits.items()}
    if isinstance(fits, list | tuple):
        return type(fits)(_renamed(value, name) for value in fits)
    if isinstance(fits, str) and fits.startswith(f"{NAME}-"):
        return name + fits.removeprefix(NAME)
    return fits


def _manifest(transfer):
    wheel = {
        "version": "1.2.3",
        "licence": "BSD-3-Clause",
        "sha256": "0123456789abcdef" * 4,
        "bytes": 1_200_000,
    }
    text = {"documents": 900, "bytes": 900_000, "sha256": "ab" * 32, "text_sha256": "cd" * 32}
    shares = {"largest_share": 0.01, "source_shares": {"pandas": 0.5, "scipy": 0.5}}
    return {
        "wheels": [{"source": name, **wheel} for name in ("pandas", "scipy", "sympy")],
        "sources": [
            {
                "source": "owner/web",
                "version": "0123abc",
                "licence": "odc-by",
                "files": [{"bytes": 7_000_000}],
            }
        ],
        "sets": dict.fromkeys(("prose", *transfer), text | shares),
        "leaks": {name: {"share": 0.0321} for name in transfer},
    }


if __name__ == "__main__":
    write(study(), sys.argv[1])
