"""Whatever the bytes: a good array or one clear line. Nothing else, and nothing on standard error."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
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
from convatlas.images.formats import budget, jpeg
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

    monkeypatch.setattr("io.FileIO", refuse)
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


def jpeg_of_scans(count: int, **options: Any) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(PHOTO, "JPEG", progressive=True, **options)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - data.count(b"\xff\xda") + 1) + data[-2:]


def test_scans_without_end(tmp_path: Path) -> None:
    """Each of them goes over all pixels: 12 KB take minutes."""
    thumbnail = Image.Exif()
    thumbnail[0x9286] = b"\xff\xda" * 1000  # looks like scans, but is a comment
    assert read(jpeg_of_scans(100, exif=thumbnail)).shape == (16, 24, 3)
    for source in (data := jpeg_of_scans(3000), file(tmp_path, data), Image.open(io.BytesIO(data))):
        assert "has 3,000 scans; at most 100 are read" in refusal(source)
    # Neither do the scans of a second photo in the file count, nor what follows the first one.
    assert read(jpeg_of_scans(90) + jpeg_of_scans(90)).shape == (16, 24, 3)


def test_only_files_that_may_have_many_scans_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []

    def search(data: bytes) -> bytes:
        searched.append(len(data))
        return data

    monkeypatch.setattr(jpeg, "_until_the_end", search)
    for image in (PHOTO, GREY, PHOTO.convert("CMYK")):
        read(encoded(image, "JPEG"))
    assert searched == []
    read(FILES["progressive jpeg"])
    assert len(searched) == 1
    # A sequential file with a scan for each component, which libjpeg would repeat without end, too.
    grey = encoded(GREY, "JPEG")
    one_of_three = grey.replace(
        b"\xff\xc0\0\x0b\x08\0\x10\0\x18\1\1\x11\0", b"\xff\xc0\0\x11\x08\0\x10\0\x18\3\1\x11\0\2\x11\0\3\x11\0"
    )
    assert one_of_three != grey
    assert_array_or_error(one_of_three)
    assert len(searched) == 2


def ifd(*entries: tuple[int, int, int, int], follows: int = 0) -> bytes:
    """A directory of TIFF or EXIF: (tag, type, count, value or offset) of each entry."""
    return (
        struct.pack("<H", len(entries))
        + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        + struct.pack("<I", follows)
    )


PPM_COMMENT = b"P6 #" + bytes(20_000_000).replace(b"\0", b"x") + b"\n1 1 255\n123"
TINY_CHUNKS = png(1, 1, *[chunk(b"abCd", b"")] * 52_000, chunk(b"IDAT", zlib.compress(b"\0\7")))
GIF_COMMENTS = FILES["gif"][:781] + b"\x21\xfe" + (b"\1x" * 200_000) + b"\0" + FILES["gif"][781:]


@pytest.mark.parametrize("data", [PPM_COMMENT, TINY_CHUNKS, GIF_COMMENTS], ids=["ppm", "png", "gif"])
def test_headers_without_end(tmp_path: Path, data: bytes) -> None:
    assert "a header that takes more than 100,000 readings" in refusal(data)
    assert "a header that takes more than 100,000 readings" in refusal(file(tmp_path, data))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
def test_an_exif_block_that_swells(kind: str) -> None:
    """5,000 entries that each refer to all of its 60 KB, 300 MB together."""
    entries = ((tag, 7, 60_000, 0) for tag in range(40_000, 45_000))
    exif = b"Exif\0\0II*\0\x08\0\0\0" + ifd((0x0112, 3, 1, 1), *entries)
    image, format_, options = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow has to say when it writes them
        data = encoded(image, format_, **options | {"exif": exif})
    tracemalloc.start()
    assert read(data).shape == (16, 24, 3)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_tile_far_larger_than_the_photo() -> None:
    """Libtiff would reserve 3 GB for one pixel."""
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 4, 1, 32_768), (323, 4, 1, 98_304), (324, 4, 1, 300), (325, 4, 1, 10)]
    said = refusal((b"II*\0\x08\0\0\0" + ifd(*entries)).ljust(400, b"\0"))
    assert "is a TIFF with tiles of 3,221,225,472 pixels, far larger than the photo" in said


def test_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", 0.0)
    monkeypatch.setattr(budget, "SECONDS_A_PIXEL", 0.0)
    for name in ("jpeg", "png", "gif", "bmp", "tiff", "webp", "ppm", "avif"):
        assert "takes too long to decode" in refusal(FILES[name])


def test_threads_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many decode at once as there is memory for, and all get their turn; what can never be had is refused."""
    memory, at_once, most = budget.MemoryBudget(), 0, 0
    need = 16 * 24 * budget.BYTES
    memory.total = 2 * need
    load, lock = decoding._decoded, threading.Lock()

    def counting(image: Image.Image) -> decoding.Pixels:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.02)
        pixels = load(image)
        with lock:
            at_once -= 1
        return pixels

    monkeypatch.setattr(decoding, "MEMORY", memory)
    monkeypatch.setattr(decoding, "_decoded", counting)
    with ThreadPoolExecutor(8) as pool:
        photos = list(pool.map(read, [FILES["png"]] * 16))
    assert most == 2
    assert all((photo == photos[0]).all() for photo in photos)
    memory.total = need // 2  # alone it is not refused
    assert (read(FILES["png"]) == photos[0]).all()
    memory.total = need // 2 - 1
    assert "needs up to 0.0 GB of memory to decode" in refusal(FILES["png"])
    for bad in (b"\x89PNG\r\n\x1a\n", FILES["png"][:100]):  # a failure gives back what it had
        refusal(bad)
    assert (memory._used, memory._workers) == (0, 0)
