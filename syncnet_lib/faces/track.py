"""Faces followed through a video in one pass: tracks, and their smoothed crops as soon as these can be known.

Each picture is read once. The last few (`FaceTracker.memory`) are kept, because the position of a crop is smoothed over
neighbouring frames and because a gap without a face is bridged only when the face is found again; so memory does not
grow with the length of a video or of a track.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from syncnet_lib.faces import crops, detect, geometry
from syncnet_lib.faces.crops import face_crop, mouth_crop, sharpness
from syncnet_lib.faces.geometry import Face, Region
from syncnet_lib.faces.settings import TrackSettings
from syncnet_lib.faces.shots import Cut
from syncnet_lib.media.decode import Picture

MOUTH_MEDIAN, MOUTH_SIGMA = 7, 2.0
"""Smoothing of the mouth crop, frames: width of a running median against outliers of the mesh, and standard deviation
of a Gaussian against its jitter."""
FACE_MEDIAN = 13
"""Smoothing of the face crop in frames [syncnet_python: run_pipeline.py]."""
GAUSS_RADIUS = round(3 * MOUTH_SIGMA)
REACH = max(MOUTH_MEDIAN // 2 + GAUSS_RADIUS, FACE_MEDIAN // 2)
"""Frames on either side that the position of a crop depends on."""
BATCH = 16
"""Frames whose crops are made at a time."""
SAME_FACE = 0.3
"""Overlap (IoU) from which a detector's box and a mesh's box are taken for one face; the two outline it differently."""
SAME_PERSON = 0.85
"""Correlation (`detect.likeness`) from which two upper faces are taken for one person: one talker has 0.94 or more, 0.8
in the fastest motion; two talkers have 0.42 on average and 0.77 at most (measured 3 frames apart)."""
TILES = 6
"""Tiles of a picture that one search for small faces looks at, while no face is followed."""


@dataclass
class Track:
    """One face without interruption by a cut.

    Attributes:
        shot: number of its shot, from 0.
        number: of the track within the video, from 0.
        first, last: frames of the video in which it was found first and last.
        face: where it was found last.
        turns: quarter turns clockwise of the head where it was found first, 0 where it stands upright.
        missing: whether it was not found at the last attempt.
        refused: why it is not used, "" if it is.
        emitted: crops made so far.
        sharpness: sum over the crops of the variance of their Laplacian.
        size_sum: sum of `Box.size` over the fits of the face mesh, pixels.
        fits: how often the face mesh was fitted.
        faceless: frames in gaps without a face that were bridged.
        rows: frame and `_row` of each fit that later crops depend on.
    """

    shot: int
    number: int
    first: int
    last: int
    face: Face
    turns: int = 0
    missing: bool = False
    refused: str = ""
    emitted: int = 0
    sharpness: float = 0.0
    size_sum: float = 0.0
    fits: int = 0
    faceless: int = 0
    rows: deque[tuple[int, np.ndarray]] = field(default_factory=deque)

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.last - self.first + 1

    @property
    def face_size(self) -> float:
        """Mean of width and height over the track, pixels."""
        return self.size_sum / self.fits

    def add(self, frame: int, face: Face) -> None:
        """Add where the face is in a frame."""
        row = _row(face)
        if self.rows:
            row[3] += _turns(self.rows[-1][1][3] - row[3])
        self.rows.append((frame, row))
        self.last, self.face, self.missing = frame, face, False
        self.size_sum += face.box.size
        self.fits += 1

    def add_before(self, frame: int, face: Face) -> None:
        """Add where the face was in a frame before the first; only while no crop has been made."""
        row = _row(face)
        row[3] += _turns(self.rows[0][1][3] - row[3])
        self.rows.appendleft((frame, row))
        self.first = frame
        self.size_sum += face.box.size
        self.fits += 1

    def between(self, start: int, stop: int) -> Float64[np.ndarray, "frames 8"]:
        """`_row` of the frames from start to stop, interpolated between fits and constant beyond the track's ends."""
        known = [frame for frame, _ in self.rows]
        values = np.array([row for _, row in self.rows])
        wanted = np.clip(np.arange(start, stop), self.first, self.last)
        return np.column_stack([np.interp(wanted, known, column) for column in values.T])


@dataclass(frozen=True)
class Crops:
    """Crops of consecutive frames of a track.

    Attributes:
        track: whose they are.
        mouth: gray; none when not asked for.
        face: RGB; none when not asked for.
        lip_aperture: opening of the lips over the height of the face.
        boxes: centre x, y and half the longer side of the face, pixels of the picture.
    """

    track: Track
    mouth: UInt8[np.ndarray, "mouths 120 120"]
    face: UInt8[np.ndarray, "faces 224 224 3"]
    lip_aperture: Float32[np.ndarray, "frames"]
    boxes: Float32[np.ndarray, "frames 3"]


