"""How much a command tells on stderr: --quiet and --verbose, which hold in the processes that it starts, too."""

import os
import sys
import time
from collections.abc import Mapping

QUIET = "SYNCNET_QUIET"
"""Environment: no bars."""
VERBOSE = "SYNCNET_VERBOSE"
"""Environment: what is being done is told in lines, without bars; the time at which the command began."""


def shown(progress: bool) -> bool:
    """Whether a bar is shown: never where the user asked for quiet, or for lines.

    Args:
        progress: whether there would be one.
    """
    return progress and QUIET not in os.environ and VERBOSE not in os.environ


def begin() -> None:
    """From here on tell what is being done."""
    os.environ[VERBOSE] = str(time.time())


def say(what: str) -> None:
    """Tell what is being done, after the seconds since the command began; nothing where nobody asked for it."""
    if began := os.environ.get(VERBOSE):
        print(f"[{time.time() - float(began):7.2f} s] {what}", file=sys.stderr, flush=True)


def spent(seconds: Mapping[str, float]) -> str:
    """Phases and their seconds in words."""
    return ", ".join(f"{phase} {each:.2f} s" for phase, each in seconds.items())
