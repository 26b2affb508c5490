"""Decode a photo from a file, bytes, an array or a PIL image to RGB pixels."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from convatlas.base.errors import ImageError, printable
from convatlas.images.formats import bmp, gif, jpeg, png, tiff
from convatlas.images.formats.budget import BYTES, MEMORY, MeteredBytes, MeteredFile
from convatlas.images.formats.kinds import HEAD, format_of, kind_of
from convatlas.images.pillow_warnings import QUIET

MAX_PIXELS = 2**27
"""The largest photo that is read, in pixels: 400 MB as RGB."""

# JPEG opens MPO too. Formats that Pillow reads by running other programs (EPS, WMF) must never be added.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")

Data = bytes | bytearray | memoryview | NDArray[Any] | Image.Image
"""A photo in memory: the bytes of its file, or its pixels."""

Source = str | Path | Data
Pixels = NDArray[np.uint8]


def read(source: Source) -> Pixels:
    """Read one photo as a new array (H, W, 3), uint8, RGB.

    `source` is a path, the bytes of a file, an array or a PIL image. Files may be JPEG, MPO, PNG, GIF, BMP, TIFF,
    WebP, PPM or AVIF, whatever their extension; of several frames or pages only the first is read. Arrays are uint8, or
    floats in 0..1, and (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    The photo is rotated by its EXIF orientation, composited on white, and converted to RGB. Grey levels of more than
    8 bits are scaled from 0..65535 (12-bit TIFF from 0..4095), colours of 16 bits keep their higher byte; files of
    floats are scaled from 0..1 or, if their largest value exceeds 1, from 0..255. Colour profiles and gamma are not
    applied: the numbers are taken as sRGB. A BMP whose alpha is zero everywhere is opaque.

    Raises:
        ImageError: `source` cannot be read as a photo, or has more than `MAX_PIXELS` pixels.
    """
    if isinstance(source, np.ndarray):
        with _reporting("the array"):
            return _from_array(source)
    if isinstance(source, Image.Image):
        with _reporting("the PIL image"):
            return _from_image(source)
    if isinstance(source, bytes | bytearray | memoryview):
        with _reporting("the photo's data"):
            return _from_file(MeteredBytes(bytes(source)))
    if isinstance(source, str | Path):
        # repr keeps a name with a line break or undecodable bytes in it on one line that any terminal can print.
        with _reporting(repr(str(source))), _open(source) as file:
            return _from_file(file)
    raise ImageError(f"a photo is a path, bytes, an array or a PIL image, not {type(source).__name__}")


@contextmanager
def _reporting(name: str) -> Iterator[None]:
    """Turn every failure into an ImageError of one line that begins with `name`."""
    try:
        with QUIET:
            yield
    except ImageError as error:
        raise ImageError(f"{name} {error}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:
        # Damaged files make Pillow raise nearly anything: struct.error, KeyError, SyntaxError, MemoryError, ...
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImageError(f"{name} cannot be decoded ({reason})") from error


def _open(path: str | Path) -> MeteredFile:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError("is a folder, not a photo")
        if not stat.S_ISREG(mode):
            # Opening a pipe or a device may wait, or yield data, without end.
            raise ImageError("is not an ordinary file")
        return MeteredFile(path)
    except FileNotFoundError as error:
        raise ImageError("does not exist") from error
    except OSError as error:
        raise ImageError(f"cannot be opened ({error.strerror})") from error


def _from_file(file: MeteredFile | MeteredBytes) -> Pixels:
    if not file.read(1):
        raise ImageError("is empty")
    file.seek(0)
    try:
        image = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        raise _unread(file) from None
    file.meter.opened(image.width * image.height)
    return _from_image(image)


def _unread(file: IO[bytes]) -> ImageError:
    """Error for a file that Pillow does not open, which says what it is."""
    file.seek(0)
    head = file.read(HEAD)
    if (name := format_of(head)) in _formats():
        file.seek(0)
        try:
            Image.OPEN[name][0](file, "")
            reason = "no photo in it"
        except Exception as error:  # damaged headers make Pillow raise nearly anything
            reason = printable(error) or type(error).__name__
        return ImageError(f"is a damaged {name} file, or one of a kind that is not read ({reason})")
    kind = kind_of(head) or "not an image in a known format"
    return ImageError(f"is {kind}; the formats are {', '.join(FORMATS)}")


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that the installed Pillow can read (AVIF since 11.3)."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _from_image(image: Image.Image) -> Pixels:
    _check_size(*image.size)
    with MEMORY.reserve(image.width * image.height * BYTES):
        return _decoded(image)


def _decoded(image: Image.Image) -> Pixels:
    transparent, box = None, None
    if isinstance(image, TiffImageFile) and image.tile:
        tiff.prepare(image)
    elif isinstance(image, PngImageFile):
        transparent = png.transparent_pixels(image)
        png.scale_transparent_grey(image)
    elif isinstance(image, BmpImageFile):
        bmp.mend_palette(image)
    elif isinstance(image, GifImageFile):
        box = gif.frame(image)
    elif isinstance(image, JpegImageFile):
        jpeg.check_scans(image)
    file = image.fp if isinstance(image, PngImageFile) and image.tile else None
    image.load()
    if isinstance(image, PngImageFile):
        png.check_rows(image, file)
    pixels = _rgb(bmp.without_empty_alpha(image) if isinstance(image, BmpImageFile) else image)
    if transparent is not None:
        pixels[transparent] = 255
    if box is not None:
        pixels = _inside(pixels, *box)
    return _upright(pixels, _orientation(image))


def _inside(pixels: Pixels, left: int, top: int, right: int, bottom: int) -> Pixels:
    """Return the pixels with white around a box."""
    framed = np.full_like(pixels, 255)
    framed[top:bottom, left:right] = pixels[top:bottom, left:right]
    return framed


def _check_size(width: int, height: int) -> None:
    if width * height == 0:
        raise ImageError(f"has no pixels ({width} x {height})")
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are read")


def _rgb(image: Image.Image) -> Pixels:
    if isinstance(image, TiffImageFile):
        tiff.check_loaded(image)
    if image.mode == "F":
        levels = _from_floats(np.asarray(image))
        return _repeat(255 - levels if _is_white_zero(image) else levels)
    if image.mode.startswith("I"):
        return _repeat(_from_integers(image))
    if image.has_transparency_data:
        # Premultiplied grey is converted in two steps only.
        return _on_white((image.convert("LA") if image.mode == "La" else image).convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _repeat(grey: Pixels) -> Pixels:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _on_white(image: Image.Image) -> Pixels:
    """Composite an RGBA image on white."""
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return np.array(white)


def _is_white_zero(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and tiff.is_white_zero(image)


def _from_floats(values: NDArray[Any]) -> Pixels:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255):
        raise ImageError(f"holds floats from {low:g} to {high:g}; only 0 to 1, or 0 to 255, can be shown")
    levels: Pixels = np.rint(values * 255 if high <= 1 else values).astype(np.uint8)
    return levels


def _from_integers(image: Image.Image) -> Pixels:
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(f"holds integers from {low} to {high}; only 0 to 65535 can be shown")
    top = tiff.top_level(image) if isinstance(image, TiffImageFile) else 65535
    levels = (values.astype(np.uint32) * 255 + top // 2) // top
    if _is_white_zero(image):
        levels = 255 - levels
    if "transparency" in image.info:
        levels[values == image.info["transparency"]] = 255
    return levels.astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; valid after loading only, since Pillow rotates TIFF pages itself."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # a photo that decodes is not refused for a damaged EXIF block
        return 1
    return value if value in range(1, 9) else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Rotate and mirror by one of the eight cases of the EXIF standard (CIPA DC-008, tag Orientation)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _from_array(array: NDArray[Any]) -> Pixels:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        raise ImageError(f"has the shape {array.shape}; a photo has (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    _check_size(array.shape[1], array.shape[0])
    if np.issubdtype(array.dtype, np.floating):
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):
            raise ImageError(f"holds floats from {low:g} to {high:g}; they must lie in 0..1")
        array = np.rint(array * 255)
    elif array.dtype != np.uint8:
        raise ImageError(f"is of dtype {array.dtype}; a photo is uint8, or floats in 0..1")
    pixels: Pixels = np.array(array, dtype=np.uint8)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return _repeat(pixels.reshape(pixels.shape[:2]))
    return _on_white(Image.fromarray(pixels)) if pixels.shape[2] == 4 else pixels
