"""Compare probes with those of captum, grad-cam and zennit: `python benchmarks/probes.py [--nets a,b] [--only maps]`.

The peers explain timm's nets in PyTorch's eager mode, at equal settings, and both run at the best batch size of a few;
"maps" and "ablation" explain the very same net, "masks" ours in the engine that `accelerate` chooses. grad-cam is
installed by `pip install --no-deps grad-cam ttach`, since it asks for another OpenCV. Rounds are interleaved, results
are medians. `--only` runs one part: "masks" (black-box probes in the fastest engine), "maps" (gradients, DeepLIFT and
LRP), "ablation", "memory" (peaks of processes of their own) or "bfloat16" (rank correlation with float32).

Writes `results/probes.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import timm
import torch
import zennit.attribution
import zennit.composites
from atlas import machine
from scipy.stats import spearmanr

import convatlas as ca
from convatlas.base.atomic import write_bytes
from convatlas.images.samples import sample
from convatlas.probes.cam.score_cam import ScoreCam
from convatlas.probes.gradient.integrated_gradients import IntegratedGradients
from convatlas.probes.gradient.smooth_grad import SmoothGrad
from convatlas.probes.perturbation.occlusion import Occlusion
from convatlas.probes.perturbation.rise import Rise

RESULTS = Path(__file__).with_name("results") / "probes.json"
TWINS = {
    "resnet50": ("resnet50", "layer4"),
    "efficientnet_b0": ("tf_efficientnet_b0", "bn2"),
    "efficientnet_lite0": ("tf_efficientnet_lite0", "bn2"),
}
"""timm's name of each net, and of its last layer with maps."""

SCORED = {"resnet50": ("conv2", "layer1"), "efficientnet_b0": ("stage7", "blocks.6")}
"""Layers for Score-CAM with 256 and 320 channels: ours, and timm's."""

BATCHES = (1, 8, 32)
"""Batch sizes of which a peer's best counts."""

CLASS = 3
WINDOW, STRIDE, MASKS, SAMPLES, STEPS = 32, 16, 256, 16, 16
ROUNDS = 3

Call = Callable[[], object]


def photo() -> torch.Tensor:
    return torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def grad_cam(method: str, net: torch.nn.Module, layer: str, batch: int = 32) -> Callable[[torch.Tensor], object]:
    """A method of grad-cam, as a function of the photo."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    peer = getattr(pytorch_grad_cam, method)(net, [net.get_submodule(layer)])
    peer.batch_size = batch
    return lambda x: peer(x, [ClassifierOutputTarget(CLASS)])


def seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def medians(calls: dict[str, Call], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each call, in interleaved rounds after one that warms up."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return {name: statistics.median(values) for name, values in times.items()}


def best(calls: dict[int, Call]) -> Call:
    """The fastest of a peer's batch sizes, each run once."""
    times = {size: seconds(call) for size, call in calls.items()}
    return calls[min(times, key=times.__getitem__)]


def masks(name: str) -> dict[str, Any]:
    """Black-box probes in the fastest engine, beside the engine's own time, and the peers."""
    twin, x = timm.create_model(TWINS[name][0]).eval(), photo()
    net = ca.build(name).eval()
    fast = ca.accelerate(net, batch=32)
    batch = np.repeat(x.numpy(), 32, 0)
    occlusion, rise = Occlusion(WINDOW, STRIDE), Rise(masks=MASKS)

    def captum_occlusion(size: int) -> Call:
        shape, stride = (3, WINDOW, WINDOW), (3, STRIDE, STRIDE)
        peer = captum.attr.Occlusion(twin)
        return lambda: no_grad(lambda: peer.attribute(x, shape, stride, target=CLASS, perturbations_per_eval=size))

    def eager(size: int) -> Call:
        parts = torch.split(torch.from_numpy(batch), size)
        return lambda: no_grad(lambda: [twin(part) for part in parts])

    calls: dict[str, Call] = {
        "engine": lambda: fast.session(batch),
        "eager": best({size: eager(size) for size in BATCHES}),
        "occlusion": lambda: ca.explain(fast, x, occlusion, CLASS),
        "captum occlusion": best({size: captum_occlusion(size) for size in BATCHES}),
        "rise": lambda: ca.explain(fast, x, rise, CLASS),
    }
    if name in SCORED:
        ours, theirs = SCORED[name]
        peer = grad_cam("ScoreCAM", twin, theirs)
        calls |= {
            "score_cam": lambda: ca.explain(fast, x, ScoreCam(), CLASS, layer=ours),
            "grad-cam score_cam": lambda: peer(x),
        }
    times = medians(calls)
    each, eager = times["engine"] / 32, times["eager"] / 32
    result: dict[str, Any] = {
        "seconds": times,
        "engine": str(fast.record.options),
        "engine against eager": eager / each,
    }
    for probe in ("occlusion", "rise", "score_cam"):
        if probe in times:
            settings: Any = {"occlusion": occlusion, "rise": rise, "score_cam": ScoreCam()}[probe]
            layer = SCORED[name][0] if probe == "score_cam" else None
            forwards = ca.explain(fast, x, settings, CLASS, layer=layer).forwards
            result[f"{probe}: forwards"] = forwards
            result[f"{probe}: against forwards in the engine"] = times[probe] / (forwards * each)
    for probe, other in (("occlusion", "captum occlusion"), ("score_cam", "grad-cam score_cam")):
        if other in times:
            result[f"{probe}: times faster than the peer"] = times[other] / times[probe]
    return result


