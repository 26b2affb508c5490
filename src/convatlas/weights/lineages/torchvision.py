"""The torchvision lineages: the weights of `torchvision.models`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.base.store import Remote, fetch
from convatlas.catalogue.cards import find
from convatlas.catalogue.lineages import Weights
from convatlas.genes.normalization import Norm
from convatlas.nets.families.vgg import VGG
from convatlas.nets.net import Net
from convatlas.weights.lineages import torchvision_names as named
from convatlas.weights.lineages.key_mapping import Names, Rule, ours, renamed, theirs
from convatlas.weights.state_io import save_state, stored

NORM = Norm(eps=1e-5, momentum=0.1)


@dataclass(frozen=True)
class Family:
    """What torchvision's nets of a family do otherwise than the card's, and how it names their layers."""

    variant: Mapping[str, object]
    names: tuple[Rule, ...] | Callable[[Any], Names]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


FAMILIES = {
    "alexnet": Family({}, named.alexnet),
    "vgg": Family({}, named.vgg),
    # Version 1.5: the 3 x 3 convolution strides.
    "resnet": Family({"stride_in": "second", "bias": False, "norm": NORM, "pool_border": "outside"}, named.RESNET),
    "densenet": Family({"norm": NORM, "pool_border": "outside"}, named.DENSENET),
    "inception": Family({"norm": Norm(momentum=0.1), "average_border": "zeros", "photo": "imagenet"}, named.INCEPTION),
    "inception_v1": Family({"photo": "imagenet"}, named.googlenet),
    "shufflenet_v2": Family({}, named.shufflenet_v2),
    "mobilenet_v2": Family({"norm": NORM, "alignment": "symmetric"}, named.MOBILENET_V2),
    "efficientnet": Family({"norm": NORM, "alignment": "symmetric", "photo": "nothing"}, named.efficientnet),
    "convnext": Family({"photo": False}, named.CONVNEXT, named.CONVNEXT_SHAPES),
}

TENSORFLOW_NORMS = ("efficientnet_b5", "efficientnet_b6", "efficientnet_b7")
"""Trained in TensorFlow, and so with its constants."""


AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""What the names of auxiliary classifiers begin with."""


def variant(weights: Weights) -> Mapping[str, object]:
    """The fields of the net's row that torchvision has otherwise."""
    changes = dict(FAMILIES[find(weights.net).family].variant)
    if weights.net in TENSORFLOW_NORMS:
        changes["norm"] = Norm(eps=1e-3, momentum=0.01)
    if weights.net.startswith("efficientnetv2"):
        changes["norm"] = Norm(eps=1e-3, momentum=0.1)
    return changes


def file(weights: Weights) -> Path:
    """The file, downloaded and verified."""
    return fetch(Remote(weights.address, weights.file, weights.hash))


def tensors(file: Path, net: Net) -> dict[str, Tensor]:
    """The tensors of a file by our names; auxiliary classifiers, which only training uses, are left out."""
    found = {_modern(name): tensor for name, tensor in stored(file).items() if not name.startswith(AUXILIARY)}
    given = ours(found, names(net), net.state_dict())
    if isinstance(net, VGG) and any(tensor.isnan().all() for name, tensor in given.items() if name.startswith("head.")):
        # The file of features alone has a classifier of no numbers.
        return {name: tensor for name, tensor in given.items() if not name.startswith("head.")}
    return given


def save(net: Net, file: Path) -> None:
    """Writes the state_dict that torchvision's net loads."""
    save_state(theirs(net, names(net), FAMILIES[net.card.family].shapes), file)


def names(net: Net) -> Names:
    """(their name, our name) of every layer with weights."""
    if net.card.family not in FAMILIES:
        raise WeightsError(f"torchvision has no {net.card.name}")
    names = FAMILIES[net.card.family].names
    return renamed(net, names) if isinstance(names, tuple) else names(net)


def _modern(name: str) -> str:
    """DenseNet's files are older than its names: "denselayer1.norm.1" is "denselayer1.norm1" now."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", name)
