"""Photos with known classes: folders of classes, or one folder and a file that tells."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.images.folders import photos


@dataclass(frozen=True)
class Labelled:
    """A photo and the name of its class, as the data set spells it: a synset, a label, or a number."""

    path: Path
    label: str


def labelled(data: str | Path, truth: str | Path | None = None) -> list[Labelled]:
    """The photos of a data set in a fixed order.

    Args:
        data: A folder with a folder of photos for each class (ImageNet by synset, ImageNet-V2 by number, or any
            other), or, with `truth`, a folder of photos.
        truth: A file with a line for each photo: its name (with or without an ending), a comma or spaces, its class;
            what follows is not read. A first line without a photo is a heading.

    Raises:
        ImageError: There are no such files, no photos, or photos of which nothing is told.
    """
    folder = Path(data)
    if not folder.is_dir():
        raise ImageError(f"there is no folder {str(data)!r}")
    return _by_folder(folder) if truth is None else _by_file(folder, Path(truth))


def _by_folder(folder: Path) -> list[Labelled]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise ImageError(f"{str(folder)!r} holds no folders of classes; for photos side by side name a file of truths")
    return [Labelled(path, each.name) for each in classes for path in photos([each])]


def _by_file(folder: Path, truth: Path) -> list[Labelled]:
    told = _told(truth)
    found, unknown = [], []
    for path in photos([folder]):
        label = told.get(path.name, told.get(path.stem))
        if label is None:
            unknown.append(path)
        else:
            found.append(Labelled(path, label))
    if unknown:
        raise ImageError(f"{str(truth)!r} tells nothing of {len(unknown)} photos, {unknown[0].name} the first of them")
    return found


def _told(truth: Path) -> dict[str, str]:
    try:
        lines = truth.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{str(truth)!r} cannot be read as a file of truths ({error})") from None
    told: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = next(csv.reader([line])) if "," in line else line.split(None, 1)
        words = " ".join(rest).split()
        if not words:
            raise ImageError(
                f"line {number} of {str(truth)!r} is no photo and its class: {line[:40]!r} "
                "(a list of numbers alone, as in ImageNet's development kit, counts classes in an order of its own)"
            )
        # "n01440764 10 20 30 40": a synset and a box; a label may have several words.
        label = words[0] if words[0][:1] == "n" and words[0][1:].isdecimal() else " ".join(rest).strip()
        told[Path(name.strip()).name] = label
    return told


def read_map(path: str | Path) -> dict[str, str]:
    """The classes of a CSV file: on each line a class of the data set, and what the net calls it.

    Raises:
        ImageError: It is no such file.
    """
    try:
        rows = list(csv.reader(Path(path).read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{str(path)!r} cannot be read as a map of classes ({error})") from None
    if wrong := [row for row in rows if row and len(row) != 2]:
        raise ImageError(f"a map of classes has two columns; {str(path)!r} has a line {','.join(wrong[0])[:40]!r}")
    return {row[0].strip(): row[1].strip() for row in rows if row}
