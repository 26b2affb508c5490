"""Look through the arguments of ATen operations: values, and nested tuples, lists and dicts of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

NUMBERS = frozenset([int, float, bool, type(None)])
"""Types of most arguments that are no tensors, which are passed over at once."""


def leaves(value: Any, kind: type[T]) -> list[T]:
    """All values of a type, in their order."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return []
    return [leaf for part in value if type(part) not in NUMBERS for leaf in leaves(part, kind)]


def replaced(value: Any, kind: type[T], new: Callable[[T], Any]) -> Any:
    """Replace all values of a type, and return the structure that they stand in."""
    if type(value) in NUMBERS:
        return value
    if isinstance(value, kind):
        return new(value)
    if isinstance(value, dict):
        return {name: replaced(part, kind, new) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [replaced(part, kind, new) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value
