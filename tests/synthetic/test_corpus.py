"""synthetic: whole videos, their truth, and that lips and sound agree at lag 0."""

from dataclasses import replace
from pathlib import Path

import cv2
import mediapipe
import numpy as np
import pytest
import skimage.data

from syncnet_lib.errors import InputError
from syncnet_lib.files import sha256
from syncnet_lib.media import audio, decode, encode
from syncnet_lib.media.clock import SAMPLES_PER_FRAME
from syncnet_lib.synthetic.corpus import MAX_SHIFT, MIN_SHIFT, _make_one, _plan, find_cast, make
from syncnet_lib.synthetic.settings import SyntheticSettings
from tests.synthetic.test_recordings import write as write_recordings

SMALL = SyntheticSettings(clips=4, identities=3, seconds=1.0, noisy_share=0.5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make(folder, SMALL, seed=3, workers=0, progress=False)
    return folder


def lip_aperture(path: Path) -> np.ndarray:
    """Distance of the inner lips over the height of the face, (T,); nan where no face is found."""
    found = []
    with mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True) as mesh:
        for frame in decode.read_frames(path):
            faces = mesh.process(frame).multi_face_landmarks
            if not faces:
                found.append(np.nan)
                continue
            at = [np.array([faces[0].landmark[i].x * 360, faces[0].landmark[i].y * 288]) for i in (13, 14, 10, 152)]
            found.append(float(np.linalg.norm(at[0] - at[1]) / np.linalg.norm(at[2] - at[3])))
    return np.array(found)


def lag_curve(aperture: np.ndarray, samples: np.ndarray, reach: int = 8) -> np.ndarray:
    """Correlation of aperture with loudness, lips `-reach..reach` frames after the sound."""
    loud = np.sqrt(np.sqrt((samples.reshape(len(aperture), -1).astype(float) ** 2).mean(1)))
    count = len(aperture)
    return np.array(
        [
            np.corrcoef(aperture[max(0, s) : count + min(0, s)], loud[max(0, -s) : count - max(0, s)])[0, 1]
            for s in range(-reach, reach + 1)
        ]
    )


