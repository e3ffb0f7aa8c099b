"""The GRID corpus, downloaded: resumed after a cut connection, checked by its checksum."""

import shutil
import time
import zipfile
from pathlib import Path

from tqdm import tqdm

from syncnet_lib.errors import InputError
from syncnet_lib.files import atomic, remove, sha256
from syncnet_lib.media.decode import SUFFIXES

GRID_URL = "https://zenodo.org/records/3625687/files/"
"""The GRID corpus (Cooke et al. 2006, CC BY 4.0): one archive a talker, sN.zip, of MPEG-1 videos with sound."""

RETRIES = 5
"""How often a download that broke off is taken up again, each time from where it stopped."""

BACK_OFF = 1.0
"""Seconds before the first retry; twice as long before each further one."""

_BLOCK = 1 << 16
"""Bytes written at a time: what is lost of an answer that breaks off is less than this."""

_TIMEOUT = 30
"""Seconds of silence after which a connection counts as lost."""


def download(name: str, folder: Path, base_url: str, progress: bool = True) -> Path:
    """Fetch a file once, and resume where an earlier attempt broke off, in this run or another.

    The SHA-256 of the first complete download is recorded in `folder`/registry.txt; a later download of the same
    file must have it, too.

    Args:
        name: file name below `base_url`.
        folder: where it is kept.
        base_url: ends with a slash.
        progress: show a bar.

    Raises:
        InputError: the server cannot be reached, has no such file, or sent another file than the first time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    registry = folder / "registry.txt"
    known = dict(line.split() for line in registry.read_text().splitlines()) if registry.exists() else {}
    path, partial = folder / name, folder / f"{name}.partial"
    if path.exists() and (name not in known or sha256(path) == known[name]):
        return path
    _fetch(base_url + name, partial, progress)
    checksum = sha256(partial)
    if known.setdefault(name, checksum) != checksum:
        remove(partial)
        cause = f"is not the file whose checksum stands in {registry}"
        raise InputError(base_url + name, cause, "delete its line there if the change is known to be right")
    partial.replace(path)
    with atomic(registry) as temporary:
        temporary.write_text("".join(f"{each} {known[each]}\n" for each in sorted(known)))
    return path


def _fetch(url: str, partial: Path, progress: bool) -> None:
    """Complete a partial download, with retries."""
    import requests

    for retry in range(RETRIES + 1):
        try:
            return _resume(url, partial, progress)
        except requests.RequestException as error:
            # An answer such as "not found" will be the same next time.
            final = error.response is not None and error.response.status_code < 500
            if final or retry == RETRIES:
                cause = f"cannot be downloaded ({' '.join(str(error).split())[:200]})"
                raise InputError(url, cause, "try again: it goes on where it stopped") from None
        time.sleep(BACK_OFF * 2**retry)


def _resume(url: str, partial: Path, progress: bool) -> None:
    """Ask for the bytes that a partial download still lacks, and append them."""
    import requests

    have = partial.stat().st_size if partial.exists() else 0
    wanted = {"Range": f"bytes={have}-"} if have else {}
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
            desc=url.rpartition("/")[2],
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


def unpack(archive: Path, folder: Path) -> None:
    """The videos of an archive, flat in `folder`; nothing happens where the folder exists."""
    if folder.exists():
        return
    try:
        with zipfile.ZipFile(archive) as packed, atomic(folder) as temporary:
            temporary.mkdir()
            for member in packed.infolist():
                # Only the name counts: an archive must not choose where its files go.
                name = Path(member.filename).name
                if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                    with packed.open(member) as source, (temporary / name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    except zipfile.BadZipFile as error:
        raise InputError(archive, f"damaged archive ({error})", "delete it and its line in registry.txt") from None
