"""Where there is speech: the network of silero-vad in numpy, with the weights that lie in its wheel.

The package itself imports torch, which takes longer than a short video to measure. What comes out is what its network
gives, but for rounding; a recording of any length is heard piece by piece.
"""

import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int16
from numpy.lib.stride_tricks import sliding_window_view

from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import SAMPLE_RATE, SAMPLES_PER_FRAME

CHUNK = 512
"""Samples that have one probability, 32 ms."""
PROBABILITY = 0.9
"""Speech probability of silero-vad from which a moment counts. Real speech loses 2 % of its seconds against the usual
0.5, where a tone that rises and falls three times a second over noise is taken for speech; from 0.9 on it is not."""
USUAL = 0.5
"""The probability that silero-vad itself asks for: where it is known that somebody speaks, and when is asked."""
LESS = 0.15
"""By how much the probability must fall below that for speech to end."""
LEAST_SPEECH, LEAST_SILENCE, MARGIN = (SAMPLE_RATE * ms // 1000 for ms in (250, 100, 30))
"""Samples of the shortest stretch of speech and of the shortest pause in it, and what is added on both sides of a
stretch: silero-vad's own."""
NETWORK = "silero_vad_16k_op15.onnx"
"""File of the wheel with the network for 16 kHz."""
_GRAPH, _INITIALIZER, _DIMS, _NAME, _RAW = 7, 5, 1, 8, 9
"""Numbers of fields in ONNX: of a model, of a graph, and three of a tensor."""
_CONTEXT, _MIRRORED = 64, 64
"""Samples before a chunk that its network hears too, and at its end again, mirrored."""
_FFT, _HOP = 256, 128
_STRIDES = 1, 2, 2, 1
"""Of the four convolutions."""


class Detector:
    """The network, at one place of a recording."""

    def __init__(self) -> None:
        self._weights = _weights()
        self._context = np.zeros(_CONTEXT, np.float32)
        self._hidden = np.zeros(len(self._weights["decoder.rnn.weight_hh"]) // 4, np.float32)
        self._cell = self._hidden

    def probabilities(self, samples: Int16[np.ndarray, " samples"]) -> Float32[np.ndarray, " chunks"]:
        """Hear what follows.

        Args:
            samples: 16 kHz mono; of whole chunks, unless they are the last ones.

        Returns:
            How likely each chunk is speech.
        """
        count = -(-len(samples) // CHUNK)
        if not count:
            return np.empty(0, np.float32)
        waveform = np.zeros(_CONTEXT + count * CHUNK, np.float32)
        waveform[:_CONTEXT] = self._context
        waveform[_CONTEXT:][: len(samples)] = samples / np.float32(2**15)
        self._context = waveform[-_CONTEXT:]
        chunks = sliding_window_view(waveform, _CONTEXT + CHUNK)[::CHUNK]
        mirrored = chunks[:, -2 : -2 - _MIRRORED : -1]
        frames = sliding_window_view(np.concatenate([chunks, mirrored], axis=1), _FFT, axis=1)[:, ::_HOP]
        basis = self._weights["stft.forward_basis_buffer"][:, 0]
        bins = len(basis) // 2
        parts = np.square(frames.reshape(-1, _FFT) @ basis.T)  # flat, as a product of many small ones is no BLAS call
        values = np.sqrt(parts[:, :bins] + parts[:, bins:]).reshape(count, -1, bins)
        for number, stride in enumerate(_STRIDES):
            values = self._convolved(values, f"encoder.{number}.reparam_conv", stride)
        hidden = self._remembered(values[:, 0])
        score = (
            np.maximum(hidden, 0) @ self._weights["decoder.decoder.2.weight"][0, :, 0]
            + self._weights["decoder.decoder.2.bias"]
        )
        return _logistic(score)

    def _convolved(self, values: np.ndarray, name: str, stride: int) -> np.ndarray:
        """(n, steps, channels) rectified, of a layer with a kernel of 3."""
        weight = self._weights[f"{name}.weight"]
        patches = sliding_window_view(np.pad(values, ((0, 0), (1, 1), (0, 0))), 3, axis=1)[:, ::stride]
        flat = patches.reshape(-1, 3 * values.shape[-1])
        found = np.maximum(flat @ weight.reshape(len(weight), -1).T + self._weights[f"{name}.bias"], 0)
        return found.reshape(*patches.shape[:2], -1)

    def _remembered(self, values: np.ndarray) -> np.ndarray:
        """(n, channels) of the LSTM, which goes on from where it was."""
        bias = self._weights["decoder.rnn.bias_ih"] + self._weights["decoder.rnn.bias_hh"]
        inputs = values @ self._weights["decoder.rnn.weight_ih"].T + bias
        recurrent = np.ascontiguousarray(self._weights["decoder.rnn.weight_hh"].T)
        found = np.empty((len(values), len(self._hidden)), np.float32)
        hidden, cell = self._hidden, self._cell
        size = len(hidden)
        for number, each in enumerate(inputs):
            gates = each + hidden @ recurrent
            opened = _logistic(gates)
            cell = opened[size : 2 * size] * cell + opened[:size] * np.tanh(gates[2 * size : 3 * size])
            hidden = opened[3 * size :] * np.tanh(cell)
            found[number] = hidden
        self._hidden, self._cell = hidden, cell
        return found


def _logistic(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without scipy, whose import takes longer than to hear half a minute."""
    return 0.5 * np.tanh(0.5 * values) + 0.5


@functools.cache
def _weights() -> dict[str, np.ndarray]:
    """The network's weights by their names, from the graph's list of them (ONNX: `onnx.proto`)."""
    package = importlib.util.find_spec("silero_vad")  # finds it without importing it
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "data" / NETWORK
    try:
        model = path.read_bytes()
    except FileNotFoundError:
        cure = "install one that has: pip install 'silero-vad>=6,<7'"
        raise InputError(path, "this version of silero-vad has no such network", cure) from None
    found = {}
    for graph in _values(memoryview(model), _GRAPH):
        for tensor in _values(graph, _INITIALIZER):
            (name,), (raw,) = (list(_values(tensor, field)) for field in (_NAME, _RAW))
            shape = [value for field, value in _fields(tensor) if field == _DIMS and isinstance(value, int)]
            found[bytes(name).decode().removeprefix("model.")] = np.frombuffer(raw, np.float32).reshape(shape)
    return found


def _values(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The messages or bytes under a number of a protobuf message."""
    return (value for field, value in _fields(message) if field == wanted and isinstance(value, memoryview))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The numbers and values of a protobuf message's fields."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        value: memoryview | int
        if kind == 0:
            value, at = _varint(message, at)
        else:
            size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = message[at : at + size], at + size
        yield key >> 3, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 128:
            return value, at


def spans(
    probabilities: Float32[np.ndarray, " chunks"], samples: int, probability: float = PROBABILITY
) -> list[tuple[int, int]]:
    """Stretches of speech, as silero-vad puts them together.

    Args:
        probabilities: of the chunks of a recording.
        samples: its length.
        probability: from which a moment counts.

    Returns:
        First sample of each stretch, and the one after its last.
    """
    found: list[tuple[int, int]] = []
    start = pause = -1
    for number, each in enumerate(probabilities):
        at = number * CHUNK
        if each >= probability:
            start, pause = at if start < 0 else start, -1
        elif start >= 0 and each < max(probability - LESS, 0.01):
            pause = at if pause < 0 else pause
            if at - pause >= LEAST_SILENCE:
                found.append((start, pause))
                start = pause = -1
    if start >= 0:
        found.append((start, samples))
    long = [(start, end) for start, end in found if end - start > LEAST_SPEECH]
    return [(max(start - MARGIN, 0), min(end + MARGIN, samples)) for start, end in long]


def speech_spans(samples: Int16[np.ndarray, " samples"], probability: float = PROBABILITY) -> list[tuple[int, int]]:
    """`spans` of 16 kHz mono samples."""
    return spans(Detector().probabilities(samples), len(samples), probability)


def spoken(samples: Int16[np.ndarray, " samples"], frames: int) -> Bool[np.ndarray, " {frames}"]:
    """Which frames of a talker's clip are of speech, as published evaluations ask it: `USUAL`.

    Args:
        samples: 16 kHz mono.
        frames: of the clip.
    """
    return by_frame(speech_spans(samples, USUAL), frames)


def by_frame(spoken: list[tuple[int, int]], frames: int) -> Bool[np.ndarray, " frames"]:
    """Which frames are of speech for more than half of them."""
    samples = np.zeros(frames, int)  # whole numbers: a sum of shares may come out above a half that is one
    edges = np.arange(frames + 1) * SAMPLES_PER_FRAME
    for start, end in spoken:
        samples += np.diff(np.clip(edges, start, end))
    return samples > SAMPLES_PER_FRAME / 2
