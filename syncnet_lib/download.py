"""Files from the network: resumed after a cut connection, tried again after a passing fault, checked by checksum."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from syncnet_lib.errors import InputError
from syncnet_lib.files import remove

if TYPE_CHECKING:
    from urllib3.util import Retry

RETRIES = 5
"""How often an address that gives nothing new is asked again."""

BACK_OFF = 1.0
"""Seconds, doubled with each retry but the first, which is at once. A server's own wish (Retry-After) comes first."""

_PASSING = (408, 429, 500, 502, 503, 504)
"""Answers that may be others next time: too slow, too many requests, faults of the server."""

_PATIENCE = 120
"""Seconds that a server may ask for at most before the next attempt."""

_BLOCK = 1 << 16
"""Bytes written at a time: what is lost of an answer that breaks off is less than this."""

_TIMEOUT = 30
"""Seconds of silence after which a connection counts as lost."""


def fetch(url: str, path: Path, md5: str = "", size: int = 0, progress: bool = True) -> None:
    """Fetch a file, and resume where an earlier attempt broke off, in this run or another.

    Args:
        url: of the file.
        path: where it is put once it is complete; until then it grows as PATH.partial.
        md5: its checksum in hexadecimal; "" where none is known.
        size: its bytes; 0 where they are not known.
        progress: show a bar.

    Raises:
        InputError: the server cannot be reached or has no such file, what it sends has another checksum, or the disk is
            full.
    """
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    policy, damaged = _policy(), False
    while True:
        before = _size(partial)
        try:
            _resume(url, partial, size, progress)
            if md5 and _md5(partial) != md5:
                remove(partial)  # not to be resumed
                if damaged:
                    raise InputError(url, f"what is sent has not the checksum {md5}", "try again later")
                damaged = True
                continue
            partial.replace(path)
            return
        except requests.RequestException as error:  # an OSError, too
            status = error.response.status_code if error.response is not None else 0
            policy = _policy() if _size(partial) >= before + _BLOCK else policy
            if (status and not policy.is_retry("GET", status)) or policy.total == 0:
                cause = f"cannot be downloaded ({' '.join(str(error).split())[:200]})"
                raise InputError(url, cause, "try again: it goes on where it stopped") from None
            policy = policy.increment("GET", url, error=error)
            policy.sleep(error.response.raw if error.response is not None else None)
        except OSError as error:
            cause = f"cannot be written ({error.strerror})"
            raise InputError(partial, cause, "make room and try again: it goes on where it stopped") from None


def _policy() -> "Retry":
    from urllib3.util import Retry

    return Retry(total=RETRIES, backoff_factor=BACK_OFF, status_forcelist=_PASSING, retry_after_max=_PATIENCE)


def _resume(url: str, partial: Path, size: int, progress: bool) -> None:
    """Ask for the bytes that a partial download still lacks, and append them."""
    import requests

    have = _size(partial)
    if size and have == size:
        return
    # Compressed on the way, the bytes of a second answer would not continue those of the first.
    wanted = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(url, headers=wanted, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            # All bytes are here already, or the file on the server has become shorter; the checksum or the archive's
            # own tells which, and what is wrong must not be resumed again.
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if total != str(have):
                remove(partial)
                raise requests.ConnectionError(f"{url} has changed; starting over")
            return
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            have = 0  # this server does not resume
        missing = int(answer.headers.get("Content-Length", 0))
        bar = tqdm(
            desc=partial.stem,
            total=have + missing or None,
            initial=have,
            unit="B",
            unit_scale=True,
            disable=not progress,
        )
        with partial.open("ab" if have else "wb") as file, bar:
            for block in answer.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
    if size and _size(partial) < size:  # the end of an answer of unknown length tells nothing
        raise requests.ConnectionError(f"{url} broke off")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
