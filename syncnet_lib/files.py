"""Files that are either whole or absent, and their hashes."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syncnet_lib.errors import InputError

ASIDE = ".partial"
"""Suffix of what is being written; anything that carries it may be deleted at any time."""


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a path to write to; on leaving without an exception it takes the place of `path` by rename.

    Args:
        path: the file or folder to make; an existing one is replaced.

    Yields:
        A path in the same folder, unique to this process. Make a file or a folder there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}{ASIDE}")
    remove(aside)
    try:
        yield aside
        if aside.is_dir():
            remove(path)  # a folder cannot be renamed over one that is not empty
        os.replace(aside, path)
    finally:
        remove(aside)


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


def sha256(path: Path, *more: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; of several files that of their hashes."""
    if more:
        return hashlib.sha256(" ".join(sha256(each) for each in (path, *more)).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON that reads well in a diff; the file is whole or absent."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is whole or absent."""
    with write_aside(path) as aside:
        aside.write_bytes(content)
