"""Models against clips whose true offset is known, a baseline that learns nothing, and a control that must fail."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32

from syncnet_lib.dataset import clips, extract, sources
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import known_noise
from syncnet_lib.experiment.baseline import aperture_verdicts
from syncnet_lib.experiment.settings import EvaluateSettings
from syncnet_lib.experiment.statistics import bootstrap
from syncnet_lib.media import speech
from syncnet_lib.model import scoring
from syncnet_lib.model.embed import embed_clip
from syncnet_lib.model.networks import SyncNet


@dataclass
class Embedded:
    """The embeddings of a clip.

    Attributes:
        clip_id: its name.
        video, audio: a row a window of stride 1.
        truth: the true offset in frames.
        speech: which frames carry speech; none where that is not known.
    """

    clip_id: str
    video: Float32[np.ndarray, "windows embedding"]
    audio: Float32[np.ndarray, "windows embedding"]
    truth: int = 0
    speech: Bool[np.ndarray, "frames"] | None = None


def embed(models: Mapping[str, SyncNet], folder: Path, truths: Mapping[str, int]) -> dict[str, list[Embedded]]:
    """Embed clips on disk, each of which is read and heard once.

    Args:
        models: by name, in evaluation mode.
        folder: the folder of clips.
        truths: the true offset by clip_id; these clips are read.

    Returns:
        The clips by name of the model.
    """
    embedded: dict[str, list[Embedded]] = {name: [] for name in models}
    for clip_id, truth in truths.items():
        clip = clips.load(folder / clip_id)
        spoken = speech.spoken(clip.samples, len(clip.mouth))
        for name, model in models.items():
            embedded[name].append(Embedded(clip_id, *embed_clip(model, clip.mouth, clip.mfcc), truth, spoken))
    return embedded


def verdicts(embedded: Iterable[Embedded], distances: Iterable[Float32[np.ndarray, "_ shifts"]]) -> pd.DataFrame:
    """Offset and confidence of each clip.

    Args:
        embedded: the clips.
        distances: of each, from `scoring.shift_distances`.

    Returns:
        A row a clip: `clip_id`, `windows`, `truth`, `offset` (frames), `right` (within a frame), `confidence`,
        `min_distance`, `means` (float32 by shift), `distances` and `speech` as they were given, and the shares of
        `placed`.
    """
    rows = []
    for clip, over_shifts in zip(embedded, distances, strict=True):
        means = scoring.mean_distances(over_shifts)
        found = scoring.offset(means)
        rows.append(
            {
                "clip_id": clip.clip_id,
                "windows": len(clip.video),
                "truth": clip.truth,
                "offset": found,
                "right": abs(found - clip.truth) <= scoring.TOLERANCE,
                "confidence": scoring.confidence(means),
                "min_distance": float(np.nanmin(means)),
                "means": means,
                "distances": over_shifts,
                "speech": clip.speech,
                **placed(over_shifts, clip.truth, clip.speech),
            }
        )
    return pd.DataFrame(rows)


def placed(
    distances: Float32[np.ndarray, "windows shifts"], truth: int, speech: Bool[np.ndarray, "frames"] | None
) -> dict[str, float]:
    """Share of a clip's stretches that are placed within a frame, for each of `scoring.CLIP_FRAMES`.

    Args:
        distances: NaN where masked.
        truth: the clip's true offset, frames.
        speech: which frames carry speech; None where that is not known.

    Returns:
        `K`, all stretches of K frames, and `K speech`, those of which at least half is speech; NaN for none.
    """
    shares = {}
    for frames in scoring.CLIP_FRAMES:
        right = scoring.right_at(distances, frames, truth)
        shares[str(frames)] = float(right.mean()) if len(right) else np.nan
        shares[f"{frames} speech"] = np.nan
        # In a clip so short that some stretches reach no shift, it is not known which ones `right` tells of.
        if speech is not None and len(right) and len(right) == len(distances) - frames + scoring.CLIP_FRAMES[0]:
            spoken = np.lib.stride_tricks.sliding_window_view(speech, frames)[: len(right)].mean(axis=1) >= 0.5
            shares[f"{frames} speech"] = float(right[spoken].mean()) if spoken.any() else np.nan
    return shares


def measure(embedded: Sequence[Embedded], vshift: int) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """`scoring.summarise` of embedded clips with intervals over clips, and the control with swapped audio.

    Args:
        embedded: the clips.
        vshift: frames searched to each side.

    Returns:
        The figures, the `verdicts` on the clips, and those on the same video with the next clip's audio (none for a
        single clip). Among the figures `intervals`: of 95 % by `bootstrap`, by number of frames and for whole clips
        (`clip`); and `swapped`: `clip_accuracy` there is what common timing alone gives, `confidence_auc` tells how
        well confidence separates genuine from swapped.
    """
    distances = _distances(embedded, vshift)
    genuine = verdicts(embedded, distances)
    swapped = _swapped(embedded) if len(embedded) > 1 else []
    false = verdicts(swapped, _distances(swapped, vshift))
    figures = scoring.summarise(distances, [clip.truth for clip in embedded])
    figures["intervals"] = {
        **{str(frames): _interval(genuine[str(frames)]) for frames in scoring.CLIP_FRAMES},
        "clip": _interval(genuine.right),
    }
    if swapped:
        figures["swapped"] = {
            "clip_accuracy": float(false.right.mean()),
            "confidence_auc": scoring.roc_auc(-genuine.confidence.to_numpy(), -false.confidence.to_numpy()),
        }
    return figures, genuine, false


def _swapped(embedded: Sequence[Embedded]) -> list[Embedded]:
    """Each clip's video with the next clip's audio and truth, as long as both are."""
    swapped = []
    for clip, other in zip(embedded, [*embedded[1:], embedded[0]], strict=True):
        length = min(len(clip.video), len(other.audio))
        swapped.append(Embedded(clip.clip_id, clip.video[:length], other.audio[:length], other.truth, clip.speech))
    return swapped


def _distances(embedded: Iterable[Embedded], vshift: int) -> list[np.ndarray]:
    return [scoring.shift_distances(clip.video, clip.audio, vshift) for clip in embedded]


def _interval(values: pd.Series) -> dict[str, float]:
    found = bootstrap(values.to_numpy(float))
    return {"low": round(found["low"], 4), "high": round(found["high"], 4)}


@dataclass
class Results:
    """What `compare` found.

    Attributes:
        metrics: model name to the figures of `measure`; "aperture" has `clip_accuracy` and `clips` only,
            and is absent where no clip's mouth aperture is known.
        verdicts: model name to the table of `verdicts`.
        swapped: model name to the table of `verdicts` with swapped audio.
    """

    metrics: dict[str, dict[str, Any]]
    verdicts: dict[str, pd.DataFrame]
    swapped: dict[str, pd.DataFrame]


def compare(models: Mapping[str, SyncNet], folder: Path, table: pd.DataFrame, settings: EvaluateSettings) -> Results:
    """Measure models, and the baseline without learning, on the same clips.

    Args:
        models: by name.
        folder: the folder of clips.
        table: a row a clip: `clip_id`, `offset` (the true one, in frames; NaN where there is none: left out).
        settings: what to search.

    Raises:
        InputError: no clip has a true offset.
    """
    known = table.dropna(subset="offset")
    if known.empty:
        raise InputError(folder, "no clip has a known offset", "give videos that are in sync")
    truths = {row.clip_id: int(row.offset) for row in known.itertuples()}
    results = Results({}, {}, {})
    for name, embedded in embed(models, folder, truths).items():
        figures, results.verdicts[name], results.swapped[name] = measure(embedded, settings.vshift)
        results.metrics[name] = figures
    aperture = aperture_verdicts(folder, truths, settings.vshift)
    if len(aperture):
        results.verdicts["aperture"] = aperture
        results.metrics["aperture"] = {"clip_accuracy": float(aperture.right.mean()), "clips": len(aperture)}
    return results


def held_out(data: Path) -> pd.DataFrame:
    """The clips of the test split with their true offsets.

    Args:
        data: the working folder. `raw/truth.csv` is read where the corpus is synthetic; other videos count as in sync.

    Returns:
        A row a clip: `clip_id`, `video_id`, `kind` (clean, shifted, dubbed), `offset` (frames; NaN where dubbed),
        `talker` (the video where nobody said who talks), and `test`: "unseen talkers", or "unseen clips" where the
        talker is one of the training's, or unknown.
    """
    speakers = pd.read_parquet(data / "clips" / "clips.parquet").set_index("clip_id").speaker
    index = pd.read_parquet(data / "pairs" / "test" / "index.parquet")
    own = index.clip_id.map(speakers)
    trained = set(pd.read_parquet(data / "pairs" / "train" / "index.parquet").clip_id.map(speakers))
    index = index.assign(
        talker=own.where(own != "", index.video_id),
        test=np.where((own == "") | own.isin(trained), "unseen clips", "unseen talkers"),
    )
    known = known_noise.of(data).set_index("video_id")
    table = index[["clip_id", "video_id", "talker", "test"]].join(known, on="video_id")
    unknown = table.kind.isna()
    return table.assign(kind=table.kind.mask(unknown, "clean"), offset=table.offset.astype(float).mask(unknown, 0.0))


def rejected_by_truth(data: Path) -> pd.DataFrame:
    """What the filter threw out of the training split or moved, by what the clips really are.

    Returns:
        By kind (clean, dubbed, shifted): `clips`, `positives`, `rejected`, `moved` (kept with audio that was moved) and
        `rejected_share`.
    """
    verdict = pd.read_parquet(data / "filter" / "windows.parquet")
    moved = pd.read_parquet(data / "filter" / "clips.parquet").set_index("clip_id").moved
    verdict["moved"] = verdict.kept & verdict.clip_id.map(moved).ne(0)
    index = pd.read_parquet(data / "pairs" / "train" / "index.parquet").set_index("clip_id")
    kind = known_noise.of(data).set_index("video_id").kind
    verdict["kind"] = verdict.clip_id.map(index.video_id).map(kind).fillna("clean")
    table = verdict.groupby("kind").agg(
        clips=("clip_id", "nunique"), positives=("kept", "size"), kept=("kept", "sum"), moved=("moved", "sum")
    )  # fmt: skip
    table.insert(2, "rejected", table.positives - table.pop("kept"))
    table["rejected_share"] = (table.rejected / table.positives).round(4)
    return table


@dataclass
class Extra:
    """Further videos, measured.

    Attributes:
        results: of `compare`; None where the folder has no video.
        table: a row a clip: offset and confidence by model.
        skipped: `file`, `reason`.
    """

    results: Results | None
    table: pd.DataFrame
    skipped: pd.DataFrame


def extra(models: Mapping[str, SyncNet], data: Path, root: Path, settings: EvaluateSettings, workers: int) -> Extra:
    """Extract and measure the videos of a folder as ones in sync.

    Args:
        models: by name.
        data: the working folder; clips go to `cache/extra`.
        root: what a relative `settings.extra_path` starts from.
        settings: the folder, where an absence of videos is no error, and what to search.
        workers: as in `parallel.run`.

    Raises:
        InputError: no such folder.
    """
    videos, skipped = sources.scan(root / settings.extra_path, workers)
    if videos.empty:
        return Extra(None, pd.DataFrame(), skipped)
    # Cut as the clips that the models learned from.
    learned = next((data / "clips").glob("*/clip.json"))
    settings_of = json.loads(learned.read_text(encoding="utf-8"))["settings"]
    cut = ExtractSettings.parse(settings_of, str(learned))
    out, cache = data / "cache" / "extra", data / "cache" / "clips"
    manifest, refused = extract.extract(videos, root / settings.extra_path, out, cache, cut, workers)
    results = compare(models, out, manifest[["clip_id"]].assign(offset=0.0), settings)
    columns = [
        results.verdicts[name].set_index("clip_id")[["offset", "confidence"]].add_prefix(f"{name} ") for name in models
    ]
    return Extra(results, pd.concat(columns, axis=1).round(3), pd.concat([skipped, refused], ignore_index=True))


def example(results: Results, model: str) -> tuple[dict[str, np.ndarray], str]:
    """The clip of median confidence, as curves.

    Returns:
        Model name to mean distances by shift, and a title that says what they show.
    """
    table = results.verdicts[model].sort_values("confidence").reset_index(drop=True)
    row = table.iloc[len(table) // 2]
    curves = {
        name: verdict.set_index("clip_id").means[row.clip_id]
        for name, verdict in results.verdicts.items()
        if "means" in verdict
    }
    return curves, f"{row.clip_id}: true offset {row.truth}, the {model} model finds {row.offset}"


def plotted(results: Results, curves: Mapping[str, np.ndarray]) -> dict[str, pd.DataFrame]:
    """What `dvc plots` draws, and compares between revisions: tables by name, a column a model.

    Args:
        results: of `compare`.
        curves: of `example`.

    Returns:
        `accuracy` (percent within a frame by `frames` of a stretch), `roc` (percent of clips that keep their own audio
        by `swapped`, the percent of clips with another's that a threshold on confidence lets through), `shifts` (mean
        distance by `shift`, the frames by which the audio is ahead).
    """
    models = list(results.swapped)
    lengths = [str(frames) for frames in scoring.CLIP_FRAMES]
    accuracy = {name: [100 * results.metrics[name]["accuracy_by_frames"][key] for key in lengths] for name in models}
    swapped = max((len(table) for table in results.swapped.values()), default=0)
    let_through = np.linspace(0, 100, swapped + 1)
    roc = {}
    for name in models if swapped else ():
        false = np.sort(results.swapped[name].confidence.to_numpy())[::-1]
        thresholds = [*false, -np.inf]  # above the surest of them none passes, above none of them all do
        own = results.verdicts[name].confidence.to_numpy()
        roc[name] = [100 * float((own > threshold).mean()) for threshold in thresholds]
    size = len(next(iter(curves.values())))
    shifts = {"shift": size // 2 - np.arange(size), **curves}
    return {
        "accuracy": pd.DataFrame({"frames": scoring.CLIP_FRAMES, **accuracy}),
        "roc": pd.DataFrame({"swapped": let_through, **roc}),
        "shifts": pd.DataFrame(shifts),
    }


def headline(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The few figures that experiments are compared by, in percent: what `dvc exp show` has columns for.

    Args:
        metrics: of `metrics`.
    """
    base, refined = metrics["base"], metrics["refined"]
    return {
        "k5": round(100 * refined["accuracy_by_frames"]["5"], 1),
        "k15": round(100 * refined["accuracy_by_frames"]["15"], 1),
        "base_k15": round(100 * base["accuracy_by_frames"]["15"], 1),
        "clip": round(100 * refined["clip_accuracy"], 1),
        "auc": round(100 * refined["auc"], 1),
    }


