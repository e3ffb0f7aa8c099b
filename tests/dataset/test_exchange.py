"""The exchange layout [Agrawal]: clips written in it come back, and what is not one says so."""

import hashlib
import wave
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data

from syncnet_lib.dataset import clips, exchange, sources, splits
from syncnet_lib.dataset import extract as extraction
from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.dataset.settings import CorpusSettings, ExtractSettings
from syncnet_lib.errors import InputError
from syncnet_lib.media import features
from syncnet_lib.media.clock import SAMPLE_RATE, SAMPLES_PER_FRAME

LENGTHS = {"train": 30, "val": 20, "test": 25}


def write_sound(path: Path, frames: int, seed: int) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(0, 2000, frames * SAMPLES_PER_FRAME).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return samples


def write_clip(folder: Path, frames: int, seed: int, face: bool = False) -> np.ndarray:
    """A folder of `clips`; returns its crops, which are smooth as real ones are."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    size = (224, 224, 3) if face else (120, 120)
    crops = np.stack([cv2.resize(draw.integers(0, 256, (8, 8, *size[2:]), np.uint8), size[:2]) for _ in range(frames)])
    np.save(folder / ("face.npy" if face else "mouth.npy"), crops)
    np.save(folder / "mfcc.npy", features.frame_mfcc(write_sound(folder / "audio.wav", frames, seed)))
    return crops


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clip a split, exported."""
    index = pd.DataFrame({"clip_id": list("abc"), "split": LENGTHS.keys()})
    for seed, row in enumerate(index.itertuples()):
        write_clip(tmp_path / "clips" / row.clip_id, LENGTHS[row.split], seed)
    exchange.export(tmp_path / "clips", index, tmp_path / "tree", progress=False)
    return tmp_path / "tree"


def make(tmp_path: Path) -> sources.Corpus:
    settings = CorpusSettings(source="layout", path="tree")
    return sources.make(tmp_path / "raw", tmp_path, tmp_path / "cache", settings, 0, 0, progress=False)


def extract(tmp_path: Path, workers: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    videos, base = sources.load(tmp_path / "raw", tmp_path)
    cache = tmp_path / "cache" / "clips"
    return extraction.extract(videos, base, tmp_path / "imported", cache, ExtractSettings(), workers, progress=False)


def test_what_is_exported_is_the_seeds_layout(tree: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in tree.iterdir()) == ["test", "train", "val"]
    folder = tree / "train" / "a"
    assert sorted(path.name for path in folder.iterdir()) == ["audio.npy", "audio.wav", "frames"]
    assert {path.name for path in (folder / "frames").iterdir()} == {f"frame{n}.jpg" for n in range(30)}
    assert (folder / "audio.wav").read_bytes() == (tmp_path / "clips" / "a" / "audio.wav").read_bytes()
    bins, mfcc = np.load(folder / "audio.npy"), np.load(tmp_path / "clips" / "a" / "mfcc.npy")
    assert bins.shape == (25, 1, 13, 20)
    for number in range(25):
        np.testing.assert_array_equal(bins[number, 0], mfcc[4 * number : 4 * number + 20].T)


def test_bins_of_the_seeds_example() -> None:
    frames = 575_616 // SAMPLES_PER_FRAME
    assert exchange.bins(np.zeros((4 * frames, 13), np.float32)).shape == (894, 1, 13, 20)


def test_round_trip_through_the_pipeline(tree: Path, tmp_path: Path) -> None:
    make(tmp_path)
    manifest, skipped = extract(tmp_path)
    assert skipped.empty
    assert manifest.split.tolist() == ["test", "train", "val"]
    by_split = manifest.set_index("split")
    for name, split in zip("abc", LENGTHS, strict=True):
        clip = clips.load(tmp_path / "imported" / by_split.clip_id[split])
        before = tmp_path / "clips" / name
        with wave.open(str(before / "audio.wav")) as file:
            np.testing.assert_array_equal(clip.samples, np.frombuffer(file.readframes(10**6), np.int16))
        np.testing.assert_array_equal(clip.mfcc, np.load(before / "mfcc.npy"))
        loss = np.abs(clip.mouth.astype(int) - np.load(before / "mouth.npy"))
        assert loss.mean() < 1
        assert loss.max() < 16
        assert np.isnan(clip.lip_aperture).all()
    packing = PairsSettings(train_share=0.8, val_share=0.1, warps=[0])
    index, _ = splits.pack(tmp_path / "imported", manifest, tmp_path / "pairs", packing, 0, progress=False)
    assert index.set_index("split").frames.to_dict() == LENGTHS
    again = tmp_path / "again"
    exchange.export(tmp_path / "imported", index, again, progress=False)
    for folder in sorted(tree.glob("*/*")):
        (match,) = (again / folder.parent.name).iterdir()
        assert (match / "audio.wav").read_bytes() == (folder / "audio.wav").read_bytes()
        assert (match / "audio.npy").read_bytes() == (folder / "audio.npy").read_bytes()


def test_a_second_import_costs_nothing_and_a_changed_clip_only_itself(tree: Path, tmp_path: Path) -> None:
    made = make(tmp_path)
    extract(tmp_path)
    results = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "clips").glob("*/result.json")}
    (tree / "val" / "b" / "frames" / "frame19.jpg").unlink()
    changed = make(tmp_path)
    assert (changed.videos.sha256 == made.videos.sha256).tolist() == [True, True, False]
    manifest, _ = extract(tmp_path, workers=2)
    assert manifest.set_index("split").frames["val"] == 19
    assert all(path.stat().st_mtime_ns == at for path, at in results.items())


