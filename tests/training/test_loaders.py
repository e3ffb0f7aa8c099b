"""The loaders: the same batches from memory, from a mapped file and from single files, however they are made."""

import gc
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from syncnet_lib import files
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.model.spec import SPECS
from syncnet_lib.training import loaders
from syncnet_lib.training.loaders import Batch, Folder, Mapped, Resident
from syncnet_lib.training.sampling import Sampler
from tests import packed

CPU = torch.device("cpu")
KINDS = ("pairs", "candidates")


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    """On disk, as a stage leaves it; clips of unequal length."""
    folder = tmp_path_factory.mktemp("pairs")
    made = packed.split([40, 33, 52, 40, 28, 47, 40, 31])
    np.save(folder / "frames.npy", made.frames)
    np.save(folder / "mfcc.npy", made.mfcc)
    made.index.to_parquet(folder / "index.parquet")
    return Split.open(folder)


@pytest.fixture(scope="module")
def tree(split: Split, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("layout") / "train"
    loaders.write_tree(split, folder)
    return folder


def batches(loader: loaders.Loader, sampler: Sampler, epochs: range = range(1, 3)) -> list[Batch]:
    return [replace(batch, video=batch.video.clone()) for batch in loader.batches(map(sampler.epoch, epochs))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["small", "paper"])
def test_mapped_gives_what_resident_gives(split, tmp_path, kind, name):
    sampler = Sampler(split, 12, 6, kind, 0)
    resident = batches(Resident.load(split, SPECS[name], CPU), sampler)
    mapped = batches(Mapped.open(split, SPECS[name], CPU, tmp_path), sampler)
    assert len(resident) == len(mapped) == 2 * sampler.steps
    for one, other in zip(resident, mapped, strict=True):
        assert one.video.shape == (12, 5, SPECS[name].stored, SPECS[name].stored)
        assert torch.equal(one.video, other.video)
        assert torch.equal(one.audio, other.audio)
        np.testing.assert_array_equal(one.draw.video, other.draw.video)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_folder_gives_the_same_but_for_jpeg(split, tree, kind, workers, persistent):
    sampler = Sampler(split, 12, 6, kind, 0)
    resident = batches(Resident.load(split, SPECS["paper"], CPU), sampler)
    folder = batches(Folder(tree, split, SPECS["paper"], workers, persistent, pin=False), sampler)
    assert len(folder) == len(resident)
    for one, other in zip(resident, folder, strict=True):
        assert one.video.shape == other.video.shape
        # The frames are noise of 5 gray levels on a bar: what JPEG likes least.
        assert (one.video.float() - other.video.float()).abs().mean() < 3
        real = one.audio if one.mask is None else one.audio[one.mask.repeat_interleave(4, 1).nonzero(as_tuple=True)]
        same = other.audio if one.mask is None else other.audio[one.mask.repeat_interleave(4, 1).nonzero(as_tuple=True)]
        assert torch.equal(real, same)
        np.testing.assert_array_equal(one.draw.video, other.draw.video)


def test_folder_for_small_differs_by_jpeg_and_by_the_clips_mean(split, tree):
    sampler = Sampler(split, 12, 6, "pairs", 0)
    resident = batches(Resident.load(split, SPECS["small"], CPU), sampler)
    for one, other in zip(
        resident, batches(Folder(tree, split, SPECS["small"], 0, False, False), sampler), strict=True
    ):
        assert (one.video.float() - other.video.float()).abs().mean() < 3
        # A clip's bins leave out its last second's fifth, and so does their mean.
        assert (one.audio - other.audio).abs().max() < 1


def test_frames_are_reduced_once_and_a_piece_at_a_time(split, tmp_path, monkeypatch):
    monkeypatch.setattr(loaders, "PIECE", 50)
    whole = Resident.load(split, SPECS["small"], CPU)
    Mapped.open(split, SPECS["small"], CPU, tmp_path)
    path = tmp_path / f"frames{SPECS['small'].stored}.npy"
    np.testing.assert_array_equal(np.load(path), whole.frames.numpy())
    written = path.stat().st_mtime_ns
    Mapped.open(split, SPECS["small"], CPU, tmp_path)
    assert path.stat().st_mtime_ns == written


def test_a_closed_loader_leaves_no_thread(split, tmp_path):
    for loader in (Resident.load(split, SPECS["paper"], CPU), Mapped.open(split, SPECS["paper"], CPU, tmp_path)):
        running = loader.batches(map(Sampler(split, 12, 6, "pairs", 0).epoch, range(100)))
        next(running)
        running.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_what_fails_in_the_thread_is_raised_in_the_loop(split, tmp_path):
    def broken(_number: int):
        raise InputError("pairs", "cut off", "make it again")

    with pytest.raises(InputError, match="cut off"):
        next(Mapped.open(split, SPECS["paper"], CPU, tmp_path).batches(map(broken, range(1))))


def test_memory_does_not_grow_with_epochs(split, tmp_path):
    loader = Mapped.open(split, SPECS["paper"], CPU, tmp_path)
    sampler = Sampler(split, 12, 6, "pairs", 0)
    seen = set()
    for batch in loader.batches(map(sampler.epoch, range(30))):
        seen.add(batch.video.data_ptr())
    gc.collect()
    assert len(seen) == loaders.AHEAD + 2, "the batches take turns in the same memory"


def test_auto_is_resident_where_the_split_fits_into_half_of_the_memory(split, monkeypatch):
    assert loaders.choose(split, SPECS["small"], CPU) == "resident"
    need = loaders.bytes_of(split, SPECS["small"])
    assert need == len(split.frames) * SPECS["small"].stored ** 2 + split.mfcc.nbytes
    monkeypatch.setattr(loaders.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 2 * need - 1}[name])
    assert loaders.choose(split, SPECS["small"], CPU) == "mapped"


def test_a_tree_that_lacks_a_clip_or_a_frame_is_one_line(split, tree, tmp_path):
    with pytest.raises(InputError, match=r"audio\.npy: missing"):
        Folder(tmp_path, split, SPECS["paper"], 0, False, False)
    sampler = Sampler(split, 12, 6, "pairs", 0)
    folder = Folder(tree, split, SPECS["paper"], 0, False, False)
    aside = tree.with_name("aside")
    (tree / "clip000" / "frames").rename(aside)
    try:
        with pytest.raises(InputError, match=r"frame\d+\.jpg: missing"):
            batches(folder, sampler)
    finally:
        aside.rename(tree / "clip000" / "frames")
    files.remove(aside)
