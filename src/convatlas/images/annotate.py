"""Boxes drawn onto a photo, each class in its colour, with its name on it."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ImageError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

GOLDEN = 0.6180339887
"""Steps of the golden section around the circle of hues: any few neighbours lie far apart."""


@dataclass(frozen=True)
class Marked:
    """One box to draw: left, top, right, bottom in pixels of the photo, the words on it, its class' number."""

    box: tuple[float, float, float, float]
    text: str
    number: int


def colour(number: int) -> tuple[int, int, int]:
    """The colour of a class; 21 steps come round to almost the same hue, which is darker then."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + number * GOLDEN) % 1, 0.85, 0.95 - 0.17 * (number // 21 % 4))
    return round(255 * red), round(255 * green), round(255 * blue)


def annotated(photo: NDArray[np.uint8], marks: Sequence[Marked]) -> Image.Image:
    """The photo (H, W, 3) with `marks` drawn on it, the first ones on top; lines and letters grow with the photo."""
    image = Image.fromarray(photo)
    draw = ImageDraw.Draw(image)
    line = max(2, round(min(image.size) / 200))
    font = ImageFont.load_default(max(12, round(min(image.size) / 32)))
    for mark in reversed(marks):
        draw.rectangle(mark.box, outline=colour(mark.number), width=line)
    for mark in reversed(marks):
        _label(draw, image.size, mark, font, line)
    return image


def _label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    mark: Marked,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: int,
) -> None:
    """The words on a ground of the class' colour: above the box, or inside it where there is no room."""
    left, top, right, bottom = draw.textbbox((0, 0), mark.text, font=font)
    wide, tall = right - left + 2 * line, bottom - top + 2 * line
    x = min(max(mark.box[0], 0), max(size[0] - wide, 0))
    y = mark.box[1] - tall + line
    y = min(y if y >= 0 else max(mark.box[1], 0), max(size[1] - tall, 0))
    ground = colour(mark.number)
    draw.rectangle((x, y, x + wide, y + tall), fill=ground)
    draw.text((x + line - left, y + line - top), mark.text, fill=_ink(ground), font=font)


def _ink(ground: tuple[int, int, int]) -> str:
    """Black or white, whichever is read more easily on `ground` (luminance by ITU-R BT.709)."""
    return "black" if np.dot(ground, (0.2126, 0.7152, 0.0722)) > 110 else "white"


def places(photos: Sequence[Path], output: str) -> list[Path]:
    """Where to save a picture of each photo: `output` itself if it names a picture, else PNGs in that folder.

    Raises:
        ImageError: `output` names one picture, but there are several photos.
    """
    if Path(output).suffix.lower() in FORMATS and not Path(output).is_dir():
        if len(photos) != 1:
            raise ImageError(f"{output!r} is one picture, but there are {len(photos)} photos: name a folder")
        return [Path(output)]
    found: list[Path] = []
    for photo in photos:
        stem, number = photo.stem, 1
        while (place := Path(output) / f"{stem}.png") in found:
            number += 1
            stem = f"{photo.stem}_{number}"
        found.append(place)
    return found


def save(image: Image.Image, place: Path) -> None:
    """Saves a picture whole, in the format of its name's ending.

    Raises:
        ImageError: It cannot be written there.
    """
    data = io.BytesIO()
    image.save(data, FORMATS[place.suffix.lower()])
    try:
        write_bytes(place, data.getvalue())
    except OSError as error:
        raise ImageError(f"{str(place)!r} cannot be written ({error.strerror})") from None
