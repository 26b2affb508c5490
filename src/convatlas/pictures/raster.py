"""Render SVG as PNG, with resvg and the bundled DejaVu Sans: the same bytes on every machine."""

from __future__ import annotations

from pathlib import Path

from convatlas.base.errors import ConvAtlasError

MAX_PIXELS = 120_000_000
"""Pixels of the largest PNG that is written."""

FONTS = tuple(Path(__file__).parent / "fonts" / name for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"))


def svg_to_png(svg: str, width: float, height: float, scale: float) -> bytes:
    """Render an SVG of `width` x `height` as a PNG file of `scale` pixels for each of its own.

    Raises:
        ConvAtlasError: The PNG would have no pixel, or more than `MAX_PIXELS`.
    """
    if not scale > 0 or width * height * scale * scale > MAX_PIXELS:
        raise ConvAtlasError(
            f"a PNG has 1 to {MAX_PIXELS:,} pixels; a picture of {width:.0f} x {height:.0f} at a scale of {scale:g} "
            "is beyond that: write an SVG"
        )
    import resvg_py

    return resvg_py.svg_to_bytes(
        svg_string=svg, zoom=scale, skip_system_fonts=True, font_files=[str(path) for path in FONTS]
    )
