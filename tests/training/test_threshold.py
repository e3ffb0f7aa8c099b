"""The threshold of a sure verdict: measured on swapped audio, kept in the checkpoint's header."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syncnet_lib.model import header, scoring
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training import loop, threshold
from syncnet_lib.training.refinement import CLEAR
from syncnet_lib.training.threshold import LEAST, MOST, SURE, WINDOWS, Embedded
from tests import packed


def clips(count: int, noise: float, seed: int = 0, windows: int = WINDOWS) -> list[Embedded]:
    """Clips whose audio is embedded where their video is, but for noise."""
    rng = np.random.default_rng(seed)
    video = rng.normal(size=(count, windows, 8)).astype(np.float32)
    audio = video + rng.normal(0, noise, video.shape).astype(np.float32)
    return [Embedded(f"video{n}", *pair) for n, pair in enumerate(zip(video, audio, strict=True))]


@settings(max_examples=10)
@given(st.integers(0, 2**31), st.floats(0, 3), st.integers(11, 14), st.sampled_from([SURE, CLEAR]))
def test_one_in_a_hundred_or_in_twenty_with_swapped_audio_is_above(seed, noise, count, chance):
    made = clips(count, noise, seed)
    found = threshold.from_embeddings(made, "mask", chance)
    assert found is not None
    assert found.swapped == count * (count - 1)
    above = 0
    for one in made:
        for other in made:
            if one is not other:
                audio = np.concatenate([other.audio[WINDOWS // 2 :], other.audio[: WINDOWS // 2]])
                means = scoring.mean_distances(scoring.shift_distances(one.video, audio, chance.search))
                above += scoring.confidence(means) > found.confidence
    assert abs(above - (1 - chance.quantile) * found.swapped) <= 1
    assert (found.quantile, found.vshift) == (chance.quantile, chance.search)


def test_genuine_clips_of_a_good_model_are_above():
    found = threshold.from_embeddings(clips(12, 0.3), "mask")
    assert found is not None
    assert found.genuine_above == 1.0
    found = threshold.from_embeddings(clips(12, 100.0), "mask")
    assert found is not None
    assert found.genuine_above is not None
    assert found.genuine_above < 0.3


def test_too_few_clips_for_the_quantile_have_no_threshold():
    assert threshold.from_embeddings(clips(10, 0.3), "mask") is None  # 90 pairs
    short = clips(12, 0.3, windows=scoring.VSHIFT)
    assert threshold.from_embeddings(short, "mask") is None


def test_clips_shorter_than_the_search_have_a_threshold():
    short = clips(12, 0.3, windows=CLEAR.search - 2)
    found = threshold.from_embeddings(short, "mask", CLEAR)
    assert found is not None
    assert found.genuine_above == 1.0


def test_audio_is_never_taken_from_the_same_recording_and_not_from_all():
    half = [Embedded(f"video{n // 2}", clip.video, clip.audio) for n, clip in enumerate(clips(12, 0.3))]
    pairs = list(threshold.swaps(half))
    assert len(pairs) == 12 * 10
    assert all(one.video_id != other.video_id for one, other in pairs)
    assert len(list(threshold.swaps(clips(60, 0.3, windows=20)))) == MOST


def test_sentences_that_share_their_timing_are_no_synchrony():
    """As in GRID: all clips are silent and loud at the same moments."""
    rhythm = clips(1, 0.0)[0].video
    rng = np.random.default_rng(1)
    made = [
        Embedded(f"video{n}", rhythm + rng.normal(0, 0.5, rhythm.shape).astype(np.float32), rhythm) for n in range(12)
    ]
    found = threshold.from_embeddings(made, "mask")
    assert found is not None
    assert found.genuine_above == 1.0


@pytest.mark.parametrize(("count", "known"), [(11, True), (4, False)])
def test_a_published_model_carries_its_own(tmp_path, count, known):
    torch.manual_seed(0)
    history = pd.DataFrame({"epoch": [1], "loss": [1.0]})
    path = loop.publish(SyncNet("small").eval(), packed.split([40] * count), history, tmp_path, stage="train")
    found = header.read(path)
    assert found.about == {"stage": "train"}
    if not known:
        assert found.threshold is None
        return
    assert found.threshold is not None
    assert found.threshold.swapped == 110 >= LEAST
    assert found.threshold.vshift == scoring.VSHIFT
    assert found.threshold.windows == WINDOWS
