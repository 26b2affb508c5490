"""Time sessions in interleaved rounds, so that other load on the machine affects all of them alike. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
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
    sessions: Mapping[Name, Session], x: Float32Array, fewest: int = FEWEST, most: int = MOST, seconds: float = SECONDS
) -> dict[Name, list[float]]:
    """Milliseconds of a call of each session, in every round, after a warm-up call."""
    milliseconds: dict[Name, list[float]] = {name: [] for name in sessions}
    quick = {name: _seconds(session, x) < WARM_UP for name, session in sessions.items()}
    start = time.perf_counter()
    for number in range(most):
        if number >= fewest and time.perf_counter() - start > seconds:
            break
        for name, session in sessions.items():
            warm = time.perf_counter() + WARM_UP
            while quick[name] and time.perf_counter() < warm:
                session(x)
            milliseconds[name].append(1e3 * _seconds(session, x))
    return milliseconds


def _seconds(session: Session, x: Float32Array) -> float:
    start = time.perf_counter()
    session(x)
    return time.perf_counter() - start
