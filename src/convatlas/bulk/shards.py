"""One shard: photos are decoded ahead, answered in batches, and written as one Parquet file, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.base.machine import threads
from convatlas.bulk.predictors import Answers, Model, Sizes, metadata
from convatlas.bulk.prefetch import ahead
from convatlas.engines.session import Photos
from convatlas.images.decoding import read
from convatlas.images.letterbox import DarknetPreprocessing
from convatlas.images.preprocessing import Preprocessing

OWN = {"path": pa.string(), "raw_path": pa.binary(), "error": pa.string()}
"""Columns that all tables have: the photo; its name as bytes, if it is no UTF-8; why it could not be read."""


@dataclass(frozen=True)
class Shard:
    """Some photos that are answered together.

    Attributes:
        root: The folder to which the names are relative.
        names: Of the photos.
        file: Where the answers go.
    """

    root: str
    names: Sequence[str]
    file: Path


@dataclass(frozen=True)
class Prepared:
    """A batch: inputs (n, C, h, w) and sizes of the photos that could be read, and of each photo why not, or None."""

    x: Photos
    sizes: Sizes
    errors: list[str | None]


def fill(shards: Sequence[Shard], model: Model, known: Mapping[str, object]) -> Iterator[tuple[Shard, int]]:
    """Answers shards in turn and writes each; tells after each batch how many photos of which shard are done.

    Args:
        shards: Which photos, and where to.
        model: The net.
        known: What the files are to say of the net, as `identity` gives it.

    Raises:
        ConvAtlasError: A file cannot be written.
    """
    rows = _rows(model)
    for shard, errors, found in _answers(shards, model):
        good = iter(range(len(errors)))
        for error in errors:
            place = next(good) if error is None else None
            rows["error"].append(error)
            for name in model.columns:
                rows[name].append(None if place is None else found[name][place])
        yield shard, len(rows["error"])
        if len(rows["error"]) == len(shard.names):
            rows["path"] = [spelled(name) for name in shard.names]
            rows["raw_path"] = [None if _is_utf8(name) else os.fsencode(name) for name in shard.names]
            schema = pa.schema({**OWN, **model.columns}, metadata(model, known))
            columns = [pa.array(rows[name], schema.field(name).type) for name in schema.names]
            write(shard.file, pa.table(columns, schema=schema))
            rows = _rows(model)


def _rows(model: Model) -> dict[str, list[Any]]:
    return {name: [] for name in (*OWN, *model.columns)}


def _answers(shards: Sequence[Shard], model: Model) -> Iterator[tuple[Shard, list[str | None], Answers]]:
    """The batches in order: of which shard, why photos could not be read, and the answers to the others.

    While some photos are answered, others are decoded; where the model takes several callers, each thread goes all the
    way from the files to the answers.
    """
    preprocessing = model.net.lineage.preprocessing
    parts = ((one, one.names[at : at + model.batch]) for one in shards for at in range(0, len(one.names), model.batch))

    def prepare(part: tuple[Shard, Sequence[str]]) -> tuple[Shard, Prepared]:
        shard, names = part
        return shard, _prepared(preprocessing, [os.path.join(shard.root, name) for name in names])

    def answer(given: tuple[Shard, Prepared]) -> tuple[Shard, list[str | None], Answers]:
        shard, some = given
        return shard, some.errors, model(some.x, some.sizes) if len(some.x) else {}

    many = threads()
    if model.callers > 1:
        return ahead(lambda part: answer(prepare(part)), parts, model.callers, model.callers + 2)
    return map(answer, ahead(prepare, parts, many, many + 2))


def _prepared(preprocessing: Preprocessing | DarknetPreprocessing, paths: Sequence[str]) -> Prepared:
    x = np.empty((len(paths), preprocessing.channels, *preprocessing.size), np.float32)
    sizes: list[tuple[int, int]] = []
    errors: list[str | None] = []
    for path in paths:
        try:
            photo = read(path)
            x[len(sizes)] = preprocessing(photo)
            sizes.append((photo.shape[0], photo.shape[1]))
            errors.append(None)
        except ImageError as error:
            errors.append(str(error))
    return Prepared(x[: len(sizes)], sizes, errors)


def spelled(name: str) -> str:
    r"""A photo's name as a table has it: bytes that are no UTF-8 as `\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def write(file: Path, table: pa.Table) -> None:
    """Writes a table as Parquet, whole or not at all.

    Raises:
        ConvAtlasError: It cannot be written.
    """
    data = pa.BufferOutputStream()
    pq.write_table(table, data)
    try:
        write_bytes(file, data.getvalue())
    except OSError as error:
        raise unwritable(file, error) from None


def unwritable(path: Path, error: OSError) -> ConvAtlasError:
    """The error for a file or folder that the system refuses to write."""
    return ConvAtlasError(
        f"{str(path)!r} cannot be written ({error.strerror or error}); shards that are there are whole, and the same "
        "call goes on after them"
    )
