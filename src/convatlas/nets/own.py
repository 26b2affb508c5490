"""The user's own net, named as `package.module:callable`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from torch import nn

from convatlas.base.errors import ConvAtlasError


def own(name: str) -> nn.Module:
    """The module that `package.module:callable` gives when called; the current folder is searched too.

    Raises:
        ConvAtlasError: There is no such module or callable, it failed, or what it gave is no `torch.nn.Module`.
    """
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
