"""Numbers for tensors: which value of the tape a tensor holds, although its memory may be shared or written to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from convatlas.probes.tape.tape import Operation, Slot, Tape

Place = tuple[torch.dtype, tuple[int, ...], tuple[int, ...], int, bool, bool]
"""dtype, shape, strides, offset, and whether conjugated or negated: what distinguishes views of the same memory."""


@dataclass
class Storage:
    """Memory that tensors of the tape share.

    Attributes:
        root: The first tensor seen of it.
        places: Index of the value in each place, since the last time that it was written to.
        live: Indices of all values that lie in it, since then.
        keep: The memory itself, which must not be used again while the tape is written.
    """

    root: Tensor
    places: dict[Place, int] = field(default_factory=dict)
    live: list[int] = field(default_factory=list)
    keep: Any = None


class Memory:
    """Follows which value of the tape each tensor holds.

    An operation in place is written on the tape as one that makes a new value: what other views of the same memory
    hold is read from the new value of the memory's first tensor.
    """

    def __init__(self, tape: Tape):
        self.tape = tape
        self.storages: dict[int, Storage] = {}

    def number(self, tensor: Tensor, module: str) -> int | None:
        """Index of the value that a tensor holds; None if its memory was never seen."""
        storage = self.storages.get(_key(tensor))
        if storage is None:
            return None
        place = _place(tensor)
        index = storage.places.get(place)
        if index is None:
            index = storage.places[place] = self._read(storage, tensor, module)
        return index

    def find(self, tensor: Tensor) -> int | None:
        """Index of the value that a tensor holds, if exactly this view of its memory is on the tape already."""
        storage = self.storages.get(_key(tensor))
        return None if storage is None else storage.places.get(_place(tensor))

    def add(self, tensor: Tensor, depends: bool) -> int:
        """Append the value that a tensor holds now, and return its index."""
        # The caller may change the tensor itself (`resize_`, `set_`): the tape holds an alias.
        alias = tensor.detach() if not tensor.is_inference() else tensor
        index = self.tape.add(alias, depends)
        storage = self.storages.setdefault(_key(tensor), Storage(alias, keep=tensor.untyped_storage()))
        storage.places[_place(tensor)] = index
        storage.live.append(index)
        return index

    def before_write(self, tensor: Tensor) -> None:
        """Move the values that share a tensor's memory to a copy of it, before the memory is written to."""
        storage = self.storages.get(_key(tensor))
        if storage is None or tensor.is_meta:
            return
        copy = storage.root.untyped_storage().clone()  # type: ignore[no-untyped-call]
        values = self.tape.values
        for index in storage.live:
            value = values[index]
            moved = torch.empty(0, dtype=value.dtype, device=value.device)
            values[index] = moved.set_(copy, value.storage_offset(), value.shape, value.stride())

    def after_write(self, tensor: Tensor, depends: bool, module: str) -> int:
        """Append the value that a tensor holds after its memory was written to, and return its index."""
        storage = self.storages[_key(tensor)]
        root = storage.places.get(_place(storage.root))
        place, alias = _place(tensor), tensor.detach() if not tensor.is_inference() else tensor
        index = self.tape.add(alias, depends)
        if root is None or place == _place(storage.root):
            storage.root, storage.places, storage.live = alias, {place: index}, [index]
            return index
        either = depends or self.tape.depends[root]
        whole = self.tape.add(storage.root, either)
        if either:
            geometry = (tuple(storage.root.shape), storage.root.stride(), storage.root.storage_offset())
            arguments = (Slot(root), Slot(index), geometry, place[1:4])
            self.tape.operations.append(Operation("view_scatter", write_view, arguments, {}, (whole,), module))
        storage.places, storage.live = {_place(storage.root): whole, place: index}, [whole, index]
        return index

    def _read(self, storage: Storage, tensor: Tensor, module: str) -> int:
        alias = tensor.detach() if not tensor.is_inference() else tensor
        root = storage.places[_place(storage.root)]
        index = self.tape.add(alias, self.tape.depends[root])
        if self.tape.depends[root]:
            geometry = (tuple(storage.root.shape), storage.root.stride(), storage.root.storage_offset())
            arguments = (Slot(root), geometry, _place(tensor)[1:4])
            self.tape.operations.append(Operation("view_read", read_view, arguments, {}, (index,), module))
        storage.live.append(index)
        return index


Geometry = tuple[tuple[int, ...], tuple[int, ...], int]
"""Shape, strides and offset."""


def read_view(root: Tensor, geometry: Geometry, view: Geometry) -> Tensor:
    """The view of a tensor whose memory is laid out by `geometry`."""
    return root.flatten()[_positions(root, geometry, view)]


def write_view(root: Tensor, value: Tensor, geometry: Geometry, view: Geometry) -> Tensor:
    """A tensor whose memory is laid out by `geometry`, with one view of it replaced by `value`."""
    positions = _positions(root, geometry, view)
    return root.flatten().scatter(0, positions.flatten(), value.flatten()).view(root.shape)


def _positions(root: Tensor, geometry: Geometry, view: Geometry) -> Tensor:
    """For each element of a view, its index among the elements of the root."""
    shape, strides, offset = geometry
    numbers = torch.arange(root.numel(), device=root.device).view(shape)
    memory = torch.empty_strided(shape, strides, dtype=torch.int64, device=root.device).copy_(numbers)
    return memory.as_strided(view[0], view[1], view[2] - offset)


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _place(tensor: Tensor) -> Place:
    return (
        tensor.dtype,
        tuple(tensor.shape),
        tuple(tensor.stride()),
        int(tensor.storage_offset()),
        tensor.is_conj(),
        tensor.is_neg(),
    )
