"""Read photos with boxes by split, whichever way their files hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convatlas.base.errors import ImageError
from convatlas.base.files.local import local_path
from convatlas.images.boxed.coco import read_coco
from convatlas.images.boxed.photo import BoxedPhoto, BoxedSplits
from convatlas.images.boxed.yolo_text import is_yolo, read_yolo
from convatlas.images.splits import SPLITS, split_of


def read_boxed(data: str | Path) -> BoxedSplits:
    """Read a data set of photos with boxes; "train" is always among its splits.

    Args:
        data: A JSON file in COCO's format, all of which is "train" (`read_coco`); a folder with such a file for each
            split, in it, in its folder `annotations` or in a folder for each split; or a folder with YOLO's text files
            (`read_yolo`). Splits are named as in `images.splits.split_of`.

    Raises:
        ImageError: It is none of these, a file is damaged, a photo does not exist, or a split has a class that the
            training split lacks.
    """
    path = local_path(data, ImageError)
    if os.path.isdir(path):
        if is_yolo(path):
            photos, classes = read_yolo(path)
            return _checked(photos, classes, path)
        files = _coco_files(path)
    elif path.suffix.lower() == ".json":
        files = {"train": path}
    else:
        files = {}
    if not files:
        raise ImageError(
            f"{str(data)!r:.300} is no data set with boxes: that is a JSON file in COCO's format, a folder with one "
            "for each split, or a folder with images and labels, as YOLO has them"
        )
    read = {split: read_coco(file) for split, file in files.items()}
    if "train" not in read:
        raise ImageError(f"{str(data)!r:.300} holds boxes to evaluate on, but none to train with")
    classes = read["train"][1]
    photos = {split: _renumbered(members, names, classes, files[split]) for split, (members, names) in read.items()}
    return _checked(photos, classes, path)


def _checked(photos: Mapping[str, Sequence[BoxedPhoto]], classes: tuple[str, ...], path: Path) -> BoxedSplits:
    if not any(len(photo.boxes) for photo in photos.get("train", ())):
        raise ImageError(f"{str(path)!r:.300} holds no boxes to train with")
    return BoxedSplits({split: tuple(photos[split]) for split in SPLITS if split in photos}, classes)


def _coco_files(folder: Path) -> dict[str, Path]:
    """Files of COCO's format by split."""
    inner = {name: split for name in _names(folder) if os.path.isdir(folder / name) and (split := split_of(name))}
    files: dict[str, Path] = {}
    for name, split in inner.items():
        if len(listed := _json(folder / name)) == 1:
            files[split] = listed[0]
    if files:
        return files
    for place in (folder, folder / "annotations"):
        listed = _json(place) if os.path.isdir(place) else []
        # COCO keeps captions and key points of the same photos beside its boxes.
        listed = [path for path in listed if path.stem.startswith("instances")] or listed
        if len(listed) == 1:
            return {"train": listed[0]}
        for path in listed:
            for word in re.findall(r"[^\W\d_]+", path.stem):
                if split := split_of(word):
                    files[split] = path
        if files:
            break
    return files


def _json(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder) if name.lower().endswith(".json") and not name.startswith(".")]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise ImageError(f"{str(folder)!r:.300} cannot be listed ({error.strerror})") from None


def _renumbered(
    photos: Sequence[BoxedPhoto], names: Sequence[str], classes: Sequence[str], file: Path
) -> list[BoxedPhoto]:
    """Photos whose boxes have the indices of `classes`; they had those of `names`."""
    used = sorted({int(index) for photo in photos for index in photo.boxes[:, 0]})
    if new := [names[index] for index in used if names[index] not in classes]:
        raise ImageError(f"{str(file)!r:.300} has a class that is not trained: {new[0]!r:.80}")
    index = np.array([classes.index(name) if name in classes else -1 for name in names])
    renumbered = []
    for photo in photos:
        boxes = photo.boxes.copy()
        boxes[:, 0] = index[boxes[:, 0].astype(int)]
        renumbered.append(replace(photo, boxes=boxes))
    return renumbered
