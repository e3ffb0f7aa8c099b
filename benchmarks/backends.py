"""The released model's video stream by everything that might run it: windows a second, and how far the answer is off.

    python -m benchmarks.backends        # into reports/bench/backends.json

onnxruntime and OpenVINO are measured where they are installed (`pip install onnx onnxruntime openvino`, into an
environment of its own: their protobuf is none that mediapipe works with), torch.compile where there is a C++ compiler.
Weights are random, and the same for all.
"""

import functools
import importlib
import importlib.util
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from benchmarks import machine
from benchmarks.infer import best_seconds, peak
from benchmarks.reference import REFERENCE_BATCH, random_reference
from syncnet_lib import files, parallel
from syncnet_lib.model import checkpoint
from syncnet_lib.model.device import largest_weight
from syncnet_lib.model.embed import BATCH
from syncnet_lib.model.fold import fold
from syncnet_lib.model.int8 import Int8Stream
from syncnet_lib.paths import ROOT

ROUNDS = 2
Way = Callable[[], Any]


def of_torch(stream: nn.Module, planes: Tensor) -> Iterator[tuple[str, Way]]:
    """torch with what it offers; `planes` are float, channels last."""
    folded = fold(stream)
    yield "torch fp32, as it is", lambda: stream(planes)
    yield "torch fp32, BatchNorm folded, channels last", lambda: folded(planes)
    first = planes.contiguous()
    yield "the same, channels first", lambda: folded(first)
    for batch in (1, 20):
        some = planes[:1].repeat(batch, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        yield f"the same, channels last, batches of {batch}", functools.partial(folded, some)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is going
        traced = torch.jit.trace(folded, planes)
        frozen, optimised = torch.jit.freeze(traced), torch.jit.optimize_for_inference(traced)
    yield "torch.jit.freeze", lambda: frozen(planes)
    yield "torch.jit.optimize_for_inference (prepacked for oneDNN)", lambda: optimised(planes)
    if shutil.which("g++"):
        from torch._inductor import config

        config.freezing = True
        compiled = torch.compile(folded)
        yield "torch.compile, frozen", lambda: compiled(planes)
    if largest_weight():
        eight, pixels = Int8Stream(stream), planes.byte()
        eight.measure(pixels[:1])
        yield "ours, 8 bits", lambda: eight(pixels)


def of_onnx(stream: nn.Module, planes: Tensor, folder: Path) -> Iterator[tuple[str, Way]]:
    """onnxruntime and OpenVINO, in fp32 and in 8 bits by onnxruntime's static quantisation."""
    # By name: they are no packages of this project.
    runtime, quantization = (importlib.import_module(name) for name in ("onnxruntime", "onnxruntime.quantization"))
    plain, eight = folder / "plain.onnx", folder / "eight.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter that needs no other package
        torch.onnx.export(fold(stream), (planes.contiguous(),), str(plain), input_names=["planes"], dynamo=False)

    reader: Any = quantization.CalibrationDataReader

    class Sample(reader):
        """The windows, once."""

        def __init__(self) -> None:
            self._left = [{"planes": planes.numpy()}]

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next input."""
            return self._left.pop() if self._left else None

    # Without VNNI weights of 7 bits are needed here as well.
    quantization.quantize_static(
        plain,
        eight,
        Sample(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=largest_weight() < 127,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    given = {"planes": np.ascontiguousarray(planes.numpy())}
    for bits, path in (("fp32", plain), ("8 bits", eight)):
        options = runtime.SessionOptions()
        options.intra_op_num_threads = parallel.cores()
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        yield f"onnxruntime {bits}", functools.partial(_first, session.run, None, given)
        if importlib.util.find_spec("openvino"):
            compiled = (
                importlib.import_module("openvino")
                .Core()
                .compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": parallel.cores()})
            )
            yield f"OpenVINO {bits}", functools.partial(_first, compiled, given)


def _first(run: Callable[..., Any], *given: Any) -> Any:
    """The first of what a network returns."""
    return run(*given)[0]


@torch.inference_mode()
def backends() -> dict[str, dict[str, float]]:
    """Windows a second of each, and the largest distance of its embeddings to torch's in fp32, over their length."""
    reference = random_reference()
    generator = torch.Generator().manual_seed(0)
    planes = torch.randint(0, 256, (BATCH["v2"], 15, 224, 224), generator=generator).float()
    planes = planes.contiguous(memory_format=torch.channels_last)
    stacked = torch.randint(0, 256, (REFERENCE_BATCH, 3, 5, 224, 224), generator=generator).float()
    with tempfile.TemporaryDirectory() as folder:
        torch.save(reference.state_dict(), Path(folder, "v2.model"))
        stream = checkpoint.load(Path(folder, "v2.model")).video
        exact = stream(planes).numpy()
        ways: dict[str, Way] = {"[syncnet_python], batches of 20": lambda: reference.forward_lip(stacked)}
        ways |= of_torch(stream, planes)
        if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
            ways |= of_onnx(stream, planes, Path(folder))
        found = {name: np.asarray(way()) for name, way in ways.items()}  # once before, to be packed and compiled
        seconds = best_seconds(ways, ROUNDS)
    rates = {name: len(found[name]) / least for name, least in seconds.items()}
    base = next(iter(rates.values()))
    return {
        name: {
            "windows_per_s": round(rate, 1),
            "ratio": round(rate / base, 2),
            **({"off": float(f"{_off(found[name], exact):.2g}")} if found[name].shape == exact.shape else {}),
        }
        for name, rate in rates.items()
    }


def _off(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max())


def main(
    out: Annotated[Path, typer.Option(help="file of the result")] = ROOT / "reports" / "bench" / "backends.json",
) -> None:
    """The released model's video stream by everything that might run it."""
    torch.set_num_threads(parallel.cores())
    content = {"machine": machine.describe(), "product_gflop_per_s": round(peak(), 1), "video": backends()}
    print(json.dumps(content, indent=2))
    files.write_json(out, content)


if __name__ == "__main__":
    typer.run(main)
