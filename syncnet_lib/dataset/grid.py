"""The GRID corpus, downloaded: resumed after a cut connection, checked by its checksum."""

import shutil
import zipfile
from pathlib import Path

from syncnet_lib.download import fetch
from syncnet_lib.errors import InputError
from syncnet_lib.files import atomic, remove, sha256
from syncnet_lib.media.decode import SUFFIXES

GRID_URL = "https://zenodo.org/records/3625687/files/"
"""The GRID corpus (Cooke et al. 2006, CC BY 4.0): one archive a talker, sN.zip, of MPEG-1 videos with sound."""


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
    registry = folder / "registry.txt"
    known = dict(line.split() for line in registry.read_text().splitlines()) if registry.exists() else {}
    path = folder / name
    if path.exists() and (name not in known or sha256(path) == known[name]):
        return path
    fetch(base_url + name, path, progress=progress)
    checksum = sha256(path)
    if known.setdefault(name, checksum) != checksum:
        remove(path)
        cause = f"is not the file whose checksum stands in {registry}"
        raise InputError(base_url + name, cause, "delete its line there if the change is known to be right")
    with atomic(registry) as temporary:
        temporary.write_text("".join(f"{each} {known[each]}\n" for each in sorted(known)))
    return path


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
