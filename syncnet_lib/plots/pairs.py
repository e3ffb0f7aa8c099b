"""Figures of a pair: a window of frames, the audio under it, and the rule that joins them."""

import numpy as np
from jaxtyping import Float, Int16, UInt8
from matplotlib.figure import Figure

from syncnet_lib.media.clock import FRAME_MS, SAMPLE_RATE
from syncnet_lib.media.features import HOP, MFCC_PER_FRAME, MFCC_SPAN, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.plots import style

STEP_MS = 1000 * HOP // SAMPLE_RATE
SPAN_MS = 1000 * MFCC_SPAN // SAMPLE_RATE
WINDOW_MS = SPAN_MS + (WINDOW_MFCC - 1) * STEP_MS
"""Audio under the 20 MFCC steps of a window: 215 ms [Agrawal]."""


def pair(
    frames: UInt8[np.ndarray, "5 height width"],
    mfcc: Float[np.ndarray, "20 13"],
    other: Float[np.ndarray, "20 13"],
    shift: int,
) -> Figure:
    """A window's five frames beside its audio, and beside the audio of its false pair.

    Args:
        frames: of the window.
        mfcc: the window's own.
        other: those of the window `shift` frames later.
        shift: in frames.
    """
    title = (
        f"A positive pair is 5 frames with their 0.2 s of audio; its negative takes the audio {shift:+d} frames away"
    )
    figure = style.headed(11, 3.2, title)
    axes = figure.subplots(1, 7, width_ratios=[1] * 5 + [1.5, 1.5])
    for n, frame in enumerate(frames):
        axes[n].imshow(frame, cmap="gray", vmin=0, vmax=255)
        axes[n].set_title(f"{n * FRAME_MS} ms", fontsize=9)
        axes[n].axis("off")
    low, high = min(mfcc[:, 1:].min(), other[:, 1:].min()), max(mfcc[:, 1:].max(), other[:, 1:].max())
    for place, steps, name in ((5, mfcc, "its audio"), (6, other, f"audio {shift * FRAME_MS:+d} ms away")):
        # Coefficient 0 is the energy, several times the others: on their scale it would be all one colour.
        axes[place].imshow(steps.T, aspect="auto", origin="lower", cmap="viridis", vmin=low, vmax=high,
                           extent=(0, len(steps) * STEP_MS, -0.5, steps.shape[1] - 0.5))  # fmt: skip
        axes[place].set_title(f"13×20 MFCC: {name}", fontsize=9)
        axes[place].set_xlabel("time (ms)")
    axes[5].set_ylabel("coefficient")
    return figure


def window_over_audio(
    frames: UInt8[np.ndarray, "5 height width *colours"],
    samples: Int16[np.ndarray, "samples"],
    mfcc: Float[np.ndarray, "20 13"],
) -> Figure:
    """A window's five frames, the audio under them, the reach of its 20 MFCC steps, and their 13x20 matrix.

    Args:
        frames: of the window, gray or RGB.
        samples: 16 kHz, from the window's first frame on, at least those under its MFCC.
        mfcc: of the window.
    """
    count = SAMPLE_RATE * WINDOW_MS // 1000
    figure = style.headed(
        10, 7,
        f"Frames 0 to {len(frames) - 1} are {len(frames) * FRAME_MS} ms; their {len(mfcc)} MFCC steps reach over "
        f"{count:,} samples, {WINDOW_MS} ms",
    )  # fmt: skip
    faces, wave, steps, matrix = figure.subplots(4, 1, sharex=True, height_ratios=[2, 1, 1.4, 1.6])
    for n, frame in enumerate(frames):
        left, right = n * FRAME_MS, (n + 1) * FRAME_MS
        faces.imshow(frame, cmap="gray", vmin=0, vmax=255, extent=(left, right, 0, 1), aspect="auto")
        wave.axvspan(left, right, color=style.NEUTRAL, alpha=0.15 + 0.15 * (n % 2), linewidth=0)
    style.label(faces, "", "", "frames")
    faces.set(yticks=[], xlim=(0, WINDOW_MS), ylim=(0, 1))
    wave.plot(np.arange(count) * 1000 / SAMPLE_RATE, samples[:count], color=style.GENUINE, linewidth=0.6)
    style.label(wave, "", "", "sample")
    starts = np.arange(len(mfcc)) * STEP_MS
    steps.hlines(range(len(mfcc)), starts, starts + SPAN_MS, colors=style.ACCENT, linewidth=3)
    style.label(steps, "", "", f"MFCC step ({SPAN_MS} ms)")
    steps.invert_yaxis()
    # Coefficient 0 is the energy, several times the others: on their scale it would be all one colour.
    matrix.imshow(mfcc.T, aspect="auto", origin="lower", cmap="viridis", vmin=mfcc[:, 1:].min(), vmax=mfcc[:, 1:].max(),
                  extent=(0, len(mfcc) * STEP_MS, -0.5, mfcc.shape[1] - 0.5))  # fmt: skip
    style.label(matrix, "", "time (ms)", "coefficient")
    return figure


def index_rule(windows: int = 3) -> Figure:
    """Which MFCC steps belong to which frames: why the index is multiplied by 4, and why 20 are taken.

    Args:
        windows: how many windows of stride 1 to draw.
    """
    frames = WINDOW_FRAMES + windows - 1
    figure, axes = style.canvas(
        10, 3.6,
        f"A frame is {FRAME_MS}/{STEP_MS} = {MFCC_PER_FRAME} steps; {WINDOW_MFCC} steps are "
        f"{SPAN_MS} + {WINDOW_MFCC - 1} × {STEP_MS} = {WINDOW_MS} ms, near the {WINDOW_FRAMES * FRAME_MS} ms of "
        f"{WINDOW_FRAMES} frames",
        "time (ms)", "window",
    )  # fmt: skip
    for n in range(frames):
        axes.broken_barh([(n * FRAME_MS, FRAME_MS)], (0.1, 0.8), facecolors="white", edgecolors=style.NEUTRAL)
        axes.text((n + 0.5) * FRAME_MS, 0.5, f"frame {n}", ha="center", va="center", fontsize=8)
    starts = np.arange(frames * MFCC_PER_FRAME) * STEP_MS
    axes.vlines(starts, -0.25, 0.0, color=style.ACCENT)
    for start, number in zip(starts[::MFCC_PER_FRAME], range(0, len(starts), MFCC_PER_FRAME), strict=True):
        axes.text(start, -0.3, str(number), ha="center", va="bottom", fontsize=8, color="#9a6a00")
    for window in range(windows):
        low = 1.3 + window
        first = window * MFCC_PER_FRAME
        axes.broken_barh([(window * FRAME_MS, WINDOW_FRAMES * FRAME_MS)], (low, 0.32), facecolors=style.GENUINE)
        axes.broken_barh([(first * STEP_MS, WINDOW_MS)], (low + 0.36, 0.32), facecolors=style.ACCENT)
        for height, text in (
            (0.16, f"frames {window} to {window + WINDOW_FRAMES - 1}"),
            (0.52, f"steps {MFCC_PER_FRAME}·{window} = {first} to {first + WINDOW_MFCC - 1}"),
        ):
            axes.text(window * FRAME_MS + 4, low + height, text, va="center", fontsize=8)
    axes.set(ylim=(windows + 1.2, -0.8), yticks=[1.65 + n for n in range(windows)], yticklabels=list(range(windows)))
    return figure
