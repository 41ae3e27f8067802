"""The optimizers: torch's own."""

import inspect

import torch

from scaling.training import parallel


def _without_compiler(optimizer):
    """``optimizer`` with the methods that torch wraps for its compiler unwrapped.

    The wrappers import that compiler at their first call, which takes a second of every job.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    plain = {name: inspect.unwrap(getattr(optimizer, name)) for name in names}
    plain["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), plain)


Adam = _without_compiler(torch.optim.Adam)
AdamW = _without_compiler(torch.optim.AdamW)
Adafactor = _without_compiler(torch.optim.Adafactor)


class ShardedAdafactor(Adafactor):
    """Adafactor over sharded weights: torch's own, for one whole weight after the other.

    torch's cannot take means over rows and columns that lie on several processes. The factored state is
    small, so that each of them has it whole.
    """

    @torch.no_grad()
    def step(self):
        from torch.distributed.tensor import distribute_tensor

        for group in self.param_groups:
            for p in group["params"]:
                weight = torch.nn.Parameter(parallel.whole(p))
                weight.grad = parallel.whole(p.grad)
                alone = Adafactor([weight], lr=group["lr"], weight_decay=group["weight_decay"])
                alone.state[weight] = self.state[p]
                alone.step()
                self.state[p] = alone.state[weight]
                # each process has the whole weight: it takes its own part, nothing is sent
                mine = distribute_tensor(weight.detach(), p.device_mesh, p.placements, src_data_rank=None)
                p.copy_(mine)


def make(run, model):
    """The optimizer that ``run`` names over the parameters of ``model``; its rate is set before each step.

    ``weight_decay`` acts on matrices alone, not on biases and norms. Adafactor reads the learning rate as
    relative to the root mean square of each weight, at most 1/√step (Shazeer & Stern 2018).
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": run["weight_decay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    if run["optimizer"] == "adafactor":
        kind = ShardedAdafactor if any(map(parallel.is_sharded, model.parameters())) else Adafactor
        return kind(groups, lr=run["learning_rate"])
    kind = {"adam": Adam, "adamw": AdamW}[run["optimizer"]]
    return kind(groups, lr=run["learning_rate"], betas=tuple(run["betas"]), eps=run["epsilon"], fused=True)


def set_rate(optimizer, rate):
    """Let the next step of ``optimizer`` use the learning rate ``rate``."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def tensors(optimizer):
    """State of ``optimizer`` as a flat dict of tensors, named by parameter and quantity."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        f"{i}/{name}": value for i, p in enumerate(parameters) for name, value in optimizer.state[p].items()
    }


def prepare(optimizer):
    """Let ``optimizer`` make its state, all zeros, by a step that moves nothing."""
    set_rate(optimizer, 0.0)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.zeros_like(p)
    optimizer.step()
    optimizer.zero_grad()
