"""Shards: photos are decoded ahead, answered in batches, and written as one Parquet file, whole or not at all."""

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
from convatlas.bulk.columns import Answers, Columns, metadata
from convatlas.bulk.prefetch import prefetch
from convatlas.predict.predictors import Prepared, prepare

PHOTO_COLUMNS = {"path": pa.string(), "raw_path": pa.binary(), "error": pa.string()}
"""Columns of all tables: the photo, its name as bytes if that is not UTF-8, and why it could not be read."""


@dataclass(frozen=True)
class Shard:
    """Photos that are answered together.

    Attributes:
        root: The folder that the names are relative to.
        names: Names of the photos.
        file: Path of the file of answers.
    """

    root: str
    names: Sequence[str]
    file: Path


def fill(shards: Sequence[Shard], columns: Columns, net: Mapping[str, object]) -> Iterator[tuple[Shard, int]]:
    """Answer shards in turn and write each; yield after each batch the shard and how many of its photos are done.

    Args:
        shards: The shards.
        columns: The net at work.
        net: What the files record of the net, as `identity` returns it.

    Raises:
        ConvAtlasError: A file cannot be written.
    """
    rows = _empty_rows(columns)
    for shard, errors, answers in _batches(shards, columns):
        readable = iter(range(len(errors)))
        for error in errors:
            place = next(readable) if error is None else None
            rows["error"].append(error)
            for name in columns.types:
                rows[name].append(None if place is None else answers[name][place])
        yield shard, len(rows["error"])
        if len(rows["error"]) == len(shard.names):
            rows["path"] = [printable_name(name) for name in shard.names]
            rows["raw_path"] = [None if _is_utf8(name) else os.fsencode(name) for name in shard.names]
            schema = pa.schema({**PHOTO_COLUMNS, **columns.types}, metadata(columns, net))
            arrays = [pa.array(rows[name], schema.field(name).type) for name in schema.names]
            write(shard.file, pa.table(arrays, schema=schema))
            rows = _empty_rows(columns)


def _empty_rows(columns: Columns) -> dict[str, list[Any]]:
    return {name: [] for name in (*PHOTO_COLUMNS, *columns.types)}


def _batches(shards: Sequence[Shard], columns: Columns) -> Iterator[tuple[Shard, list[str | None], Answers]]:
    """Answer the batches in order: the shard, for each photo why it could not be read, the answers to the others.

    While a batch is answered, others are decoded; where the engine takes several callers, each thread goes all the way
    from the files to the answers.
    """
    preprocessing, size = columns.net.lineage.preprocessing, columns.batch
    parts = ((shard, shard.names[at : at + size]) for shard in shards for at in range(0, len(shard.names), size))

    def decode(part: tuple[Shard, Sequence[str]]) -> tuple[Shard, Prepared]:
        shard, names = part
        return shard, prepare(preprocessing, [os.path.join(shard.root, name) for name in names])

    def answer(decoded: tuple[Shard, Prepared]) -> tuple[Shard, list[str | None], Answers]:
        shard, batch = decoded
        return shard, batch.errors, columns(batch.x, batch.sizes) if len(batch.x) else {}

    if columns.callers > 1:
        return prefetch(lambda part: answer(decode(part)), parts, columns.callers, columns.callers + 2)
    return map(answer, prefetch(decode, parts, threads(), threads() + 2))


def printable_name(name: str) -> str:
    r"""Return a photo's name as the table has it: bytes that are not UTF-8 are written as `\xff`."""
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
    pq.write_table(table, data)
    try:
        write_bytes(file, data.getvalue())
    except OSError as error:
        raise unwritable(file, error) from None


def unwritable(path: Path, error: OSError) -> ConvAtlasError:
    """Error for a file or folder that the system refuses to write."""
    return ConvAtlasError(
        f"{str(path)!r} cannot be written ({error.strerror or error}); finished shards are whole, and the same call "
        "continues after them"
    )
