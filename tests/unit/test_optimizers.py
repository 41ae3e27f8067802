"""The optimizers against torch's own classes, and their state as tensors."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scaling.training import optimizers

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
RUN = {"optimizer": "adam", "learning_rate": 0.1, "betas": [0.9, 0.99], "epsilon": 1e-8, "weight_decay": 0.1}


def network():
    torch.manual_seed(0)
    return torch.nn.Linear(6, 4)


def walk(model, optimizer, steps, first=0):
    for step in range(first, first + steps):
        (model(torch.eye(6)) - torch.arange(4.0)).pow(4).sum().backward()
        optimizers.set_rate(optimizer, 0.1 / (step + 1))
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("adam", lambda groups: torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-8)),
        ("adamw", lambda groups: torch.optim.AdamW(groups, betas=(0.9, 0.99), eps=1e-8)),
        ("adafactor", torch.optim.Adafactor),
    ],
)
def test_updates_are_those_of_torchs_class(name, theirs):
    mine, reference = network(), network()
    walk(mine, optimizers.make(RUN | {"optimizer": name}, mine), 20)
    groups = [
        {"params": [reference.weight], "weight_decay": 0.1},
        {"params": [reference.bias], "weight_decay": 0.0},
    ]
    walk(reference, theirs(groups), 20)
    assert not torch.equal(mine.weight, network().weight)
    torch.testing.assert_close(mine.weight, reference.weight)
    torch.testing.assert_close(mine.bias, reference.bias)


@pytest.mark.parametrize("name", ["adam", "adamw", "adafactor"])
def test_a_restored_state_goes_on_to_the_last_bit(name):
    run = RUN | {"optimizer": name}
    whole, half = network(), network()
    walk(whole, optimizers.make(run, whole), 10)
    before = optimizers.make(run, half)
    walk(half, before, 5)
    again = network()
    after = optimizers.make(run, again)
    optimizers.prepare(after)
    again.load_state_dict(half.state_dict())
    mine, saved = optimizers.tensors(after), optimizers.tensors(before)
    assert mine.keys() == saved.keys()
    for key, tensor in mine.items():
        tensor.copy_(saved[key])
    walk(again, after, 5, first=5)
    assert torch.equal(again.weight, whole.weight)
    assert torch.equal(again.bias, whole.bias)


def test_no_second_is_spent_on_importing_the_compiler():
    code = """
import sys, torch
from scaling.training import optimizers
model = torch.nn.Linear(2, 2)
run = {"optimizer": "adam", "learning_rate": 0.1, "betas": [0.9, 0.9], "epsilon": 1e-8, "weight_decay": 0.0}
optimizer = optimizers.make(run, model)
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad()
print('torch._dynamo' in sys.modules)"""
    found = subprocess.check_output([sys.executable, "-c", code], cwd=SCRIPTS, text=True)
    assert found == "False\n"
