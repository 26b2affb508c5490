"""Record of the time of one engine for a net and a batch size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convatlas.base.terminal.brief import Brief
from convatlas.engines.registry import names


@dataclass(frozen=True)
class Time(Brief):
    """Measurements of one engine for a net and a batch size.

    Attributes:
        net: The card's name.
        size: Height of the photos in pixels; 0 for a net that takes no photos.
        batch: Number of photos in a call.
        engine: One of our engines, or a peer in eager mode: "timm", "torchvision".
        precision: Precision that it computes in.
        call: Median milliseconds of a call.
        low: Lower quartile of the milliseconds.
        high: Upper quartile of the milliseconds.
        limit: Least milliseconds of a call in float32, by the machine's measured peaks.
        load: Milliseconds to load the net in a new process; None for peers.
        memory: Peak memory in MB of a process that only runs this net; None for peers.
        top1: Share of photos on which a reduced precision has float32's top-1 class.
        how: Number of photos in a run, and of parallel runs.
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
        """Milliseconds for a photo."""
        return self.call / self.batch

    @property
    def photos_per_second(self) -> float:
        """Photos in a second."""
        return 1e3 * self.batch / self.call

    @property
    def share(self) -> float | None:
        """The limit as a share of the call; None for reduced precisions, whose peak is not measured."""
        return self.limit / self.call if self.precision == "float32" else None

    def row(self) -> dict[str, Any]:
        """Row for `base.store.timings`; "milliseconds", which `choose` compares, is for one photo in float32 only."""
        row = vars(self) | {"photos_per_second": self.photos_per_second}
        if self.batch == 1 and self.precision == "float32" and self.engine in names():
            row["milliseconds"] = self.milliseconds
        return row
