"""The training engine beside transformers' GPT-2 in a plain loop: the same shapes, tokens and precision.

Each contender is a process of its own. All are kept alive and asked in turn, so that one works at a time
and what else the machine does meets them alike.
"""

import contextlib
import importlib.util
import math
import multiprocessing
import os
import shutil
import statistics
import time

import numpy as np
import torch

from scaling import counts, devices, grid, provenance
from scaling.provenance import UserError
from scaling.training import loop, parallel, plan

CYCLE = 16
"""Steps that are timed together: ours measures the gradient noise in one of them, 6 % of its steps as in the
default study, and on a GPU reads its losses once."""
ROUNDS = 5
BURST = 0.7
"""Seconds of a burst, or one cycle where that takes longer."""
TOKENS = 2**20
STEPS = 10**4 * CYCLE
"""Steps of the run that is begun, more than any measurement does: nothing but noise comes due on the way."""
MATRIX = 8192
"""Side of the matrices whose product gives a GPU's bf16 peak."""
GPU_SHARE = 0.4
"""Share of the GPU's memory that ours plans with, since the contenders share it."""
RECIPE = {
    "architecture": "transformer", "dropout": 0.0, "tied": True, "D": TOKENS, "S": STEPS, "optimizer": "adam",
    "clip": 1.0, "test_points": 1, "noise_steps": STEPS // CYCLE, "patience": 0, "snapshots": 1,
}  # fmt: skip
CPU = {"n_vocab": 512, "n_ctx": 128, "precision": "fp32", "sequences": 16}
CPU_SHAPES = (
    {"n_layer": 2, "d_model": 16, "n_head": 2},
    {"n_layer": 2, "d_model": 32, "n_head": 2},
    {"n_layer": 3, "d_model": 64, "n_head": 4},
    {"n_layer": 4, "d_model": 128, "n_head": 8},
    {"n_layer": 4, "d_model": 256, "n_head": 16},
)
GPU = {"n_vocab": 50257, "n_ctx": 1024, "precision": "bf16", "sequences": 16}
GPU_SHAPES = (
    {"n_layer": 8, "d_model": 256, "n_head": 4},
    {"n_layer": 8, "d_model": 512, "n_head": 8},
    {"n_layer": 16, "d_model": 1024, "n_head": 16},
    {"n_layer": 16, "d_model": 2048, "n_head": 32},
)


# --- what is compared -----------------------------------------------------------------------------------


def describe_run(root, shape, common):
    """A run as a study would describe it: of this shape, by the recipe of config.yaml at ``root``."""
    config = grid.default(root)
    config["corpus"]["lock"] = str(root / config["corpus"]["lock"])
    config["tokenizer"] = {"n_vocab": common["n_vocab"]}
    B = common["sequences"] * common["n_ctx"]
    config["run"] |= RECIPE | {"n_ctx": common["n_ctx"], "precision": common["precision"], "B": B}
    config |= {"experiments": ["bench"], "grid": {"bench": {"shape": [shape]}}}
    (run,) = grid.expand(grid.check(config)).values()
    return run


def token_ids(n_vocab):
    """TOKENS ids drawn independently, the k-th most frequent in proportion to 1/k (Zipf's law), uint16."""
    frequencies = 1 / np.arange(1, n_vocab + 1)
    drawn = np.random.default_rng(0).choice(n_vocab, TOKENS, p=frequencies / frequencies.sum())
    return drawn.astype(np.uint16)


class Ours:
    """This engine: a run under way, set up as a training job sets it up; on a GPU, compiled."""

    def __init__(self, run, ids, device, compiled="auto"):
        devices.settle(1)
        memory = None
        if device == "cuda":
            compiled = "True"
            memory = int(GPU_SHARE * torch.cuda.get_device_properties(device).total_memory)
        settings = {"micro_batch": "auto", "parallel": "auto", "compile": compiled}
        how = plan.make(run, device=device, processes=1, memory_bytes=memory, settings=settings)
        group = parallel.Group(device)
        self.training = loop.Training(run, ids, ids, how, group, lambda *_: None)
        self.work = run["B"]

    def step(self):
        self.training.step()
        if self.training.over:
            raise UserError(f"the run has {self.training.status} after {self.training.done} steps")


class Compiled(Ours):
    """This engine with torch.compile on a CPU too, where its plan never chooses that."""

    def __init__(self, run, ids, device):
        super().__init__(run, ids, device, compiled="True")


