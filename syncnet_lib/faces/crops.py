"""Mouth and face crops of a picture."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8, UInt16

from syncnet_lib.faces import geometry
from syncnet_lib.media.decode import Picture

MOUTH_SIZE = 120
"""Side of a stored mouth crop; the paper's figure says 120, its text and [Agrawal] say 111, which is cut from it."""
FACE_SIZE = 224
"""Side of a stored face crop: the input of the released model."""
PAD_VALUE = 110
"""Gray of what lies outside the picture [syncnet_python: run_pipeline.py]."""


def gray_crop(picture: Picture, to_crop: Float[np.ndarray, "2 3"], size: int) -> UInt8[np.ndarray, "size size"]:
    """Crop of the luma, full range; see `sample`. Only the crop's own pixels are converted."""
    black, white = picture.luma_range
    pad = round(black + PAD_VALUE * (white - black) / 255)
    return full_range(picture, sample(picture.luma, to_crop, size, pad))


def full_range(
    picture: Picture, luma: UInt8[np.ndarray, "height width"] | UInt16[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """Luma of a picture over 0-255."""
    black, white = picture.luma_range
    if (black, white) == (0, 255):
        return luma
    scale = 255 / (white - black)
    # convertScaleAbs takes the absolute value, so nothing may be blacker than black
    return cv2.convertScaleAbs(cv2.max(luma, black), alpha=scale, beta=-black * scale)


def sample(
    image: UInt8[np.ndarray, "height width *channels"] | UInt16[np.ndarray, "height width *channels"],
    to_crop: Float[np.ndarray, "2 3"],
    size: int,
    pad: int,
) -> UInt8[np.ndarray, "size size *channels"] | UInt16[np.ndarray, "size size *channels"]:
    """Cut a square crop out of a picture.

    Args:
        image: gray, or with channels last.
        to_crop: affine map from picture to crop, without shear.
        size: of the crop, pixels.
        pad: value outside the picture.
    """
    shrink = int(1 / np.hypot(to_crop[0, 0], to_crop[0, 1]))
    if shrink >= 2:
        # Bilinear sampling of a much larger region would skip pixels; average whole blocks of them first.
        height, width = image.shape[:2]
        corners = cv2.invertAffineTransform(to_crop) @ np.array([[0, size, 0, size], [0, 0, size, size], [1] * 4])
        left, top = np.clip(np.floor(corners.min(1)).astype(int) - shrink, 0, (width, height))
        right, bottom = np.clip(np.ceil(corners.max(1)).astype(int) + shrink, 0, (width, height))
        right, bottom = right - (right - left) % shrink, bottom - (bottom - top) % shrink
        if right > left and bottom > top:
            part = image[top:bottom, left:right]
            image = cv2.resize(part, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
            # Pixel centres: x = left + shrink * x' + (shrink - 1) / 2
            half = (shrink - 1) / 2
            to_crop = np.column_stack(
                (to_crop[:, :2] * shrink, to_crop[:, :2] @ (left + half, top + half) + to_crop[:, 2])
            )
    return cv2.warpAffine(
        image, to_crop, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(pad,) * 3
    )


def mouth_crop(picture: Picture, mouth: Float[np.ndarray, "4"]) -> UInt8[np.ndarray, "120 120"]:
    """Gray mouth, upright.

    Args:
        picture: the whole picture.
        mouth: centre x, y, side in pixels, roll in radians.
    """
    x, y, side, roll = mouth
    return gray_crop(picture, geometry.square(x, y, side, roll, MOUTH_SIZE), MOUTH_SIZE)


def face_crop(
    picture: Picture, box: Float[np.ndarray, "3"], crop_scale: float, turns: int = 0
) -> UInt8[np.ndarray, "224 224 3"]:
    """RGB face by the geometry of [syncnet_python] (run_pipeline.py, crop_video).

    Args:
        picture: the whole picture.
        box: centre x, y and half the longer side of the face's box, pixels.
        crop_scale: margin; the square reaches (1 + crop_scale) half sides to the left and right, and is moved down by
            crop_scale half sides.
        turns: quarter turns clockwise of the head, which the crop shows upright.
    """
    x, y, half = box
    # Towards the chin: exact for whole quarters, so that an upright face is moved down and not aside.
    right, down = ((0, 1), (-1, 0), (0, -1), (1, 0))[turns % 4]
    middle = x + right * half * crop_scale, y + down * half * crop_scale
    to_crop = geometry.square(*middle, 2 * half * (1 + crop_scale), turns * np.pi / 2, FACE_SIZE)
    return sample(picture.rgb, to_crop, FACE_SIZE, PAD_VALUE)


def sharpness(crop: UInt8[np.ndarray, "height width"]) -> float:
    """Variance of the Laplacian of a gray crop: small where there are no edges."""
    _, spread = cv2.meanStdDev(cv2.Laplacian(crop, cv2.CV_16S))
    return float(spread[0, 0]) ** 2
