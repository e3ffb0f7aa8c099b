"""Any exception as the error that a user reads."""

import contextlib
import errno
import re
from collections.abc import Iterator
from pathlib import Path

from syncnet_lib.errors import InputError
from syncnet_lib.parallel import WorkerLost

PACKAGES = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}
"""Debian's packages of the shared libraries that OpenCV wants and that slim systems lack."""


def explained(error: Exception, where: str | Path) -> InputError:
    """An `InputError` as it is, and any other exception with what is known of it.

    Args:
        error: what was raised.
        where: the file or the command that it happened to.
    """
    if isinstance(error, InputError):
        return error
    library = re.match(r"(?:/\S*/)?(lib[^\s/]+\.so[.\d]*): ", str(error))  # what the dynamic linker says
    if isinstance(error, ImportError) and library:
        name = library.group(1)
        package = PACKAGES.get(name, "the package that has it")
        return InputError(where, f"this system has no usable {name}", f"install it: apt-get install {package}")
    if isinstance(error, WorkerLost):
        cure = "its decoder crashed, or memory ran out: convert the file with ffmpeg, or give a shorter one"
        return InputError(where, str(error), cure)
    if isinstance(error, TimeoutError):
        return InputError(
            where, "takes longer than its time limit", "convert the file with ffmpeg, or give a shorter one"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return InputError(error.filename or where, "no space is left on the device", "free some, and run it again")
    if isinstance(error, MemoryError):
        return InputError(where, "memory ran out", "give a shorter or a smaller video")
    cure = "write --debug before the name of the command to see the trace, and report it"
    return InputError(where, f"unexpected {type(error).__name__}: {error}".removesuffix(": "), cure)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Name what cannot be written in here where the disk is full, which the system does not.

    Raises:
        InputError: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise explained(OSError(error.errno, error.strerror), target) from error
