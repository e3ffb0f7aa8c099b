"""Who talks in the videos of well-known labelled data sets, by the places of their files alone.

Clips of one talker must not be torn apart by a split. Where a data set does not say who talks (LRS2, LRS3), the
broadcast or the talk that a clip was cut from stands for the talker.
"""

import re
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

Dataset = Literal["none", "grid", "lrs2", "lrs3", "voxceleb2", "hdtf", "mead"]


class Convention(NamedTuple):
    """How a data set places its videos.

    Args:
        example: a path below the folder of the data set.
        talker: finds in such a path who talks, or what the clip was cut from.
    """

    example: str
    talker: re.Pattern[str]


CONVENTIONS: dict[Dataset, Convention] = {
    # Cooke et al. 2006; the archives unpack to s1, s1.mpg_vcd/s1 or s1/video/mpg_6000.
    "grid": Convention("s1/bbaf2n.mpg", re.compile(r"(?:^|/)(s\d{1,2})(?:[._][^/]*)?/(?:.*/)?[^/]+$", re.I)),
    # Afouras et al. 2018: a folder a broadcast.
    "lrs2": Convention(
        "mvlrs_v1/main/5535415699068794046/00001.mp4", re.compile(r"(?:^|/)(?:main|pretrain)/([^/]+)/[^/]+$")
    ),
    # Afouras et al. 2018: a folder a talk, by its YouTube name.
    "lrs3": Convention(
        "trainval/0Fi83BHQsMA/00002.mp4", re.compile(r"(?:^|/)(?:pretrain|trainval|test)/([^/]+)/[^/]+$")
    ),
    # Chung et al. 2018: a folder a celebrity, in it one a video.
    "voxceleb2": Convention("dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", re.compile(r"(?:^|/)(id\d{5})/[^/]+/[^/]+$")),
    # Zhang et al. 2021: flat; a number behind a name tells that person's videos apart, one behind Radio its programme.
    "hdtf": Convention(
        "WDA_BarackObama_000.mp4", re.compile(r"(?:^|/)(RD_Radio\d+|W[DR]A_[^/.]*?)\d*(?:_\d+)*\.[^/.]+$")
    ),
    # Wang et al. 2020: seven views of each sentence, the sound in a tree of its own.
    "mead": Convention("M003/video/front/angry/level_1/001.mp4", re.compile(r"(?:^|/)([MW]\d{3})/video/[^/]+/.+$")),
}


def talker(dataset: Dataset, path: str) -> str | None:
    """Who talks in a video.

    Args:
        dataset: how its folder is laid out.
        path: of the video below that folder, with slashes.

    Returns:
        A name, "" where the data set names nobody ("none"), or None for a path that is not the data set's.
    """
    if dataset == "none":
        return ""
    match = CONVENTIONS[dataset].talker.search(path)
    if match is None:
        return None
    return match[1].lower() if dataset == "grid" else match[1]


def sound(dataset: Dataset, path: str) -> str:
    """The file that has a video's sound, below the same folder; "" where it is the video itself."""
    if dataset != "mead":
        return ""
    before, _, after = path.rpartition("/video/")
    _view, _, place = after.partition("/")
    return str(PurePosixPath(before, "audio", place).with_suffix(".m4a"))
