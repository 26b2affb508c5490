"""Read JSON and TOML that may be damaged or hostile, and check their types against a dataclass."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import reprlib
import sys
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar

from convatlas.base.errors import printable
from convatlas.base.files.reading import MAX_NOTES, MAX_SETTINGS, read_bytes, read_text

T = TypeVar("T")

MAX_DEPTH = 200
"""Most levels of nesting: what is nested deeper could be neither printed nor compared."""


class SchemaError(ValueError):
    """Data that is not what its reader expects; the text follows the file's name: "is nested too deep"."""


def parse_json(data: bytes | str) -> Any:
    """Return what JSON holds.

    Raises:
        SchemaError: It is not valid JSON, or is nested too deep.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise SchemaError("is nested too deep") from None
    except ValueError as error:
        raise SchemaError(f"is not valid JSON ({printable(error)})") from None
    check_depth(value)
    return value


def check_depth(value: object) -> None:
    """Raise a SchemaError if a value is nested more than `MAX_DEPTH` levels deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise SchemaError("is nested too deep")


def read_json(path: str | os.PathLike[str], limit: int = MAX_NOTES) -> Any:
    """Read a JSON file.

    Raises:
        OSError: It cannot be read, is no ordinary file, or is larger than `limit`.
        SchemaError: As `parse_json` does.
    """
    return parse_json(read_bytes(path, limit))


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file of up to `MAX_SETTINGS` bytes.

    Raises:
        OSError: It cannot be read, is no ordinary file, or is too large.
        SchemaError: It is not valid TOML, or nested too deep.
    """
    try:
        value = tomllib.loads(read_text(path, MAX_SETTINGS))
    except RecursionError:
        raise SchemaError("is nested too deep") from None
    except ValueError as error:
        raise SchemaError(printable(error)) from None
    check_depth(value)
    return value


def to_type(kind: type[T], value: object) -> T:
    """Convert plain values, as JSON has them, to a type: an object to a dataclass, a list to a tuple, and so on.

    Every field without a default must be there, unknown fields must not, and all values must have the declared types.
    Numbers must be finite; a whole number may stand for a float.

    Raises:
        SchemaError: The values are of another type; the message names the first such place.
    """
    result: T = _convert(kind, value, "")
    return result


def _convert(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return value
    if origin in (typing.Union, types.UnionType):
        for member in arguments:
            try:
                return _convert(member, value, place)
            except SchemaError:
                continue
    elif origin is Literal:
        if any(type(value) is type(member) and value == member for member in arguments):
            return value
    elif dataclasses.is_dataclass(kind):
        return _convert_fields(kind, value, place)
    elif kind is float and type(value) in (int, float):
        if abs(value) < sys.float_info.max and math.isfinite(value):
            return float(value)
    elif origin is tuple and isinstance(value, list):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(arguments[0], item, place) for item in value)
        if len(arguments) == len(value):
            return tuple(_convert(member, item, place) for member, item in zip(arguments, value, strict=True))
    elif origin in (list, Sequence) and isinstance(value, list):
        return [_convert(arguments[0], item, place) for item in value]
    elif (origin in (dict, Mapping) or kind in (dict, Mapping)) and isinstance(value, dict):
        member = arguments[1] if arguments else Any
        return {key: _convert(member, item, f"{place}.{key}") for key, item in value.items()}
    elif kind in (str, int, bool, type(None), None) and type(value) is (type(None) if kind is None else kind):
        return value
    raise _mismatch(value, place)


def _mismatch(value: object, place: str) -> SchemaError:
    return SchemaError(f"has {excerpt(value)} for {printable(place.lstrip('.'))[:60] or 'its content'}")


def _convert_fields(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(value, place)
    hints, arguments = _hints(kind), {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            arguments[field.name] = _convert(hints[field.name], value[field.name], f"{place}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SchemaError(f"lacks {f'{place}.{field.name}'.lstrip('.')}")
    if surplus := [key for key in value if key not in arguments]:
        raise SchemaError(f"has {excerpt(surplus[0])}, which is not known")
    return kind(**arguments)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def excerpt(value: object) -> str:
    """Return a text of up to 100 characters for a value in a file, however large the value is."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a very long number"
    return reprlib.repr(value)[:100]
