"""How a checkpoint does on people that it never saw, measured as papers do.

    python -m benchmarks.strangers [--checkpoint small ...] [--clips ../shared/clips]

Three tables, never mixed: unseen clips of the talker that training saw (the last 90 of grid_s1), unseen talkers in the
same studio (grid_talkers), and other footage (tv, wild, studio). Of each: stretches of K = 5 to 15 frames placed within
one frame, +-15 searched, shifts that leave the clip masked, averaged per clip; all stretches, and those of which at
least half is speech by silero-vad; whole clips; 95 % intervals by bootstrap over talkers (over clips where there is one
talker); AUC; the share of clips called sure; and of the same pictures with another's sound, with the halves exchanged.
GRID is taken to be in sync. Other footage has offsets of its own, which are measured: the truth of a clip is the median
answer of its person's other clips where there are some, and clips of a person alone tell nothing but how sure they are.
Held out from all training and choosing: all of these but tv. Writes reports/bench/strangers.json.

`moved`: 0.8 s of each clip with its sound moved by -10 to 10 frames, so that shifts far from 0 have few windows; and
`moved, plain means` the same by plain means over the windows (`scoring.even_means`).
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from benchmarks import machine
from benchmarks.corpora import held_out, talker
from syncnet_lib import files, parallel
from syncnet_lib.dataset import clips, extract
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.experiment import calibration, evaluate, statistics
from syncnet_lib.measurement import checkpoints, standing, verdict
from syncnet_lib.media import speech
from syncnet_lib.model import checkpoint, scoring
from syncnet_lib.model.embed import embed_clip
from syncnet_lib.paths import ROOT
from syncnet_lib.plots import failures, page

TABLES = {"unseen clips": ("grid_s1",), "unseen talkers": ("grid_talkers",), "other footage": ("tv", "wild", "studio")}
MOVED, MOVED_BY = 15, 10
"""Windows of the stretches that are moved, and by how many frames at most."""


def interval(table: pd.DataFrame, column: str) -> list[float]:
    """Mean with its 95 % interval by bootstrap over talkers, in per cent."""
    if table[column].isna().all():
        return []
    found = statistics.bootstrap(table[column].to_numpy(float), groups=list(table.group))
    return [round(100 * value, 1) for value in found.values()]


def measure(name: str, folder: Path, manifest: pd.DataFrame, spoken: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row a clip: offset, confidence, whether it is sure, with swapped sound too, and `placed`."""
    _, info = checkpoints.load(name, "cpu")
    model = checkpoint.load(checkpoints.find(name), "cpu")
    embedded, rows = {}, []
    for row in manifest.itertuples():
        clip = clips.load(folder / row.source / row.clip_id)
        embedded[row.clip_id] = embed_clip(model, np.array(clip.mouth), clip.mfcc)
    names = list(manifest.clip_id)
    for number, row in enumerate(manifest.itertuples()):
        v, a = embedded[row.clip_id]
        distances = scoring.shift_distances(v, a)
        means = scoring.mean_distances(distances)
        other = embedded[names[(number + 1) % len(names)]][1]
        count = min(len(v), len(other))
        swapped = scoring.shift_distances(v[:count], np.roll(other[:count], count // 2, axis=0))
        bar = verdict.needed_confidence(info, len(v)) or np.inf
        wrong = scoring.mean_distances(swapped)
        false = scoring.confidence(wrong)
        rows.append(
            {
                **row._asdict(),
                "offset": scoring.offset(means),
                "confidence": scoring.confidence(means),
                "sure": scoring.confidence(means) >= bar
                and not standing.doubt([distances], [1.0], scoring.offset(means)),
                "swapped": false,
                "falsely_sure": false >= bar and not standing.doubt([swapped], [1.0], scoring.offset(wrong)),
                "distances": distances,
                "swapped_distances": swapped,
                "speech": spoken[row.clip_id],
            }
        )
    table = pd.DataFrame(rows)
    known = table.source.isin(["grid_s1", "grid_talkers"])
    own = [
        0 if certain else _median_of_others(table, row) for certain, row in zip(known, table.itertuples(), strict=True)
    ]
    table["truth"] = own
    table["whole"] = [
        np.nan if truth is None else float(abs(found - truth) <= scoring.TOLERANCE)
        for found, truth in zip(table.offset, own, strict=True)
    ]
    more = [
        evaluate.placed(row.distances, int(row.truth), spoken[row.clip_id]) if pd.notna(row.truth) else {}
        for row in table.itertuples()
    ]
    far = [moved(*embedded[row.clip_id], int(row.truth)) if pd.notna(row.truth) else {} for row in table.itertuples()]
    return pd.concat([table, pd.DataFrame(more), pd.DataFrame(far, columns=list(MEANS))], axis=1)


def moved(video: np.ndarray, audio: np.ndarray, truth: int) -> dict[str, float]:
    """Share of the moves by an even number of frames that are found, within a frame, in the first moment of a clip.

    Args:
        video, audio: (windows, D) embeddings of the clip.
        truth: its own offset.

    Returns:
        By each of MEANS.
    """
    right: dict[str, list[bool]] = {name: [] for name in MEANS}
    for by in range(-MOVED_BY, MOVED_BY + 1, 2):
        lips, sound = (MOVED_BY - by) // 2, (MOVED_BY + by) // 2
        distances = scoring.shift_distances(video[lips : lips + MOVED], audio[sound : sound + MOVED])
        for name, means in MEANS.items():
            right[name].append(abs(scoring.offset(means(distances)) - truth - by) <= scoring.TOLERANCE)
    return {name: float(np.mean(found)) for name, found in right.items()}


def _plain_means(distances: np.ndarray) -> np.ndarray:
    known = ~np.isnan(distances)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, distances, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


MEANS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "moved": scoring.mean_distances,
    "moved, plain means": _plain_means,
}
"""Columns of `moved`, and the means over the windows of (windows, shifts) distances by which each is placed."""


def stretches(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`calibration.stretches` of clips whose offset is known, with their own and with swapped sound."""
    known = table[table.truth.notna()].astype({"truth": int})
    talkers = dict(zip(known.clip_id, known.talker, strict=True))
    swapped = known.assign(distances=known.swapped_distances)
    return calibration.stretches(known, talkers), calibration.stretches(swapped, talkers)


def _median_of_others(table: pd.DataFrame, row: Any) -> int | None:
    others = table[(table.talker == row.talker) & (table.source == row.source) & (table.clip_id != row.clip_id)]
    return round(float(others.offset.median())) if len(others) >= 3 else None


def extracted(sources: list[str], clips_dir: Path, work: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The held-out videos of some sets as clips.

    Args:
        sources: names of sets.
        clips_dir: folder of the sets.
        work: gets the clips, work/SET/CLIP.

    Returns:
        A row a video: clip_id, video_id, source, talker, frames; and `speech` by clip_id.
    """
    manifests = []
    for source in sources:
        videos = held_out(clips_dir, source)
        stems = Counter(path.stem for path in videos)
        names = [path.stem if stems[path.stem] == 1 else path.name for path in videos]
        table = pd.DataFrame({"video_id": names, "path": [path.as_posix() for path in videos]})
        manifest, _ = extract.extract(
            table, Path("/"), work / source, work / "cache", ExtractSettings(), parallel.cores()
        )
        longest = manifest.sort_values("frames").groupby("video_id").tail(1).sort_values("video_id")
        people = [talker(source, name) for name in longest.video_id]
        manifests.append(longest.assign(source=source, talker=people))
    manifest = pd.concat(manifests)[["clip_id", "video_id", "source", "talker", "frames"]]
    spoken = {}
    for row in manifest.itertuples():
        spoken[row.clip_id] = speech.spoken(clips.load(work / row.source / row.clip_id).samples, row.frames)
    return manifest, spoken


def main(
    checkpoint: Annotated[list[str] | None, typer.Option(help="names or files")] = None,
    clips_dir: Annotated[Path, typer.Option("--clips", help="folder of the sets")] = ROOT.parent / "shared" / "clips",
    work: Annotated[Path | None, typer.Option(help="keeps the extracted clips for the next run")] = None,
    picture: Annotated[Path | None, typer.Option(help="gets what confidence is worth on television")] = None,
    out: Annotated[Path, typer.Option(help="JSON")] = ROOT / "reports" / "bench" / "strangers.json",
) -> None:
    """Measure checkpoints on strangers."""
    unkept = files.scratch()
    work = work or Path(unkept.name)
    manifest, spoken = extracted([name for names in TABLES.values() for name in names], clips_dir, work)
    result: dict[str, Any] = {"machine": machine.describe(), "checkpoints": {}}
    for name in checkpoint or ["small"]:
        table = measure(name, work, manifest, spoken)
        figures: dict[str, Any] = {}
        for title, sources in TABLES.items():
            for source in sources:
                part = table[table.source == source]
                alone = part.talker.nunique() == 1
                part = part.assign(group=part.clip_id if alone else part.talker)
                lengths = [f"{frames}{kind}" for kind in ("", " speech") for frames in scoring.CLIP_FRAMES]
                figures.setdefault(title, {})[source] = {
                    "clips": len(part),
                    "talkers": int(part.talker.nunique()),
                    **{column: interval(part, column) for column in (*lengths, "whole") if column in part},
                    **{column: interval(part, column) for column in MEANS},
                    "sure": interval(part.assign(sure=part.sure.astype(float)), "sure"),
                    "falsely_sure": interval(part.assign(falsely_sure=part.falsely_sure.astype(float)), "falsely_sure"),
                    "sure_at_99": round(100 * float((part.confidence >= np.quantile(part.swapped, 0.99)).mean()), 1),
                    "calibration": calibration.summary(*stretches(part)),
                    "confidence_auc": round(scoring.roc_auc(-part.confidence.to_numpy(), -part.swapped.to_numpy()), 3),
                }
        result["checkpoints"][name] = figures
        if picture:
            files.write_bytes(picture, page.png(failures.calibration(stretches(table[table.source == "tv"])[0])))
        for title, sets in figures.items():
            for source, row in sets.items():
                print(f"{name}  {title}: {source}  {row}", flush=True)
    files.write_json(out, result)
    unkept.cleanup()


if __name__ == "__main__":
    typer.run(main)
