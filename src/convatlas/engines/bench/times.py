"""The time of one engine for a net and a batch size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convatlas.engines.registry import names


@dataclass(frozen=True)
class Time:
    """Measurements of one engine for a net and a batch size.

    Attributes:
        net: The card's name.
        size: Height of the photos in pixels; 0 for a net that takes no photos.
        batch: Photos in a call.
        engine: One of our engines, or a peer in eager mode: "timm", "torchvision".
        precision: What it computes in.
        call: Median milliseconds of a call.
        low: Lower quartile of the milliseconds.
        high: Upper quartile of the milliseconds.
        limit: Milliseconds that the machine needs at least in float32, by its measured peaks.
        load: Milliseconds to load the net in a new process; None for peers.
        memory: Peak memory of a process that only runs this net, in MB; None for peers.
        top1: Share of photos on which less than float32 has float32's first answer.
        how: Photos in a run, and parallel runs.
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
        """Milliseconds for one photo of a call."""
        return self.call / self.batch

    @property
    def photos_per_second(self) -> float:
        """Photos in a second."""
        return 1e3 * self.batch / self.call

    @property
    def share(self) -> float | None:
        """Share of the call that the machine's limit explains; None below float32, for which it is not measured."""
        return self.limit / self.call if self.precision == "float32" else None

    def row(self) -> dict[str, Any]:
        """Row for `base.store.timings`; only float32 for one photo has "milliseconds", which `choose` compares."""
        row = vars(self) | {"photos_per_second": self.photos_per_second}
        if self.batch == 1 and self.precision == "float32" and self.engine in names():
            row["milliseconds"] = self.milliseconds
        return row
