"""The user's own net, named as `package.module:callable` or by a file that `torch.export.save` wrote."""

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
    """What is known of a net from a file: its name, and the (C, H, W) or (features,) of the input it was saved with."""

    name: str
    input: tuple[int, ...]


def is_own(name: str) -> bool:
    """Whether a name says where the user's own net is; no net of the atlas is called so."""
    return ":" in name or name.lower().endswith(EXPORTED)


def own(name: str) -> nn.Module:
    """The module that `package.module:callable` gives when called, or that a .pt2 file holds.

    The current folder is searched for packages too. A net from a file carries an `exported` that says what it was saved
    as. What such a file pickles is read only if it is numbers; but PyTorch warns that its files may still run code
    when they are opened, so open none that you would not run.

    Raises:
        ConvAtlasError: There is no such module, callable or file, it failed, or what it gave is no `torch.nn.Module`.
    """
    if name.lower().endswith(EXPORTED):
        return _exported(Path(name))
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
        net = found if isinstance(found, nn.Module) else found()
    # What the user's code raises is anything at all; a script may even leave.
    except (Exception, SystemExit) as error:
        raise ConvAtlasError(f"{name} could not be made: {type(error).__name__}: {error}".splitlines()[0]) from None
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"{name} gave a {type(net).__name__}, not a torch.nn.Module")
    return net


def _exported(path: Path) -> nn.Module:
    """The net of a file, its modules as they were before it was exported."""
    try:
        _check_pickles(path)
        # Not by its name, which PyTorch wants in lower case.
        with path.open("rb") as file:
            program = torch.export.load(file)
        net = torch.export.unflatten(program)
        shape = _shape(program)
    except ConvAtlasError:
        raise
    # A damaged file makes PyTorch raise anything at all.
    except Exception as error:
        raise ConvAtlasError(f"{path} could not be read: {type(error).__name__}: {error}".splitlines()[0]) from None
    if shape[0] != 1:
        raise ConvAtlasError(
            f"{path} was exported for {shape[0]} photos at a time: export it for one, or with a dynamic batch"
        )
    net.exported = Exported(path.stem, shape[1:])  # type: ignore[assignment]
    return net


def _check_pickles(path: Path) -> None:
    """Refuses a file whose pickles hold more than tensors: unpickling them would run what they say."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                start = file.read(4)
            # A pickle of protocol 2 or later, by itself or in the archive that `torch.save` writes.
            if (start[:1] != b"\x80" or start[1:2] not in b"\x02\x03\x04\x05") and start != b"PK\x03\x04":
                continue
            try:
                with warnings.catch_warnings(action="ignore"):
                    torch.load(io.BytesIO(archive.read(member)), map_location="cpu", weights_only=True)
            except Exception:
                raise ConvAtlasError(f"{path} is not opened: {member} may run code when it is unpickled") from None


def _shape(program: Any) -> tuple[int, ...]:
    """The shape of the first input, where a batch that may vary counts as one photo."""
    first = program.graph_signature.user_inputs[0]
    value = next(node.meta["val"] for node in program.graph.nodes if node.name == first)
    batch, *sides = value.shape
    known = [side if isinstance(side, int) else int(side.node.hint) for side in sides]
    return (batch if isinstance(batch, int) else 1, *known)
