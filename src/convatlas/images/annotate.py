"""Draw labelled boxes on photos, in a colour for each class, and save the pictures."""

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
"""Step of the hue from one class to the next, by the golden ratio, so that neighbouring classes differ clearly."""


@dataclass(frozen=True)
class LabelledBox:
    """A box to draw.

    Attributes:
        box: Left, top, right and bottom in pixels of the photo.
        text: The label.
        index: Index of the class, which selects the colour.
    """

    box: tuple[float, float, float, float]
    text: str
    index: int


def colour(index: int) -> tuple[int, int, int]:
    """RGB colour of a class; after 21 classes the hues almost repeat, in darker shades."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + index * GOLDEN) % 1, 0.85, 0.95 - 0.17 * (index // 21 % 4))
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_boxes(photo: NDArray[np.uint8], boxes: Sequence[LabelledBox]) -> Image.Image:
    """Draw boxes on a photo (H, W, 3), the first ones on top; lines and text scale with the photo."""
    image = Image.fromarray(photo)
    draw = ImageDraw.Draw(image)
    line = max(2, round(min(image.size) / 200))
    font = ImageFont.load_default(max(12, round(min(image.size) / 32)))
    for box in reversed(boxes):
        draw.rectangle(box.box, outline=colour(box.index), width=line)
    for box in reversed(boxes):
        _draw_label(draw, image.size, box, font, line)
    return image


def _draw_label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: LabelledBox,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: int,
) -> None:
    """Draw the label on a background of its class's colour: above the box, or inside it without room above."""
    x0, y0, x1, y1 = draw.textbbox((0, 0), box.text, font=font)
    width, height = x1 - x0 + 2 * line, y1 - y0 + 2 * line
    x = min(max(box.box[0], 0), max(size[0] - width, 0))
    y = box.box[1] - height + line
    y = min(y if y >= 0 else max(box.box[1], 0), max(size[1] - height, 0))
    background = colour(box.index)
    draw.rectangle((x, y, x + width, y + height), fill=background)
    draw.text((x + line - x0, y + line - y0), box.text, fill=_text_colour(background), font=font)


def _text_colour(background: tuple[int, int, int]) -> str:
    """Black or white, whichever reads more easily on `background` (luminance by ITU-R BT.709)."""
    return "black" if np.dot(background, (0.2126, 0.7152, 0.0722)) > 110 else "white"


def output_paths(photos: Sequence[Path], output: str) -> list[Path]:
    """Return the path for each photo's picture: `output` itself if it ends as a picture, else a PNG in that folder.

    Raises:
        ImageError: `output` names one picture, but there are several photos.
    """
    if Path(output).suffix.lower() in FORMATS and not Path(output).is_dir():
        if len(photos) != 1:
            raise ImageError(f"{output!r} is one picture, but there are {len(photos)} photos: name a folder")
        return [Path(output)]
    paths: list[Path] = []
    for photo in photos:
        stem, number = photo.stem, 1
        while (path := Path(output) / f"{stem}.png") in paths:
            number += 1
            stem = f"{photo.stem}_{number}"
        paths.append(path)
    return paths


def save(image: Image.Image, path: Path) -> None:
    """Save a picture atomically, in the format that its extension names.

    Raises:
        ImageError: The file cannot be written.
    """
    data = io.BytesIO()
    image.save(data, FORMATS[path.suffix.lower()])
    try:
        write_bytes(path, data.getvalue())
    except OSError as error:
        raise ImageError(f"{str(path)!r} cannot be written ({error.strerror})") from None
