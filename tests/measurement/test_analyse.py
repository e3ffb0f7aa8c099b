"""Inference: the sign, moved sound, two faces, edits and drift, pieces, memory, and what cannot be measured."""

import dataclasses
import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import syncnet_lib
from benchmarks.extract import repeat
from syncnet_lib.dataset import extract, sources
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import analyse as analysis
from syncnet_lib.measurement import checkpoints, examination, finding, fine, stream, table, verdict
from syncnet_lib.measurement.analyse import Analysis, InferSettings, Measured
from syncnet_lib.measurement.result import SCHEMA, ModelInfo, Result, TrackResult, schema
from syncnet_lib.media import audio, decode, encode, features, retime
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.correction import Cure
from syncnet_lib.media.report import Report
from syncnet_lib.model import checkpoint, embed, scoring
from syncnet_lib.model.networks import SyncNet
from tests import clockclip, scenes
from tests.conftest import ROOT

THRESHOLD = 0.25
INFO = ModelInfo(name="small", checkpoint="test", sha256="0", threshold=THRESHOLD)


@pytest.fixture(scope="module")
def video(talkers: Path) -> Path:
    return talkers / "videos" / "s000_00000.mp4"


def measure(path: Path, talkers: Path, **options: object) -> Result:
    return syncnet_lib.measure(path, str(talkers / "model.safetensors"), device="cpu", **options)


def analyse(path: Path, talkers: Path, **options: object) -> Analysis:
    model, _ = checkpoints.load(str(talkers / "model.safetensors"), "cpu")
    with analysis.watched(path, model, InferSettings(**options)) as video:
        return video.analysis()


def test_moved_sound_moves_the_offset_by_as_much(video, talkers, tmp_path):
    still = measure(video, talkers)
    assert abs(still.offset_frames) <= 1
    for delay in (-9, -2, 4, 10):
        moved = tmp_path / f"{delay}.mp4"
        retime.retime(video, moved, Cure.shift(Fraction(delay, FPS)))
        found = measure(moved, talkers)
        assert found.offset_frames == still.offset_frames - delay, "late sound is behind: below 0"
        assert found.offset_ms == pytest.approx(still.offset_ms - 40 * delay, abs=6)
        assert found.offset_interval_ms[0] <= found.offset_ms <= found.offset_interval_ms[1]


def test_distances_of_real_clips_move_with_their_sound(real_clips, talkers, tmp_path):
    clips = sorted((real_clips / "grid_talkers").iterdir())[:2] + sorted((real_clips / "grid_s1").iterdir())[:1]
    for clip in clips:
        moved = tmp_path / f"{clip.stem}.mkv"
        retime.retime(clip, moved, Cure.shift(Fraction(-3, FPS)))
        (still,), (early,) = (analyse(path, talkers).tracks for path in (clip, moved))
        windows = min(still.windows, early.windows)
        before, after = still.distances[:windows, 3:], early.distances[:windows, :-3]
        both = ~np.isnan(before) & ~np.isnan(after)
        assert both.mean() > 0.7
        assert np.corrcoef(before[both], after[both])[0, 1] > 0.97


def test_distances_are_those_of_the_clip(video, talkers, tmp_path):
    model = checkpoint.load(talkers / "model.safetensors")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / video.name).symlink_to(video)
    videos, _ = sources.scan(tmp_path / "alone", progress=False)
    extract.extract(
        videos, tmp_path / "alone", tmp_path / "clips", tmp_path / "cache", ExtractSettings(), 0, progress=False
    )
    clip = np.load(next((tmp_path / "clips").glob("*/mouth.npy")))
    samples = audio.read_audio(video)[: len(clip) * SAMPLES_PER_FRAME]
    lips, sound = embed.embed_clip(model, clip, features.frame_mfcc(samples))
    wanted = scoring.shift_distances(lips, sound, 15, "zero")
    (track,) = analyse(video, talkers, edges="zero").tracks
    # Sound beyond the clip reaches into its last MFCC step alone.
    np.testing.assert_allclose(track.distances[:50], wanted[:50], atol=2e-2)
    assert np.abs(track.distances[:50] - wanted[:50]).mean() < 2e-3


