"""List the photos of a data set by split, from folders or from a CSV file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.base.files.csv_file import read_table, read_table_text
from convatlas.base.files.local import local_path
from convatlas.images.folders import photos_below
from convatlas.images.labelled import LabelledPhoto, class_of, list_labelled

SPLITS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "val", "valid", "validate", "validating", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation", "evaluate", "evaluating", "tst"),
}
"""Accepted names of each split."""

FILLING = r"sets?|splits?|data|dirs?|directory|folders?|files?|images?|imgs?|photos?|pictures?"
"""Words that data sets add to the name of a split."""

NAMES = ", ".join(f"{' or '.join(names[:2])}" for names in SPLITS.values())


def split_of(name: str) -> str | None:
    """Return the split that a folder or a cell of a table names, or None.

    Case does not matter, nor does what data sets add to the name: "Train", "val2017", "test_images", "dev set v2".
    """
    plain = re.sub(r"[\W\d_]+", " ", name.casefold()).strip()
    word = re.sub(rf"^(({FILLING}) )*|( ?({FILLING})| v| version)*$", "", plain)
    return next((split for split, names in SPLITS.items() if word in names), None)


def read_splits(data: str | Path) -> dict[str, list[LabelledPhoto]]:
    """List the photos of a data set by split; "train" is always among them, and has every class.

    Args:
        data: A folder with a folder for each class (all of it is "train"); a folder with such a folder for each split,
            as torchvision's ImageFolder; or a CSV file with the header "path,label" or "path,label,split", and paths
            that are absolute or relative to the file's folder. Splits are named as in `split_of`.

    Raises:
        ImageError: The folder, the file or a photo in it does not exist, a class folder of the training split is empty,
            a split has a class that the training split lacks, two folders are the same split, a class holds folders of
            splits, folders of splits hold no folders of classes, or a table gives a photo of a split two labels.
    """
    path = local_path(data, ImageError)
    splits = _from_table(path) if path.suffix.lower() in (".csv", ".tsv") else _from_folders(path)
    if not splits.get("train"):
        raise ImageError(f"{str(data)!r} holds nothing to train with")
    known = {photo.label for photo in splits["train"]}
    for split, photos in splits.items():
        if new := sorted({photo.label for photo in photos} - known):
            raise ImageError(f"the {split} split of {str(data)!r} has a class that is not trained: {new[0]!r}")
    return splits


def left_out(data: str | Path) -> list[Path]:
    """List the folders with photos that `read_splits` leaves out, since they lie beside those of splits."""
    folder = local_path(data, ImageError)
    if not folder.is_dir() or not (paths := _split_folders(folder)):
        return []
    return [path for path in _folders(folder) if path not in paths.values() and photos_below(path)]


def _from_folders(folder: Path) -> dict[str, list[LabelledPhoto]]:
    paths = _split_folders(folder)
    if not paths:
        _check_classes(folder)
        paths = {"train": folder}
    if "train" not in paths:
        others = " and ".join(repr(path.name) for path in paths.values())
        raise ImageError(f"{str(folder)!r} holds {others}, but no folder called train")
    for inner in (path for outer in paths.values() for path in (outer, *_folders(outer))):
        inside = {split_of(path.name) for path in _folders(inner)} if inner != folder else set()
        if "train" in inside and len(inside - {None}) > 1:
            raise ImageError(
                f"{str(inner)!r} holds folders of splits, but lies where a class is expected; a data set has a folder "
                "for each split, with a folder for each class in it"
            )
    splits = {split: list_labelled(path) for split, path in paths.items()}
    if empty := splits["train"][1]:
        raise ImageError(f"the folder of the class {empty[0].name!r} in {str(folder)!r} holds no photo; remove it")
    return {split: photos for split, (photos, _) in splits.items()}


def _split_folders(folder: Path) -> dict[str, Path]:
    """Folders of the splits by split; empty if those with such names are classes, that is, hold no folders."""
    folders: dict[str, Path] = {}
    inside = _folders(folder)
    prefix = _shared_prefix([path.name for path in inside])
    for path in inside:
        split = split_of(path.name.removeprefix(prefix))
        if split is None or not _folders(path):
            continue
        if split in folders:
            raise ImageError(
                f"{str(folder)!r} has two folders of the {split} split: {folders[split].name!r}, {path.name!r}"
            )
        folders[split] = path
    return {split: folders[split] for split in SPLITS if split in folders}


def _check_classes(folder: Path) -> None:
    """Refuse a folder whose folders are not classes, as far as their names tell: all are splits, or most are alike."""
    inside = _folders(folder)
    splits = {split_of(path.name) for path in inside}
    listed = " and ".join(repr(path.name) for path in inside[:3])
    if len(splits) > 1 and "train" in splits and None not in splits:
        raise ImageError(
            f"{str(folder)!r} holds {listed}, without a folder for each class in them; photos that lie together need a "
            "table with the columns path and label, perhaps split"
        )
    classes = {path: {inner.name for inner in _folders(path)} for path in inside}
    for path, names in classes.items():
        if {"train", "training"} & {*re.findall(r"[^\W\d_]+", path.name.casefold())} and any(
            names & others for other, others in classes.items() if other != path
        ):
            raise ImageError(
                f"{str(folder)!r} holds {listed}, with the same folders in them; if these are splits, call them {NAMES}"
            )


def _shared_prefix(names: list[str]) -> str:
    """Return the text before the split in names such as "seg_train" and "seg_test"; "" if they are no such names."""
    parts = [re.fullmatch(r"(.*[\W_])([^\W_]+)", name) for name in names]
    splits: dict[str, set[str | None]] = {}
    for part in parts:
        if part:
            splits.setdefault(part[1], set()).add(split_of(part[2]))
    return next((prefix for prefix, those in splits.items() if "train" in those and len(those - {None}) > 1), "")


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:  # `list_labelled` says what is wrong with it
        return []


def _from_table(table: Path) -> dict[str, list[LabelledPhoto]]:
    name = repr(str(table))
    splits: dict[str, list[LabelledPhoto]] = {}
    known: dict[tuple[Path, str], tuple[int, str]] = {}
    for line, row in read_table(read_table_text(table, "a table of photos"), name, ("path", "label"), ("split",)):
        path, label, split = row["path"], class_of(row["label"]), split_of(row.get("split") or "train")
        if not path or not label:
            raise ImageError(f"line {line} of {name} lacks a path or a label")
        if split is None:
            raise ImageError(f"line {line} of {name} belongs to {row['split']!r:.60}; splits are {NAMES}")
        photo = table.parent / path
        # Checked now, since training may read the photo hours later.
        if not os.path.isfile(photo):
            raise ImageError(f"line {line} of {name} names a photo that does not exist: {str(photo)!r}")
        first, earlier = known.setdefault((photo, split), (line, label))
        if earlier != label:
            raise ImageError(
                f"line {line} of {name} says {label[:40]!r} of {path!r:.60}, line {first} said {earlier[:40]!r}"
            )
        splits.setdefault(split, []).append(LabelledPhoto(photo, label))
    return splits
