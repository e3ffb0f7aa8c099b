"""How much of the speech was judged: counted by hand on made videos and tracks, and said in each output."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from syncnet_lib.measurement import finding, output, pages, table, verdict
from syncnet_lib.measurement.analyse import Analysis, InferSettings
from syncnet_lib.measurement.coverage import NO_FACE, NOT_SPEAKING, coverage
from syncnet_lib.measurement.result import Coverage, Result, Unjudged
from syncnet_lib.media import audio, decode, encode, speech
from syncnet_lib.media.clock import FPS, SAMPLES_PER_FRAME
from tests.measurement.test_analyse import INFO, analyse, planted
from tests.measurement.test_standard import result
from tests.measurement.test_voice import WORDS, music
from tests.measurement.test_voice import speech as say


@pytest.fixture
def film(talkers: Path, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """3 s of a talker, 4 s of other speech in which the face is seen for 2.4 s, 4 s of music; which frames speak."""
    talker = talkers / "videos" / "s000_00000.mp4"
    faces = list(decode.read_frames(talker))
    own = audio.read_audio(talker)[: len(faces) * SAMPLES_PER_FRAME]
    samples = np.concatenate([own, say(WORDS), music()])
    path = tmp_path / "film.mkv"
    gray = np.full_like(faces[0], 90)
    pictures = [*faces, *[gray] * 25, *faces[:60], *[gray] * (8 * FPS - 85)]
    encode.write_video(path, pictures, samples, audio_codec="flac")
    return path, speech.by_frame(speech.speech_spans(samples), len(pictures))


def test_speech_without_a_face_is_not_judged_and_music_does_not_count(talkers, film):
    path, said = film

    def covered(**part: float) -> Coverage:
        found = analyse(path, talkers, **part)
        return verdict.judge(path, found, INFO, InferSettings(**part)).coverage

    whole = covered(min_track=70)
    assert not said[-3 * FPS :].any(), "music"
    assert whole.speech_s == pytest.approx(said.sum() / FPS)
    assert whole.judged_s == pytest.approx(said[: 3 * FPS].sum() / FPS)
    reasons = {each.reason: each.seconds for each in whole.unjudged}
    brief = "a face is seen for less than 70 frames"
    assert set(reasons) == {NO_FACE, brief}
    assert whole.judged_s + sum(reasons.values()) == pytest.approx(whole.speech_s)
    assert reasons[brief] == pytest.approx(said[100:160].sum() / FPS, abs=2 / FPS)
    heard = said[: 2 * FPS].sum() / FPS
    assert covered(end=2.0) == Coverage(speech_s=heard, judged_s=heard, unjudged=[])


def test_each_frame_of_speech_has_one_reason():
    one = planted(np.zeros(95)).tracks[0]
    other = dataclasses.replace(one, number=1, first=200)
    refused = [(100, 150, "too small"), (0, 50, "too brief")]
    speaks = np.ones(400, bool)
    speaks[120:125] = False
    found = Analysis([one, other], 400, 400 * SAMPLES_PER_FRAME, speaks, refused=refused)
    assert coverage(found, [one]) == Coverage(
        speech_s=395 / FPS,
        judged_s=100 / FPS,
        unjudged=[
            Unjudged(reason=NO_FACE, seconds=150 / FPS),
            Unjudged(reason=NOT_SPEAKING, seconds=100 / FPS),
            Unjudged(reason="too small", seconds=45 / FPS),
        ],
    )
    parts = dataclasses.replace(found, looked=((50, 60), (390, 400)))
    assert coverage(parts, [one]) == Coverage(
        speech_s=20 / FPS, judged_s=10 / FPS, unjudged=[Unjudged(reason=NO_FACE, seconds=10 / FPS)]
    )


@pytest.mark.parametrize("centre", [-50, 50])
def test_far_off_the_speech_is_that_which_was_compared(centre):
    track = planted(np.zeros(95)).tracks[0]
    speaks = np.zeros(100, bool)
    speaks[40:60] = True
    found = Analysis([track], 100, 100 * SAMPLES_PER_FRAME, speaks, centre=centre)
    inside = speaks[max(-centre, 0) : 100 - max(centre, 0)].sum() / FPS
    assert coverage(found, [track]).judged_s == pytest.approx(inside)


def partly(sureness: str = "sure") -> Result:
    some = Coverage(speech_s=540, judged_s=312, unjudged=[Unjudged(reason=NO_FACE, seconds=228)])
    return result(5.0, sureness).model_copy(update={"coverage": some})


def test_each_output_says_it():
    said = "judged 312.0 s of 540.0 s of speech (228.0 s: no face is seen)"
    assert finding.covered(partly()) == said
    assert finding.covered(partly("doubtful")).startswith("looked at 312.0 s of 540.0 s")
    (row,) = output.rows(partly())
    assert (row["speech_s"], row["judged_s"], row["unjudged"]) == (540, 312, "no face is seen 228 s")
    assert set(row) <= set(output.COLUMNS)
    page = pages.video_page(partly(), [b""])
    assert "312.0 of 540.0 s<small>judged; 228.0 s: no face is seen</small>" in page
    assert "312.0 of 540.0 s" in pages.index_page([(partly(), "page.html")])


def test_a_batch_says_it_where_a_second_is_missing():
    notes = [
        [str(cell) for cell in table.results(found).columns[5].cells]
        for found in ([result(5.0), partly()], [result(5.0)])
    ]
    assert [sum("of speech" in cell for cell in each) for each in notes] == [1, 1]