def no_grad(call: Call) -> object:
    with torch.no_grad():
        return call()


def maps(name: str) -> dict[str, Any]:
    """Gradients, DeepLIFT and LRP, beside the peers."""
    # The peers' own net for all: the measured difference is that of the probes.
    net = twin = timm.create_model(TWINS[name][0]).eval()
    x, zero = photo(), torch.zeros_like(photo())
    # grad-cam's hooks keep all that they see, which a net that others explain too would have to carry along.
    peer_cam = grad_cam("GradCAM", timm.create_model(TWINS[name][0]).eval(), TWINS[name][1])
    saliency = captum.attr.Saliency(twin)
    last = twin.get_submodule(TWINS[name][1])

    def zennit_lrp() -> None:
        with zennit.attribution.Gradient(twin, zennit.composites.EpsilonPlus()) as attributor:
            attributor(x, torch.eye(1000)[[CLASS]])

    def captum_ig(size: int) -> Call:
        peer = captum.attr.IntegratedGradients(twin)
        return lambda: peer.attribute(x, zero, CLASS, n_steps=STEPS, internal_batch_size=size)

    def captum_smooth(size: int) -> Call:
        peer = captum.attr.NoiseTunnel(saliency)
        return lambda: peer.attribute(x, nt_samples=SAMPLES, nt_samples_batch_size=size, target=CLASS)

    steps = IntegratedGradients(tolerance=1.0, steps=STEPS)
    pairs: dict[str, tuple[Call, str, Call]] = {
        "saliency": (
            lambda: ca.explain(net, x, "saliency", CLASS),
            "captum",
            lambda: saliency.attribute(x.clone(), target=CLASS),
        ),
        "gradient_x_input": (
            lambda: ca.explain(net, x, "gradient_x_input", CLASS),
            "captum",
            lambda: captum.attr.InputXGradient(twin).attribute(x.clone(), target=CLASS),
        ),
        "integrated_gradients": (
            lambda: ca.explain(net, x, steps, CLASS, background=zero),
            "captum",
            best({size: captum_ig(size) for size in (4, 16)}),
        ),
        "smooth_grad": (
            lambda: ca.explain(net, x, SmoothGrad(samples=SAMPLES), CLASS),
            "captum",
            best({size: captum_smooth(size) for size in (4, 16)}),
        ),
        "grad_cam": (
            lambda: ca.explain(net, x, "grad_cam", CLASS),
            "captum",
            lambda: captum.attr.LayerGradCam(twin, last).attribute(x, target=CLASS),
        ),
        "grad_cam (grad-cam)": (
            lambda: ca.explain(net, x, "grad_cam", CLASS),
            "grad-cam",
            lambda: peer_cam(x),
        ),
        "deep_lift": (
            lambda: ca.explain(net, x, "deep_lift", CLASS, background=zero),
            "captum",
            lambda: captum.attr.DeepLift(twin).attribute(x.clone(), zero, target=CLASS),
        ),
        "lrp": (lambda: ca.explain(net, x, "lrp", CLASS), "zennit", zennit_lrp),
    }
    result: dict[str, Any] = {}
    for probe, (ours, peer, theirs) in pairs.items():
        times = medians({"convatlas": ours, peer: theirs}, 7)
        result[probe] = {"seconds": times, "ratio": times["convatlas"] / times[peer]}
        print(f"  {probe}: {result[probe]['ratio']:.2f} of {peer}", flush=True)
    return result


