"""The smoke study, killed at random moments and restarted each time, with any number of cores."""

import io
import json
import os
import random
import re
import time

import killing
import pyarrow.parquet as pq
import pytest
from project import with_corpus
from scaling import provenance, verifying

KILLS = 60 * int(os.environ.get("SOAK", "1"))
STARTING = 3.0
"""Seconds that Snakemake takes to start, more or less."""
TIMES = {
    *("seconds_in_steps", "seconds_evaluating", "seconds_saving", "seconds_total", "tokens_per_second"),
    "resumed",
}
"""What of a run tells how long it took, and not what it learned."""


def artifacts(project):
    """All that was made and has a record, but for plans: paths by name below results/."""
    results = project.root / "results"
    files = sorted(path for path in results.rglob("*") if provenance.record_of(path).is_file())
    files = [path for path in files if path.stem != "plan"]
    return {str(path.relative_to(results)): path for path in files}


def content(path):
    """What a file holds, times aside."""
    if path.name == "run.json":
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record.keys() > TIMES
        return {name: value for name, value in record.items() if name not in TIMES}
    if path.name == "frontier.html":
        # of each run the tokens per second, before the column with its other settings
        speed = re.compile(r'<td class="number">[^<]*</td>(?=\n<td class="words">architecture )')
        text, found = speed.subn("", path.read_text(encoding="utf-8"))
        assert found
        return text
    if path.name == "runs.parquet":
        table = pq.read_table(io.BytesIO(path.read_bytes()))
        return table.drop_columns(sorted(TIMES)).to_pylist()
    return path.read_bytes()


def differing(first, second):
    """Names of artifacts of two projects that are not the same, or that one of them has not."""
    ours, theirs = artifacts(first), artifacts(second)
    assert len(ours) > 400
    found = sorted(ours.keys() ^ theirs.keys())
    return found + [
        name for name in ours.keys() & theirs.keys() if content(ours[name]) != content(theirs[name])
    ]


@pytest.fixture(scope="module")
def killed(smoke, tmp_path_factory):
    """The smoke study in a clone of its own, killed KILLS times and then run to its end.

    Half of the time a process of it is killed, of those there are, and half of the time all.
    """
    rng = random.Random(10)
    study = killing.Study(with_corpus(tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("wheels")))
    study.project.study()
    study.starts, study.listened = 0, {}
    total = len(artifacts(smoke))
    for number in range(KILLS):
        starts = not study.running()
        if starts:
            study.start(cores=rng.randint(1, 3))
            study.starts += 1
        # so that the kills fall on all of the study, and it is not done before the last
        ahead = len(artifacts(study.project)) / total > number / KILLS
        time.sleep(starts * STARTING + rng.uniform(0, 1 if ahead else 8))
        members = study.members()
        study.listened |= killing.listening(members)
        study.kill(members if rng.random() < 0.5 else rng.sample(members, min(1, len(members))))
    assert len(artifacts(study.project)) < total, "it was not done when the last kill came"
    for _ in range(3):  # what a killed Snakemake leaves running may hold a run that the next wants
        study.end()
        result = study.project.snakemake("--cores", "3")
        if result.returncode == 0:
            break
    assert result.returncode == 0, result.stdout
    return study


def test_a_study_killed_again_and_again_ends_as_if_it_had_not_been(smoke, killed):
    """Documents, tokens, weights, curves, losses, fits, charts and pages: the same bytes, times aside.

    The two studies are in two clones, one made on all cores and one on one to three: so this also shows
    that results do not depend on either.
    """
    assert killed.starts > KILLS / 4
    assert differing(smoke, killed.project) == []


def test_nothing_is_left_to_do_nor_of_it(killed):
    assert killed.project.planned() == {}
    found = verifying.verify(killed.project.root / "results")
    assert found.sound, verifying.lines(found, "results")
    assert not found.gone
    text = killed.log.read_text(errors="replace")
    assert "Traceback" not in text
    assert "--unlock" not in text


def test_no_process_listened(killed):
    assert killed.listened == {}