class FaceTracker:
    """Follow all faces of a video that is shown picture by picture.

    Args:
        settings: how.
        mouth: make mouth crops.
        face: make face crops.
    """

    def __init__(self, settings: TrackSettings, mouth: bool = True, face: bool = False) -> None:
        self.settings, self._mouth, self._face = settings, mouth, face
        self.memory = max(settings.num_failed_det, settings.detect_every) + 2 * REACH + BATCH + 2 * settings.mesh_every
        self._pictures: deque[Picture] = deque(maxlen=self.memory)
        self._now = -1
        self._shot, self._shot_start = 0, 0
        self._clear = 0
        self._open: list[Track] = []
        self._count = 0
        self._tile = 0

    @property
    def frames(self) -> int:
        """How many pictures were shown."""
        return self._now + 1

    def follow(self, pictures: Iterable[tuple[Picture, Cut]]) -> Iterator[Crops | Track]:
        """Take a whole video; see `show`.

        Args:
            pictures: of the 25 fps grid, each with whether a shot begins with it, as `shots.find_cuts` gives them.
        """
        for picture, cut in pictures:
            yield from self.show(picture, cut)
        yield from self.finish()

    def show(self, picture: Picture, cut: Cut) -> Iterator[Crops | Track]:
        """Take the next picture.

        Args:
            picture: of the 25 fps grid.
            cut: whether a shot begins with it.

        Yields:
            Crops that are ready, and each track, once, when it is over; one that is refused says why.
        """
        if self._now >= 0 and (cut is Cut.YES or (cut is Cut.MAYBE and self._people_changed(picture))):
            yield from self.finish()
            self._shot += 1
            self._shot_start = self._now + 1
            self._clear = self._tile = 0
        self._now += 1
        self._pictures.append(picture)
        if cut is not Cut.FLASH:
            self._find(picture)
            self._clear += 1
        for track in list(self._open):
            if self._now - track.last > self.settings.num_failed_det:
                yield from self._close(track)
            elif track.last - REACH - (track.first + track.emitted) >= BATCH:
                yield self._crops(track, track.last - REACH)

    def finish(self) -> Iterator[Crops | Track]:
        """End the shot: give out what is left of every track."""
        for track in list(self._open):
            if not track.missing and track.last < self._now:
                self._refit(track, self._pictures[-1])
            yield from self._close(track)

    def _find(self, picture: Picture) -> None:
        """Find the faces in a picture, old ones and new ones, as far as it is their turn."""
        if self._clear % self.settings.mesh_every == 0:
            for track in self._open:
                if not track.missing:
                    self._refit(track, picture)
        for region in self._regions(picture):
            self._search(picture, region)

    def _regions(self, picture: Picture) -> Iterator[Region]:
        """Where to search for faces in this picture: where one was lost, and from time to time everywhere."""
        width, height = picture.size
        for track in list(self._open):
            if track.missing:
                yield geometry.around(track.face.box, width, height)
        turn, rest = divmod(self._clear, self.settings.detect_every)
        if rest:
            return
        yield geometry.whole(width, height)
        # Small faces take many looks: all at once where a shot begins without a large face, in turn later on.
        tiles = geometry.tiles(width, height, self.settings.min_face_size)
        if not tiles:
            return
        if turn == 0:
            count = len(tiles)
        elif not self._open:
            count = min(TILES, len(tiles))
        else:
            count = turn % 2
        for tile in itertools.islice(itertools.cycle(tiles), self._tile, self._tile + count):
            if turn == 0 and self._open:
                return
            yield tile
            self._tile = (self._tile + 1) % len(tiles)
        # Nobody stands upright: at the beginning of a shot all other directions are tried, in turn later on.
        for turns in (1, 3, 2) if turn == 0 else (1 + turn % 3,):
            if not self._open:
                yield from geometry.turned(width, height, self.settings.min_face_size, turns)

    def _people_changed(self, picture: Picture) -> bool:
        """Whether other people are in this picture than in those before."""
        for track in self._open:
            face = None if track.missing else detect.mesh(picture, track.face.roi)
            before = self._pictures[track.last - self._now - 1]
            if face is None or detect.likeness(before, track.face, picture, face) < SAME_PERSON:
                return True
        return False

    def _refit(self, track: Track, picture: Picture) -> None:
        """Fit the face mesh where the face was, or note that it is missing."""
        face = detect.mesh(picture, track.face.roi)
        track.missing = (
            face is None
            or face.box.iou(track.face.box) < self.settings.track_iou
            or any(self._same(face, other) for other in self._open if other.number < track.number)
        )
        if face is not None and not track.missing:
            track.add(self._now, face)

    def _search(self, picture: Picture, region: Region) -> None:
        """Find faces that are not followed yet, or missing, in a part of a picture."""
        for found in detect.detect(picture, region):
            if any(not track.missing and track.face.box.iou(found.box) >= SAME_FACE for track in self._open):
                continue
            face = detect.fit(picture, found)
            if face is None or face.box.size < self.settings.min_face_size:
                continue
            if any(self._same(face, track) for track in self._open):
                continue
            lost = [track for track in self._open if track.missing]
            best = max(lost, key=lambda track: face.box.iou(track.face.box), default=None)
            if best is not None and face.box.iou(best.face.box) >= self.settings.track_iou:
                gap = self._now - best.last
                if gap > self.settings.mesh_every:
                    best.faceless += gap - 1
                best.add(self._now, face)
            else:
                track = Track(self._shot, self._count, self._now, self._now, face, round(face.angle / (np.pi / 2)) % 4)
                track.add(self._now, face)
                self._trace_back(track)
                self._open.append(track)
                self._count += 1

    def _trace_back(self, track: Track) -> None:
        """Follow a new face back to where it came in, or to the last search, which did not see it."""
        face = track.face
        step = self.settings.mesh_every
        for back in range(step, min(self.settings.detect_every, self._now - self._shot_start + 1), step):
            before = detect.mesh(self._pictures[-1 - back], face.roi)
            if before is None or before.box.iou(face.box) < self.settings.track_iou:
                return
            track.add_before(self._now - back, before)
            face = before

    @staticmethod
    def _same(face: Face, track: Track) -> bool:
        """Whether a face is the one that another track follows at this moment."""
        return not track.missing and face.box.iou(track.face.box) >= SAME_FACE

    def _close(self, track: Track) -> Iterator[Crops | Track]:
        self._open.remove(track)
        if track.frames < self.settings.min_track:
            track.refused = f"face track of {track.frames} frames is shorter than min_track ({self.settings.min_track})"
        elif track.face_size < self.settings.min_face_size:
            track.refused = (
                f"face of {track.face_size:.0f} pixels is below min_face_size ({self.settings.min_face_size})"
            )
        else:
            while track.emitted < track.frames:
                yield self._crops(track, min(track.last + 1, track.first + track.emitted + BATCH))
        yield track

    def _crops(self, track: Track, stop: int) -> Crops:
        start = track.first + track.emitted
        rows = track.between(start - REACH, stop + REACH)
        mouths = _middle(_gauss(_median(rows[:, :4], MOUTH_MEDIAN)), stop - start)
        boxes = _middle(_median(rows[:, 4:7], FACE_MEDIAN), stop - start)
        lip_aperture = _middle(rows[:, 7], stop - start).astype(np.float32)
        shown = [self._pictures[number - self._now - 1] for number in range(start, stop)]
        mouth = np.zeros((0, crops.MOUTH_SIZE, crops.MOUTH_SIZE), np.uint8)
        face = np.zeros((0, crops.FACE_SIZE, crops.FACE_SIZE, 3), np.uint8)
        if self._mouth:
            mouth = np.stack([mouth_crop(*pair) for pair in zip(shown, mouths, strict=True)])
            track.sharpness += sum(sharpness(crop) for crop in mouth)
        if self._face:
            scale = self.settings.crop_scale
            face = np.stack([face_crop(*pair, scale, track.turns) for pair in zip(shown, boxes, strict=True)])
        track.emitted += stop - start
        while len(track.rows) > 1 and track.rows[1][0] <= stop - REACH - 1:
            track.rows.popleft()  # no later crop depends on it
        return Crops(track, mouth, face, lip_aperture, boxes.astype(np.float32))


