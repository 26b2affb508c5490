"""The keras lineage: `keras.applications`, whose nets these are; its files are read and written without Keras."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.base.store import Remote, fetch
from convatlas.catalogue.lineages import Weights
from convatlas.genes.normalization import Standardize
from convatlas.nets.families.efficientnet import DEVIATION, EfficientNet
from convatlas.nets.net import Net
from convatlas.weights.lineages import keras_files
from convatlas.weights.lineages.keras_layers import layers

VARIANCE = "stem.standardize.variance"


def variant(weights: Weights) -> Mapping[str, object]:
    """The published EfficientNets normalize a photo in two steps, see `follows`."""
    row = EfficientNet.variants.get(weights.net)
    return {"photo": "rescaled"} if row is not None and row.photo == "learned" else {}


def follows(weights: Weights, file: Path, tensors: Mapping[str, Tensor]) -> str:
    """The lineage whose conventions a file by its path has: `weights.name`, or empty for those of the card.

    The variances inside the published EfficientNets are standard deviations (tensorflow/tensorflow#49930). Keras
    therefore divides once more by the roots of the usual deviations, but only in the net that it builds for
    weights="imagenet"; the layer that does it owns no weights. A file is of such a net if it names that layer, or if
    its variances are those deviations: pixels in 0..1 never vary so much. All others are of plain nets.
    """
    if not variant(weights):
        return weights.name
    rescalings = [name for name in keras_files.layer_names(file) if re.fullmatch(r"rescaling(_\d+)?", name)]
    found, usual = tensors[VARIANCE].double(), torch.tensor(DEVIATION).double()
    published = found.shape == usual.shape and torch.allclose(found, usual, rtol=0, atol=1e-3)
    return weights.name if len(rescalings) > 1 or published else ""


def file(weights: Weights) -> Path:
    """The published file, downloaded if it is not here yet."""
    return fetch(Remote(weights.address, weights.file, weights.hash, weights.bytes))


def tensors(file: Path, net: Net) -> dict[str, Tensor]:
    """The tensors of a `.h5`, `.weights.h5` or `.keras` file by our names."""
    return keras_files.read(file, layers(net))


def save(net: Net, file: Path) -> None:
    """Writes the `.weights.h5` that the net of `keras.applications` loads when it is built with weights=None.

    Raises:
        WeightsError: The net's head was cut where Keras has no net that ends there.
    """
    weights = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
    weights = {name: tensor if tensor.dtype == torch.float64 else tensor.float() for name, tensor in weights.items()}
    again = dict(net.named_modules()).get("stem.rescale_again")
    if isinstance(again, Standardize):
        # The plain net divides once: by the product of the roots, kept in float64 to be the same division.
        weights[VARIANCE] = weights[VARIANCE].double() * torch.tensor(again.constants[1], dtype=torch.float64)
    found = layers(net)
    if not net.classes and any(layer.top for layer in found):
        raise WeightsError(f"keras has no {net.card.name} that ends before its last layer; cut off all dense layers")
    keras_files.write(file, found, weights)
