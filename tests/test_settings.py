"""Settings refuse what they do not know, in one line."""

import pickle

import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"epoch": 3}, "train.epoch: unknown parameter; did you mean epochs?"),
        ({"xyz": 3}, "train.xyz: unknown parameter; known are model, init"),
        ({"epochs": "3"}, "train.epochs"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"augment": "false"}, "train.augment"),
        ({"loss": "hinge"}, "'matching' or 'contrastive'"),
        ({"lr": "1e-4"}, "got '1e-4' (str)"),
    ],
)
def test_bad_values(values, expected):
    with pytest.raises(InputError) as error:
        TrainSettings.parse(values, "train")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_whole_number_serves_as_a_real_one():
    assert TrainSettings.parse({"margin": 20}, "train").margin == 20.0


def test_a_notebooks_names():
    assert TrainSettings.pick({"epochs": 7, "unrelated": object()}).epochs == 7


def test_the_error_survives_the_way_between_processes():
    error = InputError("a.mp4", "has no sound", "give another")
    assert str(pickle.loads(pickle.dumps(error))) == "a.mp4: has no sound; give another"
