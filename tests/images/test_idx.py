"""IDX files: what numpy wrote comes back; whatever a header lies about is refused in one line."""

from __future__ import annotations

import gzip
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convatlas.base.errors import ImageError
from convatlas.images import idx
from convatlas.images.idx import read_idx


def written(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (0, 28, 28), (2, 3, 4, 5)])
def test_there_and_back(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "plain").write_bytes(written(array))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(written(array)))
    for file in (written(array), tmp_path / "plain", str(tmp_path / "packed.gz")):
        np.testing.assert_array_equal(read_idx(file), array)


GOOD = written(np.zeros((2, 3, 3), np.uint8))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x08", "begins with 00 00 08"),
        (b"\x89PNG" + GOOD, "begins with 89 50 4e 47"),
        (b"\0\0\x0d\x03" + GOOD[4:], "not an IDX file of unsigned bytes"),  # floats
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\0\0\x08\xff" + bytes(2000), "not an IDX file"),
        (GOOD[:10], "ends within its header"),
        (GOOD[:-1], "announces 2 x 3 x 3 bytes, but 17 follow"),
        (GOOD + b"\0", "but 19 follow"),
        # The product is 2^64 + 18 - 2^64 in 64 bits: only whole numbers without bounds tell.
        (struct.pack(">HBB4I", 0, 8, 4, 2**31, 2**31, 4, 2) + bytes(0), "but 0 follow"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(18), "but 18 follow"),
        (gzip.compress(GOOD, mtime=0)[:-9], "cannot be decompressed"),  # the time would be in the test's name
        (b"\x1f\x8bnonsense", "cannot be decompressed"),
    ],
)
def test_lies(data, said):
    with pytest.raises(ImageError, match=said) as error:
        read_idx(data)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=64))
def test_noise_is_an_array_or_an_error(data):
    for prefix in (b"", b"\0\0\x08\x03", b"\0\0\x08\x01", b"\x1f\x8b\x08"):
        with suppress(ImageError):
            assert read_idx(prefix + data).dtype == np.uint8


def test_a_file_that_swells_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(idx, "LIMIT", 10_000)
    with pytest.raises(ImageError, match="more than 10,000 bytes"):
        read_idx(gzip.compress(bytes(10_001)))


def test_no_file(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_idx(tmp_path / "nowhere")
