import hashlib
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data

from syncnet_lib.dataset import grid, sources
from syncnet_lib.dataset.settings import CorpusSettings
from syncnet_lib.errors import InputError
from syncnet_lib.media import encode
from tests.fileserver import Server


def write_video(path: Path, seed: int = 0, sound: bool = True) -> None:
    """Half a second of coloured noise; another seed is another file."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [np.full((64, 80, 3), rng.integers(0, 255), dtype=np.uint8) for _ in range(12)]
    samples = rng.integers(-1000, 1000, 12 * 640 if sound else 0).astype(np.int16)
    made = path.with_name(f"{path.stem}.mp4")
    encode.write_video(made, frames, samples)
    made.rename(path)


def make(tmp_path: Path, settings: CorpusSettings) -> sources.Corpus:
    return sources.make(tmp_path / "raw", tmp_path, tmp_path / "cache", settings, 0, 0, progress=False)


def test_folder_keeps_videos_and_tells_why_others_are_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "my videos"
    write_video(folder / "a.MP4", 1)
    write_video(folder / "s3" / "Ünï cöde.mkv", 2)
    write_video(folder / "s3" / "copy.mp4", 1)
    write_video(folder / "mute.mov", 3, sound=False)
    (folder / "broken.mp4").write_bytes(b"not a video at all")
    (folder / "empty.mov").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    (folder / "README.md").write_text("x")
    (folder / "loop").symlink_to(folder)
    made = make(tmp_path, CorpusSettings(source="folder", path="my videos"))

    assert made.videos.path.tolist() == ["my videos/a.MP4", "my videos/s3/Ünï cöde.mkv"]
    assert made.videos.speaker.tolist() == ["", ""]
    assert made.videos.video_id.str.fullmatch(r"[A-Za-z0-9_-]+").all()
    assert made.videos.sha256[0] == hashlib.sha256((folder / "a.MP4").read_bytes()).hexdigest()
    reasons = dict(made.skipped.itertuples(index=False))
    assert set(reasons) == {"s3/copy.mp4", "mute.mov", "broken.mp4", "empty.mov", "notes.txt"}
    assert reasons["mute.mov"] == "no sound track"
    assert reasons["s3/copy.mp4"] == "same content as a.MP4"
    assert reasons["notes.txt"] == "not a video by its name (.txt)"
    assert made.truth.empty

    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "raw" / "skipped.csv"), made.skipped)
    videos, base = sources.load(tmp_path / "raw", tmp_path)
    assert base == tmp_path
    pd.testing.assert_frame_equal(videos, made.videos)
    assert all((base / path).is_file() for path in videos.path)
    assert not (tmp_path / "raw" / "truth.csv").exists()


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / "videos" / f"{number}.mp4", number)
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"x")
    alone = sources.scan(tmp_path / "videos", 0, progress=False)
    shared = sources.scan(tmp_path / "videos", 2, progress=False)
    for one, other in zip(alone, shared, strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("content", [None, {}, {"a.txt": b"x"}, {"a.mp4": b"x"}])
def test_nothing_usable_is_one_line(tmp_path: Path, content: dict[str, bytes] | None) -> None:
    if content is not None:
        (tmp_path / "v").mkdir()
        for name, data in content.items():
            (tmp_path / "v" / name).write_bytes(data)
    with pytest.raises(InputError) as error:
        make(tmp_path, CorpusSettings(source="folder", path="v"))
    assert "\n" not in str(error.value)
    assert ("no such folder" if content is None else "no usable video") in str(error.value)


def test_identifiers_are_unique_where_case_does_not_count() -> None:
    names = ["a/b.mp4", "a_b.mp4", "A/B.avi", "é.mp4", "x" * 300 + ".mp4", "x" * 301 + ".mp4"]
    identifiers = sources._identifiers(names)
    assert len({each.lower() for each in identifiers}) == len(names)
    assert all(0 < len(each) < 100 for each in identifiers)


def test_load_without_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dvc repro corpus"):
        sources.load(tmp_path, tmp_path)


def test_real_clips(real_clips: Path) -> None:
    videos, skipped = sources.scan(real_clips / "wild", progress=False)
    assert len(videos) >= 7
    assert skipped.empty


def test_synthetic_survives_the_emptying_of_raw(tmp_path: Path) -> None:
    settings = CorpusSettings(clips=2, identities=2, seconds=1.0, noisy_share=0.0)
    first = make(tmp_path, settings)
    assert first.truth.kind.tolist() == ["clean", "clean"]
    files = sorted((tmp_path / "raw" / "videos").iterdir())
    inodes = [file.stat().st_ino for file in files]
    for file in files:
        file.unlink()
    second = make(tmp_path, settings)
    assert [file.stat().st_ino for file in files] == inodes, "linked from the cache, not made again"
    pd.testing.assert_frame_equal(first.videos, second.videos)
    videos, base = sources.load(tmp_path / "raw", tmp_path)
    assert base == tmp_path / "raw"
    assert all((base / path).is_file() for path in videos.path)


def test_mixed_gives_drawn_videos_and_those_of_a_folder(tmp_path: Path) -> None:
    own = tmp_path / "mine" / "sub"
    own.mkdir(parents=True)
    write_video(own / "talk.mp4")
    (own / "notes.txt").write_text("no video")
    settings = CorpusSettings(source="mixed", path="mine", clips=2, identities=2, seconds=1.0)
    made = make(tmp_path, settings)
    assert len(made.videos) == 3
    assert len(made.truth) == 2
    assert list(made.skipped.file) == ["sub/notes.txt"]
    table, start = sources.load(tmp_path / "raw", tmp_path)
    assert all((start / path).is_file() for path in table.path)
    assert "videos/own/sub/talk.mp4" in set(table.path)


def test_portraits_that_cannot_be_animated_are_skipped_with_a_reason(tmp_path: Path) -> None:
    head = skimage.data.astronaut()[:330, 60:400, ::-1]
    (tmp_path / "faces").mkdir()
    for name, image in (("a", head), ("b", head[:, ::-1]), ("nobody", head * 0)):
        cv2.imwrite(str(tmp_path / "faces" / f"{name}.png"), image)
    settings = CorpusSettings(clips=2, identities=2, seconds=1.0, noisy_share=0.0, portraits="faces")
    made = make(tmp_path, settings)
    assert len(made.videos) == 2
    skipped = pd.read_csv(tmp_path / "raw" / "skipped.csv")
    assert skipped.to_numpy().tolist() == [["nobody.png", "no face is found in it"]]


def test_another_file_than_the_first_time_is_refused(server: Server, tmp_path: Path) -> None:
    server.files = {"s1.zip": b"first"}
    grid.download("s1.zip", tmp_path, server.url, progress=False).unlink()
    server.files = {"s1.zip": b"second"}
    with pytest.raises(InputError, match="checksum"):
        grid.download("s1.zip", tmp_path, server.url, progress=False)
    assert not (tmp_path / "s1.zip").exists()


def test_grid(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "GRID_URL", server.url)
    for talker in (1, 2):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for clip in range(2):
                write_video(tmp_path / "v.mpg", 10 * talker + clip)
                archive.write(tmp_path / "v.mpg", f"s{talker}/clip{clip}.mpg")
            archive.writestr(f"../s{talker}/evil.mpg", "outside")
            archive.writestr("notes.txt", "x")
        server.files[f"s{talker}.zip"] = packed.getvalue()
    made = make(tmp_path, CorpusSettings(source="grid", talkers=[1, 2]))
    assert made.videos.path.tolist() == [f"videos/s{t}/clip{c}.mpg" for t in (1, 2) for c in (0, 1)]
    assert made.videos.speaker.tolist() == ["s1", "s1", "s2", "s2"]
    assert made.skipped.file.tolist() == ["s1/evil.mpg", "s2/evil.mpg"], "read, but never outside its folder"
    server.files = {}
    make(tmp_path, CorpusSettings(source="grid", talkers=[1]))


def test_damaged_archive(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "GRID_URL", server.url)
    server.files = {"s1.zip": b"no archive"}
    with pytest.raises(InputError, match="damaged archive"):
        make(tmp_path, CorpusSettings(source="grid", talkers=[1]))