def ablation(name: str) -> dict[str, Any]:
    """Ablation-CAM; the peer's minutes are run once."""
    (net, twin), x = (timm.create_model(TWINS[name][0]).eval() for _ in range(2)), photo()
    ours = medians({"convatlas": lambda: ca.explain(net, x, "ablation_cam", CLASS)})["convatlas"]
    peer = grad_cam("AblationCAM", twin, TWINS[name][1])
    theirs = seconds(lambda: peer(x))
    return {"seconds": {"convatlas": ours, "grad-cam": theirs}, "times faster": theirs / ours}


CHILD = """
import resource, sys, warnings
sys.path.insert(0, {folder!r})
warnings.simplefilter("ignore")
import probes
probes.measured({name!r}, {case!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def measured(name: str, case: str) -> None:
    """Run one case, in a process whose peak of memory is measured."""
    x = photo()
    if case.startswith(("captum", "grad-cam", "zennit")):
        twin = timm.create_model(TWINS[name][0]).eval()
        if case == "captum occlusion":
            shape, stride = (3, WINDOW, WINDOW), (3, STRIDE, STRIDE)
            peer = captum.attr.Occlusion(twin)
            no_grad(lambda: peer.attribute(x, shape, stride, target=CLASS, perturbations_per_eval=32))
        elif case == "captum smooth_grad":
            peer = captum.attr.NoiseTunnel(captum.attr.Saliency(twin))
            peer.attribute(x, nt_samples=SAMPLES, target=CLASS)
        elif case == "captum deep_lift":
            captum.attr.DeepLift(twin).attribute(x, torch.zeros_like(x), target=CLASS)
        else:
            grad_cam("ScoreCAM", twin, SCORED[name][1])(x)
        return
    net = ca.build(name).eval()
    probe: Any = {"occlusion": Occlusion(WINDOW, STRIDE), "smooth_grad": SmoothGrad(samples=SAMPLES)}.get(case, case)
    ca.explain(net, x, probe, CLASS, layer=SCORED[name][0] if case == "score_cam" else None, engine="eager")


def memory(name: str) -> dict[str, Any]:
    """Peaks of memory in bytes, in eager mode."""
    peaks: dict[str, Any] = {}
    peers = {
        "occlusion": "captum occlusion",
        "smooth_grad": "captum smooth_grad",
        "deep_lift": "captum deep_lift",
        "score_cam": "grad-cam score_cam",
    }
    for case in [case for pair in peers.items() for case in pair]:
        if "score_cam" in case and name not in SCORED:
            continue
        code = CHILD.format(folder=str(Path(__file__).parent), name=name, case=case)
        output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        peaks[case] = int(output.split()[-1])
    return peaks | {
        f"{case}: against the peer": peaks[case] / peaks[peer] for case, peer in peers.items() if case in peaks
    }


def bfloat16(name: str) -> dict[str, Any]:
    """Rank correlation of maps in bfloat16 and float32, with the published weights, on photographs."""
    if name != "efficientnet_lite0":
        return {}
    result: dict[str, Any] = {}
    net = ca.load(name)
    nets = {precision: ca.accelerate(net, "openvino", precision, batch=16) for precision in ("float32", "bfloat16")}
    result["top-1 agreement"] = nets["bfloat16"].record.top1
    for probe, settings in {"occlusion": Occlusion(), "rise": Rise(masks=2000)}.items():
        correlations = []
        for file in ("chelsea", "coffee", "rocket", "astronaut"):
            first, second = (ca.explain(each, sample(file), settings).map.ravel() for each in nets.values())
            correlations.append(float(spearmanr(first, second).statistic))
        result[probe] = {"each": correlations, "lowest": min(correlations)}
    return result


PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "masks": masks,
    "maps": maps,
    "ablation": ablation,
    "memory": memory,
    "bfloat16": bfloat16,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", default=",".join(TWINS))
    parser.add_argument("--only", choices=list(PARTS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = machine() | {"threads": torch.get_num_threads()}
    for part in [options.only] if options.only else list(PARTS):
        for name in options.nets.split(","):
            print(f"{part} of {name}", flush=True)
            if cell := PARTS[part](name):
                results.setdefault(part, {})[name] = cell
                print(json.dumps(cell, indent=1), flush=True)
                write_bytes(RESULTS, (json.dumps(results, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