def _turns(angle: float) -> float:
    """The whole turns in an angle, radians, so that a roll that passes 180 degrees goes on without a jump."""
    return 2 * np.pi * round(angle / (2 * np.pi))


def _row(face: Face) -> np.ndarray:
    """(8,) of the mouth x, y, side, roll; of the box x, y, half the longer side; lip aperture."""
    box = face.box
    half = max(box.right - box.left, box.bottom - box.top) / 2
    return np.array([*face.mouth, *box.centre, half, face.lip_aperture])


def _middle(values: np.ndarray, count: int) -> np.ndarray:
    """The middle `count` of (n, ...) values."""
    start = (len(values) - count) // 2
    return values[start : start + count]


def _median(values: np.ndarray, width: int) -> np.ndarray:
    """(n - width + 1, c) running median of (n, c)."""
    return np.median(np.lib.stride_tricks.sliding_window_view(values, width, axis=0), axis=-1)


def _gauss(values: np.ndarray) -> np.ndarray:
    """(n - 2 radius, c) running Gaussian mean of (n, c)."""
    weights = np.exp(-0.5 * (np.arange(-GAUSS_RADIUS, GAUSS_RADIUS + 1) / MOUTH_SIGMA) ** 2)
    return np.lib.stride_tricks.sliding_window_view(values, len(weights), axis=0) @ (weights / weights.sum())