def test_pieces_give_what_the_whole_gives(video, talkers, monkeypatch):
    (whole,) = analyse(video, talkers).tracks
    monkeypatch.setattr(features, "PORTION", 17)
    (pieces,) = analyse(video, talkers).tracks
    np.testing.assert_allclose(pieces.distances, whole.distances, atol=1e-4)
    np.testing.assert_array_equal(pieces.speech, whole.speech)


def test_of_two_faces_the_one_whose_sound_it_is_speaks(talkers, tmp_path):
    videos = [talkers / "videos" / name for name in ("s000_00008.mp4", "s003_00011.mp4")]
    for left, right in (videos, videos[::-1]):
        both = tmp_path / f"{left.stem}.mp4"
        scenes.side_by_side(left, right, both)
        found = analyse(both, talkers)
        result = verdict.judge(both, found, INFO, InferSettings())
        assert len(result.tracks) == 2, found.notes
        middles = [track.boxes[:, 0].mean() for track in found.tracks]
        assert [track.speaking for track in result.tracks] == [middle < 360 for middle in middles]
        assert abs(result.offset_frames) <= 1


def test_the_schema_is_the_published_one_and_results_obey_it(video, talkers):
    published = json.loads(SCHEMA.read_text())
    assert published == schema()
    result = measure(video, talkers)
    content = json.loads(result.to_json())
    jsonschema.validate(content, published)
    assert content == json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert len(content["mean_distances"]) == 31
    (track,) = content["tracks"]
    assert len(track["frame_confidence"]) == 75 - 5
    assert content["drift"] is None
    assert content["settings"]["vshift"] == 15
    assert content["frames_used"] == content["frames_in_file"] == 75
    page = result._repr_html_()
    assert "<table>" in page
    assert "data:image/png" in page


def test_not_a_number_is_null(talkers, tmp_path, video):
    moved = tmp_path / "moved.mp4"
    retime.retime(video, moved, Cure.shift(Fraction(12, FPS)))
    content = measure(moved, talkers, vshift=40).to_json()
    assert "NaN" not in content
    assert "null" in content


@given(st.integers(1, 30), st.lists(st.one_of(st.just(math.nan), st.floats(0, 2, width=32)), min_size=1))
def test_numbers_have_the_digits_of_a_float32(offset, values):
    track = TrackResult(
        track=0, shot=0, start_s=0, end_s=1 / 3, speaking=True, offset_frames=offset, offset_ms=40 * offset,
        offset_interval_ms=(40 * offset - 1, 40 * offset + 1),
        confidence=1 / 3, min_distance=0, frame_confidence=values,
    )  # fmt: skip
    assert track.end_s == 0.333333
    for given_value, kept in zip(values, track.frame_confidence, strict=True):
        assert kept is None if math.isnan(given_value) else kept == pytest.approx(given_value, rel=1e-5, abs=1e-12)


def planted(offsets: np.ndarray, confidence: float = 1.43 * THRESHOLD, noise: float = 0.27) -> Analysis:
    """A face whose window n has its least distance at offsets[n], between whole frames where that lies there."""
    rng = np.random.default_rng(0)
    shifts = 15 - np.arange(31 * fine.PHASES) / fine.PHASES
    dip = np.exp(-0.5 * ((shifts - offsets[:, None]) / 1.2) ** 2)
    # Neighbours of 10 ms share nearly all of their sound, and so their noise.
    own = np.repeat(rng.normal(0, noise, (len(offsets), 31)), fine.PHASES, axis=1)
    distances = (1.3 - confidence * dip + own).astype(np.float32)
    rows = fine.Rows.empty(0, len(offsets), 31)
    rows.add(0, distances)
    frames = len(offsets) + 5
    speech = np.ones(len(offsets), bool)
    track = Measured(0, 0, 0, frames, distances[:, :: fine.PHASES], rows, speech, np.zeros((frames, 3), np.float32))
    return Analysis([track], frames, frames * SAMPLES_PER_FRAME, np.ones(frames, bool))


