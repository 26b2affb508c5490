"""Checks of what a caller chose for a probe, with one line that says what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError

if TYPE_CHECKING:
    from convatlas.probes.probe import Probe

KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "str": (str, "a name"),
    "bool": (bool, "True or False"),
    "Sequence[float]": ((tuple, list), "a list of numbers"),
}
"""Types that a value of a setting may have, and their common name, by the setting's annotation."""


def check_types(probe: Probe) -> None:
    """Refuse settings of another type than theirs; each probe checks by itself which values of the type it takes.

    Raises:
        ConvAtlasError: A setting is of another type.
    """
    for setting in fields(probe):
        kind, _, optional = str(setting.type).partition(" | ")
        value = getattr(probe, setting.name)
        # Probes of a user may have settings of types that are unknown here.
        if kind not in KINDS or (value is None and optional):
            continue
        types, allowed = KINDS[kind]
        if not isinstance(value, types) or (isinstance(value, bool) and kind != "bool"):
            none = " or None" if optional else ""
            raise ConvAtlasError(f"{setting.name} of {probe.name} is {allowed}{none}; got {value!r:.40}")


MOST = 10_000_000
"""Largest whole number where a probe names none: nobody waits for more steps, and their masks fill the memory."""

LARGEST = 1e30
"""Largest number where a probe names none: much larger ones are infinite in float32."""


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number from `least` to `most`, by default `MOST`.

    Raises:
        ConvAtlasError: It is none.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    large = most is None and whole and value > MOST  # type: ignore[operator]
    if not whole or value < least or large or (most is not None and value > most):  # type: ignore[operator]
        end = MOST if large else most
        allowed = f"from {least} to {end}" if end is not None else f"of {least} or more"
        raise ConvAtlasError(f"{name} is a whole number {allowed}; got {value!r:.40}")


def check_number(
    name: str, value: object, least: float = 0.0, most: float = math.inf, *, ends: tuple[bool, bool] = (True, True)
) -> None:
    """Refuse what is no number from `least` to `most`, by default `LARGEST`; `ends` says which of both are allowed.

    Raises:
        ConvAtlasError: It is none.
    """
    number = isinstance(value, Real) and not isinstance(value, bool) and value == value
    large = most == math.inf and number and LARGEST < value < math.inf  # type: ignore[operator]
    inside = number and least <= value <= min(most, LARGEST)  # type: ignore[operator]
    if not inside or (value == least and not ends[0]) or (value == most and not ends[1]):
        low = f"{'from' if ends[0] else 'above'} {least:g}"
        end = LARGEST if large else most
        high = "" if end == math.inf else f" {'to' if ends[1] else 'and below'} {end:g}"
        raise ConvAtlasError(f"{name} is a number {low}{high}; got {value!r:.40}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices.

    Raises:
        ConvAtlasError: It is none.
    """
    if value not in choices:
        raise ConvAtlasError(f"{name} is {', '.join(choices[:-1])} or {choices[-1]}; got {value!r:.40}")
