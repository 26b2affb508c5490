"""Verbs that answer one photo or many."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import ParamSpec, Protocol, TypeVar

from convatlas.base.errors import ImageError
from convatlas.base.verbs import with_steps
from convatlas.images.sources import stands_for_many


class PhotoRecord(Protocol):
    """A record of one photo."""

    @property
    def error(self) -> str | None:
        """Why the photo could not be read; None if it could."""


P = ParamSpec("P")
A = TypeVar("A", bound=PhotoRecord)
A_co = TypeVar("A_co", bound=PhotoRecord, covariant=True)


class PhotoVerb(Protocol[P, A_co]):
    """A function that returns one record for one photo, and a list of records for a folder or a list."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> A_co | list[A_co]: ...

    @property
    def steps(self) -> Callable[P, Iterator[A_co]]:
        """Do the work photo by photo: a generator of the records."""


def photo_verb(steps: Callable[P, Iterator[A]]) -> PhotoVerb[P, A]:
    """Make a verb from a generator of one record a photo, whose first argument says which photos.

    A single photo that cannot be read is an `ImageError`; among many, its record has the error.
    """
    signature = inspect.signature(steps)
    first = next(iter(signature.parameters))

    def run(*args: P.args, **kwargs: P.kwargs) -> A | list[A]:
        photos = signature.bind(*args, **kwargs).arguments[first]
        records = list(steps(*args, **kwargs))
        if stands_for_many(photos):
            return records
        (record,) = records
        if record.error is not None:
            raise ImageError(record.error)
        return record

    verb: PhotoVerb[P, A] = with_steps(run, steps, lambda result: f"{result} | list[{result}]")
    return verb
