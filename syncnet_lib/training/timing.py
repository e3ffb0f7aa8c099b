"""Where a training step's time goes, measured without disturbing the step."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import torch

PHASES = ("data", "transfer", "forward", "loss", "backward", "update")
"""[Agrawal]'s list, with the copy to the device apart from loading. `forward` includes the augmentation of the windows,
which is computed where the network is."""


class PhaseTimer:
    """Times the phases of every step of every epoch.

    On a GPU a phase is bounded by two device events, read only when the epoch is over, so no step waits for the clock.
    For `data` that is how long the device had to wait for its batch: what the host did while the device was still busy
    with the step before costs nothing. On a CPU a monotonic clock is read.

    Args:
        device: where the step runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._open: list[tuple[int, int, str, Any, Any]] = []
        self._rows: list[tuple[int, int, str, float]] = []
        self.epoch = self.step = 0

    def at(self, epoch: int, step: int) -> None:
        """What follows belongs to this step."""
        self.epoch, self.step = epoch, step

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block as one of `PHASES`."""
        if self._cuda:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            yield
            end.record()
            self._open.append((self.epoch, self.step, name, begin, end))
        else:
            begin_ns = time.perf_counter_ns()
            yield
            self._rows.append((self.epoch, self.step, name, (time.perf_counter_ns() - begin_ns) / 1e6))

    def rows(self) -> list[tuple[int, int, str, float]]:
        """Everything timed so far: epoch, step, phase, milliseconds. Waits for the device."""
        if self._open:
            torch.cuda.synchronize()
            self._rows += [(epoch, step, name, a.elapsed_time(b)) for epoch, step, name, a, b in self._open]
            self._open.clear()
        return self._rows

    def restore(self, rows: Iterable[Sequence[Any]]) -> None:
        """Go on after the `rows` of an interrupted training or of another process, also as JSON gives them."""
        self._rows = [(epoch, step, name, ms) for epoch, step, name, ms in rows]

    def means(self, epoch: int) -> dict[str, float]:
        """Milliseconds a step of one epoch, by phase."""
        total = dict.fromkeys(PHASES, 0.0)
        steps = set()
        for at, step, name, ms in self.rows():
            if at == epoch:
                total[name] += ms
                steps.add(step)
        return {f"ms_{name}": ms / len(steps) for name, ms in total.items()} if steps else {}

    def table(self) -> pd.DataFrame:
        """Everything timed so far.

        Returns:
            A row a step: `epoch`, `step`, a column of milliseconds for each of `PHASES`, and their `total`.
        """
        rows = pd.DataFrame(self.rows(), columns=["epoch", "step", "phase", "ms"])
        table = rows.pivot_table(index=["epoch", "step"], columns="phase", values="ms", aggfunc="sum")
        table = table.reindex(columns=list(PHASES)).fillna(0.0)
        table["total"] = table.sum(axis=1)
        return table.rename_axis(columns=None).reset_index()


def summarise(table: pd.DataFrame, batch_size: int) -> dict[str, float]:
    """The figures of [Agrawal]'s analysis over the steps of `PhaseTimer.table`.

    Args:
        table: a row a step.
        batch_size: windows a step.

    Returns:
        `first_step_ratio` (first step of an epoch over the median step, the worst epoch after the first),
        `first_step_share` (of an epoch's time, likewise), `median_step_ms`, `p99_step_ms`, `samples_per_s`, and
        `<phase>_share` of all time.
    """
    later = table[table.epoch > table.epoch.min()] if table.epoch.nunique() > 1 else table
    median = float(table.total.median())
    first = later[later.step == later.step.min()].set_index("epoch").total
    return {
        "first_step_ratio": float(first.max() / median),
        "first_step_share": float((first / later.groupby("epoch").total.sum()).max()),
        "median_step_ms": median,
        "p99_step_ms": float(table.total.quantile(0.99)),
        "samples_per_s": float(batch_size * len(table) / table.total.sum() * 1000),
        **{f"{name}_share": float(table[name].sum() / table.total.sum()) for name in PHASES},
    }