def peak(curve: np.ndarray) -> float:
    """Where a curve is highest, in frames from its middle, by the parabola through three points."""
    k = int(curve[1:-1].argmax()) + 1
    a, b, c = curve[k - 1 : k + 2]
    return float(k - len(curve) // 2 + 0.5 * (a - c) / (a - 2 * b + c))


def test_tables_and_files_have_the_agreed_form(corpus: Path) -> None:
    videos, truth = make(corpus, SMALL, seed=3, workers=0, progress=False)
    assert list(videos.columns) == ["video_id", "path", "speaker", "sha256"]
    assert list(truth.columns) == ["video_id", "kind", "offset_frames", "speaker"]
    assert list(videos.video_id) == list(truth.video_id)
    assert sorted(truth.kind) == ["clean", "clean", "dubbed", "shifted"]
    assert videos.speaker.nunique() == 3
    moved = truth[truth.kind == "shifted"].offset_frames.abs()
    assert moved.between(MIN_SHIFT, MAX_SHIFT).all()
    assert (truth[truth.kind != "shifted"].offset_frames == 0).all()
    for path, digest in zip(videos.path, videos.sha256, strict=True):
        assert sha256(corpus / path) == digest
        info = decode.probe(corpus / path)
        assert (info.width, info.height) == (360, 288)
        assert len(list(decode.read_frames(corpus / path))) == 25
        assert abs(len(audio.read_audio(corpus / path)) - 16_000) <= 1024


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(corpus: Path, tmp_path: Path) -> None:
    videos, _ = make(corpus, SMALL, seed=3, workers=0, progress=False)
    # In another order and in other processes.
    again, _ = make(tmp_path / "again", SMALL, seed=3, workers=1, progress=False)
    other, _ = make(tmp_path / "other", SMALL, seed=4, workers=0, progress=False)
    assert list(videos.sha256) == list(again.sha256)
    assert not set(videos.sha256) & set(other.sha256)


@pytest.mark.slow
def test_only_what_is_missing_damaged_or_different_is_made(tmp_path: Path) -> None:
    videos, _ = make(tmp_path, SMALL, seed=3, workers=0, progress=False)
    paths = [tmp_path / path for path in videos.path]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    kept = {path: path.stat().st_mtime_ns for path in paths[2:]}
    again, _ = make(tmp_path, SMALL, seed=3, workers=0, progress=False)
    assert list(again.sha256) == list(videos.sha256)
    assert {path: path.stat().st_mtime_ns for path in paths[2:]} == kept
    fewer, _ = make(tmp_path, SMALL.model_copy(update={"clips": 2}), seed=3, workers=0, progress=False)
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == [Path(p).name for p in fewer.path]


def test_a_positive_offset_means_that_the_sound_is_ahead(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    clean = replace(_plan(SMALL, 3)[0], kind="clean", offset=0)
    ahead = replace(clean, kind="shifted", offset=5, video_id="ahead")
    for clip in (clean, ahead):
        _make_one(clip, tmp_path)
    one, other = (audio.read_audio(tmp_path / "videos" / f"{c.video_id}.mp4").astype(float) for c in (clean, ahead))
    moved = 5 * SAMPLES_PER_FRAME
    # What is heard 5 frames into the clean clip is heard at once in the other; and its end is speech, not silence.
    assert np.corrcoef(one[moved:15_000], other[: 15_000 - moved])[0, 1] > 0.9
    pictures = [list(decode.read_frames(tmp_path / "videos" / f"{c.video_id}.mp4")) for c in (clean, ahead)]
    np.testing.assert_array_equal(*pictures)


def test_a_dubbed_clip_has_the_audio_of_somebody_else(tmp_path: Path) -> None:
    plan = _plan(SyntheticSettings(clips=40, identities=3, noisy_share=0.9), 0)
    dubbed = [clip for clip in plan if clip.kind == "dubbed"]
    assert len(dubbed) == 18
    assert all(clip.audio_of != clip.speaker for clip in dubbed)
    assert all(clip.audio_of == clip.speaker for clip in plan if clip.kind != "dubbed")
    shifts = [clip.offset for clip in plan if clip.kind == "shifted"]
    assert min(shifts) < 0 < max(shifts)


@pytest.mark.slow
def test_a_corpus_of_photographs_and_recordings(tmp_path: Path) -> None:
    head = skimage.data.astronaut()[:330, 60:400, ::-1]
    for name, image in (
        ("neutral/1", head),
        ("smiling/1", head[:, ::-1]),
        ("neutral/2", head[:, ::-1] // 2),
        ("x", 0 * head),
    ):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "faces" / f"{name}.png"), image)
    write_recordings(tmp_path / "voices")
    settings = SMALL.model_copy(update={"clips": 6, "portraits": "faces", "voices": "voices"})
    cast, skipped = find_cast(settings, tmp_path, tmp_path / "cache")
    assert list(skipped.file) == ["x.png"]
    videos, truth = make(tmp_path / "out", settings, 3, 0, False, cast)
    assert set(videos.speaker) == {"s000", "s001"}  # no more people than there are photographs of
    plan = _plan(settings, 3, cast)
    assert {clip.portrait for clip in plan} == {0, 1}  # both expressions of the person who has two
    both = [clip for clip in plan if len(set(clip.sources) & {each.sha256 for each in cast.portraits[0]}) == 2]
    assert {clip.portrait for clip in both} == {0, 1}
    assert len({clip.speaker for clip in both}) == 1  # one talker, who is in one split; a clip is of both photographs
    for path in videos.path[:2]:
        assert len(list(decode.read_frames(tmp_path / "out" / path))) == 25
    # Another voice gives other clips, of the same people.
    write_recordings(tmp_path / "voices", times="0.0\t0.5\tM\tm\n")
    changed, _ = find_cast(settings, tmp_path, tmp_path / "cache")
    assert all(a.key() != b.key() for a, b in zip(plan, _plan(settings, 3, changed), strict=True))
    assert list(truth.video_id) == [clip.video_id for clip in plan]


def test_coding_does_not_move_the_sound(tmp_path: Path) -> None:
    click = np.zeros(32_000, np.int16)
    click[20_000:20_008] = 20_000
    encode.write_video(tmp_path / "click.mp4", [np.zeros((64, 64, 3), np.uint8)] * 50, click)
    heard = audio.read_audio(tmp_path / "click.mp4").astype(float)
    assert abs(np.abs(heard).argmax() - 20_004) <= 16  # 1 ms


def lag_of(paths: list[Path]) -> tuple[float, float]:
    """Frames by which lips follow the sound, over all videos, and how strongly; a face is in every frame."""
    curves = []
    for path in paths:
        aperture = lip_aperture(path)
        assert np.isfinite(aperture).all(), path
        samples = np.pad(audio.read_audio(path), (0, 6400))[: len(aperture) * SAMPLES_PER_FRAME]
        curves.append(lag_curve(aperture, samples))
    curve = np.mean(curves, 0)
    return peak(curve), float(curve.max())


@pytest.fixture(scope="module")
def made_lag(talkers: Path) -> tuple[float, float]:
    return lag_of(sorted((talkers / "videos").iterdir())[:10])


@pytest.mark.slow
def test_a_face_is_in_every_frame_and_its_lips_follow_the_sound(made_lag: tuple[float, float]) -> None:
    lag, strength = made_lag
    assert abs(lag) <= 0.6
    assert strength > 0.25


@pytest.mark.slow
def test_lips_and_sound_are_as_far_apart_as_in_real_speech(real_clips: Path, made_lag: tuple[float, float]) -> None:
    lag, _ = lag_of(sorted((real_clips / "grid_talkers").iterdir()))
    assert abs(lag - made_lag[0]) <= 0.6


def test_settings_have_ranges() -> None:
    for name, value in (("clips", 0), ("identities", 1), ("seconds", 0.1), ("noisy_share", 1.0)):
        with pytest.raises(InputError):
            SyntheticSettings.parse({name: value}, "test")
