"""Find the fastest engine for a net on this machine; results are kept in the store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from torch import nn

from convatlas.base.files.leftovers import remove_leftovers
from convatlas.base.locking import locked, locked_if_writable, unusable
from convatlas.base.machine import machine_key
from convatlas.base.store.progress import notify
from convatlas.base.store.sealed import write_sealed_json
from convatlas.base.store.substitute import substitute
from convatlas.catalogue.lineages import Weights
from convatlas.engines import cached
from convatlas.engines.accelerated_net import AcceleratedNet, Acceleration
from convatlas.engines.export.metadata import metadata_of
from convatlas.engines.options import AUTO, EAGER
from convatlas.engines.registry import check_request, packages, without_torch
from convatlas.engines.sample_inputs import evaluation_copy, net_input
from convatlas.engines.search.remembered import Remembered
from convatlas.engines.search.search import Search
from convatlas.engines.session import Session
from convatlas.engines.store_folder import folder_of
from convatlas.engines.workspace import Workspace
from convatlas.images.decoding import Source
from convatlas.images.sources import sources
from convatlas.nets.build import Size
from convatlas.nets.example_inputs import Shapes
from convatlas.weights.resolve import NamedNet, find_net, resolve
from convatlas.weights.weights_file import weights_file


def accelerate(
    net: str | NamedNet | nn.Module,
    engine: str = AUTO,
    precision: str = "float32",
    *,
    batch: int = 1,
    weights: str | None = None,
    convention: str | None = None,
    size: Size | None = None,
    photos: Source | Sequence[Source] | None = None,
    inputs: object = None,
    input_shape: Shapes | None = None,
) -> AcceleratedNet:
    """Open a net in the engine that runs it fastest on this machine.

    Every engine is checked against PyTorch's eager mode when it is first tried, and whenever it is opened. In float32
    its error may be ten times that of eager mode, which is eager's distance from float64. Results and the engines'
    files are kept in the store, by net, weights, size, batch, precision, CPU and versions.

    "auto" chooses a reduced precision (bfloat16, int8) only if it is faster than float32, and its top-1 class is
    float32's on 99 % of the photos where float32 is sure (its highest probability leads the second by 0.2). Otherwise
    it chooses float32, and `record.refused` says why. An engine given by name always uses the precision;
    `record.top1` is the agreement.

    Args:
        net: A net, of which a copy is made; or its name, as in `load`.
        engine: "auto" for the fastest installed one that passes the check; or "eager", "compiled", "onnxruntime",
            "openvino".
        precision: "float32", "bfloat16" or "int8".
        batch: Number of photos in most calls, for which the engine is chosen; calls may have any number.
        weights: Weights of a net by its name, as in `load`; "none" for random ones.
        convention: For a foreign file of weights, the lineage whose conventions it follows, as in `load`.
        size: Height and width of the photos; by default those of the weights' preprocessing, or those the net was
            built for.
        photos: Some hundred photos of the kind that the net will see, from which int8 takes its activation ranges: a
            folder, or a list of files, folders or arrays. By default crops of the sample photographs.
        inputs: A batch of what your own net takes if that is no photo: one tensor, of numbers or of tokens. The engine
            is checked and timed on it.
        input_shape: Shape of this tensor without the batch, such as (1, 16000), instead of its values.

    Raises:
        UnknownName: There is no such engine, precision or net.
        SizeError: The net cannot take photos of this size.
        ConvAtlasError: The engine is not installed, does not have the precision, or cannot run the net; the text names
            a missing operation. "auto" chooses another engine instead, and `record.refused` says why. Or the net is
            random in evaluation mode, or takes several tensors.
        StoreError: An engine's files cannot be written. In a read-only store without an earlier result they are
            temporary, and "auto" chooses eager mode.
    """
    check_request(engine, precision, batch)
    weights = weights_file(weights, convention)
    named = find_net(net, weights)
    original = resolve(named or net, None if named else weights)
    twin = evaluation_copy(original)
    taken = net_input(twin, inputs=inputs, input_shape=input_shape, size=size)
    folder = folder_of(twin, taken)
    listed = None if photos is None else sources(photos)
    workspace = Workspace(folder, twin, taken, listed)
    search = Search(workspace, batch)
    key = machine_key(packages())
    file = folder / f"{engine}-{precision}{workspace.ranges(precision)}-{batch}-{key}.json"
    remembered = Remembered(file, folder, search.reference)
    try:
        # Tried without the lock first, so that a read-only store suffices.
        result = remembered.open(search.stopwatch.x)
        if result is None:
            with locked_if_writable(folder) as writable:
                if not writable:
                    kept = remembered.open(search.stopwatch.x, without_damaged=True)
                    return AcceleratedNet(original, *(kept or _unremembered(search, engine, precision)))
                remove_leftovers(folder)
                # Another process may have finished its search while this one waited for the lock.
                result = remembered.open(search.stopwatch.x)
                if result is None:
                    if engine == AUTO:
                        notify("trying which engine is fastest here: a minute or more, once for this net")
                    result = search.fastest(engine, precision)
                    write_sealed_json(file, result[1].to_dict())
    except OSError as error:
        raise unusable(folder, error) from None
    if named is not None and named.published is not None and not any((size, input_shape)) and inputs is None:
        _index(named.published, folder, twin, taken.shape, result[1])
    return AcceleratedNet(original, *result)


def _unremembered(search: Search, engine: str, precision: str) -> tuple[Session, Acceleration]:
    """Open an engine without the store: its files are temporary; "auto" is eager mode, as a search cannot be kept."""
    if engine in (AUTO, EAGER) and precision == "float32":
        return search.fastest(EAGER, precision)
    search.workspace.folder = substitute(search.workspace.folder)
    with locked(search.workspace.folder):
        return search.fastest(engine, precision)


def _index(weights: Weights, folder: Path, net: nn.Module, shape: tuple[int, ...], record: Acceleration) -> None:
    """Let `cached_net` find the engines that need no PyTorch, for a net with its published weights."""
    # Without the index, only the next start is slower.
    with suppress(OSError):
        for engine in without_torch():
            if any(name.startswith(f"{engine} float32,") for name in record.milliseconds):
                cached.add_to_index(weights, folder, metadata_of(net, shape), engine)
