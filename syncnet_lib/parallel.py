"""One function over many items: local processes by default, any Dask cluster by its address; failures are collected."""

import contextlib
import logging
import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing import connection, resource_tracker
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from syncnet_lib import files, verbosity
from syncnet_lib.errors import InputError

if TYPE_CHECKING:
    from pebble import ProcessFuture, ProcessPool

Item = TypeVar("Item")
Result = TypeVar("Result")

_Outcomes = Generator[tuple[Item, Result | Exception], None, None]


SHARE = 400 * 2**20
"""Bytes that a worker takes that extracts faces, whatever the length of its video (`python -m benchmarks.extract`)."""
THREADS = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"
"""What numpy and torch read, once, when they are imported."""
TIMED_OUT = 124
"""Exit code of a process that ends itself because its work takes longer than its time limit; that of timeout(1)."""


class WorkerLost(Exception):
    """The process that worked on an item died: killed, out of memory, or crashed in native code."""


def lost(exit_code: int | None) -> WorkerLost | TimeoutError:
    """What the end of a process that owes a result means.

    Args:
        exit_code: its own; below 0 the number of the signal that killed it, None where it is not known.
    """
    if exit_code == TIMED_OUT:
        return TimeoutError()
    with contextlib.suppress(ValueError):  # a number that is no signal's
        if exit_code is not None and exit_code < 0:
            return WorkerLost(f"the process that works on it was ended by {signal.Signals(-exit_code).name}")
    return WorkerLost("the process that works on it died")


def cores() -> int:
    """Processors that this process may use: in a container or under `taskset` fewer than the machine has."""
    # macOS and Windows have no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def free_memory() -> int | None:
    """Bytes that this process and its workers may still take: of the machine, or of the container where that has less;
    None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    with contextlib.suppress(OSError, ValueError):  # without a limit there is no file, or it says "max"
        limit, taken = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(0, limit - taken))
    return free


def carried(workers: int, share: int, free: int | None) -> tuple[int, str]:
    """How many of so many workers this machine carries, and what to say to those who asked for more.

    Args:
        workers: asked for.
        share: bytes that each takes.
        free: bytes of memory; None where that is not known.

    Returns:
        Their number, at least 1, and a note; "" where there is nothing to say.
    """
    if free is not None and workers > (fit := max(1, free // share)):
        each = f"each takes {share / 2**30:.1f} GiB and {free / 2**30:.1f} are free"
        return fit, f"{workers} workers do not fit into memory, {fit} are used: {each}"
    if workers > cores():
        return workers, f"{workers} workers: more than the {cores()} that this machine has cores for are no faster"
    return workers, ""


def told(workers: int, share: int) -> str:
    """How many workers there are, what that follows from, and what they take, in words.

    Args:
        workers: their number.
        share: bytes that each takes at most.
    """
    count = f"{workers} worker" + "s" * (workers != 1)
    return f"{count} on {cores()} core{'s' * (cores() != 1)}, up to {share / 2**30:.1f} GiB each"


def run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    scheduler: str = "",
    progress: bool = True,
    describe: str = "",
    time_limit: Callable[[Item], float] | None = None,
    share: int = SHARE,
) -> _Outcomes[Item, Result]:
    """Call a function on every item, and give each item with its result or its exception as it is done.

    One item's exception, or the death of the process that works on it, is that item's failure and nobody else's.

    Args:
        function: picklable, as are the items and results.
        items: what to work on; all are read at once.
        workers: processes, which share the cores; 0 works in this process.
        scheduler: address of a running Dask scheduler, used in place of local processes.
        progress: show a bar on stderr.
        describe: what the bar says in front of the number of local processes.
        time_limit: gives the seconds after which a local process that works on an item is killed, and the item's
            outcome is a TimeoutError; None waits for ever.
        share: bytes of memory that a local process takes; no more are started than fit.

    Yields:
        (item, result or exception) in the order of completion.
    """
    from tqdm import tqdm  # a wrong name is answered without it

    todo = list(items)
    if scheduler:
        done = _dask(function, todo, scheduler)
    elif workers == 0:
        done = _here(function, todo)
    else:
        count, note = carried(min(workers, len(todo)), share, free_memory())
        if note:
            print(f"note: {note}", file=sys.stderr)
        verbosity.say(f"{len(todo)} items in {count} processes")
        describe = describe and f"{describe}, {told(count, share)}"
        done = _processes(function, todo, count, time_limit)
    # Closing the generator on the way out stops the workers at once, also for Ctrl-C.
    with tqdm(
        total=len(todo), desc=describe or None, disable=not todo or not verbosity.shown(progress), dynamic_ncols=True
    ) as bar:
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
    if isinstance(error, TimeoutError):
        return "takes longer than its time limit"
    return str(error) if isinstance(error, WorkerLost) else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End this process, where it is a worker, if what is done in here takes longer: native code that hangs cannot be
    asked to stop.

    Args:
        seconds: limit; the process ends with TIMED_OUT.
    """
    if multiprocessing.parent_process() is None:
        yield
        return
    timer = threading.Timer(seconds, os._exit, [TIMED_OUT])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes (and threads) started in here never see Ctrl-C, so that only their parent answers it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, which has no such signals
        yield
        return
    resource_tracker.ensure_running()  # its start, which would come with the first process, lifts the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a process inherits what is blocked
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _here(function: Callable[[Item], Result], items: list[Item]) -> _Outcomes[Item, Result]:
    for item in items:
        try:
            yield item, function(item)
        except Exception as error:
            yield item, error


