"""The split, the packing and the sampling, held to [Agrawal]'s numbers."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncnet_lib.dataset import clips, splits
from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.media import features
from syncnet_lib.training import sampling
from syncnet_lib.training.sampling import MAX_SHIFT, Draw, Sampler
from tests import packed


def manifest(groups: list[str]) -> pd.DataFrame:
    names = [f"clip{n:04d}" for n in range(len(groups))]
    return pd.DataFrame({"clip_id": names, "video_id": names, "speaker": groups, "frames": 75, "split": ""})


def index_only(clips: int, frames: int = 75) -> Split:
    """A split of which only the bookkeeping exists."""
    index = pd.DataFrame({"clip_id": np.arange(clips).astype(str), "frames": frames})
    index["start"] = index.frames.cumsum().shift(fill_value=0)
    kept = (np.arange(clips * frames) % frames) < frames - 5
    frames_only = np.empty((clips * frames, 0, 0), np.uint8)
    return Split(frames_only, np.empty((1, 0, 13), np.float32), index, kept)


def test_a_recording_in_pieces():
    rng = np.random.default_rng(0)
    mouth, samples = np.zeros((50, 8, 8), np.uint8), rng.normal(0, 900, 50 * 640).astype(np.int16)
    split = splits.cut(mouth, samples, 20)
    assert split.index.start.tolist() == [0, 20]
    assert split.mfcc.shape == (1, 200, 13)
    assert np.flatnonzero(split.kept).tolist() == [*range(15), *range(20, 35)]


def test_a_mapped_split_goes_to_another_process_by_the_names_of_its_files(tmp_path):
    split = packed.split([40, 30])
    np.save(tmp_path / "frames.npy", split.frames)
    np.save(tmp_path / "mfcc.npy", split.mfcc)
    split.index.to_parquet(tmp_path / "index.parquet")
    opened = Split.open(tmp_path)
    sent = pickle.dumps(opened)
    assert len(sent) < 10_000 < split.frames.nbytes
    received = pickle.loads(sent)
    np.testing.assert_array_equal(received.frames, split.frames)
    np.testing.assert_array_equal(received.mfcc, split.mfcc)
    # Neither array is a whole file.
    part = replace(opened, frames=opened.frames[40:], mfcc=opened.mfcc[:, 160:] + 1, kept=opened.kept[40:])
    assert opened.mapped
    assert not part.mapped
    received = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(received.frames, split.frames[40:])
    np.testing.assert_array_equal(received.mfcc, split.mfcc[:, 160:] + 1)


def test_a_split_with_other_audio_is_written_with_a_link_to_its_crops(tmp_path):
    split = packed.split([40, 30])
    split.write(tmp_path / "first")
    opened = Split.open(tmp_path / "first")
    moved = replace(opened, mfcc=opened.mfcc + 1, index=opened.index.assign(moved=[0.1, -1 / 3]))
    moved.write(tmp_path / "second")
    assert (tmp_path / "second" / "frames.npy").readlink() == tmp_path / "first" / "frames.npy"
    again = Split.open(tmp_path / "second")
    np.testing.assert_array_equal(again.frames, split.frames)
    np.testing.assert_array_equal(again.mfcc, moved.mfcc)
    assert again.index.to_csv() == moved.index.to_csv()


def test_split_of_the_seed():
    split = splits.split_groups(manifest([""] * 4077), 0.8, 0.1, seed=0)
    assert split.value_counts().to_dict() == {"train": 3261, "val": 407, "test": 409}


def test_epoch_of_the_seed():
    sampler = Sampler(index_only(3261), 1024, 5, "pairs", 0)
    assert sampler.steps == 15
    draws = list(sampler.epoch(1))
    assert sum(len(draw.video) for draw in draws) == 15_360


@given(st.lists(st.sampled_from("abcdefgh"), min_size=30, max_size=80), st.integers(0, 99))
def test_no_talker_is_in_two_splits(talkers, seed):
    table = manifest(talkers)
    if table.speaker.nunique() < 3:
        return
    split = splits.split_groups(table, 0.8, 0.1, seed)
    by_talker = split.groupby(table.set_index("clip_id").speaker).nunique()
    assert by_talker.max() == 1
    assert set(split) == {"train", "val", "test"}
    shuffled = splits.split_groups(table.sample(frac=1, random_state=seed), 0.8, 0.1, seed)
    pd.testing.assert_series_equal(split, shuffled.reindex(split.index))


def test_two_talkers_are_split_by_video():
    split = splits.split_groups(manifest(["a", "b"] * 20), 0.8, 0.1, 0)
    assert split.value_counts().to_dict() == {"train": 32, "val": 4, "test": 4}


def test_too_few_videos_is_one_line():
    with pytest.raises(InputError, match="at least three"):
        splits.split_groups(manifest(["", ""]), 0.8, 0.1, 0)


@settings(max_examples=30)
@given(st.lists(st.integers(7, 160), min_size=4, max_size=12), st.integers(0, 50))
def test_pairs_are_what_the_seed_says(lengths, epoch):
    split = packed.split(lengths, side=2)
    sampler = Sampler(split, len(lengths) * 5, 5, "pairs", 3)
    (draw,) = sampler.epoch(epoch)
    clip = np.searchsorted(split.index.start, draw.video, "right") - 1
    start, windows = split.index.start.to_numpy()[clip], split.windows[clip]
    assert np.bincount(clip).tolist() == [5] * len(lengths)
    assert abs(draw.label.sum() - len(draw.label) / 2) <= 0.5
    shift = draw.audio - draw.video
    assert (shift[draw.label == 1] == 0).all()
    false = draw.label == 0
    assert (shift[false] != 0).all()
    assert (np.abs(shift[false]) <= MAX_SHIFT).all()
    for rows in (draw.video, draw.audio):
        assert (rows >= start).all()
        assert (rows < start + windows).all()


def test_shifts_are_uniform_where_there_is_room():
    split = packed.split([400] * 6, side=2)
    shifts = np.concatenate([sampling.shifts(split, seed) for seed in range(30)])
    counts = np.bincount(shifts + MAX_SHIFT, minlength=2 * MAX_SHIFT + 1)
    assert counts[MAX_SHIFT] == 0
    assert np.delete(counts, MAX_SHIFT).min() > 0.5 * counts.max() / 2


@settings(max_examples=30)
@given(st.lists(st.integers(7, 160), min_size=4, max_size=9), st.integers(0, 50))
def test_candidates_hold_each_windows_own_sound(lengths, epoch):
    split = packed.split(lengths, side=2)
    sampler = Sampler(split, 12, 6, "candidates", 1)
    draws = list(sampler.epoch(epoch))
    assert len(draws) == len(lengths) // 2
    for draw in draws:
        own = np.repeat(draw.audio, 6) + draw.target
        np.testing.assert_array_equal(own, draw.video)
        assert draw.mask.shape == (2, draw.run)
        assert draw.run <= sampler.candidates
        assert draw.mask[np.repeat([0, 1], 6), draw.target].all()


def drawn(sampler: Sampler, epoch: int) -> list[Draw]:
    return list(sampler.epoch(epoch))


@pytest.mark.parametrize("kind", ["pairs", "candidates"])
def test_epochs_repeat_by_seed_and_number(kind):
    split = packed.split([30] * 8, side=2)
    one, again = (drawn(Sampler(split, 16, 4, kind, 5), 2) for _ in range(2))
    other = drawn(Sampler(split, 16, 4, kind, 5), 3)
    np.testing.assert_array_equal(one[0].video, again[0].video)
    assert not np.array_equal(one[0].video, other[0].video)


@pytest.mark.parametrize("kind", ["pairs", "candidates"])
def test_only_kept_windows_are_positives(kind):
    split = packed.split([30] * 6, side=2)
    verdict = pd.DataFrame(
        {"clip_id": np.repeat(split.index.clip_id, 25), "window": np.tile(np.arange(25), 6), "kept": True}
    )
    verdict.loc[verdict.window < 20, "kept"] = False
    verdict.loc[verdict.clip_id == "clip002", "kept"] = False
    cleaned = split.keep(verdict)
    sampler = Sampler(cleaned, 10, 5, kind, 0)
    assert sampler.clips.tolist() == [0, 1, 3, 4, 5]
    for draw in sampler.epoch(0):
        assert (draw.video % 30 >= 20).all()


def test_a_split_too_small_for_a_batch_is_one_line():
    with pytest.raises(InputError) as error:
        Sampler(packed.split([30] * 4, side=2), 1024, 5, "pairs", 0)
    assert "4 clips x 5 samples do not fill one batch of 1024" in str(error.value)


def write_clip(folder, seed: int, frames: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    np.save(folder / "mouth.npy", rng.integers(0, 256, (frames, 120, 120), dtype=np.uint8))
    np.save(folder / "lip_aperture.npy", rng.random(frames, np.float32))
    samples = (rng.normal(0, 2000, frames * 640)).astype(np.int16)
    with clips.write_sound(folder / "audio.wav") as file:
        file.writeframes(samples.tobytes())
    np.save(folder / "mfcc.npy", features.frame_mfcc(samples))
    np.save(folder / "speech.npy", np.ones(frames, bool))
    (folder / "clip.json").write_text("{}")
    return samples


def test_pack_and_open(tmp_path):
    table = manifest([""] * 7)
    table["frames"] = [20, 30, 25, 20, 22, 6, 40]
    sounds = {
        row.clip_id: write_clip(tmp_path / row.clip_id, n, row.frames) for n, row in enumerate(table.itertuples())
    }
    packing = PairsSettings(train_share=0.5, val_share=0.25, warps=[0, 2])
    index, skipped = splits.pack(tmp_path, table, tmp_path / "pairs", packing, 0, progress=False)
    assert skipped.file.tolist() == ["clip0005"]
    assert "6 frames" in skipped.reason[0]
    assert len(index) == 6
    for name in splits.SPLITS:
        split = Split.open(tmp_path / "pairs" / name)
        warps = 2 if name == "train" else 1  # nobody else varies the audio
        assert split.mfcc.shape == (warps, 4 * len(split.frames), 13)
        for row in split.index.itertuples():
            np.testing.assert_array_equal(split.clip(row.clip_id), np.load(tmp_path / row.clip_id / "mouth.npy"))
            rows = slice(4 * row.start, 4 * (row.start + row.frames))
            np.testing.assert_array_equal(split.mfcc[0, rows], features.frame_mfcc(sounds[row.clip_id]))
    summary = splits.summarise(index)
    assert summary.clips.sum() == 6
    assert summary.windows.sum() == (index.frames - 5).sum()


def test_a_missing_split_names_the_cure(tmp_path):
    with pytest.raises(InputError, match="pairs stage"):
        Split.open(tmp_path)


def test_example_is_a_window_and_another():
    window = sampling.example(packed.split([40] * 4), 0)
    assert window.frames.shape == (5, 120, 120)
    assert window.mfcc.shape == window.other.shape == (20, 13)
    assert window.shift != 0
