"""Photos to train with, in their three parts: folders of classes, or a table of files."""

from __future__ import annotations

import csv
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.images.labelled import Labelled, labelled

PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
"""What the three parts are called."""


def collection(data: str | Path) -> dict[str, list[Labelled]]:
    """The photos of a data set by the part they belong to; "train" is always there, and has every class.

    Args:
        data: A folder of folders of classes (all of it is "train"); a folder with such a folder for each part, as
            torchvision's ImageFolder wants them; or a CSV file under the heading "path,label" or "path,label,split",
            its paths beside it or absolute.

    Raises:
        ImageError: It is no such folder or file, or a part has a class that the training part has not.
    """
    path = Path(data)
    found = _listed(path) if path.suffix.lower() == ".csv" else _below(path)
    if not found.get("train"):
        raise ImageError(f"{str(data)!r} holds nothing to train with")
    known = {photo.label for photo in found["train"]}
    for part, photos in found.items():
        if new := sorted({photo.label for photo in photos} - known):
            raise ImageError(f"the {part} part of {str(data)!r} has a class that is not trained: {new[0]!r}")
    return found


def _below(folder: Path) -> dict[str, list[Labelled]]:
    there = {part: folder / name for part, names in PARTS.items() for name in names[::-1] if (folder / name).is_dir()}
    if "train" not in there:
        return {"train": labelled(folder)[0]}
    return {part: labelled(each)[0] for part, each in there.items()}


def _listed(table: Path) -> dict[str, list[Labelled]]:
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines(), restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{str(table)!r} cannot be read as a table of photos ({error})") from None
    names = {name: part for part, all_names in PARTS.items() for name in all_names}
    found: dict[str, list[Labelled]] = {}
    for number, row in enumerate(rows, 2):
        path, label, split = (row.get(key, "") for key in ("path", "label", "split"))
        if not path or not label:
            raise ImageError(
                f"line {number} of {str(table)!r} lacks a path or a label; its heading is path,label,split"
            )
        part = names.get(split or "train")
        if part is None:
            raise ImageError(f"line {number} of {str(table)!r} belongs to {split!r}; parts are {', '.join(names)}")
        found.setdefault(part, []).append(Labelled(table.parent / path, label))
    return found
