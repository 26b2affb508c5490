"""Read and write Keras' files of weights: the legacy `.h5`, and the `.weights.h5` and `.keras` of Keras 3.

Source of the layouts: `legacy_h5_format.py` and `saving_lib.py` in keras/src.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import torch
from torch import Tensor

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import WeightsError
from convatlas.weights.formats.keras_order import Layer
from convatlas.weights.formats.keras_transfer import (
    check_around,
    check_description,
    check_pooling,
    described_layers,
    in_order,
    is_net,
)
from convatlas.weights.formats.key_mapping import Renamed
from convatlas.weights.formats.safe_hdf5 import (
    MEMBER,
    check_names,
    dataset_of,
    group_of,
    object_at,
    open_root,
    read_array,
    read_description,
    read_names,
)

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Names that the group of the layers in a `.weights.h5` may have; the second one is from TensorFlow 2.13."""

SHARD = re.compile(r"_\d{5}\.weights\.h5$")
"""Ending of shards, the files into which Keras can split weights."""

Arrays = Iterator[tuple[Layer, list[h5py.Dataset]]]
"""Layers of the net, each with its arrays in the file, which are not read yet."""


def read(path: Path, layers: Sequence[Layer], classifier: Layer | None = None) -> Renamed:
    """Return the tensors of a file under our names, in float32, without those of the top if the file has none.

    The number of classes is that of the file, not of `layers`.

    Args:
        path: The file.
        layers: The net's layers, in the order of Keras' files.
        classifier: The dense layer of a model of transfer learning; None for a net that has no such form.

    Raises:
        WeightsError: The file is damaged, hostile, or holds another net.
    """
    tensors, keys = {}, {}
    with open_root(path) as root:
        if (description := read_description(path, root)) is not None:
            check_description(description)
        read_arrays = _modern if _container(root) else _legacy
        for layer, datasets in read_arrays(root, path, layers, classifier):
            if len(datasets) != len(layer.arrays):
                name = _key(datasets[0].parent) if datasets else layer.arrays[0].name
                raise WeightsError(f"holds another net: {len(datasets)} arrays in {name}, not {len(layer.arrays)}")
            for array, dataset in zip(layer.arrays, datasets, strict=True):
                if layer.classifies and dataset.shape and dataset.shape[-1]:
                    array = array.for_classes(dataset.shape[-1])
                tensors[array.name] = array.to_ours(torch.from_numpy(read_array(dataset, array.stored)))
                keys[array.name] = _key(dataset)
    return Renamed(tensors, keys)


def _key(place: h5py.Group | h5py.Dataset) -> str:
    """Path in the file."""
    return str(place.name).lstrip("/")


def layer_names(path: Path) -> list[str]:
    """Names of all layers in the file, including those without weights; those in a net inside only if it lists them."""
    with open_root(path) as root:
        if _container(root):
            members = _members(root)
            inside = [inner for name, group in members if _is_net(name, group) for inner in _members(group)]
            return [name for name, _ in (*members, *inside)]
        weights = _weights(root, path)
        return described_layers(root) or read_names(weights, "layer_names")


def write(path: Path, layers: Sequence[Layer], weights: Mapping[str, Tensor]) -> None:
    """Write a `.weights.h5`, whole or not at all."""
    buffer, counts = io.BytesIO(), Counter[str]()
    with h5py.File(buffer, "w") as root:
        for layer in layers:
            number = counts[layer.kind]
            group = root.create_group(f"{CONTAINERS[0]}/{layer.kind}" + (f"_{number}" if number else ""))
            group.create_group("vars")
            for array in layer.arrays:
                group[array.place] = array.to_theirs(weights[array.name]).numpy()
            counts[layer.kind] += 1
    write_bytes(path, buffer.getvalue())


