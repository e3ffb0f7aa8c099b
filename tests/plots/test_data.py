import numpy as np
import pandas as pd

from syncnet_lib.plots import data
from syncnet_lib.plots.page import png
from tests.plots.examples import text


def tracks() -> pd.DataFrame:
    rows = [("v", 0, 0, 0, 40, ""), ("v", 0, 1, 5, 30, ""), ("v", 1, 2, 41, 44, "short"), ("w", 0, 0, 0, 74, "")]
    return pd.DataFrame(rows, columns=["path", "shot", "track", "first", "last", "reason"])


def test_face_tracks_are_counted() -> None:
    assert "3 of 4 face tracks in 3 shots of 2 videos" in text(data.timelines(tracks()))
    assert "0 of 0 face tracks" in text(data.timelines(tracks().iloc[:0]))


def test_speed_is_told_against_the_video() -> None:
    table = pd.DataFrame({"frames": [50, 50], "decode": [0.1, 0.1], "faces": 0.15})
    assert "8.0 times as fast as the video plays; faces take 60%" in text(data.throughput(table, ["decode", "faces"]))


def test_clips_of_any_shape_are_shown() -> None:
    clips = {"one": np.zeros((20, 12, 12), np.uint8), "two": np.zeros((3, 12, 12), np.uint8)}
    assert "2 clips, 4 moments each" in text(data.contact_sheet(clips, 4))
    assert text(data.contact_sheet({"colour": np.zeros((20, 12, 12, 3), np.uint8)}, 4))
    assert "title" in text(data.counts([1.0, np.nan, 2.0], "title", "pixels"))
    assert "nothing" in text(data.pictures({}, "nothing"))
    assert "a reason" in text(data.pictures({"a reason": np.zeros((8, 9, 3), np.uint8)}, "refused"))


def test_the_same_numbers_give_the_same_picture() -> None:
    one, again = (png(data.timelines(tracks())) for _ in range(2))
    assert one == again
    assert one.startswith(b"\x89PNG")
