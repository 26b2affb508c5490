"""Build a net from its name and genes."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from convatlas.base.errors import ConvAtlasError, GeneError, SizeError
from convatlas.base.untouched import evaluating
from convatlas.catalogue.cards import Card, find_card
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.loci import LOCI
from convatlas.nets.initialize import initialize
from convatlas.nets.net import Net

Size = int | tuple[int, int]


def build(
    name: str,
    *,
    classes: int | None = None,
    channels: int | None = None,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    seed: int = 0,
) -> Net:
    """Build a net of the atlas with random weights, in training mode, on the CPU.

    Args:
        name: Name as in `list_nets()`, or as published ("ResNet50").
        classes: Number of classes (of outputs, if the net has no classes); by default the published one.
        channels: Number of input channels; by default the published one.
        genes: Genes that differ from the published ones, by locus: {"activation": "gelu", "dropout": 0.2}.
        size: Height and width of the photos, or one number for both; by default the published size. Only nets that
            flatten a whole map (VGG) depend on it.
        seed: Seed of the random weights, from 0 to 2^64 - 1.

    Returns:
        The net, (N, channels, height, width) -> (N, classes).

    Raises:
        UnknownName: No such net, locus or gene.
        GeneError: A gene that does not fit the net; the message lists those that do.
        SizeError: A size that the net cannot take.
    """
    net = skeleton(name, classes=classes, channels=channels, genes=genes, size=size)
    initialize(net, seed)
    return net


def skeleton(
    name: str | Card,
    *,
    classes: int | None = None,
    channels: int | None = None,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    variant: Mapping[str, object] | None = None,
) -> Net:
    """Build a net on the meta device, where its tensors have shapes but no memory.

    `variant` replaces fields of the net's `Config` where a lineage differs from the published net (a stride, an eps).
    """
    card = name if isinstance(name, Card) else find_card(name)
    family = family_of(card)
    config = _config(card, variant)
    published = family.default_genome(config)
    genome = published.swapped(card.name, genes or {})
    photo = _photo_size(size, card)
    in_channels = _count("channels", channels, card.input[2])
    outputs = _count("classes", classes, card.classes or card.outputs)
    try:
        net = _assemble(family, config, genome, outputs, in_channels, photo)
        if genome != published or photo != card.input[:2]:
            _run(net, in_channels, photo)
    except (RuntimeError, ValueError) as error:
        # Whether genes and photos fit is checked with the published number of classes, which always fits.
        raise _explain(error, card, family, config, genome, card.classes or card.outputs, in_channels, photo) from None
    net.card = card
    return net


def family_of(card: Card) -> type[Net]:
    """Return the class of a net: the one in the family's module that has the net among its variants."""
    module = importlib.import_module(f"convatlas.nets.families.{card.family}")
    for member in vars(module).values():
        if isinstance(member, type) and issubclass(member, Net) and card.name in getattr(member, "variants", ()):
            return member
    raise LookupError(f"no class in nets/families/{card.family}.py has the variant {card.name}")


def published_genome(card: Card, variant: Mapping[str, object]) -> Genome:
    """Return the genome of a net as published, or as in a lineage whose `Config` differs by `variant`."""
    return family_of(card).default_genome(_config(card, variant))


def _config(card: Card, variant: Mapping[str, object] | None) -> Any:
    return dataclasses.replace(family_of(card).variants[card.name], **(variant or {}))


def _assemble(
    family: type[Net], config: object, genome: Genome, classes: int, channels: int, photo: tuple[int, int]
) -> Net:
    with torch.device("meta"):
        return family(config, genome, classes, channels, photo)


def _run(net: nn.Module, channels: int, photo: tuple[int, int]) -> None:
    """Run one forward pass on the meta device in evaluation mode."""
    with evaluating(net), torch.no_grad():
        net(torch.empty(1, channels, *photo, device="meta"))


def _fits(
    family: type[Net], config: object, genome: Genome, classes: int, channels: int, photo: tuple[int, int]
) -> bool:
    try:
        _run(_assemble(family, config, genome, classes, channels, photo), channels, photo)
    except (RuntimeError, ValueError):
        return False
    return True


def _explain(
    error: Exception,
    card: Card,
    family: type[Net],
    config: object,
    genome: Genome,
    classes: int,
    channels: int,
    photo: tuple[int, int],
) -> ConvAtlasError:
    """Return the error to raise instead of `error`: it names the gene or size that does not fit, and those that do."""
    published = family.default_genome(config)
    if not _fits(family, config, published, classes, channels, photo):
        low, high = 1, max(*card.input[:2], *photo)
        while low < high:
            middle = (low + high) // 2
            if _fits(family, config, published, classes, channels, (middle, middle)):
                high = middle
            else:
                low = middle + 1
        return SizeError(
            f"{card.name} cannot take photos of {photo[0]} x {photo[1]}; the smallest it takes is {low} x {low}"
        )
    for locus in LOCI:
        value = getattr(genome, locus)
        if value == getattr(published, locus):
            continue
        alone = published.swapped(card.name, {locus: value})
        if _fits(family, config, alone, classes, channels, photo):
            continue
        fitting = [
            name
            for name in LOCI[locus]
            if _fits(family, config, published.swapped(card.name, {locus: name}), classes, channels, photo)
        ]
        if getattr(published, locus) == PUBLISHED:
            fitting.insert(0, PUBLISHED)
        return GeneError(
            f"{locus}={value} does not fit {card.name} at {photo[0]} x {photo[1]}; these do: {', '.join(fitting)}"
        )
    chosen = ", ".join(f"{locus}={getattr(genome, locus)}" for locus in LOCI if getattr(genome, locus) is not None)
    return GeneError(f"{card.name} cannot be built from these genes together ({chosen}): {str(error).splitlines()[0]}")


def _photo_size(size: Size | None, card: Card) -> tuple[int, int]:
    if size is None:
        return card.input[:2]
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2 or not all(
        isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= 8192 for side in pair
    ):
        raise SizeError(f"a size is a number of pixels from 1 to 8192, or a pair (height, width) of them; got {size!r}")
    return pair[0], pair[1]


def _count(name: str, value: int | None, published: int) -> int:
    if value is None:
        return published
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise SizeError(f"{name} is a whole number from 1 to 1000000; got {value!r}")
    return value
