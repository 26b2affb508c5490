"""Classify photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from convatlas.images.decoding import Source
from convatlas.images.sources import source_name, sources
from convatlas.predict.digit_notes import digit_notes
from convatlas.predict.photo_verb import photo_verb
from convatlas.predict.predictors import BATCH, classifier, prepare
from convatlas.predict.results import Answer, Classification, check_top
from convatlas.weights.weights_file import Labels, weights_file

if TYPE_CHECKING:
    from torch import nn


@photo_verb
def classify(
    photos: Source | Sequence[Source],
    net: str | nn.Module = "efficientnet_lite0",
    *,
    weights: str | None = None,
    convention: str | None = None,
    labels: Labels | None = None,
    genes: Mapping[str, object] | None = None,
    top: int = 5,
    device: str = "auto",
    engine: str = "auto",
) -> Iterator[Classification]:
    """Find the most probable classes of one photo or of several.

    Args:
        photos: A path, bytes, an array (H, W, 3) or a PIL image; or a folder, or a list of any of these.
        net: A net's name, or a net that `load` returned or `train` trained; your own as `package.module:callable`.
        weights: Lineage or file of weights if `net` is a name, as in `load`; by default the net's first lineage.
        convention: For a foreign file of weights, the lineage whose conventions it follows, as in `load`.
        labels: For a file of weights, the names of its classes, or a text file with one on each line, as in `load`.
        genes: Genes to change, as in `build`, if `net` is a name; those that add or change weights do not fit.
        top: How many classes, from 1 up to all of them.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto": ONNX Runtime or OpenVINO, without loading PyTorch, if `net` is a name and `accelerate` has
            exported these weights before, otherwise eager mode. "eager": PyTorch. "onnxruntime" or "openvino": that
            engine, for a `net` given by name; the weights are exported first if necessary.

    Returns:
        A `Classification` for a single photo; a list of them for a folder or a list, in which photos that cannot be
        read have an `error` and empty `answers`. Nets for digits have `notes` on photos that do not show one as MNIST
        does.

    Raises:
        ImageError: A single photo cannot be read.
        UnknownName: There is no such net, device or engine.
        WeightsError: The net has no weights.
    """
    predictor = classifier(net, weights_file(weights, convention, labels), device, engine, genes)
    lineage = predictor.lineage
    check_top(top, len(lineage.class_names))
    photos = sources(photos)
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        prepared = prepare(lineage.preprocessing, batch)
        indices, probabilities = predictor.top_classes(prepared.x, top) if len(prepared.x) else ((), ())
        inputs = iter(prepared.x)
        rows = iter(zip(indices, probabilities, strict=True))
        for photo, error in zip(batch, prepared.errors, strict=True):
            answers: tuple[Answer, ...] = ()
            notes: tuple[str, ...] = ()
            if error is None:
                notes = digit_notes(lineage, next(inputs))
                answers = tuple(
                    Answer(lineage.class_names[index], int(index), float(probability))
                    for index, probability in zip(*next(rows), strict=True)
                )
            yield Classification(source_name(photo), predictor.net, lineage.name, answers, error, notes)
