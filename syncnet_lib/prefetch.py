"""Items made ahead of their use, by a thread (`Ahead`) or by a process (`Apart`)."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
from syncnet_lib import files
from syncnet_lib.parallel import Item, interrupts_blocked, lost


@dataclass(frozen=True)
class _Raised:
    """What ended those who make items."""

    error: BaseException


class Ahead(Iterator[Item]):
    """The same items, made by a thread before they are asked for.

    What the thread raises is raised here. The thread ends with the last item, or when this is closed.

    Args:
        items: where they come from; the thread starts at once.
        count: how many may be ready beside the one in use.
    """

    def __init__(self, items: Iterator[Item], count: int) -> None:
        self._ready: SimpleQueue[Item | _Raised] = SimpleQueue()
        self._room = threading.Semaphore(count + 1)
        self._over = self._taken = False
        self._thread = threading.Thread(target=self._work, args=(items,), name="ahead", daemon=True)
        self._thread.start()

    def _work(self, items: Iterator[Item]) -> None:
        try:
            while True:
                self._room.acquire()
                if self._over:
                    return
                self._ready.put(next(items))
        except BaseException as error:  # StopIteration too: it is how the consumer learns of the end
            self._ready.put(_Raised(error))

    def __next__(self) -> Item:
        if self._over:
            raise StopIteration
        if self._taken:
            self._room.release()
        item = self._ready.get()
        self._taken = True
        if isinstance(item, _Raised):
            self.close()
            raise item.error
        return item

    def close(self) -> None:
        """Stop making items."""
        self._over = True
        self._room.release()
        self._thread.join()


class Apart(Ahead[Item]):
    """The items of a generator function, made by a process of its own.

    What the function raises is raised here. The process ends with the last item, when this is closed, or with this
    process, however that ends; Ctrl-C is this process's alone.

    Args:
        function: picklable, as are the arguments and the items; the process starts at once. A program that is started
            as a script must have its start under `if __name__ == "__main__"`.
        arguments: of it.
        count: how many items may be ready beside the one in use.

    Raises:
        WorkerLost: while iterating, where the process died.
        TimeoutError: the same, where it has ended itself with `parallel.TIMED_OUT`.
    """

    def __init__(self, function: Callable[..., Iterable[Item]], *arguments: Any, count: int) -> None:
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe(duplex=False)
        self._process = context.Process(target=_send, args=(there, function, arguments), daemon=True)
        with interrupts_blocked():
            self._process.start()
        there.close()
        super().__init__(_received(here, self._process), count)

    def close(self) -> None:
        """End the process."""
        self._process.kill()  # before the thread is waited for, which may wait for the process
        super().close()
        self._process.join()
        files.sweep_scratch()


def _send(there: "Connection", function: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]) -> None:
    """What the process of `Apart` does."""
    with there, contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody is there any more
        try:
            for item in function(*arguments):
                there.send(item)
            there.send(_Raised(StopIteration()))
        except Exception as error:
            there.send(_Raised(error))


def _received(here: "Connection", process: "BaseProcess") -> Iterator[Any]:
    with here:
        while True:
            try:
                item = here.recv()
            except (EOFError, ConnectionResetError):
                process.join()
                raise lost(process.exitcode) from None
            if isinstance(item, _Raised):
                process.join()
                if isinstance(item.error, StopIteration):
                    return
                raise item.error
            yield item
