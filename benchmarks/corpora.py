"""Pack the corpora of the studies: the clean clips of the default synthetic corpus, and those of a folder of GRID.

    python -m benchmarks.corpora data/study --grid ../shared/clips/grid_s1      # 12 minutes on 2 cores
    python -m benchmarks.corpora data/study --clips ../shared/clips --portraits ../shared/faces \\
        --voices ../shared/voices

The second packs `talkers` as well: portraits that speak with recorded voices and the GRID talker's training clips to
train on, six of the portraits apart, and GRID strangers and television to measure on, by the names of their folders.
What is packed already is left as it is.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from syncnet_lib import parallel
from syncnet_lib.dataset import extract, sources
from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.dataset.splits import split_groups
from syncnet_lib.experiment import corpora
from syncnet_lib.experiment.talkers_study import CORPUS, EVERY_CLIP, EVERYBODY
from syncnet_lib.experiment.talkers_study import REAL as SPEAKER
from syncnet_lib.media.decode import SUFFIXES
from syncnet_lib.synthetic import corpus
from syncnet_lib.synthetic.settings import SyntheticSettings

TELEVISION, STRANGERS, REAL = "tv", "grid_talkers", "grid_s1"
"""Folders of real clips below --clips."""
APART = 6
"""Drawn people that no training sees."""
SAME = {"id2_vcd_swwp2s": "id2", "pwij3p": "id2"}
"""Clips of STRANGERS that show the same man."""
TEST, EVERY = 90, 10
"""Of the GRID talker: the last files in sorted order are the test, every tenth of the others validates."""


def main(
    folder: Annotated[Path, typer.Argument(help="working folder; gets corpora/")],
    grid: Annotated[Path | None, typer.Option(help="folder of one GRID talker's videos")] = None,
    clips: Annotated[Path | None, typer.Option(help=f"folder of {REAL}, {STRANGERS} and {TELEVISION}")] = None,
    portraits: Annotated[str, typer.Option(help="as corpus.portraits of params.yaml")] = "london",
    voices: Annotated[str, typer.Option(help="as corpus.voices of params.yaml")] = "espeak",
    workers: int = parallel.cores(),
) -> None:
    """Make, extract and pack what is missing."""
    if not (folder / "corpora" / "synthetic.npz").is_file():
        made, settings = folder / "synthetic", SyntheticSettings(noisy_share=0.0)
        videos, _ = corpus.make(made, settings, seed=0, workers=workers)
        manifest = _extracted(videos, made, made, workers)
        shares = PairsSettings()
        split = split_groups(manifest, shares.train_share, shares.val_share, seed=0)
        _pack(made, manifest.assign(split=split[manifest.clip_id].to_numpy()), folder, "synthetic")
    if grid and not (folder / "corpora" / "grid_s1.npz").is_file():
        videos, _ = sources.scan(grid, workers)
        manifest = _extracted(videos.assign(speaker=grid.name), grid, folder / "grid_s1", workers)
        split = _by_order(videos)[manifest.video_id].to_numpy()
        _pack(folder / "grid_s1", manifest.assign(split=split), folder, "grid_s1")
    if clips and not (folder / "corpora" / f"{CORPUS}.npz").is_file():
        _pack(folder, _talkers(folder, clips, portraits, voices, workers), folder, CORPUS)


def videos_of(clips: Path, name: str) -> list[Path]:
    """The videos of a set, in sorted order."""
    return sorted(path for path in (clips / name).iterdir() if path.suffix.lower() in SUFFIXES)


def held_out(clips: Path, name: str) -> list[Path]:
    """Those that no training saw."""
    videos = videos_of(clips, name)
    return videos[-TEST:] if name == REAL else videos


def talker(source: str, name: str) -> str:
    """Who talks in a clip, by the names of its folder."""
    if source == STRANGERS:
        return SAME.get(name, name)
    return name.split("_")[0] if source in (TELEVISION, "studio") else SPEAKER if source == REAL else name


def _talkers(folder: Path, clips: Path, portraits: str, voices: str, workers: int) -> pd.DataFrame:
    """The clips of the study of the number of talkers."""
    settings = SyntheticSettings(
        clips=EVERY_CLIP * (EVERYBODY + APART),
        identities=EVERYBODY + APART,
        noisy_share=0.0,
        portraits=portraits,
        voices=voices,
    )
    cast, _ = corpus.find_cast(settings, Path.cwd(), folder / "gallery")
    drawn, _ = corpus.make(folder / "drawn", settings, seed=11, workers=workers, cast=cast)
    people = np.sort(drawn.speaker.unique())
    parts = [
        drawn.assign(
            path=[str(folder / "drawn" / path) for path in drawn.path],
            split=np.where(drawn.speaker.isin(people[-APART:]), "apart", "train"),
        )
    ]
    for source, split in ((REAL, "train"), (STRANGERS, "strangers"), (TELEVISION, "television")):
        videos, _ = sources.scan(clips / source, workers)
        if source == REAL:
            videos = videos[(_by_order(videos) == "train").to_numpy()]
        named = [talker(source, name) for name in videos.video_id]
        paths = [str(clips / source / path) for path in videos.path]
        parts.append(videos.assign(speaker=named, path=paths, split=split))
    every = pd.concat(parts, ignore_index=True)
    manifest = _extracted(every, Path.cwd(), folder, workers)
    return manifest.assign(split=every.set_index("video_id").split[manifest.video_id].to_numpy())


def _by_order(videos: pd.DataFrame) -> "pd.Series[str]":
    """The splits of the GRID talker, by video_id in the order of `videos`."""
    place = videos.video_id.rank().astype(int) - 1
    split = pd.Series("train", videos.index).mask(place % EVERY == EVERY - 1, "val")
    return split.mask(place >= len(videos) - TEST, "test").set_axis(videos.video_id)


def _extracted(videos: pd.DataFrame, root: Path, out: Path, workers: int) -> pd.DataFrame:
    manifest, _ = extract.extract(videos, root, out / "clips", out / "cache", ExtractSettings(), workers)
    return manifest.sort_values("clip_id", ignore_index=True)


def _pack(made: Path, manifest: pd.DataFrame, folder: Path, name: str) -> None:
    (folder / "corpora").mkdir(parents=True, exist_ok=True)
    corpora.pack(made / "clips", manifest, folder / "corpora" / name)


if __name__ == "__main__":
    typer.run(main)
