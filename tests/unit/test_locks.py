"""One process to a folder, whatever becomes of the one before."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from scaling.provenance import UserError
from scaling.training import locks

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
HERE = socket.gethostname()
SINCE = "2020-01-02T03:04:05+00:00"

HOLDER = """
import errno, fcntl, os, sys
from pathlib import Path
from scaling.provenance import UserError
from scaling.training import locks

def none(*_):
    raise OSError(errno.ENOLCK, "No locks available")

locks.SETTLE = 0.5
if sys.argv[1] == "without":
    fcntl.flock = none
for line in sys.stdin:
    try:
        with locks.held(Path(line.strip())) as lock:
            print("has it", flush=True)
            sys.stdin.readline()
    except UserError as error:
        print(error, flush=True)
"""


@pytest.fixture
def start():
    """Start a process that takes the lock of each path that it is told, until it is told the next line."""
    children = []

    def child(flock="with"):
        child = subprocess.Popen(
            [sys.executable, "-c", HOLDER, flock],
            cwd=SCRIPTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        children.append(child)
        return child

    yield child
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A lock in a study whose patience is short."""
    monkeypatch.setattr(locks, "SILENCE", 0.5)
    monkeypatch.setattr(locks, "POLL", 0.02)
    monkeypatch.setattr(locks, "SETTLE", 0.1)
    return tmp_path / "tiny" / "training.lock"