def test_larger_pictures_are_looked_through_for_the_face(tmp_path: Path) -> None:
    head = skimage.data.astronaut()[20:260, 110:350]
    for seed, split in enumerate(exchange.SPLITS):
        folder = tmp_path / "tree" / split / "clip"
        (folder / "frames").mkdir(parents=True)
        write_sound(folder / "audio.wav", 20, seed)
        for number in range(20):
            cv2.imwrite(str(folder / "frames" / f"frame{number}.jpg"), head[..., ::-1])
    make(tmp_path)
    manifest, _ = extract(tmp_path)
    assert manifest.frames.tolist() == [20] * 3
    assert manifest.face_size.min() > 80
    clip = clips.load(tmp_path / "imported" / manifest.clip_id[0])
    assert np.isfinite(clip.lip_aperture).all()
    assert clip.mouth.std() > 20


def test_face_crops_are_exported_in_colour(tmp_path: Path) -> None:
    crops = write_clip(tmp_path / "clips" / "a", 8, 0, face=True)
    index = pd.DataFrame({"clip_id": ["a"], "split": ["val"]})
    exchange.export(tmp_path / "clips", index, tmp_path / "tree", progress=False)
    read = np.stack(list(exchange.frames(tmp_path / "tree" / "val" / "a")))
    assert read.shape == crops.shape
    assert np.abs(read.astype(int) - crops).mean() < 3


