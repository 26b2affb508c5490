"""What came of a job."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.base.records import Record


@dataclass(frozen=True)
class Unread:
    """A photo that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Batch(Record):
    """A finished job.

    Attributes:
        task: "classify", "embed" or "detect".
        net: Which net.
        weights: Which lineage.
        engines: Which engines ran it; those of earlier runs are in the files.
        output: The folder of the answers.
        photos: In all.
        shards: Files that hold them.
        answered: Photos of this run; the others were there.
        seconds: Of this run, from the first photo on.
        unread: All that could not be read, and why.
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
    unread: tuple[Unread, ...]

    def __str__(self) -> str:
        by = f" in {', '.join(self.engines)}" if self.engines else ""
        rate = f", {self.answered / self.seconds:.1f} a second" if self.answered else ""
        return (
            f"{self.photos:,} photos in {self.shards:,} shards in {self.output}, by {self.net} ({self.weights}){by}; "
            f"{self.answered:,} of them now{rate}; {len(self.unread):,} could not be read"
        )
