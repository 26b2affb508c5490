"""Weights that come with convatlas itself: digit nets trained here, small enough for the wheel."""

from __future__ import annotations

from importlib.resources import as_file, files

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.weights import own
from convatlas.weights.reading import finite

NAMES = ("own", "own/mnist")
"""What they may be called as `weights`."""

LIMIT = 3_000_000
"""Bytes that all of them may have together."""


def has(net: str) -> bool:
    """Whether weights of the net, by its card's name, come along."""
    return (files(__package__) / "data" / "own" / f"{net}.safetensors").is_file()


def opened(net: str) -> tuple[dict[str, Tensor], own.Description]:
    """The tensors and their description.

    Raises:
        WeightsError: There are none of this net, or the installed file is damaged.
    """
    if not has(net):
        raise WeightsError(f"no weights of {net} come along; {', '.join(shipped())} have some")
    with as_file(files(__package__) / "data" / "own" / f"{net}.safetensors") as path:
        tensors, described = own.read(path)
        # Copies: the file may be gone when this is left.
        weights = {name: tensor.clone() for name, tensor in finite(tensors, path.name).items()}
    if described is None or described.net != net:
        raise WeightsError(f"the installed weights of {net} are damaged; reinstall convatlas")
    return weights, described


def shipped() -> list[str]:
    """The nets of which weights come along."""
    folder = files(__package__) / "data" / "own"
    return sorted(path.name.removesuffix(".safetensors") for path in folder.iterdir()) if folder.is_dir() else []
