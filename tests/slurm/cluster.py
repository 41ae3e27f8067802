"""A real Slurm on this machine, as root and without systemd: a controller and a few nodes, in one folder."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

CONFIG = Path("/etc/slurm/slurm.conf")
"""Where Slurm's commands look where no variable names a config: the executor drops such variables."""
PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
NAME = "frontier-tests"
"""By which a config is known to be one of ours, left by tests that were killed."""
PORT = 16817
GPUS = 2
"""GPUs of each node: devices that compute nothing, but that Slurm grants to one job at a time."""


def missing():
    """What a Slurm cannot be started for here, in words; empty where nothing is missing."""
    lacking = [name for name in PROGRAMS if find(name) is None]
    if lacking:
        return f"no {', '.join(lacking)}: apt-get install munge slurmctld slurmd slurm-client"
    if os.geteuid() != 0:
        return "root: slurmctld and slurmd are started as root here"
    if CONFIG.exists() and not CONFIG.read_text(encoding="utf-8").startswith(f"ClusterName={NAME}\n"):
        return f"a machine without a Slurm of its own: {CONFIG} is there, and would have to be replaced"
    return ""


def find(program):
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Cluster:
    """Nodes n1, n2, … with 4 CPUs, 8000 MB and two GPUs each; partitions main, short (2 min) and high.

    A job in ``high`` has those in ``main`` make room: they are requeued.
    """

    def __init__(self, folder, nodes=3, minutes=60):
        self.folder, self.minutes = Path(folder), minutes
        self.nodes = [f"n{i + 1}" for i in range(nodes)]
        self.daemons = {}
        for name in ("run", "log", "ctld", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        self.config = self.folder / "slurm.conf"
        self._write_config()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    # --- daemons ------------------------------------------------------------------------------------------

    def start(self):
        run, log = self.folder / "run", self.folder / "log"
        key = run / "munge.key"
        subprocess.run([find("mungekey"), "--create", "--keyfile", key], check=True)
        munge = [find("munged"), "--foreground", "--force", f"--key-file={key}", f"--socket={run}/munge.sock"]
        munge += [f"--pid-file={run}/munged.pid", f"--log-file={log}/munged", f"--seed-file={run}/munge.seed"]
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.unlink(missing_ok=True)
        CONFIG.symlink_to(self.config)
        self._spawn("munged", munge)
        wait_for((run / "munge.sock").exists, "munged")
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        wait_for(lambda: self.states() == {"idle"}, "the nodes", seconds=60)

    def start_controller(self):
        self._spawn("slurmctld", [find("slurmctld"), "-D", "-f", self.config])
        wait_for(lambda: self.ask("scontrol", "ping").returncode == 0, "slurmctld")

    def kill_controller(self):
        self._kill("slurmctld")

    def start_node(self, node):
        self._spawn(node, [find("slurmd"), "-D", "-N", node, "-f", self.config])

    def crash_node(self, node):
        """End a node's daemon and all that runs there, as a power cut would."""
        self._kill(node)
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"SLURMD_NODENAME={node}\0".encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
                # the daemon of a step carries its node's spool folder in its command line alone
                elif b"slurmstepd" in (command := (process / "cmdline").read_bytes()):
                    job = re.search(rb"\[(\d+)\.", command)
                    if job and self.node_of(job[1].decode()) == node:
                        os.kill(int(process.name), signal.SIGKILL)

    def cancel_all(self):
        """Cancel every job, and wait until all have left."""
        self.ask("scancel", "--quiet", *self.jobs("PENDING,RUNNING,SUSPENDED"))
        wait_for(lambda: not self.jobs("PENDING,RUNNING,COMPLETING,SUSPENDED"), "cancelled jobs to leave")

    def stop(self):
        self.cancel_all()
        for name in [name for name in self.daemons if name != "munged"] + ["munged"]:
            if name in self.daemons:
                self._kill(name, signal.SIGTERM)
        CONFIG.unlink(missing_ok=True)

    def _spawn(self, name, command):
        with (self.folder / "log" / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                [str(part) for part in command], stdout=out, stderr=out, start_new_session=True
            )

    def _kill(self, name, number=signal.SIGKILL):
        daemon = self.daemons.pop(name)
        daemon.send_signal(number)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    # --- questions ----------------------------------------------------------------------------------------

    def ask(self, *command):
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def states(self):
        return set(self.ask("sinfo", "--noheader", "--format=%t").stdout.split())

    def jobs(self, states="all", fields="%i"):
        """Lines of squeue."""
        asked = self.ask("squeue", "--noheader", f"--states={states}", f"--format={fields}")
        return asked.stdout.splitlines()

    def submitted(self):
        """How many jobs have been submitted, the forgotten ones too."""
        told = self.ask("scontrol", "show", "config").stdout
        return int(re.search(r"NEXT_JOB_ID *= *(\d+)", told)[1])

    def node_of(self, job):
        return self.ask("squeue", "--noheader", f"--jobs={job}", "--states=all", "--format=%N").stdout.strip()

    # --- config -------------------------------------------------------------------------------------------

    def _write_config(self):
        folder = self.folder
        nodes = "\n".join(
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={PORT + 1 + i} CPUs=4 Sockets=1 "
            f"CoresPerSocket=4 ThreadsPerCore=1 RealMemory=8000 Gres=gpu:{GPUS} State=UNKNOWN"
            for i, node in enumerate(self.nodes)
        )
        for i in range(GPUS):
            os.mknod(folder / "run" / f"gpu{i}", 0o666 | 0o020000, os.makedev(1, 3))
        self.config.write_text(
            f"""\
ClusterName={NAME}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={PORT}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd.%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
JobAcctGatherType=jobacct_gather/linux
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge=900
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime={self.minutes} DefaultTime=10
PartitionName=short Nodes=ALL MaxTime=2 DefaultTime=1
PartitionName=high Nodes=ALL MaxTime=30 PriorityTier=10 PreemptMode=OFF
"""
        )
        (folder / "gres.conf").write_text(
            "".join(
                f"NodeName={node} Name=gpu File={folder}/run/gpu{i}\n"
                for node in self.nodes
                for i in range(GPUS)
            )
        )


def wait_for(condition, what, seconds=30):
    """Come back when ``condition()`` holds; an error that names ``what`` if it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)
