"""A run that has ended is kept where Snakemake does not delete it, and published again without training."""

import json
import subprocess
import sys
from contextlib import suppress

import jobs
import pytest
from scaling import provenance
from scaling.training import kept

RUN = jobs.RUN | {"S": 20, "horizon": 20}
OUTPUTS = ("run.json", "curve.parquet", "snapshots/step000000003.safetensors")


def fill(place, text="what came of it"):
    (place / "snapshots").mkdir()
    for name in OUTPUTS:
        (place / name).write_text(text)


@pytest.fixture
def folder(tmp_path):
    """Folder of a run that has ended, which held checkpoints."""
    checkpoints = tmp_path / "run" / "checkpoints"
    for name in ("step000000003", "step000000004", "snapshots"):
        (checkpoints / name).mkdir(parents=True)
    with kept.keeping(checkpoints.parent, RUN) as place:
        fill(place)
    return checkpoints.parent


def names(folder):
    return jobs.names(folder)


def test_what_is_kept_takes_the_place_of_checkpoints(folder):
    assert names(folder) == ["checkpoints"]
    assert names(folder / "checkpoints") == ["finished"]
    assert kept.usable(folder, RUN)
    assert kept.holds(folder, RUN | {"experiments": ["size"]})
    assert not kept.holds(folder, RUN | {"seed": 1})


def test_what_was_learned_of_other_text_is_named_and_removed(tmp_path, capsys):
    with kept.keeping(tmp_path, RUN, ["a", "b"]) as place:
        fill(place)
    assert kept.usable(tmp_path, RUN, ["a", "b"])
    assert not kept.usable(tmp_path, RUN, ["a", "c"])
    assert "is of other text" in capsys.readouterr().out


def test_what_is_kept_is_whole_or_not_there(tmp_path):
    (tmp_path / "checkpoints" / "step000000004").mkdir(parents=True)
    with suppress(InterruptedError), kept.keeping(tmp_path, RUN) as place:
        fill(place)
        raise InterruptedError
    assert names(tmp_path / "checkpoints") == ["step000000004"]
    assert kept.reached(tmp_path) == 4


def test_it_is_published_by_links_as_often_as_it_is_asked(folder):
    for _ in range(2):
        kept.publish(folder)
        assert names(folder) == ["checkpoints", "curve.parquet", "run.json", "snapshots"]
        for name in OUTPUTS:
            assert (folder / name).samefile(kept.place(folder) / name)
            (folder / name).unlink()


