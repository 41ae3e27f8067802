"""How a run is executed. Each choice says why.

Nothing here changes what a run learns, but for rounding and, with dropout, for other masks.
"""

import shutil
from dataclasses import dataclass

from scaling import durations, memory, trunks
from scaling.provenance import UserError

COMPILE_SECONDS = 90.0
"""What torch.compile takes, about, before a first step on a GPU."""
COMPILE_SAVES = 0.4
"""Share of an eager step on a GPU that compiling is taken to save: launches that CUDA graphs replay, passes
over memory that fused kernels spare."""


@dataclass(frozen=True)
class Plan:
    """``micro_batch`` sequences at a time in each process; ``parallel`` is none, ddp or fsdp."""

    micro_batch: int
    recompute: bool
    compile: bool
    parallel: str
    reasons: tuple = ()


def make(run, *, device, processes, memory_bytes=None, settings):
    """The plan of ``run`` on ``device`` (cpu or cuda) with so many processes.

    ``memory_bytes``: what this run may use of each GPU. ``settings`` hold the user's own choice of
    ``micro_batch``, ``compile`` and ``parallel``, or ``auto``. Raises UserError where the batch cannot be
    split among the processes or among micro-batches.
    """
    sequences = run["B"] // run["n_ctx"]
    if sequences % processes:
        raise UserError(
            f"{run['run']}: {sequences} sequences a step cannot be split evenly among {processes} processes; "
            "choose a number that divides them"
        )
    local = sequences // processes
    parallel, why_parallel = _parallel(run, processes, memory_bytes, settings["parallel"])
    available = _left(run, device, processes, memory_bytes, parallel)
    micro, recompute, why_micro = _micro_batch(run, local, device, available, settings)
    compiled, why_compile = _compile(run, device, settings["compile"], processes, local // micro)
    if compiled and run["noise_steps"] and micro == local > 1:
        # the noise needs two batch sizes, the compiler wants one shape
        micro = _divisor(micro, micro // 2)
        why_micro += ", halved so that compiled steps can measure the gradient noise"
    plural = "es" if local > micro else ""
    why_micro = f"{local // micro} micro-batch{plural} of {micro} sequences: {why_micro}"
    return Plan(micro, recompute, compiled, parallel, (why_parallel, why_micro, why_compile))


def _parallel(run, processes, memory_bytes, wanted):
    if processes == 1:
        return "none", "one process"
    if wanted != "auto":
        return wanted, f"{processes} processes, {wanted}, as the config says"
    state = memory.state_bytes(run)
    if memory_bytes and state > memory.STATE_SHARE * memory_bytes:
        return "fsdp", f"{processes} processes, fsdp: a state of {_gib(state)} does not fit one GPU"
    return "ddp", f"{processes} processes, ddp: a state of {_gib(state)} fits each"


def _left(run, device, processes, memory_bytes, parallel):
    if device == "cpu":
        return memory.CPU_ACTIVATIONS
    state = memory.state_bytes(run) / (processes if parallel == "fsdp" else 1)
    return memory.GPU_SHARE * memory_bytes - state - memory.head_bytes(run)


def _micro_batch(run, local, device, available, settings):
    each, lean = (memory.activation_bytes(run, recompute=again) for again in (False, True))
    recompute = run["architecture"] != "lstm" and each > available
    if settings["micro_batch"] != "auto":
        micro, why = int(settings["micro_batch"]), "as the config says"
        if local % micro:
            raise UserError(
                f"execution.micro_batch: found {micro}, expected a divisor of the {local} sequences that "
                f"each process has of a step of {run['run']}"
            )
    else:
        micro = _divisor(local, max(1, int(available // (lean if recompute else each))))
        why = f"{_gib(max(0, available))} of {device} memory for activations, {_gib(each)} a sequence"
    return micro, recompute, why + ("; activations recomputed in the backward pass" if recompute else "")


def _divisor(number, most):
    return max(d for d in range(1, max(1, most) + 1) if number % d == 0) if most < number else number


def _compile(run, device, wanted, processes, parts):
    if wanted != "auto":
        return wanted == "True", f"{'' if wanted == 'True' else 'not '}compiled, as the config says"
    if device == "cpu":
        return False, "not compiled: on a CPU that gains less than it costs (docs/performance.md)"
    if run["architecture"] == "lstm":
        return False, "not compiled: a GPU's LSTM is one kernel as it is"
    steps = trunks.steps_to_train(run)
    seconds = steps * durations.gpu_step(run, durations.GPU_FLOPS, processes, parts)
    saved = COMPILE_SAVES * seconds
    yes = saved > COMPILE_SECONDS
    if yes and not (shutil.which("cc") or shutil.which("gcc")):
        return False, "not compiled: that would pay, but there is no C compiler; install gcc"
    verdict = "compiled" if yes else "not compiled"
    return yes, (
        f"{verdict}: {steps} steps would take about {seconds:.0f} s without, of which compiling saves "
        f"about {saved:.0f} s and costs about {COMPILE_SECONDS:.0f} s"
    )


def _gib(size):
    return f"{size / 2**30:.2g} GiB"
