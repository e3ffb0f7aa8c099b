"""`syncnet serve` as a process, asked over HTTP and by a browser: one server for all of it, on a small disk."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from playwright.sync_api import Browser

from syncnet_lib import cli
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import batch
from syncnet_lib.measurement.result import SCHEMA
from syncnet_lib.media import decode
from syncnet_lib.service import server
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
TOKEN = "a token of the tests"
DISK, MOST = 12, 10
"""Megabytes of the disk, and of an upload."""
OPTIONS = batch.Options("small", "cpu", 15, None, cropped=False)
DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


@dataclass(frozen=True)
class Service:
    """A running server, and the folder that it puts everything into."""

    port: int
    folder: Path

    def ask(
        self, method: str, path: str, body: bytes | None = None, token: str = TOKEN, **headers: str
    ) -> tuple[int, Any]:
        """A request; gives its status, and what its JSON says, or the text where it is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}", **headers})
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = "json" in (answer.headers["content-type"] or "")
            return answer.status, json.loads(text) if is_json and text else text
        finally:
            connection.close()

    def send(self, content: bytes, name: str = "talk.mp4") -> dict[str, Any]:
        """Upload a video; gives its status."""
        code, job = self.ask("POST", f"/jobs?name={name}&standard=ebu-r37", content)
        assert code == 201, job
        return job

    def wait(self, job: dict[str, Any]) -> dict[str, Any]:
        """The status of a job when it is over."""
        deadline = time.monotonic() + 300
        while job["state"] in ("waiting", "measuring"):
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
            _, job = self.ask("GET", f"/jobs/{job['key']}")
        return job

    def files(self) -> list[str]:
        """Names of all files that there are of videos."""
        return [path.name for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server of two processes; it must leave nothing when it is told to end."""
    folder = tmp_path_factory.mktemp("service") / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", folder], capture_output=True)
    limits = ["--max-mb", str(MOST), "--max-minutes", "4", "--patience", "1", "--workers", "2"]
    command = [sys.executable, "-m", "syncnet_lib", "serve", "--port", "0", "--device", "cpu", *limits]
    environment = {**os.environ, "TMPDIR": str(folder), "SYNCNET_TOKEN": TOKEN}
    started = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert started.stdout is not None
        line = started.stdout.readline().decode()
        yield Service(int(line.split("http://127.0.0.1:")[1].split("/")[0]), folder)
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=60)
        assert (started.returncode, said) == (130, b"stopped\n")
        assert list(folder.iterdir()) == []
    finally:
        started.kill()
        started.communicate()
        if not mounted.returncode:
            subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def talk(real_clips: Path) -> bytes:
    """A video of a talker that the shipped network knows."""
    return sorted((real_clips / "grid_s1").iterdir())[0].read_bytes()


def test_two_at_once_are_measured_and_their_uploads_deleted(service: Service, talk: bytes) -> None:
    jobs = [service.send(talk, name) for name in ("talk.mp4", "..%2F%3Cb%3E.mp4")]
    code, early = service.ask("GET", f"/jobs/{jobs[0]['key']}/result")
    assert (code, early["error"]) == (409, "is not measured yet")
    over = [service.wait(job) for job in jobs]
    assert [job["state"] for job in over] == ["done", "done"]
    assert [job["name"] for job in over] == ["talk.mp4", "<b>.mp4"]
    assert over[0]["compliance"] == "pass"
    code, found = service.ask("GET", f"/jobs/{jobs[0]['key']}/result")
    assert code == 200
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    assert (found["path"], found["offset_ms"]) == ("talk.mp4", over[0]["offset_ms"])
    code, page = service.ask("GET", f"/jobs/{jobs[1]['key']}/report")
    assert code == 200
    assert "&lt;b&gt;.mp4" in page
    assert "data:image/jpeg;base64," in page
    assert sorted(service.files()) == sorted(["progress", "report.html", "result.json"] * 2)
    for job in jobs:
        assert service.ask("DELETE", f"/jobs/{job['key']}")[0] == 204
    assert service.files() == []


def test_a_person_drops_videos(service: Service, talk: bytes, browser: Browser, tmp_path: Path) -> None:
    opened = browser.new_page(viewport={"width": 380, "height": 800}, color_scheme="dark")
    told: list[str] = []
    opened.on("console", lambda message: told.append(message.text))
    opened.goto(f"http://127.0.0.1:{service.port}/?token={TOKEN}")
    assert opened.url.endswith("/"), "the token leaves the address"
    opened.evaluate(DROP, ["broken.mp4", "no video"])
    videos = [tmp_path / name for name in ("one.mpg", "other.mpg", "third.mpg")]
    for video in videos:
        video.write_bytes(talk)
    opened.set_input_files("#files", [str(video) for video in videos])
    card = "article:has(h2:text-is('{}'))"
    opened.click(f"{card.format('third.mpg')} .end")
    assert opened.locator("article").count() == 3
    for video in videos[:2]:
        framed = opened.frame_locator(f"{card.format(video.name)} iframe")
        framed.locator(".file", has_text=video.name).wait_for(timeout=300_000)
        assert opened.locator(f"{card.format(video.name)}.good .verdict strong").inner_text().startswith("In sync")
    broken = opened.locator(f"{card.format('broken.mp4')}.bad .verdict")
    assert "broken.mp4: cannot be opened" in broken.inner_text()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 380, "the page scrolls sideways"
    assert told == []
    opened.screenshot(path=tmp_path / "phone.png", full_page=True)
    for card_left in range(3):
        assert opened.locator("article").count() == 3 - card_left
        opened.click("article .end >> nth=0")
    opened.close()
    deadline = time.monotonic() + 120
    while service.files() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert service.files() == []


def test_a_broken_file_says_what_the_command_says(service: Service, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(InputError) as told:
        decode.probe(broken)
    job = service.wait(service.send(b"no video", "broken.mp4"))
    assert job["error"] == str(InputError("broken.mp4", told.value.cause, told.value.cure))
    code, failure = service.ask("GET", f"/jobs/{job['key']}/result")
    assert (code, failure) == (422, {"path": "broken.mp4", "error": told.value.cause, "cure": told.value.cure})
    jsonschema.validate(failure, json.loads(SCHEMA.read_text()))
    assert service.ask("DELETE", f"/jobs/{job['key']}")[0] == 204


def test_what_is_cancelled_is_gone(service: Service, talk: bytes) -> None:
    jobs = [service.send(talk) for _ in range(3)]  # two are measured, one waits
    for job in jobs:
        assert service.ask("DELETE", f"/jobs/{job['key']}")[0] == 204
        code, failure = service.ask("GET", f"/jobs/{job['key']}")
        assert (code, failure["error"]) == (404, "no such job")
    assert service.files() == []


def test_uploads_that_are_refused_leave_nothing(service: Service) -> None:
    code, failure = service.ask("POST", "/jobs?name=big.mp4", bytes(MOST * 10**6 + 1))
    assert (code, failure["error"]) == (413, f"is larger than {MOST} MB")
    code, failure = service.ask("POST", "/jobs?name=a.mp4&standard=mine.yaml", b"")
    assert (code, failure["error"]) == (422, "no such standard")
    code, failure = service.ask("POST", f"/jobs?name={'a' * 300}", b"")
    assert (code, failure["path"]) == (422, "name")
    head = f"POST /jobs?name=slow.mp4 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as slow:
        slow.sendall(head + b"Content-Length: 1000000\r\n\r\nonly this")
        answer = http.client.HTTPResponse(slow)  # head and body may come apart
        answer.begin()
        assert answer.status == 408
        assert b"came too slowly: less than 10 kB a second for 1 s" in answer.read()
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as endless:
        endless.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        block = b"100000\r\n" + bytes(2**20) + b"\r\n"
        for _ in range(MOST):
            endless.sendall(block)
        assert endless.recv(10_000).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as gone:
        gone.sendall(head + b"Content-Length: 1000000\r\n\r\nonly this")
    deadline = time.monotonic() + 120
    while service.files() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert service.files() == []


def test_a_full_disk_is_said(service: Service) -> None:
    if not os.path.ismount(service.folder):
        pytest.skip("only root may mount a small disk")
    filler = service.folder / "filler"
    filler.write_bytes(bytes((DISK - 4) * 2**20))
    code, failure = service.ask("POST", "/jobs?name=long.mp4", bytes(8 * 10**6))
    filler.unlink()
    assert (code, failure["error"]) == (507, "no space is left on the device")
    assert service.files() == []


def test_who_may_ask(service: Service) -> None:
    for path in ("/jobs/x", "/jobs/x/result", "/jobs/x/report"):
        assert service.ask("GET", path, token="another")[0] == 401
    assert service.ask("POST", "/jobs", b"", token="")[0] == 401
    code, page = service.ask("GET", "/", token="")
    assert code == 401
    assert "type=password" in page
    assert service.ask("GET", "/jobs/x", Host="attacker.example")[0] == 403
    assert service.ask("POST", "/jobs", b"", Origin="http://attacker.example")[0] == 403
    code, failure = service.ask("GET", "/nowhere")
    assert (code, failure) == (404, {"path": "/nowhere", "error": "not found", "cure": ""})


def test_a_service_that_cannot_start_says_why(service: Service, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["syncnet", "serve", "--port", str(service.port)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    taken = f"error: port {service.port}: is taken; give another one: --port {service.port + 1}\n"
    assert capfd.readouterr().err == taken
    for host, token, cause in (
        ("0.0.0.0", "short", "asks for a token"),
        ("192.0.2.1", TOKEN, "cannot be used"),
        ("no.such.host.invalid", TOKEN, "is no host of this machine"),
    ):
        with pytest.raises(InputError, match=cause):
            server.serve(host, 0, token, OPTIONS, 1, 1, 1.0, 1.0)
