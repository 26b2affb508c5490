"""List the photos of a data set by split, from folders or from a CSV file."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.images.labelled import LabelledPhoto, list_labelled

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
"""Accepted names of each split."""


def read_splits(data: str | Path) -> dict[str, list[LabelledPhoto]]:
    """List the photos of a data set by split; "train" is always among them, and has every class.

    Args:
        data: A folder with a folder for each class (all of it is "train"); a folder with such a folder for each split,
            as torchvision's ImageFolder; or a CSV file with the header "path,label" or "path,label,split", and paths
            that are absolute or relative to the file's folder.

    Raises:
        ImageError: The folder, the file or a photo in it does not exist, a class folder of the training split is empty,
            or a split has a class that the training split lacks.
    """
    path = Path(data)
    splits = _from_table(path) if path.suffix.lower() == ".csv" else _from_folders(path)
    if not splits.get("train"):
        raise ImageError(f"{str(data)!r} holds nothing to train with")
    known = {photo.label for photo in splits["train"]}
    for split, photos in splits.items():
        if new := sorted({photo.label for photo in photos} - known):
            raise ImageError(f"the {split} split of {str(data)!r} has a class that is not trained: {new[0]!r}")
    return splits


def _from_folders(folder: Path) -> dict[str, list[LabelledPhoto]]:
    paths = {
        split: folder / name for split, names in SPLITS.items() for name in names[::-1] if (folder / name).is_dir()
    }
    splits = {split: list_labelled(path) for split, path in (paths if "train" in paths else {"train": folder}).items()}
    if empty := splits["train"][1]:
        raise ImageError(f"the folder of the class {empty[0].name!r} in {str(folder)!r} holds no photo; remove it")
    return {split: photos for split, (photos, _) in splits.items()}


def _from_table(table: Path) -> dict[str, list[LabelledPhoto]]:
    try:
        reader = csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines(), restval="")
        heading, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{str(table)!r} cannot be read as a table of photos ({error})") from None
    if sorted(heading) not in (["label", "path"], ["label", "path", "split"]):
        columns = ",".join(heading)[:100]
        raise ImageError(f"the header of {str(table)!r} is {columns!r}, not path,label or path,label,split")
    split_of = {name: split for split, names in SPLITS.items() for name in names}
    splits: dict[str, list[LabelledPhoto]] = {}
    for number, row in enumerate(rows, 2):
        path, label, name = (row.get(key, "") for key in ("path", "label", "split"))
        if not path or not label:
            raise ImageError(f"line {number} of {str(table)!r} lacks a path or a label")
        split = split_of.get(name or "train")
        if split is None:
            raise ImageError(f"line {number} of {str(table)!r} belongs to {name!r}; splits are {', '.join(split_of)}")
        photo = table.parent / path
        # Checked now, since training may read the photo hours later.
        if not os.path.isfile(photo):
            raise ImageError(f"line {number} of {str(table)!r} names a photo that does not exist: {str(photo)!r}")
        splits.setdefault(split, []).append(LabelledPhoto(photo, label))
    return splits
