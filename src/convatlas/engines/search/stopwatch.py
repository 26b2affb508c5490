"""Compare sessions by the times that other programs on the machine disturbed least. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import quantiles

from convatlas.base.errors import first_line
from convatlas.engines.bench.rounds import FEWEST, MOST, SECONDS, rounds
from convatlas.engines.options import EAGER, Options
from convatlas.engines.session import Float32Array, Session

AGREED = 0.75
"""Share of the rounds in which the faster of two has to be faster, or else the rounds disagree."""

SAME = 1.05
"""Factor up to which two times count as the same."""


class Stopwatch:
    """Times of sessions on the same inputs, in interleaved rounds.

    Another program can slow a call down, but never make it faster. So the lowest decile of the calls counts: the median
    is that of the other program if it is busy in half of the rounds. Of several runs the fastest counts.

    Attributes:
        times: Milliseconds of a call, by options.
        failures: Why sessions failed while they were timed; they have no time.
    """

    def __init__(self, x: Float32Array, times: Mapping[Options, float] | None = None):
        self.x, self.times = x, dict(times or {})
        self.failures: dict[Options, str] = {}
        self.runs: list[Mapping[Options, Sequence[float]]] = []

    def run(
        self,
        sessions: Mapping[Options, Session],
        fewest: int = FEWEST,
        most: int = MOST,
        seconds: float = SECONDS,
    ) -> None:
        """Time sessions against each other, in `fewest` to `most` rounds; an error in eager mode is raised."""
        calls = rounds(sessions, self.x, fewest, most, seconds, self._fail)
        for options, milliseconds in calls.items():
            self.times[options] = min(self.times.get(options, math.inf), undisturbed(milliseconds))
        self.runs.append(calls)

    def _fail(self, options: Options, error: Exception) -> None:
        if options.engine == EAGER:
            raise error
        self.failures[options] = f"it fails ({first_line(error)})"
        self.times.pop(options, None)

    def ranked(self) -> list[Options]:
        """All options, the fastest first."""
        return sorted(self.times, key=self.times.__getitem__)

    def wins(self, first: Options, second: Options) -> float | None:
        """Share of the latest rounds with both in which `first` was faster; None if there were none."""
        for calls in reversed(self.runs):
            if first in calls and second in calls:
                pairs = list(zip(calls[first], calls[second], strict=True))
                return sum(mine < other for mine, other in pairs) / len(pairs)
        return None


def undisturbed(milliseconds: Sequence[float]) -> float:
    """Lowest decile of the times of several calls."""
    return quantiles(milliseconds, n=10, method="inclusive")[0] if len(milliseconds) > 1 else milliseconds[0]
