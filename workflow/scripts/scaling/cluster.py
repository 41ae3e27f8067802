"""What runs ask of a Slurm cluster, and which of them travel in one of its jobs.

Everything follows from the run and from ``site``, that part of the config: no torch, no question to Slurm.
"""

import math
from dataclasses import dataclass

from scaling import durations, gpus, memory, trunks

MARGIN = 2.0
"""A job asks for this many times the time that its run is expected to take."""
START_SECONDS = 60.0
"""What a job takes before its first step: Snakemake, twice, torch, and reading the tokens."""
EVALUATE_MINUTES = 5
"""Time limit in minutes of a run's evaluation, at its first attempt."""
PACK_MINUTES = 60
"""A pack takes no further layer of runs where it would be expected to last longer than this."""
PACK_SECONDS_EACH = 4.0
"""What a member costs a pack when all have trained: Snakemake takes them in one after another."""
PACK_RUNS = 40
"""Most runs in a pack."""
CORES_PER_PACK = 8
"""Runs at once in a pack on CPUs, where a node has as many cores."""
CORES_PER_GPU = 2
"""Most cores that a run which fills its GPUs asks for beside each: for its process, and for communication."""
DATA_MINUTES, DATA_MB = 60, 4000
"""What a job that does not train asks for at most, at its first attempt."""
PROCESS_MB = {"gpu": 3072, "cpu": 1024}
"""Host memory of a process that trains, beside its weights: torch, CUDA, libraries, activations on a CPU."""
RETRIES = 3
"""Attempts after the first, as in slurm/profile.yaml."""


@dataclass(frozen=True)
class Request:
    """What a run asks for: ``processes`` of one GPU (or core) each, spread evenly over ``nodes``.

    ``share``: percentage of its device that it fills; 100 for all of it. ``seconds`` it is expected to take
    once it has begun, all processes together. ``cores`` and ``memory_mb`` are those of each node. ``trunk``
    is the run that has to be trained before it, if there is one. ``lacking`` says why it cannot be trained
    there, in words; empty if it can.
    """

    processes: int
    nodes: int
    share: int
    seconds: float
    cores: int
    memory_mb: int
    lacking: str = ""
    trunk: str = ""

    @property
    def packed(self):
        """Whether it travels with others."""
        return self.share < 100


def on_gpus(site, execution):
    """Whether runs train on GPUs there."""
    return site["gpus_per_node"] > 0 and execution["device"] != "cpu"


def request(run, site, execution):
    """The :class:`Request` of ``run``.

    ``site`` and ``execution``: those parts of the config. With ``execution.processes: auto`` a run takes the
    fewest devices on which it fits and ends within ``site.hours``, or, if there are none, the most there are.
    """
    per_node = site["gpus_per_node"] if on_gpus(site, execution) else site["cpus_per_node"]
    sequences = run["B"] // run["n_ctx"]
    if execution["processes"] == "auto":
        counts = [n for n in _counts(per_node, site["nodes"]) if sequences % n == 0]
    else:
        counts = [execution["processes"]]
    found = [(n, _lacking(run, n, per_node, site, execution)) for n in counts]
    able = [n for n, lacking in found if not lacking]
    limit = site["hours"] * 3600 / MARGIN
    processes = next(
        (n for n in able if _seconds(run, n, site, execution) <= limit), able[-1] if able else counts[-1]
    )
    nodes = math.ceil(processes / per_node)
    on_node = math.ceil(processes / nodes)
    share = _share(run, processes, site, execution)
    return Request(
        processes,
        nodes,
        share,
        _seconds(run, processes, site, execution),
        _cores(on_node, share, site, execution),
        _memory_mb(run, on_node, site, execution),
        dict(found)[processes],
        run.get("trunk", ""),
    )


def minutes(asked, site, attempt=1):
    """Time limit in minutes of the training of a run's :class:`Request`: it grows with each attempt.

    A run that needs longer than the site allows saves in time, is put into the queue again and goes on.
    """
    # the last attempt's evaluation is the longest: with this attempt's the limit would fall as it grows
    most = int(60 * site["hours"]) - evaluate_minutes(site, RETRIES + 1)
    return max(1, min(most, attempt * _base_minutes(asked.seconds)))


def evaluate_minutes(site, attempt=1):
    """Time limit in minutes of the evaluation behind it, most of which was done while the run trained."""
    return max(1, min(attempt * EVALUATE_MINUTES, int(60 * site["hours"] / 4)))


def memory_mb(asked, site, attempt=1):
    """Memory in MB that each node of a run's job is asked for: it grows with each attempt.

    Up to what the node has, which those that train at once in a pack share.
    """
    at_once = 100 // asked.share
    return max(asked.memory_mb, min(int(1000 * site["memory_gb"] / at_once), attempt * asked.memory_mb))


