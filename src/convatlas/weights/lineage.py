"""A lineage: one set of published weights, and all that has to go with it (invariant 5)."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.catalogue.lineages import Weights
from convatlas.images.decoding import Source, read
from convatlas.images.labels import labels
from convatlas.images.letterbox import KINDS, DarknetPreprocessing
from convatlas.images.preprocessing import Preprocessing

Floats = tuple[float, ...]

PIXELS: dict[str, tuple[float, Floats, Floats, str]] = {
    "raw": (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "rgb"),
    "caffe": (1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "bgr"),
    "tf": (127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), "rgb"),
    "torch": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "rgb"),
    "unit": (255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "rgb"),
    "half": (255.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "rgb"),
    "clip": (255.0, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "rgb"),
    "lite": (1.0, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0), "rgb"),
    "features": (255.0, (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255), "rgb"),
    "lenet": (255.0, (0.1 / (1.175 + 0.1),), (1 / (1.175 + 0.1),), "rgb"),
}
"""(scale, mean, std, order) by the names that the catalogue uses."""


@dataclass(frozen=True)
class Lineage:
    """Where a net's weights come from.

    Attributes:
        name: The lineage: "keras", "torchvision/IMAGENET1K_V2", "timm/a1_in1k", "lite", "own/mnist".
        net: The card's name of the net they are for.
        source: What they were taken from.
        licence: As stated by the publisher; empty where nothing is stated.
        hash: Of the file, verified before it was read; sha256, or what the publisher gives.
        preprocessing: What turns a photo (H, W, 3) into the net's input (C, h, w).
        class_names: In the order of the outputs; empty for a fresh head, or none.
        top1: Accuracy in percent, as printed by the publisher; empty where nothing is.
        top5: Likewise.
    """

    name: str
    net: str
    source: str
    licence: str
    hash: str
    preprocessing: Preprocessing | DarknetPreprocessing
    class_names: tuple[str, ...]
    top1: str = ""
    top5: str = ""

    def prepare(self, photo: Source) -> NDArray[np.float32]:
        """The net's input (C, h, w) for a photo (a path, bytes, an array (H, W, 3) or a PIL image).

        Raises:
            ImageError: It cannot be read as a photo.
        """
        return self.preprocessing(read(photo))

    def fresh(self) -> Lineage:
        """The same with a head that was not trained: its outputs have no names and no accuracy."""
        return replace(self, class_names=(), top1="", top5="")

    def to_json(self) -> str:
        """From which `from_json` makes an equal one."""
        return json.dumps(dataclasses.asdict(self) | {"preprocessing": self.preprocessing.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> Lineage:
        """What `to_json` described.

        Raises:
            WeightsError: It is something else.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            known = {field.name: data.pop(field.name) for field in dataclasses.fields(cls)}
            names, told = known.pop("class_names"), known.pop("preprocessing")
            preprocessing = DarknetPreprocessing.from_dict(told) if "kind" in told else Preprocessing.from_dict(told)
            # They are printed: no sign in them may be one that a terminal obeys.
            words = [*known.values(), *names]
            if data or not isinstance(names, list) or not all(isinstance(w, str) and w.isprintable() for w in words):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConvAtlasError):
            raise WeightsError("the description of the weights' lineage is damaged") from None
        return cls(preprocessing=preprocessing, class_names=tuple(names), **known)


LABELS = {
    **{(origin, 1000): "imagenet1k" for origin in ("lite", "keras", "torchvision", "timm")},
    ("darknet", 1000): "imagenet1k_darknet",
    ("darknet", 80): "coco",
    ("darknet", 20): "voc",
    ("own", 10): "digits",
}
"""Whose classes the outputs are, by origin and number."""


def _preprocessing(weights: Weights) -> Preprocessing | DarknetPreprocessing:
    size = (weights.size, weights.size)
    if weights.geometry in KINDS:
        return DarknetPreprocessing(size, weights.geometry)
    return Preprocessing(size, weights.geometry, weights.resize, weights.interpolation, *PIXELS[weights.pixels])


def lineage(weights: Weights, hash: str = "") -> Lineage:
    """The lineage of a row of the catalogue; `hash` is that of the file that was read."""
    return Lineage(
        name=weights.name,
        net=weights.net,
        source=f"{weights.address}: {weights.file}" if weights.file not in weights.address else weights.address,
        licence=weights.licence,
        hash=hash or weights.hash,
        preprocessing=_preprocessing(weights),
        class_names=labels(LABELS[weights.origin, weights.outputs]) if weights.outputs else (),
        top1=weights.top1,
        top5=weights.top5,
    )
