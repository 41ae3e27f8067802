"""A run that is killed at any instant finds a whole checkpoint of its own."""

import json
import math
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scaling.provenance import UserError
from scaling.training import checkpoints, kept

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


def save(folder, *steps):
    for step in steps:
        checkpoints.save(folder, step, {"w": torch.full((3,), float(step))}, {"step": step})


def bits(tensor):
    return bytes(tensor.detach().contiguous().flatten().view(torch.uint8).tolist())


def steps(folder):
    return sorted(int(path.name.removeprefix("step")) for path in folder.iterdir())


def test_tensors_of_any_kind_come_back(tmp_path):
    shared = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "whole": shared, "again": shared, "row": shared[1], "turned": shared.T, "every other": shared[:, ::2],
        "scalar": torch.tensor(3.5), "count": torch.tensor(7), "none": torch.zeros(0),
        "alone": torch.ones(9)[4:6],
        "half": torch.full((2,), 0.1, dtype=torch.bfloat16), "flags": torch.tensor([True, False]),
        "ids": torch.tensor([65535, 0], dtype=torch.uint16), "weight": torch.nn.Parameter(torch.ones(2)),
        "odd": torch.tensor([math.nan, -0.0, math.inf, 1e-45], dtype=torch.float32),
    }  # fmt: skip
    checkpoints.save(tmp_path, 1, tensors, None)
    step, found, state = checkpoints.newest(tmp_path)
    assert (step, state) == (1, None)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(found[name]) == bits(tensor)
    found["whole"][0] = -1
    assert checkpoints.newest(tmp_path)[1]["whole"][0, 0] == 0


def test_a_state_comes_back_to_the_last_bit(tmp_path):
    rng = random.Random(0)
    floats = [rng.uniform(-1, 1) * 10 ** rng.uniform(-300, 300) for _ in range(500)]
    state = {
        "floats": [*floats, 0.1 + 0.2, 5e-324, -0.0],
        "odd": [math.inf, -math.inf],
        "int": 2**63 + 1,
        "text": "ü\n",
        "9": {"10": None},
    }
    checkpoints.save(tmp_path, 1, {}, state)
    found = checkpoints.newest(tmp_path)[2]
    assert repr(found) == repr(state)
    checkpoints.save(tmp_path, 2, {}, {"loss": math.nan, 9: 0, 10: 1})
    found = checkpoints.newest(tmp_path)[2]
    assert math.isnan(found.pop("loss"))
    assert found == {"9": 0, "10": 1}


def test_the_last_two_are_kept(tmp_path):
    save(tmp_path, 1, 2, 10, 11)
    assert steps(tmp_path) == [10, 11]
    assert checkpoints.newest(tmp_path)[0] == 11


def test_a_history_that_was_given_up_goes(tmp_path):
    save(tmp_path, 10, 20, 15)
    assert steps(tmp_path) == [10, 15]
    save(tmp_path, 15)
    assert steps(tmp_path) == [10, 15]


def test_a_damaged_checkpoint_of_the_same_step_is_replaced(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "step000000002" / "state.json").write_bytes(b"")
    save(tmp_path, 2)
    assert checkpoints.newest(tmp_path)[0] == 2
    assert steps(tmp_path) == [1, 2]


def test_where_there_is_none_there_is_none(tmp_path):
    assert checkpoints.newest(tmp_path / "nowhere") is None
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "step12.safetensors").touch()
    assert checkpoints.newest(tmp_path) is None


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def nest(path):
    path.write_bytes(b"[" * 100_000)


def replace_by_null(path):
    path.write_bytes(b"null")


