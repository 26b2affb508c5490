"""Predictors: a net in a session, with its preprocessing and the decoding of its outputs. Needs no torch.

All predictions are made here: `prepare` turns photos into inputs, and a predictor turns inputs into probabilities,
embeddings or boxes, in any session; eager mode is a session too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, ImageError, WeightsError, unknown
from convatlas.engines.cached import cached_net, classifies
from convatlas.engines.options import AUTO, EAGER
from convatlas.engines.probabilities import MAPS, probability_map_of
from convatlas.engines.registry import without_torch
from convatlas.engines.session import Float32Array, Session
from convatlas.images.darknet import DarknetPreprocessing
from convatlas.images.decoding import Source, read
from convatlas.images.preprocessing import Preprocessing
from convatlas.predict.results import DetectedObject
from convatlas.weights.lineage import Lineage
from convatlas.weights.resolve import NamedNet, find_net

if TYPE_CHECKING:
    from convatlas.nets.families.yolo import YOLO
    from convatlas.predict.nets import TrainedNet

BATCH = 16
"""Photos in a batch."""

MAX_OVERLAP = {True: 0.4, False: 0.45}
"""IoU above which non-maximum suppression drops a box, by whether boxes belong to cells (YOLOv1); as in darknet."""

Sizes = Sequence[tuple[int, int]]
"""Height and width of each photo in pixels."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """A batch of photos, prepared for a net.

    Attributes:
        x: Inputs of the photos that could be read, (n, C, h, w), float32.
        sizes: Height and width of each of these photos in pixels.
        errors: For each photo of the batch, why it could not be read; None if it could.
    """

    x: Float32Array
    sizes: Sizes
    errors: list[str | None]


def prepare(preprocessing: Preprocessing | DarknetPreprocessing, photos: Sequence[Source]) -> Prepared:
    """Read photos and turn them into inputs of a net; photos that cannot be read are left out."""
    x = np.empty((len(photos), preprocessing.channels, *preprocessing.size), np.float32)
    sizes: list[tuple[int, int]] = []
    errors: list[str | None] = []
    for photo in photos:
        try:
            pixels = read(photo)
            x[len(sizes)] = preprocessing(pixels)
            sizes.append((pixels.shape[0], pixels.shape[1]))
            errors.append(None)
        except ImageError as error:
            errors.append(str(error))
    return Prepared(x[: len(sizes)], sizes, errors)


@dataclass(frozen=True)
class Predictor:
    """A net that runs in a session.

    Attributes:
        net: The card's name.
        lineage: Lineage of the net's weights, with preprocessing and class names.
        session: The session that runs it.
    """

    net: str
    lineage: Lineage
    session: Session


@dataclass(frozen=True)
class Classifier(Predictor):
    """A net that classifies.

    Attributes:
        map: Name of the map from outputs to probabilities, as in `Card.probabilities`.
    """

    map: str

    @classmethod
    def of(cls, net: TrainedNet, session: Session) -> Self:
        """Make the classifier of a net that `session` runs.

        Raises:
            ConvAtlasError: It is not known how the net's outputs become probabilities.
        """
        name = probability_map_of(net.module)
        if name not in MAPS:
            raise ConvAtlasError(
                f"{net.name} was trained with a loss of its own, which does not say how outputs become probabilities: "
                f"give its class an attribute `probabilities`, one of {', '.join(MAPS)}, and train it"
            )
        return cls(net.name, net.lineage, session, name)

    def probabilities(self, x: Float32Array) -> Float32Array:
        """Class probabilities (N, classes), 0 to 1, of inputs (N, C, h, w).

        Raises:
            ConvAtlasError: The net has not one output for each class.
        """
        y = self.session(x)
        check_outputs(y, self.lineage, self.net)
        return MAPS[self.map](y)

    def top_classes(self, x: Float32Array, top: int) -> tuple[NDArray[np.intp], Float32Array]:
        """Indices and probabilities of the `top` most probable classes of each input, (N, top) both."""
        probabilities = self.probabilities(x)
        indices = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        return indices, np.take_along_axis(probabilities, indices, axis=1)


def check_outputs(y: Float32Array, lineage: Lineage, net: str) -> None:
    """Refuse outputs that are not (N, classes) for the classes of a lineage; only a net of the user can have them.

    Raises:
        ConvAtlasError: They are not.
    """
    if y.ndim != 2 or y.shape[1] != len(lineage.class_names):
        outputs, classes = " x ".join(map(str, y.shape[1:])), len(lineage.class_names)
        raise ConvAtlasError(f"{net} has {outputs} outputs for a photo; its weights name {classes} classes")


class Embedder(Predictor):
    """A net without its last layer."""

    @classmethod
    def of(cls, net: TrainedNet, session: Session) -> Self:
        """Make the embedder of a net that `session` runs."""
        return cls(net.name, net.lineage, session)

    def embeddings(self, x: Float32Array) -> Float32Array:
        """Embeddings (N, features) of inputs (N, C, h, w)."""
        return self.session(x).reshape(len(x), -1)


@dataclass(frozen=True)
class Detector(Predictor):
    """A net that detects objects.

    Attributes:
        yolo: The net itself, whose anchors and classes decode the outputs.
    """

    yolo: YOLO

    @classmethod
    def of(cls, net: YOLO, session: Session) -> Self:
        """Make the detector of a net that `session` runs."""
        return cls(net.card.name, net.lineage, session, net)

    def objects(self, x: Float32Array, sizes: Sizes, threshold: float, top: int) -> list[tuple[DetectedObject, ...]]:
        """Up to `top` objects with scores above `threshold` for each input of (N, 3, h, w), in pixels of its photo."""
        import torch

        from convatlas.nets.boxes import decode, select_boxes

        overlap = MAX_OVERLAP[bool(self.yolo.config.cell_boxes)]
        boxes, scores = decode(self.yolo, torch.from_numpy(self.session(x)), self.lineage.preprocessing.size)
        kept = [select_boxes(*photo, threshold, overlap, top) for photo in zip(boxes, scores, strict=True)]
        return [
            self._to_objects(corners.double().numpy(), scores.double().numpy(), classes.tolist(), size)
            for (corners, scores, classes), size in zip(kept, sizes, strict=True)
        ]

    def _to_objects(
        self, corners: Doubles, scores: Doubles, classes: list[int], size: tuple[int, int]
    ) -> tuple[DetectedObject, ...]:
        """Objects of one photo of `size`, with their boxes in its pixels."""
        height, width = size
        preprocessing = self.lineage.preprocessing
        assert isinstance(preprocessing, DarknetPreprocessing)
        boxes = preprocessing.boxes_to_photo(corners, height, width).clip(0, [width, height, width, height])
        names = self.lineage.class_names
        objects = (
            DetectedObject(names[index], index, float(score), tuple(box.tolist()))
            for box, score, index in zip(boxes, scores, classes, strict=True)
        )
        # Boxes in the grey border around the photo have no area after clipping.
        return tuple(thing for thing in objects if thing.box[0] < thing.box[2] and thing.box[1] < thing.box[3])


def classifier(
    net: object, weights: str | None, device: str, engine: str, genes: Mapping[str, object] | None = None
) -> Classifier:
    """Start a net to classify with, without PyTorch if that is possible.

    Args:
        net: A net's name, a net that `load` returned or `train` trained, or `package.module:callable`.
        weights: Lineage or file of weights if `net` is a name, as in `load`.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto": an engine that needs no PyTorch, if `accelerate` has exported these weights for it, otherwise
            eager mode. "eager": PyTorch. Name of an engine: that one; the weights are exported first if necessary.
        genes: Genes to change, as in `build`; the net then runs in eager mode.

    Raises:
        UnknownName: There is no such net, device or engine.
        ConvAtlasError: The engine cannot run this net, or the net does not classify.
        WeightsError: The net has no weights, or no class names.
    """
    engines = (AUTO, EAGER, *without_torch())
    if engine not in engines:
        raise unknown("engine to classify with", engine, engines)
    named: NamedNet | None = None
    # For a named engine, nets without published weights are refused below, together with files.
    with suppress(WeightsError) if engine not in (AUTO, EAGER) else nullcontext():
        named = find_net(net, weights)
    if named is not None and engine != EAGER and not genes and device in (AUTO, "cpu"):
        cached = cached_net(named, None if engine == AUTO else engine)
        if cached is None and engine != AUTO and classifies(named):
            from convatlas.engines.accelerate import accelerate

            fast = accelerate(named, engine)
            cached = cached_net(named, engine)
            if cached is None and fast.lineage is not None:
                # In a read-only store.
                return Classifier(named.card.name, fast.lineage, fast.session, named.card.probabilities)
        if cached is not None:
            return Classifier(cached.net, cached.lineage, cached.session, cached.map)
    if engine not in (AUTO, EAGER):
        if genes:
            raise ConvAtlasError(f"a net with other genes than published classifies in eager mode, not in {engine}")
        raise ConvAtlasError(f"{engine} classifies on the cpu, by the name of a net and published weights of classes")
    from convatlas.predict.nets import check_channels, classifying_net
    from convatlas.predict.sessions import EagerSession

    place = device_of(device)
    trained = classifying_net(named or net, None if named else weights, genes)
    check_channels(trained)
    return Classifier.of(trained, EagerSession(trained.module, place))
