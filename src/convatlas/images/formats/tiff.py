"""TIFF pages that Pillow misreads: mended where its decoders can read them, else refused by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import ImagePalette
from PIL.TiffImagePlugin import TiffImageFile

from convatlas.base.errors import ImageError

# Numbers of tags (TIFF 6.0, Adobe 1992).
SUBFILE, BITS, PHOTOMETRIC, PLANES, SUBIFDS, COLORMAP = 254, 258, 262, 284, 330, 320
TILE_WIDTH, TILE_LENGTH, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING, DNG = 322, 323, 338, 339, 530, 50706
WHITE_IS_ZERO, RGB, SEPARATED, YCBCR = 0, 2, 5, 6
SIGNED = 2
NATIVE = {"F;32": "F;32N", "I;16": "I;16N", "I;32": "I;32N"}


def prepare(image: TiffImageFile) -> None:
    """Correct what Pillow is about to decode.

    Raises:
        ImageError: It cannot be decoded rightly; the message continues "the photo".
    """
    tags: Mapping[int, Any] = image.tag_v2
    if DNG in tags or (tags.get(SUBFILE, 0) & 1 and SUBIFDS in tags) or _is_cr2(image):
        raise ImageError("is a raw photo (CR2, DNG, NEF, ARW or the like), whose first page is only a preview")
    # libtiff reserves memory for a whole tile, however small the photo is.
    if (tile := tags.get(TILE_WIDTH, 0) * tags.get(TILE_LENGTH, 0)) > 4 * image.width * image.height + (1 << 22):
        raise ImageError(f"is a TIFF with tiles of {tile:,} pixels, far larger than the photo")
    bits, photometric = tags.get(BITS, (1,)), tags.get(PHOTOMETRIC, WHITE_IS_ZERO)
    if image.use_load_libtiff:
        _use_native_order(image)
    elif photometric == YCBCR and len(bits) > 1 and tags.get(SUBSAMPLING, (2, 2)) != (1, 1):
        raise ImageError("is a TIFF with subsampled colours without compression, which is not read")
    if tags.get(PLANES, 1) == 2 and len(bits) > 1:
        _separate_planes(image, bits, photometric)
    if COLORMAP in tags and image.mode == "P" and max(tags[COLORMAP]) < 256:
        # Meant are levels of 16 bits, but some programs write 8.
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[COLORMAP]))


def check_loaded(image: TiffImageFile) -> None:
    """Refuse negative levels of 8 bits, which Pillow takes for positive ones.

    Raises:
        ImageError: There are some.
    """
    signed = image.tag_v2.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
    if image.mode == "L" and signed and np.asarray(image).max() > 127:
        raise ImageError("holds integers below 0; only 0 to 65535 can be shown")


def is_white_zero(image: TiffImageFile) -> bool:
    """Whether 0 is white, which Pillow ignores in levels of more than 8 bits."""
    return bool(image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO)


def top_level(image: TiffImageFile) -> int:
    """Largest integer level."""
    return 4095 if image.tag_v2.get(BITS) == (12,) else 65535


def _is_cr2(image: TiffImageFile) -> bool:
    file = image.fp
    assert file is not None
    position = file.tell()
    file.seek(8)
    mark = file.read(2)
    file.seek(position)
    return mark == b"CR"


def _use_native_order(image: TiffImageFile) -> None:
    """Read deep samples in this machine's byte order, as libtiff returns them whatever the order in the file."""
    (tile,) = image.tile
    args: Any = tile.args
    rawmode, *rest = args
    depth, kind = rawmode[:4], rawmode[4:].strip("BLN")
    if depth in NATIVE and rawmode != NATIVE[depth]:
        swapped = ("B" in rawmode[4:]) == (sys.byteorder == "little")
        if swapped:
            image.tile = [tile._replace(args=(NATIVE[depth] + kind, *rest))]


def _separate_planes(image: TiffImageFile, bits: tuple[int, ...], photometric: int) -> None:
    """Read planes of 16 bits as such; Pillow reads their bytes as pixels."""
    deep = max(bits) > 8
    colours = {RGB: ("RGB", "RGBA"), SEPARATED: ("CMYK",)}.get(photometric, ())
    premultiplied = 1 in image.tag_v2.get(EXTRA_SAMPLES, ())
    known = image.mode in colours and max(bits) == min(bits) and not premultiplied
    if not known or (deep and photometric == SEPARATED):
        raise ImageError(f"is a TIFF of {len(bits)} separate planes of {max(bits)} bits, a kind that is not read")
    if deep and not image.use_load_libtiff:
        order = "B" if image.tag_v2.prefix == b"MM" else "L"
        planes: list[tuple[Any, Any]] = [(tile, tile.args) for tile in image.tile]
        # Planes beyond the colours and alpha are left out.
        planes = [(tile, args) for tile, args in planes if args[0] in image.mode]
        image.tile = [tile._replace(args=(f"{args[0]};16{order}", *args[1:])) for tile, args in planes]
