"""Where videos come from: made on the spot, a folder of videos, both, ready-made clips, or the public GRID corpus."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from syncnet_lib import parallel
from syncnet_lib.dataset import exchange, speakers
from syncnet_lib.dataset.grid import GRID_URL, download, unpack
from syncnet_lib.dataset.settings import CorpusSettings
from syncnet_lib.dataset.speakers import Dataset
from syncnet_lib.errors import InputError
from syncnet_lib.files import atomic, link, sha256
from syncnet_lib.media import decode
from syncnet_lib.media.decode import SUFFIXES

VIDEO_COLUMNS = ["video_id", "path", "speaker", "sha256", "split", "sound"]
SKIPPED_COLUMNS = ["file", "reason"]
PATIENCE = 60.0
"""Seconds in which a video must have told what it holds."""


class Corpus(NamedTuple):
    """What a source gave.

    Args:
        videos: a row a video: video_id, path, speaker ("" if unknown), sha256, split ("" if none was given) and sound
            (the file with its sound, "" if that is the video).
        skipped: file, reason; a row for everything else that was found.
        truth: the synthetic corpus's video_id, kind, offset_frames, speaker; no row for other sources.
    """

    videos: pd.DataFrame
    skipped: pd.DataFrame
    truth: pd.DataFrame


def make(
    out_dir: Path,
    root: Path,
    cache_dir: Path,
    settings: CorpusSettings,
    seed: int,
    workers: int,
    scheduler: str = "",
    progress: bool = True,
) -> Corpus:
    """Collect the videos of a source; writes videos.csv, skipped.csv and, where it is known, truth.csv.

    Args:
        out_dir: e.g. data/raw; gets the tables, and the videos that are made or downloaded. A folder of one's own is
            not copied.
        root: what a relative `settings.path` starts from.
        cache_dir: made and downloaded videos, kept when `out_dir` is emptied; they are linked, not copied, to it.
        settings: the source.
        seed: of the synthetic corpus.
        workers, scheduler: as for `parallel.run`.
        progress: show bars.

    Raises:
        InputError: a missing folder, one without a usable video, or a download that cannot be completed.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    own = None
    if settings.source in ("folder", "mixed"):
        own = Corpus(*scan(root / settings.path, workers, scheduler, progress, settings.dataset), _no_truth())
    elif settings.source == "layout":
        own = Corpus(*scan_layout(root / settings.path, workers, scheduler, progress), _no_truth())
    if settings.source in ("synthetic", "mixed"):
        corpus = _synthetic(out_dir, root, cache_dir, settings, seed, workers, progress)
        if own is not None:
            corpus = _beside(corpus, own, root / settings.path, out_dir)
    elif own is not None:
        located = {
            column: [name and (Path(settings.path) / name).as_posix() for name in own.videos[column]]
            for column in ("path", "sound")
        }
        corpus = own._replace(videos=own.videos.assign(**located))
    else:
        for talker in settings.talkers:
            folder = cache_dir / "grid" / f"s{talker}"
            unpack(download(f"s{talker}.zip", cache_dir / "grid", GRID_URL, progress), folder)
            for video in folder.iterdir():
                link(video, out_dir / "videos" / folder.name / video.name)
        videos, skipped = scan(out_dir / "videos", workers, scheduler, progress, "grid")
        corpus = Corpus(videos.assign(path="videos/" + videos["path"]), skipped, _no_truth())
    if corpus.videos.empty:
        cause = f"no usable video among {len(corpus.skipped)} files"
        if len(corpus.skipped):
            cause += f", e.g. {corpus.skipped.file[0]}: {corpus.skipped.reason[0]}"
        raise InputError(f"corpus.path: {settings.path}", cause, "put videos with sound there")
    _write(corpus.videos, out_dir / "videos.csv")
    _write(corpus.skipped, out_dir / "skipped.csv")
    if len(corpus.truth):
        _write(corpus.truth, out_dir / "truth.csv")
    return corpus


def _synthetic(
    out_dir: Path, root: Path, cache_dir: Path, settings: CorpusSettings, seed: int, workers: int, progress: bool
) -> Corpus:
    """The synthetic videos, linked into `out_dir`."""
    from syncnet_lib.synthetic import (
        corpus as synthetic,
    )  # seconds of scipy: not for who reads a folder

    made = cache_dir / "synthetic"
    cast, skipped = synthetic.find_cast(settings, root, cache_dir / "portraits", progress)
    videos, truth = synthetic.make(made, settings, seed, workers, progress, cast)
    for path in videos["path"]:
        link(made / path, out_dir / path)
    return Corpus(videos.assign(split="", sound="")[VIDEO_COLUMNS], skipped, truth)


def _beside(corpus: Corpus, own: Corpus, folder: Path, out_dir: Path) -> Corpus:
    """The synthetic videos and a folder's, which are linked beside them."""
    located = own.videos.assign(video_id="own_" + own.videos.video_id)
    for column in ("path", "sound"):
        for name in filter(None, own.videos[column]):
            link(folder / name, out_dir / "videos" / "own" / name)
        located[column] = [name and f"videos/own/{name}" for name in own.videos[column]]
    return Corpus(
        *(pd.concat(tables, ignore_index=True) for tables in zip(corpus, own._replace(videos=located), strict=True))
    )


