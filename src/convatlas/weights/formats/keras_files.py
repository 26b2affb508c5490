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
from convatlas.weights.formats.safe_hdf5 import (
    MEMBER,
    check_names,
    dataset_of,
    group_of,
    object_at,
    open_root,
    read_array,
    read_names,
)

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Names that the group of the layers in a `.weights.h5` may have; the second one is from TensorFlow 2.13."""

SHARD = re.compile(r"_\d{5}\.weights\.h5$")
"""Ending of shards, the files into which Keras can split weights."""

Arrays = Iterator[tuple[Layer, list[h5py.Dataset]]]
"""Layers of the net, each with its arrays in the file, which are not read yet."""


def read(path: Path, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """Return the tensors of a file under our names, in float32, without those of the top if the file has none.

    The number of classes is that of the file, not of `layers`.

    Raises:
        WeightsError: The file is damaged, hostile, or holds another net.
    """
    tensors = {}
    with open_root(path) as root:
        for layer, datasets in _modern(root, path, layers) if _container(root) else _legacy(root, path, layers):
            if len(datasets) != len(layer.arrays):
                name = layer.arrays[0].name
                raise WeightsError(f"holds another net: {len(datasets)} arrays for {name}, not {len(layer.arrays)}")
            for array, dataset in zip(layer.arrays, datasets, strict=True):
                if layer.classifies and dataset.shape and dataset.shape[-1]:
                    array = array.for_classes(dataset.shape[-1])
                tensors[array.name] = array.to_ours(torch.from_numpy(read_array(dataset, array.stored, array.name)))
    return tensors


def layer_names(path: Path) -> list[str]:
    """Names of all layers in the file, including those without weights."""
    with open_root(path) as root:
        return (
            [name for name, _ in _members(root)]
            if _container(root)
            else read_names(_weights(root, path), "layer_names")
        )


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


def _legacy(root: h5py.Group, path: Path, layers: Sequence[Layer]) -> Arrays:
    """Yield the arrays of a legacy file; its k-th layer with weights is the net's k-th, regardless of names."""
    weights, arrays = _weights(root, path), []
    for name in read_names(weights, "layer_names"):
        group = group_of(weights, name)
        if weight_names := read_names(group, "weight_names"):
            arrays.append([dataset_of(group, weight) for weight in weight_names])
    yield from zip(_selected(layers, len(arrays), path), arrays, strict=True)


def _weights(root: h5py.Group, path: Path) -> h5py.Group:
    """Group that holds the layers of a legacy file: the root, or "model_weights" if the file holds a whole model."""
    if path.suffix.lower() == ".keras":
        raise WeightsError(f"holds no layers in its {MEMBER}")
    check_names(path)
    return root if object_at(root, "model_weights") is None else group_of(root, "model_weights")


def _modern(root: h5py.Group, path: Path, layers: Sequence[Layer]) -> Arrays:
    """Yield the arrays of a `.weights.h5`; the k-th layer of a class (with weights) is the net's k-th of that class."""
    members: dict[str, list[tuple[int, h5py.Group]]] = {}
    for name, group in _members(root):
        if _owns_weights(group):
            head, _, tail = name.rpartition("_")
            kind, number = (head, int(tail)) if head and tail.isdecimal() else (name, 0)
            members.setdefault(kind, []).append((number, group))
    selected = _selected(layers, sum(map(len, members.values())), path)
    expected = Counter(layer.kind for layer in selected)
    for kind in {*expected, *members}:
        if len(members.get(kind, ())) != expected[kind]:
            raise WeightsError(f"holds another net: {len(members.get(kind, ()))} {kind}, not {expected[kind]}")
    groups = {kind: iter(sorted(numbered, key=lambda member: member[0])) for kind, numbered in members.items()}
    for layer in selected:
        _, group = next(groups[layer.kind])
        places = [array.place.replace(CONTAINERS[0], _container(root)) for array in layer.arrays]
        for place, count in Counter(place.rpartition("/")[0] for place in places).items():
            if len(group_of(group, place)) != count:
                held = len(group_of(group, place))
                raise WeightsError(f"holds another net: {held} arrays for {layer.arrays[0].name}, not {count}")
        yield layer, [dataset_of(group, place) for place in places]


def _container(group: h5py.Group) -> str:
    """Name of the group in `group` (a `.weights.h5`, or a layer in it) that holds layers; "" if there is none."""
    return next((name for name in CONTAINERS if object_at(group, name) is not None), "")


def _members(root: h5py.Group) -> list[tuple[str, h5py.Group]]:
    """Layers of a `.weights.h5` with their names."""
    container = group_of(root, _container(root))
    return [(name, group_of(container, name)) for name in container]


def _owns_weights(group: h5py.Group) -> bool:
    """Whether a layer has weights of its own, or contains layers."""
    return bool(_container(group)) or (object_at(group, "vars") is not None and len(group_of(group, "vars")) > 0)


def _selected(layers: Sequence[Layer], count: int, path: Path) -> Sequence[Layer]:
    """Return all layers, or those without the top, whichever are as many as the file has."""
    below = [layer for layer in layers if not layer.top]
    if count == len(layers):
        return layers
    if count == len(below):
        return below
    if SHARD.search(path.name):
        raise WeightsError("is one shard of several: save the net in one file")
    raise WeightsError(f"holds {count} layers with weights, not {len(layers)} ({len(below)} without the top)")
