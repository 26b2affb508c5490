"""Read and write .npz files of named arrays, one of which is a record in JSON."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.base.files.archive import open_archive
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import parse_json

Arrays = dict[str, NDArray[Any]]


def write_arrays(path: Path, record: str, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write arrays and a record in JSON to a file, whole or not at all, and return the path.

    Raises:
        ConvAtlasError: The file cannot be written.
    """
    file = io.BytesIO()
    parts: dict[str, Any] = {"record": np.frombuffer(record.encode(), np.uint8), **arrays}
    # Stored, not compressed, so that the file itself bounds what reading it takes.
    np.savez(file, **parts)
    try:
        write_bytes(path, file.getvalue())
    except OSError as error:
        raise ConvAtlasError(f"{path} cannot be written: {reason(error)}") from None
    return path


@contextmanager
def reading_arrays(path: str | Path, kind: str) -> Iterator[tuple[dict[str, Any], Arrays]]:
    """Read what `write_arrays` wrote: the record and the arrays.

    Args:
        path: Path of the file.
        kind: What the file should hold, for the message: "attribution".

    Raises:
        ConvAtlasError: The file cannot be read or is no such file; a ValueError, KeyError or TypeError that the body of
            the `with` statement raises counts as the latter.
    """
    try:
        with open_archive(Path(path)) as archive:
            arrays = {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive}
        yield parse_json(arrays.pop("record").tobytes()), arrays
    except OSError as error:
        raise ConvAtlasError(f"{path} cannot be read: {reason(error)}") from None
    except (ValueError, KeyError, TypeError, EOFError, MemoryError):
        raise ConvAtlasError(f"{path} is no {kind} that `save` wrote, or it is damaged") from None


def _array(data: bytes) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    # NumPy reads the header as Python's text, which raises nearly anything: tokenize.TokenError, RecursionError, ...
    except Exception as error:
        raise ValueError(str(error)) from None
    return array
