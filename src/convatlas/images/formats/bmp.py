"""BMP files that Pillow misreads: grey palettes of deeper files, and an alpha channel that nobody filled."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImagePalette
from PIL.BmpImagePlugin import BmpImageFile


def mend_palette(image: BmpImageFile) -> None:
    """Restore the palette that Pillow drops where it is grey, though pixels have another depth than it then assumes.

    It takes two colours, black and white, for one bit a pixel, and any grey palette for 8, whatever the file says.
    """
    if not image.tile or image.tile[0].codec_name != "raw" or image.mode not in ("1", "L"):
        return
    file = image.fp
    assert file is not None
    position = file.tell()
    file.seek(14)
    header = file.read(16)
    file.seek(position)
    at = 10 if header[:4] == b"\x0c\0\0\0" else 14
    bits = int.from_bytes(header[at : at + 2], "little")
    if bits not in (4, 8) or (bits, image.mode) == (8, "L"):
        return
    levels = (0, 255) if image.mode == "1" else range(16)
    args: Any = image.tile[0].args
    image.tile = [image.tile[0]._replace(args=({4: "P;4", 8: "P"}[bits], *args[1:]))]
    image._mode = "P"
    image.palette = ImagePalette.raw("RGB", bytes(level for level in levels for _ in range(3)))


def without_empty_alpha(image: Image.Image) -> Image.Image:
    """Return a loaded BMP as RGB if its alpha is zero everywhere, as programs leave it that know no alpha."""
    if image.mode == "RGBA" and not image.getchannel("A").getbbox():
        return image.convert("RGB")
    return image
