"""Write files that are either whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convatlas.base.files.leftovers import temporary
from convatlas.base.files.structured import read_json as read_json


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file in the same folder, flushed and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not with mkstemp, whose files only their owner may read.
    with temporary(path, lambda name: name.touch(exist_ok=False)) as name:
        with name.open("r+b") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)


@contextmanager
def whole(path: Path, *others: str) -> Iterator[Path]:
    """Give a path of the same name in a hidden folder to write to; at the end the file there is moved to `path`.

    If the file may refer to others beside it, `others` are their endings: those that were written are moved before it,
    and an older file of its name is deleted before them, so that no file ever stands beside those of another. After an
    error nothing is moved.
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
