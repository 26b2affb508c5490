"""Files stay, folders are searched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from convatlas.base.errors import ImageError
from convatlas.images.decoding import FORMATS
from convatlas.images.folders import EXTENSIONS, list_photos


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_stay_in_their_order(tmp_path: Path) -> None:
    touch(tmp_path / "b.jpg", tmp_path / "a.xyz")
    paths = [tmp_path / "b.jpg", tmp_path / "a.xyz", tmp_path / "missing.png", tmp_path / "b.jpg"]
    assert list_photos(paths) == paths
    assert list_photos(map(str, paths)) == paths


def test_folders_are_walked_sorted(tmp_path: Path) -> None:
    wanted = [tmp_path / name for name in ("a.JPG", "b/a/x.tiff", "b/c.png", "d.WebP", "e/f.gif")]
    touch(*reversed(wanted))
    touch(tmp_path / "notes.txt", tmp_path / ".hidden.jpg", tmp_path / ".git/x.jpg", tmp_path / "b/.c/x.jpg")
    assert list_photos([tmp_path]) == wanted
    assert list_photos([tmp_path / "e", tmp_path / "b"]) == [wanted[4], *wanted[1:3]]


def test_linked_folders_are_not_followed(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    os.symlink(tmp_path, tmp_path / "loop", target_is_directory=True)
    assert list_photos([tmp_path]) == [tmp_path / "a.jpg"]
    assert list_photos([tmp_path / "loop"]) == [tmp_path / "loop" / "a.jpg"]


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(ImageError, match=r"holds no photo.*\.jpg") as error:
        list_photos([tmp_path])
    assert str(tmp_path) in str(error.value)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ImageError, match="Permission denied"):
        list_photos([tmp_path])


def test_every_extension_is_of_a_format_that_is_read() -> None:
    known = Image.registered_extensions()
    assert {known[extension] for extension in EXTENSIONS} == {*FORMATS, "MPO"}
