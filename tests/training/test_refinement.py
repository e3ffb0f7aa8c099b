"""Clips in sync, off-sync and dubbed are told apart, and off-sync ones moved into sync."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME
from syncnet_lib.model import scoring
from syncnet_lib.model.header import Threshold
from syncnet_lib.training import loop, refinement, threshold, validation
from syncnet_lib.training.refinement import DUBBED, KEPT, OFF_SYNC, Evidence
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.timing import PhaseTimer
from tests import packed

SURE = Threshold(0.25, "a test", windows=70)
CPU = torch.device("cpu")


def planted(offset: int | None, depth: float = 0.5, windows: int = 70, seed: int = 0) -> np.ndarray:
    """(windows, 31) distances around 1 with a minimum at an offset; None for none."""
    distances = np.random.default_rng(seed).normal(1.0, 0.1, (windows, 2 * scoring.VSHIFT + 1)).astype(np.float32)
    if offset is not None:
        distances[:, scoring.VSHIFT - offset] -= depth
    return distances


@given(st.integers(2, scoring.VSHIFT - 1), st.sampled_from([-1, 1]), st.integers(0, 2**31))
def test_a_clear_minimum_elsewhere_is_off_sync_and_none_is_dubbed(frames, sign, seed):
    clips = {
        "good": planted(0, seed=seed),
        "late": planted(sign * frames, seed=seed),
        "dubbed": planted(None, seed=seed),
    }
    table = refinement.judge_clips([Evidence(clips, 0.8, SURE)], number=2).set_index("clip_id")
    assert table.verdict.to_dict() == {"good": KEPT, "late": OFF_SYNC, "dubbed": DUBBED}
    assert table.offset["late"] == sign * frames
    assert set(table["round"]) == {2}
    assert f"{sign * frames:+d} frames" in table.reason["late"]
    assert "no clear minimum" in table.reason["dubbed"]


def test_a_minimum_at_the_end_of_the_search_is_not_believed():
    clips = {"good": planted(0), "end": planted(scoring.VSHIFT)}
    assert refinement.judge_clips([Evidence(clips, 0.8, SURE)]).verdict.tolist() == [KEPT, DUBBED]


def test_few_windows_need_a_deeper_minimum():
    clips = {"good": planted(0), "short": planted(5, depth=0.4, windows=20)}
    assert refinement.judge_clips([Evidence(clips, 0.8, SURE)]).verdict.tolist() == [KEPT, DUBBED]
    clips = {"good": planted(0), "long": planted(5, depth=0.4)}
    assert refinement.judge_clips([Evidence(clips, 0.8, SURE)]).verdict.tolist() == [KEPT, OFF_SYNC]


def test_a_threshold_that_keeps_nothing_is_an_error_and_one_that_keeps_all_a_warning():
    with pytest.raises(InputError, match=r"filter\.threshold: no clip is kept: 1 off-sync, 1 dubbed, distances"):
        refinement.judge_clips([Evidence({"a": planted(None), "b": planted(4)}, 0.8, SURE)])
    with pytest.warns(UserWarning, match=r"all 2 clips are kept: distances .* threshold of 1\.500"):
        refinement.judge_clips([Evidence({"a": planted(None), "b": planted(0)}, 1.5, SURE)])


def test_fewer_clips_than_a_batch_are_an_error():
    split = packed.split([40, 40, 40], side=8)
    clips = dict(zip(split.index.clip_id, [planted(0), planted(None), planted(3)], strict=True))
    table = refinement.judge_clips([Evidence(clips, 0.8, SURE)])
    with pytest.raises(InputError, match="1 of 3 clips are left, and a batch needs 2"):
        refinement.refine(split, table, repair=False, least=2)
    assert refinement.refine(split, table, repair=True, least=2).index.moved.tolist() == [0, 0, 3]


@given(st.integers(-14, 14).filter(lambda offset: abs(offset) > 1))
def test_repair_puts_every_window_beside_its_own_audio(offset):
    whole = packed.split([50, 60], side=8)
    rolled = whole.mfcc.copy()
    first = slice(0, 50 * MFCC_PER_FRAME)
    # Audio that is ahead by `offset` frames: what belongs to window n is heard `offset` frames earlier.
    rolled[:, first] = np.roll(rolled[:, first], -offset * MFCC_PER_FRAME, axis=1)
    broken = type(whole)(whole.frames, rolled, whole.index, whole.kept)
    clips = {"clip000": planted(offset), "clip001": planted(0)}
    table = refinement.judge_clips([Evidence(clips, 0.8, SURE)])
    repaired = refinement.refine(broken, table, repair=True)
    np.testing.assert_array_equal(repaired.mfcc, whole.mfcc)
    assert repaired.kept[:50].sum() == 45 - abs(offset)
    lost = np.flatnonzero(~repaired.kept[:45])
    assert lost.tolist() == (list(range(offset)) if offset > 0 else list(range(45 + offset, 45)))
    assert repaired.kept[50:].tolist() == whole.kept[50:].tolist()
    assert repaired.index.moved.tolist() == [offset, 0]


def test_what_the_filter_wrote_is_what_training_gets(tmp_path):
    split = packed.split([50, 60, 40], side=8)
    clips = dict(zip(split.index.clip_id, [planted(4), planted(0), planted(None)], strict=True))
    table = refinement.judge_clips([Evidence(clips, 0.8, SURE)])
    wanted = refinement.refine(split, table, repair=True)
    table.assign(moved=refinement.moves(table, repair=True)).to_parquet(tmp_path / "clips.parquet")
    rows = [
        {"clip_id": name, "window": window, "kept": bool(wanted.kept[start + window])}
        for name, start, windows in zip(split.index.clip_id, split.starts, split.windows, strict=True)
        for window in range(windows)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "windows.parquet")
    found = refinement.refined(split, tmp_path)
    np.testing.assert_array_equal(found.kept, wanted.kept)
    np.testing.assert_array_equal(found.mfcc, wanted.mfcc)
    assert loop.resolve(TrainSettings(), found, CPU).processes == 1


@pytest.mark.slow
def test_a_trained_network_tells_them_apart(tmp_path):
    """A real network, trained for seconds; clips whose audio is moved or taken from others."""
    settings = TrainSettings(
        epochs=16, batch_size=192, samples_per_clip=24, validate_every=16, augment=False, precision="fp32"
    )
    train, val = packed.split([75] * 16), packed.split([75] * 12, seed=1)
    for _ in loop.fit(train, val, settings, 0, CPU, tmp_path, PhaseTimer(CPU)):
        pass
    model = loop.best(tmp_path)
    clear = threshold.measure(model, val, refinement.CLEAR)
    assert clear is not None
    assert clear.genuine_above is not None
    assert clear.genuine_above > 0.8
    noisy = packed.split([75] * 12, seed=2)
    truth = [KEPT] * 6 + [OFF_SYNC] * 3 + [DUBBED] * 3
    offsets = [0] * 6 + [4, -5, 7] + [0] * 3
    mfcc = noisy.mfcc.reshape(12, 75 * MFCC_PER_FRAME, -1).copy()
    for clip, offset in enumerate(offsets):
        mfcc[clip] = np.roll(mfcc[clip], -offset * MFCC_PER_FRAME, axis=0)
    mfcc[9:] = val.mfcc.reshape(12, 75 * MFCC_PER_FRAME, -1)[:3]
    noisy.mfcc = mfcc.reshape(noisy.mfcc.shape)
    distances = validation.split_distances(model, noisy, progress=False)
    means = [scoring.mean_distances(clip)[None] for clip in distances.values()]
    negatives = np.concatenate([scoring.genuine_and_false(clip)[1] for clip in means])
    table = refinement.judge_clips([Evidence(distances, float(np.quantile(negatives, 0.05)), clear)])
    assert table.verdict.tolist() == truth
    assert table.offset[:9].tolist() == pytest.approx(offsets[:9], abs=1)
    repaired = refinement.refine(noisy, table, repair=True, least=8)
    assert repaired.kept.sum() > 0.7 * noisy.kept.sum()