class Theirs:
    """transformers' GPT-2 as it comes, without dropout, in a plain loop with a fused optimizer.

    Its loss leaves out the first token of each window: it predicts one in n_ctx fewer than ours.
    """

    def __init__(self, run, ids, device):
        from transformers import GPT2Config, GPT2LMHeadModel, logging

        logging.set_verbosity_error()
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.manual_seed(run["seed"])
        config = GPT2Config(
            vocab_size=run["n_vocab"], n_positions=run["n_ctx"], n_embd=run["d_model"],
            n_layer=run["n_layer"], n_head=run["n_head"], n_inner=run["d_ff"],
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        )  # fmt: skip
        model = GPT2LMHeadModel(config).to(device).train()
        self.parameters = list(model.parameters())
        self.model = torch.compile(model) if device == "cuda" else model
        self.optimizer = torch.optim.AdamW(self.parameters, lr=run["learning_rate"], fused=True)
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=run["precision"] == "bf16")
        self.ids = torch.from_numpy(ids.astype(np.int64)).to(device)
        self.sequences, self.n_ctx, self.device = run["B"] // run["n_ctx"], run["n_ctx"], device
        self.work = run["B"]

    def step(self):
        starts = torch.randint(len(self.ids) - self.n_ctx, (self.sequences, 1), device=self.device)
        batch = self.ids[starts + torch.arange(self.n_ctx, device=self.device)]
        with self.autocast:
            loss = self.model(input_ids=batch, labels=batch).loss
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return loss.item()


class Peak:
    """A GPU's matrix product in bf16; its work is counted in FLOPs."""

    work = 2 * MATRIX**3

    def __init__(self, run, ids, device):
        self.a, self.b = (torch.randn(MATRIX, MATRIX, device=device, dtype=torch.bfloat16) for _ in range(2))

    def step(self):
        torch.mm(self.a, self.b)


CONTENDERS = {"ours": Ours, "compiled": Compiled, "theirs": Theirs, "peak": Peak}


# --- measuring ------------------------------------------------------------------------------------------


