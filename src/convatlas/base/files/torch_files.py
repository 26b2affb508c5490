"""Read files that `torch.save` wrote, without running code: plain values and tensors, on the CPU.

`torch.load` is not used: even with `weights_only` it makes objects as large as a file says, takes seconds for a million
opcodes, and accepts archives that another reader would read differently.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from convatlas.base.files.archive import Archive, ArchiveError
from convatlas.base.files.pickles import Omitted, PickleError, Reader
from convatlas.base.files.reading import MAX_WEIGHTS, opened
from convatlas.base.files.torch_names import NAMES, StorageType, Stored

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""First two pickles of the format before PyTorch 1.6."""

MAX_PICKLE = 256 << 20
"""Largest pickle in an archive in bytes: tensors are kept beside it."""


class TorchFileError(ValueError):
    """A file that is damaged, or holds more than values and tensors; the text follows its name: "ends too early"."""


def read_torch(path: Path) -> Any:
    """Return what `torch.save` wrote to a file: numbers, texts, lists, tuples, dicts, and tensors on the CPU.

    Tensors that share numbers in the file share memory. Other objects that `torch_names` allows come as `Omitted`.

    Raises:
        OSError: It is no ordinary file, cannot be read, or is larger than `MAX_WEIGHTS`.
        TorchFileError: It is damaged, or holds anything else.
    """
    with opened(path, MAX_WEIGHTS) as (file, size):
        return _read(file, size)


def read_torch_bytes(data: bytes) -> Any:
    """Return what `torch.save` wrote into bytes, as `read_torch` does."""
    return _read(io.BytesIO(data), len(data))


def _read(file: io.BufferedIOBase, size: int) -> Any:
    start = file.read(4)
    file.seek(0)
    try:
        return _from_archive(Archive(file, size)) if start == b"PK\3\4" else _from_stream(file, size)
    except (ArchiveError, PickleError) as error:
        raise TorchFileError(str(error)) from None
    except (MemoryError, RuntimeError):  # PyTorch has an error of its own for memory that it does not get
        raise TorchFileError("is larger than the memory") from None


def _from_archive(archive: Archive) -> Any:
    """Read the format since PyTorch 1.6: an archive with a pickle and one member for each storage."""
    roots = [name for name in archive if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise TorchFileError("is not a file of PyTorch")
    root = roots[0].removesuffix("data.pkl")
    if archive[roots[0]].size > MAX_PICKLE:
        raise TorchFileError("has a pickle that is too large")
    order = f"{root}byteorder"
    swapped = order in archive and archive[order].size == 3 and archive.read(order) == b"big"
    storages: dict[str, torch.UntypedStorage] = {}

    def storage(key: object) -> object:
        dtype, name, location, count = _storage_id(key)
        if location == "meta":
            return Omitted("tensor without numbers")
        member = f"{root}data/{name}"
        if name not in storages:
            if member not in archive or archive[member].size != count * dtype.itemsize:
                raise PickleError("is damaged: it lacks the numbers of a tensor")
            storages[name] = _new_storage(archive[member].size)
            archive.read_into(member, _bytes_of(storages[name]))
            if swapped:
                storages[name].byteswap(dtype)  # type: ignore[no-untyped-call]
        return Stored(storages[name], dtype)

    return Reader(io.BytesIO(archive.read(roots[0])), NAMES, storage).load()


def _from_stream(file: io.BufferedIOBase, size: int) -> Any:
    """Read the format before PyTorch 1.6: pickles, then the storages one after another."""
    storages: dict[str, Stored] = {}
    total = 0

    def storage(key: object) -> object:
        nonlocal total
        dtype, name, _, count = _storage_id(key)
        if name not in storages:
            total += count * dtype.itemsize
            if total > size:
                raise PickleError("is damaged: it lacks the numbers of a tensor")
            storages[name] = Stored(_new_storage(count * dtype.itemsize), dtype)
        return Stored(storages[name].storage, dtype)

    reader = Reader(file, NAMES, storage)
    if reader.load() != MAGIC or reader.load() != PROTOCOL:
        raise TorchFileError("is not a file of PyTorch")
    system = reader.load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise TorchFileError("was written by a machine with another order of bytes")
    result, names = reader.load(), reader.load()
    if not isinstance(names, list) or sorted(map(str, names)) != sorted(storages):
        raise TorchFileError("is damaged: it lacks the numbers of a tensor")
    for name in names:
        stored = storages[str(name)]
        count = int.from_bytes(file.read(8), "little", signed=True)
        if count * stored.dtype.itemsize != stored.storage.nbytes():
            raise TorchFileError("is damaged: it has two sizes for a tensor")
        buffer, done = _bytes_of(stored.storage), 0
        while done < len(buffer):
            part = file.readinto(buffer[done:])
            if not part:
                raise TorchFileError("ends too early")
            done += part
    return result


def _storage_id(key: object) -> tuple[torch.dtype, str, object, int]:
    """Return type, name, device and number of elements in the persistent id of a storage."""
    if not isinstance(key, tuple) or len(key) not in (5, 6) or key[5:] not in ((), (None,)):
        raise PickleError("is damaged")
    kind, of, name, location, count = key[:5]
    if kind != "storage" or not isinstance(of, StorageType) or not isinstance(name, str) or type(count) is not int:
        raise PickleError("is damaged")
    if count < 0:
        raise PickleError("is damaged")
    return of.dtype, name, location, count


def _bytes_of(storage: torch.UntypedStorage) -> memoryview:
    """Return the bytes of a storage, to be written to."""
    if not storage.nbytes():
        return memoryview(bytearray())
    tensor = torch.empty(0, dtype=torch.uint8).set_(storage, 0, (storage.nbytes(),), (1,))
    return tensor.numpy().data


def _new_storage(size: int) -> torch.UntypedStorage:
    return torch.UntypedStorage(size)  # type: ignore[no-untyped-call]
