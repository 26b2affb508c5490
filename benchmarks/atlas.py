"""Time start-up, building and measuring of nets, beside keras and timm: `python benchmarks/atlas.py`, ten minutes.

Times are medians of interleaved rounds; only their ratios are meaningful. Writes `results/atlas.json`, with the
machine's load before and after each part, since other load makes the times longer.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("results") / "atlas.json"

TABLE_OURS = """
from convatlas.anatomy.measure.measure import measure
from convatlas.catalogue.cards import cards
keras = [name for name, card in cards().items() if any(figure.source == "review" for figure in card.figures.values())]
print(sum(measure(name).parameters for name in keras))
"""
TABLE_KERAS = """
import keras
if {meta}:
    import torch
    from keras.src.backend.torch import core
    device = keras.device("meta")
    device.__enter__()
names = {names}
print(sum(getattr(keras.applications, name)(weights=None).count_params() for name in names))
"""
NAMES = """
Xception VGG16 VGG19 ResNet50 ResNet50V2 ResNet101 ResNet101V2 ResNet152 ResNet152V2 InceptionV3
InceptionResNetV2 MobileNet MobileNetV2 DenseNet121 DenseNet169 DenseNet201 NASNetMobile NASNetLarge
EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6
EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2S
EfficientNetV2M EfficientNetV2L ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge
"""
KERAS = NAMES.split()
TWINS = {
    "resnet50": "resnet50",
    "vgg16": "vgg16",
    "densenet121": "densenet121",
    "inception_v3": "inception_v3",
    "inception_resnet_v2": "inception_resnet_v2",
    "xception": "legacy_xception",
    "mobilenet_v2": "mobilenetv2_100",
    "nasnet_large": "nasnetalarge",
    "efficientnet_b0": "tf_efficientnet_b0",
    "efficientnetv2_s": "tf_efficientnetv2_s",
    "convnext_tiny": "convnext_tiny",
}


def seconds(code: str, **environment: str) -> tuple[float, str]:
    """Wall time of a new Python process that runs `code`, and the last line that it prints."""
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, process.stdout.strip().splitlines()[-1] if process.stdout.strip() else ""


def start_up(rounds: int = 9) -> dict[str, float]:
    """Seconds to import convatlas and list its nets, beside the import of torch, timm and keras."""
    codes = {
        "import convatlas": "import convatlas",
        "convatlas list": "import sys; sys.argv = ['convatlas', 'list']; from convatlas.cli import main; main()",
        "import torch": "import torch",
        "import timm": "import timm",
        "import keras": "import keras",
    }
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            taken[name].append(seconds(code, KERAS_BACKEND="torch")[0])
    return {name: statistics.median(times) for name, times in taken.items()}


def table() -> dict[str, float | str]:
    """Seconds to measure 38 nets (median of three runs), beside keras building them on jax and on torch's meta device.

    keras cannot build NASNetMobile on torch, so 37 nets are built on the meta device.
    """
    ours = [seconds(TABLE_OURS) for _ in range(3)]
    on_torch = [name for name in KERAS if name != "NASNetMobile"]
    meta = seconds(TABLE_KERAS.format(meta=True, names=on_torch), KERAS_BACKEND="torch")
    ours.append(seconds(TABLE_OURS))
    jax = seconds(TABLE_KERAS.format(meta=False, names=KERAS), KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    ours.append(seconds(TABLE_OURS))
    median_ours = statistics.median(time for time, _ in ours)
    assert ours[0][1] == jax[1], (ours[0][1], jax[1])
    return {
        "convatlas, 38 nets measured": median_ours,
        "keras on jax, 38 nets built": jax[0],
        "keras on torch's meta device, 37 nets built": meta[0],
        "times faster than jax": jax[0] / median_ours,
        "times faster than meta": meta[0] / median_ours,
        "parameters of all, both": ours[0][1],
    }


def building(rounds: int = 15) -> dict[str, dict[str, float]]:
    """Seconds to build a net with random weights, beside the same net of timm, in interleaved rounds."""
    import timm

    import convatlas as ca

    result = {}
    for name, twin in TWINS.items():
        ours, theirs = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            ca.build(name)
            middle = time.perf_counter()
            timm.create_model(twin, pretrained=False)
            ours.append(middle - start)
            theirs.append(time.perf_counter() - middle)
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        result[name] = {
            "convatlas": statistics.median(ours),
            "timm": statistics.median(theirs),
            "ratio": ratio,
        }
    return result


def machine() -> dict[str, object]:
    """Facts about the machine and the versions of packages."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    packages = ("convatlas", "torch", "keras", "jax", "timm")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


if __name__ == "__main__":
    from convatlas.base.atomic import write_bytes

    parts = {"start_up": start_up, "building": building, "table": table}
    parts_to_run = sys.argv[1:] or list(parts)
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    result["machine"] = machine()
    for part in parts_to_run:
        before = os.getloadavg()[0]
        result[part] = parts[part]()
        result.setdefault("load", {})[part] = [before, os.getloadavg()[0]]
        print(json.dumps({part: result[part]}, indent=1), flush=True)
        write_bytes(RESULTS, (json.dumps(result, indent=1) + "\n").encode())
