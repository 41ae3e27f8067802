"""From config to runs: what is checked, what each run is, and what it and its data are called.

The Snakefile imports this module at every start and in every job of a cluster, so it stays light: no
torch, no pandas.
"""

import difflib
import glob
import itertools
import json
import math
import re
import unicodedata
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from scaling import configs, counts, trunks, versions
from scaling.provenance import UserError, digest, sha256
from scaling.units import compact

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"
COUNTS = (
    "n_ctx", "tied", "precision", "D", "B", "S", "optimizer", "schedule", "warmup", "seed", "patience",
    "snapshots", "test_tokens", "test_points", "noise_steps",
)  # fmt: skip
QUANTITIES = ("dropout", "weight_decay", "epsilon", "clip", "final", "cooldown")
FEWEST_BATCHES = 4
"""Batch sizes of one size of model that a batch scan needs, for a hyperbola of two parameters."""
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)((?:\s+--hash=sha256:[0-9a-f]{64})+)")
"""A line of a lock: name, version, hashes. Name and version are part of a path."""
LARGEST = 1e30
"""The largest number of a config, so that what is reckoned with it stays one."""
MOST_CHARACTERS = 90_000
"""Characters of a config as JSON: scripts are given it on a command line, of which Linux takes 128 KiB."""
MOST_ITEMS = 5000
"""Items of a list in a config."""
LONGEST = 1000
"""Characters of a text in a config."""
NO_TEXT = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, halves of surrogate pairs, and ends of lines and paragraphs."""
LARGEST_N = 10**15
"""The largest N of a run."""
MOST_RUNS = 20_000
"""Runs of a study; and of an experiment that it leaves out, which is counted for the report."""
MOST_FILES = 100_000
"""Files of the user's own that one source, or one folder laid out like a data set, may have."""
NOT_IN_SLUG = ("N", "data", "run", "experiments")
"""What of a run follows from the rest, or is no part of what it is."""
BY = ("N", "d_model", "B")
"""What the rule of a learning rate may go by."""
FITTED = ("size", "long", "data", "batch")
"""Experiments that laws are fitted to."""
ADAFACTOR_ABOVE = 10**9
"""N above which `optimizer: auto` is Adafactor, as in the paper (section 2.2); Adam below."""
ENDINGS = (".csv", ".csv.gz", ".parquet")
TRAINED_VOCABULARY = 2**16
"""Most entries of a tokenizer that is trained here: its ids then take two bytes."""
DERIVED = (
    ("tokens", ("S", "B"), "S · B", lambda S, B: S * B),
    ("tokens", ("D",), "D", lambda D: D),
    ("tokens", ("C", "N"), "C / (6 N)", lambda C, N: C / (6 * N)),
    ("N", ("C", "tokens"), "C / (6 tokens)", lambda C, tokens: C / (6 * tokens)),
    ("C", ("N", "tokens"), "6 N · tokens", lambda N, tokens: 6 * N * tokens),
    ("D", ("tokens",), "tokens", lambda tokens: tokens),
    ("S", ("tokens", "B"), "tokens / B", lambda tokens, B: tokens / B),
    ("B", ("tokens", "S"), "tokens / S", lambda tokens, S: tokens / S),
)
"""What of a finished run follows from what else: name, from which names, in words, how; the first that can
be is taken. C is in FLOPs, by the paper's count of 6 N for each token."""


# --- checks ---------------------------------------------------------------------------------------------


def default(root):
    """The default study as its files below ``root`` have it, unchecked."""
    found = {}
    for name in ("config.yaml", "slurm/site.yaml"):
        found |= yaml.safe_load((root / name).read_text(encoding="utf-8"))
    return found


def check_files(paths):
    """Raise UserError for the first fault in how the config files at ``paths`` are written."""
    for path in map(Path, paths):
        here = path.is_absolute() and path.is_relative_to(Path.cwd())
        configs.check_file(path.relative_to(Path.cwd()) if here else path, _schema()["properties"])


@cache
def _schema():
    return yaml.load(SCHEMA.read_text(encoding="utf-8"), Loader=configs.LOADER)


