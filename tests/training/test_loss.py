"""[Agrawal]'s formula, term by term, and the matching loss."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.training import loss


@given(st.integers(0, 2**31), st.floats(0.1, 30))
def test_contrastive_is_the_seeds_formula(seed, margin):
    rng = np.random.default_rng(seed)
    v, a = rng.normal(size=(2, 12, 6))
    y = rng.integers(0, 2, 12).astype(float)
    expected = 0.0
    for n in range(12):
        d = np.sqrt(((v[n] - a[n]) ** 2).sum())
        expected += y[n] * d**2 + (1 - y[n]) * max(margin - d, 0) ** 2
    got = loss.contrastive(torch.tensor(v), torch.tensor(a), torch.tensor(y), margin)
    assert got.item() == pytest.approx(expected / (2 * 12), rel=1e-6)


def test_gradient_is_finite_where_both_sides_meet():
    v = torch.zeros(3, 4, requires_grad=True)
    loss.contrastive(v, torch.zeros(3, 4), torch.tensor([0.0, 1.0, 0.0]), 20.0).backward()
    assert torch.isfinite(v.grad).all()


def test_matching_is_least_where_each_window_has_its_sound():
    torch.manual_seed(0)
    audio = torch.nn.functional.normalize(torch.randn(2 * 10, 8), dim=1)
    target = torch.tensor([0, 3, 7, 2, 2, 9])
    video = torch.cat([audio[:10][target[:3]], audio[10:][target[3:]]])
    mask = torch.ones(2, 10, dtype=torch.bool)
    right = loss.matching(video, audio, target, mask, torch.tensor(4.0))
    wrong = loss.matching(video, audio, (target + 1) % 10, mask, torch.tensor(4.0))
    assert right < 0.3 < 2 < wrong


def test_padding_never_counts():
    torch.manual_seed(0)
    video, audio = torch.randn(4, 8), torch.randn(2 * 5, 8)
    target = torch.tensor([0, 1, 2, 0])
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    before = loss.matching(video, audio, target, mask, torch.tensor(0.0))
    audio[8:] = 100.0
    assert torch.equal(before, loss.matching(video, audio, target, mask, torch.tensor(0.0)))
