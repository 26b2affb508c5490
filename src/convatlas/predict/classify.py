"""What is on a photo, by the quickest way there is to a net: a cached engine that needs no torch, or eager mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from convatlas.base.errors import ConvAtlasError, ImageError, unknown
from convatlas.catalogue.cards import find
from convatlas.engines.cached import CachedNet, cached_net, classifies
from convatlas.engines.options import AUTO, EAGER
from convatlas.engines.registry import without_torch
from convatlas.engines.session import Photos
from convatlas.images.decoding import Source
from convatlas.images.sources import name, sources
from convatlas.predict.photo_verb import photo_verb
from convatlas.predict.results import Answer, Classification, check_top

if TYPE_CHECKING:
    from convatlas.nets.net import Net

BATCH = 16


@photo_verb
def classify(
    photos: Source | Sequence[Source],
    net: str | Net = "efficientnet_lite0",
    *,
    weights: str | None = None,
    top: int = 5,
    device: str = "auto",
    engine: str = "auto",
) -> Iterator[Classification]:
    """The most probable classes of a photo, or of each of many.

    Args:
        photos: A path, bytes, an array (H, W, 3) or a PIL image; or a folder, or a list of any of these.
        net: A net's name, or a net that `load` gave.
        weights: Which weights of a net by its name, as in `load`; its first if not said.
        top: How many classes, 1 up to all of them.
        device: "auto", "cpu", "cuda" or "mps".
        engine: Of a net by its name: "auto": ONNX Runtime or OpenVINO, if `accelerate` made their files for these
            weights before, and then without loading PyTorch, else eager mode; "eager"; or one of these two, whose files
            are then made if they are not there.

    Returns:
        A `Classification` for a single photo; a list of them for a folder or a list, in which photos that cannot be
        read have an `error` and no answers.

    Raises:
        ImageError: A single photo cannot be read.
        UnknownName: No such net, device or engine.
        WeightsError: The net has no weights.
    """
    engines = (AUTO, EAGER, *without_torch())
    if engine not in engines:
        raise unknown("engine to classify with", engine, engines)
    quick = None
    if isinstance(net, str) and engine != EAGER and device in ("auto", "cpu"):
        quick = cached_net(net, weights, None if engine == AUTO else engine)
        if quick is None and engine != AUTO and classifies(net, weights):
            from convatlas.engines.accelerate import accelerate

            accelerate(net, engine, weights=weights)
            quick = cached_net(net, weights, engine)
    if quick is not None:
        return _by(quick, sources(photos), top)
    if engine not in (AUTO, EAGER):
        # A wrong name is told as such; files and nets of the user's own have signs that names lack.
        if isinstance(net, str) and not {".", ":"} & set(net):
            find(net)
        raise ConvAtlasError(f"{engine} classifies on the cpu, by the name of a net and published weights of classes")
    from convatlas.predict.classify_eager import classifications as eager

    return eager(photos, net, weights=weights, top=top, device=device)


def _by(quick: CachedNet, given: Sequence[Source], top: int) -> Iterator[Classification]:
    names = quick.lineage.class_names
    check_top(top, len(names))
    for start in range(0, len(given), BATCH):
        prepared = [_prepared(quick, source) for source in given[start : start + BATCH]]
        good = [x for x in prepared if not isinstance(x, str)]
        shares = iter(quick.probabilities(np.stack(good)) if good else ())
        for source, x in zip(given[start : start + BATCH], prepared, strict=True):
            error, answers = (x, ()) if isinstance(x, str) else (None, _best(next(shares), names, top))
            yield Classification(name(source), quick.net, quick.lineage.name, answers, error)


def _prepared(quick: CachedNet, source: Source) -> Photos | str:
    try:
        return quick.lineage.prepare(source)
    except ImageError as error:
        return str(error)


def _best(shares: Photos, names: Sequence[str], top: int) -> tuple[Answer, ...]:
    numbers = np.argsort(-shares, kind="stable")[:top]
    return tuple(Answer(names[number], int(number), float(shares[number])) for number in numbers)
