"""Time sessions in interleaved rounds, so that other load on the machine affects all of them alike. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from convatlas.engines.session import Float32Array, Session

Name = TypeVar("Name")

SECONDS = 4.0
"""Time after which no new round starts."""

FEWEST, MOST = 3, 15
"""Limits on the number of rounds."""

WARM_UP = 0.03
"""Seconds that a session with shorter calls runs before it is timed, while threads of the one before may still spin."""


def rounds(
    sessions: Mapping[Name, Session],
    x: Float32Array,
    fewest: int = FEWEST,
    most: int = MOST,
    seconds: float = SECONDS,
    failed: Callable[[Name, Exception], None] | None = None,
) -> dict[Name, list[float]]:
    """Milliseconds of a call of each session, in every round, after a warm-up call.

    Args:
        sessions: The sessions.
        x: Inputs of every call.
        fewest: Number of rounds at least.
        most: Number of rounds at most.
        seconds: Seconds after which no further round starts.
        failed: Called with a session's name and its error if it fails, which leaves it out; by default it is raised.
    """
    milliseconds: dict[Name, list[float]] = {name: [] for name in sessions}
    quick: dict[Name, bool] = {}
    start = time.perf_counter()
    for number in range(-1, most):
        if number == 0:
            start = time.perf_counter()
        if number >= fewest and time.perf_counter() - start > seconds:
            break
        for name in list(milliseconds):
            session = sessions[name]
            try:
                if number < 0:
                    quick[name] = _seconds(session, x) < WARM_UP
                    continue
                warm = time.perf_counter() + WARM_UP
                while quick[name] and time.perf_counter() < warm:
                    session(x)
                milliseconds[name].append(1e3 * _seconds(session, x))
            # Engines raise nearly anything, and run out of memory at any call.
            except Exception as error:
                if failed is None:
                    raise
                del milliseconds[name]
                failed(name, error)
    return milliseconds


def _seconds(session: Session, x: Float32Array) -> float:
    start = time.perf_counter()
    session(x)
    return time.perf_counter() - start
