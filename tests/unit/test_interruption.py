"""A signal or a time limit is a reason to end, not the end."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from scaling.training import interruption

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_second_request_does_not_cut_short_the_end():
    with interruption.watch():
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGUSR1)


def test_without_a_signal_or_a_limit_there_is_no_reason():
    with interruption.watch() as watch:
        assert watch.reason(1e9) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_is_a_reason(number):
    with interruption.watch(minutes=1e9) as watch:
        os.kill(os.getpid(), number)
        assert watch.reason(0) == number.name
        os.kill(os.getpid(), signal.SIGTERM)
        assert watch.reason(0) == number.name


def test_a_second_ctrl_c_ends_at_once():
    with interruption.watch() as watch:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert watch.reason(0) == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_restored_even_on_failure():
    before = [signal.getsignal(number) for number in interruption.SIGNALS]
    with suppress(ZeroDivisionError), interruption.watch():
        assert not set(before) & {signal.getsignal(number) for number in interruption.SIGNALS}
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in interruption.SIGNALS] == before


def test_a_time_limit_counts_from_the_begin_of_the_process(monkeypatch):
    with interruption.watch(minutes=30) as watch:
        monkeypatch.setattr(interruption, "BEGAN", time.monotonic() - 29 * 60)
        assert watch.reason(50) is None
        assert watch.reason(70) == "its time limit of 30 min is near"
        monkeypatch.setattr(interruption, "BEGAN", time.monotonic() - 31 * 60)
        assert watch.reason(0) == "its time limit of 30 min is near"


def test_a_process_lives_on_to_save_and_its_exit_code_says_so():
    code = """
import sys, time
from scaling.training import interruption
with interruption.watch() as watch:
    print("ready", flush=True)
    while not (reason := watch.reason(0)):
        time.sleep(0.01)
    print("saved after", reason)
sys.exit(interruption.EXIT_CODE)"""
    child = subprocess.Popen([sys.executable, "-c", code], cwd=SCRIPTS, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.terminate()
    assert child.communicate(timeout=20)[0] == "saved after SIGTERM\n"
    assert child.returncode == 75
