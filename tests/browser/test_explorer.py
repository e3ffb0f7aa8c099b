"""The explorer in a browser, as Voila's page: choose, play, shift and hear, set the threshold, drop a video."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from syncnet_lib.synthetic import corpus
from syncnet_lib.synthetic.settings import SyntheticSettings
from tests import explorable
from tests.browser.conftest import PATIENCE, Served, recipe
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
HEARD = """() => {
  window.heard = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when, offset) {
    window.heard.push([when - this.context.currentTime, offset]);
    return start.call(this, when, offset);
  };
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of `make explore`, over three clips."""
    folder = tmp_path_factory.mktemp("explorer")
    data = explorable.make(folder / "data")
    notebook = nbformat.read(ROOT / "notebooks" / "explore.ipynb", as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = f"workdir = {str(data)!r}"
    nbformat.write(notebook, folder / "explore.ipynb")
    words = [
        str(folder / word.removeprefix("notebooks/")) if word.endswith("ipynb") else word for word in recipe("explore")
    ]
    environment = {"JUPYTER_PATH": str(ROOT / "docs" / "jupyter"), "PYTHONPATH": str(ROOT)}
    # One visitor: no second kernel is made ready once this one has come.
    address = served([*words, "--VoilaKernelManager.fill_delay=3600"], environment)
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(PATIENCE)
    requested: list[str] = []
    opened.on("request", lambda request: requested.append(request.url))
    opened.goto(address, wait_until="commit")
    opened.wait_for_selector(".explorer[data-shown^=clips]")
    opened.evaluate(HEARD)
    foreign = [url for url in requested if not url.startswith((address, "data:", "blob:"))]
    assert not foreign, "the page asks for nothing from elsewhere"
    yield opened
    opened.close()


def number(page: Page, name: str) -> float:
    return float(page.inner_text(f".explorer .{name}").split()[0].replace("−", "-"))


def test_a_clip_plays_and_its_sound_is_moved_while_it_plays(page: Page) -> None:
    page.click(".play")
    page.wait_for_function("parseFloat(document.querySelector('.time').textContent) > 0.2")
    page.fill(".shift", "5")
    expect(page.locator(".shifted")).to_have_text("+5 frames, 200 ms later")
    page.fill(".shift", "-5")
    page.click(".play")
    stopped = number(page, "time")
    heard = page.evaluate("window.heard")
    # When the sound begins, and from where: together they say how much later than recorded it is.
    moved = [when - offset for when, offset in heard]
    assert moved[0] == pytest.approx(0, abs=0.05)
    assert moved[2] - moved[1] < -0.3, "earlier by ten frames than before, less what was played meanwhile"
    assert number(page, "time") == stopped
    before = page.inner_text(".near")
    page.click(".cure")
    assert page.inner_text(".near") != before
    assert page.inner_text(".verdict").startswith("The sound ")


def test_the_play_head_is_set_by_mouse_and_keyboard(page: Page) -> None:
    page.click(".head", position={"x": 400, "y": 200})
    at = number(page, "time")
    assert 0.2 < at < 2
    page.focus(".player")
    page.keyboard.press("ArrowRight")
    assert number(page, "time") == pytest.approx(at + 0.04, abs=0.03)


def test_the_threshold_is_live_and_its_rejects_are_watched(page: Page) -> None:
    rejected = page.locator(".rejects")
    expect(page.locator(".filter")).to_be_visible()
    expect(rejected).to_contain_text("1 of 3 clips lose more than half")
    before = rejected.inner_text()
    lowest = page.get_attribute(".threshold", "min")
    page.evaluate(
        f"e => {{ e.value = {lowest}; e.dispatchEvent(new Event('input')); }}", page.query_selector(".threshold")
    )
    assert rejected.inner_text() != before
    expect(rejected).to_contain_text("3 of 3 clips lose more than half")
    page.click("[data-clip=clip002]")
    page.wait_for_selector(".explorer[data-shown='clips/clip002@0']")
    expect(page.locator(".whole")).to_be_visible()
    page.click(".whole")
    expect(page.locator(".whole")).to_be_hidden()
    page.evaluate("document.querySelector('.filter').hidden = true")  # as where the filter has not run
    expect(page.locator(".filter")).to_be_hidden()


def test_dropped_videos_are_measured_or_refused_in_a_line(page: Page, tmp_path: Path) -> None:
    page.set_input_files(".file", [{"name": "notes.mp4", "mimeType": "video/mp4", "buffer": b"no video"}])
    expect(page.locator(".wrong")).to_contain_text("notes.mp4")
    corpus.make(tmp_path, SyntheticSettings(clips=2, identities=2, seconds=3.0, noisy_share=0.0), 1, 0, progress=False)
    video = min((tmp_path / "videos").iterdir())
    page.set_input_files(".file", str(video))
    page.wait_for_selector(f".explorer[data-shown*='{video.stem}']")
    expect(page.locator(".says")).to_contain_text("a talking face")
    expect(page.locator(".wrong")).to_be_empty()
    assert abs(int(page.evaluate("document.querySelector('.picture').width"))) > 100


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_it_fits_and_follows_the_night(page: Page, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = "getComputedStyle(document.querySelector('.explorer')).backgroundColor.match(/\\d+/g).map(Number)"
    page.wait_for_function(f"({ground}.reduce((a, b) => a + b) < 150) == {str(scheme == 'dark').lower()}")
