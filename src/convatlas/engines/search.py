"""Search for the fastest engine: each one is tried in a process of its own, checked, and timed in rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torch import nn

from convatlas.anatomy.measure.shape_trace import net_name
from convatlas.base.errors import ConvAtlasError
from convatlas.base.machine import cpu
from convatlas.engines.accelerated_net import Acceleration
from convatlas.engines.agreement import MIN_SHARE, Agreement, agreement
from convatlas.engines.backends.eager import EagerMode
from convatlas.engines.bench.rounds import medians
from convatlas.engines.options import AUTO, EAGER, Options
from convatlas.engines.parity import Deviation, Reference
from convatlas.engines.probabilities import MAPS
from convatlas.engines.registry import backends, candidates, with_precision
from convatlas.engines.sample_inputs import sample_inputs
from convatlas.engines.sandbox import run_in_sandbox
from convatlas.engines.session import Float32Array, Session
from convatlas.engines.workspace import Workspace
from convatlas.weights.user_weights import lineage_of

T = TypeVar("T")

PHOTOS = 2
"""Number of photos that an engine is checked on."""

MIN_SURE = 500
"""Photos on which float32 has to be sure before no more are compared."""

MAX_CROPS, CHUNK = 2048, 64
"""Crops of the sample photographs that are compared at most, and at a time."""

CLOSE = 1.2
"""Options that take less than this factor times the fastest are timed again, among themselves."""


class Search:
    """Search for one net and batch size.

    Attributes:
        sessions: Sessions that passed the check, by their options.
        refused: Why others are not used, by engine and precision.
    """

    def __init__(self, workspace: Workspace, batch: int):
        self.workspace, self.net, self.batch = workspace, workspace.net, batch
        self.reference = Reference(self.net, sample_inputs(self.net, PHOTOS, workspace.shape))
        self.x = sample_inputs(self.net, batch, workspace.shape).numpy()
        self.sessions: dict[Options, Session] = {}
        self.deviations: dict[Options, Deviation] = {}
        self.agreements: dict[tuple[str, str], Agreement] = {}
        self.refused: dict[str, str] = {}
        self.written: set[Path] = set()

    def fastest(self, engine: str, precision: str) -> tuple[Session, Acceleration]:
        """Fastest session that passed the check, and the record of the search.

        Raises:
            ConvAtlasError: There is none; the text says why the first engine was refused.
        """
        times = self.time_float32(engine) if engine == AUTO or precision == "float32" else {}
        if precision != "float32":
            best = min(times, key=times.__getitem__) if times else None
            self.try_reduced(engine, precision, EagerMode(self.net) if best is None else self.sessions[best])
            contenders = {options: session for options, session in self.sessions.items() if options not in times}
            if best is not None:
                contenders = {best: self.sessions[best]} | contenders
            times |= medians(contenders, self.x)
        if not times:
            raise ConvAtlasError(next(iter(self.refused.values())))
        close = [options for options in self.sessions if times.get(options, math.inf) < CLOSE * min(times.values())]
        if len(close) > 1:
            times |= medians({options: self.sessions[options] for options in close}, self.x)
        options = min(times, key=times.__getitem__)
        if options.precision != precision:
            for name in with_precision(precision):
                self.refused.setdefault(f"{name} {precision}", "it is not faster")
        return self.sessions[options], self.record(options, times)

    def time_float32(self, engine: str) -> dict[Options, float]:
        """Try all options in float32; return the milliseconds of a call by options."""
        convolves = any(isinstance(module, nn.Conv2d) for module in self.net.modules())
        options = candidates(engine, "float32", self.batch, convolves)
        # These take up to a minute to build, and can only win if eager mode is not much slower than the fastest.
        slow_to_build = [
            option for option in options if engine == AUTO and math.isfinite(backends()[option.engine].speedup)
        ]
        for option in options:
            if option not in slow_to_build:
                self.try_option(option)
        times = medians(self.sessions, self.x)
        for option in slow_to_build:
            eager = min(time for timed, time in times.items() if timed.engine == EAGER)
            if eager < backends()[option.engine].speedup * min(times.values()) and self.try_option(option):
                fastest = min(times, key=times.__getitem__)
                times |= medians({timed: self.sessions[timed] for timed in (fastest, option)}, self.x)
        return times

    def try_option(self, options: Options) -> bool:
        """Open and check a session in float32; return whether it passed. A refusal is recorded."""
        name = f"{options.engine} {options.precision}"
        if name in self.refused:
            return False
        try:
            self.sessions[options], self.deviations[options] = self.with_retry(options, self.verified)
        except ConvAtlasError as error:
            self.refused[name] = str(error)
            return False
        return True

    def verified(self, options: Options) -> tuple[Session, Deviation]:
        """Open a session in float32, and return it with its deviation from eager mode.

        Raises:
            ConvAtlasError: The deviation exceeds the bound.
        """
        session = self.open(options)
        deviation = self.reference.deviation(session(self.reference.x.numpy()))
        if not deviation.holds:
            raise ConvAtlasError(
                f"it differs from eager by {deviation.error:.1e} standard deviations; {deviation.bound:.1e} is allowed"
            )
        return session, deviation

    def with_retry(self, options: Options, work: Callable[[Options], T]) -> T:
        """Return the result of `work`; after an error delete files of earlier searches (maybe damaged) and try again.

        Raises:
            ConvAtlasError: The machine cannot run the options, or `work` fails with new files.
        """
        backend, folder = backends()[options.engine], self.workspace.folder
        backend.check_machine(folder, options)
        try:
            return work(options)
        except ConvAtlasError:
            old = [path for path in backend.files(folder, options) if path not in self.written and path.is_file()]
            if not old:
                raise
            for path in old:
                path.unlink(missing_ok=True)
            return work(options)

    def open(self, options: Options) -> Session:
        """Open a session; the first one of an engine and precision must first run in a process of its own."""
        backend, folder = backends()[options.engine], self.workspace.folder
        files = backend.files(folder, options)
        backend.drop_damaged(folder, options)
        self.written |= {path for path in files if not path.is_file()}
        backend.build(self.workspace, options)
        survived = {(opened.engine, opened.precision) for opened in self.sessions}
        if files and (options.engine, options.precision) not in survived:
            run_in_sandbox(folder, options, self.reference.x.numpy())
        session = backend.open(folder, options, self.net)
        backend.seal(folder, options)
        return session

    def try_reduced(self, engine: str, precision: str, reference: Session) -> None:
        """Open sessions in a reduced precision, and compare their top-1 classes with those of `reference`."""
        options = candidates(engine, precision, self.batch)
        for name in with_precision(precision):
            if engine not in (AUTO, name):
                continue
            try:
                if not backends()[name].installed:
                    extra = backends()[name].extra
                    raise ConvAtlasError(f"{precision} needs {name}: pip install 'convatlas[{extra}]'")
                self.try_reduced_engine([option for option in options if option.engine == name], engine, reference)
            except ConvAtlasError as error:
                self.refused[f"{name} {precision}"] = str(error)

    def try_reduced_engine(self, candidates: list[Options], engine: str, reference: Session) -> None:
        """Open the candidates of one engine.

        Raises:
            ConvAtlasError: One cannot be opened, or `engine` is "auto" and it does not agree with `reference`.
        """
        has_classes = self.workspace.probability_map in MAPS
        for candidate in candidates:
            if not has_classes and engine == AUTO:
                raise ConvAtlasError(
                    "reduced precision is judged by top-1 classes, and this net's outputs are not classes"
                )
            options = replace(candidate, ranges=self.workspace.ranges(candidate.precision))
            session = self.with_retry(options, self.open)
            key = options.engine, options.precision
            if has_classes and key not in self.agreements:
                self.agreements[key] = self.agreement(reference, session)
            if engine == AUTO and not (measured := self.agreements[key]).holds:
                if measured.sure == 0:
                    raise ConvAtlasError("float32 is sure of its top-1 class on none of the photos")
                raise ConvAtlasError(f"its top-1 class is float32's on {measured}; {100 * MIN_SHARE:g} % is required")
            y = session(self.reference.x.numpy())
            self.sessions[options] = session
            self.deviations[options] = Deviation(self.reference.distance(y), math.inf)

    def agreement(self, reference: Session, session: Session) -> Agreement:
        """Compare the top-1 classes of two sessions, on photos that the ranges of int8 do not come from."""
        total = Agreement(0, 0.0)
        for x in self.validation():
            total += agreement(reference(x), session(x), self.workspace.probability_map)
            if total.sure >= MIN_SURE:
                break
        return total

    def validation(self) -> Iterator[Float32Array]:
        """Yield chunks of prepared photos: crops of the sample photographs, or half of the user's photos."""
        if self.workspace.sources is not None:
            yield self.workspace.photos[1]
            return
        self.workspace.trained_lineage()
        for seed in range(MAX_CROPS // CHUNK):
            yield sample_inputs(self.net, CHUNK, self.workspace.shape, 3 + seed).numpy()

    def record(self, options: Options, times: dict[Options, float]) -> Acceleration:
        """Record of the search, for the options that were chosen."""
        deviation = self.deviations[options]
        agreed = self.agreements.get((options.engine, options.precision))
        lineage = lineage_of(self.net)
        return Acceleration(
            net=net_name(self.net),
            weights=lineage.name if lineage is not None else "",
            shape=self.workspace.shape,
            batch=self.batch,
            options=options,
            milliseconds={str(timed): time for timed, time in times.items()},
            error=deviation.error,
            bound=deviation.bound if options.precision == "float32" else None,
            top1=None if agreed is None else agreed.share,
            sure=None if agreed is None else agreed.sure,
            refused=self.refused,
            cpu=cpu(),
        )
