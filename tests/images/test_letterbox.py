"""Photos resized as darknet does it, pixel by pixel, and boxes mapped back."""

from __future__ import annotations

import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convatlas.base.errors import ImageError, SizeError, UnknownName
from convatlas.images.darknet import KINDS, DarknetPreprocessing


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Darknet's: bilinear, first along rows, the corners of both images on each other, with C's loops."""
    high, wide, _ = image.shape
    across = np.zeros((high, width, 3))
    for c in range(width):
        if c == width - 1 or wide == 1:
            across[:, c] = image[:, wide - 1] if width > 1 or wide == 1 else image[:, 0]
        else:
            at = c * (wide - 1) / (width - 1)
            across[:, c] = (1 - at % 1) * image[:, int(at)] + at % 1 * image[:, min(int(at) + 1, wide - 1)]
    out = np.zeros((height, width, 3))
    for r in range(height):
        if r == height - 1 or high == 1:
            out[r] = across[high - 1] if height > 1 or high == 1 else across[0]
        else:
            at = r * (high - 1) / (height - 1)
            out[r] = (1 - at % 1) * across[int(at)] + at % 1 * across[min(int(at) + 1, high - 1)]
    return out


def by_hand(photo: np.ndarray, h: int, w: int, kind: str) -> np.ndarray:
    image, (height, width, _) = photo / 255, photo.shape
    if kind == "stretch":
        return resize(image, w, h)
    fits_by_width = w / width < h / height
    if fits_by_width == (kind == "letterbox"):
        wide, tall = w, max(1, height * w // width)
    else:
        wide, tall = max(1, width * h // height), h
    small = resize(image, wide, tall)
    if kind == "crop":
        top, left = (tall - h) // 2, (wide - w) // 2
        return small[top : top + h, left : left + w]
    boxed = np.full((h, w, 3), 0.5)
    top, left = (h - tall) // 2, (w - wide) // 2
    boxed[top : top + tall, left : left + wide] = small
    return boxed


class Place(NamedTuple):
    """Where a photo lies on the input, in pixels of the input."""

    top: int
    left: int
    height: int
    width: int


def place_of(fitting: DarknetPreprocessing, height: int, width: int) -> Place:
    rows, columns = (view := fitting.view(height, width)).rows, view.columns
    return Place(-rows.offset, -columns.offset, rows.resized, columns.resized)


SHAPES = [(30, 40), (41, 29), (32, 32), (1, 1), (1, 50), (50, 1), (2, 3), (7, 200), (64, 64), (97, 31)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("size", [(32, 32), (32, 64), (13, 7)])
def test_pixel_by_pixel(kind, height, width, size):
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    x = DarknetPreprocessing(size, kind)(photo)
    assert (x.dtype, x.shape, x.flags.c_contiguous) == (np.float32, (3, *size), True)
    np.testing.assert_allclose(x.transpose(1, 2, 0), by_hand(photo, *size, kind), atol=2e-6)


def test_the_grey_is_half_and_the_photo_lies_in_the_middle():
    x = DarknetPreprocessing((10, 10))(np.full((20, 40, 3), 255, np.uint8))
    assert x[:, :2].tolist() == np.full((3, 2, 10), 0.5).tolist()
    assert (x[:, 2:7] == 1).all()
    assert (x[:, 7:] == 0.5).all()
    place = place_of(DarknetPreprocessing((416, 416)), 480, 640)
    assert (place.top, place.left, place.height, place.width) == (52, 0, 312, 416)
    # An odd row goes below.
    assert place_of(DarknetPreprocessing((416, 416)), 427, 640).top == (416 - 277) // 2 == 69


def test_levels_are_shares_and_colours_stay_in_place():
    photo = np.zeros((4, 4, 3), np.uint8)
    photo[..., 0], photo[..., 2] = 255, 51
    x = DarknetPreprocessing((8, 8), "stretch")(photo)
    assert [x[channel].min() for channel in range(3)] == pytest.approx([1, 0, 0.2])


sides = st.integers(1, 5000)


@given(sides, sides, st.sampled_from([(416, 416), (608, 608), (320, 608), (448, 448)]), st.sampled_from(KINDS))
@settings(max_examples=200, deadline=None)
def test_boxes_find_back(height, width, size, kind):
    fitting = DarknetPreprocessing(size, kind)
    place = place_of(fitting, height, width)
    draw = np.random.default_rng(height * 7919 + width)
    boxes = np.concatenate([draw.random((4, 2)), 1 + draw.random((4, 2))], 1) * [width, height, width, height]
    there = boxes / [width, height, width, height] * [place.width, place.height, place.width, place.height]
    there += [place.left, place.top, place.left, place.top]
    np.testing.assert_allclose(fitting.boxes_to_photo(there, height, width), boxes, rtol=1e-9, atol=1e-9)


@given(sides, sides)
@settings(max_examples=100, deadline=None)
def test_a_letterbox_holds_the_photo_and_a_crop_covers_the_input(height, width):
    inside = place_of(DarknetPreprocessing((416, 416)), height, width)
    outside = place_of(DarknetPreprocessing((256, 256), "crop"), height, width)
    assert inside.height <= 416 >= inside.width
    assert 416 in (inside.height, inside.width)
    assert outside.height >= 256 <= outside.width
    assert 256 in (outside.height, outside.width)
    for place, size in ((inside, 416), (outside, 256)):
        assert abs(size - place.height - 2 * place.top) <= 1
        assert abs(size - place.width - 2 * place.left) <= 1


def test_a_box_of_a_bright_spot_finds_the_spot():
    """From the photo through the pixels of the input and back."""
    for height, width in [(480, 640), (1000, 300), (77, 1234)]:
        photo = np.zeros((height, width, 3), np.uint8)
        top, left = height // 3, width // 2
        photo[top : top + height // 4, left : left + width // 5] = 255
        for kind in ("letterbox", "stretch"):
            fitting = DarknetPreprocessing((608, 608), kind)
            rows, columns = np.nonzero(fitting(photo)[0] > 0.75)
            box = np.array([[columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0]])
            found = fitting.boxes_to_photo(box, height, width)[0]
            place = place_of(fitting, height, width)
            pixel = max(height / place.height, width / place.width) + 1
            assert np.abs(found - [left, top, left + width // 5, top + height // 4]).max() <= pixel


@pytest.mark.parametrize("shape", [(1, 2**20, 3), (2**20, 1, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_endless_photos_cost_no_more_than_others(shape, kind):
    photo = np.zeros(shape, np.uint8)
    tracemalloc.start()
    assert DarknetPreprocessing((256, 256), kind)(photo).shape == (3, 256, 256)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_what_cannot_be_fitted():
    with pytest.raises(SizeError, match="at least 1 x 1 pixels, not 0 x 5"):
        DarknetPreprocessing((0, 5))
    with pytest.raises(UnknownName, match="letterbox"):
        DarknetPreprocessing((5, 5), "leterbox")
    for photo in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ImageError, match="preprocessing takes"):
            DarknetPreprocessing((5, 5))(photo)
