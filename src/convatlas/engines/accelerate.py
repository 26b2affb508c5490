"""The fastest engine for a net on this machine: tried, checked against eager, measured, remembered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from torch import nn

from convatlas.base.atomic import read_json, write_bytes
from convatlas.base.locking import locked, unusable
from convatlas.base.machine import machine_key
from convatlas.catalogue.lineages import Weights
from convatlas.engines import cached
from convatlas.engines.accelerated_net import Accelerated, Acceleration
from convatlas.engines.backends.eager import EagerMode
from convatlas.engines.backends.session import Session
from convatlas.engines.cache import folder_of
from convatlas.engines.cached import published
from convatlas.engines.export.metadata import describe
from convatlas.engines.options import AUTO, Setting, check_wish
from convatlas.engines.parity import Eager
from convatlas.engines.sample_inputs import ready, shape_of
from convatlas.engines.search import Search
from convatlas.engines.start import start
from convatlas.images.decoding import Source
from convatlas.images.sources import sources
from convatlas.nets.build import Size
from convatlas.weights.resolve import named


def accelerate(
    net: str | nn.Module,
    engine: str = AUTO,
    precision: str = "float32",
    *,
    batch: int = 1,
    weights: str | None = None,
    size: Size | None = None,
    photos: Source | Sequence[Source] | None = None,
) -> Accelerated:
    """A net in the engine that runs it fastest on this machine, to be used in the net's place.

    Less than float32 is taken by "auto" if it is faster and its first answers agree with float32's on 99 % of the
    photos where float32 is sure (leads by 0.2), and otherwise `record.refused` says why not; asked for by its engine it
    is given in any case. `record.top1` is that agreement.

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
        photos: Of the kind that the net will see, from which int8 takes its ranges: a folder, or a list of files,
            folders or arrays; some hundreds. Pieces of the sample photographs if not said.

    Raises:
        UnknownName: No such engine, precision or net.
        SizeError: The net cannot take photos of such a size.
        ConvAtlasError: The engine is not installed, does not have the precision, or refuses the net (an operation it
            lacks is named); "auto" takes another one then, and `record.refused` says why.
        StoreError: The store cannot be written to, and has nothing that was measured before.
    """
    check_wish(engine, precision, batch)
    given = named(net, weights) if isinstance(net, str) else net
    twin, shape = ready(given), shape_of(given, size)
    folder = folder_of(twin, shape)
    seen = None if photos is None else sources(photos)
    search = Search(folder, twin, shape, batch, seen)
    kept = folder / f"{engine}-{precision}{search.ranges(precision)}-{batch}-{machine_key()}.json"
    try:
        # Without the lock: a store that may only be read serves as well.
        found = _remembered(kept, folder, search.eager)
        if found is None:
            with locked(folder):
                # Another process may have been faster.
                found = _remembered(kept, folder, search.eager)
                if found is None:
                    found = search.best(engine, precision)
                    write_bytes(kept, found[1].to_json().encode())
    except OSError as error:
        raise unusable(folder, error) from None
    row = published(net, weights) if isinstance(net, str) else None
    if row is not None and size is None:
        _note(row, folder, twin, shape, found[1])
    return Accelerated(given, *found)


def _note(row: Weights, folder: Path, net: nn.Module, shape: tuple[int, ...], record: Acceleration) -> None:
    """Leaves word of the engines that start without torch, for published weights as they are."""
    # Where it cannot be left, nothing is wrong but slower.
    with suppress(OSError):
        for engine in cached.ENGINES:
            if any(name.startswith(f"{engine} float32,") for name in record.milliseconds):
                cached.note(row, folder, describe(net, shape), engine)


def _remembered(kept: Path, folder: Path, eager: Eager) -> tuple[Session, Acceleration] | None:
    """What was chosen before, if it still starts and is as right as it was."""
    try:
        told = read_json(kept)
        setting = Setting(**told.pop("setting"))
        told.pop("made")
        record = Acceleration(**told | {"setting": setting, "shape": tuple(told["shape"])})
        eager_mode = setting.engine == "eager"
        session = EagerMode(eager.net, setting.channels_last) if eager_mode else start(folder, setting)
        y = session(eager.x.numpy())
    # What notes and files that are damaged or others' make an engine raise is anything at all.
    except Exception:
        return None
    # Less than float32 has no bound; but it is as far from eager as it was.
    bound = 1.5 * record.error if record.bound is None else record.bound
    return (session, record) if eager.distance(y) <= bound else None