def packs(requests, site):
    """Which runs travel in one job, as a list of lists of their names.

    ``requests``: a dict from names to :class:`Request`; those that fill their device are left out. Runs of
    one share and of similar length come together, in layers that fill one device at once: with one share,
    Snakemake, which sums what a job asks for by an order of its own, finds the same layers. Those that wait
    for a trunk are not in its pack, all of which is trained at once: packs of trunks come first.
    """
    small = {name: asked for name, asked in requests.items() if asked.packed}
    awaited = {asked.trunk for asked in small.values()}
    found = []
    for part in ([name for name in small if (name in awaited) == first] for first in (True, False)):
        begun = len(found)
        for name in sorted(part, key=lambda name: (small[name].share, -small[name].seconds, name)):
            if len(found) == begun or not _room(found[-1], small, small[name], site):
                found.append([])
            found[-1].append(name)
    return found


def pack_seconds(members):
    """Seconds that a pack of ``members``, their :class:`Request` s, is expected to take once it has begun."""
    longest = sorted((asked.seconds for asked in members), reverse=True)
    return sum(longest[:: 100 // members[0].share]) + PACK_SECONDS_EACH * len(members)


def _room(names, requests, asked, site):
    """Whether a pack of ``names`` has room for a run that asks for as much and is no longer than its runs."""
    at_once = 100 // asked.share
    if requests[names[0]].share != asked.share or len(names) == PACK_RUNS:
        return False
    if len(names) % at_once:
        return True
    layers = [requests[name] for name in names[::at_once]] + [asked]
    last = RETRIES + 1
    evaluate = evaluate_minutes(site, last)
    # members may be trained already: their evaluations come beside the others' training, before the others'
    whole = sum(max(minutes(each, site, last), evaluate) + evaluate for each in layers)
    expected = sum(_base_minutes(each.seconds) for each in layers)
    return expected <= PACK_MINUTES and whole <= 60 * site["hours"]


def _counts(per_node, nodes):
    """Numbers of devices that a run may take, ascending: powers of two of one node, then whole nodes."""
    of_one = [2**i for i in range(per_node.bit_length()) if 2**i < per_node]
    return [*of_one, *(per_node * n for n in range(1, nodes + 1))]


def _lacking(run, processes, per_node, site, execution):
    sequences = run["B"] // run["n_ctx"]
    if sequences % processes:
        return f"its {sequences} sequences a step cannot be split among {processes} processes"
    if processes > per_node and processes % per_node:
        return f"{processes} processes are not whole nodes of {per_node}"
    if processes > per_node * site["nodes"]:
        return f"{processes} processes are more than {site['nodes']} × {per_node} that a run may take"
    if execution["device"] == "cuda" and not on_gpus(site, execution):
        return "execution.device is cuda, but site.gpus_per_node is 0"
    if on_gpus(site, execution):
        size = site["gpu_memory_gb"] * 1e9
        if not memory.fits(run, size, processes=processes, parallel=execution["parallel"]):
            return f"it does not fit {processes} × {site['gpu_memory_gb']:g} GB of GPU memory"
    wanted = _memory_mb(run, math.ceil(processes / math.ceil(processes / per_node)), site, execution)
    if wanted > 1000 * site["memory_gb"]:
        return f"it needs {wanted / 1000:.0f} GB of memory on nodes of {site['memory_gb']:g} GB"
    return ""


def _share(run, processes, site, execution):
    if processes > 1:
        return 100
    at_once = math.floor(1000 * site["memory_gb"] / _memory_mb(run, 1, site, execution))
    if not on_gpus(site, execution):
        return _among(min(CORES_PER_PACK, site["cpus_per_node"], at_once))
    share = max(gpus.share(run["N"]), _among(min(_cores_per_gpu(site), at_once)))
    size, parallel = site["gpu_memory_gb"] * 1e9, execution["parallel"]
    # training plans with its share of the GPU's memory
    at_once = 100 // share
    while at_once > 1 and not memory.fits(run, size * share / 100, parallel=parallel):
        at_once -= 1
        share = _among(at_once)
    return share


def _among(number):
    """Percentage that each of ``number`` has of a device; of up to ten no more than so many have room."""
    return 100 // max(1, min(10, number))


def _seconds(run, processes, site, execution):
    steps = trunks.steps_to_train(run)
    if on_gpus(site, execution):
        share = _share(run, processes, site, execution) / 100
        flops = {precision: share * rate for precision, rate in site["gpu_flops"].items()}
        return START_SECONDS + steps * durations.gpu_step(run, flops, processes)
    return START_SECONDS + steps * durations.cpu_step(run, site["cpu_flops"], processes)


def _cores(on_node, share, site, execution):
    if not on_gpus(site, execution) or share < 100:
        return on_node
    return min(site["cpus_per_node"], on_node * min(CORES_PER_GPU, max(1, _cores_per_gpu(site))))


def _cores_per_gpu(site):
    return site["cpus_per_node"] // site["gpus_per_node"]


def _memory_mb(run, on_node, site, execution):
    each = PROCESS_MB["gpu" if on_gpus(site, execution) else "cpu"]
    # a checkpoint is put together in the memory of the first process; on a CPU training itself is there too
    copies = 1 if on_gpus(site, execution) else 1 + on_node
    return math.ceil(on_node * each + copies * memory.state_bytes(run) / 1e6)


def _base_minutes(seconds):
    return math.ceil(MARGIN * seconds / 60)
