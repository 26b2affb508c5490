"""What can be chosen about how a net runs: engine, precision, photos in a run, runs side by side. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.base.extras import installed
from convatlas.base.machine import threads

PRECISIONS = {
    "eager": ("float32",),
    "compiled": ("float32",),
    "onnxruntime": ("float32",),
    "openvino": ("float32", "bfloat16", "int8"),
}
"""The engines, and what each computes in."""

AUTO = "auto"


@dataclass(frozen=True)
class Setting:
    """One way to run a net.

    Attributes:
        engine: One of `PRECISIONS`.
        precision: One of the engine's.
        batch: Photos in a run; more are run one after the other, or side by side.
        streams: Runs side by side, which share the threads.
        ranges: In int8, by which photos the ranges were found; part of the file's name.
        channels_last: In eager mode, whether maps lie pixel by pixel in memory.
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
        """Plain strings and numbers, of which `Setting(**...)` makes it again."""
        return asdict(self)


def check_wish(engine: str, precision: str, batch: object) -> None:
    """Refuses what no engine does.

    Raises:
        UnknownName: No such engine or precision.
        ConvAtlasError: The engine does not have the precision, or the batch is no number of photos.
    """
    if engine not in (AUTO, *PRECISIONS):
        raise unknown("engine", str(engine), (AUTO, *PRECISIONS))
    known = dict.fromkeys(one for some in PRECISIONS.values() for one in some)
    if precision not in tuple(known):
        raise unknown("precision", str(precision), known)
    if engine != AUTO and precision not in PRECISIONS[engine]:
        able = [name for name, some in PRECISIONS.items() if precision in some]
        raise ConvAtlasError(f"{engine} computes in {', '.join(PRECISIONS[engine])}; {precision} has {', '.join(able)}")
    if not isinstance(batch, int) or isinstance(batch, bool) or not 1 <= batch <= 4096:
        raise ConvAtlasError(f"a batch is a number of photos from 1 to 4096; got {batch!r}")


def candidates(engine: str, precision: str, batch: int, convolves: bool = True) -> list[Setting]:
    """The settings worth a try for so many photos at a time, those that are ready soonest first.

    Raises:
        ConvAtlasError: The engine is not installed.
    """
    found = []
    for name in ("eager", "onnxruntime", "openvino", "compiled") if engine == AUTO else (engine,):
        if precision not in PRECISIONS[name]:
            continue
        if name in ("onnxruntime", "openvino") and not all(map(installed, (name, "onnx", "onnxscript"))):
            if engine != AUTO:
                raise ConvAtlasError(f"the engine {name} is not installed: pip install 'convatlas[engines]'")
            continue
        found.append(Setting(name, precision, batch))
        if name == "eager" and convolves:
            found.append(Setting(name, precision, batch, channels_last=True))
        many = threads()
        if name == "openvino" and batch > 1 and many > 1:
            # Threads that work on photos of their own wait less for each other, and small maps stay in the caches.
            found += [Setting(name, precision, size, many) for size in dict.fromkeys((1, -(-batch // many)))]
        elif name == "openvino" and batch > 1:
            found.append(Setting(name, precision, 1))
    return found
