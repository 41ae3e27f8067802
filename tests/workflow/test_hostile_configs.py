"""Whatever a config holds: a plan, or one line that names the key and an exit code other than 0."""

import copy
import datetime
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from project import ROOT
from scaling.benchmark.study import copy_checkout

SOAK = int(os.environ.get("SOAK", "1"))
DISTINCT = 320 * SOAK
AT_ONCE = 2
DRY_RUN = ("-n", "--quiet", "rules", "host", "reason")
TARGETS = ("--", "all", "plan")
OF_SNAKEMAKE = re.compile(
    r"Using workflow specific profile .*|Config file \S+ is extended by .*|Assuming unrestricted shared .*|"
    r"Building DAG of jobs\.\.\.|"
)
"""Lines of Snakemake's own that may be around ours."""
END_OF_DRY_RUN = "The order of jobs does not reflect the order of execution.\n"
LINE = re.compile(r"config: \S.*: found .+, expected |error: \S")


class Snakemake:
    """A checkout of its own and what runs Snakemake in it: :mod:`forking`, which has it imported."""

    def __init__(self, root):
        copy_checkout(ROOT, root)
        (root / "notes.txt").write_text("A note.\n" * 100)
        (root / "runs.csv").write_text("N,D,loss\n1,2,3\n")
        (root / "{braces}.txt").write_text("a==1.0 --hash=sha256:" + "0" * 64)
        self.root, self.there = root, _names(root)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE_")} | {
            "NO_COLOR": "1"
        }
        self.server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "forking.py"), str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def judge(self, case):
        """What is wrong with the answer to ``case``, in words; empty if nothing is."""
        kept = {
            name: (self.root / name).read_bytes() for name in case["files"] if (self.root / name).exists()
        }
        for name, content in case["files"].items():
            (self.root / name).write_bytes(content)
        try:
            self.server.stdin.write(json.dumps([*DRY_RUN, *case["arguments"], *TARGETS]) + "\n")
            self.server.stdin.flush()
            answer = json.loads(self.server.stdout.readline())
        finally:
            for name in case["files"]:
                (self.root / name).unlink()
            for name, content in kept.items():
                (self.root / name).write_bytes(content)
        made = _names(self.root) - self.there
        self.there |= made
        case |= answer
        return "; ".join([*([f"made {sorted(made)}"] if made else []), *_faults(**answer)])

    def close(self):
        self.server.stdin.close()
        self.server.wait(60)
        self.server.stdout.close()


def _names(root):
    """What lies in the checkout and beside it, but for what Snakemake and Python keep there."""
    found = {path.name for path in root.parent.iterdir()}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in (".snakemake", "__pycache__")]
        found |= {os.path.relpath(os.path.join(folder, name), root) for name in files + folders}  # noqa: PTH118
    return found


def _faults(code, text):
    if "Traceback" in text or code < 0:
        yield f"exit code {code}: {text[-1500:]}"
    elif code:
        ours = [line for line in text.splitlines() if not OF_SNAKEMAKE.fullmatch(line)]
        if len(ours) != 1 or not LINE.match(ours[0]) or len(ours[0]) > 2000:
            yield f"exit code {code}: {ours}"
    elif "Job stats:" not in text or not text.partition(END_OF_DRY_RUN)[2].strip():
        yield f"no plan: {text[-1500:]}"


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory):
    found = [Snakemake(tmp_path_factory.mktemp("hostile") / "checkout") for _ in range(AT_ONCE)]
    yield found
    for each in found:
        each.close()


def judged(checkouts, cases):
    """Lines of what is wrong with the answers to ``cases``, so many at once as there are ``checkouts``."""
    free = SimpleQueue()
    for each in checkouts:
        free.put(each)

    def one(case):
        mine = free.get()
        try:
            wrong = mine.judge(case)
        finally:
            free.put(mine)
        return f"{case['what']}: {wrong}" if wrong else ""

    with ThreadPoolExecutor(len(checkouts)) as pool:
        return [line for line in pool.map(one, cases) if line]


# --- what is done to a config ---------------------------------------------------------------------------

