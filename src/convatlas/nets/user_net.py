"""Load a user's net, from `package.module:callable` or from a file written by `torch.export.save`."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.base.errors import ConvAtlasError

EXPORTED = ".pt2"


@dataclass(frozen=True)
class Exported:
    """Facts about a net from a file: its name, and the input shape it was exported with, (C, H, W) or (features,)."""

    name: str
    input: tuple[int, ...]


def is_user_net(name: str) -> bool:
    """Whether a name refers to a user's own net; no net of the atlas has such a name."""
    return isinstance(name, str) and (":" in name or name.lower().endswith(EXPORTED))


def load_user_net(name: str) -> nn.Module:
    """Return the module that `package.module:callable` returns, or that a .pt2 file holds.

    Packages are also searched in the current folder. A net from a file has an attribute `exported`, an `Exported`.
    Pickles in such a file are read only if they hold nothing but tensors; but PyTorch warns that its
    files may still run code when opened, so open only files that you would run.

    Raises:
        ConvAtlasError: The module, callable or file does not exist or failed, or did not return a `torch.nn.Module`.
    """
    if name.lower().endswith(EXPORTED):
        return _exported(Path(name))
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        member = getattr(importlib.import_module(module), attribute)
        net = member if isinstance(member, nn.Module) else member()
    # User code may raise anything; a script may even exit.
    except (Exception, SystemExit) as error:
        raise ConvAtlasError(f"{name} could not be built: {type(error).__name__}: {error}".splitlines()[0]) from None
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"{name} returned a {type(net).__name__}, not a torch.nn.Module")
    return net


def _exported(path: Path) -> nn.Module:
    """Load the net in a file, with the module structure that it had before export."""
    try:
        _check_pickles(path)
        # Opened here, because PyTorch accepts only file names in lower case.
        with path.open("rb") as file:
            program = torch.export.load(file)
        net = torch.export.unflatten(program)
        shape = _shape(program)
    except ConvAtlasError:
        raise
    # PyTorch may raise anything for a damaged file.
    except Exception as error:
        raise ConvAtlasError(f"{path} could not be read: {type(error).__name__}: {error}".splitlines()[0]) from None
    if shape[0] != 1:
        raise ConvAtlasError(
            f"{path} was exported for batches of {shape[0]} photos: export it for one, or with a dynamic batch size"
        )
    net.exported = Exported(path.stem, shape[1:])  # type: ignore[assignment]
    return net


def _check_pickles(path: Path) -> None:
    """Refuse a file whose pickles hold anything but tensors, because unpickling it could run code."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                start = file.read(4)
            # A pickle of protocol 2 or later starts with \x80, an archive written by `torch.save` with PK.
            if (start[:1] != b"\x80" or start[1:2] not in b"\x02\x03\x04\x05") and start != b"PK\x03\x04":
                continue
            try:
                with warnings.catch_warnings(action="ignore"):
                    torch.load(io.BytesIO(archive.read(member)), map_location="cpu", weights_only=True)
            except Exception:
                raise ConvAtlasError(f"{path} is not opened: {member} may run code when it is unpickled") from None


def _shape(program: Any) -> tuple[int, ...]:
    """Return the shape of the first input; a dynamic batch size counts as 1."""
    first = program.graph_signature.user_inputs[0]
    value = next(node.meta["val"] for node in program.graph.nodes if node.name == first)
    batch, *sides = value.shape
    known = [side if isinstance(side, int) else int(side.node.hint) for side in sides]
    return (batch if isinstance(batch, int) else 1, *known)
