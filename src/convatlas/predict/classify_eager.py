"""What is on a photo, as a net sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import torch

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, ImageError, WeightsError
from convatlas.images.decoding import Source
from convatlas.images.sources import name, sources
from convatlas.nets.net import Net
from convatlas.nets.probabilities import probabilities
from convatlas.predict.results import Answer, Classification, check_top
from convatlas.weights.load import load

BATCH = 16


def classifications(
    photos: Source | Sequence[Source],
    net: str | Net = "efficientnet_lite0",
    *,
    weights: str | None = None,
    top: int = 5,
    device: str = "auto",
) -> Iterator[Classification]:
    """The most probable classes of each of many photos, one after the other as they are found, by a net in eager mode.

    Photos that cannot be read have an `error` and no answers. Arguments and errors are those of `classify`.
    """
    where = device_of(device)
    net = classifier(net, weights)
    names = net.lineage.class_names
    check_top(top, len(names))
    net.to(where).eval()
    given = sources(photos)
    for start in range(0, len(given), BATCH):
        prepared = [_prepared(net, source) for source in given[start : start + BATCH]]
        good = [x for x in prepared if not isinstance(x, str)]
        answered = iter(_answers(net, good) if good else [])
        for source, x in zip(given[start : start + BATCH], prepared, strict=True):
            error, answers = (x, ()) if isinstance(x, str) else (None, _best(next(answered), names, top))
            yield Classification(name(source), net.card.name, net.lineage.name, answers, error)


def classifier(net: object, weights: str | None) -> Net:
    """A net whose answers have names: one by its name, or what `load` gave.

    Raises:
        ConvAtlasError: It is something else, or finds boxes.
        WeightsError: Its weights are random, or its classes have no names.
    """
    if isinstance(net, str | os.PathLike):
        net = load(net, weights=weights)
    elif weights is not None:
        raise ConvAtlasError("weights go with a net's name: a net that `load` gave has its own")
    if not isinstance(net, Net):
        raise ConvAtlasError(f"a net to classify with is a name, or what `load` gave, not {type(net).__name__}")
    if net.card.output_kind == "raw detector heads":
        raise ConvAtlasError(f"{net.card.name} finds boxes, it does not classify: detect with it")
    if net.lineage is None:
        raise WeightsError(f"{net.card.name} has random weights, whose answers mean nothing; load it with weights")
    if not net.lineage.class_names:
        raise WeightsError(f"this {net.card.name} names no classes: its head is fresh, or cut off")
    return net


def _prepared(net: Net, source: Source) -> torch.Tensor | str:
    try:
        return net.preprocess(source)
    except ImageError as error:
        return str(error)


def _answers(net: Net, batch: list[torch.Tensor]) -> list[torch.Tensor]:
    with torch.inference_mode():
        x = torch.stack(batch).to(next(net.parameters()))  # (N, 3, h, w)
        return list(probabilities(net, net(x)).cpu())  # N of (classes,)


def _best(shares: torch.Tensor, names: tuple[str, ...], top: int) -> tuple[Answer, ...]:
    values, numbers = shares.topk(min(top, len(names)))
    return tuple(
        Answer(names[number], number, value) for number, value in zip(numbers.tolist(), values.tolist(), strict=True)
    )