def _legacy(root: h5py.Group, path: Path, layers: Sequence[Layer], classifier: Layer | None) -> Arrays:
    """Yield the arrays of a legacy file; its k-th layer with weights is the net's k-th, regardless of names."""
    weights = _weights(root, path)
    groups = {name: group_of(weights, name) for name in read_names(weights, "layer_names")}
    check_pooling(groups)
    names = {layer: read_names(group, "weight_names") for layer, group in groups.items()}
    nets = [layer for layer in names if is_net(names[layer])]
    arrays = [[dataset_of(groups[layer], name) for name in names[layer]] for layer in names if names[layer]]
    if not nets:
        yield from zip(_selected(layers, len(arrays), path, arrays, classifier), arrays, strict=True)
        return
    around = [layer for layer in names if layer not in nets]
    last = _last(layers, [layer for layer in around if names[layer]], len(nets), classifier)
    below = [layer for layer in layers if not layer.top]
    _check_pooling(below, inside=not any("pooling" in name for name in around))
    check_around(around, path)
    places = [dataset_of(groups[nets[0]], name) for name in in_order(names[nets[0]], described_layers(root))]
    if len(places) != sum(len(layer.arrays) for layer in below):
        count = sum(len(layer.arrays) for layer in below)
        raise WeightsError(f"holds another net: {len(places)} arrays in {nets[0]}, not {count}")
    for layer in below:
        yield layer, [places.pop(0) for _ in layer.arrays]
    (dense,) = (layer for layer in around if names[layer])
    yield last, [dataset_of(groups[dense], name) for name in names[dense]]


def _last(layers: Sequence[Layer], around: Sequence[str], nets: int, classifier: Layer | None) -> Layer:
    """Return the one layer with weights that may follow a net in a model of transfer learning."""
    if nets > 1 or len(around) != 1:
        listed = ", ".join(around) or "none"
        raise WeightsError(f"holds another net: after the base, one layer has weights in ours, and here {listed}")
    if classifier is None or sum(layer.top for layer in layers) != 1:
        raise WeightsError("holds another net: ours has several dense layers at its end, and here is one")
    return classifier


def _check_pooling(below: Sequence[Layer], inside: bool) -> None:
    """Refuse a net that normalizes before the pooling, where ours normalizes after it."""
    if not inside and any(layer.arrays[0].name.startswith("head.") for layer in below):
        raise WeightsError("holds another net: it averages its maps after the last normalization (use pooling='avg')")


def _weights(root: h5py.Group, path: Path) -> h5py.Group:
    """Group that holds the layers of a legacy file: the root, or "model_weights" if the file holds a whole model."""
    if path.suffix.lower() == ".keras":
        raise WeightsError(f"holds no layers in its {MEMBER}")
    check_names(path)
    return root if object_at(root, "model_weights") is None else group_of(root, "model_weights")


def _modern(root: h5py.Group, path: Path, layers: Sequence[Layer], classifier: Layer | None) -> Arrays:
    """Yield the arrays of a `.weights.h5`, also of a model of transfer learning."""
    members = _members(root)
    check_pooling(_names(members))
    nets = [(name, group) for name, group in members if _is_net(name, group)]
    if not nets:
        count = sum(_owns_weights(group) for _, group in members)
        yield from _by_class(members, _selected(layers, count, path, members, classifier), _container(root))
        return
    around = [(name, group) for name, group in members if not _is_net(name, group)]
    weighted = [(name, group) for name, group in around if _owns_weights(group)]
    last = _last(layers, [name for name, _ in weighted], len(nets), classifier)
    below = [layer for layer in layers if not layer.top]
    (base,) = (group for _, group in nets)
    inner = _members(base)
    _check_pooling(below, inside=any("pooling" in name for name, _ in inner) and not _pools(around))
    check_around(_names(around), path)
    yield from _by_class(inner, below, _container(base))
    yield from _by_class(weighted, [last], _container(root))


def _pools(members: Sequence[tuple[str, h5py.Group]]) -> bool:
    return any("pooling" in name for name, _ in members)


