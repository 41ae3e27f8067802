"""What comes before a study's first job, with Slurm's commands played by small scripts."""

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import snakemake_executor_plugin_slurm as executor
import yaml
from scaling import driver
from scaling.provenance import UserError

ROOT = Path(__file__).parents[2]
SITE = {
    **{"partition": None, "cpu_partition": None, "gpu_type": None, "gpus_per_node": 2, "cpus_per_node": 8},
    **{"memory_gb": 16, "nodes": 1, "hours": 4},
}
LINE = "main*|1-00:00:00|8|16000|4|gpu:2"


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Put a command on PATH, which holds nothing else but a shell's: ``command(name, script)``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.chdir(tmp_path)

    def make(name, script):
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}.asked\n{script}\n', encoding="utf-8")
        path.chmod(0o755)

    return make


def check(command, *lines, on_gpus=True, **site):
    command("sinfo", "cat <<'END'\n" + "\n".join(lines) + "\nEND")
    driver.check_site(SITE | site, on_gpus)


def refused(function, *arguments, **named):
    """The line with which ``function`` refuses; it is one."""
    with pytest.raises(UserError) as error:
        function(*arguments, **named)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- alone ----------------------------------------------------------------------------------------------


def test_one_driver_at_a_time_however_the_other_ends(tmp_path):
    path = tmp_path / "new" / "driver.lock"
    code = (
        "import sys, time, pathlib; from scaling import driver\n"
        "file = driver.alone(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        for _ in range(2):  # who is refused leaves the holder's name where it was
            line = refused(driver.alone, path)
            assert line.startswith(f"process {holder.pid} on ")
            assert "drives a study here already" in line
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with driver.alone(path):
        assert path.read_text(encoding="utf-8").split()[:2] == ["process", str(os.getpid())]
        assert f"process {os.getpid()} on" in refused(driver.alone, path)
    driver.alone(path).close()


def test_a_driver_of_one_machine_is_alone_too_and_leaves_no_name(tmp_path):
    path = tmp_path / "driver.lock"
    with driver.alone(path, named=False):
        line = "another snakemake drives a study here already; wait for it, or end it"
        assert refused(driver.alone, path) == refused(lambda: driver.alone(path, named=False)) == line
        assert path.read_text() == ""
    with driver.alone(path):
        assert f"process {os.getpid()} on" in refused(lambda: driver.alone(path, named=False))


# --- the site -------------------------------------------------------------------------------------------


def test_a_site_that_is_there_is_accepted(command, tmp_path):
    check(command, LINE)
    check(command, LINE, partition="main", cpu_partition="main", nodes=4, hours=24)
    check(command, LINE.replace("16000", "16100"), memory_gb=16.1)
    assert "--exact" in (tmp_path / "sinfo.asked").read_text(), "else larger nodes hide behind a +"


@pytest.mark.parametrize(
    ("site", "line"),
    [
        ({"partition": "lab"}, "site.partition: found 'lab', but sinfo shows main, other"),
        ({"cpu_partition": "lab"}, "site.cpu_partition: found 'lab', but sinfo shows main, other"),
        ({"hours": 25}, "site.hours: found 25, but sinfo shows 24 in partition main"),
        ({"cpus_per_node": 9}, "site.cpus_per_node: found 9, but sinfo shows 8 in partition main"),
        ({"memory_gb": 16.5}, "site.memory_gb: found 16.5, but sinfo shows 16 in partition main"),
        ({"gpus_per_node": 3}, "site.gpus_per_node: found 3, but sinfo shows 2 in partition main"),
        (
            {"gpu_type": "a100"},
            "site.gpus_per_node: found 2, but sinfo shows 0 of type a100 in partition main",
        ),
        ({"nodes": 5}, "site.nodes: found 5, but sinfo shows 4 of such nodes in partition main"),
    ],
)
@pytest.mark.parametrize("partition", [None, "main"])
def test_each_key_that_asks_for_too_much_is_named(command, partition, site, line):
    other = "other|infinite|99|999000|99|gpu:a100:8"
    found = refused(check, command, LINE, other, **({"partition": partition} | site))
    assert found == f"{line}; mend slurm/site.yaml"


def test_no_partition_where_slurm_has_no_default(command):
    line = refused(check, command, LINE.replace("*", ""))
    assert line.startswith("site.partition: found null, but sinfo shows no default among main")


def test_the_nodes_of_a_partition_that_differ(command):
    small, large = "main*|infinite|4|64000|1|gpu:2", "main*|infinite|64|8000|1|(null)"
    line = refused(check, command, small, large)
    assert line.startswith("site.memory_gb: found 16, but sinfo shows 8"), "on nodes with enough cores"
    check(command, small, large, LINE)
    assert refused(check, command, small, large, LINE, nodes=5).startswith("site.nodes")


def test_who_trains_on_cpus_needs_no_gpus(command):
    check(command, LINE.replace("gpu:2", "(null)"), on_gpus=False)
    assert refused(check, command, LINE.replace("gpu:2", "(null)")).startswith("site.gpus_per_node")


@pytest.mark.parametrize(
    ("generic", "gpu_type", "number"),
    [
        ("gpu:4", None, 4),
        ("gpu:a100:4(S:0-1)", None, 4),
        ("gpu:a100:4(S:0-1)", "a100", 4),
        ("gpu:a100:4(S:0-1),gpu:v100:2(S:0)", None, 6),
        ("gpu:a100:4(S:0-1),gpu:v100:2(S:0)", "v100", 2),
        ("gpu:7g.40gb:1,gpu:1g.5gb:7", "1g.5gb", 7),
        ("gpu:2,nvme:1", None, 2),
        ("nvme:1,gpu:2(IDX:0-1)", None, 2),
        ("shard:a100:32", None, 0),
        ("(null)", None, 0),
    ],
)
def test_gpus_of_a_node_as_sinfo_writes_them(generic, gpu_type, number):
    assert driver._group(f"main|30:00|8+|16000+|3|{generic}", gpu_type) == {
        **{"partition": "main", "default": False, "minutes": 30, "cpus": 8, "memory_mb": 16000},
        **{"nodes": 3, "gpus": number},
    }


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("infinite", float("inf")),
        ("1-00:00:00", 1440),
        ("7-12:30:30", 10830.5),
        ("30:00", 30),
        ("2:00:00", 120),
        ("1:30", 1.5),
    ],
)
def test_time_limits_as_slurm_writes_them(limit, minutes):
    assert driver._minutes(limit) == minutes


