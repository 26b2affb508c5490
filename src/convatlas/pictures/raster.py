"""Pictures as PNG: the SVG itself, drawn by resvg in the DejaVu Sans that matplotlib carries."""

from __future__ import annotations

from pathlib import Path

from convatlas.base.errors import ConvAtlasError
from convatlas.pictures.shapes import Picture

MOST = 120_000_000
"""Pixels of the largest PNG that is written."""


def rendered(picture: Picture, scale: float) -> bytes:
    """The bytes of a PNG file.

    Raises:
        ConvAtlasError: It would have more than `MOST` pixels.
    """
    if not scale > 0 or picture.width * picture.height * scale * scale > MOST:
        raise ConvAtlasError(
            f"a picture of {picture.width:.0f} x {picture.height:.0f} at a scale of {scale:g} is no PNG of 1 to "
            f"{MOST:,} pixels: write an SVG"
        )
    import matplotlib
    import resvg_py

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return resvg_py.svg_to_bytes(
        svg_string=picture.svg(),
        zoom=scale,
        skip_system_fonts=True,
        font_files=[str(fonts / name) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")],
    )
