"""One run on several processes, each with its share of every batch: data parallel, or FSDP2."""

import os
from contextlib import contextmanager

import numpy as np
import torch

from scaling.models.transformer import Transformer


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

    def of_first(self, values):
        """The first process's list of numbers, in all of them."""
        return self.total(values if self.first else [0.0] * len(values))


@contextmanager
def group(device):
    """The :class:`Group` that this process belongs to, on ``cpu`` or ``cuda``; left at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK') or _freest()}"
        torch.cuda.set_device(device)
    if size == 1:
        yield Group(device)
        return
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Group(device, torch.distributed.get_rank(), size)
    finally:
        torch.distributed.destroy_process_group()


def _freest():
    """The GPU with most memory free: runs that share a machine spread over its GPUs."""
    return max(range(torch.cuda.device_count()), key=lambda i: torch.cuda.mem_get_info(i)[0])


def spread(model, group, kind):
    """``model`` as the module to call in training: itself, data parallel (ddp) or sharded in place (fsdp)."""
    if kind == "ddp":
        from torch.nn.parallel import DistributedDataParallel

        ids = [group.device] if group.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)
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


@torch.no_grad()
def fill(tensor, values):
    """Copy ``values``, a whole tensor that every process has, into ``tensor``, sharded or not."""
    if is_sharded(tensor):
        from torch.distributed.tensor import distribute_tensor

        values = values.to(tensor.device)
        values = distribute_tensor(values, tensor.device_mesh, tensor.placements, src_data_rank=None)
    tensor.copy_(values)
