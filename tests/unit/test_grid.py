"""Config to runs: what is refused, what a run is called, what is shared."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from scaling import counts, grid
from scaling.charts import catalog
from scaling.provenance import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path):
    lock = tmp_path / "wheels.lock"
    lock.write_text("\n".join(f"{name}==1.0 \\\n    --hash=sha256:{'0' * 64}" for name in ("a", "b", "c")))
    config = grid.default(ROOT)
    config["corpus"] |= {"lock": str(lock), "prose": ["a", "b"]}
    config["corpus"]["transfer"] = [{"set": "code", "read": "code", "from": ["c"]}]
    return config


def put(config, path, value):
    """A copy of ``config`` with the dotted ``path`` set to ``value``."""
    config = copy.deepcopy(config)
    *parents, last = path.split(".")
    here = config
    for name in parents:
        here = here[int(name)] if isinstance(here, list) else here[name]
    here[int(last) if isinstance(here, list) else last] = value
    return config


@pytest.mark.parametrize("study", [None, *sorted((ROOT / "studies").glob("*.yaml"))], ids=str)
def test_the_shipped_studies_are_valid(study, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = grid.default(ROOT)
    for name, value in (yaml.safe_load(study.read_text(encoding="utf-8")) if study else {}).items():
        config[name] = (config[name] or {}) | value if isinstance(value, dict) else value
    grid.check(config)
    assert bool(grid.expand(config)) == (config["finished"] is None)


SHAPE = {"n_layer": 1, "d_model": 8, "n_head": 1}
RULES = [{"value": 1, "N": {"at": 1.5, "exponent": exponent}} for exponent in (900, -900)]
PAPERS_RULE = {"value": 0.003239, "ln_N": -0.0001395}
FINISHED = {
    "file": "https://example.org/some/runs.csv?raw=true",
    "sha256": "0" * 64,
    "columns": {"N": "N", "D": "D", "loss": "loss"},
}
BAD = [
    ("run.learning_rate", "1e-3", "run.learning_rate: found '1e-3' (text), expected a number above 0"),
    ("run.learning_rate", "1e-3", "write 1.0e-3"),
    ("run.S", "100", "leave out the quotes"),
    ("run.S", 1.5, "run.S: found 1.5, expected a whole number of steps, at least 1"),
    ("run.S", True, "run.S: found True (a truth value), expected a whole number"),
    ("run.S", -3, "run.S: found -3, expected a whole number of steps, at least 1"),
    ("run.epsilon", float("inf"), "run.epsilon: found inf, expected a finite number"),
    ("run.step", 5, "run: found unknown key 'step', expected one of architecture, n_ctx, dropout"),
    ("run.lerning_rate", 0.1, "(did you mean learning_rate?)"),
    ("grid.batch.B", [256, 512, 512], "grid.batch: found 2 batch sizes B of one shape, expected at least 4"),
    ("run.S", {"steps": 10}, "run.S: found no key 'tokens'"),
    ("run.learning_rate", {"by": "N", "value": 1.0}, "run.learning_rate: found"),
    ("run.learning_rate", {"value": "1"}, "run.learning_rate.value"),
    ("run.B", 100, "found B 100, expected a multiple of n_ctx 128"),
    ("run.warmup", 1500, "found warmup 1500, expected fewer than its S 1500 steps"),
    ("execution.compile", "on", "execution.compile: found 'on' (text), expected auto, true or false"),
    ("run.test_tokens", 200, "found test_tokens 200, expected two contexts or more"),
    ("run.learning_rate", RULES[0], "found a learning_rate of inf by its rule"),
    ("run.learning_rate", RULES[1], "found a learning_rate of 0.0 by its rule"),
    ("run.learning_rate", PAPERS_RULE | {"most": 0.1}, "found most beside ln_N in the rule of"),
    ("run.learning_rate", PAPERS_RULE | {"N": {"at": 1, "exponent": 1}}, "found N beside ln_N"),
    ("run.learning_rate", {"value": 0.001, "ln_N": -0.001}, "found a learning_rate of -0.0"),
    ("run.learning_rate", {"value": 0.001, "ln_N": "-1"}, "run.learning_rate.ln_N: found '-1' (text)"),
    ("run.learning_rate", {"ln_N": -0.001}, "run.learning_rate: found no key 'value'"),
    ("run", None, "run: found None (nothing), expected a mapping: what every run has"),
    ("experiments", [{"a": 1}], "experiments[0]: found {'a': 1} (a mapping), expected a name"),
    ("run.betas", [0.9], "run.betas: found [0.9] (a list), expected two numbers"),
    ("experiments", ["size", "shpae"], "unknown experiment 'shpae' (did you mean shape?)"),
    ("experiments", [], "experiments: found [] (a list), expected a list of names of grids"),
    ("corpus.lock", "no/such.lock", "corpus.lock: found no text file 'no/such.lock'"),
    ("corpus.prose", ["a", "z"], "corpus.prose: found unknown wheel 'z', expected one of the lock"),
    ("corpus.transfer.0.from", ["z"], "corpus.transfer[0].from: found unknown wheel 'z'"),
    ("corpus.transfer.0.read", "poetry", "found 'poetry' (text), expected one of cloud"),
    ("corpus.transfer.0.set", "tokenizer", "other than train, test and tokenizer"),
    ("corpus.transfer.0.set", "test", "corpus.transfer[0].set: found 'test' (text), expected a name"),
    ("corpus.transfer", [{"set": "code", "read": "code", "from": ["c"]}] * 2, "the set 'code' twice"),
    ("tokenizer.n_vocab", 100, "tokenizer.n_vocab: found 100, expected a whole number of at least 257"),
    ("study", "My Study", "study: found 'My Study' (text), expected a name of lower-case letters"),
    ("grid.size.shape.1.n_head", 3, "heads that do not divide d_attn 16"),
    ("grid.size.shape.1.d_model", "16", "grid.size.shape[1].d_model: found '16' (text)"),
    ("grid.size.shape.1", {"n_layer": 1}, "grid.size.shape[1]: found no key 'd_model'"),
    ("grid.size.shape", [], "grid.size.shape: found [] (a list), expected a list of at least one"),
    ("grid.size.shape", 3, "grid.size.shape: found 3, expected a list of at least one"),
    ("grid.size.steps", 5, "grid.size: found unknown key 'steps'"),
    ("grid.size", None, "grid.size: found None (nothing), expected a mapping with a shape"),
    ("grid.data.0.D", [100, "1M"], "grid.data[0].D[1]: found '1M' (text), expected a whole number of tokens"),
    ("grid.data.0.D", [100], "found D 100, expected more tokens than n_ctx 128"),
    ("finished", "runs.csv", "finished: found 'runs.csv' (text), expected null, or a mapping"),
    ("finished", {"columns": {"loss": "a"}}, "finished: found no key 'file', expected one"),
    ("finished", FINISHED | {"colums": {}}, "finished: found unknown key 'colums' (did you mean columns?)"),
    ("finished", FINISHED | {"file": "no.csv"}, "finished.file: found no file 'no.csv', expected a path"),
    ("finished", FINISHED | {"file": "runs.xlsx"}, "expected a file that ends in .csv, .csv.gz, .parquet"),
    ("finished", FINISHED | {"file": "{a}.csv"}, "finished.file: found braces in '{a}.csv', expected none"),
    ("finished.sha256", "12ab", "finished.sha256: found '12ab' (text), expected a SHA-256 of 64"),
    ("finished", {k: v for k, v in FINISHED.items() if k != "sha256"}, "finished: found no key 'sha256'"),
    ("finished", FINISHED | {"columns": {"N": "N"}}, "finished.columns: found no key 'loss'"),
    ("finished", FINISHED | {"columns": {"loss": "L", "N": "n", "S": "s"}},
     "finished.columns: found loss, N, S, expected two of N, C and tokens"),
    ("finished.columns.loss", 3, "finished.columns.loss: found 3, expected a column of the file"),
    ("finished.columns.B", 0, "finished.columns.B: found 0, expected a"),
    ("finished.columns.C", {"column": "C", "unit": "PFLOPs"},
     "finished.columns.C.unit: found 'PFLOPs' (text), expected FLOPs or PF-days"),
    ("finished.where", {"kind": ["a"]}, "finished.where.kind: found ['a'] (a list), expected a text"),
    ("finished.transfer", {"test": "a"}, "finished.transfer: found 'test' (text), expected a name"),
    ("run.S", 10**16, "found 10000000000000000, expected a whole number of steps, at least 1 and at most"),
    ("run.D", -1, "run.D: found -1, expected a whole number of tokens, at least 1 and at most 1e15, or all"),
    ("run.seed", 10**400, "run.seed: found a number of more than 30 digits, expected a finite number"),
    ("study", "a\n", "study: found the character '\\n' in 'a\\n' (text), expected text without it"),
    ("corpus.lock", "a\ud800", "corpus.lock: found the character '\\ud800'"),
    ("corpus.lock", "x" * 1001, "corpus.lock: found text of 1001 characters, expected at most 1000"),
    ("grid.size.seed", list(range(5001)), "found a list of 5001, expected at most 5000 items"),
    ("grid.depth.seed", list(range(1700)), "grid.depth: found 20400 runs, expected at most 20000"),
    ("grid.size.shape.0.d_model", 10**9, "found a model of N 1.2e+19, expected at most 1e+15 parameters"),
    ("site.cpu_flops", 1e-300, "found 1e-300, expected a number of FLOP/s, at least 1"),
    ("finished", FINISHED | {"file": "http://["}, "found 'http://[', expected a path or a URL"),
    ("finished", FINISHED | {"file": "c" * 300 + ".csv"}, "finished.file: found no file"),
    ("grid.size.shape", [SHAPE | {"d_ff": i + 1} for i in range(2000)], "characters, expected at most 90000"),
    ("finished.drop_largest_losses", -1, "finished.drop_largest_losses: found -1, expected a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "line"), BAD)
def test_a_fault_gives_one_line_with_key_finding_and_expectation(config, path, value, line):
    if path.startswith("finished."):
        config["finished"] = FINISHED
    bad = put(config, path, value)
    with pytest.raises(UserError) as found:
        grid.expand(grid.check(bad))
    assert line in str(found.value)
    assert "\n" not in str(found.value)


def test_a_study_of_finished_runs_trains_nothing(config):
    assert grid.expand(grid.check(put(config, "finished", FINISHED))) == {}
    assert grid.finished_path(FINISHED) == f"results/data/finished/{'0' * 12}-runs.csv"
    assert grid.finished_path({"file": "../my runs.csv"}) == "../my runs.csv"


@pytest.mark.parametrize(
    ("columns", "transfer", "experiments", "tables"),
    [
        ("N D loss", {}, ["size"], ["runs"]),
        ("N S B loss", {}, ["size"], ["runs"]),
        ("run N tokens D loss", {}, ["size", "data"], ["runs"]),
        ("run N S B D loss", {}, ["size", "data"], ["runs", "curves"]),
        ("run N tokens B loss", {"c4": "x"}, ["size"], ["runs", "curves", "evaluations"]),
    ],
)
def test_what_finished_runs_can_show_follows_from_their_columns(
    config, columns, transfer, experiments, tables
):
    finished = FINISHED | {"columns": {name: name for name in columns.split()}, "transfer": transfer}
    assert grid.experiments(config | {"finished": finished}) == experiments
    assert grid.measured(config | {"finished": finished}) == tables
    assert grid.experiments(config) == config["experiments"]
    assert grid.measured(config) == ["runs", "curves", "evaluations"]


def test_a_missing_key_is_named(config):
    del config["run"]["S"]
    with pytest.raises(UserError, match="run: found no key 'S'"):
        grid.check(config)


def test_a_lock_without_hashes_is_refused(config, tmp_path):
    (tmp_path / "wheels.lock").write_text("a==1.0\n")
    with pytest.raises(UserError, match=r"found 'a==1.0', expected name==version --hash"):
        grid.check(config)


def test_a_lock_leads_to_no_other_folder(config, tmp_path):
    (tmp_path / "wheels.lock").write_text(f"a==1/../../x --hash=sha256:{'0' * 64}\n")
    with pytest.raises(UserError, match=r"expected name==version --hash"):
        grid.check(config)


def test_default_study_has_the_grid_it_promises(config):
    runs = list(grid.expand(config).values())
    size = [run["N"] for run in runs if "size" in run["experiments"]]
    assert len(size) >= 8
    assert min(size) < 1.1e3
    assert max(size) > 4e5
    data = {(run["D"], run["N"]) for run in runs if run["experiments"] == ["data"]}
    assert len({D for D, _ in data}) >= 5, "fewer certify nothing"
    assert len({N for _, N in data}) >= 4
    shape = [run["N"] for run in runs if "shape" in run["experiments"]]
    base = next(run["N"] for run in runs if {"size", "shape"} <= set(run["experiments"]))
    assert all(abs(N / base - 1) < 0.05 for N in shape)


def test_experiments_share_runs(config):
    runs = grid.expand(config)
    shared = [run["experiments"] for run in runs.values() if len(run["experiments"]) > 1]
    assert ["size", "data", "shape"] in shared
    alone = grid.expand(config | {"experiments": ["shape"]})
    assert set(alone) <= set(runs)


def test_a_name_is_readable_and_changes_with_everything_that_affects_the_run(config):
    def only(config):
        return next(iter(grid.expand(config | {"experiments": ["size"]})))

    name = only(config)
    assert name.startswith("transformer-L1-d8-ff32-h1_Dall_b2048-s1500_cosine-lr")
    changes = {"S": 1000, "B": 4096, "D": 5000, "learning_rate": 0.1, "warmup": 60, "betas": [0.8, 0.99],
               "epsilon": 1e-9, "clip": 0.5, "seed": 1, "test_tokens": 256, "test_points": 9, "patience": 3,
               "snapshots": 2, "n_ctx": 64, "dropout": 0.1, "tied": False,
               "precision": "bf16", "optimizer": "adamw", "weight_decay": 0.1, "schedule": "linear",
               "horizon": 1000, "final": 0.1, "noise_steps": 2}  # fmt: skip
    assert set(changes) | {"architecture", "cooldown", "trunk"} == set(config["run"])
    names = {only(put(config, f"run.{key}", value)) for key, value in changes.items()}
    assert len(names | {name}) == len(changes) + 1
    assert only(put(config, "run.clip", 1)) == name, "1 and 1.0 are the same run"
    assert only(put(config, "grid.size.shape.1.d_model", 32)) == name, "a neighbour does not matter"
    assert only(put(config, "run.cooldown", 0.5)) == name, "a cosine has no cooldown"
    assert only(put(config, "execution.device", "cpu")) == name, "where it runs makes it no other run"


@pytest.mark.parametrize(
    ("recipe", "unused"),
    [
        ({"schedule": "cosine"}, {"cooldown"}),
        ({"schedule": "wsd"}, set()),
        ({"schedule": "constant", "optimizer": "adamw"}, {"cooldown", "horizon", "final"}),
        (
            {"schedule": "inverse_sqrt", "optimizer": "adafactor"},
            {"cooldown", "horizon", "final", "betas", "epsilon"},
        ),
    ],
)
def test_what_a_recipe_does_not_use_is_left_out(config, recipe, unused):
    run = next(iter(grid.expand(put(config, "run", config["run"] | recipe)).values()))
    assert {key for key in config["run"] if run.get(key, "") is None} == unused


def test_every_architecture_has_its_shape_and_its_name(config):
    config["experiments"] = ["kinds"]
    config["grid"]["kinds"] = [
        {"architecture": "recurrent", "shape": [{"n_layer": 1, "d_model": 8, "n_head": 2, "reuse": 4}]},
        {"architecture": "lstm", "shape": [{"n_layer": 2, "d_model": 8}]},
        {"shape": [{"n_layer": 1, "d_model": 8, "n_head": 2, "d_attn": 16}]},
    ]
    recurrent, lstm, wide = grid.expand(grid.check(config)).values()
    assert recurrent["run"].startswith("recurrent-L1-d8-ff32-h2-r4_Dall")
    assert (recurrent["N"], recurrent["reuse"]) == (768, 4)
    assert lstm["run"].startswith("lstm-L2-d8_Dall")
    assert (lstm["N"], lstm["n_head"]) == (8 * 2 * 64, None)
    assert wide["run"].startswith("transformer-L1-d8-ff32-h2-a16_Dall")
    assert wide["N"] == 2 * 8 * (2 * 16 + 32)


@pytest.mark.parametrize(
    ("grid_of_one", "line"),
    [
        ({"architecture": "lstm", "shape": [SHAPE]}, "found n_head, expected none"),
        ({"architecture": "recurrent", "shape": [SHAPE]}, "found reuse 1"),
        ({"shape": [SHAPE | {"reuse": 2}]}, "found reuse 2"),
        ({"shape": [{"n_layer": 1, "d_model": 8}]}, "found no n_head"),
        ({"shape": [{"n_layer": 1, "d_model": 8, "n_head": 3, "d_attn": 8}]}, "do not divide d_attn 8"),
        ({"schedule": "linear", "horizon": 100, "shape": [SHAPE]},
         "found warmup 150, expected fewer than its horizon 100"),
    ],
)  # fmt: skip
def test_a_shape_that_its_architecture_does_not_have_is_named(config, grid_of_one, line):
    with pytest.raises(UserError, match=line):
        grid.expand(grid.check(config | {"experiments": ["kinds"], "grid": {"kinds": grid_of_one}}))


@pytest.mark.parametrize(
    ("execution", "line"),
    [
        ({"processes": 3}, "execution.processes: found 3, expected a divisor of the 16 sequences"),
        ({"micro_batch": 5}, "execution.micro_batch: found 5, expected a divisor of the 16 sequences"),
        ({"processes": 4, "micro_batch": 8}, "execution.micro_batch: found 8, expected a divisor of the 4"),
    ],
)
def test_a_step_that_cannot_be_split_is_named_before_anything_starts(config, execution, line):
    runs = grid.expand(config)
    grid.check_execution(runs, config["execution"])
    with pytest.raises(UserError, match=line):
        grid.check_execution(runs, config["execution"] | execution)


def test_a_law_is_not_fitted_to_two_architectures(config):
    lstm = {"architecture": "lstm", "shape": [{"n_layer": 1, "d_model": 8}]}
    config["grid"]["size"] = [config["grid"]["size"], lstm]
    with pytest.raises(UserError, match=r"grid\.size: found lstm and transformer, expected one architecture"):
        grid.expand(grid.check(config))


def test_adafactor_takes_over_above_a_billion(config):
    config["experiments"] = ["kinds"]
    config["grid"]["kinds"] = {
        "shape": [{"n_layer": 48, "d_model": width, "n_head": 10} for width in (1280, 1600)]
    }
    small, large = grid.expand(grid.check(config)).values()
    assert (small["optimizer"], large["optimizer"]) == ("adam", "adafactor")


def test_whole_numbers_may_be_written_as_fractions(config):
    """YAML reads 1.0e+5 as a fraction; it is the same run, and the same tokenizer, as 100000."""
    written = put(put(put(config, "grid.data.0.D", [1.0e5]), "run.S", 1500.0), "tokenizer.n_vocab", 512.0)
    plain = put(config, "grid.data.0.D", [100000])
    assert list(grid.expand(grid.check(written))) == list(grid.expand(grid.check(plain)))
    assert grid.tokenizer_id(grid.check(written)) == "bpe512"


def test_a_lock_that_is_no_text_is_refused(config, tmp_path):
    (tmp_path / "wheels.lock").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"corpus\.lock: found no text file"):
        grid.check(config)


def test_an_explicit_learning_rate_is_taken_as_it_is(config):
    ruled = put(config, "run.learning_rate", 0.0123456)
    runs = grid.expand(ruled | {"experiments": ["size", "long", "data", "shape"]})
    assert {run["learning_rate"] for run in runs.values()} == {0.0123456}


def test_the_papers_learning_rate_falls_with_the_logarithm_of_N(config):
    config["grid"]["size"] = {
        "shape": [
            {"n_layer": 1, "d_model": 8, "n_head": 1},
            {"n_layer": 12, "d_model": 768, "n_head": 12},
            {"n_layer": 36, "d_model": 1280, "n_head": 20},
        ]
    }
    rule = {**config["run"]["learning_rate"], **PAPERS_RULE, "N": None}
    config = grid.check(put(config | {"experiments": ["size"]}, "run.learning_rate", rule))
    # 0.003239 − 0.0001395 · ln of 768, 84.9 million and 708 million
    rates = [run["learning_rate"] for run in grid.expand(config).values()]
    assert rates == pytest.approx([0.002312, 0.000692, 0.000396], rel=1e-3)


def test_learning_rate_follows_its_rule(config):
    rule = {"value": 0.01, "N": {"at": 768, "exponent": -1}}
    runs = list(grid.expand(put(config, "run.learning_rate", rule)).values())
    assert runs[0]["learning_rate"] == 0.01
    assert runs[1]["learning_rate"] == 0.0025
    rule["N"] = None  # as a study writes it to leave out a factor of the default study's
    config["experiments"] = ["size"]
    (rate,) = {run["learning_rate"] for run in grid.expand(put(config, "run.learning_rate", rule)).values()}
    assert rate == 0.01
    rule |= {"N": {"at": 768, "exponent": -1}, "B": {"at": 512, "exponent": 0.5}}
    rule |= {"d_model": {"at": 16, "exponent": 1}, "most": 0.0099}
    runs = list(grid.expand(put(config, "run.learning_rate", rule)).values())
    assert [run["B"] for run in runs[:2]] == [2048, 2048]
    assert runs[0]["learning_rate"] == 0.0099  # 0.01 · 2 · 8/16
    assert runs[1]["learning_rate"] == 0.005


def test_steps_may_follow_the_batch_so_that_all_end_near_one_loss(config):
    scan = config["grid"]["batch"]
    runs = [run for run in grid.expand(config).values() if "batch" in run["experiments"]]
    assert len(runs) == len(scan["B"]) * len(scan["shape"])
    assert len(scan["B"]) >= 6
    assert max(scan["B"]) >= 100 * min(scan["B"])
    for run in runs:
        least, tokens = scan["S"]["steps"], scan["S"]["tokens"]
        assert 0 <= run["S"] - (least + tokens / run["B"]) < 1
        assert run["learning_rate"] <= scan["learning_rate"]["most"]
    scan |= {"B": [256, 512, 1024, 2048], "S": {"steps": 10.0, "tokens": 1.0e6}, "warmup": 5}
    runs = grid.expand(grid.check(put(config, "experiments", ["batch"]))).values()
    assert {run["S"] for run in runs if run["B"] == 2048} == {10 + 489}


def test_corpus_is_named_by_what_its_training_text_depends_on(config):
    name = grid.corpus_id(config)
    assert grid.corpus_id(put(config, "corpus.transfer", [])) == name
    assert grid.corpus_id(put(config, "corpus.prose", ["b", "a"])) == name
    for path, value in {"prose": ["a"], "seed": 1, "test_fraction": 0.1}.items():
        assert grid.corpus_id(put(config, f"corpus.{path}", value)) != name


def test_the_grid_is_quick_to_import():
    code = "import sys; from scaling import grid; print({'torch', 'pandas', 'scipy'} & set(sys.modules))"
    found = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT / "workflow/scripts", text=True)
    assert found == "set()\n"


def test_experiments_that_are_left_out_are_offered_with_what_they_would_add(config):
    config = grid.check(config)
    runs = grid.expand(config)
    offers = grid.offered(config, runs)
    assert set(offers) == set(config["grid"]) - set(config["experiments"])
    every = grid.expand(config | {"experiments": list(config["grid"])})
    alone = {
        name: [run for slug, run in every.items() if name in run["experiments"] and slug not in runs]
        for name in offers
    }
    for name, offer in offers.items():
        assert len(offer["runs"]) == len(alone[name]) > 0
        assert sum(tokens for _, tokens in offer["runs"]) == sum(run["S"] * run["B"] for run in alone[name])
    recurrent = [run for run in alone["architecture"] if run["architecture"] == "recurrent"]
    for run in recurrent:
        assert [counts.flops_per_token(**run)["attention"], run["S"] * run["B"]] in offers["architecture"][
            "runs"
        ]


def test_an_offer_that_cannot_be_trained_says_why_and_refuses_nothing(config):
    config["run"]["B"] = 1000
    config["grid"]["size"]["B"] = config["grid"]["long"]["B"] = 1280
    config["experiments"] = ["size", "long"]
    config = grid.check(config)
    offers = grid.offered(config, grid.expand(config))
    assert "found B 1000, expected a multiple of n_ctx 128" in offers["depth"]["refused"]
    assert len(offers["context"]["runs"]) == 4, "1000 is a multiple of 8"


def test_every_figure_of_the_paper_can_be_had_from_experiments_of_the_default_config(config):
    needed = {name for figure in catalog.FIGURES.values() for name in figure.experiments}
    assert needed <= set(config["grid"])
    full = yaml.safe_load((ROOT / "studies" / "full.yaml").read_text(encoding="utf-8"))
    assert needed <= set(full["experiments"])
    places = {
        int(re.match(r"\d+", label)[0])
        for f in catalog.FIGURES.values()
        for label in f.paper
        if label[0].isdigit()
    }
    assert places == set(range(1, 25)), "the paper has 24 figures"
