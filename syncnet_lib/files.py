"""Files that are either whole or absent (atomic writes), links, locks and hashes."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from syncnet_lib.errors import InputError

Content = TypeVar("Content")

PARTIAL = ".partial-"
"""How the name of a temporary file or folder begins; what a killed process leaves behind may be deleted."""
OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
"""What the system says of a folder that is to replace one that is not empty, or a file."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; on leaving without an exception it takes the place of `path` by rename.

    Args:
        path: the file or folder to make; an existing one is replaced.

    Yields:
        A path in the same folder and with the same suffix that nobody else has, in this process or another. Make a
        file, a link or a folder there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        while True:
            try:
                os.replace(temporary, path)
                break
            except OSError as error:
                if error.errno not in OCCUPIED:
                    raise
                old = _temporary(path)
                with contextlib.suppress(FileNotFoundError):  # another process has moved it out of the way
                    os.replace(path, old)
                remove(old)
    finally:
        remove(temporary)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{PARTIAL}{os.getpid()}-{uuid.uuid4().hex[:12]}{path.suffix}")


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder."""
    for left in folder.glob(f"{PARTIAL}*"):
        pid = left.name.removeprefix(PARTIAL).partition("-")[0]
        if pid.isdigit() and not process_lives(int(pid)):
            with contextlib.suppress(OSError):  # another user's, or another process removes it as well
                remove(left)


def scratch(place: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A new folder for temporary files, which `with` removes in the end; what killed processes left of theirs goes too.

    Args:
        place: where; by default where the system has such folders.
    """
    place = place or Path(tempfile.gettempdir())
    sweep(place)
    return tempfile.TemporaryDirectory(dir=place, prefix=f"{PARTIAL}{os.getpid()}-syncnet-")


def sweep_scratch() -> None:
    """Remove what killed processes have left where the system has temporary folders: for who has killed one."""
    sweep(Path(tempfile.gettempdir()))


def process_lives(pid: int) -> bool:
    """Whether there is a process of this number on this machine; taken to be true on Windows, where to ask is to kill.

    Args:
        pid: its number.
    """
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it lives, and belongs to another user
        return True
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that one process at a time can have, and that the system takes from a process that dies.

    The lock is an SQLite transaction, because that is the same on every system (`fcntl` exists on some only).

    Args:
        path: of the lock file, which stays where it is.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=7 * 24 * 3600, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


def link(source: Path, target: Path) -> None:
    """Give a file a second name without a second copy, or copy it where the file system has no hard links.

    Args:
        source: a file.
        target: the second name; an existing one is replaced atomically.
    """
    with atomic(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)


def check_new(path: Path) -> None:
    """Make sure that a file or folder can be made, before the work is done that it is for.

    Raises:
        InputError: it is there already, or its folder is missing or may not be written.
    """
    if path.exists() or path.is_symlink():
        raise InputError(path, "exists already and is not overwritten", "give another name or remove it")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(path, f"cannot be written: no folder {folder}", "make the folder or give another one")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(path, "cannot be written: permission denied", "give another folder")


def remove(path: Path) -> None:
    """Delete a file or a folder with all that is in it; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def cached(read: Callable[[Path], Content]) -> Callable[[Path], Content]:
    """A function that reads a file, which keeps what it has read of the last few for as long as they do not change."""

    @functools.lru_cache(maxsize=4)
    def keep(path: Path, modified: int, size: int) -> Content:
        return read(path)

    @functools.wraps(read)
    def kept(path: Path) -> Content:
        try:
            status = path.stat()
        except OSError:  # which `read` can tell about
            return read(path)
        return keep(path, status.st_mtime_ns, status.st_size)

    return kept


def sha256(path: Path, *more: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; of several files that of their hashes."""
    if more:
        return hashlib.sha256(" ".join(sha256(each) for each in (path, *more)).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON that reads well in a diff, atomically."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)
