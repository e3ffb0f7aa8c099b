"""The explorer: clips to watch, to hear and to shift, as a widget of a notebook.

What is seen is drawn in the browser (`web/`): its play head and its sound must not wait for a kernel. From here come
the clips, what a network says of them, and the distances of the filter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from syncnet_lib import files
from syncnet_lib.dataset import extract, sources
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import known_noise, scene
from syncnet_lib.media.clock import FPS
from syncnet_lib.model import named

WEB = Path(__file__).parent / "web"
SHOWN = 1000
"""Clips to choose from at most, those of the filter first: a list of more is no help."""


@dataclass(frozen=True)
class Choice:
    """Something to choose: a stretch of a clip.

    Attributes:
        clip: name of the clip.
        folder: of the clip.
        source: the video that it is from.
        first, length: the stretch, frames of the clip.
        says: what is known of it, for the list.
    """

    clip: str
    folder: Path
    source: Path
    first: int
    length: int
    says: str

    @property
    def key(self) -> str:
        """Its name among all choices."""
        return f"{self.folder.parent.name}/{self.clip}@{self.first}"

    @property
    def label(self) -> str:
        """How the list names it."""
        span = f" from {self.first / FPS:.0f} s" if self.first else ""
        return f"{self.clip}{span} · {self.length / FPS:.1f} s" + (f" · {self.says}" if self.says else "")


class Explorer(anywidget.AnyWidget):
    """Clips of a working folder, and dropped videos.

    Args:
        data: the working folder; it may be empty.
        root: the project.

    Attributes:
        choices: what there is to choose: key, label, clip and group.
        chosen: key of the choice that is shown.
        networks: names of the checkpoints that there are.
        network: the one that measures.
        scene: of `scene.of_clip`, for the choice.
        pairs: what the filter measured: threshold, the clips' names and, as bytes, clip, window and distance of every
            positive; empty where it has not run.
        says: what happens, or what is missing.
        wrong: what the user should read.
    """

    _esm = "\n".join(
        (WEB / name).read_text(encoding="utf-8") for name in ("draw.js", "player.js", "filter.js", "explorer.js")
    )
    _css = WEB / "explorer.css"

    choices: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    networks: traitlets.List[str] = traitlets.List().tag(sync=True)
    network = traitlets.Unicode().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
    pairs = traitlets.Dict().tag(sync=True)
    says = traitlets.Unicode().tag(sync=True)
    wrong = traitlets.Unicode().tag(sync=True)

    def __init__(self, data: Path, root: Path) -> None:
        super().__init__()
        self._data = data
        self._scratch = files.scratch()
        self._dropped: dict[str, Choice] = {}
        self._own = {choice.key: choice for choice in of_folder(data, root)}
        self.networks = [name for name in ("refined", "base", "small") if _is_there(name, data)]
        self.network = self.networks[0]
        self.pairs = of_filter(data)
        self.says = "" if self._own else missing(data, root)
        self._list()
        self.on_msg(self._receive)
        self.observe(self._show, ["chosen", "network"])
        if self._own:
            self.chosen = next(iter(self._own))

    def _list(self) -> None:
        groups = {"dropped": self._dropped, "clips": self._own}
        self.choices = [
            {"key": key, "label": choice.label, "clip": choice.clip, "first": choice.first, "group": group}
            for group, choices in groups.items()
            for key, choice in choices.items()
        ]

    def _show(self, _change: object = None) -> None:
        """Measure what is chosen."""
        choice = {**self._own, **self._dropped}.get(self.chosen)
        if choice is None:
            return
        self.wrong = ""
        try:
            model = named.find(self.network, self._data / "models")
            found = scene.of_clip(choice.folder, choice.source, choice.first, choice.length, model)
        except InputError as error:
            self.wrong = str(error)
            return
        self.scene = {
            **found,
            "key": self.chosen,
            "clip": choice.clip,
            "label": choice.label,
            "network": self.network,
            "own": self.chosen in self._own,
        }

    def _receive(self, _widget: object, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        """A piece of a dropped video: pieces, because a server takes no message of more than 10 MB."""
        path = Path(self._scratch.name) / "videos" / Path(str(content["name"])).name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb" if content["number"] == 0 else "ab") as file:
            file.write(buffers[0])
        if content["last"]:
            self.add(path)

    def add(self, path: Path) -> None:
        """Find the talking faces of a video, and show the first.

        Args:
            path: the video; what is wrong with it is said in `wrong`.
        """
        self.wrong, self.says = "", f"Following the faces of {path.name} …"
        scratch = Path(self._scratch.name)
        out = scratch / f"{len(list(scratch.iterdir()))}-{path.stem}"
        videos = pd.DataFrame({"video_id": [path.stem], "path": [str(path)]})
        try:
            manifest, refused = extract.extract(
                videos, scratch, out, scratch / "cache", ExtractSettings(), workers=1, progress=False
            )
        except InputError as error:
            self.says, self.wrong = "", str(error).replace(f"{scratch}/videos/", "")
            return
        new = [
            Choice(
                path.stem if len(manifest) == 1 else f"{path.stem}, face {row.track}",
                out / row.clip_id,
                path,
                *part,
                "",
            )
            for row in manifest.itertuples()
            for part in scene.parts(row.frames)
        ]
        self._dropped |= {choice.key: choice for choice in new}
        self._list()
        kinds = "; ".join(refused.reason)
        faces = "a talking face" if len(manifest) == 1 else f"{len(manifest)} talking faces"
        self.says = f"{path.name}: {faces}" + (f"; passed over: {kinds}" if kinds else "")
        if self.network != "small":
            self.network = "small"  # which has seen real people
        self.chosen = new[0].key


def of_folder(data: Path, root: Path) -> list[Choice]:
    """The clips of a working folder, each with what the filter and the corpus say of it.

    Args:
        data: the working folder.
        root: the project.

    Returns:
        Those that the filter judged first; none where nothing was extracted.
    """
    path = data / "clips" / "clips.parquet"
    if not path.is_file():
        return []
    manifest = pd.read_parquet(path)
    _, base = sources.load(data / "raw", root)
    kinds = known_noise.of(data).set_index("video_id").kind.to_dict()
    judged = data / "filter" / "clips.parquet"
    verdicts = pd.read_parquet(judged).set_index("clip_id").verdict.to_dict() if judged.is_file() else {}
    manifest = manifest.sort_values(
        by="clip_id", key=lambda names: [name not in verdicts for name in names], kind="stable"
    )
    return [
        Choice(row.clip_id, path.parent / row.clip_id, base / row.path, *part, _known(row, verdicts, kinds))
        for row in manifest.head(SHOWN).itertuples()
        for part in scene.parts(row.frames)
    ]


def of_filter(data: Path) -> dict[str, Any]:
    """What the filter measured, for a threshold that is moved.

    Args:
        data: the working folder.

    Returns:
        As `Explorer.pairs`.
    """
    path = data / "filter" / "windows.parquet"
    if not path.is_file():
        return {}
    windows = pd.read_parquet(path)
    clips = pd.read_parquet(data / "filter" / "clips.parquet")
    kinds = known_noise.of(data).set_index("video_id").kind.to_dict()
    names = {name: number for number, name in enumerate(clips.clip_id)}
    videos = pd.read_parquet(data / "clips" / "clips.parquet").set_index("clip_id").video_id[clips.clip_id]
    return {
        "clips": [
            {"clip": row.clip_id, "verdict": row.verdict, "kind": kinds.get(video, "")}
            for row, video in zip(clips.itertuples(), videos, strict=True)
        ],
        "clip": windows.clip_id.map(names).to_numpy("<i4").tobytes(),
        "window": windows.window.to_numpy("<i4").tobytes(),
        "distance": windows.distance.to_numpy("<f4").tobytes(),
        "threshold": float(np.quantile(windows.distance, windows.kept.mean())),
    }


def missing(data: Path, root: Path) -> str:
    """What a folder without clips lacks, and how to get it."""
    folder = data.relative_to(root) if data.is_relative_to(root) else data
    return (
        f"No clips in {folder} yet: make repro makes them, with two networks and the filter's verdicts. "
        "Until then drop a video of a talking face here; the shipped network measures it."
    )


def _is_there(name: str, data: Path) -> bool:
    try:
        named.find(name, data / "models")
    except InputError:
        return False
    return True


def _known(row: Any, verdicts: dict[str, str], kinds: dict[str, str]) -> str:
    said = [f"filter: {verdicts[row.clip_id]}"] if row.clip_id in verdicts else []
    return " · ".join(said + ([f"truly {kinds[row.video_id]}"] if row.video_id in kinds else []))
