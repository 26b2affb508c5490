"""The timm lineages: weights on the Hugging Face hub that are named as timm names them, and compute as it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import find
from convatlas.catalogue.lineages import Weights
from convatlas.genes.normalization import Norm
from convatlas.nets.net import Net
from convatlas.weights.lineages import timm_names as named
from convatlas.weights.lineages import torchvision_names
from convatlas.weights.lineages.hub import download
from convatlas.weights.lineages.key_mapping import Names, Rule, ours, renamed, theirs
from convatlas.weights.state_io import save_state, stored

NORM = Norm(eps=1e-5, momentum=0.1)
TENSORFLOW = Norm(eps=1e-3, momentum=0.1)


@dataclass(frozen=True)
class Family:
    """What timm's nets of a family do otherwise than the card's, and how it names their layers."""

    variant: Mapping[str, object]
    names: tuple[Rule, ...] | Callable[[Any], Names]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


FAMILIES = {
    "vgg": Family({}, named.vgg, named.VGG_SHAPES),
    "resnet": Family(
        {"stride_in": "second", "bias": False, "norm": NORM, "pool_border": "outside"},
        (*torchvision_names.RESNET, *named.SE),
    ),
    "densenet": Family({"norm": NORM, "pool_border": "outside"}, torchvision_names.DENSENET),
    "inception": Family({"norm": TENSORFLOW, "average_border": "zeros"}, torchvision_names.INCEPTION),
    "inception_resnet": Family({"norm": TENSORFLOW}, named.INCEPTION_RESNET),
    "xception": Family({"norm": NORM, "pool_alignment": "symmetric"}, named.XCEPTION),
    "mobilenet": Family({"norm": NORM, "alignments": ("symmetric", "symmetric")}, named.MOBILENET),
    "mobilenet_v2": Family({"norm": NORM, "alignment": "symmetric"}, named.mobile),
    "nasnet": Family({"norm": TENSORFLOW, "pool_border": "outside"}, named.nasnet),
    "efficientnet": Family({"norm": NORM, "alignment": "symmetric", "photo": "nothing"}, named.mobile),
    "convnext": Family({"photo": False}, named.CONVNEXT, named.CONVNEXT_SHAPES),
}


def variant(weights: Weights) -> Mapping[str, object]:
    """The fields of the net's row that timm has otherwise."""
    changes = dict(FAMILIES[find(weights.net).family].variant)
    if weights.model.startswith("tf_efficientnet"):
        changes |= {"norm": TENSORFLOW, "alignment": "same"}
    return changes


def file(weights: Weights) -> Path:
    """The file, downloaded and verified."""
    return download(weights)


def tensors(file: Path, net: Net) -> dict[str, Tensor]:
    """The tensors of a file by our names; auxiliary classifiers, which only training uses, are left out."""
    found = {name: tensor for name, tensor in stored(file).items() if not name.startswith("AuxLogits.")}
    return ours(found, names(net), net.state_dict())


def save(net: Net, file: Path) -> None:
    """Writes the state_dict that timm's net loads."""
    save_state(theirs(net, names(net), FAMILIES[net.card.family].shapes), file)


def names(net: Net) -> Names:
    """(their name, our name) of every layer with weights."""
    if net.card.family not in FAMILIES:
        raise WeightsError(f"timm has no {net.card.name}")
    names = FAMILIES[net.card.family].names
    return renamed(net, names) if isinstance(names, tuple) else names(net)
