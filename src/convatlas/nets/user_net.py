"""Load a user's net, from `package.module:callable` or from a file written by `torch.export.save`."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.base.errors import ConvAtlasError, first_line
from convatlas.base.files.local import local_path
from convatlas.base.terminal.quiet import quiet
from convatlas.nets.exported import load_exported

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
    Of such a file only the graph and its weights are read, and no code in it is run; a graph may still ask for more
    memory or time than there is.

    Raises:
        ConvAtlasError: The module, callable or file does not exist or failed, or did not return a `torch.nn.Module`.
    """
    if name.lower().endswith(EXPORTED):
        return _exported(local_path(name))
    member = import_member(name)
    try:
        net = member if isinstance(member, nn.Module) else member()
    # User code may raise anything; a script may even exit.
    except (Exception, SystemExit) as error:
        raise _unbuilt(name, error) from None
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"{name} returned a {type(net).__name__}, not a torch.nn.Module")
    return net


def import_member(name: str) -> Any:
    """Return what `package.module:callable` names, without calling it; None for a .pt2 file.

    Raises:
        ConvAtlasError: There is no such module or member, or its code failed.
    """
    if name.lower().endswith(EXPORTED):
        return None
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise _unbuilt(name, error) from None


def _unbuilt(name: str, error: BaseException) -> ConvAtlasError:
    return ConvAtlasError(f"{name} could not be built: {first_line(error)}")


def _exported(path: Path) -> nn.Module:
    """Load the net in a file, with the module structure that it had before export."""
    program = load_exported(path)
    try:
        with quiet():
            net = torch.export.unflatten(program)
            shape = _shape(program)
    # PyTorch may raise anything for a damaged file.
    except Exception as error:
        raise ConvAtlasError(f"{path} could not be read: {type(error).__name__}: {error}".splitlines()[0]) from None
    if shape[0] != 1:
        raise ConvAtlasError(
            f"{path} was exported for batches of {shape[0]} photos: export it for one, or with a dynamic batch size"
        )
    net.exported = Exported(path.stem, shape[1:])  # type: ignore[assignment]
    return net


def _shape(program: Any) -> tuple[int, ...]:
    """Return the shape of the first input; a dynamic batch size counts as 1."""
    first = program.graph_signature.user_inputs[0]
    value = next(node.meta["val"] for node in program.graph.nodes if node.name == first)
    batch, *sides = value.shape
    known = [side if isinstance(side, int) else int(side.node.hint) for side in sides]
    return (batch if isinstance(batch, int) else 1, *known)
