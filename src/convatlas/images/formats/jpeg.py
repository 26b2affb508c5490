"""JPEG files of thousands of scans, which keep a decoder busy for minutes."""

from __future__ import annotations

from PIL.JpegImagePlugin import JpegImageFile

from convatlas.base.errors import ImageError

MAX_SCANS = 100
"""Largest number of scans, of which each goes over the whole photo; progressive files have about ten."""


def check_scans(image: JpegImageFile) -> None:
    """Refuse a photo of more than `MAX_SCANS` scans; it is not loaded.

    Raises:
        ImageError: It has more.
    """
    file = image.fp
    if not image.tile or file is None:
        return
    position = file.tell()
    # Pillow stops behind the header of the first scan; if that holds all components, a sequential file has no other.
    length = 6 + 2 * image.layers
    file.seek(max(0, position - length))
    if "progressive" in image.info or file.read(3) != bytes([0, length, image.layers]):
        file.seek(position)
        scans = 1 + _until_the_end(file.read()).count(b"\xff\xda")
        if scans > MAX_SCANS:
            raise ImageError(f"has {scans:,} scans; at most {MAX_SCANS} are read")
    file.seek(position)


def _until_the_end(data: bytes) -> bytes:
    """Data of the first of several photos in one file."""
    end = data.find(b"\xff\xd9")
    return data if end < 0 else data[:end]