def _cycle(contender, device):
    began = time.perf_counter()
    for _ in range(CYCLE):
        contender.step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _serve(pipe, name, run, device, cache):
    """A contender's process: start at the first request, then do a burst for each; answer in seconds."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    try:
        ids = token_ids(run["n_vocab"])
        pipe.recv()
        began = time.perf_counter()
        contender = CONTENDERS[name](run, ids, device)
        _cycle(contender, device)
        pipe.send({"seconds": time.perf_counter() - began, "work": contender.work})
        while seconds := pipe.recv():
            times, end = [], time.perf_counter() + seconds
            while not times or time.perf_counter() < end:
                times.append(_cycle(contender, device))
            pipe.send({"seconds": statistics.median(times) / CYCLE})
    except Exception as error:
        line = (str(error).strip() or "no reason given").splitlines()[0]
        pipe.send({"error": f"{type(error).__name__}: {line}"})


class Process:
    """A contender in a process of its own, which works only while it is asked."""

    def __init__(self, name, run, device, scratch):
        self.what = f"{name} at d_model {run['d_model']} on {device}"
        # compiled code of an earlier start would make this one look quicker than it is
        cache = str(scratch / f"{device}-{run['d_model']}-{name}")
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, name, run, device, cache), daemon=True)
        self.process.start()
        other.close()

    def ask(self, seconds):
        """Start, at the first call; then work for so many seconds: the answer of the process, a dict.

        Raises UserError where it fails.
        """
        try:
            self.pipe.send(seconds)
            answer = self.pipe.recv()
        except (EOFError, OSError):
            answer = {"error": "its process ended; too little memory is the likeliest reason"}
        if "error" in answer:
            raise UserError(f"bench: {self.what}: {answer['error']}")
        return answer

    def close(self):
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.process.join(10)
        self.process.kill()


def compete(names, run, device, scratch, *, rounds=ROUNDS, burst=BURST):
    """Let contenders train ``run`` in turn; return what each did, a dict from name to dict.

    ``rates``: tokens per second (FLOP/s of ``peak``) by round, of a burst's median cycle. ``start_seconds``:
    from building the model to the end of the first cycle, less what a cycle takes later.
    """
    with contextlib.ExitStack() as stack:
        processes = {}
        for name in names:
            processes[name] = Process(name, run, device, scratch)
            stack.callback(processes[name].close)
        started = {name: process.ask(burst) for name, process in processes.items()}
        seconds = {name: [] for name in names}
        for _ in range(rounds):
            for name, process in processes.items():
                seconds[name].append(process.ask(burst)["seconds"])
    return {
        name: {
            "rates": [started[name]["work"] / s for s in seconds[name]],
            "start_seconds": started[name]["seconds"] - CYCLE * statistics.median(seconds[name]),
        }
        for name in names
    }


# --- figures --------------------------------------------------------------------------------------------


def compared(found, over, under):
    """Ratio of the median rates of two contenders, and the smallest and largest ratio of a round."""
    of_rounds = [a / b for a, b in zip(found[over]["rates"], found[under]["rates"], strict=True)]
    medians = [statistics.median(found[name]["rates"]) for name in (over, under)]
    return {"ratio": medians[0] / medians[1], "range": [min(of_rounds), max(of_rounds)]}


def figures_of(run, found):
    """The figures of one shape from what :func:`compete` returns."""
    figures = {name: run[name] for name in ("n_layer", "d_model", "n_head", "N")}
    figures |= {name: {"rate": statistics.median(of["rates"]), **of} for name, of in found.items()}
    figures["ours_to_theirs"] = compared(found, "ours", "theirs")
    if "compiled" in found:
        figures["compiled_to_ours"] = compared(found, "compiled", "ours")
    if "peak" in found:
        flops = figures["ours"]["rate"] * counts.flops_per_token(**run)["attention"]
        figures["share_of_peak"] = flops / figures["peak"]["rate"]
    return figures


def summary(shapes):
    """What the ratios of several shapes come to."""
    ratios = [shape["ours_to_theirs"]["ratio"] for shape in shapes]
    return {"geometric_mean": math.exp(statistics.fmean(map(math.log, ratios))), "smallest": min(ratios)}


def _part(root, scratch, device, names, common, shapes):
    found = []
    for shape in shapes:
        print(f"measuring d_model {shape['d_model']} on {device}", flush=True)
        run = describe_run(root, shape, common)
        found.append(figures_of(run, compete(names, run, device, scratch)))
    at = torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread"
    return {"device": at, "rounds": ROUNDS, **common, "shapes": found, **summary(found)}


def measure(root, scratch):
    """Figures of the engine of the checkout at ``root`` as a dict; ``gpu`` is None where torch sees none.

    On the CPU each contender has one thread, and this engine takes part a second time, compiled, where there
    is a C++ compiler. On a GPU all are compiled. Raises UserError where transformers is missing or a
    contender fails.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError("bench: found no transformers to compare with; `make bench` installs it")
    on_cpu = ["ours", "theirs", *(["compiled"] if shutil.which("g++") else [])]
    on_gpu = ["ours", "theirs", "peak"]
    return {
        "versions": provenance.versions("torch", "transformers", "numpy"),
        "cpu": _part(root, scratch, "cpu", on_cpu, CPU, CPU_SHAPES),
        "gpu": _part(root, scratch, "cuda", on_gpu, GPU, GPU_SHAPES) if torch.cuda.is_available() else None,
    }


def describe(figures):
    """The figures of :func:`measure` as tables for the terminal."""
    lines = _table(figures["cpu"])
    if "compiled" not in figures["cpu"]["shapes"][0]:
        lines.append("the engine compiled: not measured, there is no g++ here")
    lines += _table(figures["gpu"]) if figures["gpu"] else ["GPU: not measured, torch sees none here"]
    return "\n".join(lines)


def _table(part):
    lines = [
        f"{part['device']}, {part['precision']}, n_vocab {part['n_vocab']}, n_ctx {part['n_ctx']},"
        f" {part['sequences']} sequences a step: tokens per second of this engine and transformers' GPT-2,",
        f"medians of {part['rounds']} rounds, and their ratio, in brackets its range over the rounds",
        f"{'d_model':>7} {'n_layer':>7} {'engine':>9} {'GPT-2':>9} {'ratio':>6}",
    ]
    for shape in part["shapes"]:
        ratio, (low, high) = (shape["ours_to_theirs"][name] for name in ("ratio", "range"))
        line = f"{shape['d_model']:>7} {shape['n_layer']:>7} {shape['ours']['rate']:>9,.0f}"
        line += f" {shape['theirs']['rate']:>9,.0f} {ratio:>6.2f} ({low:.2f} to {high:.2f})"
        if "compiled" in shape:
            line += f"; compiled {shape['compiled_to_ours']['ratio']:.2f} times the engine's rate, after"
            line += f" {shape['compiled']['start_seconds']:.0f} s"
        if "share_of_peak" in shape:
            line += f"; {shape['share_of_peak']:.1%} of {shape['peak']['rate'] / 1e12:.0f} TFLOP/s"
        lines.append(line)
    return [
        *lines,
        f"geometric mean of the ratios {part['geometric_mean']:.2f}, smallest {part['smallest']:.2f}",
    ]
