"""The report as a browser shows it: on a phone, a tablet and a screen, at night, and on paper."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from syncnet_lib import files
from syncnet_lib.experiment import stills
from syncnet_lib.plots import page, sheet, training, verdicts
from tests.plots.examples import CURVE, METRICS, timing

WIDTHS = {"phone": 360, "tablet": 768, "screen": 1280}
LUMINANCE = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => +a + +b)"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over made-up numbers."""
    folder = tmp_path_factory.mktemp("reports")
    for stage in ("train", "retrain"):
        files.write_json(folder / "metrics" / f"{stage}.json", {"clips": 3, "minutes": 10.0, "val_auc": 0.82})
    files.write_json(folder / "metrics" / "filter.json", {"kept": 3})
    files.write_json(folder / "metrics" / "evaluate.json", METRICS)
    files.write_bytes(folder / "figures" / "result.png", page.png(verdicts.result(METRICS, {"base": CURVE}, "found")))
    files.write_bytes(folder / "figures" / "train" / "phases.png", page.png(training.phase_bars(timing())))
    files.write_bytes(folder / "html" / "train.html", sheet.document("train", "<h1>executed</h1>").encode())
    poster = stills.jpeg(np.zeros((24, 32), np.uint8))
    films = [page.Film(b"", poster, f"kept: {number}", "clear minimum at +0 frames") for number in range(4)]
    about = {"packages": "torch 2, " * 20, "machine": "a processor"}
    made = page.experiment(folder, {"corpus": "3 videos", "extract": "3 clips"}, films, about)
    files.write_bytes(folder / "report.html", made.encode())
    return folder / "report.html"


@pytest.mark.slow
@pytest.mark.parametrize("device", WIDTHS)
def test_nothing_is_cut_off(browser: Browser, report: Path, tmp_path: Path, device: str) -> None:
    opened = browser.new_page(viewport={"width": WIDTHS[device], "height": 800})
    told: list[str] = []
    opened.on("console", lambda message: told.append(message.text))
    opened.goto(report.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= WIDTHS[device], "the page scrolls sideways"
    assert opened.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    sizes = "[...document.querySelectorAll('p, td, th, li')].map(each => parseFloat(getComputedStyle(each).fontSize))"
    assert min(opened.evaluate(sizes)) >= 12
    assert told == []
    opened.screenshot(path=tmp_path / f"{device}.png", full_page=True)
    opened.close()


@pytest.mark.slow
def test_dark_and_printed(browser: Browser, report: Path, tmp_path: Path) -> None:
    opened = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme="dark")
    opened.goto(report.as_uri())
    assert opened.evaluate(LUMINANCE) < 150
    opened.screenshot(path=tmp_path / "dark.png", full_page=True)
    opened.emulate_media(media="print")
    assert opened.evaluate(LUMINANCE) == 3 * 255, "paper is white at night too"
    paper = opened.pdf(path=tmp_path / "report.pdf", format="A4")
    assert paper.startswith(b"%PDF")
    opened.close()


@pytest.mark.slow
def test_contents_and_executed_notebooks_are_a_click_away(browser: Browser, report: Path) -> None:
    opened = browser.new_page()
    opened.goto(report.as_uri())
    opened.click("nav a >> nth=-1")
    assert opened.evaluate("window.scrollY") > 0
    opened.click("a[href='html/train.html']")
    assert opened.inner_text("h1") == "executed"
    opened.close()
