"""How a training job starts: in this process, in several that torchrun starts, or on several nodes.

Nothing here needs torch before it is known that there is something to train.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

from scaling import provenance
from scaling.provenance import UserError
from scaling.training import interruption, kept, locks, pack, slurm
from scaling.training.interruption import Interrupted

SHUTDOWN_SECONDS = "3600"
"""How long torchrun waits, after passing on SIGTERM, for its processes to save; then it kills them."""
MASTER = "FRONTIER_MASTER"
"""Environment variable, host:port, where the nodes of a run meet; only the job's tasks have it."""
NAMES_THE_JOB = ("SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME")
"""All that srun is told of the job: what a job or step around it has asked for would count as its options."""


def launch(arguments):
    """Train as ``arguments``, the command line of this process as a dict, say; return the exit code.

    0 for a run that has ended, :data:`interruption.EXIT_CODE` for one that was saved to go on later, another
    for a failure. With several processes, torchrun starts the same command in each, with several nodes, srun
    in each; both are recognized by their environment. A run whose results are kept is not trained again.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        interruption.end_with_parent()
        return _train(arguments)[0]
    if MASTER in os.environ:
        return _node(arguments)
    run, folder = arguments["run"], arguments["out"]
    if _trained_before(arguments):
        return 0
    together = pack.members(run)
    job = os.environ.get("SLURM_JOB_ID")
    if arguments["requeue"]:
        arguments["minutes"] = _limit(arguments["minutes"], job)
    watched = together or [{"run": run, "out": folder}]
    before = _standing(watched)
    code, asked = _pack(together, arguments) if together else _start(arguments)
    if code not in (0, interruption.EXIT_CODE) and _trained_before(arguments):
        print(f"a process ended with exit code {code} after the run had", flush=True)
        return 0
    if code == interruption.EXIT_CODE and arguments["requeue"] and job and not asked:
        if any(now > then for now, then in zip(_standing(watched), before, strict=True)):
            slurm.requeue(job)
        else:
            line = "no checkpoint was reached within the time limit: it is too short; ask for a longer one"
            print(f"Slurm job {job} is not queued again: {line}", flush=True)
    return code


def _limit(minutes, job):
    """The time limit in minutes from the begin of this process, 0 for none: ``minutes`` or Slurm's."""
    if job is None:
        print("no time limit is known and nothing is queued again: SLURM_JOB_ID is not set", flush=True)
        return minutes
    left = slurm.minutes_left(job)
    if left is None:
        return minutes
    print(f"Slurm job {job} has {left:.1f} min left", flush=True)
    # what has passed counts: a limit of no minutes would be none
    left = max(0.01, round(left - interruption.minutes_left(0), 2))
    return min(minutes, left) if minutes else left


def _standing(members):
    """How far each run has come: comparable to an earlier standing."""
    return [(kept.holds(m["out"], m["run"]), kept.reached(m["out"])) for m in members]


def _trained_before(arguments):
    """Publish the results of the run if they are kept in its folder; whether they were."""
    run, folder = arguments["run"], arguments["out"]
    if not kept.place(folder).exists():
        return False
    indexes = [arguments[name].with_suffix(".json") for name in ("train", "test")]
    text = [provenance.read_json(path)["sha256"] for path in indexes if path.exists()]
    with locks.held(folder / "training.lock"):
        if not kept.usable(folder, run, text if len(text) == 2 else None):
            return False
        kept.publish(folder)
    kept.say_log(folder)
    print(f"trained before: {run['run']}, published again from {kept.place(folder)}", flush=True)
    return True


# --- each way returns the exit code, and whether a signal had asked for an early end ----------------------


def _pack(members, arguments):
    """Train several runs at once; the code is that of this job's own run, or that of runs to go on with."""

    def command(member, minutes):
        changes = {
            "run": json.dumps(member["run"]),
            "out": member["out"],
            "gpu_percent": member["gpu_percent"],
            "minutes": minutes,
            "requeue": None,
        }
        return _command(**changes)

    codes, asked = pack.train(members, command=command, minutes=arguments["minutes"])
    own = next(code for m, code in zip(members, codes, strict=True) if pack.is_same(m, arguments["run"]))
    kept.say_log(arguments["out"])
    to_go_on = interruption.EXIT_CODE in codes and (asked or arguments["requeue"])
    return (interruption.EXIT_CODE if own == 0 and to_go_on else own), bool(asked)


def _start(arguments):
    if arguments["nodes"] > 1:
        return _srun(arguments)
    if arguments["processes"] > 1:
        return _here(arguments)
    return _train(arguments)


