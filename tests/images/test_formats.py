"""Photos whose files Pillow misreads come out right or are refused, and what is no photo is named as what it is."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from convatlas.base.errors import ImageError
from convatlas.images.decoding import read
from convatlas.images.folders import list_photos

H, W = 20, 30
RANDOM = np.random.default_rng(0)
WHITE = [255, 255, 255]


def levels(dtype: type, *shape: int) -> NDArray[Any]:
    return RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def tiff(array: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as error:
        read(data)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def assert_pixels(data: bytes, want: Any, tolerance: int = 0) -> None:
    want = np.asarray(want)
    want = want if want.ndim == 3 else want[:, :, None].repeat(3, 2)
    got = read(data)
    assert got.shape == want.shape
    assert np.abs(got.astype(int) - want.astype(int)).max() <= tolerance


LAYOUTS = [
    {"byteorder": order, "compression": compression, "tile": tile}
    for order in "<>"
    for compression in (None, "zlib")
    for tile in (None, (16, 16))
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(map(str, layout.values())))
def test_tiffs_of_another_program(layout: dict[str, Any]) -> None:
    """Pillow takes bytes of separate planes for pixels, 0 for black, and libtiff's native order for the file's."""
    for dtype, shift in ((np.uint8, 0), (np.uint16, 8)):
        rgb = levels(dtype, H, W, 3)
        assert_pixels(tiff(rgb, photometric="rgb", planarconfig="contig", **layout), rgb >> shift)
        planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
        assert_pixels(tiff(planes, photometric="rgb", planarconfig="separate", **layout), rgb >> shift)
        rgba = levels(dtype, H, W, 4)
        colours, alpha = (rgba[:, :, :3] >> shift).astype(float), (rgba[:, :, 3:] >> shift) / 255
        on_white = colours * alpha + 255 * (1 - alpha)
        options = {"photometric": "rgb", "extrasamples": ["unassalpha"], **layout}
        assert_pixels(tiff(rgba, planarconfig="contig", **options), on_white, tolerance=1)
        planes = np.ascontiguousarray(rgba.transpose(2, 0, 1))
        assert_pixels(tiff(planes, planarconfig="separate", **options), on_white, tolerance=1)
        if shift:
            options["extrasamples"] = ["unspecified"]
            assert_pixels(tiff(planes, planarconfig="separate", **options), rgba[:, :, :3] >> 8)
    floats = RANDOM.random((H, W)).astype(np.float32)
    assert_pixels(tiff(floats, photometric="minisblack", **layout), np.rint(floats * 255))
    assert_pixels(tiff(floats, photometric="miniswhite", **layout), 255 - np.rint(floats * 255))
    for dtype in (np.uint16, np.int16, np.int32):
        grey = levels(np.uint16, H, W) >> (dtype is np.int16)
        want = (grey.astype(int) * 255 + 32767) // 65535
        assert_pixels(tiff(grey.astype(dtype), photometric="minisblack", **layout), want)
    positive = levels(np.int8, H, W)
    assert_pixels(tiff(positive, photometric="minisblack", **layout), positive)
    assert "integers below 0" in refusal(tiff(-positive, photometric="minisblack", **layout))
    indices, colormap = levels(np.uint8, H, W), levels(np.uint16, 3, 256)
    for colours in (colormap, colormap >> 8):  # levels of 16 bits, as the standard has it, and of 8
        data = tiff(indices, photometric="palette", colormap=colours, **layout)
        assert_pixels(data, (colormap >> 8).T[indices])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiffs_that_are_refused_by_name(compression: str | None) -> None:
    options = {"compression": compression, "planarconfig": "separate"}
    grey_alpha = levels(np.uint8, 2, H, W)
    said = refusal(tiff(grey_alpha, photometric="minisblack", extrasamples=["unassalpha"], **options))
    assert "2 separate planes of 8 bits" in said
    inks = levels(np.uint16, 4, H, W)
    assert "4 separate planes of 16 bits" in refusal(tiff(inks, photometric="separated", **options))
    for array in (RANDOM.random((H, W)).astype(np.float16), RANDOM.random((H, W))):
        said = refusal(tiff(array, photometric="minisblack", compression=compression))
        assert "is a damaged TIFF file, or one of a kind that is not read (unknown pixel mode)" in said


def test_grey_with_premultiplied_alpha() -> None:
    assert_pixels(
        tiff(np.array([[[50, 100], [0, 0], [9, 255]]], np.uint8), photometric="minisblack", extrasamples=[1]),
        [[50 + 155, 255, 9]],
        tolerance=1,
    )


def test_the_preview_of_a_raw_photo_is_not_the_photo() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(levels(np.uint8, 8, 8, 3), photometric="rgb", subifds=1, subfiletype=1)
        writer.write(levels(np.uint16, H, W), photometric="minisblack")
    assert "is a raw photo (CR2, DNG, NEF, ARW or the like), whose first page is only a preview" in refusal(
        file.getvalue()
    )
    dng = tiff(levels(np.uint8, 8, 8, 3), photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)])
    assert "is a raw photo" in refusal(dng)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, transparent: bytes, interlace: int = 0) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    body = chunk(b"tRNS", transparent) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def test_a_transparent_colour_of_sixteen_bits_is_compared_in_all_of_them(tmp_path: Path) -> None:
    clear, near = (1000, 2000, 3000), (1001, 2000, 3000)
    for interlace in (0, 1):
        data = png(
            1, 2, 16, 2, b"\0" + struct.pack(">3H", *clear) + b"\0" + struct.pack(">3H", *near),
            struct.pack(">3H", *clear), interlace,
        )  # fmt: skip
        (tmp_path / "photo.png").write_bytes(data)
        assert read(tmp_path / "photo.png").tolist() == [[WHITE], [[3, 7, 11]]]
        with Image.open(tmp_path / "photo.png") as image:
            assert read(image).tolist() == [[WHITE], [[3, 7, 11]]]


def bmp(bits: int, header: int, pixels: bytes, palette: bytes = b"", colours: int = 0, masks: bytes = b"") -> bytes:
    """A BMP of one row, with a header of 40 bytes or more."""
    width = len(pixels) * 8 // bits
    info = struct.pack("<IiiHHIIiiII", header, width, -1, 1, bits, 3 if masks else 0, len(pixels), 0, 0, colours, 0)
    info = (info + masks).ljust(header, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + palette + pixels


@pytest.mark.parametrize("header", [56, 108, 124])
def test_alpha_that_nobody_filled_is_opaque(header: int) -> None:
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    assert read(bmp(32, header, bytes([1, 2, 3, 0, 4, 5, 6, 0]), masks=masks)).tolist() == [[[3, 2, 1], [6, 5, 4]]]
    assert read(bmp(32, header, bytes([1, 2, 3, 0, 4, 5, 6, 255]), masks=masks)).tolist() == [[WHITE, [6, 5, 4]]]


def test_grey_palettes_of_bmp() -> None:
    """Two colours in a file of 8 bits are no reason to read 1 bit a pixel."""
    black_and_white = bytes([0, 0, 0, 0, 255, 255, 255, 0])
    assert_pixels(bmp(8, 40, bytes([0, 1, 1, 0]), black_and_white, 2), [[0, 255, 255, 0]])
    assert_pixels(bmp(4, 40, bytes([0x01, 0x10, 0, 0]), black_and_white, 2), [[0, 255, 255, 0, 0, 0, 0, 0]])
    assert_pixels(bmp(1, 40, bytes([0x60, 0, 0, 0]), black_and_white, 2), [[0, 255, 255, 0] + [0] * 28])
    grey = b"".join(bytes([level, level, level, 0]) for level in range(16))
    assert_pixels(bmp(4, 40, bytes([0x12, 0x3F, 0, 0]), grey, 16), [[1, 2, 3, 15, 0, 0, 0, 0]])
    assert_pixels(bmp(8, 40, bytes([1, 2, 3, 15]), grey, 16), [[1, 2, 3, 15]])


@pytest.mark.parametrize("transparency", [None, 0])
def test_a_first_frame_that_does_not_cover_the_screen_lies_on_white(transparency: int | None) -> None:
    frame, file = Image.new("P", (1, 1), 1), io.BytesIO()
    frame.putpalette([255, 0, 0, 0, 255, 0])
    frame.save(file, "GIF", optimize=False, **({} if transparency is None else {"transparency": transparency}))
    data = bytearray(file.getvalue())
    start = data.index(b",", 13 + 3 * (2 << (data[10] & 7)))
    data[6:10], data[start + 1 : start + 5] = struct.pack("<HH", 3, 1), struct.pack("<HH", 1, 0)
    assert read(bytes(data)).tolist() == [[WHITE, [0, 255, 0], WHITE]]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photo"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIF or AVIF photo"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", "a video (MP4 or QuickTime)"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video (MP4 or QuickTime)"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a raw photo (CR3)"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\1", "a video (WebM or Matroska)"),
        (b"RIFF\0\0\0\0AVI LIST", "a video (AVI)"),
        (b"\0\0\1\xba\x44", "a video (MPEG)"),
        (b"\xff\x0a\xff\xff", "a JPEG XL photo"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL photo"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 photo"),
        (b"\xff\xd8\xff\xf7\0\x0b", "a JPEG-LS photo"),
        (b"II\xbc\1\x08\0\0\0", "a JPEG XR photo"),
        (b"II*\0\x10\0\0\0CR\2\0", "a raw photo (CR2)"),
        (b"IIRO\x08\0\0\0", "a raw photo (ORF)"),
        (b"IIU\0\x18\0\0\0", "a raw photo (RW2)"),
        (b"FUJIFILMCCD-RAW 0201", "a raw photo (RAF)"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<?xml version='1.0'?>\n<!-- drawn by hand -->\n<svg width='2'>", "an SVG drawing"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\1\0\1\0\x10\x10", "an icon"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x93NUMPY\1\0", "a NumPy file"),
        (b"PK\3\4\x14\0", "an archive (ZIP)"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a file that Git LFS has not fetched yet"),
    ],
)
def test_what_is_no_photo_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(data)
    assert f"is {kind}" in (said := refusal(data))
    assert said.endswith("; the formats are JPEG, PNG, GIF, BMP, TIFF, WEBP, PPM, AVIF")
    with pytest.raises(ImageError, match=r"photo\.jpg' is "):
        read(tmp_path / "photo.jpg")


def test_formats_whose_kind_is_not_read_say_so() -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    data[data.index(b"\xff\xc0") + 4] = 12
    said = refusal(bytes(data))
    assert "is a damaged JPEG file, or one of a kind that is not read (cannot handle 12-bit layers)" in said
    assert "is a damaged PPM file" in refusal(b"PF\n1 1\n-1.0\n" + bytes(12))


def test_inks_and_their_luminance_and_chrominance() -> None:
    """An Adobe JPEG says whether its four components are CMYK (0) or YCCK (2), inverted in both cases."""
    inks, file = Image.merge("CMYK", [Image.new("L", (16, 16), level) for level in (40, 90, 160, 30)]), io.BytesIO()
    inks.save(file, "JPEG", quality=100)
    data = bytearray(file.getvalue())
    c, m, y, k = (255 - level for level in (40, 90, 160, 30))
    rgb = [level * k / 255 for level in (c, m, y)]
    assert_pixels(bytes(data), np.full((16, 16, 3), rgb), tolerance=2)
    data[data.index(b"Adobe") + 11] = 2
    # Now the same three numbers are Y, Cb and Cr of the inks (ITU-R BT.601), which the file holds inverted.
    luminance, blue, red = c, m - 128, y - 128
    inverted = luminance + 1.402 * red, luminance - 0.344136 * blue - 0.714136 * red, luminance + 1.772 * blue
    rgb = [(255 - min(max(level, 0), 255)) * k / 255 for level in inverted]
    assert_pixels(bytes(data), np.full((16, 16, 3), rgb), tolerance=3)


def test_a_folder_of_other_kinds_says_which(tmp_path: Path) -> None:
    for name in ("a.HEIC", "b.heic", "c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ImageError, match=r"holds no photo \(its files are others: 2 of \.heic, 1 of \.mp4\)"):
        list_photos([tmp_path])


ROWS = np.random.default_rng(3).integers(1, 256, (9, 7, 3), dtype=np.uint8)


def png_of(rows: bytes, interlaced: int) -> bytes:
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 7, 9, 8, 2, 0, 0, interlaced)), (b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    )


def rows_of(pixels: NDArray[np.uint8]) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels if len(row))


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_whose_data_ends_early(interlaced: int) -> None:
    """Its compressed data is whole, but has fewer rows than the header says, which Pillow leaves black."""
    pixels = ROWS.copy()
    pixels[-2:] = 0
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    passes = [pixels[y::down, x::across] for x, y, across, down in starts] if interlaced else [pixels]
    rows = b"".join(map(rows_of, passes))
    assert np.array_equal(read(png_of(rows, interlaced)), pixels)
    for missing in (1, 2):
        with pytest.raises(ImageError, match="its last rows are missing"):
            read(png_of(rows[: -22 * missing], interlaced))
