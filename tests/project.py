"""A copy of the repository with a corpus of small wheels built here; commands run in it as a user's would."""

import hashlib
import os
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml
from scaling.benchmark.study import copy_checkout

ROOT = Path(__file__).parents[1]
VOCABULARY = (
    "array axis batch bound carry chain check class close colour count cover curve depth draft drive empty "
    "error event field final fixed frame front given graph group guard index inner input kernel label layer "
    "level limit linear local loss matrix measure mean merge model module name nested noise number object "
    "offset order output pair path plane point power prefix range rate ratio record return round sample "
    "scale scope score series shape sign slice smooth space square stable state step stream sum table tensor "
    "term test token total trace train tree tuple union unit update value vector view weight width window"
)
WORDS = VOCABULARY.split()


def prose(rng, sentences):
    """Sentences in which each word narrows the next, so that a model has something to learn."""
    text = []
    for _ in range(sentences):
        at, words = rng.randrange(len(WORDS)), []
        for i in range(rng.randint(9, 18)):
            words.append(WORDS[at] if i % 3 else rng.choice(("the", "of the", "is in a", "for each")))
            at = (at * 7 + rng.randrange(9)) % len(WORDS)
        text.append(" ".join(words).capitalize() + ".")
    return text


def module(rng):
    """Source of a module: docstrings, comments and code."""
    paragraphs = "\n\n".join(" ".join(prose(rng, 5)) for _ in range(6))
    parts = [f'"""{paragraphs}\n"""\n']
    for i in range(4):
        name = "_".join(rng.sample(WORDS, 3))
        comment = "\n".join(f"    # {line}" for line in prose(rng, 3))
        body = "\n".join(
            f"    {a} = {b} * {rng.randrange(99)} + {c}"
            for a, b, c in (rng.sample(WORDS, 3) for _ in range(8))
        )
        docstring = " ".join(prose(rng, 4))
        parts.append(f'def {name}_{i}(value):\n    """{docstring}"""\n{comment}\n{body}\n    return value\n')
    return "\n\n".join(parts)


def build_wheel(folder, name, seed):
    """Write a small wheel; return its line for a lock."""
    rng = random.Random(seed)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    members = {f"{name}/part{i}/module{j}.py": module(rng) for i in range(12) for j in range(3)}
    members[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nLicense-Expression: MIT\n\n"
        + "\n\n".join(" ".join(prose(rng, 4)) for _ in range(20))
    )
    members[f"{info}/licenses/LICENSE"] = "\n\n".join(" ".join(prose(rng, 4)) for _ in range(20))
    members[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    members[f"{info}/RECORD"] = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class Project:
    """A checkout with a study of its own; commands run in it as a user's would."""

    def __init__(self, root, wheels):
        self.root = root
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "SNAKEMAKE_"))}
        self.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "NO_COLOR": "1"}

    def snakemake(self, *arguments, study="test.yaml"):
        """Run Snakemake; standard output and error come as one text in ``stdout``."""
        command = [str(Path(sys.executable).parent / "snakemake"), *arguments]
        if study:
            command += ["--configfile", "studies/smoke.yaml", study]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900, check=False,
        )  # fmt: skip

    def planned(self, *arguments, study="test.yaml"):
        """Jobs that a dry run would start: a dict from rule to number."""
        result = self.snakemake("-n", "--quiet", "host", *arguments, study=study)
        assert result.returncode == 0, result.stdout
        if "Nothing to be done" in result.stdout:
            return {}
        table = result.stdout.split("Job stats:")[1].split("total")[0]
        return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}

    def study(self, change=lambda study: None):
        """Write test.yaml anew: the tests' corpus and few resamples, and what ``change`` makes of them."""
        study = yaml.safe_load((self.root / "corpus.yaml").read_text())
        change(study)
        (self.root / "test.yaml").write_text(yaml.safe_dump(study))

    @property
    def results(self):
        return self.root / "results" / "studies" / "smoke"


def with_corpus(root, wheels):
    """A :class:`Project` in the empty folder ``root`` whose corpus is three wheels, built in ``wheels``."""
    copy_checkout(ROOT, root)
    names = ["alpha", "beta", "gamma"]
    (root / "tests.lock").write_text("\n".join(build_wheel(wheels, n, i) for i, n in enumerate(names)) + "\n")
    corpus = {
        "name": "tiny",
        "lock": "tests.lock",
        "test_fraction": 0.2,
        "prose": names,
        "transfer": [
            {"set": "code", "read": "code", "from": ["alpha"]},
            {"set": "comments", "read": "comments", "from": ["beta", "gamma"]},
            {"set": "licences", "read": "licences", "from": names},
            {"set": "readmes", "read": "readmes", "from": names},
        ],
    }
    study = {"corpus": corpus, "tokenizer": {"n_vocab": 300}, "fits": {"resamples": 100}}
    (root / "corpus.yaml").write_text(yaml.safe_dump(study))
    return Project(root, wheels)
