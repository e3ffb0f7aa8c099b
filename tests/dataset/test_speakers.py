"""The folder conventions of labelled data sets: who talks, where the sound is, and splits that keep talkers apart."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data

from syncnet_lib.dataset import clips, extract, sources, speakers, splits
from syncnet_lib.dataset.settings import CorpusSettings, ExtractSettings
from syncnet_lib.dataset.speakers import Dataset
from syncnet_lib.errors import InputError
from syncnet_lib.media import encode

TREES: dict[Dataset, dict[str, str]] = {
    "grid": {
        "s1/bbaf2n.mpg": "s1",
        "S2/bbaf2n.mpg": "s2",
        "s10/video/mpg_6000/bbaf2n.mpg": "s10",
        "s3.mpg_vcd/s3/bbaf2n.mpg": "s3",
    },
    "lrs2": {
        "mvlrs_v1/main/5535415699068794046/00001.mp4": "5535415699068794046",
        "mvlrs_v1/pretrain/5535415699068794046/00007.mp4": "5535415699068794046",
        "main/5535423430009926848/00002.mp4": "5535423430009926848",
    },
    "lrs3": {
        "pretrain/0Fi83BHQsMA/00002.mp4": "0Fi83BHQsMA",
        "trainval/0Fi83BHQsMA/00002.mp4": "0Fi83BHQsMA",
        "lrs3/test/0Qu2bMEFGfM/00001.mp4": "0Qu2bMEFGfM",
    },
    "voxceleb2": {
        "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4": "id00012",
        "id00012/2DLq_Kkc1r8/00016.mp4": "id00012",
        "test/mp4/id00017/01dfn2spqyE/00001.mp4": "id00017",
    },
    "hdtf": {
        "RD_Radio1_000.mp4": "RD_Radio1",
        "RD_Radio10_001.mp4": "RD_Radio10",
        "WDA_ChrisVanHollen0_000.mp4": "WDA_ChrisVanHollen",
        "WDA_ChrisVanHollen1_000.mp4": "WDA_ChrisVanHollen",
        "clips/WRA_DeanHeller_002_1.mp4": "WRA_DeanHeller",
        "WRA_DeanHeller.mp4": "WRA_DeanHeller",
    },
    "mead": {
        "M003/video/front/angry/level_1/001.mp4": "M003",
        "M003/video/left_30/angry/level_1/001.mp4": "M003",
        "MEAD/W009/video/front/neutral/level_1/002.mp4": "W009",
    },
}


def write_video(path: Path, seed: int, sound: bool = True) -> None:
    """Six frames of one colour; another seed is another file."""
    frames = [np.full((64, 80, 3), 10 * seed + number, np.uint8) for number in range(6)]
    path.parent.mkdir(parents=True, exist_ok=True)
    encode.write_video(
        path, frames, np.full(6 * 640 if sound else 0, seed, np.int16), video_codec="mpeg4", audio_codec="mp2"
    )


@pytest.mark.parametrize("dataset", TREES)
def test_a_tree_gives_its_talkers(dataset: Dataset, tmp_path: Path) -> None:
    for seed, name in enumerate(TREES[dataset]):
        write_video(tmp_path / name, seed)
    write_video(tmp_path / "elsewhere" / "holiday.mp4", 20)
    (tmp_path / "README.md").write_text("x")
    videos, skipped = sources.scan(tmp_path, progress=False, dataset=dataset)
    assert dict(zip(videos.path, videos.speaker, strict=True)) == TREES[dataset]
    assert skipped.file.tolist() == ["elsewhere/holiday.mp4"]
    assert skipped.reason[0].startswith(f"not where {dataset} has its videos, e.g. ")


@pytest.mark.parametrize("dataset", TREES)
def test_the_example_of_an_error_is_right(dataset: Dataset) -> None:
    assert speakers.talker(dataset, speakers.CONVENTIONS[dataset].example)


@pytest.mark.parametrize("dataset", TREES)
def test_no_talker_is_in_two_splits(dataset: Dataset) -> None:
    table = pd.DataFrame([(f"{n}-{name}", who) for n in range(9) for name, who in TREES[dataset].items()])
    names = {who: f"{who}-{n}" for n, who in enumerate(sorted(set(table[1])))}
    more = [table.assign(speaker=table[1].map(names) + str(n)) for n in range(5)]
    manifest = pd.concat(more, ignore_index=True).assign(frames=75)
    manifest["clip_id"] = manifest["video_id"] = manifest.index.astype(str)
    split = splits.split_groups(manifest, 0.6, 0.2, seed=0)
    assert split.groupby(manifest.set_index("clip_id").speaker).nunique().max() == 1


def test_without_a_data_set_nobody_is_known(tmp_path: Path) -> None:
    write_video(tmp_path / "s1" / "a.mp4", 1)
    videos, _ = sources.scan(tmp_path, progress=False)
    assert videos.speaker.tolist() == [""]


def test_a_folder_of_another_layout_is_one_line(tmp_path: Path) -> None:
    write_video(tmp_path / "v" / "a.mp4", 1)
    settings = CorpusSettings(source="folder", path="v", dataset="lrs3")
    with pytest.raises(InputError, match=r"e\.g\. a\.mp4: not where lrs3 has its videos, e\.g\. trainval"):
        sources.make(tmp_path / "raw", tmp_path, tmp_path / "cache", settings, 0, 0, progress=False)


def test_the_sound_of_mead_is_found_beside_its_videos(tmp_path: Path) -> None:
    head = skimage.data.astronaut()[20:260, 110:350]
    draw = np.random.default_rng(0)
    sounds = {}
    for emotion in ("angry", "happy"):
        video = tmp_path / "mead" / "M003" / "video" / "front" / emotion / "level_1" / "001.mp4"
        sound = tmp_path / "mead" / "M003" / "audio" / emotion / "level_1" / "001.m4a"
        for path in (video, sound):
            path.parent.mkdir(parents=True)
        encode.write_video(video, [head] * 20, np.zeros(0, np.int16))
        sounds[emotion] = (4000 * draw.standard_normal(20 * 640)).astype(np.int16)
        encode.write_video(sound, [], sounds[emotion])
    (tmp_path / "mead" / "M003" / "audio" / "notes.txt").write_text("x")
    write_video(tmp_path / "mead" / "M003" / "video" / "front" / "sad" / "level_1" / "001.mp4", 3, sound=False)
    settings = CorpusSettings(source="folder", path="mead", dataset="mead")
    made = sources.make(tmp_path / "raw", tmp_path, tmp_path / "cache", settings, 0, 0, progress=False)
    assert dict(made.skipped.itertuples(index=False)) == {
        "M003/audio/notes.txt": "not a video by its name (.txt)",
        "M003/video/front/sad/level_1/001.mp4": "no sound track",
    }
    videos, base = sources.load(tmp_path / "raw", tmp_path)
    assert videos.sound.tolist() == [f"mead/M003/audio/{name}/level_1/001.m4a" for name in sounds]
    for known in (True, False):
        table = videos if known else videos.assign(sha256="")
        manifest, skipped = extract.extract(
            table, base, tmp_path / "clips", tmp_path / "c", ExtractSettings(), 0, False
        )
        assert skipped.empty
        assert manifest.sha256.tolist() == videos.sha256.tolist()
    for clip_id, wanted in zip(manifest.clip_id, sounds.values(), strict=True):
        heard = clips.load(tmp_path / "clips" / clip_id).samples
        assert np.corrcoef(heard, wanted)[0, 1] > 0.95