def _processes(
    function: Callable[[Item], Result], items: list[Item], workers: int, time_limit: Callable[[Item], float] | None
) -> _Outcomes[Item, Result]:
    """Local processes; a worker may be lost by no fault of its item, so that gets a second chance, and no third."""
    lost = []
    for item, outcome in _pool(function, items, workers, time_limit):
        if isinstance(outcome, WorkerLost):
            lost.append(item)
        else:
            yield item, outcome
    yield from _pool(function, lost, workers, time_limit)


def _pool(
    function: Callable[[Item], Result], items: list[Item], workers: int, time_limit: Callable[[Item], float] | None
) -> _Outcomes[Item, Result]:
    if not items:
        return
    pool = processes(min(workers, len(items)))
    finished: SimpleQueue[Any] = SimpleQueue()
    item_of: dict[ProcessFuture, Item] = {}
    try:
        with interrupts_blocked():
            for item in items:
                future = pool.schedule(function, args=[item], timeout=time_limit(item) if time_limit else None)
                item_of[future] = item
                future.add_done_callback(finished.put)
        while item_of:
            future = finished.get()
            yield item_of.pop(future), outcome(future)
    finally:
        pool.stop()
        pool.join()
        files.sweep_scratch()  # of those that were at work


def processes(count: int) -> "ProcessPool":
    """Local processes that end with this one, however that ends.

    Args:
        count: of them; they start with what is scheduled first, under `interrupts_blocked`.
    """
    from pebble import ProcessPool

    threads = max(1, cores() // count)
    context = multiprocessing.get_context("spawn")
    return ProcessPool(count, initializer=_begin, initargs=[threads], context=context)


def outcome(future: "ProcessFuture") -> Any:
    """What became of something that was scheduled: what the function gave, or the exception that ended it."""
    from concurrent.futures.process import BrokenProcessPool

    from pebble import ProcessExpired

    error = future.exception()
    if isinstance(error, ProcessExpired | BrokenProcessPool):
        return lost(getattr(error, "exitcode", None))
    return future.result() if error is None else error


def _begin(threads: int) -> None:
    """Of a worker: its part of the cores, and no life without its parent, which would otherwise be that of its item."""
    for name in THREADS:
        os.environ.setdefault(name, str(threads))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _dask(function: Callable[[Item], Result], items: list[Item], scheduler: str) -> _Outcomes[Item, Result]:
    from distributed import Client, as_completed

    if not items:
        return
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what a lost worker leaves unsaid is a WorkerLost
    with Client(scheduler, set_as_default=False) as client:
        futures = dict(zip(client.map(function, items, pure=False), items, strict=True))
        try:
            for future in as_completed(futures, loop=client.loop):
                yield futures.pop(future), _outcome_of_cluster(future)
        finally:
            client.cancel(list(futures))


def _outcome_of_cluster(future: Any) -> Any:
    from distributed.scheduler import KilledWorker

    if future.status == "cancelled":
        return WorkerLost("the cluster went away")
    error = future.exception()
    if isinstance(error, KilledWorker):
        return lost(None)
    return future.result() if error is None else error