def judged(found: Analysis) -> Result:
    return verdict.judge(Path("planted.mp4"), found, INFO, InferSettings())


@pytest.mark.parametrize(("second", "sure"), [(0.0, "sure"), (0.6, "sure"), (1.4, "doubtful")])
def test_the_stretches_of_a_sample_must_agree(second, sure):
    found = dataclasses.replace(planted(np.repeat([0.0, second], 100)), looked=((0, 100), (100, 205)))
    result = verdict.judge(Path("planted.mp4"), found, INFO, InferSettings(sample="2x4s"))
    assert result.sureness == sure
    assert ("the stretches do not agree" in result.verdict) == (sure == "doubtful")
    assert judged(found).sureness == "sure"  # all of it was looked at: an edit or a drift would be found


def test_an_edit_is_found_where_it_is():
    result = judged(planted(np.repeat([2, -5, -5, 7], 250)))
    assert [segment.offset_frames for segment in result.segments] == [2, -5, 7]
    assert [segment.start_s for segment in result.segments] == pytest.approx([0, 10, 30], abs=0.4)
    assert sum("sync changes" in warning for warning in result.warnings) == 2
    assert judged(planted(np.full(1000, 3))).segments[0].offset_frames == 3
    assert len(judged(planted(np.full(1000, 3))).segments) == 1


def test_noise_has_no_edits():
    assert len(judged(planted(np.zeros(1500), confidence=0.0)).segments) == 1


@pytest.mark.parametrize("ppm", [-1000, 300])
def test_drift_is_a_line_through_the_offsets(ppm):
    seconds = np.arange(300 * FPS) / FPS
    result = judged(planted(seconds * ppm / 1e6 * FPS))
    assert result.drift is not None
    assert result.drift.ppm == pytest.approx(ppm, abs=60)
    assert result.drift.ppm_low <= ppm <= result.drift.ppm_high
    assert result.drift.frames_per_minute == pytest.approx(ppm / 1e6 * 25 * 60, abs=0.1)
    assert finding.significant(result.drift)
    steady = judged(planted(np.full(300 * FPS, 4)))
    assert abs(steady.drift.ppm) < 30
    assert not steady.warnings
    assert judged(planted(np.full(30 * FPS, 4))).drift is None


def test_noise_does_not_drift():
    for noise in (0.2, 0.6):
        result = judged(planted(np.zeros(75 * FPS), confidence=0.0, noise=noise))
        assert result.sureness != "sure"
        assert result.drift is None or not finding.significant(result.drift)


def test_a_gate_looks_at_everything():
    assert finding.gate(judged(planted(np.full(400, 1))), tolerance=1) == "in"
    assert finding.gate(judged(planted(np.full(400, 3))), tolerance=1) == "out"
    assert finding.gate(judged(planted(np.full(400, 0.0), confidence=0.03)), tolerance=1) == "unsure"
    halves = judged(planted(np.repeat([0, -10], 300)))
    assert halves.sureness == "sure"
    assert "sync changes" in halves.verdict
    assert finding.gate(halves, tolerance=1) == "out"
    slow = judged(planted(np.arange(75 * FPS) / FPS * 1e-3 * FPS, confidence=0.5))
    assert finding.gate(slow, tolerance=1) == "out"
    assert "sync changes" in finding.uneven(halves)
    assert "drifts" in finding.uneven(slow)
    finding.check_sure(halves, None)
    with pytest.raises(InputError, match="not"):
        finding.check_sure(judged(planted(np.zeros(400), 0.03)), None)


