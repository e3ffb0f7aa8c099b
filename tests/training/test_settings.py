"""One default for each setting: that of params.yaml."""

import pytest
from ruamel.yaml import YAML

from syncnet_lib.training.augment import Strength
from syncnet_lib.training.filtering import FilterSettings
from syncnet_lib.training.settings import TrainSettings
from tests.conftest import ROOT


@pytest.mark.parametrize(("section", "settings"), [("train", TrainSettings()), ("filter", FilterSettings())])
def test_defaults_are_those_of_params_yaml(section, settings):
    assert settings.model_dump() == YAML(typ="safe").load((ROOT / "params.yaml").read_text())[section]


def test_augmentation_is_as_strong_as_the_settings_say_or_not_at_all():
    assert TrainSettings(blur=0.5, noise=0.1, masks=1.0).augmentation == Strength(0.5, 0.1, 1.0)
    assert TrainSettings(augment=False, blur=0.5).augmentation is None
