"""Measure how fast nets are on this machine, in every engine, beside other libraries and the machine's limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convatlas.base.errors import ConvAtlasError, StoreError, unknown
from convatlas.base.machine import cpu, threads
from convatlas.base.store.timings import add_times
from convatlas.base.verbs import Steps, name_list, verb
from convatlas.catalogue.cards import find_card
from convatlas.catalogue.list_nets import list_nets
from convatlas.engines.bench.net_timer import NetTimer
from convatlas.engines.bench.peers import check_peers
from convatlas.engines.bench.profile import slowest_layers
from convatlas.engines.bench.records import Bench
from convatlas.engines.bench.roofline import measure_roofline
from convatlas.engines.bench.times import Time
from convatlas.engines.options import AUTO
from convatlas.engines.registry import backends, check_request
from convatlas.engines.sample_inputs import net_input, sample_inputs
from convatlas.nets.build import Size
from convatlas.nets.example_inputs import Shapes
from convatlas.nets.user_net import is_user_net
from convatlas.weights.resolve import resolve
from convatlas.weights.weights_file import weights_file

BATCHES = (1, 16)
SWEEP = (1, 2, 4, 8, 16, 32)


@verb
def bench(
    nets: str | Sequence[str] | None = None,
    *,
    family: str | None = None,
    year: int | tuple[int, int] | None = None,
    max_parameters: float | str | None = None,
    min_top1: float | str | None = None,
    lineage: str | None = None,
    engines: str | Sequence[str] | None = None,
    precisions: str | Sequence[str] = ("float32",),
    batches: int | Sequence[int] = BATCHES,
    vs: str | Sequence[str] = (),
    weights: str = "none",
    convention: str | None = None,
    size: Size | None = None,
    inputs: object = None,
    input_shape: Shapes | None = None,
) -> Steps[Bench]:
    """Measure nets in every engine, and store the times for `list` and `choose`.

    Args:
        nets: Names of nets, or one, by default all of the atlas; your own nets as `package.module:callable` or a .pt2
            file.
        family: Only nets of this family; this and the next four are as in `list_nets`, and go without `nets`.
        year: Only nets of this year, or of the first and last of a range.
        max_parameters: Only nets with at most so many published parameters, as a count or as printed ("25M").
        min_top1: Only nets with at least this published top-1 accuracy in percent.
        lineage: Only nets with weights of this publisher.
        engines: Names of engines, or one, by default all that are installed.
        precisions: "float32", "bfloat16", "int8"; each is measured in the engines that have it.
        batches: Batch sizes, or one.
        vs: Libraries ("timm", "torchvision") whose net is measured in the same rounds, in eager mode.
        weights: Weights as in `load`; by default random ones, which take the same time. The agreement of reduced
            precisions needs trained weights.
        convention: For a foreign file of weights, the lineage whose conventions it follows, as in `load`.
        size: Height and width of the photos; as published by default.
        inputs: A batch of what your own net takes if that is no photo, as in `accelerate`.
        input_shape: Shape of this tensor without the batch, instead of its values.

    Raises:
        UnknownName: There is no such net, engine, precision or peer.
        ConvAtlasError: A requested library or engine is not installed, or there is nothing to measure.
    """
    filters = (family, year, max_parameters, min_top1, lineage)
    if nets is not None and any(value is not None for value in filters):
        raise ConvAtlasError("name the nets, or choose them by family, year, max_parameters, min_top1 and lineage")
    if nets is None:
        matches = list_nets(
            family=family, year=year, max_parameters=max_parameters, min_top1=min_top1, lineage=lineage, sort="family"
        )
        if not matches:
            raise ConvAtlasError("no net passes all filters: leave one out")
        asked = [card.name for card in matches]
    else:
        asked = name_list("nets", nets)
    chosen = list(dict.fromkeys(name if is_user_net(name) else find_card(name).name for name in asked))
    precisions, peers = name_list("precisions", precisions), name_list("peers", vs)
    listed = [] if engines is None else name_list("engines", engines)
    # What is no number of photos is refused below.
    sizes = list(batches) if isinstance(batches, Iterable) else [batches]
    check_peers(tuple(peers))
    for engine in listed:
        if engine not in backends():
            raise unknown("engine to measure", engine, backends())
        backends()[engine].check_installed()
    for precision in precisions:
        check_request(AUTO, precision, 1)
    for batch in sizes:
        check_request(AUTO, "float32", batch)
    sizes = list(dict.fromkeys(sizes))
    if not chosen or not sizes:
        raise ConvAtlasError("nothing to measure: name a net and a batch")
    times: list[Time] = []
    refused: list[str] = []
    costly: dict[str, list[tuple[str, float]]] = {}
    file = weights_file(weights, convention) or weights
    roofline = measure_roofline()
    for number, name in enumerate(chosen):
        net = resolve(name, file)
        taken = net_input(net, inputs=inputs, input_shape=input_shape, size=size)
        timer = NetTimer(net, name, file, taken, roofline, refused)
        for position, batch in enumerate(sizes):
            measured = timer.times(batch, listed or list(backends()), precisions, peers)
            try:
                add_times([time.row() for time in measured])
            except (StoreError, OSError) as error:
                refused.append(f"the times of {name} are not kept for list and choose: {error}")
            times += measured
            if position == 0:
                costly[name] = slowest_layers(timer.twin, sample_inputs(timer.net, batch, timer.input))
            done = number * len(sizes) + position + 1
            if done < len(chosen) * len(sizes):
                yield done, len(chosen) * len(sizes), None
    if not times:
        raise ConvAtlasError("; ".join(refused) or f"none of these engines computes in {', '.join(precisions)}")
    peaks = roofline.macs / 1e9, roofline.bandwidth / 1e9
    result = Bench(tuple(times), costly, tuple(refused), *peaks, cpu(), threads())
    yield len(chosen) * len(sizes), len(chosen) * len(sizes), result
