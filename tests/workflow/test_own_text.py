"""A study on text of the user's own: files of every kind, a folder laid out like a data set of the hub."""

import gzip
import hashlib
import json
import random
import re
import shutil

import damage
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard
from project import ROOT, Project, prose
from scaling import provenance, tokens
from scaling.benchmark.study import copy_checkout
from scaling.provenance import UserError

SHARDS = 3
ENDINGS = (".parquet", ".npy", ".json")
STUDY = {
    "study": "own",
    "experiments": ["size"],
    "corpus": {
        "name": "own",
        "test_fraction": 0.1,
        "test_bytes": 200_000,
        "shards": SHARDS,
        "sources": [
            {"hub": "./web", "revision": "main", "subset": "small", "column": "content", "weight": 3},
            {"files": ["notes/*.txt", "dump/*.jsonl*"], "weight": 1},
        ],
        "transfer": [
            {"set": "letters", "files": "letters/*.txt.gz"},
            {"set": "copied", "files": "copied.parquet"},
        ],
    },
    "tokenizer": {"n_vocab": 300, "file": "given/tokenizer.json", "end": "</s>"},
    "run": {
        "n_ctx": 32,
        "B": 128,
        "S": 12,
        "warmup": 2,
        "test_tokens": 128,
        "test_points": 3,
        "noise_steps": 0,
    },
    "grid": {"size": {"shape": [{"n_layer": 1, "d_model": 4, "n_head": 1}]}},
}


