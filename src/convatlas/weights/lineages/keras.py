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
    from convatlas.weights.formats.checkpoints import Checkpoint
    from convatlas.weights.formats.key_mapping import Renamed

VARIANCE = "stem.standardize.variance"

WITHOUT = "include_preprocessing=False"
"""Setting of Keras' builders under which EfficientNetV2 and ConvNeXt take photos that are prepared already."""

PREPARING = re.compile(r"(\w+_prestem_)?normalization|rescaling(_\d+)?")
"""Names of the layers that this setting leaves out."""


class Keras(Origin):
    """The `keras` lineages; most cards describe the nets of `keras.applications`."""

    read_endings = (".h5", ".hdf5", ".keras")
    write_endings = (".weights.h5",)
    pixels = {
        "raw": Pixels(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "caffe": Pixels(1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "bgr"),
        "tf": Pixels(127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        "torch": IMAGENET,
    }
    labels = {1000: "imagenet1k"}

    def variant(self, weights: Weights) -> Mapping[str, object]:
        """Fields of the configuration that differ: the published EfficientNets normalize twice, see `follows`."""
        from convatlas.nets.families.efficientnet import EfficientNet

        config = EfficientNet.variants.get(weights.net)
        return {"preprocessing": "rescaled"} if config is not None and config.preprocessing == "learned" else {}

    def builds(self, weights: Weights, variant: Mapping[str, object]) -> bool:
        """Whether Keras builds the net with these fields: also without any, for its nets built with weights=None."""
        return not variant or super().builds(weights, variant)

    def settings(self, weights: Weights) -> Mapping[str, Mapping[str, object]]:
        """Setting that leaves out layers without weights."""
        from convatlas.nets.families.convnext import ConvNeXt
        from convatlas.nets.families.efficientnet import EfficientNet

        config = EfficientNet.variants.get(weights.net)
        if config is not None and config.version == 2 and config.preprocessing != "nothing":
            return {WITHOUT: {"preprocessing": "nothing"}}
        return {WITHOUT: {"standardizes": False}} if weights.net in ConvNeXt.variants else {}

    def states(self, weights: Weights, file: Path, tensors: Mapping[str, Tensor]) -> str | None:
        """Convention that a file states by its layers and numbers.

        The published files of EfficientNets hold standard deviations as variances (tensorflow/tensorflow#49930). A net
        that Keras builds with weights="imagenet" therefore has a second Rescaling layer, which has no weights and
        divides by the square roots of ImageNet's deviations. A file belongs to such a net if it names two Rescaling
        layers, or if its variances are ImageNet's deviations, which are too large for variances of pixels in 0..1. All
        other files belong to plain nets.
        """
        import torch

        from convatlas.nets.families.efficientnet import DEVIATION
        from convatlas.weights.formats import keras_files

        names = keras_files.layer_names(file)
        if self.settings(weights):
            # The names of all layers are there, if that of one without weights is.
            if any(map(PREPARING.fullmatch, names)):
                return weights.name
            return f"{weights.origin}/{WITHOUT}" if any("input" in name or "add" in name for name in names) else None
        if not self.variant(weights):
            return None
        rescalings = [name for name in names if re.fullmatch(r"rescaling(_\d+)?", name)]
        variance, deviation = tensors[VARIANCE].double(), torch.tensor(DEVIATION).double()
        published = variance.shape == deviation.shape and torch.allclose(variance, deviation, rtol=0, atol=1e-3)
        return weights.name if len(rescalings) > 1 or published else ""

    def renamed(self, opened: Path | Checkpoint, net: Net) -> Renamed:
        """Return the tensors of a `.h5`, `.weights.h5` or `.keras` file under our names."""
        from convatlas.weights.formats import keras_files, keras_order

        assert isinstance(opened, Path)
        head = dict(net.named_modules()).get("head.dense")
        return keras_files.read(opened, keras_order.layers(net), None if head is None else keras_order.classifier(net))

    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        return self.renamed(file, net).tensors

    def write(self, net: Net, file: Path) -> None:
        """Write a `.weights.h5` for the net that `keras.applications` builds with weights=None.

        Raises:
            WeightsError: The net's head was cut where no net of Keras ends.
        """
        import torch

        from convatlas.genes.normalization import Standardize
        from convatlas.weights.formats import keras_files, keras_order

        weights = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
        weights = {name: x if x.dtype == torch.float64 else x.float() for name, x in weights.items()}
        second = dict(net.named_modules()).get("stem.rescale_again")
        if isinstance(second, Standardize):
            # The plain net divides once, by the root of the product of both variances; float64 keeps the result equal.
            weights[VARIANCE] = weights[VARIANCE].double() * torch.tensor(second.constants[1], dtype=torch.float64)
        layers = keras_order.layers(net)
        if not net.classes and any(layer.top for layer in layers):
            raise WeightsError(
                f"keras has no {net.card.name} that ends before its last layer; cut off all dense layers"
            )
        keras_files.write(file, layers, weights)


ORIGIN = Keras()
