"""How fast nets are on this machine: every engine, side by side with its peers, and how near they come to its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from torch import nn

from convatlas.anatomy.measure.measure import measure
from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.base.machine import cpu, threads
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table
from convatlas.base.timings import keep
from convatlas.base.verbs import Steps, verb
from convatlas.catalogue.cards import cards, find
from convatlas.engines.accelerate import accelerate
from convatlas.engines.accelerated_net import Accelerated
from convatlas.engines.backends.session import Session
from convatlas.engines.bench.footprint import Weight, weigh
from convatlas.engines.bench.peers import check_peers, peer
from convatlas.engines.bench.profile import costliest
from convatlas.engines.bench.roofline import Limits, limits
from convatlas.engines.bench.timing import rounds
from convatlas.engines.cache import folder_of
from convatlas.engines.options import AUTO, PRECISIONS, Setting, check_wish
from convatlas.engines.sample_inputs import ready, shape_of, trial
from convatlas.nets.build import Size
from convatlas.nets.user_net import is_own
from convatlas.weights.resolve import named

if TYPE_CHECKING:
    from convatlas.pictures.picture import Picture

BATCHES = (1, 16)
SWEEP = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Time:
    """How long one engine takes for a net and a number of photos.

    Attributes:
        net: The card's name.
        size: Side of the photos in pixels (their height, where they are oblong; 0 where it takes no photos).
        batch: Photos in a call.
        engine: One of ours, or a peer in eager mode: "timm", "torchvision".
        precision: What it computes in.
        call: Milliseconds of a call, the median of all rounds.
        low: The quartile below it.
        high: The quartile above it.
        limit: Milliseconds that the machine needs at least in float32, by its own peaks.
        load: Milliseconds to load the net in a new process; None for peers.
        memory: Peak of a process that only runs this net, in MB; None for peers.
        top1: Share of photos on which less than float32 has float32's first answer.
        how: Photos in a run, and runs side by side.
    """

    net: str
    size: int
    batch: int
    engine: str
    precision: str
    call: float
    low: float
    high: float
    limit: float
    load: float | None = None
    memory: float | None = None
    top1: float | None = None
    how: str = ""

    @property
    def milliseconds(self) -> float:
        """For one photo of the call."""
        return self.call / self.batch

    @property
    def photos_per_second(self) -> float:
        """As it says."""
        return 1e3 * self.batch / self.call

    def row(self) -> dict[str, Any]:
        """Row for `base.timings`; has "milliseconds" only in float32 for one photo, which is what `choose` compares."""
        row = vars(self) | {"photos_per_second": self.photos_per_second}
        if self.batch == 1 and self.precision == "float32" and self.engine in PRECISIONS:
            row["milliseconds"] = self.milliseconds
        return row

    @property
    def share(self) -> float | None:
        """How much of the call the machine's limit explains; None in less than float32, whose limit is another."""
        return self.limit / self.call if self.precision == "float32" else None


