"""Whatever the bytes: a good array or one clear line. Nothing else, and nothing on standard error."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from convatlas.base.errors import ImageError
from convatlas.images import decoding
from convatlas.images.decoding import MAX_PIXELS, read
from convatlas.images.pillow_warnings import QUIET

GREY = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24), dtype=np.uint8))
PHOTO = Image.merge("RGB", (GREY, GREY.rotate(180), GREY.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
EXIF = Image.Exif()
EXIF[0x0112] = 6


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that says it has width x height grey pixels, and `chunks` after that."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def refusal(source: decoding.Source) -> str:
    with pytest.raises(ImageError) as error:
        read(source)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def file(folder: Path, data: bytes, name: str = "cat.jpg") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.fixture(autouse=True)
def _nothing_on_standard_error(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr().err == ""


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "cat.jpg' does not exist" in refusal(tmp_path / "cat.jpg")
    assert "does not exist" in refusal("")
    assert "cannot be opened" in refusal(file(tmp_path, b"x") / "dog.jpg")
    assert "cannot be opened" in refusal("x" * 5000)
    assert "a\\x00b" in refusal("a\0b")
    assert "a\\nb.jpg' does not exist" in refusal("a\nb.jpg")
    assert "\\udcff.jpg' does not exist" in refusal("\udcff.jpg")


def test_what_is_no_ordinary_file(tmp_path: Path) -> None:
    assert f"{tmp_path}' is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "pipe.jpg' is not an ordinary file" in refusal(tmp_path / "pipe.jpg")


def test_a_file_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    assert "cat.jpg' cannot be opened (Permission denied)" in refusal(tmp_path / file(tmp_path, b"x").name)


def test_empty() -> None:
    assert "is empty" in refusal(b"")


def test_empty_file(tmp_path: Path) -> None:
    assert "cat.jpg' is empty" in refusal(file(tmp_path, b""))


@pytest.mark.parametrize(
    "data",
    [
        b"It is a truth universally acknowledged",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(PHOTO, "EPS"),
        bytes(1000),
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"II*\0",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"P6",
        b"BM",
        b"\0\0\0\x20ftypavif",
    ],
)
def test_no_image(tmp_path: Path, data: bytes) -> None:
    assert refusal(file(tmp_path, data)).startswith(f"'{tmp_path}/cat.jpg' ")


def test_text_named_like_a_photo_gets_the_list_of_formats(tmp_path: Path) -> None:
    assert "not an image in a known format; the formats are JPEG, PNG" in refusal(file(tmp_path, b"some text"))


def test_eps_never_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", None)
    assert "is a PostScript document" in refusal(file(tmp_path, encoded(PHOTO, "EPS"), "cat.eps"))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": EXIF}])
def test_a_jpeg_cut_short_anywhere(tmp_path: Path, options: dict[str, Any]) -> None:
    data = encoded(PHOTO, "JPEG", quality=90, **options)
    whole = read(data)
    cuts = [*range(1, len(data), 13), len(data) - 3, len(data) - 2, len(data) - 1]
    refused = 0
    for cut in cuts:
        try:
            # Nothing of the picture is missing when only the end marker is.
            assert (read(data[:cut]) == whole).all()
        except ImageError:
            refused += 1
    assert refused >= len(cuts) - 3
    assert "cat.jpg' cannot be decoded" in (said := refusal(file(tmp_path, data[: len(data) // 2 + 200])))
    assert "truncated" in said


KINDS: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    "jpeg": (PHOTO, "JPEG", {"exif": EXIF}),
    "progressive jpeg": (PHOTO, "JPEG", {"progressive": True}),
    "cmyk jpeg": (PHOTO.convert("CMYK"), "JPEG", {}),
    "mpo": (PHOTO, "MPO", {"save_all": True, "append_images": [PHOTO]}),
    "png": (PHOTO, "PNG", {"exif": EXIF, "icc_profile": b"no profile"}),
    "rgba png": (PHOTO.convert("RGBA"), "PNG", {}),
    "palette png": (PHOTO.convert("P"), "PNG", {"transparency": 3}),
    "16-bit png": (GREY.convert("I;16"), "PNG", {}),
    "apng": (PHOTO, "PNG", {"save_all": True, "append_images": [PHOTO.rotate(180)]}),
    "gif": (PHOTO, "GIF", {"save_all": True, "append_images": [PHOTO.rotate(180)]}),
    "bmp": (PHOTO, "BMP", {}),
    "palette bmp": (PHOTO.convert("P"), "BMP", {}),
    "tiff": (PHOTO, "TIFF", {"exif": EXIF}),
    "lzw tiff": (PHOTO, "TIFF", {"compression": "tiff_lzw"}),
    "zip tiff": (PHOTO, "TIFF", {"compression": "tiff_adobe_deflate"}),
    "jpeg tiff": (PHOTO, "TIFF", {"compression": "jpeg"}),
    "fax tiff": (PHOTO.convert("1"), "TIFF", {"compression": "group4"}),
    "float tiff": (GREY.convert("F"), "TIFF", {}),
    "lab tiff": (PHOTO.convert("LAB"), "TIFF", {}),
    "pages": (PHOTO, "TIFF", {"save_all": True, "append_images": [PHOTO]}),
    "webp": (PHOTO, "WEBP", {"exif": EXIF}),
    "moving webp": (PHOTO, "WEBP", {"save_all": True, "append_images": [PHOTO.rotate(180)]}),
    "ppm": (PHOTO, "PPM", {}),
    "pbm": (PHOTO.convert("1"), "PPM", {}),
    "avif": (PHOTO, "AVIF", {"exif": EXIF}),
}
FILES = {name: encoded(image, kind, **options) for name, (image, kind, options) in KINDS.items()}


def assert_array_or_error(data: bytes) -> None:
    said = "one line"
    try:
        photo = read(data)
    except ImageError as error:
        said = str(error)
    else:
        assert photo.dtype == np.uint8
        assert photo.ndim == 3
        assert photo.shape[2] == 3
        assert photo.size
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Damaged headers claim any size; it takes no gigabytes to see what becomes of them.
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2**20)
    original = FILES[name]
    assert_array_or_error(original)
    assert read(original).shape[:2] in {(16, 24), (24, 16)}
    # Headers are where damage is dangerous.
    places = st.one_of(st.integers(0, min(255, len(original) - 1)), st.integers(0, len(original) - 1))
    changes = st.lists(st.tuples(places, st.binary(min_size=1, max_size=4)), max_size=8)

    @settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(changes=changes, keep=st.one_of(st.just(len(original)), st.integers(0, len(original))), extra=st.binary())
    def damage(changes: list[tuple[int, bytes]], keep: int, extra: bytes) -> None:
        data = bytearray(original)
        for place, new in changes:
            data[place : place + len(new)] = new
        assert_array_or_error(bytes(data[:keep] + extra))

    damage()


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert_array_or_error(data)


@pytest.mark.parametrize("side", [12_000, 100_000, 2**31 - 1])
def test_a_header_that_claims_too_much(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    said = refusal(file(tmp_path, png(side, side, chunk(b"IDAT", zlib.compress(b"\0")))))
    assert f"{MAX_PIXELS:,}" in said


def test_the_limit_holds_for_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 24 - 1)
    for source in (PHOTO, np.asarray(PHOTO), FILES["png"], FILES["webp"], FILES["gif"]):
        assert "24 x 16 pixels; at most 383" in refusal(source)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 24)
    assert read(PHOTO).shape == (16, 24, 3)


def test_no_pixels_at_all() -> None:
    assert "no pixels" in refusal(Image.new("RGB", (0, 5)))
    assert refusal(png(0, 5, chunk(b"IDAT", zlib.compress(b""))))


def test_compressed_bombs() -> None:
    pixels = chunk(b"IDAT", zlib.compress(b"\0\7"))
    bomb = zlib.compress(bytes(50_000_000), 9)
    assert read(png(1, 1, pixels)).tolist() == [[[7, 7, 7]]]
    assert "too large" in refusal(png(1, 1, chunk(b"zTXt", b"note\0\0" + bomb), pixels))
    assert "too large" in refusal(png(1, 1, chunk(b"iTXt", b"note\0\1\0\0\0" + bomb), pixels))
    assert refusal(png(1, 1, chunk(b"iCCP", b"note\0\0" + bomb), pixels))
    # More pixels than the header has are never unpacked.
    assert read(png(1, 1, chunk(b"IDAT", zlib.compress(b"\0\7" + bytes(50_000_000))))).shape == (1, 1, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0nonsense",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0" * 40,
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x05\0\0\0\xff\xff\xff\xff",
    ],
)
def test_damaged_exif_and_profile_do_not_matter(kind: str, exif: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow has to say when it writes them
        data = encoded(PHOTO, kind, exif=exif, icc_profile=b"no profile")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(data).shape == (16, 24, 3)


def test_a_pil_image_that_cannot_be_loaded() -> None:
    data = FILES["png"]
    image = Image.open(io.BytesIO(data[: len(data) // 2]))
    assert "the PIL image cannot be decoded" in refusal(image)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_warning_filters_are_left_as_they_were() -> None:
    before = list(warnings.filters)
    damaged = [data[: len(data) * 3 // 4] for data in FILES.values()]

    def attempt(data: bytes) -> None:
        assert_array_or_error(data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, damaged * 4))
    assert list(warnings.filters) == before


def test_the_last_thread_out_restores_the_filters() -> None:
    before = list(warnings.filters)
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with QUIET:
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other, daemon=True)
    with QUIET:
        thread.start()
        entered.wait()
    during = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn("not from Pillow", stacklevel=1)
    leave.set()
    thread.join()
    assert during != before
    assert len(seen) == 1
    assert list(warnings.filters) == before


def test_libtiff_prints_again_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(FILES["zip tiff"])
    data[12] ^= 255
    refusal(bytes(data))
    assert capfd.readouterr().err == ""
    with Image.open(io.BytesIO(data)) as image, pytest.raises(OSError, match="decoder"):
        image.load()
    assert "ZIPDecode" in capfd.readouterr().err
