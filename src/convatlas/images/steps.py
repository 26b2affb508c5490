"""Say in plain words, with all arithmetic and rounding, how photos are preprocessed, for readers without this package.

`examples/prepare_photos_yourself.py` does the same in Pillow and NumPy.
"""

from __future__ import annotations

from convatlas.images.darknet import DarknetPreprocessing
from convatlas.images.preprocessing import CONTRAST, WHOLE, Preprocessing

DECODE = (
    "Decode the photo to H x W pixels of RGB, 8 bits each: turned upright by its EXIF orientation, a grey level v of "
    "16 bits as (255 v + 32767) // 65535, transparent parts over white, which is Pillow's Image.paste."
)

INVERT = (
    "If that photo is dark on light, replace each value v of the photo before resizing by 255 - v, and resize that. It "
    "is if twice the median of the grey levels (19595 R + 38470 G + 7471 B + 32768) // 65536 of its first and last row "
    "and first and last column together, the corners counted twice, exceeds its least level plus its greatest."
)

GROUND = (
    "Turn the resized photo grey, by the same formula. Let p be the median of that border, rounded down, and m the "
    f"greatest level of the photo. If p > 0, replace each level v by 0 if m - p < {CONTRAST}, else by "
    "(255 * max(v - p, 0) + (m - p) // 2) // (m - p)."
)


def steps(preprocessing: Preprocessing | DarknetPreprocessing) -> tuple[str, ...]:
    """Sentences that say one after the other what is done to a photo; // rounds down, int() toward 0."""
    if isinstance(preprocessing, DarknetPreprocessing):
        return (DECODE, *_darknet(preprocessing))
    return (DECODE, *_geometry(preprocessing), *_numbers(preprocessing))


def _geometry(preprocessing: Preprocessing) -> tuple[str, ...]:
    (h, w), resize = preprocessing.size, preprocessing.resize
    filter = f"Pillow's Image.resize and the filter {preprocessing.interpolation.upper()}, which rounds to 8 bits"
    inverted = () if preprocessing.polarity == "as is" else (INVERT, GROUND)
    if preprocessing.geometry == "crop_resize":
        return (
            f"Keep a square of s = max(1, {h} * min(H, W) // {h + resize}) pixels a side, from row (H - s + 1) // 2 "
            "and column (W - s + 1) // 2 on, counted from 0.",
            f"Resize it to {h} x {w} with {filter}; if it has that size, leave it.",
            *inverted,
        )
    crop = (
        f"Of the resized photo of h x w pixels take {h} rows from round((h - {h}) / 2) on, and {w} columns from "
        f"round((w - {w}) / 2) on; halves are rounded to the even number, and what lies outside is black.",
    )
    if preprocessing.geometry == "squash":
        resized = f"Resize the whole photo to {resize} x {resize}, whatever its aspect ratio, with {filter}."
        return (resized, *inverted) if (h, w) == (resize, resize) else (resized, *inverted, *crop)
    longest = preprocessing.longest
    return (
        f"Let s = min(H, W). If {resize} * int({resize} * max(H, W) / s) > {WHOLE}, keep of a side longer than "
        f"{longest} * s only the central {longest} * s pixels, from (side - {longest} * s) // 2 on; H and W are the "
        "sides that are left.",
        f"Resize it to int({resize} * H / s) rows and int({resize} * W / s) columns, where / is the division of "
        f"double-precision numbers, with {filter}; if it has that size, leave it.",
        *inverted,
        *crop,
    )


def _numbers(preprocessing: Preprocessing) -> tuple[str, ...]:
    h, w = preprocessing.size
    grey = "Turn it grey: (19595 R + 38470 G + 7471 B + 32768) // 65536, which is Pillow's convert('L')."
    order = "blue, green, red" if preprocessing.order == "bgr" else "red, green, blue"
    several = preprocessing.channels > 1
    return (
        *(() if several else (grey,)),
        f"In float32, divide by {preprocessing.scale!r}, subtract the mean {list(preprocessing.mean)}, and divide by "
        f"the deviation {list(preprocessing.std)}"
        + (f" of each channel; the channels are in the order {order}." if several else "."),
        f"Put the channels first: ({preprocessing.channels}, {h}, {w}).",
    )


def _darknet(preprocessing: DarknetPreprocessing) -> tuple[str, ...]:
    h, w = preprocessing.size
    geometry: tuple[str, ...]
    if preprocessing.kind == "stretch":
        geometry = (f"Resize the whole photo to h x w = {h} x {w} pixels, whatever its aspect ratio.",)
    elif preprocessing.kind == "letterbox":
        geometry = (
            f"Resize the photo to h x w pixels: if {w} * H < {h} * W, h = max(1, H * {w} // W) and w = {w}; else h = "
            f"{h} and w = max(1, W * {h} // H).",
            f"Place it in {h} x {w} pixels of grey (0.5 at the end), at row ({h} - h) // 2 and column ({w} - w) // 2.",
        )
    else:
        geometry = (
            f"Resize the photo to h x w pixels: if {w} * H < {h} * W, h = {h} and w = max(1, W * {h} // H); else h = "
            f"max(1, H * {w} // W) and w = {w}.",
            f"Keep {h} rows from (h - {h}) // 2 on, and {w} columns from (w - {w}) // 2 on.",
        )
    return (
        *geometry,
        "Resizing is linear between the two nearest pixels, without a filter: row i of the resized photo is at row r = "
        "i * ((H - 1) / max(h - 1, 1)) of the photo, between the rows int(r) and min(int(r) + 1, H - 1), and columns "
        "likewise. In float32, a + (b - a) * (r - int(r)), first along the columns, then along the rows.",
        "Divide by 255.",
        f"Put the channels, red, green and blue, first: (3, {h}, {w}).",
    )
