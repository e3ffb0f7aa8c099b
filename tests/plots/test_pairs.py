import numpy as np

from syncnet_lib.plots import pairs
from tests.plots.examples import text

FRAMES = np.zeros((5, 8, 8), np.uint8)
MFCC = np.random.default_rng(0).random((20, 13))


def test_a_pair_tells_its_shift() -> None:
    told = text(pairs.pair(FRAMES, MFCC, MFCC[::-1], -7))
    assert "-7 frames away" in told
    assert "-280 ms" in told


def test_the_reach_of_a_window_is_computed() -> None:
    assert "3,440 samples, 215 ms" in text(pairs.window_over_audio(FRAMES, np.zeros(4000, np.int16), MFCC))
    assert "25 + 19 × 10 = 215 ms" in text(pairs.index_rule())
