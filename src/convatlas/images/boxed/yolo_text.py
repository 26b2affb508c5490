"""Read photos with boxes from YOLO's text files: a line of class, x, y, width and height for each box."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from convatlas.base.errors import ImageError, printable
from convatlas.base.files.csv_file import read_table_text
from convatlas.base.files.reading import MAX_NOTES, MAX_SETTINGS, read_text, reason
from convatlas.base.files.structured import excerpt
from convatlas.images.boxed.photo import MAX_CLASSES, BoxedPhoto, box_rows, check_classes
from convatlas.images.folders import names_below, no_photos
from convatlas.images.splits import split_of

ROUNDING = 1e-3
"""How far a share of a photo's sides may lie outside of 0 to 1."""

MAX_DEPTH = 10
"""Most levels of nesting of a YAML file."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Loads plain values only. The one in Python takes time that grows with the square of the nesting."""

Row = tuple[float, float, float, float, float]


def read_yolo(folder: Path) -> tuple[dict[str, list[BoxedPhoto]], tuple[str, ...]]:
    """Read the photos of a folder by split, and the names of the classes.

    The folder holds `images` and `labels`, perhaps with the folders of splits in both, or folders of splits with
    `images` and `labels` in each. The boxes of `images/a/b.jpg` are those of `labels/a/b.txt`; a photo without such a
    file has none. The classes are named by `names` in `data.yaml`, of which nothing else is used, or by the lines of
    `classes.txt` or `labels/classes.txt`; without these they are called by their numbers.

    Raises:
        ImageError: The folder holds no photo or no boxes, or a file is not of this format.
    """
    photos: dict[str, list[BoxedPhoto]] = {}
    for split, images, labels in _places(folder):
        names = names_below(images)
        if not names:
            raise no_photos(images)
        # Splits by the first folder, unless it names none.
        for name in names:
            inner = split or (split_of(Path(name).parts[0]) if len(Path(name).parts) > 1 else None) or "train"
            rows = _rows(labels / Path(name).with_suffix(".txt"))
            where = f"{str(images / name)!r:.300}"
            photos.setdefault(inner, []).append(BoxedPhoto(images / name, box_rows(rows, where)))
    everything = [photo for members in photos.values() for photo in members]
    if not any(len(photo.boxes) for photo in everything):
        raise ImageError(f"the photos of {str(folder)!r:.200} have no boxes; those of images/a.jpg are in labels/a.txt")
    most = max(int(photo.boxes[:, 0].max()) for photo in everything if len(photo.boxes))
    classes = _class_names(folder) or tuple(map(str, range(most + 1)))
    if most >= len(classes):
        raise ImageError(f"{str(folder)!r:.200} names {len(classes)} classes, 0 to {len(classes) - 1}, and uses {most}")
    return photos, classes


def is_yolo(folder: Path) -> bool:
    """Whether a folder holds `images` and `labels`, or folders of splits that do."""
    return bool(_places(folder))


def _places(folder: Path) -> list[tuple[str | None, Path, Path]]:
    """Folders of photos and of text files, with their split if it is known."""
    folders = [(None, folder)]
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ImageError(f"{str(folder)!r:.300} cannot be listed ({error.strerror})") from None
    folders += [(split, folder / name) for name in names if (split := split_of(name))]  # type: ignore[misc]
    places = [(split, place / "images", place / "labels") for split, place in folders]
    return [place for place in places if place[1].is_dir() and place[2].is_dir()]


def _rows(path: Path) -> list[Row]:
    """Boxes of one text file; none if it does not exist."""
    try:
        text = read_text(path, MAX_NOTES)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ImageError(f"{str(path)!r:.300} cannot be read as boxes ({reason(error)})") from None
    lines = enumerate(text.splitlines(), 1)
    return [_row(line.split(), f"line {number} of {str(path)!r:.300}") for number, line in lines if line.strip()]


def _row(words: Sequence[str], where: str) -> Row:
    """Class and corners of a box, as shares of the photo's sides."""
    try:
        number, x, y, width, height = map(float, words)
    except ValueError:
        raise ImageError(
            f"{where} is not the class, x, y, width and height of a box: {printable(' '.join(words))[:60]!r}"
        ) from None
    if not (0 <= number < MAX_CLASSES and number == int(number)):
        raise ImageError(f"{where} has the class {words[0]!r:.30}; classes are numbered from 0 to {MAX_CLASSES - 1}")
    if not all(-ROUNDING <= value <= 1 + ROUNDING for value in (x, y, width, height)):
        box = " ".join(words)[:80]
        raise ImageError(f"{where} has a box that is not in shares of the photo's sides, from 0 to 1: {box!r}")
    return number, x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _class_names(folder: Path) -> tuple[str, ...]:
    """Names of the classes; none if no file says them."""
    if (path := folder / "data.yaml").is_file():
        return check_classes(_yaml_names(path), f"{str(path)!r:.300}")
    for path in (folder / "classes.txt", folder / "labels" / "classes.txt"):
        if path.is_file():
            lines = [line.strip() for line in read_table_text(path, "names of classes").splitlines()]
            return check_classes([line for line in lines if line], f"{str(path)!r:.300}")
    return ()


def _load_yaml(text: str) -> object:
    """Return what YAML holds; aliases, by which a small file becomes a huge value, and deep nesting are refused."""
    depth = 0
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > MAX_DEPTH:
            raise yaml.YAMLError("it has aliases, or is nested too deep")
    return yaml.load(text, LOADER)


def _yaml_names(path: Path) -> list[str]:
    name = f"{str(path)!r:.300}"
    try:
        content = _load_yaml(read_text(path, MAX_SETTINGS))
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = reason(error) if isinstance(error, OSError | ValueError) else printable(error)
        raise ImageError(f"{name} cannot be read as YAML ({why:.200})") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(type(each) in (str, int) for each in names):
        raise ImageError(f"{name} has {printable(excerpt(names))} for names; it is a list of the classes' names")
    return [str(each) for each in names]
