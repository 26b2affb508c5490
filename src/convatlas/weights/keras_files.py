"""Reading and writing Keras' files of weights: `.h5` as of old, `.weights.h5` and `.keras` of Keras 3.

Facts of the layouts: `legacy_h5_format.py` and `saving_lib.py` in keras/src. Whatever a file says, nothing outside it
is opened, and no more is read than the net asks for.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import mmap
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import WeightsError
from convatlas.weights.keras_layers import Array, Layer

MEMBER = "model.weights.h5"
"""Where a `.keras` archive has the weights."""

HEAP = b"GCOL\x01\0\0\0"
"""How a heap of texts begins (HDF5 file format specification, section III.E); its size follows in 8 bytes."""

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""The group of a `.weights.h5` that holds the layers; the second one was TensorFlow 2.13's."""

MOST = 2_000
"""Names that a list in a file may have; the largest net has about a thousand layers."""

LONGEST = 2**21
"""Bytes of one heap of texts: 4 kB, or what a single longer one needs; a model's description takes up to 1 MB."""


def read(path: Path, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """The tensors of a file under our names, in float32; those of the top are missing where the file has none.

    The number of classes is the file's own.

    Raises:
        WeightsError: The file is damaged, hostile, or holds another net.
    """
    tensors = {}
    with _opened(path) as root:
        for layer, datasets in _modern(root, layers) if _is_modern(root) else _legacy(root, layers):
            if len(datasets) != len(layer.arrays):
                one = layer.arrays[0].name
                raise WeightsError(
                    f"holds {len(datasets)} arrays for {one}, not {len(layer.arrays)}: it is another net"
                )
            for array, dataset in zip(layer.arrays, datasets, strict=True):
                found = dataset.shape[-1] if layer.classifies and dataset.shape else None
                array = array.for_classes(found) if found else array
                tensors[array.name] = array.ours(torch.from_numpy(_numbers(dataset, array)))
    return tensors


def layer_names(path: Path) -> list[str]:
    """What the file calls its layers, those without weights too."""
    with _opened(path) as root:
        return [name for name, _ in _members(root)] if _is_modern(root) else _names(_weights(root), "layer_names")


def write(path: Path, layers: Sequence[Layer], weights: Mapping[str, Tensor]) -> None:
    """Writes a `.weights.h5`, whole or not at all."""
    buffer, seen = io.BytesIO(), Counter[str]()
    with h5py.File(buffer, "w") as root:
        for layer in layers:
            number = seen[layer.kind]
            group = root.create_group(f"{CONTAINERS[0]}/{layer.kind}" + (f"_{number}" if number else ""))
            group.require_group("vars")
            for array in layer.arrays:
                group[array.place] = array.theirs(weights[array.name]).numpy()
            seen[layer.kind] += 1
    write_bytes(path, buffer.getvalue())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.Group]:
    """The root of the file; whatever is found wrong inside the `with` becomes an error that names the file."""
    try:
        archived = path.suffix == ".keras"
        with h5py.File(_archived(path) if archived else path, "r") as root:
            if not _is_modern(root):
                if archived:
                    raise WeightsError(f"holds no layers in its {MEMBER}")
                _check_names(path)
            yield root
    except WeightsError as error:
        raise WeightsError(f"{path.name} {error}") from None
    # On a damaged file HDF5 fails in nearly any way: OSError, KeyError, RuntimeError, UnicodeDecodeError, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{path.name} is damaged: {reason}") from None


def _archived(path: Path) -> io.BytesIO:
    """The weights inside a `.keras` archive. Keras stores them as they are: nothing can swell."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise WeightsError("is compressed, as Keras' archives are not")
            if entry.filename.startswith(("/", "\\")) or ".." in PurePosixPath(entry.filename.replace("\\", "/")).parts:
                raise WeightsError(f"has a member outside of the archive, {entry.filename}")
        if MEMBER not in archive.namelist():
            raise WeightsError(f"holds no {MEMBER}: save it with Keras' weights_format='h5'")
        return io.BytesIO(archive.read(MEMBER))


def _is_modern(root: h5py.Group) -> bool:
    return any(_item(root, name) is not None for name in CONTAINERS)


def _weights(root: h5py.Group) -> h5py.Group:
    """Where a file of old has the layers: in the root, or below if it holds a whole model."""
    return root if _item(root, "model_weights") is None else _group(root, "model_weights")


def _legacy(root: h5py.Group, layers: Sequence[Layer]) -> Iterator[tuple[Layer, list[h5py.Dataset]]]:
    """The k-th layer of the file that owns weights is the net's k-th; names say nothing."""
    weights, found = _weights(root), []
    for name in _names(weights, "layer_names"):
        group = _group(weights, name)
        if arrays := _names(group, "weight_names"):
            found.append([_dataset(group, array) for array in arrays])
    yield from zip(_chosen(layers, len(found)), found, strict=True)


