"""Make verbs that take one photo or many, and return one record or a list."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from convatlas.base.errors import ImageError
from convatlas.base.verbs import with_steps
from convatlas.images.decoding import Data, Source
from convatlas.images.sources import check_any_exists, is_collection, sources


class PhotoRecord(Protocol):
    """A record of one photo."""

    @property
    def error(self) -> str | None:
        """Why the photo could not be read; None if it could."""


P = ParamSpec("P")
R = TypeVar("R", bound=PhotoRecord)


Photos = Source | Sequence[Source]


class PhotoVerb(Protocol[P, R]):
    """A function that returns one record for one photo, and a list of records for a folder or a list.

    A path may be that of a photo or of a folder, which a type checker cannot know: what it gives is `Any`.
    """

    @overload
    def __call__(self, photos: str | Path, *args: P.args, **kwargs: P.kwargs) -> Any: ...

    @overload
    def __call__(self, photos: Data, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def __call__(self, photos: Sequence[Source], *args: P.args, **kwargs: P.kwargs) -> list[R]: ...

    @property
    def steps(self) -> Callable[Concatenate[Photos, P], Iterator[R]]:
        """Generator function of the same work, which yields one record a photo."""


def photo_verb(steps: Callable[Concatenate[Photos, P], Iterator[R]]) -> PhotoVerb[P, R]:
    """Make a verb from a generator function that yields one record a photo; its first argument is the photos.

    A single photo that cannot be read raises an `ImageError`; one among many has the error in its record. If none of
    the photos exists, an `ImageError` says so before anything else is done.
    """
    signature = inspect.signature(steps)
    first = next(iter(signature.parameters))

    @functools.wraps(steps)
    def checked(*args: Any, **kwargs: Any) -> Iterator[R]:
        # Before the weights of a net are downloaded.
        check_any_exists(sources(signature.bind(*args, **kwargs).arguments[first]))
        yield from steps(*args, **kwargs)

    def run(*args: Any, **kwargs: Any) -> R | list[R]:
        photos = signature.bind(*args, **kwargs).arguments[first]
        records = list(checked(*args, **kwargs))
        if is_collection(photos):
            return records
        (record,) = records
        if record.error is not None:
            raise ImageError(record.error)
        return record

    verb: PhotoVerb[P, R] = with_steps(run, checked, lambda result: f"{result} | list[{result}]")
    return verb