def test_what_a_verdict_says():
    for offset in (0, 1):
        assert judged(planted(np.full(400, offset))).verdict == "in sync (±1 frame)"
    assert judged(planted(np.full(400, -4), noise=0.0)).verdict == "audio is 160 ms behind: advance it"
    unsure = judged(planted(np.full(400, -4), confidence=0.1, noise=0.03))
    assert unsure.sureness == "doubtful"
    assert unsure.verdict.startswith("not sure: ")
    assert not any(digit in unsure.verdict for digit in "0123456789")
    nothing = judged(planted(np.zeros(400), confidence=0.0))
    assert nothing.verdict == "nothing found within ±600 ms: search further with --vshift 60"
    short = judged(planted(np.full(30, -4), confidence=0.25, noise=0.01))
    assert "1.2 s only" in short.verdict


def test_sound_without_speech_is_the_reason():
    music = np.zeros(405, bool)
    found = dataclasses.replace(planted(np.zeros(400), confidence=0.0), speech=music)
    assert "no speech is heard in it" in judged(found).verdict
    clear = dataclasses.replace(planted(np.zeros(400)), speech=music)
    assert judged(clear).verdict == "in sync (±1 frame)"


def test_a_table_has_brackets_where_one_number_is_no_answer():
    steady, halves = planted(np.full(400, 3)), planted(np.repeat([0, -10], 300))
    slow = planted(np.arange(75 * FPS) / FPS * 1e-3 * FPS, confidence=0.5)
    unsure = planted(np.full(400, 3), confidence=0.03)
    answers = [finding.is_answer(judged(found)) for found in (steady, halves, slow, unsure)]
    assert answers == [True, False, False, False]
    cells = list(table.results([judged(found) for found in (steady, slow)]).columns[2].cells)
    assert cells[0] == "+3"
    assert [cell for cell in cells if cell.startswith("(")] == [f"({judged(slow).offset_frames:+d})"]


def test_two_faces_of_equal_confidence_are_not_decided_between():
    one, two = (planted(np.full(200, offset)).tracks[0] for offset in (0, 6))
    two.number = 1
    result = judged(Analysis([one, two], 205, 205 * 640, np.ones(205, bool)))
    assert result.sureness == "doubtful"
    assert "which of the faces speaks cannot be told" in result.verdict
    silent = planted(np.full(200, 6), confidence=0.02).tracks[0]
    silent.number = 1
    clear = judged(Analysis([one, silent], 205, 205 * 640, np.ones(205, bool)))
    assert clear.verdict == "in sync (±1 frame)"
    assert [track.speaking for track in clear.tracks] == [True, False]


def test_the_video_follows_its_surer_tracks():
    sure, unsure = planted(np.full(200, 3)).tracks[0], planted(np.full(200, -6), confidence=0.05).tracks[0]
    unsure.number, unsure.first, unsure.shot = 1, 300, 1
    result = judged(Analysis([sure, unsure], 600, 600 * 640, np.ones(600, bool)))
    assert result.offset_frames == 3
    assert [track.speaking for track in result.tracks] == [True, True]


def test_sureness_asks_more_of_short_clips_and_less_of_long_ones():
    model = INFO.model_copy(update={"threshold": 0.1, "threshold_windows": 70})
    assert verdict.needed_confidence(model, 70) == 0.1
    assert verdict.needed_confidence(model, 140) == pytest.approx(0.1 * 0.5**0.25)
    assert verdict.needed_confidence(model, 1120) == verdict.needed_confidence(model, 2800) == 0.05
    assert verdict.needed_confidence(model, 20) == pytest.approx(0.1 * (70 / 20) ** 0.5)
    assert verdict.needed_confidence(INFO.model_copy(update={"threshold_windows": 280}), 70) == 2 * THRESHOLD
    assert [verdict.sureness(each, 0.1) for each in (0.1, 0.06, 0.04)] == ["sure", "doubtful", "none"]


