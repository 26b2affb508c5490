"""Process shards: decode photos ahead, run the net on batches, write each shard as one Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.base.machine import threads
from convatlas.bulk.prefetch import prefetch
from convatlas.bulk.task import ColumnValues, Task
from convatlas.bulk.tasks import shard_metadata
from convatlas.predict.predictors import Prepared, prepare

PHOTO_COLUMNS = {"path": pa.string(), "raw_path": pa.binary(), "error": pa.string()}
"""Columns of all tasks: the photo, its name as bytes if that is not UTF-8, and why it has no results."""

KEPT = "finished shards are whole, and the same call continues after them"
"""End of the message of every error that stops a job."""


@dataclass(frozen=True)
class Shard:
    """Photos whose results are written to one file.

    Attributes:
        root: The folder that the names are relative to.
        names: Names of the photos.
        file: Path of the file.
    """

    root: str
    names: Sequence[str]
    file: Path


def write_shards(shards: Sequence[Shard], task: Task, net: Mapping[str, object]) -> Iterator[tuple[Shard, int]]:
    """Process and write shards in turn; yield after each batch the shard and how many of its photos are done.

    Args:
        shards: The shards.
        task: The task, with its net.
        net: Identity of the net that the files record, as `net_identity` returns it.

    Raises:
        ConvAtlasError: A file cannot be written.
    """
    rows = _empty_rows(task)
    for shard, errors, values in _batches(shards, task):
        readable = iter(range(len(errors)))
        for error in errors:
            index = next(readable) if error is None else None
            if index is not None and "error" in values and (refusal := values["error"][index]) is not None:
                error = f"{os.path.join(shard.root, shard.names[len(rows['error'])])!r}: {refusal}"
            rows["error"].append(error)
            for name in task.column_types:
                rows[name].append(None if index is None else values[name][index])
        yield shard, len(rows["error"])
        if len(rows["error"]) == len(shard.names):
            rows["path"] = [printable_name(name) for name in shard.names]
            rows["raw_path"] = [None if _is_utf8(name) else os.fsencode(name) for name in shard.names]
            schema = pa.schema({**PHOTO_COLUMNS, **task.column_types}, shard_metadata(task, net))
            arrays = [pa.array(rows[name], schema.field(name).type) for name in schema.names]
            write(shard.file, pa.table(arrays, schema=schema))
            rows = _empty_rows(task)


def _empty_rows(task: Task) -> dict[str, list[Any]]:
    return {name: [] for name in (*PHOTO_COLUMNS, *task.column_types)}


def _batches(shards: Sequence[Shard], task: Task) -> Iterator[tuple[Shard, list[str | None], ColumnValues]]:
    """Yield for each batch its shard, the error of each photo (None if it could be read), and the values of the others.

    Photos are decoded in threads while the net runs; if the engine takes several callers, each thread decodes its
    photos and runs the net on them.
    """
    preprocessing, size = task.net.lineage.preprocessing, task.batch
    parts = ((shard, shard.names[at : at + size]) for shard in shards for at in range(0, len(shard.names), size))

    def decode(part: tuple[Shard, Sequence[str]]) -> tuple[Shard, Prepared]:
        shard, names = part
        return shard, prepare(preprocessing, [os.path.join(shard.root, name) for name in names])

    def predict(decoded: tuple[Shard, Prepared]) -> tuple[Shard, list[str | None], ColumnValues]:
        shard, batch = decoded
        return shard, batch.errors, task(batch.x, batch.sizes) if len(batch.x) else {}

    if task.callers > 1:
        return prefetch(lambda part: predict(decode(part)), parts, task.callers, task.callers + 2)
    return map(predict, prefetch(decode, parts, threads(), threads() + 2))


def printable_name(name: str) -> str:
    r"""Return a photo's name as the column `path` has it: bytes that are not UTF-8 are written as `\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def write(file: Path, table: pa.Table) -> None:
    """Write a table as Parquet, whole or not at all.

    Raises:
        ConvAtlasError: The file cannot be written.
    """
    data = pa.BufferOutputStream()
    pq.write_table(table, data, write_page_checksum=True)
    try:
        write_bytes(file, data.getvalue())
    except OSError as error:
        raise unwritable(file, error) from None


def unwritable(path: Path, error: OSError) -> ConvAtlasError:
    """Error for a file or folder that the system refuses to write."""
    return ConvAtlasError(f"{str(path)!r} cannot be written ({error.strerror or error}); {KEPT}")
