"""The options with which a net runs: engine, precision, batch size, streams. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

AUTO = "auto"
"""The engine that stands for whichever is fastest."""

EAGER = "eager"
"""The engine that every other one is checked against."""


@dataclass(frozen=True)
class Options:
    """One way to run a net.

    Attributes:
        engine: Name of a backend in `registry.backends`.
        precision: One of the backend's precisions.
        batch: Photos in a run; more are split into several runs, in sequence or in parallel.
        streams: Parallel runs, which share the threads.
        ranges: Source of the activation ranges in int8; part of the file's name.
        channels_last: Memory layout in eager mode: whether the channels of a pixel are adjacent.
    """

    engine: str
    precision: str
    batch: int
    streams: int = 1
    ranges: str = ""
    channels_last: bool = False

    def __str__(self) -> str:
        rest = f" x {self.streams} side by side" if self.streams > 1 else ""
        rest += ", channels last" if self.channels_last else ""
        return f"{self.engine} {self.precision}, {self.batch} a run{rest}"

    def to_dict(self) -> dict[str, Any]:
        """Plain strings and numbers, from which `Options(**...)` restores the options."""
        return asdict(self)