BROKEN = {
    "no frames": (lambda clip: [path.unlink() for path in (clip / "frames").iterdir()], "no pictures"),
    "a gap": (lambda clip: (clip / "frames" / "frame7.jpg").unlink(), "frames/frame7.jpg is missing"),
    "damaged": (lambda clip: (clip / "frames" / "frame7.jpg").write_bytes(b"x"), "frame7.jpg cannot be decoded"),
    "empty": (lambda clip: (clip / "frames" / "frame7.jpg").write_bytes(b""), "frame7.jpg cannot be decoded"),
    "another size": (
        lambda clip: cv2.imwrite(str(clip / "frames" / "frame7.jpg"), np.zeros((9, 9), np.uint8)),
        "frame7.jpg has another size",
    ),
    "no sound": (lambda clip: (clip / "audio.wav").unlink(), "it has no audio.wav"),
    "text for sound": (lambda clip: (clip / "audio.wav").write_text("x"), "cannot be opened"),
    "other features": (lambda clip: np.save(clip / "audio.npy", np.zeros((5, 1, 13, 20))), "is not the MFCC of"),
    "other shape": (lambda clip: np.save(clip / "audio.npy", np.zeros((5, 13, 20))), r"audio.npy is \(5, 13, 20\)"),
    "no array": (lambda clip: (clip / "audio.npy").write_text("x"), "audio.npy cannot be read"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_clip_is_skipped_with_its_reason(kind: str, tree: Path, tmp_path: Path) -> None:
    spoil, reason = BROKEN[kind]
    spoil(tree / "test" / "c")
    made = make(tmp_path)
    manifest, skipped = extract(tmp_path)
    assert manifest.split.tolist() == ["train", "val"]
    reasons = pd.concat([made.skipped, skipped])
    assert reasons.file.str.fullmatch("(tree/)?test/c").all()
    assert reasons.reason.str.contains(reason).tolist() == [True]
    with pytest.raises(InputError, match="no clip for the test split"):
        splits.pack(tmp_path / "imported", manifest, tmp_path / "pairs", PairsSettings(), 0, progress=False)


def test_the_same_clip_in_two_splits_is_used_once(tree: Path, tmp_path: Path) -> None:
    (tree / "test" / "again").mkdir()
    for path in sorted((tree / "train" / "a").rglob("*")):
        target = tree / "test" / "again" / path.relative_to(tree / "train" / "a")
        target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
    made = make(tmp_path)
    assert made.videos.path.tolist() == ["tree/test/again", "tree/test/c", "tree/val/b"]
    assert made.skipped.reason.tolist() == ["same content as test/again"]


def test_a_folder_without_the_layout_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tree" / "train" / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="val: no clips; give a folder with train, val and test"):
        make(tmp_path)


def test_export_replaces_nothing(tree: Path, tmp_path: Path) -> None:
    before = hashlib.sha256((tree / "train" / "a" / "audio.npy").read_bytes()).hexdigest()
    with pytest.raises(InputError, match="is not empty"):
        exchange.export(tmp_path / "clips", pd.DataFrame({"clip_id": [], "split": []}), tree)
    assert hashlib.sha256((tree / "train" / "a" / "audio.npy").read_bytes()).hexdigest() == before


def test_what_the_pairs_stage_packed_is_exported(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run the pairs stage first"):
        exchange.read_index(tmp_path / "pairs")
    for name, split in zip("abc", exchange.SPLITS, strict=True):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        table = pd.DataFrame({"clip_id": [name], "split": [split]})
        table.to_parquet(tmp_path / "pairs" / split / "index.parquet")
    exchange.export(tmp_path / "clips", exchange.read_index(tmp_path / "pairs"), tmp_path / "out", progress=False)
    assert len(exchange.find(tmp_path / "out")[0]) == 3


def test_pictures_are_read_in_the_order_of_their_numbers_from_the_folder_or_from_frames_in_it(tmp_path: Path) -> None:
    for number in (9, 10, 11):
        cv2.imwrite(str(tmp_path / f"take2_{number}.png"), np.full((8, 8, 3), number, np.uint8))
    cv2.imwrite(str(tmp_path / "cover.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "._take2_12.png").write_bytes(b"what macOS leaves on other file systems")
    assert [path.name for path in exchange.frame_files(tmp_path)] == ["take2_9.png", "take2_10.png", "take2_11.png"]
    assert [picture.rgb[0, 0, 0] for picture in exchange.pictures(tmp_path)] == [9, 10, 11]
    (tmp_path / "frames").mkdir()
    assert not exchange.has_frames(tmp_path)
    cv2.imwrite(str(tmp_path / "frames" / "frame0.jpg"), np.zeros((8, 8), np.uint8))
    assert [path.name for path in exchange.frame_files(tmp_path)] == ["frame0.jpg"]
    cv2.imwrite(str(tmp_path / "frames" / "frame0.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match="two pictures have the number 0"):
        exchange.frame_files(tmp_path)
