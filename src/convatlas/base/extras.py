"""Optional packages, and the extras of convatlas that install them."""

from __future__ import annotations

import importlib.util

from convatlas.base.errors import ConvAtlasError


def installed(package: str) -> bool:
    """Whether a package is installed; it is not imported."""
    return importlib.util.find_spec(package) is not None


def require(package: str, extra: str = "engines") -> None:
    """Raise an error if a package that an `extra` of convatlas installs is missing.

    Raises:
        ConvAtlasError: It is not installed; the message says how to install it.
    """
    if not installed(package):
        raise ConvAtlasError(f"{package} is not installed: pip install 'convatlas[{extra}]'")
