"""Record of a bench, with its table and its chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from convatlas.base.records import TableRecord
from convatlas.base.tables import Column, Table
from convatlas.engines.bench.chart import bars
from convatlas.engines.bench.times import Time
from convatlas.pictures.picture import Picture

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


@dataclass(frozen=True)
class Bench(TableRecord):
    """Times of nets on this machine.

    Attributes:
        times: Times of every net, batch size and engine.
        costly: For each net the slowest layers in eager mode, with their shares of the time.
        refused: What could not be measured, and why.
        peak: The machine's peak rate in 10^9 multiply-accumulates a second.
        bandwidth: The machine's memory bandwidth in 10^9 bytes a second.
        cpu: Name of the CPU.
        threads: Number of threads that an engine may use.
    """

    times: tuple[Time, ...]
    costly: dict[str, list[tuple[str, float]]]
    refused: tuple[str, ...]
    peak: float
    bandwidth: float
    cpu: str
    threads: int

    def table(self) -> Table:
        """Return a table with a row for each time; the fastest of each net and batch size is marked."""
        fastest: dict[tuple[str, int], float] = {}
        for time in self.times:
            cell = time.net, time.batch
            fastest[cell] = min(time.call, fastest.get(cell, time.call))
        rows = [
            asdict(time)
            | {"milliseconds": time.milliseconds, "rate": time.photos_per_second, "share": time.share}
            | {"spread": (time.high - time.low) / time.batch, "best": time.call == fastest[time.net, time.batch]}
            for time in self.times
        ]
        notes = [f"{net}: most time goes to {_named(layers)}" for net, layers in self.costly.items() if layers]
        title = (
            f"{self.cpu}, threads: {self.threads}; at most {self.peak:.0f} GMAC/s and {self.bandwidth:.0f} GB/s; "
            "medians of interleaved rounds"
        )
        return Table(COLUMNS, rows, title=title, notes=(*notes, *self.refused))

    def draw(self) -> Picture:
        """Draw the milliseconds for a photo as bars, in a group for each net and batch size."""
        note = (
            f"{self.cpu}, threads: {self.threads}. Medians; each group has its own scale; dashed: the machine's limit."
        )
        return bars(self.times, note, str(self))

    def __str__(self) -> str:
        return "\n".join(
            f"{time.net}, {time.batch} at a time, {time.engine} {time.precision}: {time.milliseconds:.2f} ms a photo"
            for time in self.times
        )


def _named(layers: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} ({100 * share:.0f}%)" for name, share in layers)
