"""Another vocal tract says the same thing at the same moments."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from syncnet_lib.dataset.warp import warped_mfcc
from syncnet_lib.media import features
from syncnet_lib.media.clock import SAMPLES_PER_FRAME
from tests.media.test_features import voice


@settings(max_examples=20)
@given(st.integers(6, 40), st.sampled_from([-3, -1, 0, 1, 2, 4]))
def test_four_steps_a_frame_whatever_the_warp(frames, warp):
    assert warped_mfcc(voice(frames * SAMPLES_PER_FRAME), warp).shape == (4 * frames, 13)


def test_a_warp_moves_formants_and_not_time():
    samples = voice(50 * SAMPLES_PER_FRAME)
    samples[: 25 * SAMPLES_PER_FRAME] = 0  # sound begins at step 100
    for warp in (-2, 2):
        plain, warped = features.frame_mfcc(samples), warped_mfcc(samples, warp)
        rise = [int(np.argmax(np.diff(steps[:, 0]))) for steps in (plain, warped)]
        assert abs(rise[0] - rise[1]) <= 2
        assert np.abs(plain[120:180, 1:] - warped[120:180, 1:]).mean() > 0.5
