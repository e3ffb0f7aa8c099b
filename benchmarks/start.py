"""How long a user waits for `syncnet offset`: for a wrong name, and for a clip of 3 s; from a cold disk and warm.

    python -m benchmarks.start                             # into reports/bench/start.json
    python -m benchmarks.start VIDEO --before CHECKOUT     # another video; the code of another checkout in the same run

Cold: the pages of the environment are taken out of the system's cache before (Linux). Bytecode is there in both, as
pip writes it on installation.
"""

import compileall
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import machine
from syncnet_lib import files
from syncnet_lib.paths import ROOT

WARM = 2
"""Runs of which the best counts: other work on the machine only adds."""
WATCHED = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def evict() -> None:
    """Take the files of this environment out of the page cache."""
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), str(ROOT / "syncnet_lib")}:
        for path in Path(folder).rglob("*"):
            if path.is_file():
                handle = os.open(path, os.O_RDONLY)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)


def run(video: Path, checkout: Path) -> dict[str, float]:
    """Wall and processor seconds of the command, and the peak memory of its largest process.

    Raises:
        RuntimeError: the command neither measured nor refused the video.
    """
    command = [sys.executable, "-c", WATCHED, sys.executable, "-m", "syncnet_lib", "offset", str(video)]
    own = {**os.environ, "PYTHONPATH": str(checkout)}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=checkout, env=own, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - start
    ended, processor, peak = json.loads(done.stdout)
    if ended not in (0, 2):
        raise RuntimeError(f"syncnet offset {video} ended with {ended}")
    return {"wall_s": round(wall, 2), "processor_s": round(processor, 2), "peak_mib": peak // 1024}


def waits(video: Path, checkout: Path) -> dict[str, Any]:
    """The cold run, and the best of the warm ones, of a name that is none and of a video."""
    found: dict[str, Any] = {}
    for what, path in (("missing", Path("nowhere.mp4")), ("clip", video)):
        evict()
        found[what] = {"cold": run(path, checkout)}
        found[what]["warm"] = min((run(path, checkout) for _ in range(WARM)), key=lambda each: each["wall_s"])
    return found


def main(
    video: Annotated[Path | None, typer.Argument(help="a clip of 3 s; one is made without it")] = None,
    before: Annotated[Path | None, typer.Option(help="another checkout, measured in the same run")] = None,
    out: Annotated[Path, typer.Option(help="file of the result")] = ROOT / "reports" / "bench" / "start.json",
) -> None:
    """How long a user waits for `syncnet offset`, cold and warm."""
    content: dict[str, Any] = {"machine": machine.describe()}
    with tempfile.TemporaryDirectory() as folder:
        if video is None:
            from benchmarks.infer import make_video

            video = Path(folder, "video.mp4")
            make_video(video, 3)
        for name, checkout in {"before": before, "now": ROOT}.items():
            if checkout is not None:
                compileall.compile_dir(checkout / "syncnet_lib", quiet=1)
                content[name] = waits(video.resolve(), checkout.resolve())
    print(json.dumps(content, indent=2))
    files.write_json(out, content)


if __name__ == "__main__":
    typer.run(main)
