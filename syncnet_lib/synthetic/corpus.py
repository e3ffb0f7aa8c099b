"""The synthetic corpus: videos of talking heads whose synchronisation is exactly known, made without a download."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from scipy.signal import fftconvolve

from syncnet_lib import parallel
from syncnet_lib.files import PARTIAL, atomic, remove, sha256, write_json
from syncnet_lib.media import encode
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.synthetic import articulation, gallery, london, recordings
from syncnet_lib.synthetic.painting import Scene
from syncnet_lib.synthetic.people import BUILTIN, Cast, Identity, identity, scene, sentence
from syncnet_lib.synthetic.portrait import Photo, builtin
from syncnet_lib.synthetic.puppet import Puppet
from syncnet_lib.synthetic.settings import SyntheticSettings
from syncnet_lib.synthetic.voice import Phoneme, pauses_between, speak

WIDTH, HEIGHT = 360, 288
"""Frame size in pixels, that of GRID: real and synthetic mouth crops are then resampled alike."""

MIN_SHIFT, MAX_SHIFT = 3, 15
"""Frames by which the audio of a shifted clip is moved: beyond the tolerance, within the search range of 15."""

_MARGIN = (MAX_SHIFT + 5) / FPS
"""Seconds of speech before and after a clip, so that moved audio ends in speech and not in silence."""

_SMILE = 0.5
"""Added to the smile of whoever is animated from a smiling photograph; half of what draws the corners as far."""

_VERSION = 4
"""Part of each clip's key: raise it when the same settings shall give other clips."""

Kind = Literal["clean", "dubbed", "shifted"]


@dataclass(frozen=True)
class _Clip:
    """All that determines a video."""

    video_id: str
    speaker: int
    number: int
    frames: int
    kind: Kind
    offset: int
    audio_of: int
    seed: int
    portrait: int = 0
    sources: tuple[str, ...] = ()

    def key(self) -> str:
        """Changes whenever the video would."""
        return hashlib.sha256(json.dumps([_VERSION, asdict(self)]).encode()).hexdigest()


def find_cast(
    settings: SyntheticSettings, root: Path, cache_dir: Path, progress: bool = True
) -> tuple[Cast, pd.DataFrame]:
    """Find the faces and voices that the settings name.

    Args:
        settings: `portraits` and `voices` are read.
        root: what relative folders start from.
        cache_dir: gets the measured photographs, and those that are downloaded.
        progress: whether to show bars.

    Returns:
        cast: the faces and voices.
        skipped: file, reason; a row for each photograph that cannot be animated.

    Raises:
        InputError: a missing folder, fewer than two usable portraits or voices, a bad index of recordings, or a
            download that cannot be completed.
    """
    portraits: list[tuple[gallery.Portrait, ...]] = []
    voices: list[tuple[recordings.Recording, ...]] = []
    skipped = pd.DataFrame(columns=["file", "reason"])
    if settings.portraits != "builtin":
        named = settings.portraits == "london"
        folder = london.fetch(cache_dir / "london", london.ARTICLE, progress) if named else root / settings.portraits
        portraits, skipped = gallery.find(folder, cache_dir, progress)
    if settings.voices != "espeak":
        voices = recordings.find(root / settings.voices)
    return Cast(tuple(portraits), tuple(voices)), skipped


