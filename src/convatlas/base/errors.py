"""What convatlas raises: every error says what was wrong and what is allowed, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConvAtlasError(Exception):
    """The root of all errors that a user can cause; its text is one line, fit to be shown as it is."""


class UnknownName(ConvAtlasError):
    """A name that nothing carries; the text lists the nearest ones."""


class GeneError(ConvAtlasError):
    """A gene that a net has no place for, or a value that does not fit it; the text lists the values that do."""


class SizeError(ConvAtlasError):
    """An input size that the net cannot take."""


class ImageError(ConvAtlasError):
    """A file that cannot be read as a photo; the text names the file."""


class WeightsError(ConvAtlasError):
    """Weights that are missing, damaged or made for another net."""


class TrainingError(ConvAtlasError):
    """A training that cannot begin, go on or be taken up again; the text says what is kept of it."""


class StoreError(ConvAtlasError):
    """A file that cannot be downloaded, verified or kept; the text says from where, and where to put it by hand."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UnknownName:
    """The error for `name`, which is no `kind`, with the nearest of the `known` names (all of them if they are few)."""
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
    """A text that a file may have brought, as one line of up to 300 characters that is safe to print."""
    line = " ".join(str(text).split())
    return "".join(sign if sign.isprintable() else "?" for sign in line)[:300]