@given(st.integers(1, 2000), st.integers(1, 500), st.integers(1, 16))
def test_more_shifts_and_more_faces_need_more_confidence(windows, shifts, faces):
    needed = verdict.needed_confidence(INFO, windows, shifts, faces)
    assert needed <= verdict.needed_confidence(INFO, windows, shifts + 1, faces)
    assert needed <= verdict.needed_confidence(INFO, windows, shifts, faces + 1)
    assert needed >= THRESHOLD / 2
    assert verdict.needed_confidence(INFO, windows, min(shifts, 31)) == verdict.needed_confidence(INFO, windows)


def test_noise_is_no_surer_in_a_wider_search():
    """Distances of windows that know nothing of each other, with silence around: 1,000 clips at each width."""
    rng = np.random.default_rng(0)
    found = {}
    for vshift in (15, 50):
        curves = 1.3 + rng.normal(0, 0.085, (1000, 2 * vshift + 1))
        curves[:, np.abs(np.arange(2 * vshift + 1) - vshift) > 40] += 0.2  # silence is far from every mouth that speaks
        confidences = np.array([scoring.confidence(curve) for curve in curves.astype(np.float32)])
        found[vshift] = (confidences >= verdict.needed_confidence(INFO, 70, 2 * vshift + 1)).mean()
    assert found[15] > 0
    assert found[50] <= found[15]


