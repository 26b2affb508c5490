"""Objects that training scripts pickle beside the weights: allowed by name, and replaced by ones that do nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

NAMES = (
    "argparse.Namespace",
    "builtins.slice",
    "datetime.datetime",
    "datetime.timedelta",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float16", "Float32", "Float64", "Int32", "Int64", "UInt32", "Bool")),
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)
"""Classes and functions that PyTorch's, timm's and Lightning's scripts write beside the weights: options, figures."""

DICTIONARIES = (
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
"""Kinds of dictionaries for options, which become plain ones."""

_LOCK = threading.Lock()


class Omitted:
    """Replacement for an object that is not needed; it takes any arguments and state, and keeps none."""

    def __new__(cls, *arguments: object) -> Omitted:
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        """Drop the arguments."""

    def __setstate__(self, state: object) -> None:
        """Drop the state."""


ALLOWED: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    *((Omitted, name) for name in NAMES),
    *((dict, name) for name in DICTIONARIES),
]


@contextmanager
def omitted() -> Iterator[None]:
    """Let PyTorch's careful unpickler read the objects in `NAMES` as `Omitted` ones: their own code is never run."""
    # The list belongs to the process, so that one thread must not shorten it for another.
    with _LOCK, torch.serialization.safe_globals(ALLOWED):
        yield
