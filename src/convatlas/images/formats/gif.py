"""The area of a GIF that its first frame does not cover, which Pillow fills with the first colour of the palette."""

from __future__ import annotations

from PIL.GifImagePlugin import GifImageFile


def frame(image: GifImageFile) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of a first frame that does not cover the screen, before it is loaded."""
    box = image.tile[0].extents if image.tile else None
    return None if box is None or box == (0, 0, *image.size) else box
