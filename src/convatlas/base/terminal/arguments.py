"""Names of arguments in messages as their reader types them: `weights=` in Python, `--weights` on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class _Spelling:
    """How arguments are spelled.

    Attributes:
        typed: Words of the command that was typed, by argument; None in Python.
    """

    typed: Mapping[str, str] | None = None


_SPELLING = _Spelling()


@contextmanager
def as_typed() -> Iterator[None]:
    """Spell arguments as on the command line inside a `with` statement."""
    before, _SPELLING.typed = _SPELLING.typed, {}
    try:
        yield
    finally:
        _SPELLING.typed = before


def set_words(words: Mapping[str, str]) -> None:
    """Set the words of the command that was typed, by argument: {"net": "--net"}; in Python this does nothing."""
    if _SPELLING.typed is not None:
        _SPELLING.typed = words


def argument(name: str, value: object = None) -> str:
    """Name of an argument for a message, with its value if one is given: "size=224", or "--size 224"."""
    if _SPELLING.typed is None:
        return f"{name}=" if value is None else f"{name}={value}"
    word = _SPELLING.typed.get(name, f"--{name.replace('_', '-')}")
    return word if value is None else f"{word} {value}"


def spelled(python: str, typed: str) -> str:
    """Return the text for readers who write Python, or the one for those who typed a command."""
    return python if _SPELLING.typed is None else typed
