"""List labelled photos, from a folder for each class, or from one folder and a file of labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.base.files.csv_file import read_rows, read_table_text, split_line
from convatlas.base.files.local import local_path
from convatlas.images.folders import list_photos, photos_below


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and the name of its class, as the data set spells it: a synset, a label, or a number."""

    path: Path
    label: str


def list_labelled(data: str | Path, truth: str | Path | None = None) -> tuple[list[LabelledPhoto], list[Path]]:
    """List the labelled photos of a data set in a fixed order; also return its class folders without photos.

    Args:
        data: A folder with a folder for each class (named by synset, as ImageNet, by number, as ImageNet-V2, or by
            label) or, with `truth`, a folder of photos.
        truth: A file with a line for each photo: its name (with or without its folders and its extension), a comma, a
            semicolon, a tab or spaces, its class. A class after a comma ends at the next comma unless it is quoted (so
            with a semicolon); after a tab or spaces it is the rest of the line. A class that begins with a synset is
            that synset. Lines that name no photo of the folder are skipped.

    Raises:
        ImageError: Folder or file is missing, the folder holds no photo, or a photo has no label or two labels.
    """
    for path in (data,) if truth is None else (data, truth):
        if not isinstance(path, str | os.PathLike):
            raise ImageError(f"photos and their labels are given as paths of a folder and a file; got {path!r:.100}")
    folder = local_path(data, ImageError)
    # `Path.is_dir` would raise the system's error, for example for a name that is too long.
    if not os.path.isdir(data):
        raise ImageError(f"folder {str(data)!r:.300} does not exist")
    return _by_folder(folder) if truth is None else (_by_file(folder, local_path(truth, ImageError)), [])


def _by_folder(folder: Path) -> tuple[list[LabelledPhoto], list[Path]]:
    try:
        classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise ImageError(f"{str(folder)!r} cannot be listed ({error.strerror})") from None
    if not classes:
        raise ImageError(f"{str(folder)!r} holds no folders of classes; for photos in one folder name a file of labels")
    inside = {path: photos_below(path) for path in classes}
    if not any(inside.values()):
        raise ImageError(f"none of the {len(classes)} folders of classes in {str(folder)!r} holds a photo")
    files = [LabelledPhoto(photo, path.name) for path in classes for photo in inside[path]]
    return files, [path for path in classes if not inside[path]]


def _by_file(folder: Path, truth: Path) -> list[LabelledPhoto]:
    lines, paths = read_table_text(truth, "a file of labels").splitlines(), list_photos([folder])
    labels = _labels(lines, str(truth), _names(folder, paths))
    if unlabelled := [path for path in paths if path not in labels]:
        raise ImageError(f"{str(truth)!r} has no label for {len(unlabelled)} photos, the first is {unlabelled[0].name}")
    return [LabelledPhoto(path, labels[path]) for path in paths]


def _names(folder: Path, paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Index the photos by each name that may refer to them: with and without folders and extension."""
    names: dict[str, list[Path]] = {}
    for path in paths:
        inside = path.relative_to(folder)
        for name in dict.fromkeys((inside.as_posix(), inside.with_suffix("").as_posix(), path.name, path.stem)):
            names.setdefault(name, []).append(path)
    return names


def _labels(lines: Sequence[str], truth: str, names: Mapping[str, Sequence[Path]]) -> dict[Path, str]:
    """Read the label of each photo; `names` maps a name to the photos that it may refer to."""
    labels: dict[Path, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number} of {truth!r}"
        candidates = ((_find_photos(name, names), label) for name, label in _split_line(line, where))
        paths, label = next((candidate for candidate in candidates if candidate[0]), ((), ""))
        if len(line.replace(",", " ").replace(";", " ").split()) < 2 or (paths and not label):
            raise ImageError(
                f"{where} is not a photo and its class: {line[:40]!r} "
                "(the bare list of numbers in ImageNet's development kit uses another order of classes)"
            )
        for path in paths:
            if labels.setdefault(path, label) != label:
                raise ImageError(f"{where} says {label[:40]!r} of {path.name}, an earlier line {labels[path][:40]!r}")
    return labels


def _split_line(line: str, where: str) -> list[tuple[str, str]]:
    """Split a line into (name, class) at each separator: several candidates, as both may hold separators."""
    try:
        splits = [split_line(line, ","), split_line(line, ";"), line.split("\t", 1), line.split(None, 1)]
    except ImageError as error:
        raise ImageError(f"{where} cannot be read ({error})") from None
    return [(parts[0].strip(), class_of(parts[1])) for parts in splits if len(parts) > 1]


def class_of(text: str) -> str:
    """Return the class in a text: only the synset if the text starts with one ("n01440764 10 20 30 40"), else all."""
    words = text.split()
    return words[0] if words and words[0][0] == "n" and words[0][1:].isdecimal() else text.strip()


def _find_photos(name: str, names: Mapping[str, Sequence[Path]]) -> Sequence[Path]:
    """Return the photos that a name refers to; its folders may be separated by backslashes, or differ from ours."""
    slashed = name.replace("\\", "/")
    return next((names[key] for key in (name, slashed, slashed.rpartition("/")[2]) if key in names), ())


def read_map(path: str | Path) -> dict[str, str]:
    """Read a map of classes: a CSV file with a class of the data set and the net's name for it on each line.

    Raises:
        ImageError: The file cannot be read, is not such a map, or maps a class to two names.
    """
    text, place = read_table_text(path, "a map of classes"), f"{str(path)!r:.300}"
    names: dict[str, str] = {}
    for line, row in read_rows(text, place, lambda row: len(row) == 2):
        if len(row) != 2:
            raise ImageError(
                f"a map of classes has two columns; line {line} of {place} has {len(row)}: {','.join(row)[:40]!r}"
            )
        label, name = row
        if names.setdefault(label, name) != name:
            raise ImageError(f"{place} maps {label[:40]!r} to both {names[label][:40]!r} and {name[:40]!r}")
    return names
