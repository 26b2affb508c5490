"""How long sessions take, in turns, so that what else the machine does meets them all. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import TypeVar

from convatlas.engines.backends.session import Photos, Session

Name = TypeVar("Name")

SECONDS = 4.0
"""After which no new round begins."""

FEWEST, MOST = 3, 15
"""Rounds."""

SPUN = 0.03
"""Seconds for which a session that is quicker runs before it is timed: the threads of the one before may still spin."""


def rounds(
    sessions: Mapping[Name, Session], x: Photos, fewest: int = FEWEST, most: int = MOST, seconds: float = SECONDS
) -> dict[Name, list[float]]:
    """The milliseconds of a call of each session, round by round, after one call that does not count."""
    taken: dict[Name, list[float]] = {name: [] for name in sessions}
    quick = {name: _seconds(session, x) < SPUN for name, session in sessions.items()}
    start = time.perf_counter()
    for number in range(most):
        if number >= fewest and time.perf_counter() - start > seconds:
            break
        for name, session in sessions.items():
            warm_until = time.perf_counter() + SPUN
            while quick[name] and time.perf_counter() < warm_until:
                session(x)
            taken[name].append(1e3 * _seconds(session, x))
    return taken


def medians(sessions: Mapping[Name, Session], x: Photos) -> dict[Name, float]:
    """The median of the milliseconds of each."""
    return {name: median(taken) for name, taken in rounds(sessions, x).items()}


def _seconds(session: Session, x: Photos) -> float:
    start = time.perf_counter()
    session(x)
    return time.perf_counter() - start
