"""overlay: a rendered video has one size, whatever the pictures of its source have."""

import numpy as np
import pytest

from syncnet_lib.measurement import overlay


@pytest.mark.parametrize(
    ("shape", "inside"),
    [
        ((240, 320), (slice(0, 240), slice(0, 320))),
        ((241, 321), (slice(0, 240), slice(0, 320))),
        ((480, 640), (slice(0, 240), slice(0, 320))),
        ((320, 240), (slice(0, 240), slice(70, 250))),
        ((90, 160), (slice(30, 210), slice(0, 320))),
    ],
)
def test_another_size_is_fitted_in_true_proportions(shape: tuple[int, int], inside: tuple[slice, slice]) -> None:
    fitted = overlay._fitted(np.full((*shape, 3), 200, np.uint8), (320, 240))
    assert fitted.shape == (240, 320, 3)
    assert (fitted[inside] == 200).all()
    fitted[inside] = 0
    assert not fitted.any()
