"""A file of weights with what it does not say itself: its conventions and the names of its classes. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.base.files.reading import read_text, reason
from convatlas.base.terminal.arguments import argument
from convatlas.base.verbs import path_text

MAX_BYTES = 2**24
"""Limit on the size of a file of labels."""

Labels = str | os.PathLike[str] | Sequence[str]
"""Names of classes in the order of the outputs, or the path of a text file with one on each line."""


class WeightsFile(str):
    """The path of a file of weights, as the argument `weights` of all verbs.

    Attributes:
        convention: Lineage whose conventions the file follows; None if it is not given.
        labels: Names of its classes; None if they are not given.
    """

    convention: str | None
    labels: tuple[str, ...] | None

    def __new__(cls, path: str, convention: str | None = None, labels: tuple[str, ...] | None = None) -> WeightsFile:
        self = super().__new__(cls, path)
        self.convention, self.labels = convention, labels
        return self

    def absolute(self) -> WeightsFile:
        """Return the same file by its absolute path."""
        return WeightsFile(os.path.abspath(self), self.convention, self.labels)


def weights_file(
    weights: str | os.PathLike[str] | None, convention: str | None = None, labels: Labels | None = None
) -> str | None:
    """Return the argument `weights` of a verb, together with its `convention` and `labels`.

    Raises:
        ConvAtlasError: These are given without a file of weights, or `labels` has another form.
        WeightsError: The file of labels cannot be read.
    """
    path = None if weights is None else path_text(weights)
    if convention is None and labels is None:
        return path
    from convatlas.weights.files import is_weights_file

    if path is None or not is_weights_file(path):
        name = argument("convention", convention) if convention is not None else argument("labels")
        raise ConvAtlasError(
            f"{name} is only for a file of weights: give it as {argument('weights')}, or leave out {name}"
        )
    return WeightsFile(path, convention, None if labels is None else read_labels(labels))


def read_labels(labels: Labels) -> tuple[str, ...]:
    """Read names of classes; they are not empty, and all different.

    Raises:
        ConvAtlasError: They are neither names nor a path, or two are the same.
        WeightsError: The file cannot be read, or is no text.
    """
    if isinstance(labels, str | os.PathLike):
        names = [line.strip() for line in _text(labels).splitlines() if line.strip()]
    else:
        names = list(labels) if isinstance(labels, Sequence) else []
    if not names or not all(isinstance(name, str) and name.strip() and name.isprintable() for name in names):
        raise ConvAtlasError(
            f"{argument('labels')} is a list of names, or a text file with the name of a class on each line"
        )
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ConvAtlasError(f"{argument('labels')} names {double[:100]!r} twice")
    return tuple(names)


def _text(path: str | os.PathLike[str]) -> str:
    try:
        return read_text(path, MAX_BYTES, "utf-8-sig")
    except UnicodeDecodeError:
        raise WeightsError(f"the labels in {str(path)!r:.300} cannot be read: it is no text") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"the labels in {str(path)!r:.300} cannot be read: {reason(error)}") from None
