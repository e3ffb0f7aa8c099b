"""Known noise: clips are spoilt in ways that are written down, and the truth lies where no training sees it."""

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Int16, Int64
from pydantic import Field
from tqdm import tqdm

from syncnet_lib import files
from syncnet_lib.dataset import clips
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.media import features
from syncnet_lib.media.clock import FPS, SAMPLE_RATE
from syncnet_lib.media.features import HOP, MFCC_PER_FRAME
from syncnet_lib.settings import Settings

Kind = Literal["dubbed", "sentence", "shifted", "drifting", "listener", "silent", "music"]
"""Another talker's sound; the same talker's other sentence; the own sound by a constant time too early or late, or by
one that grows along the clip; the own sound beside a face that listens; none; and the own sound, in sync, under music
as loud as it."""
CLEAN = "clean"
BORROWED = ("dubbed", "sentence")
"""Kinds whose sound is another clip's."""
IN_SYNC = (CLEAN, "music")
"""Kinds whose sound belongs to the lips."""
CHORD = (220.0, 277.2, 329.6)
"""The music, Hz: A major, struck anew every half second."""
REST = 5
"""Frames that a face at rest is seen for at least: those of one window."""
LEVEL = 1000.0
"""Root mean square of the music over a silent clip, in units of 16 bits."""


class NoiseSettings(Settings):
    """How much is spoilt, and how."""

    share: float = Field(0.3, ge=0, le=0.6)
    """Share of the clips, 0-0.6."""
    kinds: list[Kind] = Field(["dubbed", "shifted"], min_length=1)
    """In equal parts."""
    least_shift: float = Field(3, gt=0, le=FPS)
    """Least constant shift, or drift by a clip's end, in frames of 40 ms."""
    most_shift: float = Field(15, gt=0, le=FPS)
    """Most of it."""


def plan(
    index: pd.DataFrame, settings: NoiseSettings, seed: int, rests: Bool[np.ndarray, " clips"] | None = None
) -> pd.DataFrame:
    """Draw which clips are spoilt, and how.

    Args:
        index: a row a clip: `clip_id` and, for "dubbed" and "sentence", `speaker`.
        settings: how much, and which kinds.
        seed: of the drawing.
        rests: which clips show a face at rest, for "listener"; None: all.

    Returns:
        A row a clip, in the order of the index: `clip_id`, `kind` (CLEAN or a Kind), `offset` (frames in steps of 10
        ms, > 0: audio ahead of video; of "drifting" that at the end; NaN where the sound has none: "dubbed",
        "sentence", "listener" and "silent"), `audio_of` (the clip whose sound is heard).

    Raises:
        InputError: a kind for which a clip has no partner, too few clips with a face at rest, or shifts out of order.
    """
    if settings.least_shift > settings.most_shift:
        raise InputError("noise", f"shifts from {settings.least_shift} to {settings.most_shift}", "exchange the two")
    rng = np.random.default_rng([seed, 7])
    spoilt = rng.permutation(len(index))[: round(settings.share * len(index))]
    kinds = np.full(len(index), CLEAN, object)
    kinds[spoilt] = [settings.kinds[number % len(settings.kinds)] for number in range(len(spoilt))]
    if rests is not None:
        _let_listen(kinds, rests)
    speaker = index.get("speaker", pd.Series("", index.index)).to_numpy()
    offset, audio_of = np.zeros(len(index)), index.clip_id.to_numpy(object).copy()
    for at in np.flatnonzero(kinds != CLEAN):
        if kinds[at] in BORROWED:
            alike = (speaker == speaker[at]) == (kinds[at] == "sentence")
            others = np.flatnonzero(alike & (np.arange(len(index)) != at))
            if not len(others):
                whose = "the same talker's" if kinds[at] == "sentence" else "another talker's"
                raise InputError("noise", f"no clip lends {index.clip_id.iloc[at]} {whose} sound", "choose other kinds")
            audio_of[at] = index.clip_id.iloc[rng.choice(others)]
            offset[at] = np.nan
        elif kinds[at] in ("shifted", "drifting"):
            size = rng.uniform(settings.least_shift, settings.most_shift)
            offset[at] = rng.choice([-1, 1]) * round(size * MFCC_PER_FRAME) / MFCC_PER_FRAME
        elif kinds[at] in ("listener", "silent"):
            offset[at] = np.nan
    return pd.DataFrame({"clip_id": index.clip_id, "kind": kinds, "offset": offset, "audio_of": audio_of})


