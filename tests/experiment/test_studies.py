"""The study's own work at toy size: the notebook runs the rest."""

from pathlib import Path

import pandas as pd
import pytest

from syncnet_lib.experiment import studies
from syncnet_lib.model.spec import SPECS
from syncnet_lib.plots import page, training
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.timing import PHASES

SETTINGS = TrainSettings(loss="contrastive", batch_size=16, samples_per_clip=4, epochs=2, validate_every=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("study")


def test_made_clips_are_what_the_model_eats(tmp_path):
    for name, shape in (("small", (40, 120, 120)), ("v2", (40, 224, 224, 3))):
        split = studies.make_split(tmp_path / name, 4, 10, SPECS[name], 0)
        assert split.frames.shape == shape
        assert split.mfcc.shape == (1, 160, 13)
        assert split.windows.tolist() == [5] * 4
    again = studies.make_split(tmp_path / "small", 4, 10, SPECS["small"], 1)
    assert Path(again.frames.filename) == tmp_path / "small" / "frames.npy", "what is there is taken"


@pytest.mark.slow
def test_a_loader_alone_and_in_a_training(folder):
    split = studies.make_split(folder / "split", 12, 30, SPECS["small"], 0)
    for name in ("mapped", "folder"):
        table, memory = studies.load_only(name, split, SPECS["paper"], SETTINGS, 0, folder)
        assert len(table) == 2 * 3
        assert (table.data > 0).all()
        assert len(memory) == 2
    tables = studies.train_by_each(["resident", "folder"], split, SETTINGS, 0, 0, folder)
    assert {name: len(table) for name, table in tables.items()} == {"resident": 6, "folder": 6}
    assert not (folder / "resident").exists()
    compared = studies.compare(tables, 16)
    assert compared.index.tolist() == ["resident", "folder"]
    assert page.png(training.loader_bars(tables))


def test_the_conclusion_is_computed():
    rows = [
        {"epoch": epoch, "step": step, **dict.fromkeys(PHASES, 10.0), "data": stall if step == 0 else 10.0}
        for stall in (10.0, 1000.0)
        for epoch in (1, 2)
        for step in range(5)
    ]
    table = pd.DataFrame(rows)
    table["total"] = table[list(PHASES)].sum(axis=1)
    text = studies.conclude(studies.compare({"mapped": table[:10], "folder": table[10:]}, 32))
    assert text.startswith("With folder the first step of an epoch takes 17.5 times a median step, 81% of the epoch")
    assert "With mapped it takes 1.00 times" in text


def test_expectations_follow_the_figures():
    fast = {"samples_per_s": 100.0, "first_step_share": 0.1, "data_share": 0.01}
    slow = {"samples_per_s": 10.0, "first_step_share": 0.8, "data_share": 0.7}
    rows = {"folder": slow, "folder_persistent": slow, "mapped": fast, "resident": fast}
    assert all(studies.expectations(pd.DataFrame.from_dict(rows, orient="index")).values())
    rows |= {"mapped": slow, "resident": slow}
    assert not any(studies.expectations(pd.DataFrame.from_dict(rows, orient="index")).values())
