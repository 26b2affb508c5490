"""Read HDF5 files that may be hostile: links out of the file are refused, and sizes are checked before data is read."""

from __future__ import annotations

import contextlib
import io
import itertools
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from convatlas.base.errors import WeightsError, printable
from convatlas.base.files.archive import ArchiveError, open_archive
from convatlas.base.files.reading import MAX_WEIGHTS, check_file
from convatlas.base.files.structured import parse_json

MEMBER = "model.weights.h5"
"""Member of a `.keras` archive that holds the weights."""

DESCRIPTION = "config.json"
"""Member of a `.keras` archive that describes the model."""

MAX_DESCRIPTION = 16 << 20
"""Limit on its bytes; that of the largest net has about one megabyte."""

MAX_NAMES = 2_000
"""Limit on the names in a list; the largest net has about a thousand layers."""

MAX_LENGTH = 2_000
"""Limit on the bytes of a name, for names of fixed length."""

HEAP = b"GCOL\x01\0\0\0"
"""First bytes of a heap of strings (HDF5 file format specification, section III.E); its size follows in 8 bytes."""

MAX_HEAP = 2**21
"""Limit on the bytes of a heap of strings. HDF5 takes 4 kB, or as much as a longer string, such as the description of a
model (up to 1 MB)."""


@contextlib.contextmanager
def open_root(path: Path) -> Iterator[h5py.Group]:
    """Open a `.h5` file, or the one inside a `.keras` archive, and yield its root group.

    Any error inside the `with` block is raised as a `WeightsError` of one line that names the file.
    """
    try:
        # HDF5 would wait for ever for a pipe.
        check_file(path, MAX_WEIGHTS)
        with h5py.File(_archived(path) if path.suffix.lower() == ".keras" else path, "r") as root:
            yield root
    except WeightsError as error:
        raise WeightsError(f"{path.name} {printable(error)}") from None
    # HDF5 raises nearly anything for a damaged file: OSError, KeyError, RuntimeError, UnicodeDecodeError, ...
    except Exception as error:
        raise WeightsError(f"{path.name} is damaged: {printable(error) or type(error).__name__}") from None


def _archived(path: Path) -> io.BytesIO:
    """Read the weights in a `.keras` archive; compressed members are refused, since Keras never compresses."""
    try:
        with open_archive(path) as archive:
            if MEMBER not in archive:
                raise WeightsError(f"holds no {MEMBER}: save it with Keras' weights_format='h5'")
            return io.BytesIO(archive.read(MEMBER))
    except ArchiveError as error:
        raise WeightsError(f"is damaged: it {error}") from None


def read_description(path: Path, root: h5py.Group) -> Any:
    """Return the description of the model in a `.keras` or `.h5` file; None if the file holds weights only."""
    if path.suffix.lower() == ".keras":
        with open_archive(path) as archive:
            if DESCRIPTION not in archive:
                return None
            if archive[DESCRIPTION].size > MAX_DESCRIPTION:
                raise WeightsError(f"has a {DESCRIPTION} of {archive[DESCRIPTION].size:,} bytes")
            return parse_json(archive.read(DESCRIPTION))
    if "model_config" not in root.attrs:
        return None
    check_names(path)
    return parse_json(read_text(root, "model_config"))


def object_at(group: h5py.Group, name: str) -> Any:
    """Return the object at a path below a group, or None; soft and external links are refused."""
    current: Any = group
    for part in name.split("/"):
        # The link is examined before it is followed, which might open another file.
        link = current.get(part, getlink=True) if isinstance(current, h5py.Group) and part not in ("", ".") else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise WeightsError(f"has a link in place of {name}")
        current = current[part]
    return current


def group_of(parent: h5py.Group, name: str) -> h5py.Group:
    """Return the group at a path."""
    group = object_at(parent, name)
    if not isinstance(group, h5py.Group):
        raise WeightsError(f"has no group {name}")
    return group


def dataset_of(parent: h5py.Group, name: str) -> h5py.Dataset:
    """Return the dataset at a path, without reading it."""
    dataset = object_at(parent, name)
    if not isinstance(dataset, h5py.Dataset):
        raise WeightsError(f"has no array {name}")
    return dataset


def read_array(dataset: h5py.Dataset, shape: tuple[int, ...]) -> np.ndarray:
    """Read an array as float32, after a check of its shape, type and storage."""
    name = str(dataset.name).lstrip("/")
    if dataset.shape != shape:
        raise WeightsError(f"holds another net: {name} is {dataset.shape} for {shape}")
    if dataset.dtype.kind not in "fiu" or dataset.dtype.itemsize > 8:
        raise WeightsError(f"holds no numbers for {name}, but {dataset.dtype}")
    if dataset.external or dataset.is_virtual:
        raise WeightsError(f"has {name} outside of itself")
    if dataset.chunks is not None or dataset.id.get_create_plist().get_nfilters():
        raise WeightsError(f"has {name} in compressed or chunked pieces, as Keras' files have not")
    if dataset.id.get_storage_size() < dataset.nbytes:
        raise WeightsError(f"declares {dataset.nbytes} bytes for {name} and holds fewer")
    with np.errstate(over="ignore"):  # numbers too large for float32 become infinite, which is refused later
        return np.asarray(dataset[()], np.float32)


def read_names(group: h5py.Group, attribute: str) -> list[str]:
    """Read a list of names, which may be split over attributes numbered from 0. Call `check_names` first."""
    parts = (f"{attribute}{number}" for number in itertools.count())
    keys = [attribute] if attribute in group.attrs else itertools.takewhile(group.attrs.__contains__, parts)
    result: list[str] = []
    for key in keys:
        declared = group.attrs.get_id(key)
        kind = declared.get_type()
        # Where no layer has weights, Keras writes an empty list of numbers. HDF5 crashes on lists of lists.
        fits = (isinstance(kind, h5py.h5t.TypeStringID) and kind.get_size() <= MAX_LENGTH) or declared.shape == (0,)
        if not fits or len(declared.shape) != 1 or declared.shape[0] + len(result) > MAX_NAMES:
            raise WeightsError(f"has a strange list of names, {key}")
        if declared.shape != (0,):
            result += [name.decode() if isinstance(name, bytes) else name for name in group.attrs[key]]
    return result


def read_text(group: h5py.Group, attribute: str) -> str:
    """Read a text; "" if there is none. Call `check_names` first."""
    if attribute not in group.attrs:
        return ""
    declared = group.attrs.get_id(attribute)
    if not isinstance(declared.get_type(), h5py.h5t.TypeStringID) or declared.shape != ():
        raise WeightsError(f"has a strange text, {attribute}")
    text = group.attrs[attribute]
    return text.decode() if isinstance(text, bytes) else str(text)


def check_names(path: Path) -> None:
    """Refuse heaps of strings that would make HDF5 hang or fill the memory.

    HDF5 loops for ever on an object of size 0, and all names of a long list may refer to one long string.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(HEAP)
        while start >= 0:
            size = int.from_bytes(data[start + 8 : start + 16], "little")
            place, end = start + 16, start + size
            if size > MAX_HEAP or end > len(data):
                raise WeightsError("has names that are too long")
            while place + 16 <= end:
                number, length = int.from_bytes(data[place : place + 2], "little"), data[place + 8 : place + 16]
                # Number 0 is free space; its length includes this header, the lengths of objects do not.
                step = int.from_bytes(length, "little") + (16 if number else 0)
                if step < 16:
                    raise WeightsError("has a damaged list of names")
                place += -(-step // 8) * 8
            start = data.find(HEAP, start + 1)