SOURCES = {
    "study": "web",
    "corpus": {
        "name": "web",
        "sources": [
            {"hub": "o/n", "subset": "s", "revision": "0" * 40, "split": "a", "column": "b", "weight": 8},
            {"files": ["notes.txt"], "column": "text", "weight": 0.2},
        ],
        "shards": 4,
        "train_bytes": 8e9,
        "transfer": [
            {"set": "letters", "files": "notes.txt"},
            {"set": "pedia", "hub": "owner/other", "revision": "main"},
            {"set": "code", "debian": ["zlib1g"]},
        ],
    },
    "tokenizer": {"n_vocab": 50257, "hub": "owner/gpt2", "revision": "1" * 40, "end": "<|endoftext|>"},
}  # fmt: skip
FINISHED = {
    "study": "mine",
    "finished": {
        "file": "runs.csv",
        "columns": {"run": "name", "N": "N", "D": "D", "S": 5, "B": "B", "loss": "loss", "loss_se": "se"},
        "transfer": {"books": "loss_books"},
        "where": {"kind": "dense", "seed": 1, "good": True},
        "drop_largest_losses": 1,
        "warmup": 5,
    },
}
ADDRESS = {
    "study": "theirs",
    "finished": {
        "file": "https://example.org/runs.csv",
        "sha256": "0" * 64,
        "columns": {"C": {"column": "C", "unit": "PF-days"}, "N": "N", "loss": "loss"},
    },
}


def _studies():
    read = {name: yaml.safe_load((ROOT / name).read_text()) for name in ("config.yaml", "slurm/site.yaml")}
    deltas = [yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text()) for name in ("smoke", "trunks")]
    deltas += [SOURCES, FINISHED, ADDRESS]
    return [*read.items(), *(("case.yaml", delta) for delta in deltas)]


STUDIES = _studies()
NUMBERS = [
    0, -1, -0.5, 1, 3, 0.3, 1.5, 7919, 10**6, 10**9, 10**12, 10**15, 2 * 10**15, 2**63, 1e30, 1e300, 10**400,
    1e-300, -1e30, float("nan"), float("inf"), -float("inf"), True, False,
]  # fmt: skip
TEXTS = [
    "", " ", "1e-3", "2k", "10MB", "12 PF-days", "1_000", "0x10", "yes", "all", "S", "auto", "null", "nan",
    "größe", "模型", "🙂" * 3, "مرحبا", "\u202egnp", "a\u2028b", "\0", "a\x1b[31m", "a\nb", "a\n", "\ud800",
    "a\tb", "'", '"', "`touch x`", "$(touch x)", "; touch x", "{wildcard}", "{{x}}", "{0.__class__}", "%s",
    "../../x", "/", "/.", "./..", "//", ".", "/etc/passwd", "~/x", "-x", "--help", "a b", "a" * 5000,
    "b" * 41, "c" * 300, "d/" * 600, "default", "studies", "data", "runs", "train", "test", "test_tokens",
    "{braces}.txt", "notes.txt", "https://", "http://[", "https://x/{y}.csv", "file:///etc/passwd", "*", "[",
    "no/such/**", "2026-01-01", "a==1", "a,b",
]  # fmt: skip
KEYS = [
    1, None, True, 1.5, datetime.date(2026, 1, 1), "", "x" * 5000, "größe", "a\nb", "{x}", "$(touch x)",
    "__use_yte__", "trunk", "N", "budget", "../x", "a b", "../../x",
]  # fmt: skip
OTHERS = [
    None, [], {}, [[]], {"a": {"b": [1]}}, [None], [{}], {"value": 1}, {"steps": 1e15, "tokens": 1},
    ["x"] * 3, b"bytes", datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1, 12),
    list(range(6000)), {f"k{i}": i for i in range(3000)}, list(range(4000)),
    [1, "a"] * 1500,
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from(OTHERS),
    st.text(st.characters(exclude_categories=["C"]), max_size=12),
)


