"""Read weights from a file given by its path, in our native format or another publisher's."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.base.terminal.arguments import argument, spelled
from convatlas.catalogue.cards import Card
from convatlas.catalogue.lineages import origins
from convatlas.nets.build import Size
from convatlas.weights import foreign
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import finite_float32
from convatlas.weights.registry import origin


def is_weights_file(name: str) -> bool:
    """Whether a name is the path of a file of weights, by its ending, which no name of a net or lineage has."""
    return name.lower().endswith(native.ENDING) or any(origin(known).can_read(name) for known in origins())


def read(
    path: Path, card: Card | None, convention: str | None, size: Size | None = None, channels: int | None = None
) -> tuple[dict[str, Tensor], native.Description]:
    """Return the tensors of a file under our names, and their description.

    Args:
        path: Path of the file; its name satisfies `is_weights_file`.
        card: Card of the net that the user names; None where only the path is given.
        convention: Lineage whose conventions the file follows, if it is not native; None to try each one.
        size: Size of the photos that the file's net was made for, if its dense layers depend on it; the card's if None.
        channels: Number of input channels to try if the file does not fit the card's.

    Raises:
        WeightsError: The file is damaged, holds another net, or does not say which one.
    """
    # `Path.is_file` raises the system's errors, for example if the name is too long.
    if not os.path.isfile(path):
        raise WeightsError(f"there is no file {str(path)!r:.300}")
    if path.suffix.lower() == native.ENDING:
        tensors, description = native.read(path)
        if description is not None:
            if card is not None and description.net != card.name:
                raise WeightsError(f"{path.name} holds a {description.net}, not a {card.name}")
            if convention is not None:
                raise WeightsError(
                    f"{path.name} is a native file, which states its conventions: leave out {argument('convention')}"
                )
            native.check(tensors, description, path)
            return finite_float32(tensors, f"the weights in {path.name}"), description
    if card is None:
        name = spelled("the name of the net", f"the name of the net as {argument('net')}")
        raise WeightsError(
            f"{path.name} does not say which net it holds: give {name}, and the file as {argument('weights')}"
        )
    return foreign.read(path, card, convention, size, channels)
