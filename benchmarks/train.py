"""How fast training and inference are, where a step's time goes, and what the timing itself costs.

    python -m benchmarks.train                 # 2 minutes on 2 cores; writes reports/bench/train.json
    python -m benchmarks.train --seed-run      # on a GPU: [Agrawal]'s whole run; writes reports/bench/seed_run.json

The data are made on the spot. Windows a second of the small model are also given as ratios to the released model's
layers (`v2`) in the same run, since a machine's speed is not the code's.
"""

import dataclasses
import functools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import typer
from torch import Tensor, nn

from benchmarks import machine
from benchmarks.infer import best_seconds, peak
from syncnet_lib import files, parallel
from syncnet_lib.dataset.splits import Split
from syncnet_lib.experiment import studies
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model import embed
from syncnet_lib.model.device import native_precision
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.size import size_of
from syncnet_lib.model.spec import SPECS, Asked, ModelName
from syncnet_lib.paths import ROOT
from syncnet_lib.training import launch, loop, timing
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.timing import PHASES, PhaseTimer

PASSES = 3
"""A training step is a forward pass, and a backward pass of twice its operations."""
AGRAWAL = {"train": 3261, "val": 407, "batch_size": 1024, "epochs": 300, "samples_per_clip": 5, "validate_every": 5}
"""[Agrawal]'s run: 15 steps an epoch, 4,500 steps."""
SEED_SECONDS = 3 * 3600 + 15 * 60
VALIDATION_FRAMES = 30
"""Of a clip: 25 windows, enough for accuracies over up to 15 frames."""


def training(split: Split, settings: TrainSettings, scratch: Path) -> dict:
    """Figures of `timing.summarise` over the steps after the first epoch of a training on the CPU."""
    timer = PhaseTimer(torch.device("cpu"))
    val = Split(split.frames, split.mfcc, split.index.head(1), split.kept)
    for _ in loop.fit(split, val, settings, 0, torch.device("cpu"), scratch / "state", timer):
        pass
    files.remove(scratch / "state")
    table = timer.table()
    return timing.summarise(table[table.epoch > 1], settings.batch_size)


def inference(name: ModelName, precision: Asked, windows: int, rounds: int) -> float:
    """Windows a second of a clip through both streams, the median of some rounds."""
    model = SyncNet(name).eval()
    spec = model.spec
    count = windows + WINDOW_FRAMES - 1
    frames = np.random.default_rng(0).integers(0, 256, (count, spec.stored, spec.stored), np.uint8)
    if spec.colours > 1:
        frames = np.repeat(frames[..., None], spec.colours, axis=-1)
    mfcc = np.random.default_rng(0).normal(size=(MFCC_PER_FRAME * count, MFCC_SIZE)).astype(np.float32)
    seconds = []
    embedder = embed.Embedder(model, "cpu", precision)
    for _ in range(rounds + 1):
        embedder.reset()
        begin = time.perf_counter()
        embedder.video(frames)
        embedder.audio(mfcc)
        seconds.append(time.perf_counter() - begin)
    return windows / float(np.median(seconds[1:]))


def timer_overhead(step_ms: float) -> float:
    """What timing all phases of a step costs, as a share of it; the least of some rounds: other work only adds."""
    rounds = []
    for _ in range(20):
        timer, steps = PhaseTimer(torch.device("cpu")), 250
        begin = time.perf_counter()
        for step in range(steps):
            timer.at(1, step)
            for name in PHASES:
                with timer.phase(name):
                    pass
        timer.rows()
        rounds.append((time.perf_counter() - begin) / steps)
    return min(rounds) * 1000 / step_ms