def _paths(value, path=()):
    """Every place in a config, its own too."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in parts:
        yield from _paths(item, (*path, key))


def _at(value, path):
    for step in path:
        value = value[step]
    return value


def _misspelt(key, at):
    text = str(key)
    at %= max(1, len(text))
    return text[:at] + text[at + 1 :] or "x"


KINDS = [*["value"] * 6, *["scaled"] * 4, *["removed"] * 3, "unknown", "misspelt", "twice", "nested"]


def _shown(parent, key):
    try:
        return ascii(parent[key])[:80]
    except (KeyError, IndexError):
        return "gone"


@st.composite
def mutated(draw):
    """A case: a study with one or two things in it changed."""
    name, study = draw(st.sampled_from(STUDIES))
    study, did = copy.deepcopy(study), []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        # by depth, since most places lie deep in the grids
        paths = [path for path in _paths(study) if path]
        if not paths:
            break
        depth = draw(st.sampled_from(sorted({len(path) for path in paths})))
        path = draw(st.sampled_from([path for path in paths if len(path) == depth]))
        parent, key = _at(study, path[:-1]), path[-1]
        kind = draw(st.sampled_from(KINDS))
        found = parent[key]
        if kind == "value":
            parent[key] = draw(VALUES)
        elif kind == "scaled" and isinstance(found, int | float):
            parent[key] = found * draw(st.sampled_from([2, 3, 10, 1000, 10**9, 0.5, 1e-3, -1]))
        elif kind == "unknown":
            (found if isinstance(found, dict) else study)[draw(st.sampled_from(KEYS))] = draw(VALUES)
        elif kind == "misspelt" and isinstance(parent, dict):
            parent[_misspelt(key, draw(st.integers(0, 9)))] = parent.pop(key)
        elif kind == "twice" and isinstance(found, list):
            parent[key] = found * draw(st.sampled_from([2, 3, 700]))
        elif kind == "nested":
            parent[key] = [found] if draw(st.booleans()) else {key: found}
        else:
            del parent[key]
        did.append(f"{'.'.join(map(str, path))[:80]} {kind}: {_shown(parent, key)}")
    return {"what": f"{name} {did}", "files": {name: _written(study)}, "arguments": _asked(name)}


def _asked(name):
    return ["--configfile", name] if name == "case.yaml" else []


def _written(study):
    return yaml.safe_dump(study, allow_unicode=False).encode()


SIZES = st.sampled_from([1, 2, 3, 7, 64, 1000, 4096, 10**6, 10**9, 10**12, 10**15])
BAD_SIZES = st.sampled_from([0, -1, 10**16, 1.5, "2k", None, True])
OF_A_SITE = ("nodes", "hours", "gpus_per_node", "cpus_per_node", "memory_gb", "gpu_memory_gb", "cpu_flops")
OF_A_RECIPE = ("S", "D", "warmup", "horizon", "test_points", "snapshots", "noise_steps", "patience", "seed")


@st.composite
def sized(draw):
    """A case: a grid of shapes and recipes of any size, most of them absurd, on a site of any size."""
    n_head, n_ctx = draw(SIZES), draw(SIZES)
    shape = {"n_layer": draw(SIZES), "d_model": n_head * draw(st.sampled_from([1, 1, 64])), "n_head": n_head}
    shape |= {
        name: draw(SIZES) for name in draw(st.sets(st.sampled_from(["d_ff", "d_attn", "reuse"]), max_size=1))
    }
    recipe = {
        "n_ctx": n_ctx,
        "B": n_ctx * draw(st.sampled_from([1, 1, 2, 1000])),
        "test_tokens": 2 * n_ctx,
        "warmup": 0,
    }
    recipe |= {
        name: draw(st.lists(SIZES, max_size=3))
        for name in draw(st.sets(st.sampled_from(OF_A_RECIPE), max_size=3))
    }
    if "reuse" in shape:
        recipe["architecture"] = "recurrent"
    if draw(st.booleans()):
        recipe |= {"trunk": True, "schedule": "wsd", "S": [10**3, 10**12, 10**15]}
    if draw(st.integers(0, 5)) == 0:
        recipe |= {name: list(range(1, draw(st.sampled_from([8, 4000])))) for name in ("seed", "patience")}
    site = {name: draw(SIZES) for name in draw(st.sets(st.sampled_from(OF_A_SITE), max_size=2))}
    execution = {"processes": draw(SIZES), "micro_batch": draw(SIZES)} if draw(st.integers(0, 3)) == 0 else {}
    if draw(st.integers(0, 3)) == 0:
        part = draw(st.sampled_from([shape, recipe, site, execution]))
        if part:
            part[draw(st.sampled_from(sorted(part)))] = draw(BAD_SIZES)
    name = draw(st.sampled_from(["size", "data", "depth", "a", "x" * 40]))
    grid = {name: {"shape": [shape]} | recipe}
    study = {"study": "sized", "experiments": [name], "grid": grid, "site": site, "execution": execution}
    return {
        "what": str(study)[:300],
        "files": {"case.yaml": _written(study)},
        "arguments": _asked("case.yaml"),
    }


GIVEN = ["{S: 5}", "[1, 2", "{a: {b: [c]}}", "1e999", "-5", "!!python/name:os.system"]
GIVEN += [text for text in TEXTS if not {"\0", "\ud800"} & set(text)]


@st.composite
def on_the_command_line(draw):
    """A case: a value by --config."""
    key = draw(st.sampled_from([*STUDIES[0][1], "site", "budget", "nosuchkey", "__use_yte__"]))
    value = draw(st.sampled_from(GIVEN))
    return {"what": f"--config {key}={value[:60]}", "files": {}, "arguments": ["--config", f"{key}={value}"]}


CASES = st.one_of(mutated(), mutated(), mutated(), mutated(), sized(), on_the_command_line())


MANY = {"study": "many", "grid": {"size": {name: list(range(1, 4000)) for name in ("seed", "patience")}}}
PINNED = [
    MANY,
    {"site": {"cpu_flops": 1e-300, "gpus_per_node": 0}},
    {"site": {"nodes": 10**12}},
    {"study": "a\n"},
    {"finished": FINISHED["finished"] | {"file": "http://["}},
    {"finished": FINISHED["finished"] | {"file": "c" * 300 + ".csv"}},
    {"study": "c" * 40, "corpus": {"name": "c" * 40, "sources": [{"files": "notes.txt"}], "shards": 500}},
]
"""What has once been a traceback, no end, or a command that was too long."""


def test_a_mutated_config_gives_a_plan_or_one_line(checkouts):
    pinned = [{"what": str(each)[:200], "files": {"case.yaml": _written(each)}} for each in PINNED]
    cases = {case["what"]: case | {"arguments": _asked("case.yaml")} for case in pinned}

    # of what is drawn a seventh is drawn again
    @settings(
        max_examples=400 * SOAK, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=CASES)
    def collect(case):
        if len(cases) < DISTINCT:
            cases.setdefault(case["what"], case)

    collect()
    wrong = judged(checkouts, cases.values())
    planned = sum(case["code"] == 0 for case in cases.values())
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)
    assert len(cases) == DISTINCT
    assert 0.1 < planned / len(cases) < 0.9


# --- files as they are written --------------------------------------------------------------------------

NESTED = "run: " + "[" * 3000 + "]" * 3000
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n"
    for last, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NO_CONFIGS = {
    "empty": "",
    "a text": "hello",
    "a list": "- a\n- b\n",
    "a tab": "run:\n\tS: 5\n",
    "a bracket left open": "run: {S: 5\n",
    "UTF-16": "study: a\n".encode("utf-16"),
    "Latin-1": "study: größe\n".encode("latin-1"),
    "NUL": "study: a\0b\n",
    "any bytes": bytes(range(256)),
    "a key twice": "run: {S: 5, S: 6}\n",
    "a key twice in JSON": '{"study": "a", "study": "b"}',
    "aliases that multiply": LAUGHS,
    "mappings that multiply": LAUGHS.replace("x, x, x, x, x, x, x, x, x", "{p: 1}"),
    "a loop": "run: &r {a: *r}\n",
    "an alias of nothing": "run: *x\n",
    "two documents": "study: a\n---\nstudy: b\n",
    "brackets within brackets": NESTED,
    "the same in JSON": '{"run": ' + NESTED[5:] + "}",
    "base 8": "run: {S: 0100}\n",
    "base 60": "site: {hours: 10:00}\n",
    "no date": "study: 2026-99-99\n",
    "digits": "run: {S: " + "9" * 5000 + "}\n",
    "digits in base 16": "site: {nodes: 0x" + "f" * 5000 + "}\n",
    "Python": "study: !!python/object/apply:os.system [touch x]\n",
    "a name of Python": "study: !!python/name:os.system\n",
    "no such tag": "study: !foo bar\n",
    "expressions": "__use_yte__: true\nstudy: ?open('x', 'w') and 'a'\n",
    "paths of Snakemake": "pathvars: 5\n",
    "a list as key": "{[1]: 2}\n",
    "a long list": f"experiments: [{'size, ' * 30_000}]\n",
    "a long text": "# " + "x" * 2_000_000,
}
"""What can stand in config.yaml and be no config; none of it is read as one."""
OURS_TOO = (
    "a key twice", "a key twice in JSON", "aliases that multiply", "base 8", "base 60", "digits in base 16",
    "a name of Python", "a long list",
)  # fmt: skip
"""What of it Snakemake takes, where it is given by --configfile: it reads that before any rule."""


def test_a_file_that_is_no_config_is_one_line(checkouts):
    cases = [_of_file(name, "config.yaml") for name in NO_CONFIGS] + [
        _of_file(name, "case.yaml") for name in OURS_TOO
    ]
    wrong = judged(checkouts, cases)
    assert not wrong, "\n".join(wrong)
    assert all(case["code"] for case in cases)


def _of_file(name, place):
    content = NO_CONFIGS[name]
    content = content.encode() if isinstance(content, str) else content
    return {"what": f"{place}, {name}", "files": {place: content}, "arguments": _asked(place)}


def test_what_snakemake_refuses_in_its_own_words_starts_nothing(checkouts):
    cases = [
        _of_file(name, "case.yaml") for name in ("empty", "a tab", "Latin-1", "no date", "paths of Snakemake")
    ]
    made = [line for line in judged(checkouts, cases) if ": made " in line]
    assert not made
    assert all(case["code"] == 1 for case in cases)


def test_a_byte_order_mark_and_json_are_read(checkouts):
    default = (ROOT / "config.yaml").read_bytes()
    files = {"config.yaml": b"\xef\xbb\xbf" + default}, {"case.yaml": b'{\n\t"study": "of_json"}'}
    cases = [{"what": str(*each), "files": each, "arguments": _asked(*each)} for each in files]
    assert judged(checkouts, cases) == []
    assert [case["code"] for case in cases] == [0, 0]
