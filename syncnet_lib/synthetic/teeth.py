"""A person's own upper teeth, cut out of a photograph that shows them and brought to the frame of the resting mouth."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from syncnet_lib.synthetic.portrait import INNER, STILL, Mouth, Teeth, to_texture

_BRIDGE = (168, 6, 197, 195, 5, 4, 1)
"""Landmarks of the nose that no expression moves."""
_MIN_OPENING = 0.1
"""Least distance of the lips, in half mouth widths; the mesh finds up to 0.08 between lips that are closed."""
_TOUCHING = 3
"""Rows between teeth and lower lip that may be its shadow."""
_MIN_WIDTH, _MIN_HEIGHT = 0.5, 0.06
"""Least extent of the teeth that are seen, in half mouth widths."""
_BRIGHT = 0.55
"""Least luma of a tooth as a share of the brightest ones': below lie gaps and the corners of the mouth."""
_WHITE = 0.5
"""Largest redness of the brightest teeth as a share of the lips': at most 0.4 in smiles, 0.56 where lips only shine."""
_REDDER = 0.10
"""Excess of redness over the brightest teeth's from which it is a gum, a tongue or a lip."""
_FRONT = 0.25
"""Half mouth widths to both sides that the front teeth take."""
_LEAST_END = 0.6
"""Half mouth widths to both sides that teeth take at least: narrow smiles hide the others."""
_USUAL_EDGE = 0.075
"""Half mouth widths by which front teeth usually reach below the resting seam; less towards the sides."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def cut(
    image: UInt8[np.ndarray, "height width 3"],
    points: Float[np.ndarray, "478 3"],
    neutral: Float[np.ndarray, "478 3"],
    mouth: Mouth,
) -> Teeth | str:
    """Cut out the upper teeth of a photograph.

    They are fixed to the skull, and so to the bridge of the nose: it tells where they are behind the resting lips.

    Args:
        image: texture of the photograph that may show teeth.
        points: its landmarks.
        neutral: landmarks of the person's neutral photograph, or the same ones where there is no other.
        mouth: the mouth at rest, measured there.

    Returns:
        The teeth in the light of the photograph; or why there are none, in words.
    """
    eyes = neutral[[468, 473], :2]
    unit = mouth.half_width * float(np.linalg.norm(eyes[1] - eyes[0]))
    seat = neutral[2, :2] + (neutral[152, :2] - neutral[2, :2]) * mouth.height
    seat = seat + np.median((points - neutral)[list(_BRIDGE), :2], axis=0)
    right = points[473, :2] - points[468, :2]
    right = right / np.linalg.norm(right)
    frame = np.stack([right, [-right[1], right[0]]])
    lips = (points[list(INNER), :2] - seat) @ frame.T / unit
    if abs(float(lips[INNER.index(13), 1] - lips[INNER.index(14), 1])) < _MIN_OPENING:
        return "its lips are closed"
    places = to_texture(seat + unit * Teeth.grid() @ frame).astype(np.float32)
    shown = np.asarray(cv2.remap(image, places, np.empty(0), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    between, enamel = _enamel(shown, lips)
    seen = np.flatnonzero(enamel.any(0))
    if len(seen) < _MIN_WIDTH * Teeth.FINE or enamel.sum() < _MIN_HEIGHT * Teeth.FINE * len(seen):
        return "no teeth are seen between its lips"
    x = Teeth.grid()[0, :, 0]
    last, lip = (len(enamel) - np.argmax(each[::-1, seen], axis=0) for each in (enamel, between))
    straight = _smoothed(last / Teeth.FINE + Teeth.TOP) + Teeth.BEND * x[seen] ** 2
    edge = np.interp(x, x[seen], straight) - Teeth.BEND * x**2
    front = np.abs(x[seen]) < _FRONT
    # What reaches the lower lip goes on behind it; and no teeth end above the resting seam.
    least = _USUAL_EDGE if np.median((lip - last)[front]) <= _TOUCHING else 0.0
    down = max(0, round((least - float(np.median(straight[front]))) * Teeth.FINE))
    # The outermost pixels are mixed with lips, gums and what is behind.
    sure = cv2.erode(enamel.astype(np.uint8), np.ones((3, 1), np.uint8))
    lower, unsure = (np.roll(each, down, axis=0) for each in (shown, 1 - sure))
    whole = cv2.inpaint(lower, unsure, 3, cv2.INPAINT_TELEA)
    return Teeth(
        colour=whole.astype(np.float32),
        edge=edge + down / Teeth.FINE,
        ends=(min(float(x[seen[0]]), -_LEAST_END), max(float(x[seen[-1]]), _LEAST_END)),
    )


def skin(image: UInt8[np.ndarray, "height width 3"], points: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "n 3"]:
    """Colours of the parts of a face that do not move, RGB 1..256: place by place, they compare two photographs' light.

    Args:
        image: texture.
        points: landmarks.
    """
    x, y = np.round(to_texture(points[list(STILL)])).astype(int).T
    height, width = image.shape[:2]
    return np.asarray(cv2.blur(image, (5, 5))[y.clip(0, height - 1), x.clip(0, width - 1)] + 1.0)


def _smoothed(edge: Float[np.ndarray, " columns"]) -> Float[np.ndarray, " columns"]:
    """Median over five pixels, less than half a tooth: gaps between teeth and stray pixels are passed over."""
    return np.median(np.lib.stride_tricks.sliding_window_view(np.pad(edge, 2, mode="edge"), 5), axis=1)


def _enamel(
    shown: UInt8[np.ndarray, "h w 3"], lips: Float[np.ndarray, "20 2"]
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """What lies between the lips; and what of it are teeth: the largest patch of the bright and less red."""
    filled = np.zeros(shown.shape[:2], np.uint8)
    corners = np.round((lips - [Teeth.LEFT, Teeth.TOP]) * Teeth.FINE * 16).astype(np.int32)
    cv2.fillPoly(filled, [corners], (1,), cv2.LINE_8, 4)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    around = cv2.dilate(filled, disc, iterations=3) > cv2.dilate(filled, disc)
    between = cv2.erode(filled, np.ones((3, 3), np.uint8)) > 0
    if not between.any():
        return between, between
    luma = shown @ _LUMA
    redness = 1 - (shown[..., 1] + 1.0) / (shown[..., 0] + 1.0)
    bright = float(np.percentile(luma[between], 95))
    white = float(np.median(redness[between & (luma > 0.85 * bright)]))
    if bright < np.median(luma[around]) or white > _WHITE * np.median(redness[around]):
        return between, np.zeros_like(between)
    enamel = between & (luma > _BRIGHT * bright) & (redness < white + _REDDER)
    _, patches, sizes, _ = cv2.connectedComponentsWithStats(enamel.astype(np.uint8))
    return between, np.asarray(patches == 1 + np.argmax(sizes[1:, cv2.CC_STAT_AREA]))
