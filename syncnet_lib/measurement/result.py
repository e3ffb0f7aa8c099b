"""What a measurement of one video says: the object that Python returns, JSON prints and the schema describes."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

SCHEMA = Path(__file__).with_name("result.schema.json")
"""The published JSON schema: of a `Result` or a `Failure`."""
DIGITS = 6
"""Significant digits of a float32."""


def _plain(value: Any) -> float | None:
    """A number as JSON has it: six digits, and null for what is not a number."""
    if value is None or math.isnan(value):
        return None
    return float(f"{float(value):.{DIGITS}g}")


Number = Annotated[float, BeforeValidator(_plain)]
Gap = Annotated[float | None, BeforeValidator(_plain)]
Interval = tuple[Number, Number]
Sureness = Literal["sure", "doubtful", "none", "unknown"]

Compliance = Literal["pass", "fail", "cannot be told"]

MEANING: dict[Sureness, str] = {
    "sure": "sure",
    "doubtful": "not sure",
    "none": "nothing found",
    "unknown": "no threshold known",
}
"""Confidence in words: at or above the checkpoint's threshold, above half of it, below; or it has no threshold."""


class Record(BaseModel):
    """What a result is made of: nothing is added to it, and nothing in it changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # who has no result waits for none


class Limits(Record):
    """A standard: how far the sound may be off."""

    name: str = Field(description="what it is called")
    early_ms: Number = Field(description="milliseconds by which the sound may be ahead")
    late_ms: Number = Field(description="milliseconds by which it may be behind")


class TrackResult(Record):
    """One face without interruption by a cut."""

    track: int = Field(description="number of the track within the video, from 0")
    shot: int = Field(description="number of its shot, from 0")
    start_s: Number = Field(description="its first picture, seconds after the first of the video")
    end_s: Number = Field(description="end of its last picture, seconds")
    speaking: bool = Field(description="whether this face is the one that speaks")
    offset_frames: int = Field(description="frames of 40 ms; above 0: the sound is ahead of the lips")
    offset_ms: Number = Field(description="the same in milliseconds, finer than a frame")
    offset_interval_ms: Interval = Field(description="95 % interval of offset_ms, given that the frame is right")
    confidence: Number = Field(description="median of the mean distances over the shifts, less their minimum")
    min_distance: Number = Field(description="least mean distance")
    frame_confidence: list[Gap] = Field(
        description="of each window of 5 frames, stride 1: the median of the track's mean distances less the window's "
        "distance at the track's best shift, smoothed; null where that shift has no sound"
    )


class Drift(Record):
    """A line through the offset over time: of least mean distance, or, where that is not sure, by Theil-Sen."""

    frames_per_minute: Number = Field(description="change of the offset; above 0: the sound runs ahead more and more")
    ppm: Number = Field(description="the same as millionths of the running time")
    ppm_low: Number = Field(description="lower end of its 95 % interval")
    ppm_high: Number = Field(description="upper end of its 95 % interval")
    start_s: Number = Field(description="first instant of the stretch it was fitted to, seconds")
    end_s: Number = Field(description="last instant of that stretch, seconds")
    start_frames: Number = Field(description="the line's offset at start_s, frames")
    end_frames: Number = Field(description="the line's offset at end_s, frames")


class Segment(Record):
    """A stretch of constant offset."""

    start_s: Number = Field(description="seconds")
    end_s: Number = Field(description="seconds")
    start_timecode: str = Field(description="the same as the file's own pictures are counted (SMPTE ST 12-1)")
    end_timecode: str = Field(description="of the first picture after it")
    offset_frames: int = Field(description="frames of 40 ms; above 0: the sound is ahead of the lips")
    offset_ms: Number = Field(description="the same in milliseconds, finer than a frame")
    offset_interval_ms: Interval = Field(description="95 % interval of offset_ms, given that the frame is right")
    confidence: Number = Field(description="of this stretch")
    compliance: Compliance | None = Field(None, description="with the limits; null where none were asked for")


class Point(Record):
    """The offset of a few seconds."""

    time_s: Number = Field(description="their middle, seconds")
    offset_ms: Number = Field(description="milliseconds; above 0: the sound is ahead of the lips")
    confidence: Number = Field(description="of them alone")


class Unjudged(Record):
    """Speech that nothing was said about."""

    reason: str = Field(description="why")
    seconds: Number = Field(description="of speech")


class Coverage(Record):
    """How much of the speech within the measured part of the video the answer rests on; silence and music count neither
    way."""

    speech_s: Number = Field(description="seconds of speech, by silero-vad")
    judged_s: Number = Field(description="seconds of it in the face tracks that the answer rests on")
    unjudged: list[Unjudged] = Field(description="the rest by its reason, most of it first")

    @property
    def left_s(self) -> float:
        """Seconds of speech that were not judged."""
        return self.speech_s - self.judged_s


class ModelInfo(Record):
    """The model that measured."""

    name: str = Field(description="network: small, paper or v2")
    checkpoint: str = Field(description="as it was asked for")
    sha256: str = Field(description="of the checkpoint file")
    threshold: Gap = Field(description="confidence from which its verdict counts as sure; null where none is known")
    threshold_windows: int | None = Field(
        None, description="windows of the clips that the threshold was measured on; fewer need more confidence"
    )


class Result(Record):
    """What was measured on one video."""

    path: str = Field(description="the video")
    offset_frames: int = Field(description="frames of 40 ms; above 0: the sound is ahead of the lips, delay it")
    offset_ms: Number = Field(description="the same in milliseconds, finer than a frame")
    offset_interval_ms: Interval = Field(description="95 % interval of offset_ms, given that the frame is right")
    offset_file_frames: Number = Field(description="offset_ms in pictures of the file, which has frame_rate a second")
    confidence: Number = Field(description="median of the mean distances over the shifts, less their minimum")
    sureness: Sureness = Field(
        description="what the confidence is worth, by the checkpoint's threshold and the measured length: sure; "
        "doubtful, from half of what is needed; none, below; unknown, where the checkpoint has no threshold"
    )
    verdict: str = Field(description="the finding in words, and what to do")
    min_distance: Number = Field(description="least mean distance")
    mean_distances: list[Gap] = Field(
        description="mean distance at the shifts -vshift..vshift: of the speaking tracks, weighted by their "
        "confidence and length; those that few windows reach are drawn to the mean of all; the least at i makes the "
        "offset search_centre + vshift - i; null where no window has sound"
    )
    search_centre: int = Field(0, description="offset in frames around which was searched: not 0 where it was far off")
    frame_rate: Number = Field(description="pictures of the file a second")
    frames_used: int = Field(description="pictures of the file that could be decoded")
    frames_in_file: int = Field(description="pictures that the file holds; more than are used where it is damaged")
    tracks: list[TrackResult]
    segments: list[Segment] = Field(description="stretches of constant offset; more than one where an edit moves sync")
    points: list[Point] = Field([], description="offset over time, one for each 4 s with a face that speaks")
    coverage: Coverage
    drift: Drift | None = Field(description="null where the video is too short or too unsure for it")
    limits: Limits | None = Field(None, description="the standard that was asked for")
    compliance: Compliance | None = Field(None, description="of the whole with it: all segments must pass")
    model: ModelInfo
    settings: dict[str, int | float | str | bool]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """One line of JSON."""
        return self.model_dump_json()

    def brief(self) -> Self:
        """The same without the confidence of single windows, which is most of it."""
        tracks = [track.model_copy(update={"frame_confidence": []}) for track in self.tracks]
        return self.model_copy(update={"tracks": tracks})

    @property
    def meaning(self) -> str:
        """The confidence in words."""
        return MEANING[self.sureness]

    def _repr_html_(self) -> str:
        """Table and plot for notebooks."""
        import base64
        import html

        from syncnet_lib.plots import page, verdicts

        picture = base64.b64encode(page.png(verdicts.measurement(self.to_dict(), self.verdict))).decode()
        columns = ("track", "start_s", "end_s", "speaking", "offset_frames", "offset_ms", "confidence", "min_distance")
        head = "".join(f"<th>{name}</th>" for name in columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{getattr(track, name)}</td>" for name in columns) + "</tr>" for track in self.tracks
        )
        notes = "".join(f"<li>{html.escape(warning)}</li>" for warning in self.warnings)
        title = f"<b>{html.escape(self.path)}</b>: {self.verdict} (confidence {self.confidence:.3g}, {self.meaning})"
        image = f'<img alt="distance over shift and confidence over time" src="data:image/png;base64,{picture}">'
        return f"<p>{title}</p><table><tr>{head}</tr>{rows}</table><ul>{notes}</ul>{image}"


class Failure(Record):
    """A video that could not be measured."""

    path: str = Field(description="the video")
    error: str = Field(description="why it could not be measured")
    cure: str = Field("", description="what to do about it; empty where nothing is known")
    trace: str = Field("", exclude=True)
    """Where an unexpected exception came from; for --debug, and no part of the output."""

    def to_json(self) -> str:
        """One line of JSON."""
        return self.model_dump_json()

    def __str__(self) -> str:
        return f"{self.path}: {self.error}" + (f"; {self.cure}" if self.cure else "")


def schema() -> dict[str, Any]:
    """The JSON schema of a line of `syncnet offset --json` (draft 2020-12): a result, or a failure."""
    line: TypeAdapter[Result | Failure] = TypeAdapter(Result | Failure)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **line.json_schema(mode="serialization")}