@dataclass(frozen=True)
class Bench(Record):
    """Times of nets on this machine.

    Attributes:
        times: Of every net, batch and engine.
        costly: For each net the layers that take longest in eager mode, with their shares of the time.
        refused: What could not be measured, and why.
        peak: The machine's own multiply-accumulates a second, in thousand millions.
        bandwidth: Its bytes a second, in thousand millions.
        cpu: On which CPU.
        threads: How many an engine may start.
    """

    times: tuple[Time, ...]
    costly: dict[str, list[tuple[str, float]]]
    refused: tuple[str, ...]
    peak: float
    bandwidth: float
    cpu: str
    threads: int

    def table(self) -> Table:
        """One row an engine; the fastest of each net and batch is marked."""
        best = {(one.net, one.batch): min(self._of(one.net, one.batch)) for one in self.times}
        rows = [
            asdict(one)
            | {"milliseconds": one.milliseconds, "rate": one.photos_per_second, "share": one.share}
            | {"spread": (one.high - one.low) / one.batch, "best": one.call == best[one.net, one.batch]}
            for one in self.times
        ]
        notes = [f"{net}: most time goes to {_named(layers)}" for net, layers in self.costly.items() if layers]
        title = (
            f"{self.cpu}, threads: {self.threads}; at most {self.peak:.0f} GMAC/s and {self.bandwidth:.0f} GB/s; "
            "medians of interleaved rounds"
        )
        return Table(COLUMNS, rows, title=title, notes=(*notes, *self.refused))

    def draw(self) -> Picture:
        """Bars of the milliseconds for a photo, a group for each net and batch."""
        from convatlas.engines.bench.chart import bars

        return bars(self)

    def _of(self, net: str, batch: int) -> list[float]:
        return [one.call for one in self.times if (one.net, one.batch) == (net, batch)]

    def __str__(self) -> str:
        return "\n".join(
            f"{one.net}, {one.batch} at a time, {one.engine} {one.precision}: {one.milliseconds:.2f} ms a photo"
            for one in self.times
        )


COLUMNS = (
    Column("net", "net"),
    Column("batch", "batch"),
    Column("engine", "engine"),
    Column("precision", "precision"),
    Column("milliseconds", "ms a photo", lambda time: f"{time:.2f}"),
    Column("spread", "quartiles apart", lambda time: f"{time:.2f}"),
    Column("rate", "photos/s", lambda rate: f"{rate:.1f}"),
    Column("share", "of the limit", lambda share: "" if share is None else f"{100 * share:.0f}%"),
    Column("load", "load (ms)", lambda time: "" if time is None else f"{time:.0f}"),
    Column("memory", "memory (MB)", lambda size: "" if size is None else f"{size:.0f}"),
    Column("top1", "agreement", lambda share: "" if share is None else f"{100 * share:.1f}%"),
    Column("how", "how"),
    Column("best", "fastest", lambda best: "yes" if best else ""),
)


def _named(layers: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} ({100 * share:.0f}%)" for name, share in layers)


@verb
def bench(
    nets: str | Sequence[str] | None = None,
    *,
    engines: Sequence[str] | None = None,
    precisions: Sequence[str] = ("float32",),
    batches: Sequence[int] = BATCHES,
    vs: Sequence[str] = (),
    weights: str = "none",
    size: Size | None = None,
) -> Steps[Bench]:
    """Measures nets in every engine, and keeps the times for `list` and `choose`.

    Args:
        nets: Which; all of the atlas if not said. Also nets of your own, as `package.module:callable` or a .pt2 file.
        engines: Which; all that are installed if not said.
        precisions: "float32", "bfloat16", "int8"; each in the engines that have it.
        batches: Photos in a call.
        vs: Peers to measure in the same rounds: "timm", "torchvision", in eager mode.
        weights: As in `load`; random ones if not said, which take as long. Agreement in less than float32 means
            something only with trained ones.
        size: Of the photos; as published if not said.

    Raises:
        UnknownName: No such net, engine, precision or peer.
        ConvAtlasError: A peer or an engine that is asked for is not installed.
    """
    given = list(cards()) if nets is None else [nets] if isinstance(nets, str) else list(nets)
    names = list(dict.fromkeys(name if is_own(name) else find(name).name for name in given))
    batches = list(dict.fromkeys(batches))
    check_peers(tuple(vs))
    for engine in engines or ():
        if engine not in PRECISIONS:
            raise unknown("engine to measure", engine, PRECISIONS)
    for precision in precisions:
        check_wish(AUTO, precision, 1)
    for batch in batches:
        check_wish(AUTO, "float32", batch)
    if not names or not batches:
        raise ConvAtlasError("nothing to measure: name a net and a batch")
    times: list[Time] = []
    refused: list[str] = []
    costly: dict[str, list[tuple[str, float]]] = {}
    machine = limits()
    for number, name in enumerate(names):
        net = named(name, weights)
        cell = _Cells(net, name, weights, size, machine, refused)
        for place, batch in enumerate(batches):
            found = cell.times(batch, engines or list(PRECISIONS), precisions, vs, asked=engines is not None)
            keep([time.row() for time in found])
            times += found
            if place == 0:
                costly[name] = costliest(cell.twin, trial(net, batch, cell.shape))
            done = number * len(batches) + place + 1
            if done < len(names) * len(batches):
                yield done, len(names) * len(batches), None
    if not times:
        raise ConvAtlasError("; ".join(refused) or f"none of these engines computes in {', '.join(precisions)}")
    result = Bench(tuple(times), costly, tuple(refused), machine.macs / 1e9, machine.bandwidth / 1e9, cpu(), threads())
    yield len(names) * len(batches), len(names) * len(batches), result


