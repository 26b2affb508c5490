"""Compare `accelerate` with engines set up by hand on the same nets: `python benchmarks/engines.py [--nets a,b]`.

For each net and batch size: `auto` against PyTorch's eager mode (of timm's or torchvision's net), `torch.compile`, ONNX
Runtime and OpenVINO in float32, as their guides say, in interleaved rounds; the ratios of the medians are compared.
`--first` times the first answer of a new process. `--precision` measures the agreement of reduced precisions on crops
of photographs, and how much faster bfloat16 is. Each part may run alone; its results are added to
`results/engines.json` with facts about the machine.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import timm
import torch
import torchvision
from atlas import machine

import convatlas as ca
from convatlas.base.atomic import write_bytes
from convatlas.base.machine import cpu, threads
from convatlas.engines.agreement import MARGIN, agreement
from convatlas.engines.backends.openvino import OpenVINO
from convatlas.engines.bench.rounds import rounds
from convatlas.engines.sample_inputs import NetInput, sample_inputs
from convatlas.engines.session import Float32Array
from convatlas.images.samples import sample

RESULTS = Path(__file__).with_name("results") / "engines.json"
TWINS: dict[str, Callable[[], torch.nn.Module] | None] = {
    "resnet50": lambda: timm.create_model("resnet50"),
    "mobilenet_v2": lambda: timm.create_model("mobilenetv2_100"),
    "efficientnet_b0": lambda: timm.create_model("tf_efficientnet_b0"),
    "vgg16": lambda: timm.create_model("vgg16"),
    "densenet121": lambda: timm.create_model("densenet121"),
    "convnext_tiny": lambda: timm.create_model("convnext_tiny"),
    "xception": lambda: timm.create_model("legacy_xception"),
    "resnet101": lambda: timm.create_model("resnet101"),
    "inception_v3": lambda: timm.create_model("inception_v3"),
    "nasnet_mobile": None,  # neither library has it: eager mode runs our net
    "efficientnetv2_b0": lambda: timm.create_model("tf_efficientnetv2_b0"),
    "shufflenet_v2_x1_0": lambda: torchvision.models.get_model("shufflenet_v2_x1_0"),
}
BATCHES = (1, 16)
ROUNDS, SECONDS = (5, 15), 10
"""Fewest and most rounds, and the seconds after which no further round starts."""
CROPS = 1500


def eager(net: torch.nn.Module) -> Callable[[Float32Array], Float32Array]:
    def run(x: Float32Array) -> Float32Array:
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()

    return run


def by_hand(
    net: torch.nn.Module, twin: torch.nn.Module, x: Float32Array
) -> dict[str, Callable[[Float32Array], Float32Array]]:
    """Sessions of the engines, opened as a user would open them."""
    file = io.BytesIO()
    example = torch.zeros(2, *x.shape[1:])
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    torch.onnx.export(net, (example,), dynamo=True, dynamic_shapes=shapes, verbose=False).save(file)
    data = file.getvalue()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    jit = torch.compile(net)
    return {
        "eager": eager(twin),
        "torch.compile": eager(jit),
        "onnxruntime": lambda x: session.run(None, {entry: x})[0],
        "openvino": lambda x: compiled(x)[0],
    }


def cell(name: str, batch: int) -> dict[str, Any]:
    net = ca.build(name).eval()
    start = time.perf_counter()
    fast = ca.accelerate(net, batch=batch)
    searched = time.perf_counter() - start
    x = sample_inputs(net, batch, NetInput(fast.record.shape)).numpy()
    make = TWINS[name]
    sessions = {"convatlas": fast.session} | by_hand(net, net if make is None else make().eval(), x)
    before = os.getloadavg()[0]
    times_of = rounds(sessions, x, *ROUNDS, SECONDS)
    medians = {key: statistics.median(times) for key, times in times_of.items()}
    best = min((key for key in medians if key != "convatlas"), key=medians.__getitem__)
    return {
        "ms": {key: round(value / batch, 3) for key, value in medians.items()},
        "setting": str(fast.record.options),
        "best peer": best,
        # Round by round, so that other load on the machine affects both.
        "against the best": round(statistics.median(map(float.__truediv__, times_of[best], times_of["convatlas"])), 3),
        "against eager": round(statistics.median(map(float.__truediv__, times_of["eager"], times_of["convatlas"])), 3),
        "rounds": len(times_of["convatlas"]),
        "search, s": round(searched, 1),
        "refused": fast.record.refused,
        "load before": before,
    }


def summary(cells: dict[str, Any]) -> dict[str, float]:
    def mean(key: str, batch: str) -> float:
        ratios = [cell[key] for name, cell in cells.items() if name.endswith(f" x {batch}")]
        return round(math.exp(statistics.fmean(map(math.log, ratios))), 3) if ratios else math.nan

    means = {f"geometric mean {key}, batch {batch}": mean(key, batch) for key in KEYS for batch in ("1", "16")}
    both = [cell["against the best"] for cell in cells.values()]
    return means | {
        "geometric mean against the best": round(math.exp(statistics.fmean(map(math.log, both))), 3),
        "worst cell against the best": min(both),
    }


KEYS = ("against the best", "against eager")

TIMM = """
import sys, timm, torch
from PIL import Image
net = timm.create_model("efficientnet_lite0").eval()
prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
with torch.inference_mode():
    print(net(prepare(Image.open(sys.argv[1]).convert("RGB"))[None]).softmax(1).topk(5))
