"""One run on several processes, each with its share of every batch: data parallel, or FSDP2."""

import os
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch

from scaling import devices
from scaling.models.transformer import Transformer

MEETING = "FRONTIER_MEETING"
"""Environment variable, a path: the file by which the processes of one machine find each other."""
PATIENCE = timedelta(hours=2)
"""How long processes wait for one another: the others do while the first writes a checkpoint."""


class Group:
    """The processes that train one run together; alone unless torchrun has started several.

    ``device`` is this process's own. Every method is called by all of them, in the same order.
    """

    def __init__(self, device, rank=0, size=1):
        self.device, self.rank, self.size = torch.device(device), rank, size

    @property
    def first(self):
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def total(self, values):
        """Sums over the processes of a list of numbers, as a list."""
        if self.size == 1:
            return values
        found = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(found)
        return found.tolist()

    def gather(self, array):
        """Arrays of the same shape from all processes, in the order of their ranks, as a list."""
        if self.size == 1:
            return [array]
        mine = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        found = [torch.empty_like(mine) for _ in range(self.size)]
        torch.distributed.all_gather(found, mine)
        return [other.cpu().numpy() for other in found]

    def of_first(self, make):
        """What ``make()`` gives in the first process, any JSON, in all of them."""
        found = [make() if self.first else None]
        if self.size > 1:
            torch.distributed.broadcast_object_list(found, src=0, device=self.device)
        return found[0]

    def wait(self):
        """Go on when all processes have come here."""
        self.total([0.0])

    @torch.no_grad()
    def fill(self, tensor, values):
        """Copy ``values``, which the first process has whole on its CPU, into ``tensor``, sharded or not."""
        if is_sharded(tensor):
            from torch.distributed.tensor import distribute_tensor

            # the others give the shape alone
            values = torch.empty(tensor.shape, dtype=tensor.dtype) if values is None else values
            values = values.to(self.device)
            tensor.copy_(distribute_tensor(values, tensor.device_mesh, tensor.placements))
            return
        if self.first:
            tensor.copy_(values)
        if self.size > 1:
            sent = tensor.to(self.device)  # a count of steps may lie on the CPU of a GPU's process
            torch.distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


@contextmanager
def group(device, gpu_percent):
    """The :class:`Group` that this process belongs to, on ``cpu`` or ``cuda``; left at the end.

    ``gpu_percent``: how much of a GPU it takes, if it is alone.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK'] if size > 1 else devices.claim(gpu_percent)}"
        torch.cuda.set_device(device)
    if size == 1:
        yield Group(device)
        return
    backend = "nccl" if device.startswith("cuda") else "gloo"
    where = {}
    if MEETING in os.environ:
        where = {
            "init_method": f"file://{os.environ[MEETING]}",
            "rank": int(os.environ["RANK"]),
            "world_size": size,
        }
    torch.distributed.init_process_group(backend, timeout=PATIENCE, **where)
    try:
        yield Group(device, torch.distributed.get_rank(), size)
    finally:
        torch.distributed.destroy_process_group()


def spread(model, group, kind):
    """``model`` as the module to call in training: itself, data parallel (ddp) or sharded in place (fsdp)."""
    if kind == "ddp":
        from torch.nn.parallel import DistributedDataParallel

        ids = [group.device] if group.device.type == "cuda" else None
        # gradients in the buckets themselves: a copy of all of them less
        return DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)
    if kind == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(group.device.type, (group.size,))
        # a block that is run through several times in one pass is left to the whole model's group
        if isinstance(model, Transformer) and model.reuse == 1:
            for block in model.blocks:
                fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
    return model


def is_sharded(tensor):
    """Whether this process holds a part of ``tensor`` only."""
    return hasattr(tensor, "full_tensor")


def whole(tensor):
    """``tensor`` put together where it is sharded: all processes must ask."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor
