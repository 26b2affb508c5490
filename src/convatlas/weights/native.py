"""The own lineage: safetensors that convatlas wrote, with everything in them that is needed to build the net again."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, WeightsError, printable
from convatlas.catalogue.cards import find
from convatlas.genes.gene import Gene
from convatlas.genes.regularization import StochasticDepth
from convatlas.nets.build import published_genome, skeleton
from convatlas.nets.net import Net
from convatlas.weights.adapt import embedding
from convatlas.weights.lineage import Lineage
from convatlas.weights.lineages.registry import variant
from convatlas.weights.state_io import fits, safetensors, save_safetensors

FORMAT = "1"


@dataclass(frozen=True)
class Description:
    """What a file says of its net, beside the tensors; all that `skeleton` asks for.

    Attributes:
        net: The card's name.
        follows: As `Net.follows`.
        genes: Other genes than the published ones, by locus.
        classes: Outputs; 0 where the last layer is not there: the net gives an embedding.
        channels: Of the input.
        size: (height, width) the net was made for.
        lineage: Where the weights come from; None for random ones.
    """

    net: str
    follows: str
    genes: Mapping[str, object]
    classes: int
    channels: int
    size: tuple[int, int]
    lineage: Lineage | None


def describe(net: Net) -> Description:
    """The description of a net.

    Raises:
        WeightsError: It is otherwise than can be described: a gene is no name, or a module was put in by hand.
    """
    published = published_genome(net.card, variant(net.card, net.follows))
    genes = {
        field.name: getattr(net.genome, field.name)
        for field in dataclasses.fields(net.genome)
        if getattr(net.genome, field.name) != getattr(published, field.name)
    }
    if own := [locus for locus, value in genes.items() if isinstance(value, Gene)]:
        raise WeightsError(f"the net has a gene of your own at {own[0]}, which cannot be written; genes by name can")
    found = Description(net.card.name, net.follows, genes, net.classes, net.channels, net.size, net.lineage)
    here, there = (dict(one.named_modules()) for one in (net, _made(found, net.state_dict())))
    # In front of an end that was cut off a dropout may be left out: it does nothing for an embedding.
    there = {name: module for name, module in there.items() if name in here or not isinstance(module, nn.Dropout)}
    if changed := [name for name in {**here, **there} if _told(here.get(name)) != _told(there.get(name))]:
        raise WeightsError(f"this {net.card.name} was changed by hand at {changed[0]}, which no file can tell")
    return found


def _told(module: nn.Module | None) -> str:
    """What a module does when it is evaluated, without those inside it."""
    if module is None:
        return ""
    told = "" if isinstance(module, nn.Dropout | StochasticDepth) else module.extra_repr()
    return f"{type(module).__name__} {re.sub(r'momentum=[^,]+', '', told)}"


def _made(description: Description, names: Container[str]) -> Net:
    """The net, on the meta device; a head that was cut off ends where the names of its weights do."""
    card = find(description.net)
    net = skeleton(
        card.name,
        classes=description.classes or None,
        channels=description.channels,
        genes=description.genes,
        size=description.size,
        variant=variant(card, description.follows),
    )
    if not description.classes:
        net.cut_head(embedding(net, names))
    return net


def write(weights: Mapping[str, Tensor], description: Description, path: Path) -> None:
    """Writes the file, whole or not at all.

    Raises:
        WeightsError: The description could not be read again.
    """
    plain = {field.name: getattr(description, field.name) for field in dataclasses.fields(description)}
    lineage = plain.pop("lineage")
    metadata = {"convatlas": FORMAT, "net": json.dumps(plain)}
    if lineage is not None:
        metadata["lineage"] = lineage.to_json()
    _described(metadata, path)
    save_safetensors(weights, metadata, path)


def read(path: Path) -> tuple[dict[str, Tensor], Description | None]:
    """The tensors of a safetensors file, mapped into memory, and their description; None if others wrote the file.

    Raises:
        WeightsError: The file is damaged, or of a later format.
    """
    weights, metadata = safetensors(path)
    if "convatlas" not in metadata:
        return weights, None
    if metadata["convatlas"] != FORMAT:
        raise WeightsError(f"{path.name} is of format {metadata['convatlas']!r:.20}; this version reads {FORMAT}")
    return weights, _described(metadata, path)


def check(weights: Mapping[str, Tensor], description: Description, path: Path) -> None:
    """Refuses a file that describes no net of the atlas, holds weights of another, or prepares photos for another.

    Raises:
        WeightsError: It does; the text names the file.
    """
    try:
        net = _made(description, weights)
    except ConvAtlasError as error:
        raise WeightsError(f"{path.name} describes no {description.net}: {printable(error)}") from None
    fits(weights, net.state_dict(), f"the weights in {path.name}")
    if description.lineage is None or (size := description.lineage.preprocessing.size) == description.size:
        return
    try:
        # Without memory: nets that flatten a map whole take one size alone.
        net.eval()(torch.empty(1, description.channels, *size, device="meta"))
    except (RuntimeError, ValueError):
        here, there = ("{} x {}".format(*each) for each in (size, description.size))
        raise WeightsError(
            f"{path.name} prepares photos of {here} pixels, which its {description.net} for {there} cannot take"
        ) from None


TYPES = {"net": str, "follows": str, "genes": dict, "classes": int, "channels": int, "size": list}
"""Of the fields of a description, as JSON has them."""


def _described(metadata: Mapping[str, str], path: Path) -> Description:
    """The description in a file; whether the net can be built from it is left open."""
    try:
        data = json.loads(metadata["net"])
        lineage = Lineage.from_json(metadata["lineage"]) if "lineage" in metadata else None
        if {name: type(value) for name, value in data.items()} != TYPES or list(map(type, data["size"])) != [int, int]:
            raise ValueError
        found = Description(**{**data, "size": tuple(data["size"])}, lineage=lineage)
        if find(found.net).name != found.net or found.classes < 0:
            raise ValueError
        if lineage is not None and (lineage.net != found.net or len(lineage.class_names) not in (0, found.classes)):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConvAtlasError):
        raise WeightsError(f"{path.name} does not say which net it holds: its description is damaged") from None
    return found
