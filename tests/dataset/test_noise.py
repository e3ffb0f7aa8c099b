"""Clips are spoilt as the truth says, and in no other way."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.dataset import clips, noise
from syncnet_lib.dataset.noise import CLEAN, NoiseSettings
from syncnet_lib.errors import InputError
from syncnet_lib.media import features
from syncnet_lib.media.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.features import MFCC_PER_FRAME
from tests import packed

KINDS = ["dubbed", "sentence", "shifted", "drifting", "listener", "silent", "music"]


def index(count: int, speakers: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {"clip_id": [f"c{n:02d}" for n in range(count)], "speaker": [f"s{n % speakers}" for n in range(count)]}
    )


@given(st.integers(8, 60), st.floats(0, 0.6), st.integers(0, 99))
def test_the_plan_spoils_its_share_in_equal_parts(count, share, seed):
    table = index(count)
    truth = noise.plan(table, NoiseSettings(share=share, kinds=["dubbed", "sentence", "shifted"]), seed)
    spoilt = truth[truth.kind != CLEAN]
    assert len(spoilt) == round(share * count)
    counts = spoilt.kind.value_counts().reindex(["dubbed", "sentence", "shifted"], fill_value=0)
    assert counts.max() - counts.min() <= 1
    speaker = table.set_index("clip_id").speaker
    for row in spoilt.itertuples():
        same = speaker[row.clip_id] == speaker[row.audio_of]
        assert {"dubbed": not same, "sentence": same and row.audio_of != row.clip_id, "shifted": True}[row.kind]
        assert np.isnan(row.offset) == (row.kind != "shifted")
    moved = spoilt.offset.dropna().abs()
    assert ((moved >= 3) & (moved <= 15)).all()
    assert (moved * MFCC_PER_FRAME % 1 == 0).all(), "steps of 10 ms"


def test_a_kind_without_partner_is_one_line():
    with pytest.raises(InputError, match=r"no clip lends c0\d another talker's sound"):
        noise.plan(index(4, speakers=1), NoiseSettings(share=0.6, kinds=["dubbed"]), 0)
    with pytest.raises(InputError, match="the same talker's sound"):
        noise.plan(index(4, speakers=4), NoiseSettings(share=0.6, kinds=["sentence"]), 0)
    with pytest.raises(InputError, match=r"shifts from 9\.0 to 5\.0"):
        noise.plan(index(4), NoiseSettings(least_shift=9.0, most_shift=5.0), 0)


def test_a_packed_split_is_spoilt_as_planned():
    split = packed.split([40, 50, 60, 45], side=8)
    table = split.index.assign(speaker=["a", "a", "b", "b"])
    truth = noise.plan(table, NoiseSettings(share=0.6, kinds=["dubbed", "shifted"]), 1)
    spoilt = noise.spoil_split(split, truth)
    for row, start, frames in zip(truth.itertuples(), split.starts, split.index.frames, strict=True):
        own = slice(start * MFCC_PER_FRAME, (start + frames) * MFCC_PER_FRAME)
        if row.kind == CLEAN:
            np.testing.assert_array_equal(spoilt.mfcc[:, own], split.mfcc[:, own])
        elif row.kind == "shifted":
            steps = round(row.offset * MFCC_PER_FRAME)
            np.testing.assert_array_equal(np.roll(spoilt.mfcc[:, own], steps, axis=1), split.mfcc[:, own])
        else:
            other = split.index.set_index("clip_id").loc[row.audio_of]
            heard = split.mfcc[:, other.start * MFCC_PER_FRAME :][:, : min(frames, other.frames) * MFCC_PER_FRAME]
            np.testing.assert_array_equal(spoilt.mfcc[:, own][:, : heard.shape[1]], heard)
    assert spoilt.index.equals(split.index), "nothing tells which are spoilt"
    with pytest.raises(ValueError, match="silent needs samples"):
        noise.spoil_split(split, truth.assign(kind="silent"))


def test_what_each_kind_sounds_like():
    rng = np.random.default_rng(0)
    own, other = (rng.integers(-3000, 3000, 20 * SAMPLES_PER_FRAME).astype(np.int16) for _ in range(2))
    assert noise.spoilt_samples("dubbed", own, other[:5000], np.nan)[:5000].tolist() == other[:5000].tolist()
    ahead = noise.spoilt_samples("shifted", own, other, 4.0)
    assert ahead[: -4 * SAMPLES_PER_FRAME].tolist() == own[4 * SAMPLES_PER_FRAME :].tolist(), "heard too early"
    assert not noise.spoilt_samples("silent", own, other, np.nan).any()
    music = noise.spoilt_samples("music", own, other, 0.0).astype(float) - own
    assert np.sqrt(np.mean(music**2)) == pytest.approx(np.sqrt(np.mean(own.astype(float) ** 2)), rel=0.05)
    tone = (8000 * np.sin(2 * np.pi * 50 * np.arange(len(own)) / SAMPLE_RATE)).astype(np.int16)
    drift = noise.spoilt_samples("drifting", tone, other, 5.0)
    assert drift[:20].tolist() == pytest.approx(tone[:20].tolist(), abs=900)
    crossings = [int(np.sum(np.diff(np.signbit(sound)))) for sound in (tone, drift)]
    assert crossings[1] == pytest.approx(crossings[0] * 25 / 20, abs=2), "a quarter faster: 5 frames ahead after 20"


@pytest.fixture
def folder(tmp_path):
    """Four clips of two talkers on disk."""
    rng, out = np.random.default_rng(0), tmp_path / "clips"
    for n in range(4):
        clip = out / f"c{n}"
        clip.mkdir(parents=True)
        samples = rng.integers(-3000, 3000, 12 * SAMPLES_PER_FRAME).astype(np.int16)
        np.save(clip / "mouth.npy", rng.integers(0, 255, (12, 120, 120), np.uint8))
        np.save(clip / "mfcc.npy", features.frame_mfcc(samples))
        np.save(clip / "speech.npy", np.arange(12) < 6)
        np.save(clip / "lip_aperture.npy", np.arange(12, dtype=np.float32))
        with clips.write_sound(clip / "audio.wav") as file:
            file.writeframes(samples.tobytes())
        (clip / "clip.json").write_text("{}")
    table = pd.DataFrame({"clip_id": [f"c{n}" for n in range(4)], "speaker": list("aabb"), "speech_share": 1.0})
    table.to_parquet(out / "clips.parquet")
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_clips_is_spoilt_and_the_truth_lies_elsewhere(folder, tmp_path, kind):
    truth = noise.spoil_clips(
        folder, tmp_path / "out", tmp_path / "truth.csv", NoiseSettings(share=0.5, kinds=[kind]), 0, False
    )
    assert (truth.kind == kind).sum() == 2
    assert pd.read_csv(tmp_path / "truth.csv").kind.tolist() == truth.kind.tolist()
    for row in truth.itertuples():
        before, after = clips.load(folder / row.clip_id), clips.load(tmp_path / "out" / row.clip_id)
        if row.kind == "listener":
            to_and_fro = [6, 7, 8, 9, 10, 11, 10, 9, 8, 7, 6, 7]
            np.testing.assert_array_equal(after.mouth, before.mouth[to_and_fro])
            np.testing.assert_array_equal(after.lip_aperture, before.lip_aperture[to_and_fro])
        else:
            np.testing.assert_array_equal(after.mouth, before.mouth)
        assert np.array_equal(after.samples, before.samples) == (row.kind in (CLEAN, "listener"))
        np.testing.assert_array_equal(after.mfcc, features.frame_mfcc(after.samples))
    manifest = pd.read_parquet(tmp_path / "out" / "clips.parquet").set_index("clip_id")
    if kind == "silent":
        assert (manifest.speech_share[truth.clip_id[truth.kind == kind]] == 0).all()
    assert "kind" not in manifest


@given(st.lists(st.booleans(), min_size=5, max_size=60))
def test_a_listener_is_never_seen_speaking(speech):
    heard = np.array(speech)
    rests = [sum(1 for _ in run) for spoken, run in itertools.groupby(speech) if not spoken]
    assert np.ptp(noise._rest(heard)) == max(rests, default=0)
    if max(rests, default=0) >= noise.REST:
        frames = noise._listening(heard)
        assert len(frames) == len(heard)
        assert not heard[frames].any()
        assert (np.abs(np.diff(frames)) == 1).all(), "no jump between pictures"
        assert len(set(frames)) == min(max(rests), len(heard))


@given(st.integers(2, 40), st.floats(0.1, 0.6), st.integers(0, 2**16), st.data())
def test_listeners_are_clips_that_show_a_face_at_rest(count, share, seed, data):
    index = pd.DataFrame({"clip_id": [f"c{n}" for n in range(count)], "speaker": [f"s{n}" for n in range(count)]})
    settings = NoiseSettings(share=share, kinds=["dubbed", "listener", "silent"])
    rests = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    anywhere = noise.plan(index, settings, seed)
    if rests.sum() < (anywhere.kind == "listener").sum():
        with pytest.raises(InputError, match="face at rest for 5 frames; lower the share"):
            noise.plan(index, settings, seed, rests)
        return
    found = noise.plan(index, settings, seed, rests)
    assert rests[found.kind == "listener"].all()
    assert found.kind.value_counts().to_dict() == anywhere.kind.value_counts().to_dict()
    assert (found.audio_of != found.clip_id).tolist() == (found.kind == "dubbed").tolist()


def test_a_bad_folder_is_one_line(folder, tmp_path):
    settings = NoiseSettings()
    with pytest.raises(InputError, match=r"clips\.parquet is missing"):
        noise.spoil_clips(tmp_path, tmp_path / "o", tmp_path / "t.csv", settings, 0)
    with pytest.raises(InputError, match="where a training could see it"):
        noise.spoil_clips(folder, tmp_path / "o", tmp_path / "o" / "t.csv", settings, 0)
    with pytest.raises(InputError, match="exists"):
        noise.spoil_clips(folder, folder, tmp_path / "t.csv", settings, 0)
