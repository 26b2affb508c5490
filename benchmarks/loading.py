"""Compare the time to load a net from weights on this machine with timm's: `python benchmarks/loading.py`.

Both read the same random weights, ours from the converted cache, timm from a safetensors file. The result is the median
ratio of interleaved rounds in one process, with the files in the page cache. Writes `results/loading.json`.
"""

from __future__ import annotations

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
from convatlas.weights.registry import origin

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
    """Median seconds to load our net and timm's, and the median of the ratios."""
    row = next(row for row in weights_of(net) if row.origin == "timm")
    model = row.model.partition(".")[0]
    file = folder / f"{net}.safetensors"
    save_file(timm.create_model(model).state_dict(), file, {"format": "pt"})
    origin("timm").file = lambda weights: file
    ca.load(net, weights=row.name)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        our_net = ca.load(net, weights=row.name)
        middle = time.perf_counter()
        their_net = timm.create_model(model, pretrained=True, pretrained_cfg_overlay={"file": str(file)}).eval()
        theirs.append(time.perf_counter() - middle)
        ours.append(middle - start)
    x = torch.randn(1, 3, *our_net.card.input[:2])
    with torch.no_grad():
        assert torch.allclose(our_net(x), their_net(x), atol=1e-3 * float(their_net(x).std()))
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
