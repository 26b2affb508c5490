"""What has to be installed for which engine."""

from __future__ import annotations

import importlib.util

from convatlas.base.errors import ConvAtlasError


def installed(package: str) -> bool:
    """Whether a package is there; it is not imported."""
    return importlib.util.find_spec(package) is not None


def needed(package: str, extra: str = "engines") -> None:
    """Refuses to go on without a package, which comes with an `extra` of ours.

    Raises:
        ConvAtlasError: It is not installed; says how to install it.
    """
    if not installed(package):
        raise ConvAtlasError(f"{package} is not installed: pip install 'convatlas[{extra}]'")