def _modern(root: h5py.Group, layers: Sequence[Layer]) -> Iterator[tuple[Layer, list[h5py.Dataset]]]:
    """The k-th layer of a class that owns weights is the net's k-th of that class."""
    found: dict[str, list[tuple[int, h5py.Group]]] = {}
    for name, group in _members(root):
        if _owns_weights(group):
            head, _, tail = name.rpartition("_")
            kind, number = (head, int(tail)) if head and tail.isdecimal() else (name, 0)
            found.setdefault(kind, []).append((number, group))
    chosen = _chosen(layers, sum(map(len, found.values())))
    wanted = Counter(layer.kind for layer in chosen)
    for kind in {*wanted, *found}:
        if len(found.get(kind, ())) != wanted[kind]:
            raise WeightsError(f"holds {len(found.get(kind, ()))} {kind}, not {wanted[kind]}: it is another net")
    groups = {kind: iter(sorted(members, key=lambda member: member[0])) for kind, members in found.items()}
    for layer in chosen:
        _, group = next(groups[layer.kind])
        for place in {array.place.rpartition("/")[0] for array in layer.arrays}:
            if len(_group(group, place)) != sum(array.place.startswith(f"{place}/") for array in layer.arrays):
                raise WeightsError(f"holds {len(_group(group, place))} arrays for {layer.arrays[0].name}")
        yield layer, [_dataset(group, array.place) for array in layer.arrays]


def _members(root: h5py.Group) -> list[tuple[str, h5py.Group]]:
    """The layers of a `.weights.h5` by their names."""
    container = _group(root, next(name for name in CONTAINERS if _item(root, name) is not None))
    return [(name, _group(container, name)) for name in container]


def _owns_weights(group: h5py.Group) -> bool:
    """Whether a layer has any itself, or is made of layers."""
    return _item(group, CONTAINERS[0]) is not None or bool(_item(group, "vars") and len(_group(group, "vars")))


def _chosen(layers: Sequence[Layer], count: int) -> Sequence[Layer]:
    """All layers, or those below the top, by how many the file has."""
    below = [layer for layer in layers if not layer.top]
    if count == len(layers):
        return layers
    if count == len(below):
        return below
    raise WeightsError(f"holds {count} layers with weights, not {len(layers)} ({len(below)} without the top)")


def _check_names(path: Path) -> None:
    """Refuses heaps of texts that HDF5 cannot cope with.

    It never ends on an object of no size; and each name of a long list may be the same long text.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(HEAP)
        while start >= 0:
            size = int.from_bytes(data[start + 8 : start + 16], "little")
            place, end = start + 16, start + size
            if size > LONGEST or end > len(data):
                raise WeightsError("has names that are too long")
            while place + 16 <= end:
                number, length = int.from_bytes(data[place : place + 2], "little"), data[place + 8 : place + 16]
                # Number 0 is free space; its length counts this header, those of objects do not.
                step = int.from_bytes(length, "little") + (16 if number else 0)
                if step < 16:
                    raise WeightsError("has a damaged list of names")
                place += -(-step // 8) * 8
            start = data.find(HEAP, start + 1)


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; a long one stands in several attributes, numbered from 0."""
    parts = (f"{attribute}{number}" for number in itertools.count())
    keys = [attribute] if attribute in group.attrs else itertools.takewhile(group.attrs.__contains__, parts)
    names: list[str] = []
    for key in keys:
        declared = group.attrs.get_id(key)
        kind = declared.get_type()
        # Where no layer has weights, Keras writes an empty list of numbers. HDF5 crashes on other lists of lists.
        fits = (isinstance(kind, h5py.h5t.TypeStringID) and kind.get_size() <= MOST) or declared.shape == (0,)
        if not fits or len(declared.shape) != 1 or declared.shape[0] + len(names) > MOST:
            raise WeightsError(f"has a strange list of names, {key}")
        if declared.shape != (0,):
            names += [name.decode() if isinstance(name, bytes) else name for name in group.attrs[key]]
    return names


def _group(group: h5py.Group, name: str) -> h5py.Group:
    found = _item(group, name)
    if not isinstance(found, h5py.Group):
        raise WeightsError(f"has no group {name}")
    return found


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    found = _item(group, name)
    if not isinstance(found, h5py.Dataset):
        raise WeightsError(f"has no array {name}")
    return found


def _item(group: h5py.Group, name: str) -> Any:
    """What a path names below a group; links that may lead elsewhere are not followed."""
    found: Any = group
    for part in name.split("/"):
        # Asked for itself: whether a link leads anywhere is only known once it is followed.
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) and part not in ("", ".") else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise WeightsError(f"has a link in place of {name}")
        found = found[part]
    return found


def _numbers(dataset: h5py.Dataset, array: Array) -> np.ndarray:
    """The array, once its header is what the net asks for and the file really has as many bytes."""
    if dataset.shape != array.stored:
        raise WeightsError(f"holds another net: {array.name} is {dataset.shape} for {array.stored}")
    if dataset.dtype.kind not in "fiu" or dataset.dtype.itemsize > 8:
        raise WeightsError(f"holds no numbers for {array.name}, but {dataset.dtype}")
    if dataset.external or dataset.is_virtual:
        raise WeightsError(f"has {array.name} outside of itself")
    if dataset.chunks is not None or dataset.id.get_create_plist().get_nfilters():
        raise WeightsError(f"has {array.name} in compressed or cut pieces, as Keras' files have not")
    if dataset.id.get_storage_size() < dataset.nbytes:
        raise WeightsError(f"declares {dataset.nbytes} bytes for {array.name} and holds fewer")
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused later
        return np.asarray(dataset[()], np.float32)
