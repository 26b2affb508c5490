"""Places on a net's input and their places on the photo, and inputs as pixels again."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from convatlas.base.errors import ImageError
from convatlas.catalogue.lineages import origins
from convatlas.images.darknet import KINDS, DarknetPreprocessing
from convatlas.images.preprocessing import GEOMETRIES, INTERPOLATIONS, Preprocessing
from convatlas.weights.registry import origin

sides = st.integers(1, 300)
sizes = st.integers(1, 40)
fractions = st.fractions(0, 1, max_denominator=64)
any_preprocessing = st.one_of(
    st.builds(
        lambda size, geometry, resize, kind: Preprocessing((size, size), geometry, resize, kind),
        sizes,
        st.sampled_from(GEOMETRIES),
        st.integers(1, 60),
        st.sampled_from(sorted(INTERPOLATIONS)),
    ),
    st.builds(lambda h, w, resize: Preprocessing((h, w), "resize_crop", resize), sizes, sizes, st.integers(1, 60)),
    st.builds(lambda h, w, kind: DarknetPreprocessing((h, w), kind), sizes, sizes, st.sampled_from(KINDS)),
)


@given(any_preprocessing, sides, sides, fractions, fractions)
@settings(max_examples=300, deadline=None)
def test_there_and_back(preprocessing, height: int, width: int, down: Fraction, across: Fraction) -> None:
    view = preprocessing.view(height, width)
    here = down * preprocessing.size[0], across * preprocessing.size[1]
    assert view.to_input(*view.to_photo(*here)) == here  # exactly: they are fractions
    there = down * height, across * width
    assert view.to_photo(*view.to_input(*there)) == there
    floats = np.array([float(place) for place in here])
    np.testing.assert_allclose(view.to_photo(*floats), [float(place) for place in view.to_photo(*here)], atol=1e-9)


@given(any_preprocessing, sides, sides)
@settings(max_examples=300, deadline=None)
def test_what_is_visible_is_photo(preprocessing, height: int, width: int) -> None:
    view = preprocessing.view(height, width)
    h, w = preprocessing.size
    left, top, right, bottom = view.shown
    assert 0 <= left < right <= w
    assert 0 <= top < bottom <= h
    x1, y1, x2, y2 = view.visible
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    rows, columns = np.meshgrid(np.arange(h) + 0.5, np.arange(w) + 0.5, indexing="ij")
    shown = view.shows_photo(rows, columns)
    assert shown.sum() == (bottom - top) * (right - left)
    y, x = view.to_photo(rows[shown], columns[shown])
    assert ((y > 0) & (y < height) & (x > 0) & (x < width)).all()


@given(any_preprocessing, st.integers(1, 80), st.integers(1, 80), fractions, fractions)
@settings(max_examples=300, deadline=None)
def test_an_impulse_appears_at_the_mapped_place(preprocessing, height, width, down, across) -> None:
    """The pixel of the photo below the centre of a pixel of the input makes that one bright, and hardly any other."""
    view = preprocessing.view(height, width)
    # A pixel among more than a hundred would be lost in rounding.
    assume(view.rows.length * view.columns.length < 100 * view.rows.resized * view.columns.resized)
    left, top, right, bottom = view.shown
    row = min(bottom - 1, top + int(down * (bottom - top)))
    column = min(right - 1, left + int(across * (right - left)))
    places = view.to_photo(row + Fraction(1, 2), column + Fraction(1, 2))
    # A centre on the edge of two pixels belongs to either.
    assume(getattr(preprocessing, "interpolation", "") != "nearest" or all(place.denominator > 1 for place in places))
    y, x = map(int, places)
    photo = np.zeros((height, width, 3), np.uint8)
    dark = preprocessing(photo)
    photo[y, x] = 255
    change = np.abs(preprocessing(photo) - dark).max(0)  # (h, w)
    assert change[row, column] > 0
    assert change[row, column] >= 0.2 * change.max()
    # Where the input has other pixels of the photo's only, nothing changes.
    reach = [1 + 3 * max(axis.length / axis.resized, 1) for axis in (view.rows, view.columns)]
    rows, columns = np.nonzero(change)
    seen = view.to_photo(rows + 0.5, columns + 0.5)
    assert (np.abs(seen[0] - y - 0.5) <= reach[0]).all()
    assert (np.abs(seen[1] - x - 0.5) <= reach[1]).all()


def test_known_places() -> None:
    # 640 x 480 becomes 341 x 256 (341.33 cut off), of which the columns from 58 on are seen (58.5, to the even one).
    view = Preprocessing((224, 224), "resize_crop", 256).view(480, 640)
    assert (view.rows.resized, view.columns.resized) == (256, 341)
    assert (view.rows.offset, view.columns.offset) == (16, 58)
    assert view.to_photo(0, 0) == (16 * 480 / 256, 58 * 640 / 341)
    assert view.to_input(240, 320) == (112, 112.5)
    assert view.shown == (0, 0, 224, 224)
    # The centre crop of EfficientNet: 420 of 480 pixels, from (480 - 420 + 1) // 2 on.
    view = Preprocessing((224, 224), "crop_resize", 32).view(480, 640)
    assert view.visible == (110, 30, 530, 450)
    assert view.to_input(30, 110) == (0, 0)
    # The letterbox: 312 rows amid grey.
    view = DarknetPreprocessing((416, 416)).view(480, 640)
    assert view.shown == (0, 52, 416, 364)
    assert [bool(view.shows_photo(row, 200)) for row in (51.9, 52, 363.9, 364)] == [False, True, True, False]
    # The centres of the corner pixels lie on each other.
    assert view.to_photo(52.5, 0.5) == (0.5, 0.5)
    assert view.to_photo(363.5, 415.5) == (479.5, 639.5)
    # A photo that is smaller than the centre that is cut out has a black border.
    view = Preprocessing((8, 8), "squash", 4).view(10, 20)
    assert view.shown == (2, 2, 6, 6)
    assert view.visible == (0, 0, 20, 10)


def test_no_photo_has_no_view() -> None:
    for preprocessing in (Preprocessing((8, 8)), DarknetPreprocessing((8, 8))):
        with pytest.raises(ImageError, match="at least 1 x 1 pixels, not 0 x 5"):
            preprocessing.view(0, 5)


PIXELS = {name: pixels for known in origins() for name, pixels in origin(known).pixels.items()}


@pytest.mark.parametrize("pixels", list(PIXELS))
def test_inputs_become_pixels_again(pixels: str) -> None:
    """BGR, standardized, halved, grey: what one looks at is the photo."""
    photo = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    photo[[0, -1]] = photo[:, [0, -1]] = 0  # as on dark paper
    preprocessing = Preprocessing((20, 20), "squash", 20, "bilinear", *PIXELS[pixels])
    shown = preprocessing.to_pixels(preprocessing(photo))
    if preprocessing.channels == 1:
        photo = np.repeat(np.asarray(Image.fromarray(photo).convert("L"))[:, :, None], 3, 2)
    assert shown.dtype == np.uint8
    assert np.array_equal(shown, photo)
    assert preprocessing.to_pixels(preprocessing(photo) + 1e9).max() == 255
    with pytest.raises(ImageError, match="channels, height and width"):
        preprocessing.to_pixels(np.zeros((2, 20, 20), np.float32))


def test_an_inverted_digit_is_shown_as_the_net_saw_it() -> None:
    """What a map is laid over are the pixels that the net read; the photo's own are on disk."""
    photo = np.full((20, 20, 3), 230, np.uint8)
    photo[5:15, 8:12] = 20
    preprocessing = Preprocessing((20, 20), "squash", 20, "bilinear", *PIXELS["lenet"])
    shown = preprocessing.to_pixels(preprocessing(photo))
    # The paper becomes black, and the ink white.
    assert np.array_equal(shown, np.where(photo == 20, 255, 0))
    assert np.array_equal(shown[:, :, :1], preprocessing.pixels(photo))


def test_a_letterbox_becomes_pixels_again() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (10, 20, 3), np.uint8)
    preprocessing = DarknetPreprocessing((20, 20))
    shown = preprocessing.to_pixels(preprocessing(photo))
    assert np.array_equal(shown[5:15], photo)
    assert (shown[:5] == 128).all()
    with pytest.raises(ImageError, match="3 channels, height and width"):
        preprocessing.to_pixels(np.zeros((1, 20, 20), np.float32))
