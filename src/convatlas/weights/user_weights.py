"""Weights of a user's own net: the file that a training writes, and the net that is loaded with it.

The file names the callable that made the net, for messages only: code runs only if the user names it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, WeightsError, printable
from convatlas.base.files.local import local_path
from convatlas.nets.net import Net
from convatlas.nets.user_net import Exported, load_user_net
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import (
    check_fit,
    finite_float32,
    read_safetensors,
    read_state,
    write_safetensors,
)
from convatlas.weights.lineage import Lineage

CALLABLE = native.CALLABLE

Own = TypeVar("Own", bound=nn.Module)


@dataclass(frozen=True)
class UserLineage(Lineage):
    """Lineage of a user's own net; `net` is its name, as `package.module:callable`, or its class.

    Attributes:
        probabilities: Name of the map from outputs to probabilities, as in `Card.probabilities`; empty if unknown.
    """

    probabilities: str = ""


def lineage_of(net: nn.Module) -> Lineage | None:
    """Lineage of a net's weights, of the atlas or of the user; None for random ones."""
    lineage = getattr(net, "lineage", None)
    return lineage if isinstance(lineage, Lineage) else None


def photo_size(net: nn.Module) -> tuple[int, int] | None:
    """Height and width of the photos that a net's weights prepare; None for random ones."""
    lineage = lineage_of(net)
    return None if lineage is None else lineage.preprocessing.size


def adopt(net: nn.Module, lineage: UserLineage) -> None:
    """Give a user's net its lineage, name and input shape, so that all verbs know what to do with it."""
    net.lineage = lineage  # type: ignore[assignment]
    preprocessing = lineage.preprocessing
    net.exported = Exported(lineage.net, (preprocessing.channels, *preprocessing.size))  # type: ignore[assignment]


def write(weights: Mapping[str, Tensor], lineage: UserLineage, path: Path) -> None:
    """Write the file, whole or not at all."""
    metadata = {"convatlas": native.FORMAT, CALLABLE: lineage.net, "lineage": lineage.to_json()}
    write_safetensors(weights, metadata, path)


def read(path: Path) -> tuple[dict[str, Tensor], UserLineage | None]:
    """Return the tensors of a file, and the lineage if a training of a user's net wrote it, otherwise None.

    Raises:
        WeightsError: The file is damaged, has another version of the format, or holds a net of the atlas.
    """
    if path.suffix.lower() != native.ENDING:
        return read_state(path), None
    weights, metadata = read_safetensors(path)
    if "convatlas" not in metadata:
        return weights, None
    native.check_format(metadata, path)
    if CALLABLE not in metadata:
        raise WeightsError(f"{path.name} holds a net of the atlas: load it by the file alone")
    try:
        lineage = UserLineage.from_json(metadata["lineage"])
    except (KeyError, WeightsError):
        raise WeightsError(f"{path.name} does not say how its net takes photos: its description is damaged") from None
    return weights, lineage


def load_named(name: str, weights: str) -> nn.Module:
    """Return the net that `package.module:callable` or a .pt2 file stands for, with weights from a file.

    Raises:
        ConvAtlasError: As in `load_user_net` and `load_into`.
    """
    return load_into(copied(load_user_net(name), name), weights, name)


def copied(net: nn.Module, name: str) -> nn.Module:
    """Return a copy of a user's net: if its name stands for a module, and for no function, others may hold it too.

    Raises:
        ConvAtlasError: It cannot be copied.
    """
    try:
        return copy.deepcopy(net)
    # A net of the user can raise anything.
    except Exception as error:
        raise ConvAtlasError(f"{name} cannot be copied: {printable(error)}") from None


def load_into(net: Own, weights: str, name: str = "") -> Own:
    """Load a file of weights into a user's net, in place, and return it in evaluation mode.

    Args:
        net: The net.
        weights: Path of the file: one that a training of this net wrote, or a state_dict (.safetensors, .pth, .pt).
        name: Name of the net for messages; by default its class.

    Raises:
        WeightsError: There is no such file, it is damaged, or its weights do not fit the net.
        ConvAtlasError: The net is one of the atlas.
    """
    name, path = name or type(net).__name__, local_path(weights, WeightsError)
    if isinstance(net, Net):
        raise ConvAtlasError("weights go with the name of a net of the atlas, or with a module of your own")
    if not path.is_file():
        raise WeightsError(f"there is no file {weights!r:.300}; the weights of your own net are given by a file")
    tensors, lineage = read(path)
    title = f"the weights in {path.name}"
    if lineage is not None and lineage.net != name:
        title += f" (of {printable(lineage.net)})"
    check_fit(tensors, net.state_dict(), title)
    finite_float32(tensors, title)
    net.load_state_dict(tensors, strict=False)
    if lineage is not None:
        adopt(net, lineage)
    return net.eval()
