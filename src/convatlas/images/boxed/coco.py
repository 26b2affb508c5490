"""Read photos with boxes from a JSON file in COCO's format (Lin et al. 2014; https://cocodataset.org/#format-data)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from convatlas.base.errors import ImageError, printable
from convatlas.base.files.reading import MAX_TABLE, reason
from convatlas.base.files.structured import SchemaError, excerpt, read_json
from convatlas.images.boxed.photo import BoxedPhoto, box_rows, check_classes, check_photo, inside
from convatlas.images.decoding import MAX_PIXELS

Entry = Mapping[str, Any]


def read_coco(path: Path) -> tuple[list[BoxedPhoto], tuple[str, ...]]:
    """Read the photos of a file in its order, and the names of its classes in the order of their ids.

    The photos' names are relative to the file's folder, to the folder `images` beside it, or, as COCO itself has it, to
    a folder beside the file's that is called as the file ("instances_train2017.json" and "train2017"). Boxes around
    crowds (`iscrowd`), and boxes without area in the photo, are left out.

    Raises:
        ImageError: The file is not of this format, or a photo does not exist.
    """
    name = f"{str(path)!r:.300}"
    try:
        content = read_json(path, MAX_TABLE)
    except (OSError, SchemaError) as error:
        raise ImageError(f"{name} cannot be read as boxes of COCO ({reason(error)})") from None
    images, annotations, categories = (_entries(content, key, name) for key in ("images", "annotations", "categories"))
    names = {_id(entry, f"a category of {name}"): _text(entry, "name", f"a category of {name}") for entry in categories}
    if len(names) < len(categories):
        raise ImageError(f"{name} has two categories with one id")
    classes = check_classes([names[number] for number in sorted(names)], name)
    indices = {number: index for index, number in enumerate(sorted(names))}

    sizes: dict[int, tuple[int, int]] = {}
    files: dict[int, str] = {}
    for entry in images:
        number = _id(entry, f"an image of {name}")
        where = f"image {number} of {name}"
        if number in sizes:
            raise ImageError(f"{name} has two images with the id {number}")
        sizes[number] = _number(entry, "height", where, _is_side), _number(entry, "width", where, _is_side)
        files[number] = _text(entry, "file_name", where)
    boxes: dict[int, list[tuple[float, float, float, float, float]]] = {number: [] for number in sizes}
    for entry in annotations:
        where = f"an annotation of {name}"
        image, category = (_number(entry, key, where, _is_whole) for key in ("image_id", "category_id"))
        if image not in sizes or category not in indices:
            raise ImageError(f"{where} is of image {image} and category {category}, which the file does not have both")
        if not entry.get("iscrowd"):
            boxes[image].append(
                (indices[category], *_corners(entry.get("bbox"), sizes[image], f"image {image} of {name}"))
            )
    photos = []
    folder = _folder(path, next(iter(files.values()), ""), name)
    for number, file in files.items():
        where = f"image {number} of {name}"
        check_photo(photo := inside(folder, file, where), where)
        photos.append(BoxedPhoto(photo, box_rows(boxes[number], where), sizes[number]))
    return photos, classes


def _folder(path: Path, first: str, name: str) -> Path:
    """Return the first of the possible folders of a file's photos that has the first photo."""
    own = path.stem.rpartition("_")[2]
    outer = path.parent.parent
    folders = path.parent, path.parent / "images", outer / own, outer / "images" / own, outer / "images"
    return next((folder for folder in folders if os.path.isfile(inside(folder, first, name))), folders[0])


def _entries(content: object, key: str, name: str) -> list[Entry]:
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ImageError(f"{name} is no file of boxes in COCO's format: it has no list of {key}")
    return entries


def _is_whole(value: object) -> TypeGuard[int]:
    return type(value) is int and abs(value) < 2**63


def _is_side(value: object) -> bool:
    return _is_whole(value) and 1 <= value <= MAX_PIXELS


def _number(entry: Entry, key: str, where: str, good: Callable[[object], bool]) -> int:
    value = entry.get(key)
    if not good(value):
        raise ImageError(f"{where} has {excerpt(value)} for {key}")
    assert isinstance(value, int)
    return value


def _id(entry: Entry, where: str) -> int:
    return _number(entry, "id", where, _is_whole)


def _text(entry: Entry, key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value or len(value) > 1000:
        raise ImageError(f"{where} has {printable(excerpt(value))} for {key}")
    return value


def _corners(box: object, size: tuple[int, int], where: str) -> tuple[float, float, float, float]:
    """Corners, as shares of the sides, of a box given as left, top, width and height in pixels."""
    numbers: list[Any] = box if isinstance(box, list) and len(box) == 4 else [None]
    if not all(type(value) in (int, float) and abs(value) < 1e9 for value in numbers):
        raise ImageError(f"{where} has {excerpt(box)} for a box; it is left, top, width and height in pixels")
    left, top, width, height = numbers
    return left / size[1], top / size[0], (left + width) / size[1], (top + height) / size[0]
