"""Short representations of records for people, and complete ones for hashes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_CHARACTERS = 200
"""Most characters of a representation."""

MAX_TEXT = 40
"""Most characters of a text in a representation."""


class Brief:
    """Base of dataclasses whose `repr` fits on a line: fields that differ from their defaults, as far as they fit.

    A list or mapping is shown by its length, unless it is a few whole numbers, any other object by its class.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Set here, before `dataclass` adds a `__repr__` of its own.
        if "__repr__" not in vars(cls):
            cls.__repr__ = Brief.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        text = f"{type(self).__name__}("
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if not field.repr or _is_default(value, field.default):
                continue
            part = f"{field.name}={short(value)}"
            # Room is kept for a comma, three dots and the bracket.
            if len(text) + len(part) > MAX_CHARACTERS - 6:
                return f"{text}...)"
            text += f"{part}, "
        return f"{text.removesuffix(', ')})"


def nested_tuples(value: Any) -> Any:
    """Return a value as nested tuples, for a hash: their `repr` shows all of it, that of a `Brief` only a part."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = ((field.name, nested_tuples(getattr(value, field.name))) for field in dataclasses.fields(value))
        return (type(value).__name__, *parts)
    if isinstance(value, Mapping):
        return tuple((key, nested_tuples(part)) for key, part in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(nested_tuples, value))
    return value


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text of up to `limit` characters, with three dots at its end if more were cut off."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _is_default(value: object, default: object) -> bool:
    simple = type(value) is type(default) and isinstance(value, bool | int | float | str | tuple | None)
    return simple and value == default


def short(value: Any) -> str:
    """Return a value in a few characters: a long text is cut, lists are shown by length, other objects by class."""
    if isinstance(value, str | Path):
        return repr(shorten(str(value)))
    if value is None or isinstance(value, bool | int | float):
        return shorten(f"{value:.6g}" if isinstance(value, float) else repr(value))
    if isinstance(value, tuple | list) and len(value) <= 4 and all(isinstance(part, bool | int) for part in value):
        return shorten(repr(value))
    try:
        return f"<{len(value)}>"
    except TypeError:
        return f"<{type(value).__name__}>"
