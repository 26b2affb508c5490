"""Record of a finished job."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.base.records import Record
from convatlas.base.terminal.brief import Brief


@dataclass(frozen=True)
class Unreadable(Brief):
    """A photo that could not be read, or that a probe refused, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Batch(Record):
    """Record of a finished job.

    Attributes:
        task: "classify", "embed", "detect" or "explain".
        net: The card's name.
        weights: The lineage's name.
        engines: Engines of this run; those of earlier runs are recorded in the files.
        output: The folder of the results.
        photos: Number of photos of the job.
        shards: Number of shards, each in a file.
        answered: Number of photos that this run processed; earlier runs processed the others.
        seconds: Duration of this run, from the first photo on.
        unread: All photos that could not be read, or that the probe refused, and why.
    """

    task: str
    net: str
    weights: str
    engines: tuple[str, ...]
    output: str
    photos: int
    shards: int
    answered: int
    seconds: float
    unread: tuple[Unreadable, ...]

    def __str__(self) -> str:
        engines = f" in {', '.join(self.engines)}" if self.engines else ""
        rate = f", {self.answered / self.seconds:.1f} a second" if self.answered else ""
        doubt = "read or explained" if self.task == "explain" else "read"
        return (
            f"{self.photos:,} photos in {self.shards:,} shards in {self.output}, by {self.net} ({self.weights})"
            f"{engines}; {self.answered:,} of them in this run{rate}; {len(self.unread):,} could not be {doubt}"
        )
