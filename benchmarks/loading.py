"""Loading a net with weights that are on this machine, beside timm's twin, in one run: `python benchmarks/loading.py`.

Both read the same random weights, ours from the converted cache, timm from a safetensors file. Medians of interleaved
rounds in one process, the files in the page cache; what counts is the ratio. Writes `results/loading.json`.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import timm
import torch
from atlas import machine
from safetensors.torch import save_file

import convatlas as ca
from convatlas.base.atomic import write_bytes
from convatlas.catalogue.lineages import weights_of

RESULTS = Path(__file__).with_name("results") / "loading.json"
NETS = (
    "mobilenet_v2",
    "efficientnet_b0",
    "efficientnetv2_s",
    "densenet121",
    "resnet50",
    "inception_v3",
    "inception_resnet_v2",
    "xception",
    "convnext_tiny",
    "nasnet_large",
    "vgg16",
)
ROUNDS = 9


def compare(net: str, folder: Path) -> dict[str, float]:
    """Seconds to load a net, ours and timm's, and the median of the ratios."""
    row = next(row for row in weights_of(net) if row.origin == "timm")
    twin = row.model.partition(".")[0]
    file = folder / f"{net}.safetensors"
    save_file(timm.create_model(twin).state_dict(), file, {"format": "pt"})
    importlib.import_module("convatlas.weights.lineages.timm").file = lambda weights: file
    ca.load(net, weights=row.name)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        mine = ca.load(net, weights=row.name)
        middle = time.perf_counter()
        other = timm.create_model(twin, pretrained=True, pretrained_cfg_overlay={"file": str(file)}).eval()
        theirs.append(time.perf_counter() - middle)
        ours.append(middle - start)
    x = torch.randn(1, 3, *mine.card.input[:2])
    with torch.no_grad():
        assert torch.allclose(mine(x), other(x), atol=1e-3 * float(other(x).std()))
    return {
        "convatlas": statistics.median(ours),
        "timm": statistics.median(theirs),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
    }


if __name__ == "__main__":
    result: dict[str, object] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CONVATLAS_HOME"] = folder
        for net in NETS:
            result[net] = compare(net, Path(folder))
            print(json.dumps({net: result[net]}), flush=True)
    write_bytes(RESULTS, (json.dumps(result, indent=1) + "\n").encode())
