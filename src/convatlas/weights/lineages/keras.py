"""Weights of `keras.applications`; its files are read and written without Keras."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import Weights
from convatlas.weights.origin import IMAGENET, Origin, Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.nets.net import Net

VARIANCE = "stem.standardize.variance"


class Keras(Origin):
    """The `keras` lineages; most cards describe Keras' own nets."""

    read_endings = (".h5", ".keras")
    write_endings = (".weights.h5",)
    pixels = {
        "raw": Pixels(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "caffe": Pixels(1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "bgr"),
        "tf": Pixels(127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        "torch": IMAGENET,
    }
    labels = {1000: "imagenet1k"}

    def variant(self, weights: Weights) -> Mapping[str, object]:
        """The published EfficientNets normalize a photo in two steps, see `follows`."""
        from convatlas.nets.families.efficientnet import EfficientNet

        config = EfficientNet.variants.get(weights.net)
        return {"photo": "rescaled"} if config is not None and config.photo == "learned" else {}

    def builds(self, weights: Weights, variant: Mapping[str, object]) -> bool:
        """Keras builds the cards' own nets too."""
        return not variant or super().builds(weights, variant)

    def follows(self, weights: Weights, file: Path, tensors: Mapping[str, Tensor]) -> str:
        """Lineage whose conventions a file given by its path follows; empty for those of the card.

        The variances inside the published EfficientNets are standard deviations (tensorflow/tensorflow#49930). Keras
        therefore divides once more by the roots of the usual deviations, but only in the net that it builds for
        weights="imagenet"; the layer that does it owns no weights. A file belongs to such a net if it names that layer,
        or if its variances are those deviations: pixels in 0..1 never vary so much. All others belong to plain nets.
        """
        import torch

        from convatlas.nets.families.efficientnet import DEVIATION
        from convatlas.weights.formats import keras_files

        if not self.variant(weights):
            return weights.name
        rescalings = [name for name in keras_files.layer_names(file) if re.fullmatch(r"rescaling(_\d+)?", name)]
        variance, deviation = tensors[VARIANCE].double(), torch.tensor(DEVIATION).double()
        published = variance.shape == deviation.shape and torch.allclose(variance, deviation, rtol=0, atol=1e-3)
        return weights.name if len(rescalings) > 1 or published else ""

    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        """Read the tensors of a `.h5`, `.weights.h5` or `.keras` file by our names."""
        from convatlas.weights.formats import keras_files, keras_layers

        return keras_files.read(file, keras_layers.layers(net))

    def write(self, net: Net, file: Path) -> None:
        """Write the `.weights.h5` that the net of `keras.applications` loads when it is built with weights=None.

        Raises:
            WeightsError: The net's head was cut where Keras has no net that ends there.
        """
        import torch

        from convatlas.genes.normalization import Standardize
        from convatlas.weights.formats import keras_files, keras_layers

        weights = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
        weights = {name: x if x.dtype == torch.float64 else x.float() for name, x in weights.items()}
        second = dict(net.named_modules()).get("stem.rescale_again")
        if isinstance(second, Standardize):
            # The plain net divides once: by the product of the roots, kept in float64 to be the same division.
            weights[VARIANCE] = weights[VARIANCE].double() * torch.tensor(second.constants[1], dtype=torch.float64)
        layers = keras_layers.layers(net)
        if not net.classes and any(layer.top for layer in layers):
            raise WeightsError(
                f"keras has no {net.card.name} that ends before its last layer; cut off all dense layers"
            )
        keras_files.write(file, layers, weights)


ORIGIN = Keras()