def become_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("harm", [truncate, empty, nest, replace_by_null, become_a_folder, Path.unlink])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(tmp_path, capsys, name, harm):
    save(tmp_path, 1, 2)
    harm(tmp_path / "step000000002" / name)
    step, tensors, state = checkpoints.newest(tmp_path)
    assert (step, tensors["w"].tolist(), state) == (1, [1, 1, 1], {"step": 1})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path}/step000000002 is damaged (")


def test_an_empty_folder_and_a_file_are_damage_too(tmp_path, capsys):
    save(tmp_path, 1)
    (tmp_path / "step000000002").mkdir()
    (tmp_path / "step000000003").touch()
    assert checkpoints.newest(tmp_path)[0] == 1
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_renamed_checkpoint_is_damaged(tmp_path, capsys):
    save(tmp_path, 1)
    shutil.copytree(tmp_path / "step000000001", tmp_path / "step000000005")
    assert checkpoints.newest(tmp_path)[0] == 1
    assert "it is that of step 1" in capsys.readouterr().out


def test_every_flipped_bit_is_found(tmp_path, capsys):
    """Or it is in a place that says nothing: the checkpoint that is read is then the one that was written."""
    checkpoints.save(tmp_path, 1, {"w": torch.ones(2)}, {"loss": [0.1, math.nan], "step": 1})
    found = 0
    for path in (tmp_path / "step000000001").iterdir():
        whole = path.read_bytes()
        for position in range(len(whole)):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << position % 8
            path.write_bytes(flipped)
            read = checkpoints.newest(tmp_path)
            assert read is None or (path.name, read[1]["w"].tolist(), repr(read[2])) == (
                "state.json", [1, 1], "{'loss': [0.1, nan], 'step': 1}"
            )  # fmt: skip
            found += read is None
        path.write_bytes(whole)
    assert found == len(capsys.readouterr().out.splitlines()) > 200


def test_a_refusing_disk_is_named_and_leaves_what_was_there(tmp_path, monkeypatch):
    save(tmp_path, 1)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(checkpoints, "save_file", lambda *_: (_ for _ in ()).throw(full))
    line = r"step000000002 cannot be written \(.*No space left on device\); .* run snakemake again"
    with pytest.raises(UserError, match=line):
        save(tmp_path, 2)
    assert steps(tmp_path) == [1]


def test_what_is_no_json_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        checkpoints.save(tmp_path, 1, {}, {"x": torch.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_checkpoint_get_ordinary_permissions(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "b").touch()
    modes = {path.stat().st_mode for path in (tmp_path / "step000000001").iterdir()}
    assert modes == {(tmp_path / "b").stat().st_mode}


def test_all_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    calls, sync, rename = [], os.fsync, Path.replace
    opened = Path("/proc/self/fd")
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append((opened / str(fd)).readlink().name), sync(fd)))
    monkeypatch.setattr(Path, "replace", lambda *paths: (calls.append("renamed"), rename(*paths)))
    save(tmp_path, 1)
    assert sorted(calls[:3]) == ["state.json", "step000000001", "tensors.safetensors"]
    assert calls[3:] == ["renamed", tmp_path.name]


def test_nothing_is_removed_under_its_own_name(tmp_path, monkeypatch):
    """A removal takes its time, and half a checkpoint should not be met as a damaged one."""
    removed, remove = [], shutil.rmtree
    monkeypatch.setattr(
        shutil, "rmtree", lambda path, **more: (removed.append(Path(path).name), remove(path, **more))
    )
    save(tmp_path, 1, 2, 3, 2)
    assert removed
    assert all(name.startswith(".") for name in removed)


def test_leftovers_of_a_killed_process_go_and_nothing_else(tmp_path):
    code = """
import os, sys
from pathlib import Path
from scaling import provenance
begun = [provenance.whole(Path(sys.argv[1]) / name) for name in ("step000000003", "run.json", "x" * 80)]
for writing in begun:
    writing.__enter__().mkdir()
os._exit(9)"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=SCRIPTS, check=False)
    (tmp_path / ".tmp07EGwf").touch()
    assert len(list(tmp_path.iterdir())) == 4
    keep = {".snakemake_timestamp", "run.json", "training.lock", "snapshots", ".nfs0000000001"}
    for name in keep:
        (tmp_path / name).touch()
    kept.clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == keep
    kept.clear_leftovers(tmp_path / "nowhere")


KILLED = """
import json, os, random, signal, sys, time, torch
from pathlib import Path
from scaling.training import checkpoints, kept

def save(step):
    tensors = {"a": torch.full((20_000,), float(step)), "b": torch.tensor(step)}
    checkpoints.save(folder, step, tensors, {"step": step})

folder, rng = Path(sys.argv[1]), random.Random(0)
save(1)
for _ in range(12):
    step, tensors, state = checkpoints.newest(folder)
    child = os.fork()
    while child == 0:
        step += 1
        save(step)
    time.sleep(rng.uniform(0.02, 0.15))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    whole = len(list(folder.glob("step*")))
    leftovers = len(list(folder.iterdir())) - whole
    kept.clear_leftovers(folder)
    step, tensors, state = checkpoints.newest(folder)
    held = [*tensors["a"].unique().tolist(), tensors["b"].item(), state["step"]]
    print(json.dumps([step, held, whole, leftovers, len(list(folder.iterdir())) - whole]))
"""


def test_a_process_killed_at_any_instant_leaves_a_whole_checkpoint(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    output = subprocess.check_output(command, cwd=SCRIPTS, text=True)
    rounds = [json.loads(line) for line in output.splitlines()]
    assert len(rounds) == 12
    for step, held, whole, _, left in rounds:
        assert held == [step] * 3
        assert 1 <= whole <= 3
        assert left == 0
    assert rounds[-1][0] > 12
    assert sum(leftovers for *_, leftovers, _ in rounds) > 0
