"""Time codes: known labels, and a count that leaves out numbers but no picture."""

from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.media import encode
from syncnet_lib.media.timecode import DROP_RATES, Timecode, timecode_of

NTSC = Fraction(30_000, 1001)


@pytest.mark.parametrize(
    ("rate", "picture", "label"),
    [
        (Fraction(25), 25 * 3600 + 7, "01:00:00:07"),
        (Fraction(24_000, 1001), 24 * 60, "00:01:00:00"),
        (NTSC, 1799, "00:00:59;29"),
        (NTSC, 1800, "00:01:00;02"),
        (NTSC, 17_982, "00:10:00;00"),
        (NTSC, 107_892, "01:00:00;00"),
        (2 * NTSC, 3600, "00:01:00;04"),
        (Fraction(25), 25 * 3600 * 24, "00:00:00:00"),
    ],
)
def test_known_labels(rate, picture, label):
    assert Timecode.starting(rate).at(float(picture / rate)) == label


@given(st.sampled_from([Fraction(24), Fraction(25), Fraction(50), *DROP_RATES]), st.integers(0, 2_000_000))
def test_a_label_gives_the_picture_back(rate, picture):
    label = Timecode(rate, picture, rate in DROP_RATES).at(0)
    day = 24 * 3600 * round(rate) - (DROP_RATES[rate] * 54 * 24 if rate in DROP_RATES else 0)
    assert Timecode.starting(rate, label).start == picture % day


def test_a_file_counts_from_its_own_time_code(tmp_path):
    import numpy as np

    plain, marked = tmp_path / "plain.mp4", tmp_path / "marked.mov"
    encode.write_video(plain, [np.zeros((64, 64, 3), np.uint8)] * 50, np.zeros(32_000, np.int16))
    assert timecode_of(plain).at(1.2) == "00:00:01:05"
    with av.open(str(plain)) as source, av.open(str(marked), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.metadata["timecode"] = "10:00:00:00"
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert timecode_of(marked).at(1.2) == "10:00:01:05"
