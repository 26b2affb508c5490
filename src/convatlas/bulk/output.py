"""The folder of answers: one run at a time works in it, on one job, of which it says what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from convatlas.base.atomic import read_json, write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.base.locking import owned as owner
from convatlas.bulk.manifest import Listed
from convatlas.bulk.result import Unread
from convatlas.bulk.shards import Shard, spelled, unwritable

JOB = "_job.json"
"""Begins with a line, as readers of folders of Parquet leave out what does."""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Holds the folder, which is made; a second run is refused as long as this one lives.

    Raises:
        ConvAtlasError: Another run is at work in it, or nothing can be written there.
    """
    busy = ConvAtlasError(f"another run is at work in {str(folder)!r}: wait for it, or name another folder")
    with owner(folder / "batch", busy, unwritable):
        try:
            for left in folder.glob(".shard-*.parquet.*"):  # by a run that was killed while it wrote
                left.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None
        yield


def file_of(folder: Path, number: int) -> Path:
    """Where a shard goes; nothing of a photo's name is in it."""
    return folder / f"shard-{number:06}.parquet"


def shards_of(folder: Path, photos: Listed, many: int) -> list[Shard]:
    """All photos in shards of so many; the last one may have fewer."""
    starts = range(0, len(photos.names), many)
    names = (photos.names[start : start + many] for start in starts)
    return [Shard(photos.root, some, file_of(folder, number)) for number, some in enumerate(names)]


def settle(folder: Path, job: Mapping[str, object]) -> None:
    """Notes down what the folder's job is, or sees that it is the same as before.

    Raises:
        ConvAtlasError: It is another job; names the first difference.
    """
    path = folder / JOB
    if not path.exists():
        if next(folder.glob("*.parquet"), None) is not None:
            raise ConvAtlasError(f"{str(folder)!r} holds Parquet files and no {JOB}: name another folder")
        try:
            write_bytes(path, (json.dumps(job, indent=1) + "\n").encode())
        except OSError as error:
            raise unwritable(path, error) from None
        return
    try:
        there = read_json(path)
        told = {name: there[name] for name in job}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConvAtlasError(f"{str(path)!r} is damaged: name another folder") from None
    for name, value in json.loads(json.dumps(job)).items():
        if told[name] != value:
            raise ConvAtlasError(
                f"{str(folder)!r} holds another job, whose {name} is {told[name]!r:.100} and not {value!r:.100}: "
                "name another folder"
            )


def unread(shard: Shard, job: Mapping[str, object]) -> list[Unread]:
    """The photos of a finished shard that could not be read.

    Args:
        shard: Which one.
        job: What its file has to say of the question and the net.

    Raises:
        ConvAtlasError: Its file is damaged, or of another shard or job.
    """
    try:
        file = pq.ParquetFile(shard.file)
        told = json.loads((file.schema_arrow.metadata or {})[b"convatlas"])
        table = file.read(["path", "error"])
        ours = all(told[name] == value for name, value in json.loads(json.dumps(job)).items())
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        raise _in_the_way(shard, "is damaged") from None
    if not ours or table["path"].to_pylist() != [spelled(name) for name in shard.names]:
        raise _in_the_way(shard, "holds other answers")
    bad = table.filter(table["error"].is_valid())
    return [Unread(row["path"], row["error"]) for row in bad.to_pylist()]


def _in_the_way(shard: Shard, why: str) -> ConvAtlasError:
    return ConvAtlasError(f"{str(shard.file)!r} {why}: take it away, and the same call makes it anew")
