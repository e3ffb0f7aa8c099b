"""The page of the experiment, parsed as a browser would."""

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from syncnet_lib import files
from syncnet_lib.plots import verdicts
from syncnet_lib.plots.page import Film, Flow, Links, Picture, experiment, page, png
from tests.plots.examples import CURVE, METRICS


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_the_whole_experiment_on_one_page(tmp_path: Path) -> None:
    for stage in ("train", "retrain"):
        files.write_json(tmp_path / "metrics" / f"{stage}.json", {"clips": 3})
    files.write_json(tmp_path / "metrics" / "filter.json", {"kept": 3})
    files.write_json(tmp_path / "metrics" / "evaluate.json", {**METRICS, "extra": METRICS})
    files.write_bytes(tmp_path / "figures" / "result.png", png(verdicts.result(METRICS, {"base": CURVE}, "found")))
    files.write_bytes(tmp_path / "figures" / "train" / "loss.png", b"PNG")
    files.write_bytes(tmp_path / "html" / "train.html", b"executed")
    film = Film(b"MP4", b"JPEG", "kept: a", "clear minimum")
    made = experiment(tmp_path, {"corpus": "3 videos"}, [film], {"code": "commit 1"})
    elements = Elements(made)
    images = elements.of("img")
    assert len(images) == 2
    assert all(str(image["src"]).startswith("data:image/png;base64,") and image["alt"] for image in images)
    (video,) = elements.of("video")
    assert str(video["src"]).startswith("data:video/mp4;base64,")
    assert str(video["poster"]).startswith("data:image/jpeg;base64,")
    assert "commit 1" in made
    assert made.index('class="lead"') < made.index("<nav>") < made.index("<img"), "the verdict comes first"
    anchors = {f"#{heading['id']}" for heading in elements.of("h2")}
    targets = [str(link["href"]) for link in elements.of("a")]
    assert {target for target in targets if target.startswith("#")} == anchors
    assert [target for target in targets if not target.startswith("#")] == ["html/train.html"]
    assert not elements.of("script")
    assert not elements.of("link")


def test_a_table_has_one_row_of_headers() -> None:
    table = pd.DataFrame({"K=15": [0.5]}, index=pd.Index(["base"], name="model"))
    made = page("title", "lead", [table])
    assert made.count("<tr") == 2
    assert "<th>model</th>" in made


def test_a_page_is_for_phones_paper_and_the_night() -> None:
    made = page("title", "lead", [])
    for wanted in ('name="viewport"', "prefers-color-scheme: dark", "@media print", "break-inside: avoid"):
        assert wanted in made


def test_what_a_page_is_told_cannot_become_markup() -> None:
    evil = "<script>"
    parts = [f"## {evil}", evil, Picture(b"", f'"{evil}'), Links({evil: f'"{evil}'}), pd.DataFrame({evil: [evil]})]
    parts += [Flow({evil: evil}), [Film(b"", b"", evil, evil)]]
    assert not Elements(page(evil, evil, parts)).of("script")
