"""Sound of another speed: the line that is found, its fit, its interval, and what is no line."""

from fractions import Fraction

import numpy as np
import pytest

import syncnet_lib
from benchmarks import cures
from syncnet_lib.measurement import conversion, cure, far, fine, speed
from syncnet_lib.measurement.line import Line
from syncnet_lib.measurement.stream import FAR
from syncnet_lib.media import encode, resound
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.features import WINDOW_FRAMES


class Planted:
    """Faces whose sound is off by a line, in place of what was seen of a video; its noise is that of short sentences.

    Args:
        line: the offsets.
        seconds: length.
        depth: of the valley.
        noise: of a window's distances.
    """

    def __init__(self, line: Line, seconds: int, depth: float = 0.3, noise: float = 0.27) -> None:
        self.line, self.windows, self.depth, self.noise = line, seconds * FPS, depth, noise

    def far(self) -> far.Rows:
        """As `far.compared`."""
        rng = np.random.default_rng(0)
        starts = np.arange(0, self.windows, far.ROW)
        rows = far.Rows(np.zeros((len(starts), far.SHIFTS)), np.full((len(starts), far.SHIFTS), far.ROW // far.STRIDE))
        for frame in range(0, self.windows, far.STRIDE):
            left = FAR - np.arange(far.SHIFTS) - self.line.at(np.array([frame]))
            dip = self.depth * np.exp(-0.5 * (left / 1.2) ** 2)
            rows.sums[frame // far.ROW] += 1.3 - dip + rng.normal(0, self.noise, far.SHIFTS)
        return rows

    def along(self, line: Line) -> list[fine.Rows]:
        """As `Watched.along`, of one track."""
        frames = np.arange(self.windows)
        left = 15 - np.arange(31 * fine.PHASES) / fine.PHASES
        offsets = np.rint(line.at(frames) * fine.PHASES) / fine.PHASES
        apart = left + (offsets - self.line.at(frames))[:, None]
        own = np.random.default_rng(1).normal(0, self.noise, (self.windows, 31))
        rows = fine.Rows.empty(0, self.windows, 31)
        dip = self.depth * np.exp(-0.5 * (apart / 1.2) ** 2)
        rows.add(0, (1.3 - dip + np.repeat(own, fine.PHASES, axis=1)).astype(np.float32))
        return [rows]


@pytest.mark.parametrize("ppm", [40_000, -42_700, 1500, 5300])
def test_a_line_is_found_and_followed(ppm):
    truth = Line(-3.3, ppm / 1e6)
    planted = Planted(truth, 78)
    found = speed.search(planted.far())
    assert found is not None
    assert found.rate == pytest.approx(truth.rate, abs=2 / planted.windows)
    followed = speed.follow(planted.along, found)
    assert followed is not None
    assert not followed.doubt
    assert followed.drift.ppm_low <= ppm <= followed.drift.ppm_high
    ends = np.array([0, planted.windows])
    assert 40 * np.abs(Line.of(followed.drift).at(ends) - truth.at(ends)).max() <= 10
    assert max(abs(point.offset_ms / 40 - truth.at(np.array([point.time_s * FPS - WINDOW_FRAMES / 2]))[0])
               for point in followed.points) < 2  # fmt: skip


def test_what_does_not_grow_or_is_noise_is_no_line():
    assert speed.search(Planted(Line(4.0, 0.0), 60).far()) is None
    nothing = Planted(Line(0.0, 0.01), 60, depth=0.0)
    found = speed.search(nothing.far())
    followed = found and speed.follow(nothing.along, found)
    assert not followed or followed.doubt


def test_two_lines_that_fit_alike_are_none():
    rows, other = Planted(Line(-3.0, 0.02), 60).far(), Planted(Line(60.0, -0.02), 60, noise=0.0).far()
    rows.sums += other.sums - other.sums.max()
    assert speed.search(rows) is None


@pytest.mark.slow
def test_film_sound_on_television_is_cured_in_one_pass(real_clips, tmp_path):
    clips = sorted((real_clips / "grid_s1").iterdir())[400:416]
    pictures, sound = cures.together(clips)
    spoilt, cured = tmp_path / "spoilt.mkv", tmp_path / "cured.mkv"
    encode.write_video(spoilt, pictures, cures.faster(sound, Fraction(25, 24)), audio_codec="flac")
    result = syncnet_lib.measure(spoilt)
    assert "25/24" in result.verdict
    done = cure.cure(result)
    assert done.stretch == Fraction(25, 24)
    resound.rewrite_sound(spoilt, cured, done)
    lags = cures.off(cured, sound)
    assert np.ptp(lags) <= 2, "in every block of 3 s alike"
    assert np.abs(lags).max() <= 20, "GRID's clips are off by some milliseconds themselves"


class Seldom(Planted):
    """An hour whose faces are seen for 150 s, then for 20 of 240 s: what is not seen costs nothing."""

    HOUR = 3600

    def __init__(self, line: Line) -> None:
        super().__init__(line, self.HOUR)
        self.seen = [(0, 150), *((start, start + 20) for start in range(240, self.HOUR, 240)), (3580, self.HOUR)]

    def far(self) -> far.Rows:
        """As `far.compared`; the search takes no more than the beginning."""
        return Planted(self.line, self.seen[0][1]).far()

    def along(self, line: Line) -> list[fine.Rows]:
        """As `Watched.along`, of one track."""
        rows = fine.Rows.empty(0, self.windows, 31)
        left = 15 - np.arange(31 * fine.PHASES) / fine.PHASES
        rng = np.random.default_rng(1)
        for start, end in self.seen:
            frames = np.arange(start * FPS, end * FPS)
            offsets = np.rint(line.at(frames) * fine.PHASES) / fine.PHASES
            apart = left + (offsets - self.line.at(frames))[:, None]
            own = np.repeat(rng.normal(0, self.noise, (len(frames), 31)), fine.PHASES, axis=1)
            rows.add(start * FPS, (1.3 - self.depth * np.exp(-0.5 * (apart / 1.2) ** 2) + own).astype(np.float32))
        return [rows]


@pytest.mark.slow
def test_an_hour_of_1001_by_1000_is_named_and_put_right_to_its_end():
    truth = Line(-2.0, 1 / 1001)
    planted = Seldom(truth)
    found = speed.search(planted.far())
    assert found is not None
    followed = speed.follow(planted.along, found)
    assert followed is not None
    assert not followed.doubt
    assert conversion.named(followed.drift) == "1001/1000"
    done = cure.stretched(followed.drift)
    assert done.stretch == Fraction(1001, 1000)
    for seconds in (0, 1800, 3600):
        heard = seconds - float(truth.start + truth.rate * seconds * FPS) / FPS
        assert float(done.stretch * Fraction(heard) + done.pieces[0].delay) == pytest.approx(seconds, abs=0.01)


def test_a_line_that_is_known_to_the_millisecond_keeps_its_name():
    line = Line(-2.0, 998.4e-6).drift(0, 3600, 998.0e-6, 998.8e-6)
    assert conversion.named(line) == "1001/1000", "half a step at its end, whatever the interval says"
    assert not conversion.named(Line(-2.0, 990e-6).drift(0, 3600, 989e-6, 991e-6))
