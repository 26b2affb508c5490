"""Detect objects on photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from convatlas.base.devices import device_of
from convatlas.images.decoding import Source
from convatlas.images.sources import source_name, sources
from convatlas.nets.net import Net
from convatlas.predict.nets import detecting_net
from convatlas.predict.photo_verb import photo_verb
from convatlas.predict.predictors import Detector, prepare
from convatlas.predict.results import Detection, check_limits
from convatlas.predict.sessions import EagerSession
from convatlas.weights.weights_file import Labels, weights_file


@photo_verb
def detect(
    photos: Source | Sequence[Source],
    net: str | Net = "yolo_v3",
    *,
    weights: str | None = None,
    convention: str | None = None,
    labels: Labels | None = None,
    threshold: float = 0.25,
    top: int = 100,
    device: str = "auto",
) -> Iterator[Detection]:
    """Find the objects on one photo or on several, with their boxes.

    Args:
        photos: A path, bytes, an array (H, W, 3) or a PIL image; or a folder, or a list of any of these.
        net: A detector's name, or a net that `load` returned.
        weights: Lineage or file of weights if `net` is a name, as in `load`; by default the net's first lineage.
        convention: For a foreign file of weights, the lineage whose conventions it follows, as in `load`.
        labels: For a file of weights, the names of its classes, or a text file with one on each line, as in `load`.
        threshold: Score that an object has to exceed, at least 0 and below 1.
        top: Largest number of objects, 1 or more.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        A `Detection` for a single photo; a list of them for a folder or a list, in which photos that cannot be read
        have an `error` and empty `objects`.

    Raises:
        ImageError: A single photo cannot be read.
        UnknownName: There is no such net or device.
        WeightsError: The net has no weights, or the file does not fit it.
    """
    place = device_of(device)
    check_limits(threshold, top)
    module = detecting_net(net, weights_file(weights, convention, labels))
    predictor = Detector.of(module, EagerSession(module, place))
    template = Detection("", predictor.net, predictor.lineage.name, float(threshold), None, ())
    for photo in sources(photos):
        prepared = prepare(predictor.lineage.preprocessing, [photo])
        if prepared.errors[0] is not None:
            yield replace(template, photo=source_name(photo), error=prepared.errors[0])
        else:
            (objects,) = predictor.objects(prepared.x, prepared.sizes, threshold, top)
            yield replace(template, photo=source_name(photo), size=prepared.sizes[0], objects=objects)
