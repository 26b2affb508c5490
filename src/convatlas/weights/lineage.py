"""Provenance of a net's weights: source, licence, hash, preprocessing and class names."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.base.files.structured import parse_json
from convatlas.base.terminal.brief import Brief
from convatlas.catalogue.lineages import Weights
from convatlas.images.darknet import KINDS, DarknetPreprocessing
from convatlas.images.decoding import Source, read
from convatlas.images.labels import labels
from convatlas.images.preprocessing import Preprocessing
from convatlas.weights.registry import origin


@dataclass(frozen=True)
class Lineage(Brief):
    """Provenance of a net's weights.

    Attributes:
        name: Name of the weights: "keras", "torchvision/IMAGENET1K_V2", "timm/a1_in1k", "lite", "own/mnist".
        net: The card's name of the net they belong to.
        source: Address, package or file they were read from.
        licence: Licence as stated by the publisher; empty where none is stated.
        hash: Hash of the file, verified before it was read: sha256, or the one that the publisher gives.
        preprocessing: Converts a photo (H, W, 3) to the net's input (C, h, w).
        class_names: Names of the classes in the order of the outputs; empty for an untrained head, or without a head.
        top1: Top-1 accuracy in percent, as printed by the publisher; empty if not printed.
        top5: Top-5 accuracy, likewise.
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
        """Turn a photo (a path, bytes, an array (H, W, 3) or a PIL image) into the net's input (C, h, w).

        Raises:
            ImageError: It cannot be read as a photo.
        """
        return self.preprocessing(read(photo))

    def for_shape(self, shape: tuple[int, ...]) -> Self:
        """Return the lineage whose preprocessing gives inputs of `shape`; the same one if that is not (C, h, w)."""
        if len(shape) != 3:
            return self
        return replace(self, preprocessing=self.preprocessing.for_size((shape[1], shape[2])))

    def fresh(self) -> Lineage:
        """Return the lineage of the same net with an untrained head, whose outputs have no names and no accuracy."""
        return replace(self, class_names=(), top1="", top5="")

    def plain(self) -> Lineage:
        """Return the lineage without what a subclass adds."""
        return Lineage(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Lineage)})

    def to_json(self) -> str:
        """Return the lineage as JSON, which `from_json` reads."""
        return json.dumps(dataclasses.asdict(self) | {"preprocessing": self.preprocessing.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the lineage that `to_json` wrote.

        Raises:
            WeightsError: The text is not such JSON.
        """
        try:
            data: dict[str, Any] = parse_json(text)
            fields = {field.name: data.pop(field.name) for field in dataclasses.fields(cls)}
            names, settings = fields.pop("class_names"), fields.pop("preprocessing")
            kind = DarknetPreprocessing if "kind" in settings else Preprocessing
            preprocessing = kind.from_dict(settings)
            # They are printed, so control characters of terminals are refused.
            texts = [*fields.values(), *names]
            if data or not isinstance(names, list) or not all(isinstance(t, str) and t.isprintable() for t in texts):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConvAtlasError):
            raise WeightsError("the description of the weights' lineage is damaged") from None
        return cls(preprocessing=preprocessing, class_names=tuple(names), **fields)


def lineage(weights: Weights, hash: str = "") -> Lineage:
    """Lineage of published weights; `hash` is that of the file that was read, if it is another one."""
    return Lineage(
        name=weights.name,
        net=weights.net,
        source=f"{weights.address}: {weights.file}" if weights.file not in weights.address else weights.address,
        licence=weights.licence,
        hash=hash or weights.hash,
        preprocessing=_preprocessing(weights),
        class_names=labels(origin(weights.origin).labels[weights.outputs]) if weights.outputs else (),
        top1=weights.top1,
        top5=weights.top5,
    )


def _preprocessing(weights: Weights) -> Preprocessing | DarknetPreprocessing:
    size = (weights.size, weights.size)
    if weights.geometry in KINDS:
        return DarknetPreprocessing(size, weights.geometry)
    pixels = origin(weights.origin).pixels[weights.pixels]
    return Preprocessing(size, weights.geometry, weights.resize, weights.interpolation, *pixels)
