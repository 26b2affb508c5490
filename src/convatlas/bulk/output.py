"""The output folder of a job: its lock, its description and its shards' files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.base.files.reading import opened
from convatlas.base.files.structured import SchemaError, excerpt, parse_json, read_json, to_type
from convatlas.base.locking import locked_or_error
from convatlas.bulk.manifest import Manifest
from convatlas.bulk.result import Unreadable
from convatlas.bulk.shards import PHOTO_COLUMNS, Shard, printable_name, unwritable

JOB = "_job.json"
"""File that describes the job; readers of Parquet folders skip names with a leading underscore."""

LARGEST = 16 << 30
"""Largest file of a shard in bytes."""


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Create the folder and lock it; a second run is refused as long as this one lives.

    Raises:
        ConvAtlasError: Another run is using the folder, or it cannot be written.
    """
    busy = ConvAtlasError(f"another run is at work in {str(folder)!r}: wait for it, or name another folder")
    with locked_or_error(folder / "batch", busy, unwritable):
        yield


def shard_file(folder: Path, number: int) -> Path:
    """Path of a shard's file."""
    return folder / f"shard-{number:06}.parquet"


def split(folder: Path, manifest: Manifest, size: int) -> list[Shard]:
    """Split the photos into shards of `size`; the last one may be smaller."""
    starts = range(0, len(manifest.names), size)
    parts = (manifest.names[start : start + size] for start in starts)
    return [Shard(manifest.root, names, shard_file(folder, number)) for number, names in enumerate(parts)]


def check_job(folder: Path, job: Mapping[str, object]) -> None:
    """Write the job's description to the folder, or check that it equals the description there.

    Raises:
        ConvAtlasError: The folder holds another job; names the first difference.
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
        values = read_json(path)
        before = {name: values[name] for name in job}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConvAtlasError(f"{str(path)!r} is damaged: name another folder") from None
    for name, value in json.loads(json.dumps(job)).items():
        if before[name] != value:
            raise ConvAtlasError(
                f"{str(folder)!r} holds another job, whose {name} is {excerpt(before[name])} and not "
                f"{excerpt(value)}: "
                "name another folder"
            )


def unreadable(shard: Shard, settings: Mapping[str, object], columns: Mapping[str, pa.DataType]) -> list[Unreadable]:
    """List the photos of a finished shard that could not be read.

    Args:
        shard: The shard.
        settings: Settings that its file has to record, as `shard_settings` returns them.
        columns: Types of the columns that it has to have beside those of all tasks.

    Raises:
        ConvAtlasError: The file is damaged, or belongs to another shard or job.
    """
    try:
        # One that is opened by its name might be a pipe, which never ends.
        with (
            opened(shard.file, LARGEST) as (source, _),
            pq.ParquetFile(source, page_checksum_verification=True) as file,
        ):
            schema = file.schema_arrow
            recorded = to_type(dict[str, Any], parse_json((schema.metadata or {})[b"convatlas"]))
            if not schema.equals(pa.schema({**PHOTO_COLUMNS, **columns})):
                raise SchemaError("has other columns")
            table = file.read(["path", "error"])
        same = all(recorded.get(name) == value for name, value in json.loads(json.dumps(settings)).items())
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        raise _unusable(shard, "is damaged") from None
    if not same or table["path"].to_pylist() != [printable_name(name) for name in shard.names]:
        raise _unusable(shard, "belongs to another shard or job")
    rows = table.filter(table["error"].is_valid()).to_pylist()
    return [Unreadable(row["path"], row["error"]) for row in rows]


def _unusable(shard: Shard, reason: str) -> ConvAtlasError:
    return ConvAtlasError(f"{str(shard.file)!r} {reason}: remove it, and the same call writes it again")
