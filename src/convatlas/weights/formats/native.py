"""Our native format: a safetensors file with everything that is needed to build its net again."""

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
from convatlas.base.files.structured import parse_json
from convatlas.base.terminal.arguments import argument, spelled
from convatlas.catalogue.cards import find_card
from convatlas.genes.gene import Gene
from convatlas.genes.regularization import StochasticDepth
from convatlas.nets.build import published_genome, skeleton
from convatlas.nets.net import Net
from convatlas.weights.adapt import embedding_modules
from convatlas.weights.formats.state_io import check_fit, read_safetensors, write_safetensors
from convatlas.weights.lineage import Lineage
from convatlas.weights.registry import variant

ENDING = ".safetensors"

FORMAT = "1"
"""Version of the format; files of other versions are refused."""

CALLABLE = "callable"
"""Key of the metadata with the name of a user's own net; such a file describes no net of the atlas."""


@dataclass(frozen=True)
class Description:
    """Description of a net in its file: all arguments of `skeleton`, and the lineage.

    Attributes:
        net: The card's name.
        follows: Lineage whose conventions the net follows, as in `Net.follows`.
        genes: Genes that differ from the published ones, by their locus (their field in the genome).
        classes: Number of outputs; 0 if the last layer was cut off, so that the net gives an embedding.
        channels: Number of input channels.
        size: (height, width) of the photos that the net was made for.
        lineage: Provenance of the weights; None for random ones.
    """

    net: str
    follows: str
    genes: Mapping[str, object]
    classes: int
    channels: int
    size: tuple[int, int]
    lineage: Lineage | None


def describe(net: Net) -> Description:
    """Return the description of a net.

    Raises:
        WeightsError: It cannot be described: a gene has no name, or a module was replaced by hand.
    """
    published = published_genome(net.card, variant(net.card, net.follows))
    genes = {
        field.name: getattr(net.genome, field.name)
        for field in dataclasses.fields(net.genome)
        if getattr(net.genome, field.name) != getattr(published, field.name)
    }
    if custom := [locus for locus, value in genes.items() if isinstance(value, Gene)]:
        raise WeightsError(f"the net has a gene of your own at {custom[0]}, which cannot be written; genes by name can")
    description = Description(net.card.name, net.follows, genes, net.classes, net.channels, net.size, net.lineage)
    here, there = (dict(each.named_modules()) for each in (net, _built(description, net.state_dict())))
    # If the last layer was cut off, the dropout in front of it may be missing; it has no effect in evaluation.
    there = {name: module for name, module in there.items() if name in here or not isinstance(module, nn.Dropout)}
    if changed := [name for name in {**here, **there} if _settings(here.get(name)) != _settings(there.get(name))]:
        raise WeightsError(f"this {net.card.name} was changed by hand at {changed[0]}, which a file cannot describe")
    return description


def _settings(module: nn.Module | None) -> str:
    """Class and settings of a module that matter in evaluation mode, without its submodules."""
    if module is None:
        return ""
    settings = "" if isinstance(module, nn.Dropout | StochasticDepth) else module.extra_repr()
    return f"{type(module).__name__} {re.sub(r'momentum=[^,]+', '', settings)}"


def _built(description: Description, names: Container[str]) -> Net:
    """Build the described net on the meta device; `names` of the weights show where a cut head ends."""
    card = find_card(description.net)
    net = skeleton(
        card.name,
        classes=description.classes or None,
        channels=description.channels,
        genes=description.genes,
        size=description.size,
        variant=variant(card, description.follows),
    )
    if not description.classes:
        net.cut_head(embedding_modules(net, names))
    return net


def write(weights: Mapping[str, Tensor], description: Description, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        WeightsError: `read` would refuse the description.
    """
    fields = {field.name: getattr(description, field.name) for field in dataclasses.fields(description)}
    lineage = fields.pop("lineage")
    metadata = {"convatlas": FORMAT, "net": json.dumps(fields)}
    if lineage is not None:
        metadata["lineage"] = lineage.to_json()
    _description(metadata, path)
    write_safetensors(weights, metadata, path)


def read(path: Path) -> tuple[dict[str, Tensor], Description | None]:
    """Return the tensors of a safetensors file, mapped into memory, and its description or None.

    Raises:
        WeightsError: The file is damaged, has another version of the format, or holds a net of the user.
    """
    weights, metadata = read_safetensors(path)
    if "convatlas" not in metadata:
        return weights, None
    check_format(metadata, path)
    if CALLABLE in metadata:
        raise WeightsError(
            f"{path.name} holds weights of {printable(metadata[CALLABLE])!r}, a net of your own: give that as "
            f"{spelled('the net', argument('net'))}, and the file as {argument('weights')}"
        )
    return weights, _description(metadata, path)


def check_format(metadata: Mapping[str, str], path: Path) -> None:
    """Refuse a file of another version of the format.

    Raises:
        WeightsError: It is of another version.
    """
    if metadata["convatlas"] != FORMAT:
        raise WeightsError(
            f"{path.name} is of format {metadata['convatlas']!r:.20}; this version of convatlas reads {FORMAT}"
        )


def check(weights: Mapping[str, Tensor], description: Description, path: Path) -> None:
    """Refuse a file whose description is not that of a net, or whose weights or preprocessing do not fit the net.

    Raises:
        WeightsError: The file is refused; the text says why.
    """
    try:
        net = _built(description, weights)
    except ConvAtlasError as error:
        raise WeightsError(f"{path.name} does not describe a valid {description.net}: {printable(error)}") from None
    check_fit(weights, net.state_dict(), f"the weights in {path.name}")
    if description.lineage is None or (size := description.lineage.preprocessing.size) == description.size:
        return
    try:
        # Some nets take photos of one size only; a run on the meta device shows it.
        net.eval()(torch.empty(1, description.channels, *size, device="meta"))
    except (RuntimeError, ValueError):
        here, there = ("{} x {}".format(*each) for each in (size, description.size))
        raise WeightsError(
            f"{path.name} prepares photos of {here} pixels, which its {description.net} for {there} cannot take"
        ) from None


TYPES = {"net": str, "follows": str, "genes": dict, "classes": int, "channels": int, "size": list}
"""JSON types of the fields of a description."""


def _description(metadata: Mapping[str, str], path: Path) -> Description:
    """Read the description in a file's metadata; `check` builds the net from it."""
    try:
        data = parse_json(metadata["net"])
        lineage = Lineage.from_json(metadata["lineage"]) if "lineage" in metadata else None
        if {name: type(value) for name, value in data.items()} != TYPES or list(map(type, data["size"])) != [int, int]:
            raise ValueError
        description = Description(**{**data, "size": tuple(data["size"])}, lineage=lineage)
        if find_card(description.net).name != description.net or description.classes < 0:
            raise ValueError
        names = () if lineage is None else lineage.class_names
        if lineage is not None and (lineage.net != description.net or len(names) not in (0, description.classes)):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConvAtlasError):
        raise WeightsError(f"{path.name} does not say which net it holds: its description is damaged") from None
    return description
