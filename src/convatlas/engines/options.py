"""The options with which a net runs: engine, precision, batch size, streams. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from convatlas.base.terminal.brief import Brief

AUTO = "auto"
"""Value of `engine` for the fastest one."""

EAGER = "eager"
"""Name of the engine that the others are checked against."""


@dataclass(frozen=True)
class Options(Brief):
    """One way to run a net.

    Attributes:
        engine: Name of a backend in `registry.backends`.
        precision: One of the backend's precisions.
        batch: Number of photos in a run; more are split into several runs, in sequence or in parallel.
        streams: Number of parallel runs, which share the threads.
        ranges: Name of the photos that the activation ranges of int8 come from; part of the file's name.
        channels_last: Whether eager mode uses the memory layout in which the channels of a pixel are adjacent.
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
        """Options as strings and numbers; `Options(**...)` restores them."""
        return asdict(self)