def _let_listen(kinds: np.ndarray, rests: np.ndarray) -> None:
    """Exchange kinds, with those of spoilt clips first, so that whoever is to listen is seen at rest."""
    asked = kinds == "listener"
    lacking, able = np.flatnonzero(asked & ~rests), np.flatnonzero(~asked & rests)
    if len(able) < len(lacking):
        cause = f"{asked.sum()} clips are to become listener, and {rests.sum()} show a face at rest for {REST} frames"
        raise InputError("noise", cause, "lower the share, or choose other kinds than listener")
    able = able[np.argsort(kinds[able] == CLEAN, kind="stable")][: len(lacking)]
    kinds[lacking], kinds[able] = kinds[able], kinds[lacking]


def spoil_split(split: Split, truth: pd.DataFrame) -> Split:
    """Spoil the sound of a packed split, in memory.

    What a shift moves beyond one end of a clip comes back at the other: there is no sound of the time around it.

    Args:
        split: of clean clips.
        truth: of `plan` for its index, with no other kinds than "dubbed", "sentence" and "shifted", which need no
            samples.

    Returns:
        The same clips; nothing in them tells which are spoilt.
    """
    mfcc, place = np.array(split.mfcc), split.index.set_index("clip_id")
    for row in truth[truth.kind != CLEAN].itertuples():
        own, other = (_steps(place, clip_id) for clip_id in (row.clip_id, row.audio_of))
        if row.kind in BORROWED:
            length = own.stop - own.start
            mfcc[:, own] = np.resize(split.mfcc[:, other].swapaxes(0, 1), (length, len(mfcc), mfcc.shape[2])).swapaxes(
                0, 1
            )
        elif row.kind == "shifted":
            mfcc[:, own] = np.roll(split.mfcc[:, own], -round(row.offset * MFCC_PER_FRAME), axis=1)
        else:
            raise ValueError(f"{row.kind} needs samples")
    return Split(split.frames, mfcc, split.index, split.kept)


def _steps(place: pd.DataFrame, clip_id: str) -> slice:
    row = place.loc[clip_id]
    return slice(int(row.start) * MFCC_PER_FRAME, int(row.start + row.frames) * MFCC_PER_FRAME)


def spoil_clips(
    clips_dir: Path, out_dir: Path, truth_file: Path, settings: NoiseSettings, seed: int, progress: bool = True
) -> pd.DataFrame:
    """Write a folder of clips some of which are spoilt: of real talkers or of synthetic ones.

    Args:
        clips_dir: folder of clips with `clips.parquet`.
        out_dir: a new folder of the same clips; files that are not changed are linked.
        truth_file: a new CSV of `plan`, outside of `out_dir`.
        settings: how much, and which kinds.
        seed: of the drawing.
        progress: show a bar.

    Returns:
        The truth.

    Raises:
        InputError: no clips there, an output that exists or a truth inside the clips, or as for `plan`.
    """
    manifest_file = clips_dir / "clips.parquet"
    if not manifest_file.is_file():
        raise InputError(clips_dir, "no folder of clips (clips.parquet is missing)", "run the extraction first")
    if truth_file.absolute().is_relative_to(out_dir.absolute()):
        raise InputError(truth_file, f"lies in {out_dir}, where a training could see it", "put it elsewhere")
    for path in (out_dir, truth_file):
        files.check_new(path)
    manifest = pd.read_parquet(manifest_file)
    rests = None
    if "listener" in settings.kinds:
        spoken = (np.load(clips_dir / clip_id / "speech.npy") for clip_id in manifest.clip_id)
        rests = np.array([np.ptp(_rest(speech)) >= REST for speech in spoken])
    truth = plan(manifest, settings, seed, rests)
    rows = truth.set_index("clip_id")
    with files.atomic(out_dir) as folder:
        folder.mkdir(parents=True)
        for clip_id in tqdm(manifest.clip_id, "spoiling", unit="clip", disable=not progress):
            (folder / clip_id).mkdir()
            changed = {} if rows.kind[clip_id] == CLEAN else _spoilt(clips_dir, clip_id, rows)
            for path in sorted((clips_dir / clip_id).iterdir()):
                if path.name not in changed:
                    files.link(path, folder / clip_id / path.name)
            for name, content in changed.items():
                if name.endswith(".wav"):
                    with clips.write_sound(folder / clip_id / name) as file:
                        file.writeframes(content.tobytes())
                else:
                    np.save(folder / clip_id / name, content)
            if "speech.npy" in changed:
                manifest.loc[manifest.clip_id == clip_id, "speech_share"] = changed["speech.npy"].mean()
        manifest.to_parquet(folder / "clips.parquet", index=False)
    files.write_bytes(truth_file, truth.to_csv(index=False).encode())
    return truth


