"""Appearance of a synthetic talker: what a photograph is painted with, and the scene in which it is filmed."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from syncnet_lib.synthetic.portrait import DENSITY, Photo


@dataclass(frozen=True)
class Look:
    """Appearance of a person. Factors are 1 and offsets 0 for the photograph with its mouth at rest.

    Args:
        jaw_width, face_length, eye_spacing, nose_length, chin_length, cheek_width: factors on the face.
        mouth_width, upper_lip, lower_lip: factors on the resting mouth.
        mouth_height: where the mouth sits, in half mouth widths below its usual place.
        crooked: skew of the mouth, -1..1.
        skin: factors on red, green, blue of the skin.
        hair: factors on red, green, blue of what is not skin above the chin.
        suit: the same below the chin.
        lip_colour: RGB 0..1 of a lip tint.
        lip_strength: 0..1, opacity of the tint.
        beard, moustache: 0..1, from shaven to grown.
        folds: 0..1, visibility of the photograph's nasolabial folds.
        teeth: brightness 0..1 of the teeth.
        teeth_shown: factor on how far the upper teeth reach down behind the lips.
        cavity: factor on the brightness of the oral cavity.
        shadow: 0..1, depth of the shadow that the upper lip casts on what is behind it.
        seam: 0..1, darkness of the line where the lips meet.
        tongue: raise of the resting tongue, half mouth widths.
        modelling: 0..1, contrast between surfaces of the lips that face up and down.
        shine: 0..1, highlight on the lower lip.
        mirror: whether left and right are exchanged.
    """

    jaw_width: float = 1.0
    face_length: float = 1.0
    eye_spacing: float = 1.0
    nose_length: float = 1.0
    chin_length: float = 1.0
    cheek_width: float = 1.0
    mouth_width: float = 1.0
    upper_lip: float = 1.0
    lower_lip: float = 1.0
    mouth_height: float = 0.0
    crooked: float = 0.0
    skin: tuple[float, float, float] = (1.0, 1.0, 1.0)
    hair: tuple[float, float, float] = (1.0, 1.0, 1.0)
    suit: tuple[float, float, float] = (1.0, 1.0, 1.0)
    lip_colour: tuple[float, float, float] = (0.7, 0.4, 0.4)
    lip_strength: float = 0.3
    beard: float = 0.0
    moustache: float = 0.0
    folds: float = 0.3
    teeth: float = 0.8
    teeth_shown: float = 1.0
    cavity: float = 1.0
    shadow: float = 0.45
    seam: float = 0.5
    tongue: float = 0.0
    modelling: float = 0.5
    shine: float = 0.2
    mirror: bool = False


@dataclass(frozen=True)
class Scene:
    """Camera, light and background of a clip.

    Args:
        width, height: of the frame, pixels, multiples of 4.
        scale: frame pixels per pixel of the photograph, whose face is 107 high.
        centre: x and y of the middle of the face, frame pixels.
        light: direction and strength of side light (x), top light (y), each -1..1.
        exposure: factor on brightness.
        gamma: exponent on brightness.
        colour: factors on red, green, blue.
        background: RGB 0..255 at the top and at the bottom of the frame.
        clutter: 0..1, unevenness of the background.
        blur: standard deviation of the lens blur, frame pixels.
        noise: standard deviation of the sensor noise, on a scale of 0..255.
    """

    width: int
    height: int
    scale: float
    centre: tuple[float, float]
    light: tuple[float, float] = (0.0, 0.0)
    exposure: float = 1.0
    gamma: float = 1.0
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    background: tuple[tuple[float, float, float], tuple[float, float, float]] = (
        (90, 150, 200),
        (60, 120, 180),
    )
    clutter: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


def painted(photo: Photo, look: Look, scene: Scene) -> UInt8[np.ndarray, "height width 4"]:
    """Texture of a person in a scene: the photograph tinted, shaded and filmed.

    Args:
        photo: the photograph.
        look: the person.
        scene: light and camera.

    Returns:
        (h, w, 4) uint8 RGBA with premultiplied alpha, the texture of `photo.mesh`.
    """
    region = photo.regions
    colour = photo.colour + (photo.smooth - photo.colour) * (region["folds"] * np.float32(1 - look.folds))
    factor = 1 + region["skin"] * (np.array(look.skin, np.float32) - 1)
    factor *= 1 + region["hair"] * (np.array(look.hair, np.float32) - 1)
    factor *= 1 + region["clothes"] * (np.array(look.suit, np.float32) - 1)
    box = photo.face
    luma = colour[box] @ np.array([[0.299], [0.587], [0.114]], np.float32)
    colour *= factor
    face, part = colour[box], {name: area[box] for name, area in region.items()}
    tint = np.array(look.lip_colour, np.float32) * luma * np.float32(1.5 * np.mean(look.skin))
    face += (tint - face) * part["lips"] * np.float32(look.lip_strength)
    face *= 1 - np.float32(0.18 * look.modelling) * part["upper_lip"]  # faces down, the lower lip up
    face *= 1 + np.float32(0.10 * look.modelling) * part["lower_lip"]
    face += np.float32(70 * look.shine) * part["shine"]
    face *= 1 - np.float32(0.25 * look.modelling) * part["under_lip"]
    if look.beard > 0 or look.moustache > 0:
        whiskers = np.maximum(part["beard"] * np.float32(look.beard), part["moustache"] * np.float32(look.moustache))
        dark = np.minimum(np.array([58, 48, 42], np.float32) * np.float32(np.mean(look.hair)), face * 0.6)
        face += (dark - face) * np.clip(whiskers, 0, 0.92)
    side, top = scene.light
    bulge = np.exp(-((np.hypot(photo.across, photo.down * 0.8) / 1.6) ** 2))
    light = 1 + 0.55 * side * np.tanh(photo.across * 1.2) * (0.4 + 0.6 * bulge) - 0.30 * top * np.tanh(photo.down)
    cover = photo.cover[..., None]
    lit = filmed(np.clip(colour * light[..., None], 0, 255).astype(np.uint8), scene)
    blur = scene.blur * DENSITY / scene.scale
    texture = np.dstack([lit * cover, 255 * cover]).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(texture, (0, 0), blur) if blur > 0.25 else texture)


def filmed(colour: UInt8[np.ndarray, "height width 3"], scene: Scene) -> UInt8[np.ndarray, "height width 3"]:
    """Apply the camera's exposure, gamma and white balance.

    Args:
        colour: (h, w, 3) uint8 RGB.
        scene: the camera.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    levels = np.arange(256) / 255 * scene.exposure
    curves = np.clip(levels[:, None] ** scene.gamma * np.array(scene.colour), 0, 1) * 255
    return np.asarray(cv2.LUT(colour, curves.round().astype(np.uint8)[None]))


def backdrop(scene: Scene) -> UInt8[np.ndarray, "height width 3"]:
    """Background of a scene: a wall in uneven light, out of focus.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    top, bottom = (np.array(colour) for colour in scene.background)
    v = np.linspace(0, 1, scene.height)[:, None, None]
    u = np.linspace(-1, 1, scene.width)[None, :, None]
    uneven = 1 + 0.15 * scene.light[0] * u - 0.2 * u * u
    if scene.clutter > 0:
        things: np.ndarray = np.random.default_rng(round(top.sum() * 1000)).uniform(-1, 1, (6, 8))
        things = cv2.resize(things, (scene.width, scene.height), interpolation=cv2.INTER_CUBIC)
        uneven = uneven * (1 + scene.clutter * things[..., None])
    wall = np.clip((top + (bottom - top) * v) * uneven, 0, 255).astype(np.uint8)
    return filmed(wall, scene)
