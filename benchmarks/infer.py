"""How fast inference is: the released model against [syncnet_python] in the same run, layers, whole files.

    python -m benchmarks.infer                   # all of it, into reports/bench/infer.json
    python -m benchmarks.infer windows           # embedding only: windows a second, layers
    python -m benchmarks.infer files [CHECKPOINT]   # file to answer: the command, start-up included, and its memory

[syncnet_python] stacks windows in batches of 20, in fp32, for 3-D convolutions (reference.py). Weights are random
and the same for both; speed does not depend on them. `small` is read from CHECKPOINT where one is given.
"""

import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import torch
import typer
from torch import nn

from benchmarks import machine
from benchmarks.reference import random_reference, reference_embeddings
from syncnet_lib import files, parallel
from syncnet_lib.dataset import clips, extract
from syncnet_lib.media import decode, encode, features
from syncnet_lib.media.audio import read_audio
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.features import MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model import checkpoint, scoring
from syncnet_lib.model.device import fastest_precision, native_precision
from syncnet_lib.model.embed import AUDIO_BATCH, BATCH, Embedder
from syncnet_lib.model.fold import fold
from syncnet_lib.model.int8 import Int8Stream
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.windows import stacked_windows
from syncnet_lib.synthetic import corpus
from syncnet_lib.synthetic.settings import SyntheticSettings

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
"""Every measurement is repeated in turn with the others, and the best counts: other work on the machine only adds."""