"""
OURS = "from convatlas.cli import main; main()"


def first_answer(tries: int = 5) -> dict[str, float]:
    """Wall time of a new process in seconds: with a cached engine, in eager mode, and with timm."""
    photo = str(sample("coffee"))
    for engine in ("onnxruntime", "openvino"):
        ca.accelerate("efficientnet_lite0", engine)
    commands = {
        "classify, onnxruntime": [OURS, "classify", photo, "--engine", "onnxruntime"],
        "classify, openvino": [OURS, "classify", photo, "--engine", "openvino"],
        "classify, eager": [OURS, "classify", photo, "--engine", "eager"],
        "timm": [TIMM, photo],
    }
    times_of: dict[str, list[float]] = {key: [] for key in commands}
    for _ in range(tries):
        for key, arguments in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", *arguments], check=True, capture_output=True)
            times_of[key].append(time.perf_counter() - start)
    return {key: round(statistics.median(times), 3) for key, times in times_of.items()}


def reduced_precisions() -> dict[str, Any]:
    """Agreement and speed of reduced precisions, with the name of the CPU, since not every CPU has bfloat16."""
    return {
        "cpu": cpu(),
        "efficientnet_lite0": agreements(),
        "bfloat16, batch 1": {name: bfloat16_speed(name) for name in ("resnet50", "mobilenet_v2")},
    }


def bfloat16_speed(name: str) -> dict[str, Any]:
    """Speed of bfloat16 beside the fastest float32, ours or set up by hand.

    The weights are random, for which `accelerate` refuses reduced precisions, so the session is opened directly.
    """
    net = ca.build(name).eval()
    float32 = ca.accelerate(net)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "net.onnx")
        ca.export(net, file)
        bfloat16 = OpenVINO(file, 1, "bfloat16")
    x = sample_inputs(net, 1, NetInput(float32.record.shape)).numpy()
    make = TWINS[name]
    assert make is not None
    sessions = {"bfloat16": bfloat16, "convatlas": float32.session} | by_hand(net, make().eval(), x)
    times_of = rounds(sessions, x, *ROUNDS, SECONDS)
    medians = {key: statistics.median(times) for key, times in times_of.items()}
    best = min((key for key in medians if key != "bfloat16"), key=medians.__getitem__)
    return {
        "ms": {key: round(value, 3) for key, value in medians.items()},
        "float32's best": best,
        "times as fast": round(statistics.median(map(float.__truediv__, times_of[best], times_of["bfloat16"])), 3),
    }


def agreements() -> dict[str, Any]:
    """Agreement with float32 on crops of photographs where float32 is sure, and the speed of both."""
    net = ca.load("efficientnet_lite0")
    float32 = ca.accelerate(net)
    x = sample_inputs(net, CROPS, NetInput(float32.record.shape), seed=9).numpy()
    parts = np.array_split(x, CROPS // 50)
    expected = np.concatenate([float32(part) for part in parts])
    result: dict[str, Any] = {}
    for name in ("bfloat16", "int8"):
        try:
            fast = ca.accelerate(net, "openvino", name)
        except ca.ConvAtlasError as error:
            result[name] = str(error)
            continue
        share = agreement(expected, np.concatenate([fast(part) for part in parts]))
        times_of = rounds({"float32": float32.session, name: fast.session}, x[:1], *ROUNDS, SECONDS)
        times = {key: round(statistics.median(value), 3) for key, value in times_of.items()}
        result[name] = {"crops": CROPS, "sure": share.sure, "margin": MARGIN, "agreement": share.share, "ms": times}
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nets", help="Names of nets, separated by commas; all twelve by default.")
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--precision", action="store_true")
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    names = args.nets.split(",") if args.nets else [] if args.first or args.precision else list(TWINS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("CONVATLAS_HOME", folder)
        if args.first:
            results["first answer, s"] = first_answer()
        if args.precision:
            results["less than float32"] = reduced_precisions()
        if names:
            results["machine"] = machine() | {"cpu": cpu(), "threads": threads()}
        for name in names:
            for batch in BATCHES:
                results.setdefault("cells", {})[f"{name} x {batch}"] = cell(name, batch)
                results["summary"] = summary(results["cells"])
                write_bytes(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
                print(name, batch, json.dumps(results["cells"][f"{name} x {batch}"]), flush=True)
    write_bytes(RESULTS, (json.dumps(results, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
