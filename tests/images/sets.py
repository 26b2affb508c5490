"""Small stand-ins for MNIST and Fashion-MNIST, with their own hashes in the place of the published ones."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pytest
from tests.images.test_idx import written

from convatlas.images.digits import DATA_SETS, FILES

SHAPES = ((20, 28, 28), (20,), (10, 28, 28), (10,))


def small(monkeypatch: pytest.MonkeyPatch, name: str, mirrors: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The files of a small set that is from now on the one called `name`."""
    random = np.random.default_rng(len(name))
    arrays = [random.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8) for shape in SHAPES]
    files = {file: written(array) for file, array in zip(FILES, arrays, strict=True)}
    md5 = {file: hashlib.md5(data).hexdigest() for file, data in files.items()}
    packed = {file: hashlib.md5(gzip.compress(data, mtime=0)).hexdigest() for file, data in files.items()}
    monkeypatch.setitem(DATA_SETS, name, replace(DATA_SETS[name], md5=md5, gz_md5=packed, mirrors=mirrors))
    return files
