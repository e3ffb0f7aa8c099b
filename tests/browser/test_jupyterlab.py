"""JupyterLab as `make lab` opens it: the page to start from, and a notebook run from top to bottom."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import explorable
from tests.browser.conftest import PATIENCE, Served, recipe
from tests.conftest import make_clone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(browser: Browser, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, str]]:
    """A clone with three clips, in JupyterLab."""
    clone = make_clone(tmp_path_factory.mktemp("lab") / "a clone")
    explorable.make(clone / "data")
    words = [word.replace("root_dir=.", f"root_dir={clone}") for word in recipe("lab")]
    own = ["--allow-root", "--no-browser", "--ServerApp.port=PORT", "--IdentityProvider.token="]
    home = tmp_path_factory.mktemp("home")
    places = {
        name: str(home / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }
    address = served([*words, *own], {**places, "PYTHONPATH": str(clone)})
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    yield opened, address
    opened.close()


def test_it_starts_with_the_readme_and_the_notebooks_in_reach(lab: tuple[Page, str]) -> None:
    page, address = lab
    page.goto(f"{address}/lab/tree/README.md", wait_until="commit")
    expect(page.get_by_role("heading", name="SyncNet: are lips and sound in sync?")).to_be_visible()
    expect(page.locator(".jp-DirListing-item", has_text="notebooks").first).to_be_visible()
    assert not page.get_by_text("Would you like to receive official Jupyter news?").count()


def test_a_notebook_runs_from_top_to_bottom(lab: tuple[Page, str]) -> None:
    page, address = lab
    page.goto(f"{address}/lab/tree/notebooks/explore.ipynb", wait_until="commit")
    page.wait_for_selector(".jp-Notebook")
    page.wait_for_selector("text=/Python 3 .*Idle/")  # what is asked for before there is a kernel is forgotten
    page.click("text=Run >> nth=0")
    page.click(".lm-Menu-item:has-text('Run All Cells')")
    page.wait_for_selector(".explorer[data-shown^=clips]")
    page.click(".explorer .after")
    page.wait_for_selector(".explorer[data-shown='clips/clip001@0']")
    assert not page.locator(
        "[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedText[data-mime-type*=error]"
    ).count()