@pytest.mark.parametrize("vshift", [15, 50])
def test_real_faces_with_another_voice_are_not_sure_at_any_width(real_clips, vshift):
    """The shipped checkpoint, on talkers that it has not seen; each has the sound of another one, its halves exchanged,
    because the sentences share their timing."""
    clips = sorted((real_clips / "grid_talkers").glob("*.mp4"))[:7]
    model, info = checkpoints.load("small", "cpu")
    settings = analysis.settings_for(model, vshift, None, cropped=False)
    sure = []
    for clip, other in zip(clips, clips[1:] + clips[:1], strict=True):
        seen = list(stream.see(clip, settings, model.spec.crop))
        lead = np.zeros((vshift + stream.FAR) * SAMPLES_PER_FRAME, np.int16)
        voice = audio.read_audio(other)
        heard: list[stream.Event] = [
            stream.AudioBlock(lead),
            stream.AudioBlock(np.roll(voice, len(voice) // 2)),
            stream.AudioEnd(Report()),
        ]
        result = examination.measure(clip, model, info, settings, events=[*heard, *seen])
        sure.append(result.sureness == "sure")
    assert sum(sure) <= 1


def test_without_a_threshold_nothing_is_sure_and_nothing_denied():
    unknown = INFO.model_copy(update={"threshold": None})
    assert verdict.needed_confidence(unknown, 70) is None
    assert verdict.sureness(9.0, None) == verdict.sureness(0.0, None) == "unknown"
    result = verdict.judge(Path("planted.mp4"), planted(np.full(200, 3)), unknown, InferSettings())
    assert "no threshold known" in result.verdict
    assert finding.gate(result, tolerance=10) == "unsure"


def test_a_folder_of_frames_with_its_sound(video, talkers, tmp_path):
    folder = tmp_path / "crop"
    folder.mkdir()
    for number, frame in enumerate(decode.read_frames(video)):
        cv2.imwrite(str(folder / f"frame{number}.png"), frame[:, :, ::-1])
    with pytest.raises(InputError, match="frames without sound"):
        measure(folder, talkers, cropped=True)
    clockclip_sound(folder / "audio.wav", audio.read_audio(video))
    found, direct = (analyse(path, talkers, cropped=True).tracks[0] for path in (folder, video))
    assert found.frames == direct.frames == 75
    np.testing.assert_allclose(np.nanmean(found.distances, 0), np.nanmean(direct.distances, 0), atol=0.03)
    with pytest.raises(InputError, match="folder without videos"):
        measure(folder, talkers)


def clockclip_sound(path: Path, samples: np.ndarray) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


def test_the_released_model_takes_a_crop_as_it_is(tmp_path, video):
    cropped = tmp_path / "crop.mp4"
    frames = [cv2.resize(frame, (160, 160)) for frame in list(decode.read_frames(video))[:12]]
    encode.write_video(cropped, frames, audio.read_audio(video)[: 12 * 640])
    settings = InferSettings(cropped=True, edges="zero", vshift=3)
    with analysis.watched(cropped, SyncNet("v2").eval(), settings) as video:
        found = video.analysis()
    assert found.tracks[0].distances.shape == (7, 7)
    assert found.tracks[0].boxes.shape == (12, 3)


def moving_sound(seconds: float) -> np.ndarray:
    return (np.random.default_rng(0).normal(0, 3000, round(seconds * 16000))).astype(np.int16)


def test_bad_input_is_one_line_each(tmp_path, talkers, video):
    frames = list(decode.read_frames(video))
    gray = [np.full((64, 96, 3), 90, np.uint8)] * 50
    cases = {
        "no face found": (gray, moving_sound(2)),
        "no sound": (frames[:30], np.zeros(0, np.int16)),
        "silence": (frames[:30], np.zeros(30 * 640, np.int16)),
        "shorter than one window": (frames[:4], moving_sound(2)),
        "sound is shorter than one window": (frames[:30], moving_sound(0.1)),
        "shorter than min_track": (frames[:10], moving_sound(1)),
    }
    for number, (cause, (shown, samples)) in enumerate(cases.items()):
        path = tmp_path / f"{number}.mp4"
        encode.write_video(path, shown, samples)
        with pytest.raises(InputError, match=cause) as error:
            measure(path, talkers)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="does not exist"):
        measure(tmp_path / "nowhere.mp4", talkers)


def test_sound_and_pictures_of_different_length_are_told(tmp_path, talkers, video):
    path = tmp_path / "short.mp4"
    encode.write_video(path, decode.read_frames(video), audio.read_audio(video)[: 2 * 16000])
    assert any("the sound ends" in warning for warning in measure(path, talkers).warnings)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts"])
@pytest.mark.parametrize("delay", [-5, 3])
def test_moved_sound_keeps_every_packet_and_lands_where_it_should(tmp_path, suffix, delay):
    path, out = tmp_path / f"clip{suffix}", tmp_path / f"moved{suffix}"
    times = clockclip.picture_times(Fraction(25), 3)
    flashes, beeps = clockclip.make(path, times)
    before = clockclip.errors(path, flashes, beeps)
    assert retime.retime(path, out, Cure.shift(Fraction(delay, FPS))) == retime.Copy(exact=True, left_out=())
    for kind in ("video", "audio"):
        assert scenes.packet_bytes(out, kind) == scenes.packet_bytes(path, kind)
    after = np.array(clockclip.errors(out, flashes, beeps))
    np.testing.assert_allclose(after - before, delay / FPS, atol=0.0025)


def test_containers_that_cannot_are_refused_and_leave_nothing(tmp_path, video):
    for name, cause in (("a.avi", "files keep no times"), ("a.ogg", "cannot hold these streams")):
        with pytest.raises(InputError, match=cause):
            retime.retime(video, tmp_path / name, Cure.shift(Fraction(3, 25)))
    assert not list(tmp_path.iterdir())
    silent = tmp_path / "silent.mp4"
    encode.write_video(silent, list(decode.read_frames(video))[:10], np.zeros(0, np.int16))
    with pytest.raises(InputError, match="no sound"):
        retime.retime(silent, tmp_path / "out.mp4", Cure.shift(Fraction(3, 25)))


MEMORY = """
import resource, sys
import syncnet_lib
for path in sys.argv[2:]:
    syncnet_lib.measure(path, sys.argv[1], device="cpu")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_length(tmp_path, talkers, video):
    paths = [tmp_path / f"{turns}.mkv" for turns in (2, 10)]
    for path, turns in zip(paths, (2, 10), strict=True):
        repeat(video, path, turns * 3)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, talkers / "model.safetensors", *paths],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    short, long = map(int, done.stdout.split())
    # 600 more pictures are 62 MB of luma and 9 MB of crops.
    assert long - short < 30
