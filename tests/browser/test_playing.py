"""What a browser makes of a video that was cured by time stamps: it counts the samples of the sound."""

import functools
import http.server
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from syncnet_lib.media import retime
from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.media.correction import Cure
from tests import clockclip
from tests.media import test_retime as cured

PAGE = """<!doctype html><video id="video"></video><script>
async function play(source, rate) {
  const video = document.getElementById("video"), context = new AudioContext({sampleRate: rate});
  await context.resume();
  video.src = source;
  await new Promise((done, failed) => {
    video.oncanplaythrough = done;
    video.onerror = () => failed(new Error(video.error.message));
  });
  const recorder = context.createScriptProcessor(1024, 1, 1), blocks = [], shown = [];
  recorder.onaudioprocess = (event) => blocks.push(...event.inputBuffer.getChannelData(0));
  context.createMediaElementSource(video).connect(recorder);
  recorder.connect(context.destination);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const drawing = canvas.getContext("2d", {willReadFrequently: true});
  const seen = (now, picture) => {
    drawing.drawImage(video, 0, 0, 8, 8);
    shown.push([picture.mediaTime, drawing.getImageData(4, 4, 1, 1).data[0]]);
    video.requestVideoFrameCallback(seen);
  };
  video.requestVideoFrameCallback(seen);
  await video.play();
  await new Promise((done) => { video.onended = done; });
  return {blocks, shown};
}
</script>"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A folder over HTTP, with a page that plays what is in it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    (tmp_path / "page.html").write_text(PAGE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "delay"), [(".mp4", cured.MOVED), (".webm", -cured.MOVED), (".mp4", 0)])
def test_sound_and_pictures_are_together_from_beginning_to_end(
    tmp_path: Path, browser: Browser, address: str, suffix: str, delay: float
) -> None:
    path, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    speed = 1 if delay else cured.FILM
    cured.clip(path, cured.beeps(-delay, float(speed)))
    cure = cured.pieces(delay) if delay else Cure(Cure.shift(Fraction(0)).pieces, Fraction(speed))
    retime.retime(path, out, cure)
    page = browser.new_page()
    page.goto(f"{address}/page.html")
    page.click("body")
    found = page.evaluate(f"play('{out.name}', {SAMPLE_RATE})")
    page.close()
    heard = clockclip.chirp_times(np.array(found["blocks"]), len(cured.BEATS))
    times, levels = np.array(found["shown"]).T
    begun = times[1:][(levels[1:] > 128) & (levels[:-1] <= 128)]
    # Half a packet where samples are counted, 12 ms, and the step of the recorder's clock.
    pairs = [min(begun - beat, key=abs) for beat in heard]
    assert np.ptp(pairs) < 0.06
