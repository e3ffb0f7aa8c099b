"""What becomes of damaged files: mutated videos of eight containers, each measured and copied, and what was answered.

    python -m benchmarks.fuzz                                   # 200 files of a talker that it makes first
    python -m benchmarks.fuzz --video VIDEO --count 2000        # of the first seconds of a video, which must be in sync
    python -m benchmarks.fuzz --video VIDEO --only 17 --keep DIR   # one file of a run again, kept to be looked at

Bytes are flipped, headers lie, parts are cut out, exchanged or repeated, files are joined, packets lost or exchanged.
Each file is answered in bounded time: a verdict, or one line that says why there is none. A process that is lost and an
exception that nobody foresaw are faults, and so is another offset than the original's where the packets of both streams
and their times are what they were. The same seed gives the same files.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import av.error
import numpy as np
import typer

from benchmarks import machine
from syncnet_lib import files, parallel
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import analyse, checkpoints, examination
from syncnet_lib.media import audio, decode, encode, remux, retime
from syncnet_lib.media.clock import FPS, SAMPLES_PER_FRAME
from syncnet_lib.media.correction import Cure
from syncnet_lib.media.streams import opened
from syncnet_lib.model.scoring import TOLERANCE
from syncnet_lib.paths import ROOT
from syncnet_lib.synthetic import corpus
from syncnet_lib.synthetic.settings import SyntheticSettings

CONTAINERS = {
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "pcm_s16le"),
    "mkv": ("libx264", "flac"),
    "webm": ("libvpx", "libopus"),
    "avi": ("mpeg4", "libmp3lame"),
    "ts": ("libx264", "mp2"),
    "mpg": ("mpeg2video", "mp2"),
    "flv": ("flv1", "aac"),
}
"""Suffix to the encoders of its pictures and sound."""
SECONDS = 3
"""Of the originals."""
LIMIT = 60.0
"""Seconds after which a file is given up: what `syncnet offset` allows a short video."""
HEADER = 4096
"""Bytes at the beginning, and at the end, in which headers and indexes lie."""
MOVED = Fraction(3, FPS)
"""By how much the sound of the copies is moved."""

Bytes = np.ndarray
"""(N,) uint8 content of a file."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One file to be made and answered.

    Attributes:
        number: of it; with the seed it determines the file.
        seed: of the run.
        folder: of the originals.
        keep: folder that keeps the file; None deletes it.
    """

    number: int
    seed: int
    folder: Path
    keep: Path | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of a file.

    Attributes:
        number, container, mutation: which file.
        kind: sure, not sure, refused, or what went wrong: time limit, process lost, unexpected.
        said: the verdict, or the cause without its numbers.
        offset: in frames, where it was measured.
        intact: whether the packets of both streams and their times are those of the original.
        copied: "copied", or why not, in the same words as `said`.
        seconds: of work.
    """

    number: int
    container: str
    mutation: str
    kind: str
    said: str
    offset: int | None = None
    intact: bool = False
    copied: str = ""
    seconds: float = 0.0


def flipped(data: Bytes, rng: np.random.Generator) -> Bytes:
    """Some bytes are others."""
    data = data.copy()
    at = rng.integers(len(data), size=int(2 ** rng.uniform(0, 8)))
    data[at] = rng.integers(256, size=len(at))
    return data


def lying(data: Bytes, rng: np.random.Generator) -> Bytes:
    """Some bytes where headers lie are others: sizes, rates, counts, offsets."""
    data = data.copy()
    at = rng.integers(min(HEADER, len(data)), size=int(rng.integers(1, 9)))
    at = np.where(rng.random(len(at)) < 0.5, at, len(data) - 1 - at)
    data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))], size=len(at))
    return data


def cut(data: Bytes, rng: np.random.Generator) -> Bytes:
    """The beginning, the end or a part of the middle is missing."""
    start, stop = sorted(int(each) for each in rng.integers(len(data), size=2))
    return [data[start:], data[:stop], np.concatenate([data[:start], data[stop:]])][int(rng.integers(3))]