class _Cells:
    """One net, in all engines."""

    def __init__(self, net: nn.Module, name: str, weights: str, size: Size | None, machine: Limits, refused: list[str]):
        self.net, self.name, self.weights, self.machine, self.refused = net, name, weights, machine, refused
        self.shape = shape_of(net, size)
        self.size = (self.shape[1], self.shape[2]) if len(self.shape) == 3 else None
        self.twin = ready(net)
        self.folder = folder_of(self.twin, self.shape)
        self.anatomy = measure(self.twin, size=self.size)

    def times(
        self, batch: int, engines: Sequence[str], precisions: Sequence[str], vs: Sequence[str], asked: bool
    ) -> list[Time]:
        """All engines and peers in the same rounds."""
        ours: dict[tuple[str, str], Accelerated] = {}
        for engine in engines:
            for precision in precisions:
                if precision not in PRECISIONS[engine]:
                    continue
                try:
                    fast = accelerate(self.net, engine, precision, batch=batch, size=self.size)
                    ours[engine, precision] = fast
                except ConvAtlasError as error:
                    if asked and "not installed" in str(error):
                        raise
                    self.refused.append(f"{self.name} in {engine}, {precision}: {error}")
        sessions: dict[tuple[str, str], Session] = {key: fast.session for key, fast in ours.items()}
        x = trial(self.net, batch, self.shape).numpy()
        for name in vs:
            try:
                if (other := peer(name, self.name, x)) is not None:
                    sessions[name, "float32"] = other
            except ConvAtlasError as error:
                self.refused.append(str(error))
        taken = rounds(sessions, x)
        return [self.time(batch, key, taken[key], ours.get(key)) for key in sessions]

    def time(self, batch: int, key: tuple[str, str], taken: Sequence[float], fast: Accelerated | None) -> Time:
        """What was measured of one of them."""
        low, _, high = quantiles(taken, n=4, method="inclusive")
        weight = None if fast is None else self.weight(fast.record.setting, batch)
        setting = None if fast is None else fast.record.setting
        return Time(
            net=self.name,
            size=self.shape[1] if len(self.shape) == 3 else 0,
            batch=batch,
            engine=key[0],
            precision=key[1],
            call=median(taken),
            low=low,
            high=high,
            limit=self.limit(batch),
            load=None if weight is None else weight.load,
            memory=None if weight is None else weight.memory,
            top1=None if fast is None else fast.record.top1,
            how="" if setting is None else str(setting).partition(", ")[2],
        )

    def limit(self, batch: int) -> float:
        """What the machine needs at least: all arithmetic at its peak, weights read once, photos in, answers out."""
        numbers = self.anatomy.parameters + batch * (prod(self.shape) + prod(self.anatomy.output))
        return self.machine.milliseconds(batch * self.anatomy.macs, 4 * numbers)

    def weight(self, setting: Setting, batch: int) -> Weight | None:
        try:
            return weigh(setting, self.folder, (self.name, self.weights), self.shape, batch)
        except ConvAtlasError as error:
            self.refused.append(f"{self.name}: {error}")
            return None