def _spoilt(clips_dir: Path, clip_id: str, truth: pd.DataFrame) -> dict[str, np.ndarray]:
    """The files of a clip that its noise changes, by name."""
    row, clip = truth.loc[clip_id], clips.load(clips_dir / clip_id)
    if row.kind == "listener":
        frames = _listening(clip.speech)
        pictures = ("mouth", "face", "lip_aperture")
        paths = [clips_dir / clip_id / f"{name}.npy" for name in pictures]
        return {path.name: np.load(path, mmap_mode="r")[frames] for path in paths if path.exists()}
    other = clips.load(clips_dir / row.audio_of).samples
    samples = spoilt_samples(row.kind, clip.samples, other, row.offset)
    speech = features.speech(features.level(samples))
    return {"audio.wav": samples, "mfcc.npy": features.frame_mfcc(samples), "speech.npy": speech}


def _rest(speech: Bool[np.ndarray, " frames"]) -> tuple[int, int]:
    """The longest stretch without speech: its first frame, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.pad(speech, 1, constant_values=True)))
    return max(zip(edges[::2], edges[1::2], strict=True), key=lambda span: span[1] - span[0], default=(0, 0))


def _listening(speech: Bool[np.ndarray, " frames"]) -> Int64[np.ndarray, " frames"]:
    """The frames of a clip's longest stretch without speech, played to and fro for as long as the clip lasts: the same
    face, while somebody who is not in the picture speaks."""
    rest = np.arange(*_rest(speech))
    return np.resize(np.concatenate([rest, rest[-2:0:-1]]), len(speech))


def spoilt_samples(
    kind: str, own: Int16[np.ndarray, " samples"], other: Int16[np.ndarray, " others"], offset: float
) -> Int16[np.ndarray, " samples"]:
    """The sound of a spoilt clip; as long as the clip's own.

    Args:
        kind: a Kind that changes the sound.
        own, other: 16 kHz mono: the clip's, and that of the clip that lends its sound.
        offset: of "shifted", and of "drifting" at the end, in frames.
    """
    assert kind in get_args(Kind)
    assert kind != "listener", "its sound stays"
    moved = round(offset * MFCC_PER_FRAME) * HOP if np.isfinite(offset) else 0
    if kind in BORROWED:
        return np.resize(other, len(own))
    if kind == "shifted":
        return np.roll(own, -moved)
    if kind == "silent":
        return np.zeros_like(own)
    at = np.arange(len(own))
    if kind == "drifting":
        heard = np.interp(at + moved * at / len(own), at, own.astype(np.float64), period=len(own))
        return heard.astype(np.int16)
    music = _music(len(own))
    loudness = float(np.sqrt(np.mean(np.square(own, dtype=np.float64)))) or LEVEL
    mixed = own + music * loudness
    return np.clip(mixed, -32768, 32767).astype(np.int16)


def _music(length: int) -> Float32[np.ndarray, " length"]:
    """Chords of a root mean square of 1."""
    at = np.arange(length) / SAMPLE_RATE
    sound = sum(np.sin(2 * np.pi * pitch * at) for pitch in CHORD) * np.exp(-3 * (at % 0.5))
    return (sound / np.sqrt(np.mean(np.square(sound)))).astype(np.float32)
