"""Photos with boxes that a detector learns in seconds, in memory and in both kinds of files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from convatlas.images.boxed.photo import BoxedPhoto, BoxedSplits
from convatlas.nets.darknet_steps import Conv
from convatlas.nets.families.yolo import YOLO

CLASSES = ("bar", "disc")


def scene(seed: int, height: int = 64, width: int = 96) -> BoxedPhoto:
    """A dark photo with a bright bar and a red disc at random places."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 40, (height, width, 3), dtype=np.uint8)
    wide, tall, radius = random.integers(18, 30), random.integers(8, 14), int(random.integers(8, 12))
    left, top = random.integers(0, width // 2 - wide), random.integers(0, height - tall)
    pixels[top : top + tall, left : left + wide] = 230
    x, y = random.integers(width // 2 + radius, width - radius), random.integers(radius, height - radius)
    rows, columns = np.ogrid[:height, :width]
    pixels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = (250, 60, 40)
    corners = [(0, left, top, left + wide, top + tall), (1, x - radius, y - radius, x + radius, y + radius)]
    boxes = np.array(corners, float) / np.array([1, width, height, width, height])
    return BoxedPhoto(pixels, boxes, (height, width))


def scenes(train: int, validation: int = 0) -> BoxedSplits:
    photos = {"train": tuple(map(scene, range(train)))}
    if validation:
        photos["validation"] = tuple(map(scene, range(1000, 1000 + validation)))
    return BoxedSplits(photos, CLASSES)


def write_coco(photos: Sequence[BoxedPhoto], folder: Path, file: str = "boxes.json", classes=CLASSES) -> Path:
    """Write photos and a file of COCO's format to a folder; ids have gaps and are not in order."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, photo in enumerate(photos):
        height, width = photo.source.shape[:2]
        Image.fromarray(photo.source).save(folder / f"{number}.png")
        images.append({"id": 70 - number, "file_name": f"{number}.png", "height": height, "width": width})
        for kind, *corners in photo.boxes.tolist():
            left, top, right, bottom = (share * side for share, side in zip(corners, [width, height] * 2, strict=True))
            annotations.append({"image_id": 70 - number, "category_id": 3 + 4 * int(kind), "iscrowd": 0,
                                "bbox": [left, top, right - left, bottom - top]})  # fmt: skip
    categories = [{"id": 3 + 4 * number, "name": name} for number, name in reversed([*enumerate(classes)])]
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    (folder / file).write_text(json.dumps(content))
    return folder / file


def write_yolo(boxed: BoxedSplits, folder: Path, by_split: bool = True) -> Path:
    """Write photos and YOLO's text files to a folder, with names of the classes."""
    for split, photos in boxed.photos.items():
        for part in ("images", "labels"):
            (folder / part / (split if by_split else "")).mkdir(parents=True, exist_ok=True)
        for number, photo in enumerate(photos):
            place = f"{split}/{number}" if by_split else f"{split}{number}"
            Image.fromarray(photo.source).save(folder / "images" / f"{place}.png")
            lines = []
            for kind, left, top, right, bottom in photo.boxes.tolist():
                lines.append(f"{int(kind)} {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n")
            (folder / "labels" / f"{place}.txt").write_text("".join(lines))
    (folder / "data.yaml").write_text("train: ../elsewhere\nnc: 2\nnames:\n  0: bar\n  1: disc\n")
    return folder


def slim(monkeypatch, name: str, factor: int) -> None:
    """Let the detector of this name have a fraction of its widths for the rest of the test."""

    def narrowed(step):
        return replace(step, width=step.width // factor) if isinstance(step, Conv) else step

    row = YOLO.variants[name]
    stages = tuple(replace(stage, steps=tuple(map(narrowed, stage.steps))) for stage in row.stages)
    monkeypatch.setitem(YOLO.variants, name, replace(row, stages=stages))
