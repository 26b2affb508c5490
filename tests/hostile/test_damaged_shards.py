"""The files of a job that were edited or damaged: one line, or the same answers."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.bulk.photos import NET, answers, photos
from tests.hostile.damage import Damage, damage_bytes, damage_json, nested, not_for_ever, one_line

import convatlas as ca
from convatlas.base.errors import ConvAtlasError


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """Photos, a finished job, and its answers."""
    folder, output = photos(tmp_path_factory.mktemp("photos"), 6), tmp_path_factory.mktemp("job")
    ca.batch("classify", folder, output, **NET, shard=3)
    return folder, output, answers(output).to_pydict()


def changed_table(path: Path, draw: random.Random) -> None:
    """Write a shard again, with another table or other metadata."""
    table = pq.read_table(path)
    metadata = dict(table.schema.metadata)
    kind = draw.choice(["column", "another", "rows", "cast", "deep", "text", "none", "number"])
    if kind == "column":
        table = table.drop_columns([draw.choice(table.column_names)])
    elif kind == "another":
        table = table.append_column("another", pa.array([1] * len(table)))
    elif kind == "rows":
        table = table.slice(draw.randrange(len(table)))
    elif kind == "cast":
        at = table.schema.get_field_index("error")
        table = table.set_column(at, "error", pa.array([1] * len(table)))
    values = {"deep": b"[" * 200_000, "text": b'{"a":' * 200_000, "none": None, "number": b"3"}
    if kind in values:
        table = table.replace_schema_metadata({} if values[kind] is None else {**metadata, b"convatlas": values[kind]})
    pq.write_table(table, path)


def damage_shard(path: Path, draw: random.Random) -> None:
    (damage_bytes if draw.random() < 0.5 else changed_table)(path, draw)


FILES: dict[str, Damage] = {"_job.json": damage_json, "shard-000001.parquet": damage_shard}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("many", [12, pytest.param(150, marks=pytest.mark.sweep)])
def test_a_finished_job(job: tuple[Path, Path, Any], tmp_path: Path, file: str, many: int) -> None:
    folder, output, right = job
    for seed in range(many):
        copy = tmp_path / str(seed)
        shutil.copytree(output, copy)
        FILES[file](copy / file, random.Random(seed))
        result = one_line(lambda copy=copy: ca.batch("classify", folder, copy, **NET, shard=3))
        if result is not None:
            with not_for_ever():
                assert pq.read_table(copy, columns=["path"])["path"].to_pylist() == right["path"]
        shutil.rmtree(copy)


@pytest.mark.parametrize("column", ["path", "raw_path", "error", "labels", "indices", "probabilities"])
def test_a_shard_without_a_column(job: tuple[Path, Path, Any], tmp_path: Path, column: str) -> None:
    folder, output, _ = job
    shutil.copytree(output, tmp_path / "job")
    path = tmp_path / "job" / "shard-000001.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(ConvAtlasError, match=r"shard-000001\.parquet' is damaged: remove it"):
        ca.batch("classify", folder, tmp_path / "job", **NET, shard=3)


def test_another_job_of_any_depth(job: tuple[Path, Path, Any], tmp_path: Path) -> None:
    folder, output, _ = job
    shutil.copytree(output, tmp_path / "job")
    path = tmp_path / "job" / "_job.json"
    path.write_text(path.read_text().replace('"lenet5"', str(nested())))
    with pytest.raises(ConvAtlasError, match="holds another job, whose net is") as caught:
        ca.batch("classify", folder, tmp_path / "job", **NET, shard=3)
    assert len(str(caught.value)) < 500
