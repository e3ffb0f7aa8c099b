"""Names from a command line to videos; nothing here decodes, so a wrong name is answered at once."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from syncnet_lib.errors import InputError


def expand(names: Sequence[str], cropped: bool) -> tuple[list[Path], list[InputError]]:
    """Files, folders and patterns as a list of videos.

    Args:
        names: a folder stands for all videos below it, or with `cropped` for its frames where it holds some.
        cropped: folders of frames are meant.

    Returns:
        The videos, each once, and an error for each name that stands for none.
    """
    found: dict[Path, None] = {}
    failed = []
    for name in names:
        matches = [name] if Path(name).exists() else sorted(glob.glob(name, recursive=True))
        if not matches:
            failed.append(InputError(name, "does not exist"))
        for match in map(Path, matches):
            videos = list(_below(match, cropped)) if match.is_dir() else [match]
            found |= dict.fromkeys(videos)
            if not videos:
                failed.append(InputError(match, "no video in this folder"))
    return list(found), failed


def _below(folder: Path, cropped: bool) -> Iterator[Path]:
    """Videos in a folder and the folders in it; hidden ones are left out."""
    from syncnet_lib.media.decode import SUFFIXES

    if cropped and _has_frames(folder):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _below(path, cropped)
        elif path.suffix.lower() in SUFFIXES:
            yield path


def check(path: Path, cropped: bool) -> None:
    """Refuse what cannot be watched at all.

    Args:
        path: a video, or with `cropped` a folder of frames.
        cropped: folders of frames are meant.

    Raises:
        InputError: there is nothing, or a folder that is not one of frames, or may not be.
    """
    if not path.exists():
        raise InputError(path, "does not exist")
    if path.is_dir() and not (cropped and _has_frames(path)):
        raise InputError(path, "is a folder without videos", "give a video, or a folder of frames with --cropped")


def audio_of(path: Path) -> Path:
    """The file that has the audio of a video, or of a folder of frames, that `check` has let pass.

    Raises:
        InputError: there is none.
    """
    if not path.is_dir():
        return path
    from syncnet_lib.dataset.exchange import SOUND

    for place in (path / SOUND, path.parent / SOUND):
        if place.is_file():
            return place
    raise InputError(path, "frames without sound", f"put {SOUND} into the folder or beside it")


def _has_frames(folder: Path) -> bool:
    from syncnet_lib.dataset import exchange

    return exchange.has_frames(folder)
