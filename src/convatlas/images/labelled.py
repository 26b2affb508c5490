"""Photos with known classes: folders of classes, or one folder and a file that tells."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.images.folders import below, photos


@dataclass(frozen=True)
class Labelled:
    """A photo and the name of its class, as the data set spells it: a synset, a label, or a number."""

    path: Path
    label: str


def labelled(data: str | Path, truth: str | Path | None = None) -> tuple[list[Labelled], list[Path]]:
    """The photos of a data set in a fixed order, and those of its folders of classes that hold none.

    Args:
        data: A folder with a folder of photos for each class (ImageNet by synset, ImageNet-V2 by number, or any
            other), or, with `truth`, a folder of photos.
        truth: A file with a line for each photo: its name (with or without its folders and its ending), a comma, a tab
            or spaces, its class. A class behind a comma ends at the next one unless it is quoted; behind others it is
            all that follows, or a synset alone. Lines that name no photo of the folder are not read.

    Raises:
        ImageError: There are no such files, no photos, photos of which nothing is told, or two things.
    """
    for path in (data,) if truth is None else (data, truth):
        if not isinstance(path, str | os.PathLike):
            raise ImageError(f"photos and their classes are in a folder and a file, told by paths; got {path!r:.100}")
    # `Path.is_dir` raises errors of the system, for one where the name is too long.
    if not os.path.isdir(data):
        raise ImageError(f"there is no folder {str(data)!r:.300}")
    return _by_folder(Path(data)) if truth is None else (_by_file(Path(data), Path(truth)), [])


def _by_folder(folder: Path) -> tuple[list[Labelled], list[Path]]:
    try:
        classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise ImageError(f"{str(folder)!r} cannot be listed ({error.strerror})") from None
    if not classes:
        raise ImageError(f"{str(folder)!r} holds no folders of classes; for photos side by side name a file of truths")
    inside = {each: below(each) for each in classes}
    if not any(inside.values()):
        raise ImageError(f"none of the {len(classes)} folders of classes in {str(folder)!r} holds a photo")
    return [Labelled(path, each.name) for each in classes for path in inside[each]], [
        each for each in classes if not inside[each]
    ]


def _by_file(folder: Path, truth: Path) -> list[Labelled]:
    lines, found = _lines(truth, "a file of truths"), photos([folder])
    told = _told(lines, str(truth), _names(folder, found))
    if unknown := [path for path in found if path not in told]:
        raise ImageError(f"{str(truth)!r} tells nothing of {len(unknown)} photos, {unknown[0].name} the first of them")
    return [Labelled(path, told[path]) for path in found]


def _names(folder: Path, found: Sequence[Path]) -> dict[str, list[Path]]:
    """Which photos may be meant by a name, with and without the folders and the ending."""
    names: dict[str, list[Path]] = {}
    for path in found:
        inside = path.relative_to(folder)
        for name in dict.fromkeys((inside.as_posix(), inside.with_suffix("").as_posix(), path.name, path.stem)):
            names.setdefault(name, []).append(path)
    return names


def _told(lines: Sequence[str], truth: str, names: Mapping[str, Sequence[Path]]) -> dict[Path, str]:
    """The class of each photo; `names` says which ones a name may mean."""
    told: dict[Path, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number} of {truth!r}"
        meant = ((_meant(name, names), label) for name, label in _readings(line, where))
        paths, label = next((one for one in meant if one[0]), ((), ""))
        if len(line.replace(",", " ").split()) < 2 or (paths and not label):
            raise ImageError(
                f"{where} is no photo and its class: {line[:40]!r} "
                "(a list of numbers alone, as in ImageNet's development kit, counts classes in an order of its own)"
            )
        for path in paths:
            if told.setdefault(path, label) != label:
                raise ImageError(f"{where} says {label[:40]!r} of {path.name}, and one before {told[path][:40]!r}")
    return told


def _readings(line: str, where: str) -> list[tuple[str, str]]:
    """(name, class) as they are parted by a comma, a tab and spaces: names and classes may hold the other signs."""
    try:
        parted = [next(csv.reader([line])), line.split("\t", 1), line.split(None, 1)]
    except csv.Error as error:
        raise ImageError(f"{where} cannot be read ({error})") from None
    return [(parts[0].strip(), _class(parts[1])) for parts in parted if len(parts) > 1]


def _class(text: str) -> str:
    """The class in a text: the synset in front of a box (n01440764 10 20 30 40), or else all words of a label."""
    words = text.split()
    return words[0] if words and words[0][0] == "n" and words[0][1:].isdecimal() else text.strip()


def _meant(name: str, names: Mapping[str, Sequence[Path]]) -> Sequence[Path]:
    """The photos that a name means, whose folders may be parted as in Windows, and may be others than here."""
    slashed = name.replace("\\", "/")
    return next((names[key] for key in (name, slashed, slashed.rpartition("/")[2]) if key in names), ())


def read_map(path: str | Path) -> dict[str, str]:
    """The classes of a CSV file: on each line a class of the data set, and what the net calls it.

    Raises:
        ImageError: It is no such file, or says two things of a class.
    """
    try:
        rows = [[part.strip() for part in row] for row in csv.reader(_lines(Path(path), "a map of classes")) if row]
    except csv.Error as error:
        raise ImageError(f"{str(path)!r} cannot be read as a map of classes ({error})") from None
    if wrong := [row for row in rows if len(row) != 2]:
        raise ImageError(f"a map of classes has two columns; {str(path)!r} has a line {','.join(wrong[0])[:40]!r}")
    found: dict[str, str] = {}
    for theirs, ours in rows:
        if found.setdefault(theirs, ours) != ours:
            raise ImageError(f"{str(path)!r} says {ours[:40]!r} of {theirs[:40]!r}, and before {found[theirs][:40]!r}")
    return found


def _lines(path: Path, what: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{str(path)!r:.300} cannot be read as {what} ({reason})") from None
