"""Every kind of photo comes out as (H, W, 3) uint8 RGB with the pixels a person would expect."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from convatlas.base.errors import ImageError
from convatlas.images.decoding import FORMATS, read

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(height: int = 5, width: int = 7, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, transparent: bytes = b"") -> bytes:
    """A PNG as its standard spells it, for what Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    trns = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + trns + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(width: int, height: int, bits: int, photometric: int, strip: bytes) -> bytes:
    """A little-endian grey TIFF of one uncompressed strip."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height, 279: len(strip)}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag == 273 else 3, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + strip


def assert_pixels(got: NDArray[np.uint8], want: Any, tolerance: int = 0) -> None:
    expected = np.asarray(want)
    assert got.dtype == np.uint8
    assert got.shape == expected.shape
    assert got.flags.c_contiguous
    assert got.flags.writeable
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= tolerance


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_give_the_very_pixels(kind: str, options: dict[str, Any]) -> None:
    assert_pixels(read(encoded(Image.fromarray(noise()), kind, **options)), noise())


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "WEBP", "AVIF", "GIF"])
def test_lossy_formats_give_the_colours(kind: str) -> None:
    photo = np.zeros((32, 48, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    assert_pixels(read(encoded(Image.fromarray(photo), kind)), photo, tolerance=6)


def test_source_may_be_a_path_text_or_any_bytes(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(noise()), "PNG")
    path = tmp_path / "photo with no extension"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), memoryview(data + data)[: len(data)]):
        assert_pixels(read(source), noise())


def test_source_of_another_type_is_refused() -> None:
    with pytest.raises(ImageError, match="not int"):
        read(3)  # type: ignore[arg-type]


LETTERS = np.arange(6).reshape(2, 3)  # A B C / D E F, upright
STORED = {  # which side of the upright photo the first row and the first column of the file show
    1: [[0, 1, 2], [3, 4, 5]],  # top, left
    2: [[2, 1, 0], [5, 4, 3]],  # top, right
    3: [[5, 4, 3], [2, 1, 0]],  # bottom, right
    4: [[3, 4, 5], [0, 1, 2]],  # bottom, left
    5: [[0, 3], [1, 4], [2, 5]],  # left, top
    6: [[2, 5], [1, 4], [0, 3]],  # right, top
    7: [[5, 2], [4, 1], [3, 0]],  # right, bottom
    8: [[3, 0], [4, 1], [5, 2]],  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Blocks of 16 pixels survive the lossy formats.
    stored = np.kron(np.array(STORED[orientation]), np.ones((16, 16), int)) * 40
    photo = Image.fromarray(stored.astype(np.uint8)).convert("RGB")
    data = encoded(photo, kind, exif=exif)
    upright = np.kron(LETTERS, np.ones((16, 16), int))[:, :, None].repeat(3, axis=2) * 40
    assert_pixels(read(data), upright, tolerance=4)
    with Image.open(io.BytesIO(data)) as image:
        assert_pixels(read(image), upright, tolerance=4)
        assert_pixels(read(image), upright, tolerance=4)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_out_of_range_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_pixels(read(encoded(Image.fromarray(noise()), "PNG", exif=exif)), noise())


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    pixels = noise(channels=4)
    pixels[0, :, 3], pixels[1, :, 3] = 0, 255
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    alpha = pixels[:, :, 3:].astype(float) / 255
    over_white = pixels[:, :, :3] * alpha + 255 * (1 - alpha)
    photo = read(encoded(Image.fromarray(pixels), kind, **options))
    assert_pixels(photo, np.rint(over_white), tolerance=1)
    assert (photo[0] == 255).all()
    assert (photo[1] == pixels[1, :, :3]).all()


def test_grey_with_alpha() -> None:
    pixels = np.array([[[10, 255], [10, 0], [0, 128]]], np.uint8)
    photo = read(encoded(Image.fromarray(pixels, "LA"), "PNG"))
    assert_pixels(photo, [[[10] * 3, [255] * 3, [127] * 3]], tolerance=1)


def palette(*indices: int) -> Image.Image:
    image = Image.new("P", (len(indices), 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata(indices)
    return image


def test_palette() -> None:
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert_pixels(read(encoded(palette(0, 1, 2), kind)), [[RED, GREEN, BLUE]])


def test_palette_with_a_transparent_colour() -> None:
    for kind in ("PNG", "GIF"):
        assert_pixels(read(encoded(palette(0, 1, 2), kind, transparency=1)), [[RED, WHITE, BLUE]])


def test_palette_with_an_alpha_for_each_colour() -> None:
    photo = read(encoded(palette(0, 1, 2), "PNG", transparency=bytes([255, 0, 51])))
    assert_pixels(photo, [[RED, WHITE, (204, 204, 255)]], tolerance=1)


def test_transparent_colour_without_a_palette() -> None:
    rgb = Image.fromarray(np.array([[RED, GREEN]], np.uint8))
    assert_pixels(read(encoded(rgb, "PNG", transparency=GREEN)), [[RED, WHITE]])
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    assert_pixels(read(encoded(grey, "PNG", transparency=8)), [[[7] * 3, WHITE]])


def test_transparent_colour_in_the_depth_of_the_file() -> None:
    two, four = bytes([0, 0b00_01_10_00]), bytes([0, 0x5F])
    assert_pixels(read(png(3, 1, 2, 0, two, transparent=b"\0\1")), [[[0] * 3, WHITE, [170] * 3]])
    assert_pixels(read(png(2, 1, 4, 0, four, transparent=b"\0\5")), [[WHITE, WHITE]])
    sixteen = b"\0" + struct.pack(">3H", 0x100, 0x200, 0xFFFF)
    assert_pixels(read(png(3, 1, 16, 0, sixteen, transparent=b"\1\0")), [[WHITE, [2] * 3, WHITE]])
    rgb = b"\0" + struct.pack(">6H", 1000, 2000, 3000, 65535, 0, 0)
    assert_pixels(read(png(2, 1, 16, 2, rgb, transparent=struct.pack(">3H", 1000, 2000, 3000))), [[WHITE, RED]])


def test_one_bit_and_grey() -> None:
    assert_pixels(read(encoded(Image.fromarray(np.array([[False, True]])), "PNG")), [[[0] * 3, WHITE]])
    assert_pixels(read(encoded(Image.fromarray(np.array([[3, 200]], np.uint8)), "PNG")), [[[3] * 3, [200] * 3]])


DEEP = np.array([[0, 257, 300, 32768, 65535]], np.uint16)
SCALED = np.array([0, 1, 1, 128, 255])[None, :, None].repeat(3, axis=2)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled(kind: str) -> None:
    assert_pixels(read(encoded(Image.fromarray(DEEP), kind)), SCALED)


def test_integers_of_a_pil_image_are_scaled() -> None:
    assert_pixels(read(Image.fromarray(DEEP.astype(np.int32))), SCALED)
    assert_pixels(read(Image.frombytes("I;16B", (5, 1), DEEP.astype(">u2").tobytes())), SCALED)


def test_sixteen_bit_rgb() -> None:
    rows = b"\0" + struct.pack(">6H", 0xFFFF, 0x8000, 0, 0x1234, 0x5678, 0x9ABC)
    assert_pixels(read(png(2, 1, 16, 2, rows)), [[[255, 128, 0], [0x12, 0x56, 0x9A]]], tolerance=1)


def test_twelve_bit_tiff() -> None:
    assert_pixels(read(tiff(2, 1, 12, 1, bytes([0xFF, 0xF8, 0x00]))), [[WHITE, [128] * 3]], tolerance=1)


def test_tiff_whose_zero_is_white() -> None:
    for bits, strip in ((8, bytes([0, 255])), (16, bytes([0, 0, 255, 255]))):
        assert_pixels(read(tiff(2, 1, bits, 0, strip)), [[WHITE, [0] * 3]])


def test_integers_beyond_sixteen_bits_are_refused() -> None:
    for value in (-1, 65536):
        with pytest.raises(ImageError, match="0 to 65535"):
            read(encoded(Image.fromarray(np.array([[0, value]], np.int32)), "TIFF"))


def test_floats() -> None:
    unit = Image.fromarray(np.array([[0, 0.5, 1]], np.float32))
    assert_pixels(read(encoded(unit, "TIFF")), [[[0] * 3, [128] * 3, [255] * 3]])
    bytewise = Image.fromarray(np.array([[0, 0.6, 254.7]], np.float32))
    assert_pixels(read(encoded(bytewise, "TIFF")), [[[0] * 3, [1] * 3, [255] * 3]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 256])
def test_floats_that_cannot_be_shown_are_refused(value: float) -> None:
    with pytest.raises(ImageError, match="floats"):
        read(encoded(Image.fromarray(np.array([[0, value]], np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    photo = read(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind))
    assert_pixels(photo, np.zeros((16, 16, 3), int) + RED, tolerance=3)


def test_other_colour_spaces() -> None:
    red = Image.new("RGB", (4, 4), RED)
    for mode in ("YCbCr", "HSV", "LAB", "RGBX", "RGBA"):
        assert_pixels(read(red.convert(mode)), np.zeros((4, 4, 3), int) + RED, tolerance=6)
    assert_pixels(read(encoded(red.convert("LAB"), "TIFF")), np.zeros((4, 4, 3), int) + RED, tolerance=6)


def test_a_colour_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    assert_pixels(read(encoded(Image.fromarray(noise()), "PNG", icc_profile=profile)), noise())


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first(kind: str) -> None:
    first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    data = encoded(first, kind, save_all=True, append_images=[second])
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert_pixels(read(data), np.zeros((16, 16, 3), int) + RED, tolerance=3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20_000), (20_000, 1)])
def test_extreme_shapes(height: int, width: int) -> None:
    photo = noise(height, width)
    assert_pixels(read(encoded(Image.fromarray(photo), "PNG")), photo)


def test_arrays() -> None:
    pixels = noise()
    assert_pixels(read(pixels), pixels)
    assert_pixels(read(pixels[:, :, 0]), pixels[:, :, :1].repeat(3, axis=2))
    assert_pixels(read(pixels[:, :, :1]), pixels[:, :, :1].repeat(3, axis=2))
    assert_pixels(read(pixels[::-1, ::-1]), pixels[::-1, ::-1])
    for dtype in (np.float16, np.float32, np.float64):
        assert_pixels(read((pixels / 255).astype(dtype)), pixels, tolerance=int(dtype is np.float16))
    rgba = np.array([[[*RED, 255], [*RED, 0]]], np.uint8)
    assert_pixels(read(rgba), [[RED, WHITE]])
    assert_pixels(read(rgba / 255), [[RED, WHITE]])


def test_the_result_is_not_the_source() -> None:
    pixels = noise()
    for source in (pixels, Image.fromarray(pixels)):
        read(source)[:] = 0
        assert (read(source) == noise()).all()


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((3, 8, 8), np.uint8), "shape"),
        (np.zeros((8, 8, 2), np.uint8), "shape"),
        (np.zeros(8, np.uint8), "shape"),
        (np.zeros((1, 8, 8, 3), np.uint8), "shape"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
        (np.zeros((8, 8, 3), np.int64), "int64"),
        (np.zeros((8, 8, 3), bool), "bool"),
        (np.full((8, 8, 3), "x", object), "object"),
        (np.full((8, 8, 3), 1.01), "0..1"),
        (np.full((8, 8, 3), -0.01), "0..1"),
        (np.full((8, 8, 3), np.nan), "0..1"),
    ],
)
def test_arrays_that_are_no_photos(array: NDArray[Any], why: str) -> None:
    with pytest.raises(ImageError, match=f"the array .*{why}"):
        read(array)


def test_nothing_outside_the_list_of_formats() -> None:
    for kind in ("EPS", "TGA", "ICO", "PCX", "JPEG2000"):
        assert kind not in FORMATS
    for kind in ("EPS", "TGA", "ICO", "PCX", "JPEG2000"):
        with pytest.raises(ImageError, match=r"is .*; the formats are JPEG, PNG"):
            read(encoded(Image.new("RGB", (16, 16), RED), kind))
