"""Judge reduced precisions by their top-1 classes on photos."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from convatlas.base.errors import ConvAtlasError
from convatlas.engines.agreement import MIN_SHARE, Agreement, agreement
from convatlas.engines.options import AUTO, Options
from convatlas.engines.parity.reference import Deviation
from convatlas.engines.probabilities import MAPS
from convatlas.engines.registry import backends, candidates, with_precision
from convatlas.engines.sample_inputs import sample_inputs
from convatlas.engines.search.trials import Trials
from convatlas.engines.session import Float32Array, Session

MIN_SURE = 500
"""Photos on which float32 has to be sure before no more are compared."""

MAX_CROPS, CHUNK = 2048, 64
"""Crops of the sample photographs that are compared at most, and at a time."""


class ReducedTrials:
    """Sessions in a reduced precision, which are added to those in float32.

    Attributes:
        agreements: Agreement of the top-1 classes with those of float32, by engine and precision.
    """

    def __init__(self, trials: Trials):
        self.trials, self.workspace = trials, trials.workspace
        self.agreements: dict[tuple[str, str], Agreement] = {}

    def try_all(self, engine: str, precision: str, batch: int, reference: Session) -> None:
        """Open sessions in a reduced precision, and compare their top-1 classes with those of `reference`."""
        options = candidates(engine, precision, batch)
        for name in with_precision(precision):
            if engine not in (AUTO, name):
                continue
            try:
                if not backends()[name].installed:
                    extra = backends()[name].extra
                    raise ConvAtlasError(f"{precision} needs {name}: pip install 'convatlas[{extra}]'")
                self._try_engine([option for option in options if option.engine == name], engine, reference)
            except ConvAtlasError as error:
                self.trials.refused[f"{name} {precision}"] = str(error)

    def _try_engine(self, candidates: list[Options], engine: str, reference: Session) -> None:
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
            session = self.trials.with_retry(options, self.trials.open)
            key = options.engine, options.precision
            if has_classes and key not in self.agreements:
                self.agreements[key] = self.agreement(reference, session)
            if engine == AUTO and not (measured := self.agreements[key]).holds:
                if measured.sure == 0:
                    raise ConvAtlasError("float32 is sure of its top-1 class on none of the photos")
                raise ConvAtlasError(f"its top-1 class is float32's on {measured}; {100 * MIN_SHARE:g} % is required")
            y = session(self.trials.reference.x.numpy())
            self.trials.sessions[options] = session
            self.trials.deviations[options] = Deviation(self.trials.reference.distance(y), math.inf)

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
            yield sample_inputs(self.workspace.net, CHUNK, self.workspace.input, 3 + seed).numpy()