def _train(arguments):
    """Train in this process."""
    from scaling.training import job

    settings = {
        "device": arguments["device"],
        "threads": max(1, arguments["threads"] // arguments["processes"]),
        "micro_batch": arguments["micro_batch"],
        "parallel": arguments["parallel"],
        "compile": arguments["compile"],
        "minutes": arguments["minutes"],
        "gpu_percent": arguments["gpu_percent"],
    }
    files = {name: arguments[name] for name in ("train", "test")}
    try:
        job.train(
            arguments["run"], folder=arguments["out"], settings=settings, sets=arguments["sets"], **files
        )
    except Interrupted as line:
        if os.environ.get("RANK", "0") == "0":
            print(line, flush=True)
        return interruption.EXIT_CODE, line.asked
    return 0, False


def _here(arguments):
    """Train in several processes of this machine, which meet in a file and talk by its loopback device.

    torchrun's own way, --standalone, listens on every address of the machine. Interfaces that the
    environment names for gloo and NCCL stay those.
    """
    from scaling.training import parallel

    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="frontier.") as folder:
        os.environ |= {parallel.MEETING: f"{folder}/processes", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        for name in {"lo", "lo0"} & {name for _, name in socket.if_nameindex()}:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
        where = ["--rdzv-backend=c10d", "--rdzv-conf=store_type=file", f"--rdzv-endpoint={folder}/launcher"]
        try:
            return _torchrun(arguments, where, arguments["processes"])
        finally:  # or whatever this process starts next would look for them there
            for name in os.environ.keys() - before.keys():
                del os.environ[name]


def _torchrun(arguments, where, processes):
    """Train in ``processes`` processes of this node. ``where``: torchrun's options that say who else does."""
    import torch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    from scaling import devices

    if devices.choose(arguments["device"]) == "cuda" and processes > torch.cuda.device_count():
        seen = f"the {torch.cuda.device_count()} GPUs that torch sees here"
        found = f"found {arguments['processes']} on {arguments['nodes']} nodes, {processes} on each"
        found = found if arguments["nodes"] > 1 else f"found {processes}"
        raise UserError(f"execution.processes: {found}, expected at most {seen}")
    # torchrun passes SIGTERM on to its processes and would die of SIGUSR1
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SHUTDOWN_SECONDS)
        command = _command(minutes=_minutes(arguments))[1:]
        torchrun([*where, "--nproc-per-node", str(processes), "--", *command])
    except SignalException:
        return interruption.EXIT_CODE, True
    except ChildFailedError as failed:
        return pack.exit_code(failed.get_first_failure()[1].exitcode), False
    return 0, False


def _srun(arguments):
    """Train on several nodes of the Slurm job that this process runs in, by a task on each."""
    nodes, processes = arguments["nodes"], arguments["processes"]
    if "SLURM_JOB_ID" not in os.environ:
        raise UserError(f"execution.nodes: found {nodes}, but this is no Slurm job, which alone has several")
    if processes % nodes:
        raise UserError(f"execution.processes: found {processes}, expected a multiple of the {nodes} nodes")
    with socket.socket() as free:
        free.bind(("", 0))
        master = f"{socket.gethostname()}:{free.getsockname()[1]}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in NAMES_THE_JOB or not name.startswith(("SLURM_", "SRUN_", "SBATCH_"))
    }
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    command += [f"--cpus-per-task={max(1, arguments['threads'] // nodes)}", "--input=none"]
    # beside the step that this process may be in; ended as a whole, but only by a failure
    command += ["--overlap", "--kill-on-bad-exit=1", "--wait=0"]
    command += _command(minutes=_minutes(arguments))
    asked = []
    try:
        process = subprocess.Popen(
            command,
            env=environment | {MASTER: master},
            start_new_session=True,  # Ctrl-C of a terminal would reach it beside what is passed on
            preexec_fn=lambda: interruption.end_with_parent(signal.SIGTERM),
        )
    except FileNotFoundError:
        raise UserError(f"execution.nodes: found {nodes}, but no srun on PATH to start them") from None

    def pass_on(number, frame):
        asked.append(number)
        # of SIGTERM and SIGINT srun makes an end at once
        process.send_signal(signal.SIGUSR1)

    before = {number: signal.signal(number, pass_on) for number in interruption.SIGNALS}
    try:
        code = pack.exit_code(process.wait())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code == 0 and not kept.holds(arguments["out"], arguments["run"]):
        code = interruption.EXIT_CODE
    return code, bool(asked)


def _node(arguments):
    """The task of one node. 0 also for a run that was saved: Slurm would kill the others for another code."""
    host, _, port = os.environ[MASTER].rpartition(":")
    where = ["--nnodes", str(arguments["nodes"]), "--node-rank", os.environ["SLURM_NODEID"]]
    where += ["--master-addr", host, "--master-port", port]
    code, _ = _torchrun(arguments, where, arguments["processes"] // arguments["nodes"])
    return 0 if code == interruption.EXIT_CODE else code


def _minutes(arguments):
    """The time limit of a process that is started now."""
    minutes = arguments["minutes"]
    return max(0.01, round(interruption.minutes_left(minutes), 2)) if minutes else 0


def _command(**changes):
    """This process's command line with some options changed (see :func:`pack.changed`)."""
    return [sys.executable, *pack.changed(sys.argv, **changes)]
