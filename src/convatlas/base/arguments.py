"""Read arguments of public functions: texts, and lists of which one element may be given alone."""

from __future__ import annotations

import os
from collections.abc import Iterable

from convatlas.base.errors import ConvAtlasError


def path_text(value: object) -> str:
    """Return the text of a name or a path.

    Raises:
        ConvAtlasError: It is neither.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise ConvAtlasError(f"nets and weights are given by a name or a path; got {value!r:.100}")
    return text


def names(kind: str, value: object) -> list[str]:
    """Return names given alone or as several; `kind` says in the plural what they name.

    Raises:
        ConvAtlasError: It is neither a text nor several of them.
    """
    several = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
    if not all(isinstance(name, str) for name in several) or (not several and not isinstance(value, Iterable)):
        raise ConvAtlasError(f"{kind} are given by name, one or several of them; got {value!r:.100}")
    return several
