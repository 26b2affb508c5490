"""Search for the fastest engine: each one is tried, checked, and timed against the others in interleaved rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn

from convatlas.anatomy.measure.shape_trace import net_name
from convatlas.base.errors import ConvAtlasError
from convatlas.base.machine import cpu
from convatlas.engines.accelerated_net import Acceleration
from convatlas.engines.backends.eager import EagerMode
from convatlas.engines.options import AUTO, EAGER, Options
from convatlas.engines.parity.reference import Reference
from convatlas.engines.registry import backends, candidates, with_precision
from convatlas.engines.sample_inputs import sample_inputs
from convatlas.engines.search.reduced import ReducedTrials
from convatlas.engines.search.stopwatch import Stopwatch
from convatlas.engines.search.trials import Trials
from convatlas.engines.session import Session
from convatlas.engines.workspace import Workspace
from convatlas.weights.user_weights import lineage_of

PHOTOS = 2
"""Number of photos that an engine is checked on."""

CLOSE = 1.2
"""Options that take less than this factor times the fastest are timed again, among themselves."""

RIVAL = 2.0
"""The next best options are tried again at the next start if they take less than this factor times the fastest."""


class Search:
    """Search for one net and batch size.

    Attributes:
        reference: Outputs of the net in eager mode.
        trials: Sessions that passed the check, and why others did not.
        stopwatch: Times of these sessions.
    """

    def __init__(self, workspace: Workspace, batch: int):
        self.workspace, self.net, self.batch = workspace, workspace.net, batch
        self.reference = Reference(self.net, sample_inputs(self.net, PHOTOS, workspace.input))
        self.trials = Trials(workspace, self.reference)
        self.reduced = ReducedTrials(self.trials)
        self.stopwatch = Stopwatch(sample_inputs(self.net, batch, workspace.input).numpy())

    def fastest(self, engine: str, precision: str) -> tuple[Session, Acceleration]:
        """Fastest session that passed the check, and the record of the search.

        Raises:
            ConvAtlasError: There is none, and the text says why the first engine was refused; or the net is random.
        """
        self.reference.check_repeatable()
        if engine == AUTO or precision == "float32":
            self._time_float32(engine)
        if precision != "float32":
            self._time_reduced(engine, precision)
        times = self.stopwatch.times
        if not times:
            raise ConvAtlasError(next(iter(self.trials.refused.values())))
        close = [options for options, time in times.items() if time < CLOSE * min(times.values())]
        if len(close) > 1:
            self._time({options: self.trials.sessions[options] for options in close})
        if not times:
            raise ConvAtlasError(next(iter(self.trials.refused.values())))
        best = self.stopwatch.ranked()[0]
        if best.precision != precision:
            for name in with_precision(precision):
                self.trials.refused.setdefault(f"{name} {precision}", "it is not faster")
        return self.trials.sessions[best], self._record(best)

    def _time_float32(self, engine: str) -> None:
        """Try and time all options in float32."""
        convolves = any(isinstance(module, nn.Conv2d) for module in self.net.modules())
        options = candidates(engine, "float32", self.batch, convolves)
        # These take up to a minute to build, and can only win if eager mode is not much slower than the fastest.
        slow_to_build = [
            option for option in options if engine == AUTO and math.isfinite(backends()[option.engine].speedup)
        ]
        for option in options:
            if option not in slow_to_build:
                self.trials.try_float32(option)
        self._time(self.trials.sessions)
        for option in slow_to_build:
            times = self.stopwatch.times
            eager = min(time for timed, time in times.items() if timed.engine == EAGER)
            if eager < backends()[option.engine].speedup * min(times.values()) and self.trials.try_float32(option):
                pair = self.stopwatch.ranked()[0], option
                self._time({timed: self.trials.sessions[timed] for timed in pair})

    def _time(self, sessions: Mapping[Options, Session]) -> None:
        """Time sessions against each other; those that fail are refused."""
        self.stopwatch.run(dict(sessions))
        for options, reason in self.stopwatch.failures.items():
            self.trials.drop(options, reason)

    def _time_reduced(self, engine: str, precision: str) -> None:
        """Try all options in a reduced precision, and time them against the fastest in float32."""
        best = self.stopwatch.ranked()[:1]
        float32 = self.trials.sessions[best[0]] if best else EagerMode(self.net)
        self.reduced.try_all(engine, precision, self.batch, float32)
        sessions = self.trials.sessions
        contenders = [*best, *(options for options in sessions if options.precision == precision)]
        self._time({options: sessions[options] for options in contenders})

    def _record(self, best: Options) -> Acceleration:
        """Record of the search, for the options that were chosen."""
        deviation = self.trials.deviations[best]
        agreed = self.reduced.agreements.get((best.engine, best.precision))
        lineage = lineage_of(self.net)
        rivals = self._rivals(best)
        return Acceleration(
            net=net_name(self.net),
            weights=lineage.name if lineage is not None else "",
            shape=self.workspace.shape,
            dtype=self.workspace.input.kind,
            batch=self.batch,
            options=best,
            milliseconds={str(timed): time for timed, time in self.stopwatch.times.items()},
            error=deviation.error,
            bound=deviation.bound if best.precision == "float32" else None,
            top1=None if agreed is None else agreed.share,
            sure=None if agreed is None else agreed.sure,
            refused=self.trials.refused,
            cpu=cpu(),
            rivals=rivals,
            wins=self.stopwatch.wins(best, rivals[0]) if rivals else None,
            settled=not rivals,
        )

    def _rivals(self, best: Options) -> tuple[Options, ...]:
        """The next best options in the same precision, and the best of another engine if that is not among them."""
        times = self.stopwatch.times
        others = [
            options
            for options in self.stopwatch.ranked()
            if options != best and options.precision == best.precision and times[options] < RIVAL * times[best]
        ]
        elsewhere = [options for options in others if options.engine != best.engine]
        return tuple(dict.fromkeys((*others[:1], *elsewhere[:1])))