def check(config):
    """Return ``config`` with whole numbers as integers, since YAML reads 1.0e+6 as a fraction.

    Raises UserError, one line with key, finding and expectation, for its first fault.
    """
    config = _whole(config, "config", itertools.count(1))
    schema = _schema()
    _check_value(config, schema, schema, "config")
    run_schema = schema["properties"]["run"]["properties"]
    for name, grids in config["grid"].items():
        for where, grid in _grids(name, grids):
            check_known(grid, ["shape", *run_schema], where)
            for key, value in grid.items():
                values = value if _is_axis(key, value) else [value]
                part = schema["$defs"]["shape"] if key == "shape" else run_schema[key]
                if not values or (key == "shape" and not isinstance(value, list)):
                    raise UserError(f"{where}.{key}: found {_found(value)}, expected a list of at least one")
                for i, item in enumerate(values):
                    place = f"{where}.{key}[{i}]" if values is value else f"{where}.{key}"
                    _check_value(item, part, schema, place)
            if "shape" not in grid:
                raise UserError(f"{where}: found no shape, expected a list of {{n_layer, d_model, n_head}}")
    for name in config["experiments"]:
        check_known([name], config["grid"], "experiments", what="experiment")
    _check_points(config)
    if trunks.EXPERIMENT in config["grid"]:
        raise UserError(
            f"grid: found an experiment {trunks.EXPERIMENT!r}, expected another name: trunks have that one"
        )
    _check_text(config["corpus"])
    _check_tokenizer(config["tokenizer"])
    if config["finished"] is not None:
        _check_finished(config["finished"])
    length = len(json.dumps(config))
    if length > MOST_CHARACTERS:
        expected = f"at most {MOST_CHARACTERS} as JSON: it has to fit a command line"
        raise UserError(f"config: found {length} characters, expected {expected}")
    return config


def _check_points(config):
    """Raise UserError where there are more points of grids than a study can have runs."""
    in_all = 0
    for name, grids in config["grid"].items():
        found = sum(
            math.prod(len(value) if _is_axis(key, value) else 1 for key, value in grid.items())
            for _, grid in _grids(name, grids)
        )
        if found > MOST_RUNS:
            raise UserError(f"grid.{name}: found {found} runs, expected at most {MOST_RUNS}")
        in_all += found if name in config["experiments"] else 0
    if in_all > MOST_RUNS:
        raise UserError(f"experiments: found {in_all} runs, expected at most {MOST_RUNS} in a study")


def _whole(value, where, seen):
    """``value`` with whole numbers as integers; raises UserError for what no key may hold."""
    key = where.removeprefix("config.")
    if next(seen) > configs.MOST_VALUES:
        raise UserError(f"{key}: found more than {configs.MOST_VALUES} values in all, expected fewer")
    if isinstance(value, dict):
        return {name: _whole(item, f"{where}.{_text(name, key)}", seen) for name, item in value.items()}
    if isinstance(value, list):
        if len(value) > MOST_ITEMS:
            raise UserError(f"{key}: found a list of {len(value)}, expected at most {MOST_ITEMS} items")
        return [_whole(item, f"{where}[{i}]", seen) for i, item in enumerate(value)]
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise UserError(f"{key}: found text of {len(value)} characters, expected at most {LONGEST}")
        return _text(value, key)
    if isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:  # not a number is not, either
        found = value if isinstance(value, float) else "a number of more than 30 digits"
        raise UserError(f"{key}: found {found}, expected a finite number, of at most 1e30")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value, key):
    """``value``, a key or a text below ``key``; raises UserError where it would not stay on one line."""
    if isinstance(value, str) and (bad := [c for c in value if unicodedata.category(c) in NO_TEXT]):
        raise UserError(f"{key}: found the character {bad[0]!a} in {_found(value)}, expected text without it")
    return value


