"""Many small photos for LeNet-5, which is quick, and the tables that come of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

NET = {"net": "lenet5", "engine": "eager"}


def photos(folder: Path, many: int) -> Path:
    """So many grey squares of 28 pixels, each with a stroke of its own, in folders of up to ten."""
    random = np.random.default_rng(many)
    for number in range(many):
        pixels = np.zeros((28, 28), np.uint8)
        top, left = random.integers(2, 12, 2)
        pixels[top : top + random.integers(4, 14), left : left + random.integers(2, 14)] = 255
        path = folder / f"{number // 10:03}" / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def answers(output: Path) -> pa.Table:
    """All shards as any reader sees them; a folder's name never takes part."""
    return pq.read_table(output)


def check_once(output: Path, folder: Path) -> None:
    """Every photo of the folder has one row, in order, and nothing half-written is left."""
    names = sorted(os.path.relpath(path, folder) for path in folder.rglob("*.png"))
    assert answers(output)["path"].to_pylist() == names
    assert not list(output.glob(".shard-*"))
