"""PhaseTimer against clocks that are known."""

import time

import pandas as pd
import pytest
import torch

from syncnet_lib.training import timing
from syncnet_lib.training.timing import PHASES, PhaseTimer


def test_phases_are_what_they_took():
    timer = PhaseTimer(torch.device("cpu"))
    for epoch in (1, 2):
        for step in range(2):
            timer.at(epoch, step)
            with timer.phase("data"):
                time.sleep(0.02)
            with timer.phase("forward"):
                time.sleep(0.01)
    table = timer.table()
    assert list(table.columns) == ["epoch", "step", *PHASES, "total"]
    assert len(table) == 4
    assert (table.data >= 20).all()
    assert (table.forward >= 10).all()
    assert (table.loss == 0).all()
    assert table.total.tolist() == pytest.approx((table.data + table.forward).tolist())


def test_an_interrupted_phase_is_not_counted():
    timer = PhaseTimer(torch.device("cpu"))
    with pytest.raises(RuntimeError), timer.phase("data"):
        raise RuntimeError
    with timer.phase("forward"):
        pass
    assert timer.table().data.tolist() == [0.0]


def test_the_seeds_stall_is_seen():
    """Its own figures: 15 steps an epoch, 21 s in the first, 0.21 s in the others."""
    rows = [
        {"epoch": epoch, "step": step, **dict.fromkeys(PHASES, 35.0), "data": 21_000.0 if step == 0 else 35.0}
        for epoch in (1, 2)
        for step in range(15)
    ]
    table = pd.DataFrame(rows)
    table["total"] = table[list(PHASES)].sum(axis=1)
    figures = timing.summarise(table, 1024)
    assert figures["median_step_ms"] == 210
    assert 0.8 < figures["first_step_share"] < 0.9
    assert figures["first_step_ratio"] == pytest.approx(21_175 / 210)
    assert sum(figures[f"{name}_share"] for name in PHASES) == pytest.approx(1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_device_events_on_a_gpu():
    timer = PhaseTimer(torch.device("cuda"))
    a = torch.randn(2048, 2048, device="cuda")
    with timer.phase("forward"):
        for _ in range(20):
            a = a @ a / 2048
    assert timer.table().forward[0] > 0.1
