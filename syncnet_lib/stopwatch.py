"""How long the phases of a piece of work take."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Seconds of each phase. An outer phase stands still while an inner one runs, so that all of them sum to the whole.

    Args:
        phases: their names.
        clock: gives seconds; `time.process_time` counts those of the processor instead.
    """

    def __init__(self, phases: Iterable[str], clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = dict.fromkeys(phases, 0.0)
        self._clock = clock
        self._running: list[str] = []
        self._since = clock()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block as one of the phases."""
        self._book()
        self._running.append(name)
        try:
            yield
        finally:
            self._book()
            self._running.pop()

    def each(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items on; making each of them counts as one of the phases, using it does not."""
        iterator = iter(items)
        while True:
            with self.phase(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def _book(self) -> None:
        """Add the time since the last change to the innermost running phase."""
        now = self._clock()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
