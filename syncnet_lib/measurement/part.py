"""Which stretches of a video are looked at."""

import re
from pathlib import Path

from syncnet_lib.dataset import exchange
from syncnet_lib.errors import InputError
from syncnet_lib.measurement.settings import WatchSettings
from syncnet_lib.media import decode, streams
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.restart import running_clock

_SAMPLE = re.compile(r"(\d{1,4})x(\d+(?:\.\d+)?)s?")


def stretches(path: Path, settings: WatchSettings) -> list[tuple[int, int | None]]:
    """First frame of each stretch, and the one after its last; None for the end of the video.

    Args:
        path: a video, or a folder of frames.
        settings: which part of it.

    Raises:
        InputError: the part lies outside of the video, or is none.
    """
    counted = _parsed(settings.sample)
    if settings.whole:
        return [(0, None)]
    duration = len(exchange.frame_files(path)) / FPS if path.is_dir() else _duration(path)
    start, end = settings.start, settings.end or duration
    if start >= duration or end > duration + 1 / FPS:
        wanted = f"{start:g} to {end:g} s" if settings.end else f"what is after {start:g} s"
        raise InputError(path, f"is {duration:.2f} s long, without {wanted}", "give another --start or --end")
    if end <= start:
        raise InputError("--end", f"{end:g} s is not after --start, {start:g} s", "give a later one")
    spans = [(start, end)]
    if counted and counted[0] * counted[1] < end - start:
        count, seconds = counted
        each = (end - start) / count
        spans = [(begin := start + (n + 0.5) * each - seconds / 2, begin + seconds) for n in range(count)]
    frames = [(round(first * FPS), round(last * FPS)) for first, last in spans]
    return [*frames[:-1], (frames[-1][0], None if frames[-1][1] >= round(duration * FPS) else frames[-1][1])]


def _duration(path: Path) -> float:
    """Seconds of a file; what it says of itself ends where its clock starts over, so that its pictures are counted."""
    info, clock = decode.probe(path), running_clock(path)
    if not clock.restarts or not info.fps:
        return info.duration
    with streams.opened(path) as container:
        video = streams.video_stream(container)
        return info.duration if video is None else clock.packets[video.index] / info.fps


def _parsed(sample: str) -> tuple[int, float] | None:
    """Number and length in seconds.

    Raises:
        InputError: they are not in there.
    """
    if not sample:
        return None
    form = _SAMPLE.fullmatch(sample)
    if form is None or not int(form[1]) or not float(form[2]):
        raise InputError("--sample", f"{sample} is not a number of stretches and their length", "write it as 6x25s")
    return int(form[1]), float(form[2])


def spoken(spans: list[tuple[int, int | None]]) -> str:
    """Stretches in words."""
    if len(spans) > 2:
        return f"{len(spans)} stretches of {((spans[0][1] or 0) - spans[0][0]) / FPS:g} s"
    return ", ".join(f"{first / FPS:g} to {f'{stop / FPS:g} s' if stop else 'the end'}" for first, stop in spans)
