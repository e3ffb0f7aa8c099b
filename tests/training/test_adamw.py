"""The optimiser: its updates are those of torch's own, it goes on from its state, and it needs no compiler."""

import subprocess
import sys

import torch
from torch import nn

from syncnet_lib.training.adamw import AdamW

LR, DECAY = 2e-3, 0.02


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(5, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 4)).to(memory_format=torch.channels_last)


def descend(model: nn.Module, optimiser: AdamW | torch.optim.Optimizer, steps: range) -> None:
    for number in steps:
        batch = torch.randn(6, 5, 8, 8, generator=torch.Generator().manual_seed(number))
        model(batch).square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_updates_are_those_of_torch() -> None:
    ours, theirs = network(), network()
    for model in (ours, theirs):
        model[0].bias.requires_grad_(False)
    descend(ours, AdamW(ours.parameters(), LR, DECAY), range(20))
    descend(theirs, torch.optim.AdamW(theirs.parameters(), LR, weight_decay=DECAY, fused=True), range(20))
    assert torch.equal(weights(ours), weights(theirs))
    assert torch.equal(ours[0].bias, network()[0].bias), "a parameter without a gradient was moved"


def test_goes_on_from_its_state() -> None:
    whole, halves = network(), network()
    descend(whole, AdamW(whole.parameters(), LR, DECAY), range(8))
    first, second = (AdamW(halves.parameters(), LR, DECAY) for _ in range(2))
    descend(halves, first, range(4))
    second.load_state_dict(first.state_dict())
    descend(halves, second, range(4, 8))
    assert torch.equal(weights(whole), weights(halves))


def test_a_training_imports_no_compiler() -> None:
    program = """
import sys, torch
from syncnet_lib.training import loop
from syncnet_lib.training.adamw import AdamW
model = torch.nn.Linear(4, 4)
optimiser = AdamW(model.parameters(), 1e-3, 0.0)
model(torch.ones(2, 4)).sum().backward()
torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
optimiser.step()
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