def test_a_snapshot_of_an_earlier_version_has_no_record_and_is_linked_alone(tmp_path):
    (tmp_path / "old").write_text("weights")
    kept.link_with_record(tmp_path / "old", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    with provenance.whole(tmp_path / "old") as scratch:
        scratch.write_text("weights")
    kept.link_with_record(tmp_path / "old", tmp_path / "newer")
    assert provenance.record_of(tmp_path / "newer").exists()


def test_without_links_it_is_copied(folder, monkeypatch):
    def none(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(kept.os, "link", none)
    kept.publish(folder)
    for name in OUTPUTS:
        assert (folder / name).read_text() == "what came of it"
        assert not (folder / name).samefile(kept.place(folder) / name)


def test_the_record_is_published_last(folder, monkeypatch):
    """Its presence says that the run has ended."""
    link = kept.link

    def broken(source, target):
        if str(source).endswith("run.json"):
            raise InterruptedError
        link(source, target)

    monkeypatch.setattr(kept, "link", broken)
    with suppress(InterruptedError):
        kept.publish(folder)
    assert names(folder) == ["checkpoints", "curve.parquet", "snapshots"]


def test_a_kill_between_keeping_and_clearing_is_made_good(folder):
    (folder / "checkpoints" / "step000000004").mkdir()
    (folder / ".snapshots.abcd1234").mkdir()
    kept.publish(folder)
    assert names(folder) == ["checkpoints", "curve.parquet", "run.json", "snapshots"]
    assert names(folder / "checkpoints") == ["finished"]


@pytest.mark.parametrize("name", [*OUTPUTS, "kept.json"])
@pytest.mark.parametrize("how", ["torn", "gone"])
def test_what_is_damaged_is_named_and_removed(folder, name, how, capsys):
    path = kept.place(folder) / name
    path.write_text("what") if how == "torn" else path.unlink()
    assert not kept.usable(folder, RUN)
    said = capsys.readouterr().out
    assert f"{kept.place(folder)} is damaged (" in said
    assert said.count("\n") == 1
    assert not kept.place(folder).exists()


def test_what_is_anothers_is_named_and_removed(folder, capsys):
    assert not kept.usable(folder, RUN | {"seed": 1})
    assert "is that of another run; removed" in capsys.readouterr().out
    assert names(folder / "checkpoints") == []


def test_a_removal_that_is_cut_short_leaves_nothing_to_be_misled_by(folder, monkeypatch):
    monkeypatch.setattr(kept.shutil, "rmtree", lambda *a, **k: None)
    kept.forget(folder)
    monkeypatch.undo()
    assert not kept.place(folder).exists()
    kept.clear_leftovers(folder / "checkpoints")
    assert names(folder / "checkpoints") == []


def test_forgetting_leaves_what_a_run_goes_on_from(folder):
    kept.log(folder).touch()
    kept.forget(folder)
    assert names(folder) == []
    kept.forget(folder)
    (folder / "checkpoints" / "step000000002").mkdir(parents=True)
    kept.log(folder).touch()
    kept.forget(folder)
    assert names(folder / "checkpoints") == ["log.txt", "step000000002"]


# --- jobs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of the data and of a run, in ``run``, that a job has trained."""
    folder = tmp_path_factory.mktemp("jobs")
    jobs.write_data(folder)
    code, said = jobs.finish(jobs.start(folder, run=RUN))
    assert code == 0, said
    return folder


def outputs(folder):
    found = jobs.weights(folder) | {
        n: (folder / "run" / n).read_bytes() for n in ("run.json", "curve.parquet")
    }
    return found | {"evaluated.json": (folder / "run" / "evaluated.json").read_bytes()}


def delete_outputs(folder):
    """As Snakemake does before it runs a job again."""
    for path in (folder / "run" / "snapshots").iterdir():
        path.unlink()
    (folder / "run" / "snapshots").rmdir()
    (folder / "run" / "run.json").unlink()
    (folder / "run" / "curve.parquet").unlink()


def test_a_job_that_runs_again_trains_nothing_and_loads_no_torch(trained):
    before = outputs(trained)
    delete_outputs(trained)
    (trained / "torch.py").write_text("raise SystemExit('torch is imported')")
    path = {"PYTHONPATH": f"{trained}:{jobs.SCRIPTS}"}
    code, said = jobs.finish(jobs.start(trained, run=RUN | {"experiments": ["size"]}, environment=path))
    (trained / "torch.py").unlink()
    assert code == 0, said
    assert said == f"trained before: tiny, published again from {kept.place(trained / 'run')}\n"
    assert outputs(trained) == before
    assert names(trained / "run") == [
        "checkpoints",
        "curve.parquet",
        "evaluated.json",
        "run.json",
        "snapshots",
    ]


HOLDER = """
import sys, time
from pathlib import Path
from scaling.training import locks
with locks.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_nothing_is_published_while_another_process_trains(trained):
    lock = trained / "run" / "training.lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    holder = subprocess.Popen(command, cwd=jobs.SCRIPTS, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    before = (trained / "run" / "run.json").stat().st_mtime_ns
    code, said = jobs.finish(jobs.start(trained, run=RUN))
    holder.kill()
    holder.communicate()
    assert (code, said.count("\n")) == (1, 1)
    assert f"process {holder.pid} on " in said
    assert (trained / "run" / "run.json").stat().st_mtime_ns == before


def test_what_is_damaged_is_trained_anew(trained):
    before = outputs(trained)
    (kept.place(trained / "run") / "curve.parquet").unlink()
    code, said = jobs.finish(jobs.start(trained, run=RUN))
    assert code == 0, said
    assert "is damaged (" in said
    assert "finished after 20 steps" in said
    assert {n: v for n, v in outputs(trained).items() if n != "run.json"} == {
        n: v for n, v in before.items() if n != "run.json"
    }


def test_a_diverged_run_is_kept_likewise(trained):
    run = RUN | {"learning_rate": 1e30, "clip": 1e30}
    code, said = jobs.finish(jobs.start(trained, run=run, out="wild"))
    assert code == 0, said
    assert provenance.read_json(trained / "wild" / "run.json")["status"] == "diverged"
    (trained / "wild" / "run.json").unlink()
    assert "trained before: tiny" in jobs.finish(jobs.start(trained, run=run, out="wild"))[1]
    assert json.loads((trained / "wild" / "run.json").read_text())["status"] == "diverged"
