"""Make verbs that take one photo or many, and return one record or a list."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import ParamSpec, Protocol, TypeVar

from convatlas.base.errors import ImageError
from convatlas.base.verbs import with_steps
from convatlas.images.sources import is_collection


class PhotoRecord(Protocol):
    """A record of one photo."""

    @property
    def error(self) -> str | None:
        """Why the photo could not be read; None if it could."""


P = ParamSpec("P")
R = TypeVar("R", bound=PhotoRecord)
R_co = TypeVar("R_co", bound=PhotoRecord, covariant=True)


class PhotoVerb(Protocol[P, R_co]):
    """A function that returns one record for one photo, and a list of records for a folder or a list."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co | list[R_co]: ...

    @property
    def steps(self) -> Callable[P, Iterator[R_co]]:
        """Generator function of the same work, which yields one record a photo."""


def photo_verb(steps: Callable[P, Iterator[R]]) -> PhotoVerb[P, R]:
    """Make a verb from a generator function that yields one record a photo; its first argument is the photos.

    A single photo that cannot be read raises an `ImageError`; one among many has the error in its record.
    """
    signature = inspect.signature(steps)
    first = next(iter(signature.parameters))

    def run(*args: P.args, **kwargs: P.kwargs) -> R | list[R]:
        photos = signature.bind(*args, **kwargs).arguments[first]
        records = list(steps(*args, **kwargs))
        if is_collection(photos):
            return records
        (record,) = records
        if record.error is not None:
            raise ImageError(record.error)
        return record

    verb: PhotoVerb[P, R] = with_steps(run, steps, lambda result: f"{result} | list[{result}]")
    return verb