def _by_class(members: Sequence[tuple[str, h5py.Group]], selected: Sequence[Layer], container: str) -> Arrays:
    """Yield the arrays of layers; the k-th layer of a class (with weights) is the net's k-th of that class."""
    numbered: dict[str, list[tuple[int, h5py.Group]]] = {}
    for name, group in members:
        if _owns_weights(group):
            head, _, tail = name.rpartition("_")
            kind, number = (head, int(tail)) if head and tail.isdecimal() else (name, 0)
            numbered.setdefault(kind, []).append((number, group))
    expected = Counter(layer.kind for layer in selected)
    for kind in {*expected, *numbered}:
        if len(numbered.get(kind, ())) != expected[kind]:
            raise WeightsError(f"holds another net: {len(numbered.get(kind, ()))} {kind}, not {expected[kind]}")
    groups = {kind: iter(sorted(each, key=lambda member: member[0])) for kind, each in numbered.items()}
    for layer in selected:
        _, group = next(groups[layer.kind])
        places = [array.place.replace(CONTAINERS[0], container) for array in layer.arrays]
        for place, count in Counter(place.rpartition("/")[0] for place in places).items():
            if len(group_of(group, place)) != count:
                held = len(group_of(group, place))
                raise WeightsError(f"holds another net: {held} arrays in {_key(group)}, not {count}")
        yield layer, [dataset_of(group, place) for place in places]


def _is_net(name: str, group: h5py.Group) -> bool:
    """Whether a layer of a `.weights.h5` is a net with weights inside."""
    if not re.fullmatch(r"(functional|model)(_\d+)?", name) or not _container(group):
        return False
    return any(_owns_weights(inner) for _, inner in _members(group))


def _container(group: h5py.Group) -> str:
    """Name of the group in `group` (a `.weights.h5`, or a layer in it) that holds layers; "" if there is none."""
    return next((name for name in CONTAINERS if object_at(group, name) is not None), "")


def _members(root: h5py.Group) -> list[tuple[str, h5py.Group]]:
    """Layers of a `.weights.h5` with their names."""
    container = group_of(root, _container(root))
    return [(name, group_of(container, name)) for name in container]


def _owns_weights(group: h5py.Group) -> bool:
    """Whether a layer, or one inside it, has weights."""
    if object_at(group, "vars") is not None and len(group_of(group, "vars")) > 0:
        return True
    return any(_container(inner) or object_at(inner, "vars/0") is not None for _, inner in _inside(group))


def _inside(group: h5py.Group) -> list[tuple[str, h5py.Group]]:
    """Layers inside a layer of a `.weights.h5`."""
    return _members(group) if _container(group) else []


def _names(members: Sequence[tuple[str, h5py.Group]]) -> list[str]:
    """Names of layers, and of those inside them."""
    return [name for outer, group in members for name in (outer, *(inner for inner, _ in _inside(group)))]


def _selected(
    layers: Sequence[Layer],
    count: int,
    path: Path,
    contents: Sequence[tuple[str, h5py.Group]] | Sequence[list[h5py.Dataset]],
    classifier: Layer | None,
) -> Sequence[Layer]:
    """Return all layers, or those without the top, whichever are as many as the file has."""
    below = [layer for layer in layers if not layer.top]
    if count == len(layers):
        if classifier is not None and count == len(below) + 1 and _ends_dense(contents):
            return [*below, classifier]
        return layers
    if count == len(below):
        return below
    if SHARD.search(path.name):
        raise WeightsError("is one shard of several: save the net in one file")
    raise WeightsError(f"holds {count} layers with weights, not {len(layers)} ({len(below)} without the top)")


def _ends_dense(contents: Sequence[tuple[str, h5py.Group]] | Sequence[list[h5py.Dataset]]) -> bool:
    """Whether the last layer is a dense one: MobileNet's own is a convolution, that of transfer learning is not."""
    last = contents[-1]
    if isinstance(last, list):
        return len(last[0].shape) == 2
    return any(name == "dense" or name.startswith("dense_") for name, _ in contents if isinstance(name, str))
