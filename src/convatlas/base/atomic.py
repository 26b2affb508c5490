"""Write files that are either whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convatlas.base.files.leftovers import temporary


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file in the same folder, flushed and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile.mkstemp`: only the owner may read its files.
    with temporary(path, lambda name: name.touch(exist_ok=False)) as name:
        with name.open("r+b") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)


@contextmanager
def whole(path: Path, *others: str) -> Iterator[Path]:
    """Give a path in a temporary folder to write a file to; at the end the file is moved to `path`.

    After an error nothing is moved.

    Args:
        path: The file to write.
        others: Endings of files that this one may refer to. Those that were written are moved too: first an older file
            at `path` is deleted, then they are moved, and the file itself last, so that it never stands beside files
            of another version.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary(path, Path.mkdir) as folder:
        yield folder / path.name
        companions = [path.with_suffix(ending).name for ending in others]
        names = [*(name for name in companions if (folder / name).exists()), path.name]
        for name in names:
            with (folder / name).open("r+b") as file:
                os.fsync(file.fileno())
        if len(names) > 1:
            path.unlink(missing_ok=True)
        for name in names:
            os.replace(folder / name, path.with_name(name))