def make(
    out_dir: Path,
    settings: SyntheticSettings,
    seed: int,
    workers: int,
    progress: bool = True,
    cast: Cast = BUILTIN,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the corpus; videos that are there already, made from the same settings, are kept.

    Args:
        out_dir: gets ``videos/*.mp4``, 360x288 at 25 fps, H.264 with 16 kHz mono AAC.
        settings: how much to make.
        seed: random seed; the same seed gives the same bytes.
        workers: processes, as for `parallel.run`.
        progress: whether to show a bar.
        cast: faces and voices, of `find_cast`.

    Returns:
        videos: a row a video: video_id, path (relative to `out_dir`), speaker, sha256.
        truth: a row a video: video_id, kind (clean, dubbed, shifted), offset_frames (> 0: audio ahead of video; 0 for
            dubbed clips, which have none), speaker.

    Raises:
        Exception: the first that a worker raised; finished videos are kept.
    """
    plan = _plan(settings, seed, cast)
    videos = out_dir / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    expected = {f"{clip.video_id}.mp4" for clip in plan}
    for stale in videos.iterdir():
        if stale.name not in expected and not stale.name.startswith(PARTIAL):
            remove(stale)
    todo = [clip for clip in plan if not _is_made(clip, out_dir)]
    todo.sort(key=lambda clip: (clip.speaker, clip.portrait))  # clips of a photograph follow each other
    function = partial(_make_one, out_dir=out_dir, cast=cast)
    for _, outcome in parallel.run(function, todo, workers=workers, progress=progress, describe="synthetic videos"):
        if isinstance(outcome, Exception):
            raise outcome
    speakers = [f"s{clip.speaker:03d}" for clip in plan]
    ids = [clip.video_id for clip in plan]
    hashes = [json.loads(_record(clip, out_dir).read_text())["sha256"] for clip in plan]
    table = pd.DataFrame(
        {"video_id": ids, "path": [f"videos/{i}.mp4" for i in ids], "speaker": speakers, "sha256": hashes}
    )
    truth = pd.DataFrame(
        {
            "video_id": ids,
            "kind": [clip.kind for clip in plan],
            "offset_frames": [clip.offset for clip in plan],
            "speaker": speakers,
        }
    )
    return table, truth


def _plan(settings: SyntheticSettings, seed: int, cast: Cast = BUILTIN) -> list[_Clip]:
    """Draw who talks in each clip and which clips are spoilt: half of them dubbed, half shifted."""
    rng = np.random.default_rng([seed, 0])
    identities = min(settings.identities, len(cast.portraits) or settings.identities)
    frames = round(settings.seconds * FPS)
    noisy = rng.permutation(settings.clips)[: round(settings.noisy_share * settings.clips)]
    dubbed = {int(i) for i in noisy[: len(noisy) // 2]}
    shifted = {int(i) for i in noisy[len(noisy) // 2 :]}
    plan = []
    for number in range(settings.clips):
        speaker = number % identities
        kind: Kind = "dubbed" if number in dubbed else "shifted" if number in shifted else "clean"
        size, sign = int(rng.integers(MIN_SHIFT, MAX_SHIFT + 1)), int(rng.choice([-1, 1]))
        other = (speaker + int(rng.integers(1, identities))) % identities
        portrait, sources = _sources(seed, speaker, other if kind == "dubbed" else speaker, number, cast)
        plan.append(
            _Clip(
                video_id=f"s{speaker:03d}_{number:05d}",
                speaker=speaker,
                number=number,
                frames=frames,
                kind=kind,
                offset=sign * size if kind == "shifted" else 0,
                audio_of=other if kind == "dubbed" else speaker,
                seed=seed,
                portrait=portrait,
                sources=sources,
            )
        )
    return plan


def _sources(seed: int, speaker: int, audio_of: int, number: int, cast: Cast) -> tuple[int, tuple[str, ...]]:
    """Which of the speaker's photographs a clip shows; the hashes of all of them and of all recordings it may use."""
    if cast == BUILTIN:
        return 0, ()
    portraits = identity(seed, speaker, cast).portraits
    chosen = int(np.random.default_rng([seed, 5, number]).integers(len(portraits))) if portraits else 0
    hashes = [portrait.sha256 for portrait in portraits]  # one lends its proportions, another its teeth
    for name in dict.fromkeys((speaker, audio_of)):
        hashes += [recording.sha256 for recording in identity(seed, name, cast).recordings]
    return chosen, tuple(hashes)


def _record(clip: _Clip, out_dir: Path) -> Path:
    return out_dir / ".made" / f"{clip.video_id}.json"


def _is_made(clip: _Clip, out_dir: Path) -> bool:
    record, video = _record(clip, out_dir), out_dir / "videos" / f"{clip.video_id}.mp4"
    if not record.exists() or not video.exists():
        return False
    made = json.loads(record.read_text())
    return bool(made["key"] == clip.key() and made["sha256"] == sha256(video))


def _make_one(clip: _Clip, out_dir: Path, cast: Cast = BUILTIN) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng([clip.seed, 1, clip.number])
    person = identity(clip.seed, clip.speaker, cast)
    samples, phonemes = _speech(person, clip.frames, rng)
    video_rng, scene_rng, audio_rng = rng.spawn(3)
    if clip.kind == "dubbed":
        samples, _ = _speech(identity(clip.seed, clip.audio_of, cast), clip.frames, audio_rng)
    start = round(_MARGIN * SAMPLE_RATE) + clip.offset * SAMPLES_PER_FRAME
    audio = _recorded(samples, audio_rng)[start : start + clip.frames * SAMPLES_PER_FRAME]
    filmed_in = scene(scene_rng, WIDTH, HEIGHT)
    portrait = person.portraits[clip.portrait] if person.portraits else None
    if portrait and portrait.smiling:
        person = replace(person, style=replace(person.style, smile=person.style.smile + _SMILE))
    photo = gallery.load(portrait) if portrait else builtin()
    frames = _frames(person, photo, filmed_in, phonemes, clip.frames, video_rng)
    crf = int(scene_rng.integers(17, 28))
    video, record = out_dir / "videos" / f"{clip.video_id}.mp4", _record(clip, out_dir)
    with atomic(video) as temporary:
        encode.write_video(temporary, frames, audio, crf=crf)
    write_json(record, {"key": clip.key(), "sha256": sha256(video)})


def _speech(person: Identity, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, list[Phoneme]]:
    """Random sentences and pauses, from `_MARGIN` before a clip's first frame to `_MARGIN` after its last.

    Returns:
        samples: (N,) float32 at 16 kHz.
        phonemes: without gaps, in seconds from the clip's first frame.
    """
    length = frames / FPS + 2 * _MARGIN
    samples = np.zeros(round(length * SAMPLE_RATE), np.float32)
    found: list[Phoneme] = []
    # Recorded utterances are longer than the synthesised ones, and few: a clip may begin late in one.
    at = float(rng.uniform(-4.0 if person.recordings else -1.5, 0.3))
    while at < length:
        said, phonemes = _utterance(person, rng)
        first = round(at * SAMPLE_RATE)
        here = said[max(0, -first) :][: max(0, len(samples) - max(first, 0))]
        samples[max(first, 0) : max(first, 0) + len(here)] += here * np.float32(rng.uniform(0.7, 1.2))
        found += [p.moved(at) for p in phonemes if p.end + at > 0 and p.start + at < length]
        at += len(said) / SAMPLE_RATE + float(rng.choice([rng.uniform(0.08, 0.3), rng.uniform(0.3, 1.0)]))
    whole = pauses_between(found, min(0.0, found[0].start) if found else 0.0, length)
    return samples, [p.moved(-_MARGIN) for p in whole]


def _utterance(person: Identity, rng: np.random.Generator) -> tuple[np.ndarray, list[Phoneme]]:
    """A recorded utterance of the person, or a random sentence at a random rate and pitch."""
    if person.recordings:
        return recordings.read(person.recordings[int(rng.integers(len(person.recordings)))], person.voice.tract)
    voice = replace(
        person.voice,
        rate=int(person.voice.rate * rng.uniform(0.85, 1.2)),
        pitch=int(np.clip(person.voice.pitch + rng.normal(0, 6), 0, 99)),
    )
    return speak(sentence(rng), voice)


def _recorded(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate breath, a room, a microphone and a level, none of which delays the samples.

    Args:
        samples: (N,) float32 at 16 kHz.
        rng: random generator.

    Returns:
        (N,) int16.
    """
    breathing = _with_breath(_normalised(samples), rng)
    coloured = _normalised(_coloured(_in_room(breathing, rng), rng))
    octaves = _octaves(len(samples))
    spectrum = np.fft.rfft(rng.standard_normal(len(samples))) * 2.0 ** (-octaves * rng.uniform(0.0, 0.6))
    noise = np.fft.irfft(spectrum, len(samples))
    noise *= 10 ** (-rng.uniform(12, 50) / 20) / max(1e-6, float(np.sqrt(np.mean(noise**2))))
    level = 10 ** (rng.uniform(-30, -15) / 20)
    return np.clip((coloured + noise) * level * 32767, -32768, 32767).astype(np.int16)


def _with_breath(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add aspiration noise, which a formant synthesiser lacks, in proportion to the momentary loudness."""
    loudness = np.sqrt(np.maximum(fftconvolve(samples**2, np.ones(320) / 320, mode="same"), 0))
    return samples + rng.uniform(0.0, 0.12) * loudness * rng.standard_normal(len(samples))


def _in_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add reverberation: noise that decays by 60 dB in a random time."""
    decay = rng.uniform(0.05, 0.45)
    tail = np.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.standard_normal(len(tail)) * np.exp(-6.9 * tail / decay)  # 6.9 = ln(1000)
    echo[: int(0.004 * SAMPLE_RATE)] = 0
    echo *= rng.uniform(0.0, 0.35) / max(1e-6, float(np.sqrt((echo**2).sum())))
    echo[0] = 1.0
    return np.asarray(fftconvolve(samples, echo)[: len(samples)])


def _coloured(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply the frequency response of microphone and room: a smooth gain of zero phase, so without delay."""
    octaves = _octaves(len(samples))
    knots = np.linspace(octaves[0], octaves[-1], 7)
    gain = np.interp(octaves, knots, rng.normal(0, 3, 7)) + octaves * rng.normal(0, 1.5)
    spectrum = np.fft.rfft(samples) * 10 ** (np.clip(gain, -18, 18) / 20)
    return np.fft.irfft(spectrum, len(samples))


def _octaves(count: int) -> np.ndarray:
    """Frequencies of a real Fourier transform of `count` samples, in octaves from 1 kHz."""
    return np.log2(np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 40) / 1000)


def _normalised(samples: np.ndarray) -> np.ndarray:
    """Scale to a root mean square of 1."""
    return samples / max(1e-6, float(np.sqrt(np.mean(samples**2))))


def _frames(
    person: Identity, photo: Photo, filmed_in: Scene, phonemes: list[Phoneme], count: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """The pictures of a clip, (H, W, 3) uint8 each."""
    track = _track(person, phonemes, count, rng)
    blink = _blinks(count, rng)
    lively = 0.3 + 1.2 * person.liveliness
    brow = 0.5 * lively * _wander(rng, count, 0.35)
    pose = _poses(track, lively, rng)
    puppet = Puppet(photo, person.look, filmed_in)
    points = puppet.positions(track, blink, brow, pose)
    # Two unsigned halves: adding signed numbers to pixels takes six times as long.
    grain = (rng.normal(0, filmed_in.noise, (HEIGHT + 32, WIDTH + 32, 1)) * [1, 1, 1]).round()
    brighter, darker = np.maximum(grain, 0).astype(np.uint8), np.maximum(-grain, 0).astype(np.uint8)
    for place, gesture in zip(points, track, strict=True):
        down, right = rng.integers(0, 33, 2)
        window = np.s_[down : down + HEIGHT, right : right + WIDTH]
        frame = puppet.draw(place, gesture)
        yield np.asarray(cv2.subtract(cv2.add(frame, brighter[window]), darker[window]), np.uint8)


def _track(person: Identity, phonemes: list[Phoneme], count: int, rng: np.random.Generator) -> np.ndarray:
    """Gestures of each frame, (T, 8), averaged while the shutter is open, with random variation."""
    # A frame shows the middle of its 40 ms; the shutter is open for a part of it.
    shutter = np.array([-0.25, 0.0, 0.25]) * rng.uniform(0.2, 1.0)
    instants = (np.arange(count)[:, None] + 0.5 + shutter) / FPS
    track = articulation.gestures(phonemes, instants.ravel(), person.style).reshape(count, len(shutter), -1).mean(1)
    loose = 1 + 0.12 * _wander(rng, count, 0.3)
    track[:, :2] *= np.clip(loose, 0.6, 1.4)[:, None]
    track[:, 3] += 0.07 * _wander(rng, count, 0.5)
    return np.asarray(track)


def _blinks(count: int, rng: np.random.Generator) -> np.ndarray:
    """Closure of the lids in each frame, (T,) in 0..1."""
    blink = np.zeros(count)
    at = float(rng.exponential(2.0))
    while at < count / FPS:
        seconds = np.arange(count) / FPS - at
        blink = np.maximum(blink, np.clip(1.6 - np.abs(seconds - 0.08) / 0.06, 0, 1))
        at += 0.4 + float(rng.exponential(3.0))
    return blink


def _poses(track: np.ndarray, lively: float, rng: np.random.Generator) -> np.ndarray:
    """Pose of the head in each frame, (T, 5), as `Puppet.positions` takes it; it nods as the jaw opens."""
    count = len(track)
    loud = track[:, 1] - track[:, 1].mean()
    return np.stack(
        [
            rng.normal(0, 0.08) + 0.035 * lively * _wander(rng, count, 0.5),
            rng.normal(0, 0.05) + 0.025 * lively * _wander(rng, count, 0.35) - 0.02 * lively * loud,
            rng.normal(0, 0.05) + 0.018 * lively * _wander(rng, count, 0.6),
            1.5 * lively * _wander(rng, count, 0.7),
            1.0 * lively * _wander(rng, count, 0.6),
        ],
        1,
    )


def _wander(rng: np.random.Generator, count: int, seconds: float) -> np.ndarray:
    """Smooth random motion of unit variance, (count,), with a time constant in seconds."""
    width = max(seconds * FPS, 0.5)
    reach = int(4 * width)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    return np.convolve(rng.standard_normal(count + 2 * reach), kernel, mode="valid")
