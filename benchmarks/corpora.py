"""Pack the corpora of the studies: the clean clips of the default synthetic corpus, and those of a folder of GRID.

    python -m benchmarks.corpora data/study --grid ../shared/clips/grid_s1      # 12 minutes on 2 cores

What is packed already is left as it is.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from syncnet_lib import parallel
from syncnet_lib.dataset import extract, sources
from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.dataset.splits import split_groups
from syncnet_lib.experiment import corpora
from syncnet_lib.synthetic import corpus
from syncnet_lib.synthetic.settings import SyntheticSettings

TEST, EVERY = 90, 10
"""Of the GRID talker: the last files in sorted order are the test, every tenth of the others validates."""


def main(
    folder: Annotated[Path, typer.Argument(help="working folder; gets corpora/")],
    grid: Annotated[Path | None, typer.Option(help="folder of one GRID talker's videos")] = None,
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
        order = {name: place for place, name in enumerate(sorted(videos.video_id))}
        place = manifest.video_id.map(order)
        split = pd.Series("train", manifest.index).mask(place % EVERY == EVERY - 1, "val")
        _pack(
            folder / "grid_s1", manifest.assign(split=split.mask(place >= len(order) - TEST, "test")), folder, "grid_s1"
        )


def _extracted(videos: pd.DataFrame, root: Path, out: Path, workers: int) -> pd.DataFrame:
    manifest, _ = extract.extract(videos, root, out / "clips", out / "cache", ExtractSettings(), workers)
    return manifest.sort_values("clip_id", ignore_index=True)


def _pack(made: Path, manifest: pd.DataFrame, folder: Path, name: str) -> None:
    (folder / "corpora").mkdir(parents=True, exist_ok=True)
    corpora.pack(made / "clips", manifest, folder / "corpora" / name)


if __name__ == "__main__":
    typer.run(main)
