"""A finished picture, which can be saved as SVG or PNG."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.brief import Brief
from convatlas.pictures.raster import svg_to_png
from convatlas.pictures.shapes import Shape
from convatlas.pictures.svg import svg_document

FINE_PIXELS = 8_000_000
"""Largest number of pixels of a PNG whose scale is not given."""


@dataclass(frozen=True)
class Picture(Brief):
    """A finished drawing or chart.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        shapes: The shapes, from back to front.
        title: What the picture shows, in one line; screen readers read it.
        description: The content in words.
    """

    width: float
    height: float
    shapes: tuple[Shape, ...] = field(repr=False)
    title: str
    description: str = field(default="", repr=False)

    def svg(self) -> str:
        """Return the picture as one SVG element."""
        return svg_document(self.shapes, self.width, self.height, self.title, self.description)

    def png(self, scale: float | None = None) -> bytes:
        """Return a PNG file of `scale` pixels for each pixel of the picture; by default 2, less for a large picture.

        Raises:
            ConvAtlasError: The PNG would be too large.
        """
        if scale is None:
            scale = max(1.0, min(2.0, (FINE_PIXELS / (self.width * self.height)) ** 0.5))
        return svg_to_png(self.svg(), self.width, self.height, scale)

    def save(self, path: str | Path) -> Path:
        """Write the picture to a .svg or .png file and return its path.

        Raises:
            ConvAtlasError: The name ends in neither, there is no such folder, or the file cannot be written.
        """
        path = check_output(path)
        data = self.svg().encode() if path.suffix.lower() == ".svg" else self.png()
        try:
            write_bytes(path, data)
        except OSError as error:
            raise ConvAtlasError(f"the picture cannot be written to {path}: {error.strerror or error}") from None
        return path

    def _repr_svg_(self) -> str:
        return self.svg()


def check_picture(path: str | Path) -> Path:
    """Return the path of a picture to be saved.

    Raises:
        ConvAtlasError: The name ends in neither .svg nor .png.
    """
    path = Path(path)
    if path.suffix.lower() not in (".svg", ".png"):
        raise ConvAtlasError(f"a picture is written to a .svg or .png file; got {path.name!r}")
    return path


def check_output(path: str | Path) -> Path:
    """Return the path of a picture to be written; its folder has to exist, so that a misspelt one is not made.

    Raises:
        ConvAtlasError: The name ends in neither .svg nor .png, or there is no such folder.
    """
    path = check_picture(path)
    if not path.parent.is_dir():
        raise ConvAtlasError(f"the picture cannot be written to {path}: there is no folder {path.parent}")
    return path
