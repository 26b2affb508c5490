"""Verbs: functions that return a result, and whose steps a progress bar can show; checks of their arguments."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, Protocol, TypeVar

from convatlas.base.errors import ConvAtlasError

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Steps = Iterator[tuple[int, int, T | None]]
"""Yields the steps done, the steps in all, and None; with the last step the result."""


class Verb(Protocol[P, T_co]):
    """A function that returns a result, and has its steps as an attribute."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...

    @property
    def steps(self) -> Callable[P, Steps[T_co]]:
        """The generator function that does the same work, and yields the result with the last step."""


def verb(steps: Callable[P, Steps[T]]) -> Verb[P, T]:
    """Make a verb from a generator function: called, it runs all steps and returns the result.

    Signature and docstring are those of `steps`, and describe the result.
    """

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        result = None
        for _, _, result in steps(*args, **kwargs):  # noqa: B007 - the last one counts
            pass
        assert result is not None
        return result

    result: Verb[P, T] = with_steps(run, steps, str)
    return result


def with_steps(run: Callable[P, Any], steps: Callable[..., Any], returns: Callable[[str], str]) -> Any:
    """Give `run` the name, signature and docstring of `steps`, and `steps` itself as an attribute.

    Args:
        run: The function that a caller sees.
        steps: The generator function it runs; its return annotation reads "Steps[Result]" or "Iterator[Result]".
        returns: Maps the name of the result's type to the return annotation of `run`.
    """
    wrapper: Any = functools.wraps(steps)(run)
    annotation = returns(str(steps.__annotations__["return"]).partition("[")[2].removesuffix("]"))
    wrapper.__annotations__ = steps.__annotations__ | {"return": annotation}
    wrapper.__signature__ = inspect.signature(steps).replace(return_annotation=annotation)
    wrapper.steps = steps
    return wrapper


def path_text(value: object) -> str:
    """Return the text of a name or a path.

    Raises:
        ConvAtlasError: The value is neither.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise ConvAtlasError(f"nets and weights are given by a name or a path; got {value!r:.100}")
    return text


def name_list(kind: str, value: object) -> list[str]:
    """Return a list of names, of which one may be given alone; `kind` says in the plural what they name.

    Raises:
        ConvAtlasError: The value is neither a text nor several of them.
    """
    several = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
    if not all(isinstance(name, str) for name in several) or (not several and not isinstance(value, Iterable)):
        raise ConvAtlasError(f"{kind} are given by name, one or several of them; got {value!r:.100}")
    return several
