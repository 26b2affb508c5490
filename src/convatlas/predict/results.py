"""What classifying finds: the records, and how they are shown. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convatlas.base.errors import ConvAtlasError
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table


@dataclass(frozen=True)
class Answer:
    """One class: its name, its number among the outputs, its probability (0 to 1)."""

    label: str
    number: int
    probability: float


@dataclass(frozen=True)
class Classification(Record):
    """The most probable classes of one photo; or, where it could not be read, why."""

    photo: str
    net: str
    weights: str
    answers: tuple[Answer, ...]
    error: str | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return self.error
        return f"{self.photo}: " + ", ".join(f"{answer.label} {answer.probability:.3f}" for answer in self.answers)


TOP = 5
"""Classes that are told of a photo if nobody says how many; fewer where the net has fewer."""


def check_top(top: object, classes: int) -> None:
    """Refuses a number of answers that a net with so many classes cannot give; up to `TOP` stands for all there are."""
    if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= max(classes, TOP):
        raise ConvAtlasError(f"top is a number of classes from 1 to {classes}; got {top!r}")


COLUMNS = (
    Column("photo", "photo"),
    Column("label", "class"),
    Column("probability", "probability", lambda share: f"{share:.3f}"),
    Column("number", "number", str),
)


def table(found: Sequence[Classification]) -> Table:
    """One row an answer; the photo is named in its first, without the folder that all have in common."""
    shared = os.path.commonpath([Path(one.photo).absolute().parent for one in found] or [Path.cwd()])
    rows = [
        {"photo": os.path.relpath(Path(one.photo).absolute(), shared) if place == 0 else ""}
        | {key: getattr(answer, key) for key in ("label", "probability", "number")}
        for one in found
        for place, answer in enumerate(one.answers)
    ]
    title = f"{found[0].net}, {found[0].weights} weights" if found else ""
    return Table(COLUMNS, rows, title=title)
