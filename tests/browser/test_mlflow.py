"""MLflow as `make ui` opens it: the list of runs with its columns, a comparison, a version of the model."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, expect

from syncnet_lib.experiment import mlflow_log, registry, view
from tests.browser.conftest import PATIENCE, Served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Path, list[str]]:
    """A project whose store holds two trainings, and a registered version of each."""
    root = tmp_path_factory.mktemp("mlflow")
    shutil.copy(empty_store, root)
    ids = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI")
        for alias, lr, auc in (("base", 1e-3, 0.81), ("refined", 3e-3, 0.86)):
            (root / f"{alias}.safetensors").write_bytes(alias.encode())
            with mlflow_log.start("train", {"lr": lr, "seed": 0}, root) as run:
                for step in range(3):
                    run.numbers({"loss": 3.0 - step, "auc": auc}, step)
                run.model("syncnet", root / f"{alias}.safetensors", alias)
            ids.append(run.id)
        registry.promote("syncnet", root / "refined.safetensors", "champion", 0.86, "data", root)
    return root, ids


@pytest.fixture(scope="module")
def page(browser: Browser, served: Served, runs: tuple[Path, list[str]]) -> Iterator[Page]:
    root, _ = runs
    store = f"sqlite:///{root / 'mlflow.db'}"
    words = ["mlflow", "ui", "--host", "127.0.0.1", "--port", "PORT", "--workers", "1", "--backend-store-uri", store]
    address = served(words, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    opened = browser.new_page(base_url=address, viewport={"width": 1600, "height": 900})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


def test_the_list_of_runs_has_the_columns_worth_reading(
    page: Page, runs: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = runs
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    page.goto(view.page(root))
    expect(page.get_by_role("link", name="train lr=0.003")).to_be_visible()
    heads = page.locator("[role=columnheader]")
    for name in ("auc", "loss", "lr", "stage"):
        expect(heads.filter(has_text=name).first).to_be_attached()
    assert not heads.filter(has_text="Dataset").count(), "columns that nobody chose"
    assert page.get_by_text("0.86").count()


def test_runs_are_compared(page: Page, runs: tuple[Path, list[str]]) -> None:
    _, ids = runs
    both = "[" + ",".join(f'"{run}"' for run in ids) + "]"
    page.goto(f"/#/compare-runs?runs={both}&experiments=[%221%22]")
    expect(page.get_by_text("Comparing 2 Runs").first).to_be_visible()
    expect(page.get_by_text("0.001").first).to_be_visible()
    expect(page.get_by_text("0.003").first).to_be_visible()


def test_the_champion_says_why_it_is(page: Page, runs: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = runs
    version = MlflowClient(f"sqlite:///{root / 'mlflow.db'}").get_model_version_by_alias("syncnet", "champion")
    page.goto(f"/#/models/syncnet/versions/{version.version}")
    expect(page.get_by_text("champion: validation AUC").first).to_be_visible()
