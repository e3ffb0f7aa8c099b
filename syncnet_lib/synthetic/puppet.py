"""Animation of a portrait: lips, jaw, lids, brows and head move, and frames are rendered by texture mapping.

Lengths are pixels of the photograph, inside the mouth half the width of the resting mouth.
"""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.interpolate import CubicSpline

from syncnet_lib.synthetic.articulation import GESTURES
from syncnet_lib.synthetic.painting import Look, Scene, backdrop, painted
from syncnet_lib.synthetic.portrait import (
    BROWS,
    INNER,
    INNER_UPPER,
    JAW,
    LOWER_LIDS,
    OUTER,
    OVAL,
    STILL,
    UPPER_LIDS,
    Photo,
    Teeth,
)

_DETAIL = (("everything", 4), ("face", 2), ("mouth", 1))
"""Parts of the mesh, and the step in pixels at which texture coordinates are computed; others are interpolated."""


class Puppet:
    """An animated person in a scene.

    Args:
        photo: the photograph of the face.
        look: appearance of the person.
        scene: camera, light and background.
    """

    def __init__(self, photo: Photo, look: Look, scene: Scene) -> None:
        self._look, self._scene = look, scene
        mesh, self._mouth = photo.mesh, photo.mouth
        self._triangles, self._texture_points = mesh.triangles, mesh.texture
        self._rows = {name: mesh.rows(group) for name, group in _GROUPS.items()}
        # Model space: eyes level, origin between them.
        eyes = photo.points[[468, 473], :2]
        self._eye_distance = float(np.linalg.norm(eyes[1] - eyes[0]))
        cos, sin = (eyes[1] - eyes[0]) / self._eye_distance
        flat = self._shaped((mesh.points - eyes.mean(0)) @ np.array([[cos, sin], [-sin, cos]]).T)
        around = len(mesh.points) - len(mesh.landmarks)
        self._depth = np.concatenate([photo.points[mesh.landmarks, 2], np.full(around, _BEHIND)])
        chin = flat[self._rows["chin"][0], 1]
        self._follows = 1 - 0.8 * _smooth((flat[:, 1] - 1.2 * chin) / chin)
        self._rest = self._relaxed(flat)
        self._spread = self._spreading(len(mesh.landmarks))
        self._middle = self._rest[self._rows["oval"]].mean(0)
        self._mirror = np.array([-1.0 if look.mirror else 1.0, 1.0])
        # Parts overlap by a triangle: a part's border, interpolated, is taken from the coarser part below it.
        touching = {name: np.isin(self._triangles, self._rows[name]) for name in ("oval", "lips")}
        inside = (np.arange(len(mesh.points)) < len(mesh.landmarks))[self._triangles].all(1)
        chosen = {
            "everything": ~inside | touching["oval"].any(1) | photo.layered,
            "face": inside & ~touching["lips"].all(1),
            "mouth": touching["lips"].any(1),
        }
        self._parts = {name: (which, np.unique(self._triangles[which])) for name, which in chosen.items()}
        self._teeth = _as_sharp(photo.teeth, self._half * scene.scale, look.mirror) if photo.teeth else None
        if self._teeth is not None:
            middle = slice(*np.searchsorted(Teeth.grid()[0, :, 0], [-0.25, 0.25]))
            edge = float(np.median(self._teeth.edge[middle]))
            row = round((edge - Teeth.TOP) * Teeth.FINE)
            # Lower teeth are not seen: they are as white, and behind the upper ones where the jaw is closed.
            self._ivory = np.median(self._teeth.colour[row - 6 : row - 1, middle], axis=(0, 1))
            self._bite = edge - _OVERBITE
        self._light = scene.exposure * (1 - 0.22 * scene.light[1])  # as in `painted`
        self._texture = painted(photo, look, scene)
        self._backdrop = backdrop(scene)

    def _shaped(self, flat: np.ndarray) -> np.ndarray:
        """Apply the proportions of the look; smooth, so that hair and neck follow."""
        look = self._look
        x, y = flat[:, 0].copy(), flat[:, 1].copy()
        chin = float(y[self._rows["chin"]].max())
        v = y / chin
        near = np.exp(-((np.maximum(np.abs(x) - 60, 0) / 40) ** 2)) * (1 - _smooth((v - 1.2) / 0.8))
        x *= 1 + near * (look.jaw_width - 1) * _smooth((v - 0.2) / 0.6)
        x *= 1 + near * (look.cheek_width - 1) * np.exp(-(((v - 0.35) / 0.3) ** 2))
        x += np.sign(x) * near * (look.eye_spacing - 1) * 30 * np.exp(-((v / 0.3) ** 2) - ((np.abs(x) - 30) / 20) ** 2)
        y += (look.nose_length - 1) * 0.45 * chin * np.exp(-(((v - 0.5) / 0.18) ** 2) - (x / 20) ** 2)
        y += near * (look.chin_length - 1) * 0.35 * chin * _smooth((v - 0.65) / 0.4)
        y *= look.face_length
        return np.stack([x, y], 1)

    def _relaxed(self, flat: np.ndarray) -> np.ndarray:
        """Replace the photograph's mouth by the mouth at rest; the cheeks follow."""
        look, rows = self._look, self._rows
        nose, chin = flat[rows["nose_base"][0]], flat[rows["chin"][0]]
        self._half = self._mouth.half_width * self._eye_distance * look.mouth_width
        self._seat = nose + (chin - nose) * self._mouth.height + [0, look.mouth_height * self._half]
        rest = np.zeros((1, len(GESTURES)))
        lips = self._contours(rest)[0]
        moved = flat.copy()
        moved[rows["lips"]] = lips
        anchors = np.concatenate([rows["outer"], rows["still"], rows["chin"]])
        shift = moved[anchors] - flat[anchors]
        spread = _interpolator(flat, flat[anchors])
        free = np.setdiff1d(np.arange(len(flat)), rows["lips"])
        moved[free] += (spread @ shift)[free]
        return moved

    def _contours(self, track: np.ndarray) -> np.ndarray:
        """Lip landmarks, `OUTER` then `INNER`, for gestures (T, 8): (T, 40, 2) in model space."""
        look, mouth = self._look, self._mouth
        at = mouth.at
        aperture, _, rounded, spread, press, tuck, raised, _ = (track[:, i, None] for i in range(len(GESTURES)))
        opened = np.maximum(aperture, 0)
        wide = 1 + 0.17 * spread - 0.30 * rounded - 0.06 * opened
        x_outer, x_inner = wide * at, wide * mouth.at_inner * (1 - 0.18 * rounded)
        reach = wide * (0.94 - 0.34 * rounded)
        inside = np.clip(1 - (x_inner / reach) ** 2, 0, 1) ** 0.72
        around = np.clip(1 - at**2, 0, 1) ** 0.8
        up = 0.30 * opened + 0.07 * raised + 0.06 * tuck
        down = np.maximum(opened - up, -0.05) + 0.03 * raised
        thin = -0.42 * press - 0.12 * spread - 0.10 * opened
        upper = look.upper_lip * (1 + thin + 0.18 * rounded)
        lower = look.lower_lip * (1 + thin + 0.22 * rounded - 0.5 * tuck)
        corner = (0.16 * opened - 0.14 * spread) * at**2 + 0.05 * look.crooked * at
        seam = mouth.seam + corner
        skew = 1 + 0.15 * look.crooked * at
        y_inner_upper = seam - up * inside * skew
        y_inner_lower = seam + down * inside
        # Rounded lips are a ring: full at the sides, the bow in the middle drawn straight.
        ring = np.clip(1 - at**2, 0, 1) ** 0.5
        upper_lip = mouth.upper_lip + 0.8 * rounded * (0.34 * ring - mouth.upper_lip)
        lower_lip = mouth.lower_lip + 0.8 * rounded * (0.40 * ring - mouth.lower_lip)
        y_outer_upper = corner - upper * upper_lip - up * around * skew
        y_outer_lower = corner + lower * lower_lip + down * around
        outer = np.concatenate([y_outer_upper, y_outer_lower[:, -2:0:-1]], 1)
        inner = np.concatenate([y_inner_upper, y_inner_lower[:, -2:0:-1]], 1)
        x = np.concatenate([x_outer, x_outer[:, -2:0:-1], x_inner, x_inner[:, -2:0:-1]], 1)
        return self._seat + self._half * np.stack([x, np.concatenate([outer, inner], 1)], 2)

    def _spreading(self, landmarks: int) -> np.ndarray:
        """(V, K) weights by which vertices follow the controls: outer lips, jaw, lids, brows; anchors stay in place."""
        rows, rest = self._rows, self._rest
        controls = [rows["outer"], rows["jaw"], rows["lids"], rows["brows"]]
        anchors = np.setdiff1d(rows["still"], np.concatenate(controls))
        ring = np.arange(landmarks, len(rest))
        places = np.concatenate([*controls, anchors, ring])
        return _interpolator(rest, rest[places])[:, : sum(len(c) for c in controls)]

    def positions(
        self,
        track: Float[np.ndarray, "frames gestures"],
        blink: Float[np.ndarray, " frames"],
        brow: Float[np.ndarray, " frames"],
        pose: Float[np.ndarray, "frames 5"],
    ) -> Float[np.ndarray, "frames vertices 2"]:
        """Vertices of the mesh in each frame.

        Args:
            track: (T, 8) gestures, see `articulation.GESTURES`.
            blink: (T,) 0..1, closure of the lids.
            brow: (T,) -1..1, raise of the brows.
            pose: (T, 5) yaw, pitch and roll in radians, then shift right and down in pixels of the photograph.

        Returns:
            (T, V, 2) x and y in frame pixels.
        """
        rows, rest = self._rows, self._rest
        lips = self._contours(track) - rest[rows["lips"]]
        jaw = np.zeros((len(track), len(rows["jaw"]), 2))
        jaw[:, :, 1] = 0.72 * self._half * track[:, 1:2] * np.array(list(JAW.values()))
        lids = np.zeros((len(track), len(rows["lids"]), 2))
        upper, lower = rest[rows["upper_lids"]], rest[rows["lower_lids"]]
        lids[:, : len(upper), 1] = blink[:, None] * 0.8 * (lower - upper)[:, 1]
        brows = np.zeros((len(track), len(rows["brows"]), 2))
        brows[:, :, 1] = -2.5 * brow[:, None]
        moves = np.concatenate([lips[:, : len(OUTER)], jaw, lids, brows], 1)
        points = rest + self._spread @ moves
        points[:, rows["lips"]] = rest[rows["lips"]] + lips

        pivot = np.array([self._middle[0], self._middle[1] + 75.0])
        flat, depth = points - pivot, self._depth - 30
        yaw, pitch, roll = pose[:, 0, None], pose[:, 1, None], pose[:, 2, None]
        x, y = flat[..., 0], flat[..., 1]
        x, z = x * np.cos(yaw) + depth * np.sin(yaw), depth * np.cos(yaw) - x * np.sin(yaw)
        y = y * np.cos(pitch) - z * np.sin(pitch)
        x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
        # At rest the head keeps the photograph's own depth: only the change of pose moves it.
        turned = np.stack([x, y], 2) + pose[:, None, 3:]
        points = pivot + flat + self._follows[:, None] * (turned - flat)
        scene = self._scene
        return np.asarray((points - self._middle) * self._mirror * scene.scale + scene.centre)

    def draw(
        self, points: Float[np.ndarray, "vertices 2"], track: Float[np.ndarray, " gestures"]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Render a frame, without sensor noise.

        Args:
            points: (V, 2) vertices, of `positions`.
            track: (8,) gestures of the frame, which place teeth and tongue.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        scene = self._scene
        maps, shown = _affines(points, self._texture_points, self._triangles)
        corners = points[self._triangles]
        frame_size = np.array([scene.width, scene.height])
        texture_map = np.full((scene.height, scene.width, 2), _NOWHERE, np.float32)
        for part, step in _DETAIL:
            chosen, vertices = self._parts[part]
            if part == "everything":
                low, high = np.zeros(2, int), frame_size
            else:
                bounds = points[vertices]
                # On the grid of the coarsest step, so that every step fits.
                low = (np.floor(bounds.min(0)).astype(int) // 4 * 4).clip(0, frame_size)
                high = (-(-np.ceil(bounds.max(0)).astype(int) // 4) * 4).clip(0, frame_size)
                if (high <= low).any():
                    continue
            here = texture_map[low[1] : high[1], low[0] : high[0]]
            chosen = chosen & shown
            _fill(here, corners[chosen], maps[chosen], low, step)
        figure = cv2.remap(
            self._texture, texture_map, np.empty(0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0,)
        )
        seen_through = cv2.cvtColor(255 - cv2.extractChannel(figure, 3), cv2.COLOR_GRAY2RGB)
        behind = cv2.multiply(self._backdrop, seen_through, scale=1 / 255)
        frame = np.asarray(cv2.add(cv2.cvtColor(figure, cv2.COLOR_RGBA2RGB), behind), np.uint8)
        self._draw_mouth(frame, points, track)
        return frame

    def _draw_mouth(self, frame: np.ndarray, points: np.ndarray, track: np.ndarray) -> None:
        """Draw what is seen between the lips, in place: cavity, tongue and teeth, and the dark line where lips meet."""
        scene, look = self._scene, self._look
        inner = points[self._rows["inner"]]
        unit = self._half * scene.scale
        left, right = inner[0], inner[len(INNER) // 2]
        if look.mirror:
            left, right = right, left
        x0, y0 = np.maximum(np.floor(inner.min(0)).astype(int) - 3, 0)
        x1, y1 = np.ceil(inner.max(0)).astype(int) + 4
        part = frame[y0:y1, x0:x1]
        if part.size == 0:
            return
        aperture = max(track[GESTURES.index("aperture")], 0)
        across = (right - left) / max(float(np.linalg.norm(right - left)), 1e-6)
        yy, xx = np.mgrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        # The corners move with the lips; teeth, on whose edge the seam lies at rest, do not.
        centre = (left + right) / 2 - across[::-1] * [-1, 1] * unit * 0.16 * aperture
        x = ((xx - centre[0]) * across[0] + (yy - centre[1]) * across[1]) / unit
        y = ((yy - centre[1]) * across[0] - (xx - centre[0]) * across[1]) / unit
        soft = 1.0 / unit  # a pixel
        corner = float((right - centre) @ across) / unit
        top = np.interp(x, *_edge(inner[: len(INNER_UPPER)], centre, across, unit))
        bottom = np.interp(x, *_edge(inner[_LOWER_OF_INNER], centre, across, unit))
        colour = self._oral_cavity(x, y, soft, track)
        colour *= (1 - look.shadow + look.shadow * np.clip((y - top) / 0.16, 0, 1))[..., None]  # under the upper lip
        colour = np.minimum(colour * self._light, 255) / 255
        colour = 255 * np.clip(colour**scene.gamma * scene.colour, 0, 1)
        # Share of each pixel's height that lies between the lips, so that closed lips leave nothing open.
        between = np.clip((np.minimum(y + soft / 2, bottom) - np.maximum(y - soft / 2, top)) / soft, 0, 1)
        ends = _step(np.minimum(x + corner, corner - x), soft)
        between *= ends
        # The dark line where lips meet is thin and faint towards the corners.
        seam = np.clip(1 - np.abs(y - (top + bottom) / 2) / (0.5 * (bottom - top) + 0.055), 0, 1) * ends
        lips = part * (1 - look.seam * seam * np.clip(1.25 - np.abs(x / corner), 0, 1))[..., None]
        part[:] = np.clip(lips + (colour - lips) * between[..., None], 0, 255)
        if scene.blur > 0.25:  # the texture is already blurred by the lens
            part[:] = cv2.GaussianBlur(part, (0, 0), scene.blur * 0.7)

    def _oral_cavity(self, x: np.ndarray, y: np.ndarray, soft: float, track: np.ndarray) -> np.ndarray:
        """Colours of what is behind the lips, (h, w, 3) RGB 0..255, in white light.

        Args:
            x, y: (h, w) position in half mouth widths from the middle of the resting seam.
            soft: size of a pixel in the same unit.
            track: (8,) gestures.
        """
        look = self._look
        aperture, jaw, tongue = (track[GESTURES.index(name)] for name in ("aperture", "jaw", "tongue"))
        bend = Teeth.BEND * x * x
        upper_edge = 0.075 * look.teeth_shown - bend
        lower_edge = 0.09 + 0.72 * jaw - 0.04 * look.teeth_shown + bend
        tooth = np.abs(np.sin(np.pi * (np.abs(x) + 0.01) / 0.30)) ** 0.35
        sides = np.clip(1.08 - 0.75 * x * x, 0.15, 1)
        ivory = np.array([238.0, 228.0, 208.0]) * look.teeth
        shade = (sides * (0.72 + 0.28 * tooth))[..., None]
        upper = ivory * shade
        if self._teeth is None:
            upper_teeth = _step(upper_edge + 0.02 * tooth - y, soft) * _step(0.85 - np.abs(x), 0.1)
        else:
            upper, upper_teeth = _own_teeth(self._teeth, x, y, soft)
            ivory = self._ivory
            lower_edge = self._bite + 0.72 * jaw + bend
        lower_teeth = _step(y - lower_edge, soft) * _step(0.7 - np.abs(x), 0.1)
        tongue_top = (
            0.08
            - look.tongue
            + 0.5 * jaw
            - 0.42 * tongue * (0.35 + 0.65 * min(1.0, 2 * max(aperture, 0)))
            + 0.55 * x * x
        )
        tongue_here = _step(y - tongue_top, 0.10)
        dark = np.array([46.0, 22.0, 20.0]) * look.cavity
        flesh = np.array([150.0, 78.0, 76.0])
        depth = np.clip(0.55 + 0.5 * (y - tongue_top), 0.35, 0.9)[..., None]
        colour = dark + (flesh * depth - dark) * tongue_here[..., None]
        colour += (ivory * 0.80 * shade - colour) * lower_teeth[..., None]
        colour += (upper - colour) * upper_teeth[..., None]
        return np.asarray(colour)


_BEHIND = 25.0
"""Depth of hair, neck and clothes: pixels behind the middle of the face."""
_FLAT = 0.2
"""Twice the area in square pixels below which a triangle counts as folded and is not drawn."""
_OVERBITE = 0.025
"""Half mouth widths by which the lower teeth reach above the edge of the upper ones when the jaw is closed."""
_NOWHERE = -100.0
"""A coordinate outside the texture."""
_GROUPS: dict[str, tuple[int, ...]] = {
    "lips": OUTER + INNER,
    "outer": OUTER,
    "inner": INNER,
    "upper_lids": UPPER_LIDS,
    "lower_lids": LOWER_LIDS,
    "lids": UPPER_LIDS + LOWER_LIDS,
    "brows": BROWS,
    "oval": OVAL,
    "jaw": tuple(JAW),
    "chin": (152,),
    "nose_base": (2,),
    "still": STILL,
}
_LOWER_OF_INNER = [0, *range(len(INNER) - 1, len(INNER_UPPER) - 2, -1)]
"""Positions in `INNER` of the lower inner lip, corner to corner."""


_FINER = CubicSpline(np.arange(len(INNER_UPPER)), np.eye(len(INNER_UPPER)))(np.linspace(0, len(INNER_UPPER) - 1, 41))
"""(41, 11) matrix of the cubic spline through the landmarks of a lip's edge."""


def _edge(points: np.ndarray, centre: np.ndarray, across: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """A lip's edge as y over increasing x, in half mouth widths."""
    at = _FINER @ (points - centre) / unit
    x, y = at @ across, at @ np.array([-across[1], across[0]])
    order = np.argsort(x)
    return x[order], y[order]


def _as_sharp(teeth: Teeth, unit: float, mirror: bool) -> Teeth:
    """Teeth as fine as a frame shows them, whose half mouth width has `unit` pixels; turned over with the face."""
    colour = cv2.GaussianBlur(teeth.colour, (0, 0), max(0.4 * Teeth.FINE / unit, 0.3))
    if not mirror:
        return replace(teeth, colour=colour)
    left, right = teeth.ends
    return Teeth(np.ascontiguousarray(colour[:, ::-1]), teeth.edge[::-1], (-right, -left))


def _own_teeth(teeth: Teeth, x: np.ndarray, y: np.ndarray, soft: float) -> tuple[np.ndarray, np.ndarray]:
    """Colours (h, w, 3) and opacity (h, w) of a person's own teeth; arguments as for `Puppet._oral_cavity`."""
    column, row = (x - Teeth.LEFT) * Teeth.FINE, (y - Teeth.TOP) * Teeth.FINE
    places = np.stack([column, row], 2).astype(np.float32)
    colour = cv2.remap(teeth.colour, places, np.empty(0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    edge = np.interp(column, np.arange(len(teeth.edge)), teeth.edge)
    left, right = teeth.ends
    return colour, _step(edge - y, soft) * _step(np.minimum(x - left, right - x), 0.2)


def _step(distance: np.ndarray, width: float) -> np.ndarray:
    """0 to 1 over a width around a distance of 0, linear."""
    return np.clip(distance / width + 0.5, 0, 1)


def _smooth(x: np.ndarray) -> np.ndarray:
    """Smoothstep: 0 below 0, 1 above 1, cubic between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _interpolator(points: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """(V, K) weights that interpolate displacements of K controls at V points, with the radial basis function r."""
    between = np.linalg.norm(controls[:, None] - controls[None], axis=2)
    to = np.linalg.norm(points[:, None] - controls[None], axis=2)
    return np.asarray(np.linalg.solve(between + 1e-3 * np.eye(len(controls)), to.T).T)


def _affines(points: np.ndarray, texture: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Affine map of each triangle from frame to texture pixels, (N, 2, 3); and whether it faces the camera, (N,)."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    p, q, r = (texture[triangles[:, i]] for i in range(3))
    e1, e2, t1, t2 = b - a, c - a, q - p, r - p
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    textured = t1[:, 0] * t2[:, 1] - t1[:, 1] * t2[:, 0]
    # Mirroring turns all triangles over, so the majority decides which side is the front.
    sides = np.sign(area * textured)
    shown = sides * np.sign(sides.sum()) * np.abs(area) > _FLAT
    area = np.where(shown, area, 1.0)[:, None]
    along_x = (t1 * e2[:, 1:] - t2 * e1[:, 1:]) / area
    along_y = (t2 * e1[:, :1] - t1 * e2[:, :1]) / area
    constant = p - along_x * a[:, :1] - along_y * a[:, 1:]
    return np.stack([along_x, along_y, constant], 2), shown


def _fill(target: np.ndarray, corners: np.ndarray, maps: np.ndarray, start: np.ndarray, step: int) -> None:
    """Rasterise triangles: write texture coordinates into part of a frame's map.

    Args:
        target: (h, w, 2) float32, h and w multiples of `step`; the part of the map that begins at `start`.
        corners: (N, 3, 2) triangles in frame pixels.
        maps: (N, 2, 3) of `_affines`.
        start: x and y of the part.
        step: distance of the pixels that are computed; those between are interpolated.
    """
    bits = 4
    height, width = target.shape[0] // step, target.shape[1] // step
    numbers = np.full((height, width), len(corners), np.int32)
    # Pixel i stands for `step` frame pixels; its centre is at start + (i + 0.5) * step - 0.5.
    placed = np.round(((corners + 0.5 - start) / step - 0.5) * (1 << bits)).astype(np.int32)
    for number, triangle in enumerate(placed):
        cv2.fillConvexPoly(numbers, triangle, (number,), cv2.LINE_8, bits)
    known = np.concatenate([maps.transpose(2, 0, 1), np.full((3, 1, 2), [[[0]], [[0]], [[_NOWHERE]]])], 1)
    by_x, by_y, constant = known.astype(np.float32)
    cell = numbers.ravel()
    x = np.tile((np.arange(width, dtype=np.float32) + 0.5) * step - 0.5 + start[0], height)[:, None]
    y = np.repeat((np.arange(height, dtype=np.float32) + 0.5) * step - 0.5 + start[1], width)[:, None]
    found = np.take(by_x, cell, axis=0) * x
    found += np.take(by_y, cell, axis=0) * y
    found += np.take(constant, cell, axis=0)
    found = found.reshape(height, width, 2)
    filled: np.ndarray = (numbers < len(corners)).astype(np.uint8)
    if step > 1:
        size = (target.shape[1], target.shape[0])
        found = cv2.resize(found, size, interpolation=cv2.INTER_LINEAR)
        filled = cv2.resize(cv2.erode(filled, np.ones((3, 3), np.uint8)), size, interpolation=cv2.INTER_NEAREST)
    cv2.copyTo(found, filled, target)