def on_cpu(scratch: Path) -> dict:
    """Training and inference of `small` beside `v2`, in fp32 and in what the processor multiplies fastest."""
    small = studies.make_split(scratch / "mouths", 48, 75, SPECS["small"], 0)
    faces = studies.make_split(scratch / "faces", 8, 30, SPECS["v2"], 0)
    settings = TrainSettings(epochs=5, validate_every=5)
    v2 = TrainSettings(model="v2", loss="contrastive", batch_size=16, samples_per_clip=4, epochs=2, validate_every=2)
    result: dict = {
        "machine": machine.describe(),
        "native_precision": native_precision(torch.device("cpu")),
        "batch": settings.batch_size,
        "training_windows_per_s": {},
        "inference_windows_per_s": {},
    }
    # Emulated, bf16 takes minutes and is nobody's choice.
    precisions = tuple(dict.fromkeys(("fp32", result["native_precision"])))
    for precision in precisions:
        chosen = {"precision": precision}
        figures = training(small, settings.model_copy(update=chosen), scratch)
        result["training_windows_per_s"][f"small_{precision}"] = round(figures["samples_per_s"])
        if precision == result["native_precision"]:
            result["shares"] = {name: round(figures[f"{name}_share"], 4) for name in PHASES}
            result["first_step_ratio"] = round(figures["first_step_ratio"], 3)
            result["median_step_ms"] = round(figures["median_step_ms"], 1)
        slow = training(faces, v2.model_copy(update=chosen), scratch)
        result["training_windows_per_s"][f"v2_{precision}"] = round(slow["samples_per_s"], 2)
        result["inference_windows_per_s"][f"small_{precision}"] = round(inference("small", precision, 1024, 5))
        result["inference_windows_per_s"][f"v2_{precision}"] = round(inference("v2", precision, 40, 3), 1)
        print(json.dumps(result), flush=True)
    for kind in ("training", "inference"):
        rates = result[f"{kind}_windows_per_s"]
        best = {name: max(rates[f"{name}_{precision}"] for precision in precisions) for name in ("small", "v2")}
        result[f"{kind}_small_over_v2"] = round(best["small"] / best["v2"], 1)
    result["side_by_side"] = side_by_side(scratch)
    result["processes"] = in_processes(scratch)
    result["memory_mib"] = machine.peak_mib()
    result["roofline"] = roofline(
        {
            "training": result["training_windows_per_s"]["small_fp32"],
            "trainings side by side": result["side_by_side"]["windows_per_s"],
            "inference": result["inference_windows_per_s"]["small_fp32"],
        }
    )
    result["timer_overhead"] = round(timer_overhead(result["median_step_ms"]), 6)
    return result


def _beside(number: int, folder: Path) -> tuple[float, int]:
    """Windows a second, and peak MiB, of one of several trainings at the same time."""
    split = studies.make_split(folder / str(number), 48, 75, SPECS["small"], number)
    rate = training(split, TrainSettings(epochs=5, validate_every=5), folder / str(number))["samples_per_s"]
    return rate, machine.peak_mib()


def side_by_side(scratch: Path) -> dict:
    """Windows a second, and the memory of the largest process, where a training a core runs at the same time, as the
    filter's judges do."""
    work = functools.partial(_beside, folder=scratch / "beside")
    found = []
    for _, outcome in parallel.run(work, range(parallel.cores()), workers=parallel.cores(), progress=False):
        if isinstance(outcome, Exception):
            raise outcome
        found.append(outcome)
    return {"windows_per_s": round(sum(rate for rate, _ in found)), "memory_mib": max(peak for _, peak in found)}


def in_processes(scratch: Path) -> dict:
    """Windows a second of one training: BatchNorm over a whole batch, over its halves, and a process for each."""
    split = studies.make_split(scratch / "together", 48, 75, SPECS["small"], 0)
    val = dataclasses.replace(split, index=split.index.head(1))
    cpu, rates = torch.device("cpu"), {}
    for name, parts, processes in (("whole", 1, 1), ("halves", 2, 1), ("two_processes", 2, 2)):
        settings = TrainSettings(epochs=5, validate_every=5, norm_parts=parts, processes=processes)
        timer = PhaseTimer(cpu)
        for _ in launch.fit(split, val, settings, 0, cpu, scratch / name, timer):
            pass
        table = timer.table()
        rates[name] = round(timing.summarise(table[table.epoch > 1], settings.batch_size)["samples_per_s"])
    return rates


@torch.inference_mode()
def roofline(rates: dict) -> dict:
    """What bounds `small` in fp32 on this processor: operations and memory traffic of a window, and their rates here.

    Args:
        rates: windows a second measured in this run, by what is done.
    """
    limit, flop = peak() * 1e9, size_of("small").gflop * 1e9
    source = torch.randn(2**25)  # 128 MiB: no cache holds it
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / best_seconds({"copy": lambda: target.copy_(source)})["copy"]
    moved = 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal moved
        if not any(layer.children()):
            moved += given[0].nbytes + out.nbytes  # read once and written once

    model = SyncNet("small").eval()
    with nn.modules.module.register_module_forward_hook(count):
        model(torch.zeros(1, *model.spec.window), torch.zeros(1, WINDOW_MFCC, MFCC_SIZE))
    return {
        "product_gflop_per_s": round(limit / 1e9, 1),
        "copy_gb_per_s": round(bandwidth / 1e9, 1),
        "mflop_a_window": round(flop / 1e6, 1),
        "mb_a_window": round(moved / 1e6, 2),
        **{
            what: {
                "windows_per_s": round(rate),
                "limit_by_products": round(limit / flop / passes),
                "limit_by_memory": round(bandwidth / moved / passes),
                "share_of_products": round(rate * flop * passes / limit, 3),
            }
            for what, rate in rates.items()
            for passes in [1 if what == "inference" else PASSES]
        },
    }


