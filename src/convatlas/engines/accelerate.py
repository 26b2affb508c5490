"""The fastest engine for a net on this machine: tried, checked against eager mode, measured, remembered."""

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
from convatlas.engines.accelerated_net import AcceleratedNet, Acceleration
from convatlas.engines.export.metadata import metadata_of
from convatlas.engines.options import AUTO, Options
from convatlas.engines.parity import Reference
from convatlas.engines.registry import backends, check_request, packages, without_torch
from convatlas.engines.sample_inputs import evaluation_copy, shape_of
from convatlas.engines.search import Search
from convatlas.engines.session import Session
from convatlas.engines.store_folder import folder_of
from convatlas.engines.workspace import Workspace
from convatlas.images.decoding import Source
from convatlas.images.sources import sources
from convatlas.nets.build import Size
from convatlas.weights.resolve import NamedNet, find_net, resolve


def accelerate(
    net: str | NamedNet | nn.Module,
    engine: str = AUTO,
    precision: str = "float32",
    *,
    batch: int = 1,
    weights: str | None = None,
    size: Size | None = None,
    photos: Source | Sequence[Source] | None = None,
) -> AcceleratedNet:
    """Open a net in the engine that runs it fastest on this machine.

    "auto" chooses less than float32 if it is faster and its first answers agree with float32's on 99 % of the photos
    where float32 is sure (leads by 0.2); otherwise `record.refused` says why not. An engine that is asked for by name
    runs in the precision in any case. `record.top1` is that agreement.

    Every engine is checked against PyTorch's eager mode when it is first tried, and whenever it is opened; float32
    means float32, within ten times eager's own distance from float64. Results are remembered in the store, by net,
    weights, size, batch, precision, CPU and versions; so are the engines' files.

    Args:
        net: A net, whose weights are taken as they are now; or its name, as in `load`.
        engine: "auto" for the fastest one that is installed and right; or "eager", "compiled", "onnxruntime",
            "openvino".
        precision: "float32", "bfloat16" or "int8".
        batch: Number of photos that a call will mostly have; any number is accepted.
        weights: Weights of a net by its name, as in `load`; "none" for random ones.
        size: Height and width of the photos; by default those of the weights' preprocessing, or those the net was
            built for.
        photos: Photos of the kind that the net will see, some hundreds, from which int8 takes its ranges: a folder, or
            a list of files, folders or arrays. By default crops of the sample photographs.

    Raises:
        UnknownName: There is no such engine, precision or net.
        SizeError: The net cannot take photos of this size.
        ConvAtlasError: The engine is not installed, does not have the precision, or refuses the net (a missing
            operation is named); "auto" chooses another one then, and `record.refused` says why.
        StoreError: The store cannot be written to, and has no result of an earlier search.
    """
    check_request(engine, precision, batch)
    named = find_net(net, weights)
    original = resolve(named or net, None if named else weights)
    twin, shape = evaluation_copy(original), shape_of(original, size)
    folder = folder_of(twin, shape)
    listed = None if photos is None else sources(photos)
    workspace = Workspace(folder, twin, shape, listed)
    search = Search(workspace, batch)
    key = machine_key(packages())
    file = folder / f"{engine}-{precision}{workspace.ranges(precision)}-{batch}-{key}.json"
    try:
        # Without the lock, so that a read-only store serves as well.
        result = _remembered(file, folder, search.reference)
        if result is None:
            with locked(folder):
                # Another process may have finished its search meanwhile.
                result = _remembered(file, folder, search.reference)
                if result is None:
                    result = search.fastest(engine, precision)
                    write_bytes(file, result[1].to_json().encode())
    except OSError as error:
        raise unusable(folder, error) from None
    if named is not None and named.published is not None and size is None:
        _index(named.published, folder, twin, shape, result[1])
    return AcceleratedNet(original, *result)


def _index(weights: Weights, folder: Path, net: nn.Module, shape: tuple[int, ...], record: Acceleration) -> None:
    """Let `cached` find the engines that start without PyTorch, for unchanged published weights."""
    # A store that cannot be written to only makes the next start slower.
    with suppress(OSError):
        for engine in without_torch():
            if any(name.startswith(f"{engine} float32,") for name in record.milliseconds):
                cached.add_to_index(weights, folder, metadata_of(net, shape), engine)


def _remembered(file: Path, folder: Path, reference: Reference) -> tuple[Session, Acceleration] | None:
    """Session and record of an earlier search, if it still opens and deviates no more than it did then."""
    try:
        values = read_json(file)
        options = Options(**values.pop("options"))
        values.pop("made")
        record = Acceleration(**values | {"options": options, "shape": tuple(values["shape"])})
        session = backends()[options.engine].open(folder, options, reference.net)
        y = session(reference.x.numpy())
    # Damaged or foreign files can make an engine raise anything.
    except Exception:
        return None
    # Less than float32 has no bound, but must not deviate much more than it did.
    bound = 1.5 * record.error if record.bound is None else record.bound
    return (session, record) if reference.distance(y) <= bound else None
