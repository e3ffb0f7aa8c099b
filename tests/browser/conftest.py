"""A headless browser for tests of what people open, and the servers that it opens."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.conftest import ROOT

CHROMIUM = shutil.which("chromium")
PATIENCE = 240_000
"""Milliseconds that a busy machine may take for a step."""

expect.set_options(timeout=PATIENCE)

Served = Callable[[Sequence[str], dict[str, str]], str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("no browser: the Debian package chromium is not on this machine")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


def recipe(target: str) -> list[str]:
    """What a target of the Makefile gives to `python -m`, with "PORT" for the port."""
    command = ["make", "--dry-run", "--no-print-directory", "--directory", str(ROOT), target, "PORT=PORT"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return shlex.split(said.replace("\\\n", " ").rpartition(" -m ")[2], comments=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Served]:
    """Starts a server, `python -m ARGUMENTS` with "PORT" replaced by a free port; gives its address when it listens."""
    running: list[subprocess.Popen[bytes]] = []
    log = tmp_path_factory.mktemp("server") / "log"

    def start(arguments: Sequence[str], environment: dict[str, str]) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", *(each.replace("PORT", str(port)) for each in arguments)]
        own = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
        with log.open("wb") as file:
            running.append(subprocess.Popen(command, cwd=ROOT, env=own, stdout=file, stderr=file))
        for _ in range(PATIENCE // 200):
            assert running[-1].poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.2)
            else:
                return f"http://127.0.0.1:{port}"
        raise TimeoutError(log.read_text())

    yield start
    for process in running:
        process.terminate()
        process.wait(30)
