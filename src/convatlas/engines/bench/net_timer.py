"""Measure one net in every engine, and the same net of other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from statistics import median, quantiles

from torch import nn

from convatlas.anatomy.measure.measure import measure
from convatlas.base.errors import ConvAtlasError, first_line
from convatlas.base.store.substitute import folder_in_use
from convatlas.engines.accelerate import accelerate
from convatlas.engines.accelerated_net import AcceleratedNet
from convatlas.engines.bench.footprint import Footprint, measure_footprint
from convatlas.engines.bench.peers import peer
from convatlas.engines.bench.roofline import Roofline
from convatlas.engines.bench.rounds import rounds
from convatlas.engines.bench.times import Time
from convatlas.engines.options import Options
from convatlas.engines.registry import backends
from convatlas.engines.sample_inputs import NetInput, evaluation_copy, sample_inputs
from convatlas.engines.session import Session
from convatlas.engines.store_folder import folder_of


class NetTimer:
    """Measurements of one net.

    Args:
        net: The net.
        name: Its name, by which another process loads it.
        weights: Its weights, as in `load`.
        input: The tensor that it takes.
        roofline: The machine's peaks.
        refused: List to which failures are added.
    """

    def __init__(
        self, net: nn.Module, name: str, weights: str, input: NetInput, roofline: Roofline, refused: list[str]
    ):
        self.net, self.name, self.weights, self.roofline, self.refused = net, name, weights, roofline, refused
        self.input, self.shape = input, input.shape
        self.twin = evaluation_copy(net)
        self.folder = folder_of(self.twin, input)
        self.anatomy = measure(self.twin, inputs=input.example(1))

    def times(self, batch: int, engines: Sequence[str], precisions: Sequence[str], vs: Sequence[str]) -> list[Time]:
        """Measure all engines and peers (`vs`) in the same rounds."""
        ours: dict[tuple[str, str], AcceleratedNet] = {}
        for engine in engines:
            for precision in precisions:
                if precision not in backends()[engine].precisions:
                    continue
                try:
                    ours[engine, precision] = accelerate(self.net, engine, precision, batch=batch, inputs=self.input)
                except ConvAtlasError as error:
                    self.refused.append(f"{self.name} in {engine}, {precision}: {error}")
        sessions: dict[tuple[str, str], Session] = {key: fast.session for key, fast in ours.items()}
        x = sample_inputs(self.net, batch, self.input).numpy()
        for name in vs:
            try:
                if (other := peer(name, self.name, x)) is not None:
                    sessions[name, "float32"] = other
            except ConvAtlasError as error:
                self.refused.append(str(error))
        calls = rounds(sessions, x, failed=self._fail)
        return [self.time(batch, key, times, ours.get(key)) for key, times in calls.items()]

    def _fail(self, key: tuple[str, str], error: Exception) -> None:
        self.refused.append(f"{self.name} in {key[0]}, {key[1]}: it fails ({first_line(error)})")

    def time(self, batch: int, key: tuple[str, str], calls: Sequence[float], fast: AcceleratedNet | None) -> Time:
        """Summarize the milliseconds of the calls of one engine or peer."""
        low, _, high = quantiles(calls, n=4, method="inclusive")
        options = None if fast is None else fast.record.options
        footprint = None if options is None else self.footprint(options, batch)
        return Time(
            net=self.name,
            size=self.shape[1] if len(self.shape) == 3 else 0,
            batch=batch,
            engine=key[0],
            precision=key[1],
            call=median(calls),
            low=low,
            high=high,
            limit=self.limit(batch),
            load=None if footprint is None else footprint.load,
            memory=None if footprint is None else footprint.memory,
            top1=None if fast is None else fast.record.top1,
            how="" if options is None else str(options).partition(", ")[2],
        )

    def limit(self, batch: int) -> float:
        """Least milliseconds on this machine: arithmetic at its peak; weights and inputs read, outputs written."""
        numbers = self.anatomy.parameters + batch * (prod(self.shape) + prod(self.anatomy.output))
        return self.roofline.milliseconds(batch * self.anatomy.macs, 4 * numbers)

    def footprint(self, options: Options, batch: int) -> Footprint | None:
        """Load time and memory in a process of its own; None after an error, which is added to `refused`."""
        net = self.name, self.weights, getattr(self.weights, "convention", None)
        try:
            return measure_footprint(options, folder_in_use(self.folder), net, self.input, batch)
        except ConvAtlasError as error:
            self.refused.append(f"{self.name}: {error}")
            return None
