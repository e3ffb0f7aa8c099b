"""Where there is speech: what the network of silero-vad says, in one piece or many, and frames of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from silero_vad import get_speech_timestamps, load_silero_vad

from syncnet_lib.errors import InputError
from syncnet_lib.media import speech
from syncnet_lib.media.audio import read_audio
from syncnet_lib.media.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from tests.measurement.test_voice import WORDS, music
from tests.measurement.test_voice import speech as say


@pytest.mark.parametrize("probability", [0.5, speech.PROBABILITY])
def test_stretches_are_those_of_the_package(real_clips: Path, probability: float) -> None:
    model = load_silero_vad()
    paused = np.concatenate([say(WORDS), np.zeros(5000, np.int16), music(), say(WORDS)[:30_001]])
    for samples in (read_audio(real_clips / "wild" / "syllable_ba.mp4"), paused, say(WORDS)[:7000]):
        wave = torch.from_numpy(samples.astype(np.float32) / 2**15)
        wanted = get_speech_timestamps(wave, model, sampling_rate=SAMPLE_RATE, threshold=probability)
        assert speech.speech_spans(samples, probability) == [(each["start"], each["end"]) for each in wanted]


def test_another_version_without_the_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "NETWORK", "another.onnx")
    with pytest.raises(InputError, match=r"another.onnx: this version of silero-vad .*; .*silero-vad>=6,<7"):
        speech._weights.__wrapped__()


def test_pieces_say_what_the_whole_says() -> None:
    samples, pieces = say(WORDS), speech.Detector()
    whole = speech.Detector().probabilities(samples)
    cuts = [0, 512, 512 * 40, 512 * 41, len(samples)]
    found = [pieces.probabilities(samples[a:b]) for a, b in zip(cuts, [*cuts[1:], len(samples)], strict=True)]
    np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-4)
    assert whole.max() > 0.9


@given(st.lists(st.integers(0, 20_000), min_size=2, max_size=8, unique=True), st.integers(1, 40))
@example([0, 719, 896, 1137], 2)  # half of the second frame, to the sample
def test_a_frame_is_speech_where_more_than_half_of_it_is(edges: list[int], frames: int) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    spans = list(zip(edges[::2], edges[1::2], strict=True))
    said = np.zeros(frames * SAMPLES_PER_FRAME, bool)
    for start, end in spans:
        said[start:end] = True
    wanted = said.reshape(frames, SAMPLES_PER_FRAME).sum(1) > SAMPLES_PER_FRAME / 2
    np.testing.assert_array_equal(speech.by_frame(spans, frames), wanted)