def footage(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A talking head's faces (T, 224, 224, 3) uint8 and its samples (T * 640,) int16."""
    with tempfile.TemporaryDirectory() as folder:
        length = SyntheticSettings(clips=1, identities=2, seconds=frames / FPS, noisy_share=0.0)
        videos, _ = corpus.make(Path(folder), length, seed=0, workers=0, progress=False)
        settings = extract.ExtractSettings(crops="both", min_track=frames)
        out = Path(folder, "clips")
        manifest, _ = extract.extract(videos, Path(folder), out, Path(folder, "cache"), settings, 0, progress=False)
        clip = out / manifest.clip_id[0]
        return np.load(clip / "face.npy"), clips.load(clip).samples


def best_seconds(functions: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Least wall seconds of each, one after another in turns."""
    seconds = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def released(frames: int = 105) -> dict[str, Any]:
    """The released model against [syncnet_python]: windows a second by precision, and what becomes of the answer."""
    net = random_reference()
    faces, samples = footage(frames)
    mfcc = features.frame_mfcc(samples)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(net.state_dict(), Path(folder, "v2.model"))
        model = checkpoint.load(Path(folder, "v2.model"))
    cpu = torch.device("cpu")
    fastest = fastest_precision(model.spec, cpu)
    # Emulated, bf16 takes minutes and is nobody's choice.
    embedders = {
        name: Embedder(model, precision=name) for name in dict.fromkeys(("fp32", native_precision(cpu), fastest))
    }
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def embed(name: str, embedder: Embedder) -> None:
        embedder.reset()
        found[name] = embedder.video(faces)[: frames - WINDOW_FRAMES], embedder.audio(mfcc)[: frames - WINDOW_FRAMES]

    def reference() -> None:
        found["reference"] = reference_embeddings(net, faces, mfcc)

    ways: dict[str, Callable[[], object]] = {"reference": reference}
    ways |= {name: functools.partial(embed, name, embedder) for name, embedder in embedders.items()}
    seconds = best_seconds(ways)
    # Masked: against zeros, random weights find nothing but the clip's end.
    means = {name: scoring.mean_distances(scoring.shift_distances(*pair)) for name, pair in found.items()}
    expected = scoring.confidence(means["reference"])
    return {
        name: {
            "windows_per_s": round((frames - WINDOW_FRAMES) / seconds[name], 1),
            "ratio": round(seconds["reference"] / seconds[name], 2),
            "offset": scoring.offset(means[name]),
            "confidence": round(scoring.confidence(means[name]), 4),
            "confidence_change": round(abs(scoring.confidence(means[name]) / expected - 1), 5),
        }
        for name in ways
    } | {"precision": fastest}


@torch.inference_mode()
def layers() -> dict[str, dict[str, float]]:
    """Where the released model's time goes in 8 bits: milliseconds a window, and billions of operations a second."""
    model = SyncNet("v2").eval()
    # At least one second: a track is no shorter.
    frames = torch.from_numpy(footage(FPS)[0][: BATCH["v2"] + WINDOW_FRAMES - 1])
    rows: dict[str, dict[str, float]] = {}

    def note(name: str, count: int, operations: float, function: Callable[[], object]) -> None:
        function()
        seconds = best_seconds({name: function})[name] / count
        rows[name] = {"ms": round(1000 * seconds, 3)}
        if operations:
            rows[name]["gflop_per_s"] = round(operations / seconds / 1e9, 1)

    note("video: windows", BATCH["v2"], 0, lambda: stacked_windows(frames, model.spec))
    video, audio = Int8Stream(model.video), Int8Stream(model.audio.get_submodule("network"))
    inputs = {
        "video": stacked_windows(frames, model.spec),
        "audio": torch.randn(AUDIO_BATCH, 1, MFCC_SIZE, WINDOW_MFCC) * 10,
    }
    for side, stream in (("video", video), ("audio", audio)):
        values = inputs[side]
        count = len(values)
        stream.measure(values[:1])
        for number, layer in enumerate(stream.layers, 1):
            # The first layer of the audio takes floats.
            work = layer.exact if values.dtype != torch.uint8 else functools.partial(layer.quantised, out=torch.uint8)
            out = work(values)
            weights = layer.convolution.weight
            operations = 2 * out[0, 0].numel() * weights.numel()
            note(f"{side}: conv{number}", count, operations, functools.partial(work, values))
            values = out if out.dtype == torch.uint8 else out.clamp(0, 255).to(torch.uint8)
            if layer.pool:
                note(f"{side}: pool{number}", count, 0, functools.partial(layer.pooled, values))
            values = layer.pooled(values)
        heads = torch.randn(count, 512)
        note(f"{side}: head", count, 0, functools.partial(stream.head, heads))
    return rows


def peak() -> float:
    """Billions of operations a second of a large product in fp32: what any layer could reach at most."""
    side = 2048
    a, b = torch.randn(side, side), torch.randn(side, side)
    return 2 * side**3 / best_seconds({"product": lambda: a @ b})["product"] / 1e9


@torch.inference_mode()
def plain_layers() -> dict[str, dict[str, float]]:
    """Where the released model's time goes in fp32, BatchNorm folded: milliseconds a window, billions of operations a
    second, and the milliseconds that the same operations take in a large product."""
    model, limit = SyncNet("v2").eval(), peak()
    rows: dict[str, dict[str, float]] = {}
    inputs = {
        "video": torch.rand(BATCH["v2"], 15, 224, 224).contiguous(memory_format=torch.channels_last),
        "audio": torch.randn(AUDIO_BATCH, 1, MFCC_SIZE, WINDOW_MFCC),
    }
    streams = {"video": fold(model.video), "audio": fold(model.audio.get_submodule("network"))}
    for side, stream in streams.items():
        values, count, convolutions, pools = inputs[side], len(inputs[side]), 0, 0
        for layer in stream.modules():
            if any(layer.children()) or isinstance(layer, nn.Identity | nn.Flatten | nn.Unflatten):
                values = layer(values) if isinstance(layer, nn.Flatten) else values
                continue
            function = functools.partial(layer, values)
            out = function()
            seconds = best_seconds({"": function})[""] / count
            if isinstance(layer, nn.Conv2d):
                convolutions += 1
                name = f"{side}: conv{convolutions}"
            elif isinstance(layer, nn.MaxPool2d):
                pools += 1
                name = f"{side}: pool{pools}"
            else:
                name = f"{side}: {'head' if out.dim() == 2 else 'ReLU'}"
            row = rows.setdefault(name, {"ms": 0.0})
            row["ms"] = round(row["ms"] + 1000 * seconds, 3)
            if isinstance(layer, nn.Conv2d):
                operations = 2 * out[0, 0].numel() * layer.weight.numel()
                row["gflop_per_s"] = round(operations / seconds / 1e9, 1)
                row["ms_at_product_rate"] = round(operations / limit / 1e6, 3)
            values = out
    rows["all"] = {
        key: round(sum(row.get(key, 0.0) for row in rows.values()), 2) for key in ("ms", "ms_at_product_rate")
    }
    rows["product"] = {"gflop_per_s": round(limit, 1)}
    return rows


def make_video(path: Path, seconds: int = 36) -> None:
    """A talking head, 640x360 at 25 fps with sound, whose length is that of [Agrawal]'s example."""
    with tempfile.TemporaryDirectory() as folder:
        settings = SyntheticSettings(clips=1, identities=2, seconds=float(seconds), noisy_share=0.0)
        videos, _ = corpus.make(Path(folder), settings, seed=0, workers=0, progress=False)
        source = Path(folder, videos.path[0])
        frames = (cv2.copyMakeBorder(cv2.resize(frame, (450, 360)), 0, 0, 95, 95, cv2.BORDER_REPLICATE)
                  for frame in decode.read_frames(source))  # fmt: skip
        encode.write_video(path, frames, read_audio(source))


def answer(video: Path, checkpoint: str, seconds: float) -> dict[str, Any]:
    """File to answer by the command: wall time with start-up, and peak memory of the process and its children.

    Raises:
        RuntimeError: the command failed; carries what it said.
    """
    command = [sys.executable, "-m", "syncnet_lib.cli", "offset", str(video), "--checkpoint", checkpoint, "--json", "-"]
    watched = (
        "import json, resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(json.dumps([done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))"
    )
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", watched, *command], cwd=ROOT, capture_output=True, text=True, check=True
        )
        best = min(best, time.perf_counter() - start)
        code, peak = json.loads(done.stdout)
        if code not in (0, 1):  # 1: out of sync beyond the tolerance
            raise RuntimeError(f"{' '.join(command)} ended with {code}: {done.stderr}")
    return {"wall_s": round(best, 2), "times_real_time": round(seconds / best, 2), "peak_mib": peak // 1024}


def whole_files(small: str, seconds: int = 36) -> dict[str, Any]:
    """A video of 36 s at 640x360 through the command, by `small` and by the released layers.

    Args:
        small: checkpoint of `small`: a name or a file; empty for random weights, which cost the same time.
        seconds: of the video.
    """
    with tempfile.TemporaryDirectory() as folder:
        video, v2 = Path(folder, "video.mp4"), Path(folder, "syncnet_v2.model")
        make_video(video, seconds)
        torch.save(random_reference().state_dict(), v2)
        if not small:
            small = str(Path(folder, "small.safetensors"))
            checkpoint.save(SyncNet("small"), Path(small))
        return {"small": answer(video, small, seconds), "v2": answer(video, str(v2), seconds)}


def main(
    what: Annotated[Literal["all", "windows", "files"], typer.Argument(help="what to measure")] = "all",
    small: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="of small; random weights without one")] = "",
    out: Annotated[Path, typer.Option(help="file of the result")] = ROOT / "reports" / "bench" / "infer.json",
) -> None:
    """How fast inference is: the released model against its reference implementation, layers, whole files."""
    torch.set_num_threads(parallel.cores())
    content = json.loads(out.read_text()) if out.is_file() else {}
    content["machine"] = machine.describe()
    if what != "files":
        content |= {"v2": released(), "layers": layers(), "layers_fp32": plain_layers()}
    if what != "windows":
        content["files"] = whole_files(small)
    print(json.dumps(content, indent=2))
    files.write_json(out, content)


if __name__ == "__main__":
    typer.run(main)
