"""Judges are trained on other clips than they judge, and rounds end when the verdicts settle."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.dataset import noise
from syncnet_lib.dataset.noise import NoiseSettings
from syncnet_lib.errors import InputError
from syncnet_lib.model import scoring
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training import refinement, rounds
from syncnet_lib.training.refinement import DUBBED, KEPT, SEARCH, Evidence
from syncnet_lib.training.rounds import Trainer
from syncnet_lib.training.settings import FilterSettings, TrainSettings
from syncnet_lib.training.validation import split_distances
from tests import packed
from tests.training.test_refinement import SURE

CPU = torch.device("cpu")
SMALL = TrainSettings(epochs=1, batch_size=16, samples_per_clip=8, validate_every=1, augment=False, precision="fp32")


@given(st.integers(2, 60), st.integers(2, 8), st.integers(0, 9))
def test_every_clip_is_in_one_fold_and_folds_are_of_one_size(clips, folds, seed):
    sizes = np.bincount(rounds.fold_of(clips, folds, seed), minlength=folds)
    assert sizes.sum() == clips
    assert sizes.max() - sizes.min() <= 1


class Recorded(Trainer):
    """A trainer that notes what it trained on and trains nothing."""

    def fit(self, train, name="judge"):
        seen.append(train)
        torch.manual_seed(len(seen))
        return SyncNet("small").eval()


seen: list = []


def test_no_clip_is_judged_by_a_network_that_trained_on_it(tmp_path):
    split, val = packed.split([40] * 6), packed.split([40] * 2, seed=1)
    seen.clear()
    settings = FilterSettings(folds=3, method="quantile", threshold=0.5)
    trainer = Recorded(val, SMALL.model_copy(update={"epochs": 4, "validate_every": 2}), 0, CPU, tmp_path)
    evidence = rounds.cross_fitted(split, split, trainer, settings)
    assert sorted(name for part in evidence for name in part.distances) == split.index.clip_id.tolist()
    for part, train in zip(evidence, seen, strict=True):
        trained = {name for name, start in zip(split.index.clip_id, split.starts, strict=True) if train.kept[start]}
        assert len(trained) == 4
        assert trained.isdisjoint(part.distances)
    assert next(iter(evidence[0].distances.values())).shape[1] == 2 * SEARCH + 1
    with pytest.raises(InputError, match=r"filter\.folds: 9 folds of 6 clips"):
        rounds.cross_fitted(split, split, trainer, FilterSettings(folds=9))


def test_what_no_network_was_trained_on_all_of_them_judge_together(tmp_path):
    split, val = packed.split([40] * 6), packed.split([40] * 2, seed=1)
    rejected = split.index.clip_id[2]
    training = replace(
        split, kept=split.kept & refinement.of_frames(split, (split.index.clip_id != rejected).to_numpy())
    )
    seen.clear()
    trainer = Recorded(val, SMALL.model_copy(update={"epochs": 1, "validate_every": 1}), 0, CPU, tmp_path)
    *alone, together = rounds.cross_fitted(training, split, trainer, FilterSettings(folds=2))
    assert list(together.distances) == [rejected]
    assert sorted([rejected, *(name for part in alone for name in part.distances)]) == split.index.clip_id.tolist()
    assert together.threshold == pytest.approx(np.mean([part.threshold for part in alone]))
    part = replace(split, index=split.index[2:3].reset_index(drop=True))
    each = []
    for number in (1, 2):
        torch.manual_seed(number)
        each.append(split_distances(SyncNet("small").eval(), part, SEARCH, progress=False)[rejected])
    np.testing.assert_allclose(together.distances[rejected], np.sqrt(np.mean(np.square(each), axis=0)), rtol=1e-3)


def test_windows_alone_are_judged_by_distance():
    clips = {"a": np.full((4, 2 * SEARCH + 1), 2.0, np.float32), "b": np.full((3, 2 * SEARCH + 1), 2.0, np.float32)}
    clips["a"][:2, SEARCH] = 0.5
    table, windows = refinement.judge_windows([Evidence(clips, 1.0, None)], number=2)
    assert table.set_index("clip_id").verdict.to_dict() == {"a": KEPT, "b": DUBBED}
    assert table.reason.iloc[0] == "2 of 4 windows within 1.000"
    assert windows.kept.tolist() == [True, True, False, False, False, False, False]
    with pytest.raises(InputError, match=r"no positive is kept: distances 0\.500 to 2\.000 with a threshold of 0\.100"):
        refinement.judge_windows([Evidence(clips, 0.1, None)])


def test_without_a_measured_threshold_no_minimum_is_clear():
    clips = {"a": np.ones((40, 2 * SEARCH + 1), np.float32), "b": np.ones((40, 2 * SEARCH + 1), np.float32)}
    clips["a"][:, SEARCH], clips["b"][:, SEARCH - 5] = 0.1, 0.1
    assert refinement.judge_clips([Evidence(clips, 0.5, None)]).verdict.tolist() == [KEPT, DUBBED]
    assert refinement.judge_clips([Evidence(clips, 0.5, SURE)]).verdict.tolist() == [KEPT, refinement.OFF_SYNC]


@given(st.integers(-10, 10), st.floats(-0.49, 0.49))
def test_the_fine_offset_is_that_of_a_parabola(frames, beyond):
    shifts = np.arange(-SEARCH, SEARCH + 1)
    means = (0.01 * (shifts + frames + beyond) ** 2).astype(np.float32)
    assert refinement.fine_offset(means) == pytest.approx(frames + beyond, abs=0.13)
    assert scoring.offset(means) == frames


def test_the_fine_offset_at_the_end_is_the_frame():
    assert refinement.fine_offset(np.array([0.1, 0.5, np.nan], np.float32)) == 1.0
    assert refinement.fine_offset(np.array([np.nan, 0.1, 0.5], np.float32)) == 0.0


class Failing(Trainer):
    """A trainer whose first judge refuses or, with another seed, is killed; its second trains nothing."""

    def fit(self, train, name="judge"):
        if self.seed == 0:
            raise InputError("a file", "is broken", "mend it")
        if name == "judge1":
            os.kill(os.getpid(), signal.SIGKILL)
        return SyncNet("small").eval()


@pytest.mark.slow
def test_judges_in_processes_of_their_own_say_what_they_say_here_and_fail_in_a_line(tmp_path):
    split, val = packed.split([40] * 6), packed.split([40] * 2, seed=1)
    folder = tmp_path / "pairs"
    folder.mkdir()
    np.save(folder / "frames.npy", split.frames)  # what is mapped goes to a process by its name
    split.frames = np.load(folder / "frames.npy", mmap_mode="c")
    settings = FilterSettings(folds=2, method="quantile", threshold=0.5)
    here = Trainer(val, SMALL.model_copy(update={"epochs": 1, "validate_every": 1}), 0, CPU, tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = rounds.cross_fitted(split, split, here, settings)
    torch.set_num_threads(threads)
    apart = replace(here, processes=2)
    evidence = rounds.cross_fitted(split, split, apart, settings)
    for one, other in zip(expected, evidence, strict=True):
        assert one.threshold == pytest.approx(other.threshold, rel=1e-5)
        assert list(one.distances) == list(other.distances)
        for name, distances in one.distances.items():
            np.testing.assert_allclose(distances, other.distances[name], rtol=1e-4, atol=1e-4)
    assert not list(tmp_path.glob("judge*"))
    # One process, of its own too: the second judge waits for the first.
    failing = Failing(val, SMALL, 0, CPU, tmp_path, processes=1)
    with pytest.raises(InputError, match=r"^a file: is broken; mend it$"):
        rounds.cross_fitted(split, split, failing, settings)
    with pytest.raises(InputError, match=r"filter, judge 1 of 2: .* was ended by SIGKILL; have more memory free"):
        rounds.cross_fitted(split, split, replace(failing, seed=1), settings)


@pytest.mark.slow
def test_rounds_that_do_not_settle_are_told(tmp_path):
    # Networks without training judge by chance: of so many clips one changes.
    truth = noise.plan(packed.split([40] * 12).index, NoiseSettings(share=0.5, kinds=["shifted"]), 0)
    split, val = noise.spoil_split(packed.split([40] * 12), truth), packed.split([40] * 2, seed=1)
    seen.clear()
    trainer = Recorded(val, SMALL, 0, CPU, tmp_path)
    settings = FilterSettings(method="quantile", threshold=0.5, rounds=2, folds=0, repair=False)
    with pytest.warns(UserWarning, match=r"have not settled in 2 rounds: \d+\.\d% of 12 clips changed"):
        found = list(rounds.run(split, None, trainer, settings))
    assert [each.clips["round"].iloc[0] for each in found] == [1, 2]
    assert len(seen) == 2
    np.testing.assert_array_equal(seen[1].kept, found[0].apply(split).kept)
    assert found[1].figures()["kept"] == found[1].apply(split).kept.sum()
