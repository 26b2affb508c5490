"""Keras' files of weights: `.h5` as of old, `.weights.h5` and `.keras` of Keras 3.

Facts of the layouts: `legacy_h5_format.py` and `saving_lib.py` in keras/src.
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
from convatlas.weights.lineages.keras_hdf5 import (
    MEMBER,
    check_names,
    dataset_of,
    group_of,
    item,
    names,
    numbers,
    opened,
)
from convatlas.weights.lineages.keras_layers import Layer

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""The group of a `.weights.h5` that holds the layers; the second one was TensorFlow 2.13's."""

SHARD = re.compile(r"_\d{5}\.weights\.h5$")
"""How Keras names the files of weights that it was told to cut."""

Found = Iterator[tuple[Layer, list[h5py.Dataset]]]
"""Layers of the net, each with its arrays in the file, not read yet."""


def read(path: Path, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """The tensors of a file under our names, in float32; those of the top are missing where the file has none.

    The number of classes is the file's own.

    Raises:
        WeightsError: The file is damaged, hostile, or holds another net.
    """
    tensors = {}
    with opened(path) as root:
        for layer, datasets in _modern(root, path, layers) if _container(root) else _legacy(root, path, layers):
            if len(datasets) != len(layer.arrays):
                what = layer.arrays[0].name
                raise WeightsError(f"holds another net: {len(datasets)} arrays for {what}, not {len(layer.arrays)}")
            for array, dataset in zip(layer.arrays, datasets, strict=True):
                if layer.classifies and dataset.shape and dataset.shape[-1]:
                    array = array.for_classes(dataset.shape[-1])
                tensors[array.name] = array.ours(torch.from_numpy(numbers(dataset, array.stored, array.name)))
    return tensors


def layer_names(path: Path) -> list[str]:
    """What the file calls its layers, those without weights too."""
    with opened(path) as root:
        return [name for name, _ in _members(root)] if _container(root) else names(_weights(root, path), "layer_names")


def write(path: Path, layers: Sequence[Layer], weights: Mapping[str, Tensor]) -> None:
    """Writes a `.weights.h5`, whole or not at all."""
    buffer, seen = io.BytesIO(), Counter[str]()
    with h5py.File(buffer, "w") as root:
        for layer in layers:
            number = seen[layer.kind]
            group = root.create_group(f"{CONTAINERS[0]}/{layer.kind}" + (f"_{number}" if number else ""))
            group.create_group("vars")
            for array in layer.arrays:
                group[array.place] = array.theirs(weights[array.name]).numpy()
            seen[layer.kind] += 1
    write_bytes(path, buffer.getvalue())


def _legacy(root: h5py.Group, path: Path, layers: Sequence[Layer]) -> Found:
    """The k-th layer of the file that owns weights is the net's k-th; names say nothing."""
    weights, found = _weights(root, path), []
    for name in names(weights, "layer_names"):
        group = group_of(weights, name)
        if arrays := names(group, "weight_names"):
            found.append([dataset_of(group, array) for array in arrays])
    yield from zip(_chosen(layers, len(found), path), found, strict=True)


def _weights(root: h5py.Group, path: Path) -> h5py.Group:
    """Where a file of old has the layers: in the root, or below if it holds a whole model."""
    if path.suffix.lower() == ".keras":
        raise WeightsError(f"holds no layers in its {MEMBER}")
    check_names(path)
    return root if item(root, "model_weights") is None else group_of(root, "model_weights")


def _modern(root: h5py.Group, path: Path, layers: Sequence[Layer]) -> Found:
    """The k-th layer of a class that owns weights is the net's k-th of that class."""
    found: dict[str, list[tuple[int, h5py.Group]]] = {}
    for name, group in _members(root):
        if _owns_weights(group):
            head, _, tail = name.rpartition("_")
            kind, number = (head, int(tail)) if head and tail.isdecimal() else (name, 0)
            found.setdefault(kind, []).append((number, group))
    chosen = _chosen(layers, sum(map(len, found.values())), path)
    wanted = Counter(layer.kind for layer in chosen)
    for kind in {*wanted, *found}:
        if len(found.get(kind, ())) != wanted[kind]:
            raise WeightsError(f"holds another net: {len(found.get(kind, ()))} {kind}, not {wanted[kind]}")
    groups = {kind: iter(sorted(members, key=lambda member: member[0])) for kind, members in found.items()}
    for layer in chosen:
        _, group = next(groups[layer.kind])
        places = [array.place.replace(CONTAINERS[0], _container(root)) for array in layer.arrays]
        for place, count in Counter(place.rpartition("/")[0] for place in places).items():
            if len(group_of(group, place)) != count:
                held = len(group_of(group, place))
                raise WeightsError(f"holds another net: {held} arrays for {layer.arrays[0].name}, not {count}")
        yield layer, [dataset_of(group, place) for place in places]


def _container(group: h5py.Group) -> str:
    """Under which name a `.weights.h5`, or a layer of it, has layers; empty if it has none."""
    return next((name for name in CONTAINERS if item(group, name) is not None), "")


def _members(root: h5py.Group) -> list[tuple[str, h5py.Group]]:
    """The layers of a `.weights.h5` by their names."""
    container = group_of(root, _container(root))
    return [(name, group_of(container, name)) for name in container]


def _owns_weights(group: h5py.Group) -> bool:
    """Whether a layer has any itself, or is made of layers."""
    return bool(_container(group)) or (item(group, "vars") is not None and len(group_of(group, "vars")) > 0)


def _chosen(layers: Sequence[Layer], count: int, path: Path) -> Sequence[Layer]:
    """All layers, or those below the top, by how many the file has."""
    below = [layer for layer in layers if not layer.top]
    if count == len(layers):
        return layers
    if count == len(below):
        return below
    if SHARD.search(path.name):
        raise WeightsError("is one shard of several: save the net in one file")
    raise WeightsError(f"holds {count} layers with weights, not {len(layers)} ({len(below)} without the top)")
