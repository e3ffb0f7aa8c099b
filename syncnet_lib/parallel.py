"""One function over many items: local processes by default, any Dask cluster by its address; failures are collected.

And items made ahead of their use, by a thread (`Ahead`) or by a process (`Apart`).
"""

import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from syncnet_lib.errors import InputError

if TYPE_CHECKING:
    pass

Item = TypeVar("Item")
Result = TypeVar("Result")


_Outcomes = Generator[tuple[Item, Result | Exception], None, None]


class WorkerLost(Exception):
    """The process that worked on an item died: killed, out of memory, or crashed in native code."""


def run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    scheduler: str = "",
    progress: bool = True,
    describe: str = "",
) -> Iterator[tuple[Item, Result | Exception]]:
    """Call a function on every item, and give each item with its result or its exception as it is done.

    One item's exception, or the death of the process that works on it, is that item's failure and nobody else's.

    Args:
        function: picklable, as are the items and results.
        items: what to work on; all are read at once.
        workers: processes of one thread each; 0 works in this process.
        scheduler: address of a running Dask scheduler, used in place of local processes.
        progress: show a bar on stderr.
        describe: what the bar says in front.

    Yields:
        (item, result or exception) in the order of completion.
    """
    todo = list(items)
    done = _here(function, todo) if workers == 0 and not scheduler else _dask(function, todo, workers, scheduler)
    # Closing the generator on the way out stops the cluster at once, also for Ctrl-C.
    with tqdm(total=len(todo), desc=describe or None, disable=not progress or not todo, dynamic_ncols=True) as bar:
        try:
            for pair in done:
                bar.update()
                yield pair
        finally:
            done.close()


def reason(error: Exception) -> str:
    """Why an item failed, in a line that does not name it."""
    if isinstance(error, InputError):
        return error.cause
    return str(error) if isinstance(error, WorkerLost) else f"{type(error).__name__}: {error}"


def _here(function: Callable[[Item], Result], items: list[Item]) -> _Outcomes[Item, Result]:
    for item in items:
        try:
            yield item, function(item)
        except Exception as error:
            yield item, error


def _dask(
    function: Callable[[Item], Result], items: list[Item], workers: int, scheduler: str
) -> _Outcomes[Item, Result]:
    import dask
    from distributed import Client, LocalCluster, as_completed

    if not items:
        return
    # What a worker that is killed leaves unsaid comes back as a WorkerLost, here and after the cluster is closed.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    quiet = {
        # Processes stay quiet about workers that come and go; what matters comes back as a WorkerLost.
        "logging.distributed": "critical",
        # A worker may be lost by no fault of its item, so that gets a second chance, and no third.
        "distributed.scheduler.allowed-failures": 1,
        # A worker holds the one item that it works on, so its death is blamed on no other.
        "distributed.scheduler.worker-saturation": 1.0,
        # Nobody looks at the dashboard. Its samples of every worker's stack each 10 ms, and a clock that ticks each
        # 20 ms in every process, interrupt the work: together they took a tenth of it (benchmarks/extract.py).
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
    }
    with dask.config.set(quiet), tempfile.TemporaryDirectory(prefix="syncnet-") as scratch:
        cluster = None
        if not scheduler:
            cluster = LocalCluster(
                n_workers=min(workers, len(items)),
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",  # any free port: two runs at once must not meet, nor be seen outside
                local_directory=scratch,
                silence_logs=50,
                memory_limit=None,
            )
        client = Client(scheduler or cluster, set_as_default=False)
        futures: dict[Any, Item] = {}
        try:
            futures = dict(zip(client.map(function, items, pure=False), items, strict=True))
            for future in as_completed(futures, loop=client.loop):
                yield futures.pop(future), _outcome(future)
        finally:
            client.cancel(list(futures))
            client.close()
            if cluster is not None:
                _kill_workers(cluster)
                cluster.close()


def _kill_workers(cluster: Any) -> None:
    """End the processes without asking: a polite close would wait for the item that each works on."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


def _outcome(future: Any) -> Any:
    from distributed.scheduler import KilledWorker

    if future.status == "cancelled":
        return WorkerLost("the cluster went away")
    error = future.exception()
    if isinstance(error, KilledWorker):
        return WorkerLost("the worker process died")
    return future.result() if error is None else error