def ceilings(device: torch.device) -> dict:
    """What the GPU does at most in a second: operations of a large bf16 product, bytes of a copy, read and written."""
    side, rounds = 8192, 10
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    flop = 2 * side**3 / _seconds(lambda: a @ b, rounds)
    source = torch.randn(2**28, device=device)
    target = torch.empty_like(source)
    moved = 2 * source.nbytes / _seconds(lambda: target.copy_(source), rounds)
    return {"bf16_flop_per_s": flop, "bytes_per_s": moved}


def _seconds(work: Callable[[], object], rounds: int) -> float:
    """Seconds of one call on the GPU, the median of some."""
    times = []
    for _ in range(rounds + 2):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return float(np.median(times[2:]))


def profile(model: SyncNet, batch: int, device: torch.device) -> list[dict]:
    """The ten kernels that take most of a step's time on the GPU."""
    spec = model.spec
    video = torch.randint(0, 256, (batch, *spec.window), dtype=torch.uint8, device=device)
    audio = torch.randn(batch, WINDOW_MFCC, MFCC_SIZE, device=device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            v, a = model(video, audio)
        (v.square().mean() + a.square().mean()).backward()

    step()
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profiler:
        step()
        torch.cuda.synchronize()
    rows = sorted(profiler.key_averages(), key=lambda row: -row.self_device_time_total)[:10]
    return [{"name": row.key[:80], "ms": round(row.self_device_time_total / 1000, 3)} for row in rows]


def seed_run(name: ModelName, frames: int, compiled: bool, scratch: Path) -> dict:
    """[Agrawal]'s whole run on this machine's GPU, and the arithmetic floor beside it."""
    device, spec = torch.device("cuda"), SPECS[name]
    # [Agrawal] validates on 5 samples a clip; here it is every window of each clip, and the clips are shorter for it.
    lengths = {"train": frames, "val": VALIDATION_FRAMES}
    train, val = (
        studies.make_split(scratch / f"{spec.crop}_{part}", AGRAWAL[part], length, spec, seed)
        for seed, (part, length) in enumerate(lengths.items())
    )
    torch.backends.cudnn.benchmark = True  # every step has the same shapes
    settings = TrainSettings(
        model=name,
        loss="contrastive",
        precision="bf16",
        compile=compiled,
        batch_size=AGRAWAL["batch_size"],
        epochs=AGRAWAL["epochs"],
        samples_per_clip=AGRAWAL["samples_per_clip"],
        validate_every=AGRAWAL["validate_every"],
    )
    settings = loop.resolve(settings, train, device)
    timer = PhaseTimer(device)
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    for epoch in loop.fit(train, val, settings, 0, device, scratch / name, timer):
        print(epoch.line(settings.epochs), flush=True)
    wall = time.perf_counter() - begin
    files.remove(scratch / name)
    table = timer.table()
    figures = timing.summarise(table, settings.batch_size)
    size, limit = size_of(name), ceilings(device)
    samples = len(table) * settings.batch_size
    flop = PASSES * size.gflop * 1e9 * samples
    # A window is read and written once by the gather and read once by the network; weights, gradients and both moments
    # of AdamW are read and written once a step, in four bytes.
    moved = 3 * size.inputs * samples + 2 * 4 * 4 * size.parameters * len(table)
    return {
        "machine": machine.describe(),
        "settings": settings.model_dump(),
        "steps": len(table),
        "wall_s": round(wall, 1),
        "times_faster_than_seed": round(SEED_SECONDS / wall, 1),
        "steps_s": round(table.total.sum() / 1000, 1),
        "floor_s": {
            "flop": round(flop / limit["bf16_flop_per_s"], 2),
            "bytes": round(moved / limit["bytes_per_s"], 2),
        },
        "flop": flop,
        "bytes": moved,
        **limit,
        "share_of_bf16_peak": round(flop / (table.total.sum() / 1000) / limit["bf16_flop_per_s"], 4),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "figures": figures,
        "profile": profile(SyncNet(name).to(device).train(), settings.batch_size, device),
    }


def main(
    whole: Annotated[bool, typer.Option("--seed-run", help="[Agrawal]'s run of 4,500 steps, on a GPU")] = False,
    models: Annotated[str, typer.Option(help="networks of that run, separated by commas")] = "paper,v2",
    frames: Annotated[int, typer.Option(help="frames of a clip of that run")] = 75,
    compiled: Annotated[bool, typer.Option("--compile", help="that run with torch.compile and CUDA graphs")] = False,
) -> None:
    """How fast training and inference are, where a step's time goes, and what the timing itself costs."""
    bench = ROOT / "reports" / "bench"
    if whole and not torch.cuda.is_available():
        raise typer.BadParameter("no GPU is visible; run it on a machine with one", param_hint="--seed-run")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if whole:
            result = {name: seed_run(cast(ModelName, name), frames, compiled, scratch) for name in models.split(",")}
            files.write_json(bench / "seed_run.json", result)
        else:
            torch.set_num_threads(parallel.cores())
            result = on_cpu(scratch)
            files.write_json(bench / "train.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
