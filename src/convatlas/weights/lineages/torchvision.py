"""Weights of `torchvision.models`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.catalogue.lineages import Weights
from convatlas.weights.origin import HALF, IMAGENET, Pixels, TorchOrigin

if TYPE_CHECKING:
    from convatlas.nets.net import Net
    from convatlas.weights.formats.checkpoints import Checkpoint
    from convatlas.weights.formats.key_mapping import Renamed
    from convatlas.weights.formats.state_dicts import StateDicts

TENSORFLOW_NORMS = ("efficientnet_b5", "efficientnet_b6", "efficientnet_b7")
"""Nets whose weights were converted from TensorFlow, with its epsilon of batch normalization."""


class Torchvision(TorchOrigin):
    """The `torchvision` lineages."""

    pixels = {
        "torch": IMAGENET,
        "half": HALF,
        "features": Pixels(255.0, (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
    }
    labels = {1000: "imagenet1k"}

    def preferred(self, rows: Sequence[Weights]) -> Weights:
        """Return the last weights in the table: the newest and most accurate."""
        return rows[-1]

    def converter(self) -> StateDicts:
        return _converter()

    def variant(self, weights: Weights) -> Mapping[str, object]:
        from convatlas.genes.normalization import Norm

        changes = dict(super().variant(weights))
        if weights.net in TENSORFLOW_NORMS:
            changes["norm"] = Norm(eps=1e-3, momentum=0.01)
        if weights.net.startswith("efficientnetv2"):
            changes["norm"] = Norm(eps=1e-3, momentum=0.1)
        return changes

    def settings(self, weights: Weights) -> Mapping[str, Mapping[str, object]]:
        """Settings that torchvision's files do not say: its two nets with `transform_input` have it off by default."""
        changes = self.variant(weights)
        off = {field: value for field, value in changes.items() if field != "preprocessing"}
        return {"transform_input=False": off} if changes.get("preprocessing") == "imagenet" else {}

    def renamed(self, opened: Path | Checkpoint, net: Net) -> Renamed:
        from convatlas.nets.families.vgg import VGG

        renamed = super().renamed(opened, net)
        head = [tensor for name, tensor in renamed.tensors.items() if name.startswith("head.")]
        if isinstance(net, VGG) and any(tensor.isnan().all() for tensor in head):
            # In the file of features only, the classifier is filled with NaN.
            kept = {name: tensor for name, tensor in renamed.tensors.items() if not name.startswith("head.")}
            return replace(renamed, tensors=kept)
        return renamed


@cache
def _converter() -> StateDicts:
    from convatlas.genes.normalization import Norm
    from convatlas.weights.formats import torchvision_names as names
    from convatlas.weights.formats.state_dicts import Family, StateDicts

    norm = Norm(eps=1e-5, momentum=0.1)
    inception = Norm(momentum=0.1)
    families = {
        "alexnet": Family({}, names.alexnet),
        "vgg": Family({}, names.vgg),
        # Version 1.5: the stride is in the 3 x 3 convolution.
        "resnet": Family({"stride_in": "second", "bias": False, "norm": norm, "pool_border": "outside"}, names.RESNET),
        "densenet": Family({"norm": norm, "pool_border": "outside"}, names.DENSENET),
        "inception": Family(
            {"norm": inception, "average_border": "zeros", "preprocessing": "imagenet"}, names.INCEPTION
        ),
        "inception_v1": Family({"preprocessing": "imagenet"}, names.googlenet),
        "shufflenet_v2": Family({}, names.shufflenet_v2),
        "mobilenet_v2": Family({"norm": norm, "alignment": "symmetric"}, names.MOBILENET_V2),
        "efficientnet": Family(
            {"norm": norm, "alignment": "symmetric", "preprocessing": "nothing"}, names.efficientnet
        ),
        "convnext": Family({"standardizes": False}, names.CONVNEXT, names.CONVNEXT_SHAPES),
    }
    return StateDicts("torchvision", families, ignored=("AuxLogits.", "aux1.", "aux2."), current_name=_current_name)


def _current_name(name: str) -> str:
    """Current name for a name in a file of DenseNet: "denselayer1.norm1.weight" for "denselayer1.norm.1.weight"."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", name)


ORIGIN = Torchvision()