def document(rng, sentences=12):
    return " ".join(prose(rng, sentences))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A project with text of its own, in which the documents and tokens of STUDY have been made."""
    root = tmp_path_factory.mktemp("own") / "project"
    copy_checkout(ROOT, root)
    rng = random.Random(0)
    web = [document(rng) for _ in range(600)]
    for i in range(2):
        rows = pa.table({"content": web[300 * i : 300 * (i + 1)], "score": [0.5] * 300})
        (root / "web/data").mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, root / f"web/data/train-0000{i}-of-00002.parquet", row_group_size=50)
    card = {"license": "odc-by", "configs": [{"config_name": "small", "data_files": "data/*.parquet"}]}
    (root / "web/README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n# Web\n")
    for folder in ("notes", "dump", "letters", "given"):
        (root / folder).mkdir()
    for i in range(20):
        (root / f"notes/{i}.txt").write_text(document(rng) + "\r\n", newline="")
    lines = "".join(json.dumps({"text": document(rng)}) + "\n" for _ in range(80))
    (root / "dump/plain.jsonl").write_text(lines)
    # the same once more, of which nothing is to remain
    (root / "dump/again.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    (root / "letters/a.txt.gz").write_bytes(gzip.compress("\n\n".join(prose(rng, 600)).encode()))
    # every second document was trained on
    mixed = [text for pair in zip(web[:40], (document(rng) for _ in range(40)), strict=True) for text in pair]
    pq.write_table(pa.table({"text": mixed}), root / "copied.parquet")
    tokenizer = tokens.train_tokenizer([web], 300)
    text = tokenizer.to_str().replace(tokens.END_OF_DOCUMENT, "</s>")
    (root / "given/tokenizer.json").write_text(text)
    project = Project(root, tmp_path_factory.mktemp("no-wheels"))
    (root / "own.yaml").write_text(yaml.safe_dump(STUDY))
    project.corpus = made(project, "--cores", "2")
    return project


def copied(project, target, *, results):
    """The project once more at ``target``, with what was made in it or without."""
    without = [] if results else ["results", ".snakemake"]
    shutil.copytree(project.root, target, ignore=shutil.ignore_patterns(*without))
    return Project(target, target)


def run(project, *arguments, study="own.yaml"):
    """Run Snakemake with a study of its own alone, the smoke study left out."""
    return project.snakemake(*arguments, "--configfile", study, study=None)


def planned(project, *arguments):
    """Jobs that a dry run would start, by rule."""
    told = run(project, "-n", "--quiet", "host", *arguments).stdout
    return dict(re.findall(r"^(\w+) +(\d+)$", told.split("Job stats:")[1].split("total")[0], re.M))


def made(project, *arguments, study="own.yaml"):
    """Make documents, tokens and the manifest of a study; the folder of its corpus."""
    result = run(project, *arguments, "--until", "manifest", "tokens", "train_tokens", study=study)
    assert result.returncode == 0, result.stdout
    (corpus,) = (project.root / "results/data").glob(
        f"{yaml.safe_load((project.root / study).read_text())['corpus']['name']}-*"
    )
    return corpus


def documents(corpus, kind="train"):
    return [
        pq.read_table(path).to_pylist() for path in sorted((corpus / "documents" / kind).glob("*.parquet"))
    ]


def token_folder(corpus):
    (found,) = (path.parent for path in corpus.glob("*/tokenizer.json"))
    return found


def test_every_document_is_in_one_place(own):
    trained = [row["id"] for shard in documents(own.corpus) for row in shard]
    tested = [row["id"] for row in pq.read_table(own.corpus / "documents/test.parquet").to_pylist()]
    assert len(documents(own.corpus)) == SHARDS
    assert len(set(trained)) == len(trained)
    assert tested
    assert not set(trained) & set(tested)


def test_sources_are_mixed_by_weight(own):
    for shard in documents(own.corpus):
        size = sum(len(row["text"]) for row in shard)
        web = sum(len(row["text"]) for row in shard if "web" in row["source"])
        assert web / size == pytest.approx(0.75, abs=0.02)


def test_what_is_there_twice_is_trained_on_once(own):
    gone = {(row["part"], row["row"]) for row in pq.read_table(own.corpus / "duplicates.parquet").to_pylist()}
    texts = [
        row["text"]
        for number, shard in enumerate(documents(own.corpus))
        for i, row in enumerate(shard)
        if (f"{number:05}", i) not in gone
    ]
    assert gone
    assert len(set(texts)) == len(texts)
    tested = {row["text"] for row in pq.read_table(own.corpus / "documents/test.parquet").to_pylist()}
    assert not tested & set(texts)


def test_the_manifest_tells_origins_and_leaks(own):
    manifest = provenance.read_json(own.corpus / "manifest.json")
    web, files = manifest["sources"]
    assert (web["licence"], len(web["files"]), files["licence"]) == ("odc-by", 2, "not declared")
    assert manifest["wheels"] == []
    assert manifest["sets"]["train"]["source_shares"][web["source"]] > 0.6
    leaks = manifest["leaks"]
    assert set(leaks) == {"test", "letters", "copied"}
    assert leaks["letters"]["share"] < 0.05
    # of its copies some are held out, and some were left out of the mixture
    assert 0.2 < leaks["copied"]["share"] < 0.55
    assert 15 < leaks["copied"]["leaked"] <= 40


def test_tokens_are_those_of_the_given_tokenizer(own):
    folder = token_folder(own.corpus)
    tokenizer = tokens.load_tokenizer(folder / "tokenizer.json")
    shards, index = tokens.load(folder / "train.json")
    assert index["tokens"] == sum(map(len, shards))
    assert index["n_vocab"] == 300
    gone = pq.read_table(own.corpus / "duplicates.parquet").to_pylist()
    for number, (ids, rows) in enumerate(zip(shards, documents(own.corpus), strict=True)):
        skip = {row["row"] for row in gone if row["part"] == f"{number:05}"}
        text = "".join(row["text"] + "</s>" for i, row in enumerate(rows) if i not in skip)
        assert tokenizer.decode(ids.tolist(), skip_special_tokens=False) == text
        checksum = provenance.sha256(folder / f"train/{number:05}.npy")
        assert index["shards"][number]["sha256"] == checksum
    assert index["documents"] == sum(map(len, documents(own.corpus))) - len(gone)


def test_a_run_trains_on_all_shards_and_on_part_of_each(own):
    (own.root / "part.yaml").write_text(yaml.safe_dump(STUDY | {"run": STUDY["run"] | {"D": 4000}}))
    result = run(own, "--until", "evaluate", study="part.yaml")
    assert result.returncode == 0, result.stdout
    (record,) = (own.root / "results/runs").glob("own-*/*/run.json")
    record = provenance.read_json(record)
    assert (record["D"], record["status"]) == (4000, "finished")
    (evaluation,) = (own.root / "results/runs").glob("own-*/*/evaluation.parquet")
    assert set(pq.read_table(evaluation)["set"].to_pylist()) == {"test", "letters", "copied"}


def test_nothing_depends_on_how_many_work_at_once(own, tmp_path):
    """The same documents and tokens, byte by byte, from one process in another checkout."""
    again = copied(own, tmp_path / "again", results=False)
    result = run(again, "--cores", "1", "--until", "train_tokens")
    assert result.returncode == 0, result.stdout
    made_again = [path for path in (again.root / "results/data").rglob("*") if path.suffix in ENDINGS]
    assert len(made_again) > 4 * SHARDS
    for path in made_again:
        first = own.root / path.relative_to(again.root)
        assert provenance.sha256(path) == provenance.sha256(first), path


def test_only_what_is_gone_is_made_again(own):
    shard = token_folder(own.corpus) / "train/00001.npy"
    before = hashlib.sha256(shard.read_bytes()).hexdigest()
    shard.unlink()
    with pytest.raises(UserError, match=r"00001\.npy does not exist; `snakemake .*00001\.npy` makes it"):
        tokens.load(token_folder(own.corpus) / "train.json")
    (token_folder(own.corpus) / "train.json").unlink()
    assert planned(own, "--until", "train_tokens") == {"tokens_of_shard": "1", "train_tokens": "1"}
    made(own)
    assert hashlib.sha256(shard.read_bytes()).hexdigest() == before


def test_damaged_files_are_named_and_nothing_half_made_is_kept(own, tmp_path):
    broken = copied(own, tmp_path / "broken", results=False)
    (broken.root / "dump/plain.jsonl").write_bytes(b'{"text": "\xff"}\n')
    (broken.root / "letters/a.txt.gz").write_bytes(gzip.compress(b"a" * 9000)[:-12])
    (broken.root / "given/tokenizer.json").write_text("{}")
    result = run(broken, "--keep-going", "--until", "train_tokens", "transfer_text")
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    lines = [line for line in result.stdout.splitlines() if line.startswith("error: ")]
    for named in ("plain.jsonl", "a.txt.gz", "is no tokenizer.json"):
        assert any(named in line for line in lines), named
    kept = {path.name for path in (broken.root / "results/data").rglob("*") if path.is_file()}
    assert kept == {"copied.parquet", ".copied.parquet.sha256"}


def test_stages_of_shards_notice_every_damaged_file_that_they_read(own, tmp_path):
    project = copied(own, tmp_path / "damaged", results=True)
    found = damage.stages(project, run(project, "--detailed-summary").stdout)
    rules = ("shard", "held_out", "duplicates", "leaks", "manifest", "tokens_of_shard", "train_tokens")
    stage, wrong = damage.Stages(project), []
    for rule in rules:
        command, inputs = found[rule]
        for name in inputs:
            # the index of all shards is made of theirs
            if name.startswith("results/") and not (rule == "train_tokens" and name.endswith(".npy")):
                wrong += damage.unnoticed(project, stage, command, name)
    stage.close()
    assert not wrong, "\n".join(wrong)


def test_a_changed_file_is_read_again(own, tmp_path):
    changed = copied(own, tmp_path / "changed", results=True)
    (corpus,) = (changed.root / "results/data").glob("own-*")
    assert planned(changed, "--until", "train_tokens") == {}
    (changed.root / "notes/0.txt").write_text(document(random.Random(9), 30))
    result = run(changed, "--until", "shard")
    assert result.returncode == 0, result.stdout
    texts = {
        row["text"] for kind in ("train", "held_out") for shard in documents(corpus, kind) for row in shard
    }
    assert document(random.Random(9), 30) in texts
