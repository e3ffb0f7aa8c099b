"""What papermill, MLflow and DVC cost a stage, and how long it takes until a page can be used.

    python -m benchmarks.overhead [--clips 6] [--repeats 3]

In a clone of the last commit the stage `pairs` of a small corpus is run three ways: its library call in a process of
its own; `syncnet stage`, which adds papermill; and `dvc repro`, which adds DVC. The overhead is what is over the bare
call. That stage has no run in MLflow: what one adds is timed in a process of its own, import included, with 28 epochs
and a registered model. `make lab`, `make ui` and `make explore` are timed from the command to the first usable thing on
the page, in Chromium where there is one. Seconds on the clock and of the processor, the least of the repeats: a busy
machine lengthens the former. Writes reports/bench/overhead.json.
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from ruamel.yaml import YAML

from syncnet_lib import files
from syncnet_lib.paths import ROOT

BARE = """
from pathlib import Path
import pandas as pd
from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.dataset.splits import pack
clips = Path("data/clips")
pack(clips, pd.read_parquet(clips / "clips.parquet"), Path("bare"), PairsSettings(), 0)
"""
RECORD = """
from pathlib import Path
from syncnet_lib.experiment import mlflow_log
with mlflow_log.start("train", {"lr": 1e-3}, Path.cwd(), experiment="overhead") as run:
    for epoch in range(28):
        run.numbers({"loss": 1.0, "auc": 0.5}, epoch)
    run.model("overhead", Path("syncnet_lib/weights/small.safetensors"), "base")
"""
WAYS = {
    "library": ["-c", BARE],
    "papermill": ["-m", "syncnet_lib", "stage", "pairs", "notebooks/03_pairs.ipynb"],
    "papermill, DVC": ["-m", "dvc", "repro", "--force", "--single-item", "pairs"],
}
"""Ways to run the stage; each holds what is in the one before."""
TOKEN = "measured"
PAGES = {
    "lab": (f"/lab/tree/README.md?token={TOKEN}", "h1:has-text('SyncNet')"),
    "ui": ("/#/experiments?workflowType=machine_learning", "text=Experiments"),
    "explore": ("/", ".explorer"),
}
"""Targets of the Makefile, their page, and what must be there for it to be of use."""
PATIENCE = 300
"""Seconds for a page at most."""


def prepared(folder: Path, clips: int) -> Path:
    """A clone with a small corpus that is extracted."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    yaml = YAML()
    content = yaml.load((clone / "params.yaml").read_text())
    content["corpus"] |= {"clips": clips, "identities": clips, "seconds": 2.0}
    content["pairs"] |= {"train_share": 0.5, "val_share": 0.25, "warps": [0]}
    with (clone / "params.yaml").open("w") as file:
        yaml.dump(content, file)
    run(["-m", "dvc", "repro", "extract"], clone)
    return clone


def environment(clone: Path) -> dict[str, str]:
    """The environment of what runs in a clone, with its library and its own store."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    apart = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {**apart, "PATH": path, "PYTHONPATH": str(clone), "DVC_NO_ANALYTICS": "true"}


def run(arguments: list[str], clone: Path) -> dict[str, float]:
    """Seconds of `python ARGUMENTS`: on the clock, and of the processor with all processes below."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=clone, env=environment(clone), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.monotonic() - began, "processor": spent}


def stage(clone: Path, repeats: int) -> dict[str, dict[str, float]]:
    """The least seconds of each way to run the stage, what is over the bare call, and those of a run in MLflow."""
    found: dict[str, dict[str, float]] = {}
    for way, arguments in WAYS.items():
        every = [run(arguments, clone) for _ in range(repeats)]
        found[way] = {name: round(min(each[name] for each in every), 2) for name in ("seconds", "processor")}
    bare = found["library"]
    for way in WAYS:
        found[way] |= {f"over, {name}": round(found[way][name] - bare[name], 2) for name in ("seconds", "processor")}
    run(["-c", RECORD], clone)  # makes the database
    every = [run(["-c", RECORD], clone) for _ in range(repeats)]
    found["a run in MLflow"] = {name: round(min(each[name] for each in every), 2) for name in ("seconds", "processor")}
    return found


def pages(clone: Path) -> dict[str, float]:
    """Seconds from a make target to a page of use; nothing where there is no browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    (clone / ".venv").symlink_to(Path(sys.executable).parents[1])
    found = {}
    for target, (page, sign) in PAGES.items():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        found[target] = round(_opened(clone, target, port, page, sign, chromium), 1)
    return found


def _opened(clone: Path, target: str, port: int, page: str, sign: str, chromium: str) -> float:
    from playwright.sync_api import sync_playwright

    own: Mapping[str, str] = {
        **environment(clone),
        "BROWSER": "true",
        "JUPYTER_PORT": str(port),
        "JUPYTER_TOKEN": TOKEN,
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page()
        began = time.monotonic()
        command = ["make", "--old-file", ".venv/.ready", target, f"PORT={port}"]
        server = subprocess.Popen(command, cwd=clone, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  start_new_session=True)  # fmt: skip
        try:
            while time.monotonic() < began + PATIENCE:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            opened.goto(f"http://127.0.0.1:{port}{page}", wait_until="commit")
            opened.wait_for_selector(sign, timeout=PATIENCE * 1000)
            return time.monotonic() - began
        finally:
            os.killpg(server.pid, 15)
            server.wait()
            browser.close()


def main(
    clips: Annotated[int, typer.Option(min=4, help="videos of the small corpus")] = 6,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory(prefix="syncnet-") as folder:
        clone = prepared(Path(folder), clips)
        ways, opened = stage(clone, repeats), pages(clone)
    for way, numbers in ways.items():
        print(f"{way:24}" + "".join(f"  {name} {value:6.2f}" for name, value in numbers.items()))
    for target, seconds in opened.items():
        print(f"make {target:19}  {seconds:6.1f} s")
    files.write_json(ROOT / "reports" / "bench" / "overhead.json", {"stage": ways, "seconds to a page": opened})


if __name__ == "__main__":
    typer.run(main)