def _grids(name, grids):
    """Pairs of (key for messages, grid) of an experiment, which is one grid or a list of them."""
    pairs = (
        [(f"grid.{name}[{i}]", g) for i, g in enumerate(grids)]
        if isinstance(grids, list)
        else [(f"grid.{name}", grids)]
    )
    for where, grid in pairs:
        if not isinstance(grid, dict):
            raise UserError(f"{where}: found {_found(grid)}, expected a mapping with a shape")
    if not pairs:
        raise UserError(f"grid.{name}: found an empty list, expected at least one grid")
    return pairs


def _is_axis(key, value):
    return isinstance(value, list) and (key != "betas" or any(isinstance(v, list) for v in value))


def check_known(names, known, where, what="key", known_as=None):
    """Raise UserError for the first of ``names``, found at ``where``, that is not ``known``."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            expected = f"one of {known_as}" if known_as else f"one of {', '.join(map(str, known))}"
            raise UserError(f"{where}: found unknown {what} {_short(name)}{hint}, expected {expected}")


def _check_text(corpus):
    wanted = {"corpus.prose": corpus["prose"]}
    for i, transfer in enumerate(corpus["transfer"]):
        where = f"corpus.transfer[{i}]"
        if {"read", "from"} & set(transfer):
            _check_keys(transfer, {"set", "read", "from"}, {"read", "from"}, where, "text of wheels")
            wanted[f"{where}.from"] = transfer["from"]
        else:
            _check_source(transfer, where)
    names = [transfer["set"] for transfer in corpus["transfer"]]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"corpus.transfer: found the set {min(twice)!r} twice, expected each name once")
    pinned = pins(corpus["lock"])
    for where, packages in wanted.items():
        check_known(packages, pinned, where, what="wheel", known_as=f"the lock {corpus['lock']}")
    sources = corpus["sources"] or []
    for i, source in enumerate(sources):
        _check_source(source, f"corpus.sources[{i}]")
    weighed = sum("weight" in source for source in sources)
    if 0 < weighed < len(sources):
        raise UserError(
            f"corpus.sources: found a weight in {weighed} of {len(sources)}, expected one in each or none"
        )
    if corpus["train_bytes"] and len(sources) > 1 and not weighed:
        raise UserError(
            "corpus.sources: found no weights beside train_bytes, expected one in each: its share of bytes"
        )


SOURCES = {
    "hub": ({"subset", "revision", "split", "column"}, {"revision"}),
    "files": ({"column"}, set()),
    "debian": (set(), set()),
}
"""Kinds of text that are no wheels: keys that each may have beside its own, and those that it must have."""


def _check_source(source, where):
    kinds = [kind for kind in SOURCES if kind in source]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise UserError(f"{where}: found {found} of {', '.join(SOURCES)}, expected one of them")
    may, must = SOURCES[kinds[0]]
    _check_keys(source, {"set", "weight", kinds[0], *may}, must, where, f"text of {kinds[0]}")
    own_files(source, where)


def _check_keys(value, may, must, where, what):
    for key in value:
        if key not in may:
            raise UserError(f"{where}: found key {key!r}, expected none such for {what}")
    for key in must:
        if key not in value:
            raise UserError(f"{where}: found no key {key!r}, expected one for {what}")


def _check_tokenizer(tokenizer):
    given = [key for key in ("file", "hub") if key in tokenizer]
    if len(given) > 1:
        raise UserError("tokenizer: found both file and hub, expected one of them")
    if not given:
        if tokenizer["n_vocab"] > TRAINED_VOCABULARY:
            raise UserError(
                f"tokenizer.n_vocab: found {tokenizer['n_vocab']}, expected at most {TRAINED_VOCABULARY} for "
                "a tokenizer that is trained here; a larger one is given by `file` or `hub`"
            )
        _check_keys(tokenizer, {"n_vocab"}, (), "tokenizer", "a tokenizer that is trained here")
    if given == ["hub"]:
        _check_keys(tokenizer, set(tokenizer), ["revision"], "tokenizer", "a tokenizer of the hub")
    if given == ["file"]:
        _check_keys(tokenizer, {"n_vocab", "file", "end"}, (), "tokenizer", "a tokenizer.json")
        if not _is_file(tokenizer["file"]) or re.search("[{}]", tokenizer["file"]):
            raise UserError(
                f"tokenizer.file: found no file {tokenizer['file']!r}, expected the path of a "
                "tokenizer.json, without braces"
            )


def _is_file(path):
    try:
        return Path(path).is_file()
    except OSError:  # such as that of a name which is too long to be one
        return False


def _check_finished(finished):
    file, columns = finished["file"], finished["columns"]
    try:
        if is_url(file) and "@" in urlsplit(file).netloc:
            raise UserError(
                "finished.file: found an address with a user or password in it, expected one without, since "
                "a study writes it down: fetch the file yourself and name the copy"
            )
        named = file_name(file).endswith(ENDINGS)
    except ValueError:  # of an address that is none
        raise UserError(f"finished.file: found {file!r}, expected a path or a URL") from None
    if not named:
        raise UserError(f"finished.file: found {file!r}, expected a file that ends in {', '.join(ENDINGS)}")
    if is_url(file) and "sha256" not in finished:
        raise UserError("finished: found no key 'sha256', expected that of the file at the address")
    if not is_url(file) and re.search("[{}]", file):
        raise UserError(f"finished.file: found braces in {file!r}, expected none: they are Snakemake's own")
    if not is_url(file) and not _is_file(file):
        raise UserError(
            f"finished.file: found no file {file!r}, expected a path from the repository's root or a URL"
        )
    if not {"N", "tokens", "C"} <= {*columns, *derived(columns)}:
        raise UserError(
            f"finished.columns: found {', '.join(columns)}, expected two of N, C and tokens, which the "
            "third follows from; tokens may be given as D too, or as S and B"
        )


def _check_value(value, part, schema, where):
    validator = Draft202012Validator({**part, "$defs": schema["$defs"]})
    error = best_match(validator.iter_errors(value))
    if error is not None:
        raise UserError(_explain(error, where))


def _explain(error, where):
    key = where
    for step in error.absolute_path:
        key += f"[{step}]" if isinstance(step, int) else f".{step}"
    key = key.removeprefix("config.")
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        unknown = next(name for name in error.instance if name not in known)
        close = difflib.get_close_matches(str(unknown), known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"{key}: found unknown key {_short(unknown)}{hint}, expected one of {', '.join(known)}"
    if error.validator == "required":
        missing = next(name for name in error.schema["required"] if name not in error.instance)
        return f"{key}: found no key {missing!r}, expected one: it has no default"
    described = error
    while "description" not in described.schema and described.parent:
        described = described.parent
    expected = described.schema.get("description", error.message)
    return f"{key}: found {_found(error.instance)}, expected {expected}{_yaml_hint(error.instance)}"


def _found(value):
    kinds = {str: "text", dict: "a mapping", list: "a list", bool: "a truth value", type(None): "nothing"}
    kind = kinds.get(type(value))
    return f"{_short(value)} ({kind})" if kind else _short(value)


def _short(value):
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _yaml_hint(value):
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value.strip()):
        return "; YAML reads an exponent without a point and a sign as text: write 1.0e-3 or 1.0e+6"
    if isinstance(value, str) and re.fullmatch(r"[+-]?[\d_]+(\.\d*)?", value.strip()):
        return "; leave out the quotes"
    return ""


# --- runs -----------------------------------------------------------------------------------------------


def expand(config):
    """All runs of the selected experiments: a dict from slug to run, in the order of the config.

    A run is a flat dict: architecture, shape, recipe with the learning rate resolved to a number, N, the
    names of the experiments that share it, and ``data``, the folder of its corpus, tokenizer and context.
    Where the recipe asks for trunks, they are runs too: see :func:`scaling.trunks.branch_off`.
    A study of finished runs has none to train. Raises UserError where a combination cannot be trained.
    """
    if config["finished"] is not None:
        return {}
    runs = {}
    for experiment in config["experiments"]:
        for where, grid in _grids(experiment, config["grid"][experiment]):
            for run in _points(config, grid, where):
                found = runs.setdefault(run["run"], run)
                if experiment not in found["experiments"]:
                    found["experiments"].append(experiment)
    for experiment in FITTED:
        kinds = {run["architecture"] for run in runs.values() if experiment in run["experiments"]}
        if len(kinds) > 1:
            raise UserError(
                f"grid.{experiment}: found {' and '.join(sorted(kinds))}, expected one architecture, since a "
                "law is fitted to it; give the others an experiment of their own"
            )
    _check_scan(runs)
    return trunks.branch_off(runs, _name)


def _check_scan(runs):
    """Raise UserError where experiment `batch` has too few batch sizes of one size to show a critical one."""
    batches = {}
    for run in runs.values():
        if "batch" in run["experiments"]:
            batches.setdefault(run["N"], set()).add(run["B"])
    most = max(map(len, batches.values()), default=FEWEST_BATCHES)
    if most < FEWEST_BATCHES:
        raise UserError(
            f"grid.batch: found {most} batch sizes B of one shape, expected at least {FEWEST_BATCHES}, from "
            "far below to far above the critical one; or leave batch out of experiments"
        )


def offered(config, runs):
    """What each experiment of the grid that the study leaves out would add to ``runs``, a dict by slug.

    {name: {"runs": [[FLOPs per token, head and attention counted; tokens], …]}}, or {name: {"refused": line}}
    where its runs could not be trained as configured. Empty for finished runs.
    """
    offers = {}
    for name in config["grid"] if config["finished"] is None else ():
        if name in config["experiments"]:
            continue
        try:
            found = expand(config | {"experiments": [*config["experiments"], name]})
        except UserError as error:
            offers[name] = {"refused": str(error)}
            continue
        new = [run for slug, run in found.items() if slug not in runs]
        offers[name] = {
            "runs": [
                [counts.flops_per_token(**run)["attention"], trunks.steps_to_train(run) * run["B"]]
                for run in new
            ]
        }
    return offers


def check_execution(runs, execution):
    """Raise UserError where a step of one of ``runs``, a dict from slug to run, cannot be split as asked.

    ``execution``: that part of the config. Runs do not depend on it.
    """
    processes, micro_batch = execution["processes"], execution["micro_batch"]
    if processes == "auto":  # it is then a number that splits the step
        processes = 1
    for slug, run in runs.items():
        sequences = run["B"] // run["n_ctx"]
        if sequences % processes:
            found = (
                f"found {processes}, expected a divisor of the {sequences} sequences (B / n_ctx) of a step"
            )
            raise UserError(f"execution.processes: {found} of {slug}")
        if micro_batch != "auto" and sequences // processes % micro_batch:
            found = f"found {micro_batch}, expected a divisor of the {sequences // processes} sequences"
            raise UserError(f"execution.micro_batch: {found} of a step in each process of {slug}")


def _points(config, grid, where):
    axes = {key: value if _is_axis(key, value) else [value] for key, value in grid.items()}
    text = f"{corpus_id(config)}_{tokenizer_id(config)}"
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        yield _resolve(config, config["run"] | point | point["shape"], text, where)


def _resolve(config, point, text, where):
    shape = {name: point[name] for name in ("architecture", "n_layer", "d_model")}
    what = f"{where}: {point['architecture']}, n_layer {point['n_layer']}, d_model {point['d_model']}"
    run = {
        **shape,
        **_body(point, what),
        "n_vocab": config["tokenizer"]["n_vocab"],
        **{key: point[key] for key in COUNTS},
        **{key: float(point[key]) for key in QUANTITIES},
        "betas": [float(beta) for beta in point["betas"]],
        "S": _steps(point["S"], point["B"]),
    }
    run["horizon"] = run["S"] if point["horizon"] == "S" else point["horizon"]
    N = counts.non_embedding(**run)
    if N > LARGEST_N:
        raise UserError(f"{what}: found a model of N {N:.2g}, expected at most {LARGEST_N:.0e} parameters")
    run["learning_rate"] = _learning_rate(point["learning_rate"], run | {"N": N}, what)
    if run["optimizer"] == "auto":
        run["optimizer"] = "adafactor" if N > ADAFACTOR_ABOVE else "adam"
    run |= _unused(run)
    if point["trunk"]:
        _check_trunk(run, what)
        run["trunk"] = True
    if run["B"] % run["n_ctx"]:
        raise UserError(f"{what}: found B {run['B']}, expected a multiple of n_ctx {run['n_ctx']}")
    for name in ("S", "horizon"):
        if run[name] is not None and run["warmup"] >= run[name]:
            raise UserError(
                f"{what}: found warmup {run['warmup']}, expected fewer than its {name} {run[name]} steps"
            )
    if run["test_tokens"] < 2 * run["n_ctx"]:
        raise UserError(f"{what}: found test_tokens {run['test_tokens']}, expected two contexts or more")
    if run["D"] != "all" and run["D"] <= run["n_ctx"]:
        raise UserError(f"{what}: found D {run['D']}, expected more tokens than n_ctx {run['n_ctx']}")
    return run | {"N": N, "data": f"{text}_ctx{run['n_ctx']}", "run": slug(run), "experiments": []}


def _check_trunk(run, what):
    if run["schedule"] != "wsd":
        raise UserError(f"{what}: found trunk true with schedule {run['schedule']}, expected wsd")
    if run["horizon"] != run["S"]:
        raise UserError(f"{what}: found trunk true with horizon {run['horizon']}, expected S")
    if run["patience"]:
        raise UserError(f"{what}: found trunk true with patience {run['patience']}, expected 0")


def _name(run):
    """The slug of a run that has one already, or had one before something of it was changed."""
    return slug({key: value for key, value in run.items() if key not in NOT_IN_SLUG})


def _body(point, what):
    """The fields of a shape that only some architectures have; None, or 1 for reuse, where one has not."""
    reuse = point.get("reuse", 1)
    if (point["architecture"] == "recurrent") != (reuse > 1):
        raise UserError(f"{what}: found reuse {reuse}, expected 2 or more for recurrent, none for any other")
    if point["architecture"] == "lstm":
        foreign = [name for name in ("d_ff", "n_head", "d_attn") if name in point]
        if foreign:
            raise UserError(f"{what}: found {foreign[0]}, expected none: an LSTM has n_layer and d_model")
        return {"d_ff": None, "n_head": None, "d_attn": None, "reuse": 1}
    if "n_head" not in point:
        raise UserError(f"{what}: found no n_head, expected one: it has no default")
    d_attn = point.get("d_attn", point["d_model"])
    if d_attn % point["n_head"]:
        raise UserError(
            f"{what}, n_head {point['n_head']}: found heads that do not divide d_attn {d_attn}, "
            "expected n_head to be a divisor of it (d_attn is d_model where it is not given)"
        )
    d_ff = point.get("d_ff", 4 * point["d_model"])
    return {"d_ff": d_ff, "n_head": point["n_head"], "d_attn": d_attn, "reuse": reuse}


def _unused(run):
    """What of a recipe the run does not use, as None: changing that makes it no other run."""
    names = []
    if run["schedule"] != "wsd":
        names.append("cooldown")
    if run["schedule"] in ("constant", "inverse_sqrt"):
        names += ["horizon", "final"]
    if run["optimizer"] == "adafactor":
        names += ["betas", "epsilon"]
    return dict.fromkeys(names)


def _steps(rule, B):
    """Steps of a run of batch ``B``: a number, or the rule that a loss takes steps + tokens / B of them."""
    return rule["steps"] + math.ceil(rule["tokens"] / B) if isinstance(rule, dict) else rule


def _learning_rate(rule, run, what):
    if not isinstance(rule, dict):
        return float(rule)
    if rule.get("ln_N") is not None:
        return _logarithmic_rate(rule, run, what)
    try:
        powers = [(run[name], rule[name]) for name in BY if rule.get(name)]
        factors = [(x / power["at"]) ** power["exponent"] for x, power in powers]
        rate = min(rule["value"] * math.prod(factors), rule.get("most") or math.inf)
    except OverflowError:
        rate = math.inf
    return _sound_rate(rate, what)


def _logarithmic_rate(rule, run, what):
    """The rate value + ln_N · ln N (Kaplan et al. 2020, equation D.1)."""
    for name in (*BY, "most"):
        if rule.get(name) is not None:
            raise UserError(
                f"{what}: found {name} beside ln_N in the rule of its learning_rate, expected none: set it "
                "to null, which ends a key of another file"
            )
    return _sound_rate(rule["value"] + rule["ln_N"] * math.log(run["N"]), what)


def _sound_rate(rate, what):
    if not 0 < rate < math.inf:
        raise UserError(f"{what}: found a learning_rate of {rate} by its rule, expected a number above 0")
    return float(f"{rate:.4g}")


def slug(run):
    """The readable name of a run, the same wherever it is asked for, with a digest of all it consists of."""
    tokens = run["D"] if run["D"] == "all" else compact(run["D"])
    body = "" if run["n_head"] is None else f"-ff{run['d_ff']}-h{run['n_head']}"
    if run["n_head"] and run["d_attn"] != run["d_model"]:
        body += f"-a{run['d_attn']}"
    if run["reuse"] > 1:
        body += f"-r{run['reuse']}"
    identity = {key: run[key] for key in sorted(run)} | {"version": versions.TRAINING}
    return (
        f"{run['architecture']}-L{run['n_layer']}-d{run['d_model']}{body}"
        f"_D{tokens}_b{compact(run['B'])}-s{compact(run['S'])}_{run['schedule']}-lr{run['learning_rate']:g}"
        f"_seed{run['seed']}-{digest(identity, 6)}"
    )


# --- finished runs --------------------------------------------------------------------------------------


def is_url(file):
    """Whether ``file`` of a study of finished runs is an address, not a path."""
    return file.startswith(("https://", "http://"))


def file_name(file):
    """The last part of a path or an address, in characters that are safe in a path."""
    name = (urlsplit(file).path if is_url(file) else file).rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def finished_path(finished):
    """Where the file of a study of finished runs lies; one from an address by its checksum and its name."""
    if not is_url(finished["file"]):
        return finished["file"]
    return f"results/data/finished/{finished['sha256'][:12]}-{file_name(finished['file'])}"


def derived(columns):
    """What follows from the ``columns`` of finished runs: {name: (from which, in words, how)} of DERIVED."""
    found = {}
    for name, needs, words, function in DERIVED:
        if name not in columns and name not in found and all(n in columns or n in found for n in needs):
            found[name] = (needs, words, function)
    return found


def experiments(config):
    """Names of the experiments of a study: of finished runs `size` and, where they may repeat, `data`."""
    if config["finished"] is None:
        return config["experiments"]
    columns = config["finished"]["columns"]
    repeats = "D" in columns and ("tokens" in columns or {"S", "B"} <= set(columns))
    return ["size", "data"] if repeats else ["size"]


def measured(config):
    """Names of the tables of a study that can have rows."""
    finished = config["finished"]
    if finished is None:
        return ["runs", "curves", "evaluations"]
    columns = finished["columns"]
    curves = "run" in columns and ("S" in columns or "S" in derived(columns))
    return ["runs", *(["curves"] if curves else []), *(["evaluations"] if finished.get("transfer") else [])]


# --- data -----------------------------------------------------------------------------------------------


def pins(lock):
    """Requirement lines of a lock file of wheels: a dict from name to ``name==version --hash=…``.

    Raises UserError where the file is missing or a line is not a pin with a sha256.
    """
    try:
        text = Path(lock).read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise UserError(f"corpus.lock: found no text file {lock!r}, expected a lock of wheels") from None
    found = {}
    for line in re.sub(r"\\\s*\n", " ", text).splitlines():
        line = line.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        match = PIN.fullmatch(line)
        if not match:
            raise UserError(f"{lock}: found {line[:60]!r}, expected name==version --hash=sha256:…")
        found[match[1]] = " ".join(line.split())
    return found


def wheel_id(pin):
    """The file name, without ending, of the wheel that a requirement line pins."""
    name, version = pin.split()[0].split("==")
    return f"{name}-{version}"


def source(spec):
    """A source of text, or that of a transfer set, with every key of its kind: all that it reads by."""
    if "hub" in spec:
        defaults = {"subset": None, "split": "train", "column": "text"}
        return {"hub": spec["hub"], **{key: spec.get(key, value) for key, value in defaults.items()}} | {
            "revision": spec["revision"]
        }
    if "files" in spec:
        patterns = spec["files"]
        return {
            "files": [patterns] if isinstance(patterns, str) else patterns,
            "column": spec.get("column", "text"),
        }
    return {"debian": spec["debian"]}


def local_files(spec, where):
    """Paths of the files that a source of ``files`` reads, sorted.

    Raises UserError, for the key ``where``, where a pattern matches none or a path has braces in it, which
    are Snakemake's own.
    """
    found = set()
    for pattern in source(spec)["files"]:
        # not Path.glob, which takes no absolute pattern
        paths = _bounded(glob.iglob(pattern, recursive=True), f"{where}.files", pattern)  # noqa: PTH207
        if not paths:
            raise UserError(
                f"{where}.files: found no file for {pattern!r}, expected a path or a glob from the "
                "repository's root"
            )
        found.update(paths)
    # a file is read once, however many links lead to it
    once = {Path(path).resolve(): path for path in reversed(_without_braces(sorted(found), f"{where}.files"))}
    return sorted(once.values())


def own_files(spec, where="corpus"):
    """Paths of all files here that a source reads, or may read: of a folder like a data set all of them.

    Raises UserError as :func:`local_files` does, and where there are too many of them.
    """
    if "files" in spec:
        return local_files(spec, where)
    if spec.get("hub", "").startswith(("/", ".")):
        paths = _bounded(map(str, Path(spec["hub"]).rglob("*")), f"{where}.hub", spec["hub"])
        return _without_braces(sorted(paths), f"{where}.hub")
    return []


def _bounded(paths, where, what):
    """Those of ``paths`` that are files, as a list; raises UserError where there are very many."""
    found = list(itertools.islice(filter(_is_file, paths), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise UserError(f"{where}: found more than {MOST_FILES} files for {what!r}, expected fewer")
    return found


def _without_braces(paths, where):
    for path in paths:
        if re.search("[{}]", path):
            raise UserError(f"{where}: found braces in {path!r}, expected none: rename it")
    return paths


def corpus_id(config):
    """Folder of a corpus: its name and a digest of all that its training and test text depends on.

    Transfer sets are left out, so that adding one trains nothing anew.
    """
    corpus = config["corpus"]
    if corpus["sources"]:
        sources = [[source(spec), spec.get("weight")] for spec in corpus["sources"]]
        bounds = [corpus[key] for key in ("shards", "train_bytes", "test_bytes")]
        content = [versions.SOURCES, sources, *bounds, corpus["seed"]]
    else:
        pinned = pins(corpus["lock"])
        content = [versions.CORPUS, sorted(pinned[name] for name in corpus["prose"]), corpus["seed"]]
    return f"{corpus['name']}-{digest([*content, float(corpus['test_fraction'])], 6)}"


def tokenizer_id(config):
    """Folder of a tokenizer inside its corpus: one trained here by its size, others by what they are."""
    tokenizer = config["tokenizer"]
    if "file" in tokenizer:
        # by content, so that it is another one when the file has changed
        content = {key: value for key, value in tokenizer.items() if key != "file"}
        found = Path(tokenizer["file"]).stat()
        checksum = _checksum(tokenizer["file"], found.st_mtime_ns, found.st_size)
        return _given_id(tokenizer["file"], content | {"sha256": checksum})
    if "hub" in tokenizer:
        return _given_id(tokenizer["hub"], tokenizer)
    return f"bpe{tokenizer['n_vocab']}"


@cache
def _checksum(path, *_):
    """Of a file as it was last changed: it is asked for with every grid."""
    return sha256(path)


def _given_id(name, content):
    last = re.sub(r"[^a-z0-9]+", "-", Path(name).name.removesuffix(".json").lower()).strip("-")[:30]
    return f"{last or 'tokenizer'}-{digest(content, 6)}"