def scan(
    folder: Path, workers: int = 0, scheduler: str = "", progress: bool = True, dataset: Dataset = "none"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sort all files below a folder into usable videos and the rest.

    Args:
        folder: links in it are followed; hidden folders and README.md are no part of it.
        workers, scheduler, progress: as for `parallel.run`.
        dataset: whose rules the folder follows; a video that does not is skipped.

    Returns:
        The table of `make` for each video with pictures and sound, and file, reason of all else: both sorted by path,
        which is relative to `folder`. A second copy of a video is skipped: it would be in two splits.

    Raises:
        InputError: no such folder.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "correct the path")
    candidates, skipped = [], []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith("."):
            skipped.append((name, "hidden file"))
        elif path.suffix.lower() not in SUFFIXES:
            if path.name != "README.md":
                skipped.append((name, f"not a video by its name ({path.suffix or 'no suffix'})"))
        elif (talker := speakers.talker(dataset, name)) is None:
            example = speakers.CONVENTIONS[dataset].example
            skipped.append((name, f"not where {dataset} has its videos, e.g. {example}"))
        else:
            sound = speakers.sound(dataset, name)
            sound = sound if sound and (folder / sound).is_file() else ""
            candidates.append(_Candidate(folder, name, sound, talker))
    taken = {candidate.sound for candidate in candidates}
    skipped = [(name, reason) for name, reason in skipped if name not in taken]
    usable, unusable = _examined(_hash_of_video, candidates, workers, scheduler, progress)
    return _table(usable), pd.DataFrame(sorted(skipped + unusable), columns=SKIPPED_COLUMNS)


def scan_layout(
    tree: Path, workers: int = 0, scheduler: str = "", progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clips of a data set in the exchange layout, as `scan` gives videos; each keeps the split that it lies in.

    Raises:
        InputError: it has not the three folders of the layout.
    """
    found, skipped = exchange.find(tree)
    candidates = [_Candidate(tree, row.path, split=row.split) for row in found.itertuples()]
    usable, unusable = _examined(_hash_of_clip, candidates, workers, scheduler, progress)
    rest = pd.concat([skipped, pd.DataFrame(unusable, columns=SKIPPED_COLUMNS)])
    return _table(usable), rest.sort_values("file", ignore_index=True)


class _Candidate(NamedTuple):
    """A video, or a ready-made clip, by its name below a folder."""

    folder: Path
    name: str
    sound: str = ""
    speaker: str = ""
    split: str = ""


def _examined(
    hash_of: Callable[[_Candidate], str], candidates: Sequence[_Candidate], workers: int, scheduler: str, progress: bool
) -> tuple[dict[_Candidate, str], list[tuple[str, str]]]:
    """The candidates that can be used, by name, with their hashes; name and reason of the others."""
    found, skipped = {}, []
    for candidate, result in parallel.run(
        hash_of, candidates, workers=workers, scheduler=scheduler, progress=progress, describe="videos"
    ):
        if isinstance(result, Exception):
            skipped.append((candidate.name, parallel.reason(result)))
        else:
            found[candidate] = result
    usable: dict[_Candidate, str] = {}
    first: dict[str, str] = {}
    for candidate in sorted(found):
        if first.setdefault(found[candidate], candidate.name) == candidate.name:
            usable[candidate] = found[candidate]
        else:
            skipped.append((candidate.name, f"same content as {first[found[candidate]]}"))
    return usable, skipped


def _table(usable: dict[_Candidate, str]) -> pd.DataFrame:
    identifiers = _identifiers([candidate.name for candidate in usable])
    rows = [
        (video_id, candidate.name, candidate.speaker, content, candidate.split, candidate.sound)
        for video_id, (candidate, content) in zip(identifiers, usable.items(), strict=True)
    ]
    return pd.DataFrame(rows, columns=VIDEO_COLUMNS)


def load(raw: Path, root: Path) -> tuple[pd.DataFrame, Path]:
    """The videos of a corpus, as `make` wrote them.

    Args:
        raw: its `out_dir`.
        root: its `root`.

    Returns:
        The table of `make`; and what its paths start from: `raw` where the videos are inside it, else `root`.
        They are not joined, so that what is made of them does not name this machine.

    Raises:
        InputError: there is no corpus.
    """
    table = raw / "videos.csv"
    if not table.exists():
        raise InputError(table, "missing", "run the corpus stage first: dvc repro corpus")
    videos = pd.read_csv(table, dtype=str, keep_default_na=False)
    return videos, raw if (raw / "videos").is_dir() else root


def _hash_of_video(candidate: _Candidate) -> str:
    """The SHA-256 of a video that has pictures and sound, together with that of its sound file.

    Raises:
        InputError: it has not, or cannot be opened.
    """
    path = candidate.folder / candidate.name
    with parallel.ended_after(PATIENCE):
        info = decode.probe(path)
    if not info.video_codec:
        raise InputError(path, "no video stream")
    if not info.audio and not candidate.sound:
        raise InputError(path, "no sound track")
    return sha256(path, *([candidate.folder / candidate.sound] if candidate.sound else []))


def _hash_of_clip(candidate: _Candidate) -> str:
    return exchange.digest(candidate.folder / candidate.name)


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder in a fixed order; links are followed, each folder is visited once."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(names))


def _identifiers(names: Sequence[str]) -> list[str]:
    """File-system-safe identifiers out of relative paths, unique even where case does not count."""
    taken: set[str] = set()
    identifiers = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", str(Path(name).with_suffix(""))).strip("_")[-80:] or "video"
        unique, count = plain, 1
        while unique.lower() in taken:
            count += 1
            unique = f"{plain}-{count}"
        taken.add(unique.lower())
        identifiers.append(unique)
    return identifiers


def _no_truth() -> pd.DataFrame:
    return pd.DataFrame(columns=["video_id", "kind", "offset_frames", "speaker"])


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)
