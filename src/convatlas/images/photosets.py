"""Photos to train with, in their three parts: folders of classes, or a table of files."""

from __future__ import annotations

import csv
import os
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
        ImageError: It is no such folder or file, a photo of the file or all those of a class to train are not there, or
            a part has a class that the training part has not.
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
    found = {part: labelled(each) for part, each in (there if "train" in there else {"train": folder}).items()}
    if empty := found["train"][1]:
        raise ImageError(f"the folder of the class {empty[0].name!r} in {str(folder)!r} holds no photo; take it away")
    return {part: photos for part, (photos, _) in found.items()}


def _listed(table: Path) -> dict[str, list[Labelled]]:
    try:
        reader = csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines(), restval="")
        heading, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{str(table)!r} cannot be read as a table of photos ({error})") from None
    if sorted(heading) not in (["label", "path"], ["label", "path", "split"]):
        said = ",".join(heading)[:100]
        raise ImageError(f"the heading of {str(table)!r} is {said!r}, not path,label or path,label,split")
    names = {name: part for part, all_names in PARTS.items() for name in all_names}
    found: dict[str, list[Labelled]] = {}
    for number, row in enumerate(rows, 2):
        path, label, split = (row.get(key, "") for key in ("path", "label", "split"))
        if not path or not label:
            raise ImageError(f"line {number} of {str(table)!r} lacks a path or a label")
        part = names.get(split or "train")
        if part is None:
            raise ImageError(f"line {number} of {str(table)!r} belongs to {split!r}; parts are {', '.join(names)}")
        photo = table.parent / path
        # Now, and not when it is wanted, which may be hours later.
        if not os.path.isfile(photo):
            raise ImageError(f"line {number} of {str(table)!r} names a photo that does not exist: {str(photo)!r}")
        found.setdefault(part, []).append(Labelled(photo, label))
    return found