# --- what a killed driver left --------------------------------------------------------------------------

QUEUE = """
if [ -e cancelled ]; then n=$(cat cancelled); else n={stays}; fi
[ $n -le 0 ] && exit 0
[ -e cancelled ] && echo $((n - 1)) > cancelled
cat <<END
7|frontier_a1|{here}
8|frontierland|{here}
9|other|{here}
10|frontier_a1|{here}/below
11|frontier_b2|{here}
END
"""


@pytest.fixture
def queue(command, tmp_path, monkeypatch):
    """A queue whose jobs leave it at the ``stays``-th look after they were cancelled."""
    monkeypatch.setattr(driver.time, "sleep", lambda seconds: None)

    def make(stays):
        command("squeue", QUEUE.format(stays=stays, here=tmp_path))
        command("scancel", f"echo {stays} > cancelled")
        return tmp_path

    return make


def test_jobs_of_this_folder_are_cancelled_and_waited_for(queue):
    folder = queue(3)
    link = folder / "link"
    link.symlink_to(folder)
    assert driver.cancel_leftovers(link) == 2
    assert (folder / "scancel.asked").read_text() == "--quiet 7 11\n"
    assert (folder / "cancelled").read_text() == "0\n", "waited for"
    asked = (folder / "squeue.asked").read_text().splitlines()
    assert len(asked) == 5, "before, thrice while they were there, and once to see that they have gone"
    assert all("--me" in line for line in asked)
    assert all(state in asked[0] for state in ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED"))


def test_nothing_left_cancels_nothing(queue):
    folder = queue(0)
    assert driver.cancel_leftovers(folder) == 0
    assert not (folder / "scancel.asked").exists()


def test_jobs_that_do_not_end(queue, monkeypatch):
    monkeypatch.setattr(driver, "PATIENCE", 0.0)
    line = refused(driver.cancel_leftovers, queue(1000))
    assert line.startswith("Slurm jobs 7, 11 of an earlier snakemake do not end; run snakemake again when")


# --- commands that fail ---------------------------------------------------------------------------------


def test_a_command_that_fails_is_told_in_its_own_words(command):
    command("sinfo", "echo 'first' >&2; echo 'slurm_load_partitions: Unable to contact' >&2; exit 1")
    line = refused(driver.check_site, SITE, True)
    assert line == "sinfo failed: slurm_load_partitions: Unable to contact"
    command("sinfo", "exit 3")
    assert refused(driver.check_site, SITE, True) == "sinfo failed: exit code 3"


def test_a_command_that_hangs(command, monkeypatch):
    command("squeue", "exec sleep 30")
    run = subprocess.run
    monkeypatch.setattr(driver.subprocess, "run", lambda *args, **kw: run(*args, **(kw | {"timeout": 0.3})))
    assert "squeue does not answer" in refused(driver.cancel_leftovers, Path.cwd())


def test_a_command_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sinfo is not found" in refused(driver.check_site, SITE, True)
    assert "squeue is not found" in refused(driver.cancel_leftovers, tmp_path)


def test_names_of_jobs_begin_as_the_profile_has_them_begin():
    profile = yaml.safe_load((ROOT / "slurm" / "profile.yaml").read_text(encoding="utf-8"))
    assert profile["slurm-jobname-prefix"] == driver.PREFIX


# --- the executor ---------------------------------------------------------------------------------------


def test_a_slurm_that_forgets_jobs_too_soon_is_refused(monkeypatch):
    monkeypatch.setattr(executor, "get_min_job_age", lambda: 10)
    assert "Slurm forgets jobs 10 s after their end" in refused(driver.trust_squeue)


def test_a_slurm_that_does_not_say_is_taken_to_have_its_default(monkeypatch, capsys):
    monkeypatch.setattr(executor, "get_min_job_age", lambda: None)
    driver.trust_squeue()
    assert executor.get_min_job_age() == driver.DEFAULT_AGE
    assert "is assumed" in capsys.readouterr().out


def test_the_executor_goes_by_squeue_when_the_controller_does_not_answer(monkeypatch):
    answers = iter([300, None])
    monkeypatch.setattr(executor, "get_min_job_age", lambda: next(answers))
    driver.trust_squeue()
    assert executor.get_min_job_age() == executor.get_min_job_age() == 300


def test_jobs_are_known_for_longer_than_the_longest_pause():
    assert driver.DEFAULT_AGE > driver.MIN_JOB_AGE
    assert f"max_sleep_time = {driver.MIN_JOB_AGE - 60}" in Path(executor.__file__).read_text(
        encoding="utf-8"
    )


def test_a_driver_on_another_host_is_believed_until_its_name_is_deleted(tmp_path):
    path = tmp_path / "driver.lock"
    path.write_text("process 7 on elsewhere\n")
    line = f"process 7 on elsewhere drives a study here already; if it has ended, delete {path}"
    assert refused(driver.alone, path) == line
    assert refused(lambda: driver.alone(path, named=False)) == line
    path.unlink()
    driver.alone(path).close()


def test_where_there_are_no_locks_the_name_of_a_living_driver_counts(tmp_path, monkeypatch):
    def without(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(driver.fcntl, "flock", without)
    path = tmp_path / "driver.lock"
    with driver.alone(path):
        assert f"process {os.getpid()} on" in refused(driver.alone, path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    path.write_text(f"process {ended.pid} on {socket.gethostname()}\n")
    driver.alone(path).close()
