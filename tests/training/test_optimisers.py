"""The optimisers: their updates are the known ones, they go on from their state, and they need no compiler."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from syncnet_lib.training import loop
from syncnet_lib.training.adamw import AdamW
from syncnet_lib.training.muon import MOMENTUM, QUINTIC, REPEATS, Muon, orthogonalised
from syncnet_lib.training.settings import TrainSettings
from tests import packed

LR, DECAY = 2e-3, 0.02


def as_published(matrix: torch.Tensor) -> torch.Tensor:
    """[Jordan24]'s own way: the polynomial repeated on the matrix itself."""
    a, b, c = QUINTIC
    x = matrix.T if len(matrix) > matrix.shape[1] else matrix
    x = x / x.norm()
    for _ in range(REPEATS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if len(matrix) > matrix.shape[1] else x


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_orthogonalised_as_published_and_whatever_the_scale(rows, columns, seed, scale):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = orthogonalised(matrix * scale)
    torch.testing.assert_close(found, as_published(matrix), rtol=0, atol=0.02)
    torch.testing.assert_close(found, orthogonalised(matrix), rtol=0, atol=0.02)


def test_singular_values_come_near_one_and_the_vectors_stay():
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(*shape))[0] for shape in ((64, 64), (200, 64)))
    found = orthogonalised(left @ torch.diag(torch.logspace(0, -1, 64)) @ right.T)
    inner = left.T @ found @ right
    assert (inner.diagonal() > 0.65).all()
    assert (inner.diagonal() < 1.25).all()
    torch.testing.assert_close(inner, torch.diag(inner.diagonal()), rtol=0, atol=1e-3)


def test_zeros_stay_zeros():
    assert not orthogonalised(torch.zeros(3, 5)).any()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(5, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 4)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def gradients(model: nn.Module, number: int) -> None:
    batch = torch.randn(6, 5, 8, 8, generator=torch.Generator().manual_seed(number))
    model(batch).square().sum().backward()


def descend(model: nn.Module, optimiser: AdamW | torch.optim.Optimizer, steps: range) -> None:
    for number in steps:
        gradients(model, number)
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


def test_a_matrix_moves_as_with_torch():
    """torch's own orthogonalises in bf16, which is good for three digits."""
    torch.manual_seed(0)
    ours = nn.Linear(60, 20, bias=False)
    theirs = nn.Linear(60, 20, bias=False)
    theirs.load_state_dict(ours.state_dict())
    begin = ours.weight.detach().clone()
    mine = Muon(ours.parameters(), LR, DECAY)
    more = 5  # than torch's
    same = {"momentum": MOMENTUM, "ns_steps": REPEATS, "adjust_lr_fn": "match_rms_adamw"}
    known = torch.optim.Muon(theirs.parameters(), LR * more, DECAY / more, **same)
    for number in range(5):
        batch = torch.randn(64, 60, generator=torch.Generator().manual_seed(number))
        for model, optimiser in ((ours, mine), (theirs, known)):
            model(batch).square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
    moved, expected = ours.weight.detach() - begin, theirs.weight.detach() - begin
    assert float((moved - expected).norm() / expected.norm()) < 0.05


def test_a_convolution_is_the_matrix_of_its_filters():
    plane, matrix = nn.Conv2d(3, 8, 2, bias=False), nn.Linear(12, 8, bias=False)
    plane.to(memory_format=torch.channels_last)
    matrix.weight.data.copy_(plane.weight.data.flatten(1))
    for model in (plane, matrix):
        optimiser = Muon(model.parameters(), LR, DECAY)
        batch = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
        model(batch if model is plane else batch.flatten(1)).square().sum().backward()
        optimiser.step()
    torch.testing.assert_close(plane.weight.flatten(1), matrix.weight)


def test_vectors_move_as_with_adamw_and_what_has_no_gradient_stays():
    ours, theirs = network(), network()
    for model in (ours, theirs):
        model[3].weight.requires_grad_(False)
        gradients(model, 0)
    Muon(ours.parameters(), LR, DECAY).step()
    AdamW(theirs.parameters(), LR, DECAY).step()
    for name, value in ours.named_parameters():
        assert torch.equal(value, theirs.get_parameter(name)) == (value.dim() == 1 or not value.requires_grad), name
    assert torch.equal(ours[3].weight, network()[3].weight)


@pytest.mark.parametrize("kind", [AdamW, Muon])
def test_goes_on_from_its_state(kind):
    whole, halves = network(), network()
    descend(whole, kind(whole.parameters(), LR, DECAY), range(8))
    first, second = (kind(halves.parameters(), LR, DECAY) for _ in range(2))
    descend(halves, first, range(4))
    second.load_state_dict(first.state_dict())
    descend(halves, second, range(4, 8))
    assert torch.equal(weights(whole), weights(halves))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, "muon"), ({"init": "small"}, "adamw"), ({"model": "v2"}, "adamw"), ({"optimiser": "adamw"}, "adamw")],
)
def test_auto_is_muon_for_small_from_random_weights(changed, expected):
    settings = loop.resolve(TrainSettings(loader="mapped", **changed), packed.split([40] * 2), torch.device("cpu"))
    assert settings.optimiser == expected


@pytest.mark.parametrize("kind", [AdamW, Muon])
def test_a_training_imports_no_compiler(kind):
    program = f"""
import sys, torch
from syncnet_lib.training import loop
from {kind.__module__} import {kind.__name__} as kind
model = torch.nn.Linear(4, 4)
optimiser = kind(model.parameters(), 1e-3, 0.0)
model(torch.ones(2, 4)).sum().backward()
torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
optimiser.step()
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