def exchanged(data: Bytes, rng: np.random.Generator) -> Bytes:
    """Two blocks are exchanged, or one is repeated."""
    size = int(rng.choice([188, 512, 2048, 4096]))
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    one, two = (int(each) for each in rng.integers(len(blocks), size=2))
    if rng.random() < 0.5:
        blocks[one], blocks[two] = blocks[two], blocks[one]
    else:
        blocks.insert(one, blocks[two])
    return np.concatenate(blocks)


def joined(data: Bytes, rng: np.random.Generator, others: list[Path]) -> Bytes:
    """Another recording, or this one again, or a part of it, follows."""
    other = read(others[int(rng.integers(len(others)))])
    return np.concatenate([data, [other, data, other[len(other) // 3 :]][int(rng.integers(3))]])


BYTEWISE: dict[str, Callable[[Bytes, np.random.Generator], Bytes]] = {
    "flipped bytes": flipped,
    "lying header": lying,
    "cut": cut,
    "exchanged blocks": exchanged,
}
JOINED, LOST, SWAPPED, REWRITTEN = "joined", "lost packets", "exchanged contents", "written again"
MUTATIONS = (*BYTEWISE, JOINED, LOST, SWAPPED, REWRITTEN)


def read(path: Path) -> Bytes:
    """A file's content."""
    return np.frombuffer(path.read_bytes(), np.uint8)


def repacked(source: Path, out: Path, mutation: str, rng: np.random.Generator) -> None:
    """Write the packets of a file again: without some, with the contents of some exchanged, or as they are."""
    with av.open(str(source)) as old, av.open(str(out), "w") as new:
        streams = {stream.index: new.add_stream_from_template(stream, opaque=True) for stream in old.streams}
        packets = [packet for packet in old.demux() if packet.size]
        places = rng.integers(1, len(packets), size=int(rng.integers(1, 9)))
        if mutation == LOST:
            packets = [packet for number, packet in enumerate(packets) if number not in places]
        elif mutation == SWAPPED:
            for one, two in itertools.pairwise(int(each) for each in places):
                if packets[one].stream_index == packets[two].stream_index:
                    parts = bytes(packets[one]), bytes(packets[two])
                    packets[one], packets[two] = holding(packets[one], parts[1]), holding(packets[two], parts[0])
        for packet in packets:
            packet.stream = streams[packet.stream_index]
            new.mux(packet)


def holding(packet: av.Packet, content: bytes) -> av.Packet:
    """A packet in the place of another, with its times and other bytes."""
    new = av.Packet(content)
    new.stream, new.time_base = packet.stream, packet.time_base
    new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
    new.is_keyframe = packet.is_keyframe
    return new


def make(job: Job, out: Path) -> tuple[str, str]:
    """Write the mutated file of a number to `out`, which gets its suffix; gives container and mutation."""
    rng = np.random.default_rng([job.seed, job.number])
    containers = list(CONTAINERS)
    container, mutation = containers[job.number % len(containers)], str(rng.choice(MUTATIONS))
    source = job.folder / f"original.{container}"
    target = out.with_suffix(f".{container}")
    try:
        if mutation in BYTEWISE:
            target.write_bytes(BYTEWISE[mutation](read(source), rng).tobytes())
        elif mutation == JOINED:
            others = [job.folder / f"original.{each}" for each in (container, str(rng.choice(containers)))]
            target.write_bytes(joined(read(source), rng, others).tobytes())
        else:
            repacked(source, target, mutation, rng)
    except (av.error.FFmpegError, ValueError):  # the muxer refuses these packets: what it has written is the file
        target.touch()
    return container, mutation


@functools.cache
def contents(path: Path) -> str:
    """A hash of the bytes of all packets of pictures and sound, and of their times from the first picture on."""
    with opened(path) as container:
        streams = [stream for stream in container.streams if stream.type in ("video", "audio")]
        kinds = {stream.index: stream.type for stream in streams}
        packets = [
            (kinds[packet.stream_index], remux.moment(packet) or Fraction(0), bytes(packet))
            for packet in remux.packets(container, streams, path)
        ]
    origin = min((moment for kind, moment, _ in packets if kind == "video"), default=Fraction(0))
    digest = hashlib.sha256()
    for kind in ("video", "audio"):
        for own, moment, content in packets:
            if own == kind:
                digest.update(f"{round((moment - origin) * 1000)}".encode() + content)
    return digest.hexdigest()


def answer(job: Job) -> Answer:
    """Make a file, measure it, and copy it with its sound moved."""
    model, info = checkpoints.load("small", "cpu")
    settings = analyse.settings_for(model, 15, None, cropped=False)
    with tempfile.TemporaryDirectory(prefix="syncnet-fuzz-") as scratch:
        name = (job.keep or Path(scratch)) / f"{job.number:05d}"
        container, mutation = make(job, name)
        path = name.with_suffix(f".{container}")
        intact = False
        with contextlib.suppress(InputError):
            intact = contents(path) == contents(job.folder / f"original.{container}")
        start = time.perf_counter()
        found = Answer(job.number, container, mutation, "refused", "", intact=intact)
        try:
            result = examination.measure(path, model, info, settings)
            kind = "sure" if result.sureness == "sure" else "not sure"
            found = dataclasses.replace(found, kind=kind, said=result.verdict, offset=result.offset_frames)
        except InputError as error:
            found = dataclasses.replace(found, said=plain(error.cause))
        except Exception as error:
            found = dataclasses.replace(found, kind="unexpected", said=f"{type(error).__name__}: {error}")
        try:
            suffix = "mkv" if container in retime.UNTIMED else container
            retime.retime(path, Path(scratch) / f"copy.{suffix}", Cure.shift(MOVED))
            copied = "copied"
        except InputError as error:
            copied = plain(error.cause)
        except Exception as error:
            copied = f"unexpected {type(error).__name__}: {error}"
    return dataclasses.replace(found, copied=copied, seconds=round(time.perf_counter() - start, 2))


def plain(cause: str) -> str:
    """A cause without its numbers and what libav adds."""
    return re.sub(r"[+-]?\d+(\.\d+)?", "N", cause).partition(":")[0]


def prepare(video: Path | None, folder: Path) -> None:
    """Write the originals, one a container, of the first seconds of a video or of a talker that is made."""
    if video is None:
        settings = SyntheticSettings(clips=1, identities=2, seconds=SECONDS, noisy_share=0.0)
        videos, _ = corpus.make(folder / "made", settings, seed=0, workers=0, progress=False)
        video = folder / "made" / videos.path[0]
    pixels = list(itertools.islice(decode.read_frames(video), SECONDS * FPS))
    samples = audio.read_audio(video)[: len(pixels) * SAMPLES_PER_FRAME]
    for suffix, (pictures, sound) in CONTAINERS.items():
        path = folder / f"original.{suffix}"
        encode.write_video(path, pixels, samples, video_codec=pictures, audio_codec=sound)


def run(video: Path | None, count: int, seed: int, workers: int) -> dict[str, Any]:
    """Answer mutated files and count what was answered."""
    with tempfile.TemporaryDirectory(prefix="syncnet-fuzz-") as name:
        folder = Path(name)
        prepare(video, folder)
        model, info = checkpoints.load("small", "cpu")
        settings = analyse.settings_for(model, 15, None, cropped=False)
        paths = {each: folder / f"original.{each}" for each in CONTAINERS}
        originals = {each: examination.measure(path, model, info, settings) for each, path in paths.items()}
        jobs = [Job(number, seed, folder) for number in range(count)]
        answers = []
        with contextlib.suppress(KeyboardInterrupt):  # what is done is counted
            for job, done in parallel.run(answer, jobs, workers=workers, describe="fuzz", time_limit=lambda _: LIMIT):
                answers.append(lost(job, done) if isinstance(done, Exception) else done)
    return summary(answers, {each: result.offset_frames for each, result in originals.items()}) | {
        "seed": seed,
        "originals": {each: [result.offset_frames, result.sureness] for each, result in originals.items()},
    }


def lost(job: Job, error: Exception) -> Answer:
    """An answer that is none."""
    with tempfile.TemporaryDirectory(prefix="syncnet-fuzz-") as scratch:
        container, mutation = make(job, Path(scratch) / "lost")
    kind = {TimeoutError: "time limit", parallel.WorkerLost: "process lost"}.get(type(error), "unexpected")
    return Answer(job.number, container, mutation, kind, parallel.reason(error))


def summary(answers: list[Answer], originals: dict[str, int]) -> dict[str, Any]:
    """Counts by kind, container and mutation; what is a fault, by its number.

    Args:
        answers: to all files.
        originals: offset of each container's original, frames.
    """

    def off(found: Answer) -> bool:
        return found.offset is not None and abs(found.offset - originals[found.container]) > TOLERANCE

    faults = [found for found in answers if found.kind in ("time limit", "process lost", "unexpected")]
    faults += [found for found in answers if found.copied.startswith("unexpected")]
    intact = [found for found in answers if found.intact and found.offset is not None]
    sure = [found for found in answers if found.kind == "sure"]
    return {
        "files": len(answers),
        "kinds": counted(found.kind for found in answers),
        "by_container": {
            each: counted(found.kind for found in answers if found.container == each) for each in CONTAINERS
        },
        "by_mutation": {each: counted(found.kind for found in answers if found.mutation == each) for each in MUTATIONS},
        "refused_because": counted(found.said for found in answers if found.kind == "refused"),
        "copies": counted(found.copied for found in answers if found.copied),
        "intact": {
            "files": sum(found.intact for found in answers),
            "measured": len(intact),
            "within_tolerance": sum(not off(found) for found in intact),
        },
        "altered_and_sure": {
            "files": sum(not found.intact for found in sure),
            "another_offset": sorted(found.number for found in sure if not found.intact and off(found)),
        },
        "faults": [dataclasses.asdict(found) for found in [*faults, *(found for found in intact if off(found))]],
        "seconds": {
            "median": float(np.median([found.seconds for found in answers])),
            "most": max(found.seconds for found in answers),
        },
    }


def counted(names: Any) -> dict[str, int]:
    """How often each occurs, the most frequent first."""
    return dict(Counter(names).most_common())


def again(video: Path | None, number: int, seed: int, keep: Path) -> Answer:
    """Make one file of a run again, keep it, and answer it in this process."""
    with tempfile.TemporaryDirectory(prefix="syncnet-fuzz-") as folder:
        prepare(video, Path(folder))
        return answer(Job(number, seed, Path(folder), keep))


def main(
    video: Annotated[Path | None, typer.Option(help="a talker in sync; by default one is made")] = None,
    count: Annotated[int, typer.Option(help="mutated files")] = 200,
    seed: Annotated[int, typer.Option(help="another one gives other files")] = 0,
    workers: Annotated[int, typer.Option(help="processes")] = 1,
    only: Annotated[int | None, typer.Option(help="make and answer the file of this number alone")] = None,
    keep: Annotated[Path, typer.Option(help="folder that keeps that file")] = Path(),
    out: Annotated[Path, typer.Option(help="file of the result")] = ROOT / "reports" / "bench" / "fuzz.json",
) -> None:
    """What becomes of damaged files."""
    if only is not None:
        print(again(video, only, seed, keep))
        return
    result = run(video, count, seed, workers)
    files.write_json(out, {"machine": machine.describe(), **result})
    print(json.dumps(result, indent=2))
    raise typer.Exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    typer.run(main)
