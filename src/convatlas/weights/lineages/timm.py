"""Weights of timm's nets, on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.catalogue.lineages import Weights
from convatlas.weights.hub import download
from convatlas.weights.origin import HALF, IMAGENET, Pixels, TorchOrigin

if TYPE_CHECKING:
    from convatlas.weights.formats.state_dicts import StateDicts


PLAIN = (
    *("efficientnet_b6", "efficientnet_b7", "efficientnet_lite1", "efficientnet_lite2", "efficientnet_lite3"),
    *("efficientnet_lite4", "efficientnetv2_s", "efficientnetv2_m", "efficientnetv2_l"),
)
"""Nets that timm has with TensorFlow's conventions (tf_efficientnet_b6) and, without weights, with its own."""


class Timm(TorchOrigin):
    """The `timm` lineages."""

    pixels = {
        "torch": IMAGENET,
        "half": HALF,
        "clip": Pixels(255.0, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    }
    labels = {1000: "imagenet1k"}

    def file(self, weights: Weights) -> Path:
        return download(weights)

    def converter(self) -> StateDicts:
        return _converter()

    def variant(self, weights: Weights) -> Mapping[str, object]:
        from convatlas.genes.normalization import Norm

        changes = super().variant(weights)
        # Weights converted from TensorFlow need its epsilon and its padding.
        tensorflow = {"norm": Norm(eps=1e-3, momentum=0.1), "alignment": "same"}
        return {**changes, **tensorflow} if weights.model.startswith("tf_efficientnet") else changes

    def settings(self, weights: Weights) -> Mapping[str, Mapping[str, object]]:
        """Nets that timm builds under the name without "tf_", whose files look the same."""
        return {weights.net: super().variant(weights)} if weights.net in PLAIN else {}


@cache
def _converter() -> StateDicts:
    from convatlas.genes.normalization import Norm
    from convatlas.weights.formats import timm_names as names
    from convatlas.weights.formats import torchvision_names
    from convatlas.weights.formats.state_dicts import Family, StateDicts

    norm, tensorflow = Norm(eps=1e-5, momentum=0.1), Norm(eps=1e-3, momentum=0.1)
    families = {
        "vgg": Family({}, names.vgg, names.VGG_SHAPES),
        "resnet": Family(
            {"stride_in": "second", "bias": False, "norm": norm, "pool_border": "outside"},
            (*torchvision_names.RESNET, *names.SE),
        ),
        "densenet": Family({"norm": norm, "pool_border": "outside"}, torchvision_names.DENSENET),
        "inception": Family({"norm": tensorflow, "average_border": "zeros"}, torchvision_names.INCEPTION),
        "inception_resnet": Family({"norm": tensorflow}, names.INCEPTION_RESNET),
        "xception": Family({"norm": norm, "pool_alignment": "symmetric"}, names.XCEPTION),
        "mobilenet": Family({"norm": norm, "alignments": ("symmetric", "symmetric")}, names.MOBILENET),
        "mobilenet_v2": Family({"norm": norm, "alignment": "symmetric"}, names.mbconv_nets),
        "nasnet": Family({"norm": tensorflow, "pool_border": "outside"}, names.nasnet),
        "efficientnet": Family({"norm": norm, "alignment": "symmetric", "preprocessing": "nothing"}, names.mbconv_nets),
        "convnext": Family({"standardizes": False}, names.CONVNEXT, names.CONVNEXT_SHAPES),
    }
    return StateDicts("timm", families, ignored=("AuxLogits.",))


ORIGIN = Timm()
