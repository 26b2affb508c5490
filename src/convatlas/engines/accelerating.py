"""The fastest engine for a net on this machine: tried, checked against eager, measured, remembered."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

from convatlas.base.atomic import read_json, whole, write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.base.store import locked
from convatlas.catalogue.lineages import Weights
from convatlas.engines import light
from convatlas.engines.accelerated import Accelerated, Acceleration
from convatlas.engines.checking import Agreement, Eager
from convatlas.engines.compiled import PROGRAM
from convatlas.engines.describing import describe
from convatlas.engines.eager import EagerMode
from convatlas.engines.graph import exported, onnx_bytes
from convatlas.engines.guarding import tried
from convatlas.engines.identity import folder_of
from convatlas.engines.light import published
from convatlas.engines.machine import cpu, machine_key
from convatlas.engines.naming import named
from convatlas.engines.session import Session
from convatlas.engines.setting import AUTO, Setting, candidates, check_wish
from convatlas.engines.starting import GRAPH, start
from convatlas.engines.timing import medians
from convatlas.engines.trials import ready, shape_of, trial
from convatlas.nets.building import Size
from convatlas.nets.net import Net

PHOTOS = 2
"""On which an engine is checked."""

HOPE = 3.0
"""How many times faster than eager the compiler may make a net, whose convolutions are eager's own: a minute of
compiling is spent only where that would win."""


def accelerate(
    net: str | nn.Module,
    engine: str = AUTO,
    precision: str = "float32",
    *,
    batch: int = 1,
    weights: str | None = None,
    size: Size | None = None,
) -> Accelerated:
    """A net in the engine that runs it fastest on this machine, to be used in the net's place.

    Every engine is checked against PyTorch's eager mode when it is first tried, and whenever it is started; float32
    means float32, within ten times eager's own distance from float64. What was measured is remembered in the store, by
    net, weights, size, batch, precision, CPU and versions; so are the engines' files.

    Args:
        net: A net, whose weights are as they are now; or its name, as in `load`.
        engine: "auto": whichever is fastest here of those that are installed and right; or "eager", "compiled",
            "onnxruntime", "openvino".
        precision: "float32", "bfloat16" or "int8".
        batch: How many photos it will mostly get at a time; any number can be given.
        weights: Of a net by its name, as in `load`; "none" for random ones.
        size: Height and width of the photos; as the weights prepare them, or as the net was built, if not said.

    Raises:
        UnknownName: No such engine, precision or net.
        ConvAtlasError: The engine is not installed, does not have the precision, or refuses the net (an operation it
            lacks is named); "auto" takes another one then, and `record.refused` says why.
    """
    check_wish(engine, precision, batch)
    given = named(net, weights) if isinstance(net, str) else net
    twin, shape = ready(given), shape_of(given, size)
    folder = folder_of(twin, shape)
    kept = folder / f"{engine}-{precision}-{batch}-{machine_key()}.json"
    eager = Eager(twin, trial(twin, PHOTOS, shape))
    with locked(folder):
        found = _remembered(kept, folder, eager)
        if found is None:
            found = _Trial(folder, twin, shape, batch, eager).best(engine, precision)
            write_bytes(kept, found[1].to_json().encode())
        row = published(net, weights) if isinstance(net, str) else None
        if row is not None and size is None:
            _note(row, folder, twin, shape, found[1])
    return Accelerated(given, *found)


def _note(row: Weights, folder: Path, net: nn.Module, shape: tuple[int, ...], record: Acceleration) -> None:
    """Leaves word of the engines that start without torch, for published weights as they are."""
    for engine in light.ENGINES:
        if any(name.startswith(f"{engine} float32,") for name in record.milliseconds):
            light.note(row, folder, describe(net, shape), engine)


def _remembered(kept: Path, folder: Path, eager: Eager) -> tuple[Session, Acceleration] | None:
    """What was chosen before, if it still starts and is as right as it was."""
    try:
        told = read_json(kept)
        setting = Setting(**told.pop("setting"))
        told.pop("made")
        record = Acceleration(**told | {"setting": setting, "shape": tuple(told["shape"])})
        session = EagerMode(eager.net) if setting.engine == "eager" else start(folder, setting)
        y = session(eager.x.numpy())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ConvAtlasError):
        return None
    return (session, record) if eager.distance(y) <= record.bound else None


class _Trial:
    """One search for the fastest engine."""

    def __init__(self, folder: Path, net: nn.Module, shape: tuple[int, ...], batch: int, eager: Eager):
        self.folder, self.net, self.shape, self.batch, self.eager = folder, net, shape, batch, eager
        self.sessions: dict[Setting, Session] = {}
        self.agreements: dict[Setting, Agreement] = {}
        self.refused: dict[str, str] = {}
        self.x = trial(net, batch, shape).numpy()

    def best(self, engine: str, precision: str) -> tuple[Session, Acceleration]:
        """The fastest session of those that are right, and how it was found."""
        wanted = candidates(engine, precision, self.batch)
        for setting in wanted:
            if engine != AUTO or setting.engine != "compiled":
                self.take(setting)
        times = medians(self.sessions, self.x)
        last = wanted[-1]
        if engine == AUTO and last.engine == "compiled":
            eager = min(taken for setting, taken in times.items() if setting.engine == "eager")
            if eager < HOPE * min(times.values()) and self.take(last):
                fastest = min(times, key=times.__getitem__)
                times |= medians({one: self.sessions[one] for one in (fastest, last)}, self.x)
        if not times:
            raise ConvAtlasError(next(iter(self.refused.values())))
        setting = min(times, key=times.__getitem__)
        return self.sessions[setting], self.record(setting, times)

    def take(self, setting: Setting) -> bool:
        """Starts a session and checks it; a refusal is noted."""
        name = f"{setting.engine} {setting.precision}"
        if name in self.refused:
            return False
        try:
            session = self.started(setting)
            found = self.eager.agreement(session(self.eager.x.numpy()))
            if not found.holds:
                raise ConvAtlasError(f"it is {found.error:.1e} deviations from eager, and {found.bound:.1e} is allowed")
        except ConvAtlasError as error:
            self.refused[name] = str(error)
            return False
        self.sessions[setting], self.agreements[setting] = session, found
        return True

    def started(self, setting: Setting) -> Session:
        """A session of an engine that has shown, in a process of its own, that it does not crash."""
        if setting.engine == "eager":
            return EagerMode(self.net)
        self.write(setting.engine)
        if not any(one.engine == setting.engine and one.precision == setting.precision for one in self.sessions):
            tried(self.folder, setting, self.eager.x.numpy())
        return start(self.folder, setting)

    def write(self, engine: str) -> None:
        """The file that the engine starts from, if it is not there."""
        path = self.folder / (PROGRAM if engine == "compiled" else GRAPH)
        if path.is_file():
            return
        program = exported(self.net, self.shape)
        if engine == "compiled":
            with whole(path) as place:
                torch.export.save(program, place)
        else:
            write_bytes(path, onnx_bytes(program, describe(self.net, self.shape)))

    def record(self, setting: Setting, times: dict[Setting, float]) -> Acceleration:
        """What was found, with the setting that was chosen."""
        found = self.agreements[setting]
        lineage = self.net.lineage if isinstance(self.net, Net) else None
        return Acceleration(
            net=self.net.card.name if isinstance(self.net, Net) else type(self.net).__name__,
            weights=lineage.name if lineage is not None else "",
            shape=self.shape,
            batch=self.batch,
            setting=setting,
            milliseconds={str(one): taken for one, taken in times.items()},
            error=found.error,
            bound=found.bound,
            top1=None if math.isfinite(found.bound) else found.top1,
            refused=self.refused,
            cpu=cpu(),
        )