@pytest.fixture
def no_flock(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def ask(child, path):
    child.stdin.write(f"{path}\n")


def answer(child):
    """What a child says of the lock, and not of what it does meanwhile."""
    for line in child.stdout:
        if "taken over" not in line:
            return line.strip()


def leave(path, pid, host=HERE, **more):
    """What a process left that is no more."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"host": host, "pid": pid, "since": SINCE} | more))


def beat(path):
    """A holder elsewhere that lives, and whose clock is not ours."""
    os.utime(path, (0, 0))

    def move():
        for i in range(5):
            time.sleep(0.05)
            os.utime(path, (i + 1, i + 1))

    thread = threading.Thread(target=move)
    thread.start()
    return thread


def test_a_lock_names_its_holder_and_goes_with_it(path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "45")
    with locks.held(path) as lock:
        found = json.loads(path.read_text())
        assert (found["host"], found["pid"], found["job"]) == (HERE, os.getpid(), "45")
        assert found["since"].endswith("+00:00")
    assert list(path.parent.iterdir()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(lock.descriptor)
    with pytest.raises(ZeroDivisionError), locks.held(path):
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("flock", ["with", "without"])
def test_the_lock_of_a_live_process_is_refused_by_its_name(path, start, flock, request, monkeypatch):
    monkeypatch.setattr(locks, "SETTLE", 1.0)
    holder = start(flock)
    ask(holder, path)
    assert answer(holder) == "has it"
    if flock == "without":
        request.getfixturevalue("no_flock")
    began = time.monotonic()
    line = rf"tiny: process {holder.pid} on {HERE} since 20.* trains here; wait for it or end it"
    with pytest.raises(UserError, match=line), locks.held(path):
        pass
    assert time.monotonic() - began < 0.9
    holder.communicate("\n")
    with locks.held(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_killed_holder_is_followed_at_once(path, start, capsys, monkeypatch):
    monkeypatch.setattr(locks, "SETTLE", 60)
    monkeypatch.setattr(locks, "SILENCE", 60)
    holder = start()
    ask(holder, path)
    assert answer(holder) == "has it"
    holder.kill()
    holder.wait()
    began = time.monotonic()
    with locks.held(path) as lock:
        assert time.monotonic() - began < 10
        lock.beat()
    assert f"process {holder.pid} on {HERE}" in capsys.readouterr().out


def test_a_process_number_that_is_in_use_again_does_not_hold(path):
    """Where the kernel's lock is granted on the holder's own host, the holder is no more."""
    leave(path, os.getppid())
    with locks.held(path):
        pass


def test_without_flock_a_dead_holder_is_followed(path, no_flock, dead, capsys):
    leave(path, dead)
    with locks.held(path) as lock:
        lock.beat()
        assert json.loads(path.read_text())["pid"] == os.getpid()
    line = f"{path}: process {dead} on {HERE} since {SINCE} has ended; taken over\n"
    assert capsys.readouterr().out == line


def test_without_flock_a_former_life_of_this_process_does_not_hold(path, no_flock):
    leave(path, os.getpid())
    with locks.held(path):
        pass


def test_without_flock_a_process_number_in_use_again_has_a_remedy(path, no_flock):
    leave(path, os.getppid())
    with pytest.raises(UserError, match=f"or delete {path} if that is another program"), locks.held(path):
        pass


@pytest.mark.parametrize("flock", ["with", "without"])
def test_a_live_holder_elsewhere_is_named(path, flock, request, capsys, monkeypatch):
    monkeypatch.setattr(locks, "SILENCE", 10.0)
    if flock == "without":
        request.getfixturevalue("no_flock")
    leave(path, 12, host="node7", job="45")
    thread = beat(path)
    line = rf"process 12 on node7 \(SLURM job 45\) since {SINCE[:19]}.* trains here"
    with pytest.raises(UserError, match=line), locks.held(path):
        pass
    thread.join()
    assert json.loads(path.read_text())["host"] == "node7"
    assert capsys.readouterr().out.count("waiting up to 10 s for a sign of life of process 12 on node7") == 1


@pytest.mark.parametrize("flock", ["with", "without"])
def test_a_silent_holder_elsewhere_is_followed(path, flock, request, capsys):
    if flock == "without":
        request.getfixturevalue("no_flock")
    leave(path, 12, host="node7")
    os.utime(path, (2e9, 2e9))  # a clock that is ahead says nothing
    began = time.monotonic()
    with locks.held(path) as lock:
        assert time.monotonic() - began >= 0.5
        lock.beat()
    assert f"process 12 on node7 since {SINCE} is silent; taken over" in capsys.readouterr().out


def test_a_holder_elsewhere_that_ends_meanwhile_is_followed(path, no_flock, monkeypatch):
    monkeypatch.setattr(locks, "SILENCE", 10.0)
    leave(path, 12, host="node7")
    timer = threading.Timer(0.1, path.unlink)
    timer.start()
    began = time.monotonic()
    with locks.held(path):
        assert time.monotonic() - began < 5
    timer.join()


@pytest.mark.parametrize("flock", ["with", "without"])
@pytest.mark.parametrize("content", ["", '{"host": "no', "7", "{}"])
def test_a_lock_that_nobody_signed_is_taken(path, content, flock, request):
    if flock == "without":
        request.getfixturevalue("no_flock")
    path.parent.mkdir()
    path.write_text(content)
    with locks.held(path) as lock:
        lock.beat()


def test_a_lock_that_nobody_has_is_signed_at_once_and_settles(path, monkeypatch):
    """The process between its making the file and its locking it, if there is one, then meets a name."""
    path.parent.mkdir()
    path.touch()
    monkeypatch.setattr(locks, "SETTLE", 1.0)
    began = time.monotonic()
    with locks.held(path):
        assert 1 <= time.monotonic() - began < 1.8


def test_a_lock_that_is_locked_and_about_to_be_signed_is_waited_for(path, monkeypatch):
    path.parent.mkdir()
    monkeypatch.setattr(locks, "SETTLE", 5.0)
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        threading.Timer(0.1, leave, (path, os.getppid())).start()
        with pytest.raises(UserError, match=f"process {os.getppid()} on"), locks.held(path):
            pass


def test_a_lock_that_is_locked_and_never_signed_is_refused(path):
    path.parent.mkdir()
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="tiny: another process trains here"), locks.held(path):
            pass


def test_without_flock_a_lock_about_to_be_signed_is_waited_for(path, no_flock, monkeypatch):
    path.parent.mkdir()
    path.touch()
    monkeypatch.setattr(locks, "SETTLE", 5.0)
    monkeypatch.setattr(locks.Lock, "sign", None)
    threading.Timer(0.1, leave, (path, os.getppid())).start()
    with pytest.raises(UserError, match=f"process {os.getppid()} on"), locks.held(path):
        pass


@pytest.mark.parametrize("host", [HERE, "node7"])
def test_of_two_that_sign_at_once_the_last_has_it(path, no_flock, host, dead, monkeypatch):
    sign = locks.Lock.sign
    monkeypatch.setattr(locks.Lock, "sign", lambda lock: (sign(lock), leave(path, os.getppid())))
    leave(path, dead, host=host)
    with pytest.raises(UserError, match=f"process {os.getppid()} on"), locks.held(path):
        pass


def test_a_beat_moves_the_mtime(path):
    with locks.held(path) as lock:
        os.utime(path, (0, 0))
        lock.beat()
        assert path.stat().st_mtime > 0


def test_a_holder_learns_that_it_was_followed(path):
    with locks.held(path) as lock:
        leave(path, 12, host="node7")
        with pytest.raises(UserError, match="was taken over by process 12 on node7"):
            lock.beat()
    assert json.loads(path.read_text())["host"] == "node7"
    path.unlink()
    with locks.held(path) as lock:
        path.unlink()
        with pytest.raises(UserError, match="is gone"):
            lock.beat()


@pytest.mark.parametrize("followed", [True, False])
def test_a_file_removed_while_it_was_being_locked_is_no_lock(path, monkeypatch, followed):
    """The former holder removes the file between our opening and our locking it; another may follow."""
    leave(path, os.getppid())
    flock, opened = fcntl.flock, []

    def removed(*args):
        if not opened:
            path.unlink()
            leave(path, os.getppid())
            opened.append(path.open())
            flock(opened[0], fcntl.LOCK_EX)
            if not followed:
                path.unlink()
        return flock(*args)

    monkeypatch.setattr(fcntl, "flock", removed)
    if followed:
        with pytest.raises(UserError, match=f"process {os.getppid()} on"), locks.held(path):
            pass
    else:
        with locks.held(path):
            assert json.loads(path.read_text())["pid"] == os.getpid()
    opened[0].close()


def test_the_lock_is_not_inherited_by_programs_that_a_run_starts(path):
    with locks.held(path) as lock:
        assert not os.get_inheritable(lock.descriptor)


def test_a_folder_of_another_user_is_named(path, monkeypatch):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    leave(path, 12, host="node7")
    monkeypatch.setattr(os, "open", denied)
    line = r"training.lock cannot be locked \(Permission denied\): it was made by process 12 on node7"
    with pytest.raises(UserError, match=line), locks.held(path):
        pass


@pytest.mark.parametrize(("flock", "rounds"), [("with", 20), ("without", 4)])
@pytest.mark.parametrize("stale", [True, False])
def test_of_two_that_race_for_a_lock_one_wins(tmp_path, start, dead, flock, rounds, stale):
    racers = [start(flock), start(flock)]
    for i in range(rounds):
        path = tmp_path / str(i) / "training.lock"
        if stale:
            leave(path, dead)
        for racer in racers:
            ask(racer, path)
        answers = [answer(racer) for racer in racers]
        assert answers.count("has it") == 1
        winner = answers.index("has it")
        assert f"process {racers[winner].pid} on {HERE}" in answers[1 - winner]
        assert json.loads(path.read_text())["pid"] == racers[winner].pid
        racers[winner].stdin.write("\n")