def gain(results: Results) -> dict[str, float]:
    """What the refined model adds to the base model on stretches of 15 frames, clip by clip.

    Returns:
        `mean`, `low`, `high` of `bootstrap`; shares from -1 to 1. Both models are measured on the same clips, so that
        the interval of the difference is narrower than those of the two.
    """
    longest = str(scoring.CLIP_FRAMES[-1])
    difference = results.verdicts["refined"][longest] - results.verdicts["base"][longest]
    return {name: round(value, 6) for name, value in bootstrap(difference.to_numpy(float)).items()}


def champion(folder: Path) -> tuple[str, float, str]:
    """The model that its own validation found best; the test split has no say in a choice.

    Args:
        folder: of the models; the `history.csv` of each tells the AUC of every validation. All were validated on the
            same clips.

    Returns:
        Its name, its AUC, and the reason in words.
    """
    best = {path.parent.name: pd.read_csv(path).auc.max() for path in sorted(folder.glob("*/history.csv"))}
    name = max(best, key=lambda model: best[model])
    others = ", ".join(f"{model} {auc:.4f}" for model, auc in best.items() if model != name)
    return name, float(best[name]), f"validation AUC {best[name]:.4f}, {others or 'the only model'}"


def metrics(results: Results, rejected: pd.DataFrame, further: Extra, calibrated: Mapping[str, Any]) -> dict[str, Any]:
    """All figures as plain values for JSON.

    Args:
        results: of `compare`.
        rejected: of `rejected_by_truth`.
        further: of `extra`.
        calibrated: of `calibration.summary`.

    Returns:
        A key a model, `gain`, `aperture`, `filter`, `calibration`, and `extra` where measured.
    """
    content: dict[str, Any] = {**results.metrics, "gain": gain(results), "filter": rejected.to_dict("index")}
    content["calibration"] = dict(calibrated)
    if further.results:
        content["extra"] = further.results.metrics
    return content
