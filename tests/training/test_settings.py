"""Settings of training that other modules get in another form."""

from syncnet_lib.training.settings import Strength, TrainSettings


def test_augmentation_is_as_strong_as_the_settings_say_or_not_at_all():
    assert TrainSettings(blur=0.5, noise=0.1, masks=1.0).augmentation == Strength(blur=0.5, noise=0.1, masks=1.0)
    assert TrainSettings(augment=False, blur=0.5).augmentation is None
