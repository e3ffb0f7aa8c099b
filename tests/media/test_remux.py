"""remux: what a copy keeps beside its packets, and what it says that it does not."""

import errno
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import OutputContainer
from av.stream import Disposition

from syncnet_lib.media import retime, tracks
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.correction import Cure
from tests import clockclip

DELAY = Fraction(-5, FPS)
PLACE, MAKE = "com.apple.quicktime.location.ISO6709", "com.apple.quicktime.make"
METADATA = {"title": "Interview", "timecode": "01:00:00:00", PLACE: "+52.2297+021.0122/", MAKE: "Apple"}


def _copied(
    path: Path,
    out: Path,
    tag: str = "",
    options: dict[str, str] | None = None,
    add: Callable[[OutputContainer], None] | None = None,
) -> Path:
    """The packets of a clip in a file with more in it: a tag of its video, or what a function adds."""
    with av.open(str(path)) as source, av.open(str(out), "w", options=options or {}) as target:
        streams = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        streams[0].codec_context.framerate = Fraction(FPS)  # a time code wants to know it
        if tag:
            streams[0].codec_context.codec_tag = tag
        if add:
            add(target)
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return out


def _clip(path: Path, **options: object) -> Path:
    clockclip.make(path, clockclip.picture_times(Fraction(FPS), 3.0), **options)
    return path


def _boxes(path: Path) -> list[bytes]:
    """Names of the outermost boxes of an MP4 file."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    return names


@pytest.mark.parametrize("tag", ["hvc1", "hev1"])
@pytest.mark.parametrize("first", [True, False])
def test_the_codec_tag_and_the_place_of_the_index_stay(tmp_path: Path, tag: str, first: bool) -> None:
    clip = _clip(tmp_path / "clip.mkv", video_codec="libx265", video_options={"x265-params": "log-level=none"})
    flags = {"movflags": "+faststart"} if first else {}
    path = _copied(clip, tmp_path / "tagged.mp4", tag, flags)
    assert retime.retime(path, tmp_path / "out.mp4", Cure.shift(DELAY)) == retime.Copy(exact=True, left_out=())
    with av.open(str(tmp_path / "out.mp4")) as copy:
        assert copy.streams.video[0].codec_context.codec_tag == tag
    for file in (path, tmp_path / "out.mp4"):
        boxes = _boxes(file)
        assert (boxes.index(b"moov") < boxes.index(b"mdat")) == first


def _camera(tmp_path: Path) -> Path:
    def add(target: OutputContainer) -> None:
        target.metadata.update(METADATA)
        base = Fraction(1, 1000)
        spans = [(0, 1000, "one"), (1000, 3000, "two")]
        target.set_chapters(
            [
                {"id": number, "start": start, "end": end, "time_base": base, "metadata": {"title": title}}
                for number, (start, end, title) in enumerate(spans)
            ]
        )

    return _copied(
        _clip(tmp_path / "clip.mp4"), tmp_path / "camera.mov", options={"movflags": "use_metadata_tags"}, add=add
    )


def test_what_a_camera_wrote_stays(tmp_path: Path) -> None:
    path, out = _camera(tmp_path), tmp_path / "out.mov"
    assert retime.retime(path, out, Cure.shift(DELAY)) == retime.Copy(exact=True, left_out=())
    with av.open(str(out)) as copy:
        assert METADATA.items() <= copy.metadata.items()
        assert "timecode" in [key for stream in copy.streams.data for key in stream.metadata]
        shown, heard = (next(each for each in tracks.read(out) if each.kind == kind) for kind in ("video", "audio"))
        begun = Fraction(copy.streams.video[0].start_time or 0) * (copy.streams.video[0].time_base or 0)
        second = copy.chapters()[1]
        assert second["time_base"] is not None
        assert float(second["start"] * second["time_base"] - begun) == pytest.approx(1, abs=0.002)
        assert heard.start - shown.start == pytest.approx(-0.2, abs=0.03)


def test_what_the_container_cannot_hold_is_named(tmp_path: Path) -> None:
    copy = retime.retime(_camera(tmp_path), tmp_path / "out.mkv", Cure.shift(DELAY))
    assert copy.exact
    assert [name.split(": ")[1] for name in copy.left_out] == ["data track 01:00:00:00"]
    copy = retime.retime(tmp_path / "camera.mov", tmp_path / "out.ts", Cure.shift(DELAY))
    assert {"2 chapters", f"metadata: {MAKE}"} <= set(copy.left_out)


def _with_cover(target: OutputContainer) -> None:
    cover = target.add_stream("mjpeg", rate=1)
    cover.width = cover.height = 32
    cover.pix_fmt = "yuvj420p"
    cover.disposition = Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 200, np.uint8), format="rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    for packet in [*cover.encode(frame), *cover.encode(None)]:
        target.mux(packet)


def test_a_cover_picture_stays(tmp_path: Path) -> None:
    path = _copied(_clip(tmp_path / "clip.mp4"), tmp_path / "covered.mp4", add=_with_cover)
    for suffix in ("mp4", "mkv"):
        out = tmp_path / f"out.{suffix}"
        assert retime.retime(path, out, Cure.shift(DELAY)) == retime.Copy(exact=True, left_out=())
        with av.open(str(path)) as source, av.open(str(out)) as copy:
            pictures = []
            for container in (source, copy):
                covers = [s for s in container.streams.video if Disposition.attached_pic in s.disposition]
                pictures.append([bytes(packet) for packet in container.demux(covers) if packet.size])
        assert len(pictures[0]) == 1
        assert pictures[1] == pictures[0]
    left_out = retime.retime(path, tmp_path / "out.ts", Cure.shift(DELAY)).left_out
    assert [name.split(": ")[1] for name in left_out if "stream" in name] == ["picture (mjpeg)"]


def test_attachments_stay_in_matroska(tmp_path: Path) -> None:
    def add(target: OutputContainer) -> None:
        target.add_attachment("font.ttf", "font/ttf", b"no font at all")

    path = _copied(_clip(tmp_path / "clip.mp4"), tmp_path / "attached.mkv", add=add)
    assert retime.retime(path, tmp_path / "out.mkv", Cure.shift(DELAY)) == retime.Copy(exact=True, left_out=())
    assert b"no font at all" in (tmp_path / "out.mkv").read_bytes()
    copy = retime.retime(path, tmp_path / "out.mp4", Cure.shift(DELAY))
    assert copy.left_out == ("stream 2: attachment font.ttf",)


def test_a_file_whose_clock_starts_over_is_copied_on_one_clock(tmp_path: Path) -> None:
    one = _clip(tmp_path / "one.ts", audio_codec="mp2", rate=48_000)
    (tmp_path / "joined.ts").write_bytes(one.read_bytes() * 2)
    retime.retime(tmp_path / "joined.ts", tmp_path / "out.mkv", Cure.shift(DELAY))
    with av.open(str(tmp_path / "out.mkv")) as copy:
        times = [float(packet.pts * packet.time_base) for packet in copy.demux(video=0) if packet.size]
    assert len(times) == 150
    assert max(times) == pytest.approx(6, abs=0.3)


def test_a_full_disk_is_no_fault_of_the_container_and_leaves_nothing(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "clip.mp4")
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={clip.stat().st_size // 2}", "tmpfs", str(small)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        with pytest.raises(OSError, match="No space left") as told:
            retime.retime(clip, small / "out.mp4", Cure.shift(DELAY))
        assert told.value.errno == errno.ENOSPC
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
