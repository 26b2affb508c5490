"""Errors of convatlas: each says in one line what was wrong and what is allowed."""

from __future__ import annotations

import difflib
import os
import traceback
from collections.abc import Iterable

from convatlas.base.terminal.escape import escaped


class ConvAtlasError(Exception):
    """Base of all errors that a user can cause; the message is one line, with control characters escaped."""

    def __init__(self, message: str = "") -> None:
        super().__init__(escaped(message))


class UnknownName(ConvAtlasError):
    """A name that does not exist; the message lists the nearest ones."""


class GeneError(ConvAtlasError):
    """A gene that a net does not have, or a value that does not fit it; the message lists the values that do."""


class SizeError(ConvAtlasError):
    """An input size that the net cannot take."""


class ImageError(ConvAtlasError):
    """A file that cannot be read as a photo; the message names the file."""


class WeightsError(ConvAtlasError):
    """Weights that are missing, damaged or made for another net."""


class TrainingError(ConvAtlasError):
    """A training that cannot start, continue or be resumed; the message says which checkpoint is kept, if any."""


class StoreError(ConvAtlasError):
    """A file that cannot be downloaded, verified or stored; the message gives its address or path, and a way out."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UnknownName:
    """Return the error for a `name` that is not a `kind`, with the nearest `known` names, or all if they are few."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name).lower()[:100], names, n=3, cutoff=0.6)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif len(names) <= 24:
        hint = f"known: {', '.join(names)}"
    else:
        hint = f"{len(names)} are known, among them {', '.join(names[:6])}"
    return UnknownName(f"no {kind} is called {name!r:.100}; {hint}")


def printable(text: object) -> str:
    """Return a text from an untrusted file as one line of up to 300 characters that is safe to print."""
    return escaped(" ".join(str(text).split()))[:300]


def first_line(error: BaseException) -> str:
    """Return the class of a library's error and the first line of its text, or if it has none, the line of its code."""
    lines = str(error).split("\n")
    text = next((printable(line) for line in lines if line.strip()), "")
    place = traceback.extract_tb(error.__traceback__)[-1:]
    if not text and place:
        text = printable(f"{place[0].line} ({os.path.basename(place[0].filename)}, line {place[0].lineno})")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
