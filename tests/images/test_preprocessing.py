"""The official preprocessing of EfficientNet-Lite, to the pixel."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convatlas.base.errors import ConvAtlasError, ImageError, SizeError, UnknownName
from convatlas.images.download import digits
from convatlas.images.preprocessing import Preprocessing, _border_level, _is_dark_on_light


def lite(size: int, border: int = 32) -> Preprocessing:
    return Preprocessing((size, size), "crop_resize", border, "bicubic", 1.0, (127.0,) * 3, (128.0,) * 3)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [224, 240, 260, 280, 300])
@pytest.mark.parametrize(("height", "width"), [(480, 640), (641, 479), (256, 256), (50, 51), (1, 1), (2, 7)])
def test_the_official_formula(size: int, height: int, width: int) -> None:
    photo = noise(height, width)
    side = max(1, int(size / (size + 32) * min(height, width)))
    top, left = ((height - side) + 1) // 2, ((width - side) + 1) // 2
    crop = Image.fromarray(photo).crop((left, top, left + side, top + side))
    want = (np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC), np.float64) - 127) / 128
    x = lite(size)(photo)
    assert x.dtype == np.float32
    assert x.shape == (3, size, size)
    assert x.flags.c_contiguous
    assert (x == want.transpose(2, 0, 1)).all()


@pytest.mark.parametrize(("height", "width", "top", "left"), [(8, 12, 2, 4), (9, 13, 3, 5), (12, 8, 4, 2)])
def test_where_the_crop_lies(height: int, width: int, top: int, left: int) -> None:
    photo = noise(height, width)  # the crop of 4 x 4 needs no resizing
    want = (photo[top : top + 4, left : left + 4].astype(np.float32) - 127) / 128
    assert (lite(4, border=4)(photo) == want.transpose(2, 0, 1)).all()


def test_channels_are_normalized_each_by_its_own() -> None:
    preprocessing = Preprocessing((2, 2), "squash", 2, "bicubic", 1.0, (10.0, 20.0, 30.0), (1.0, 2.0, 4.0))
    photo = np.zeros((2, 2, 3), np.uint8) + np.array([10, 22, 38], np.uint8)
    assert preprocessing(photo)[:, 0, 0].tolist() == [0, 1, 2]


LONG = [(300, 2401), (2401, 300), (100, 1200), (33, 1001), (1501, 7), (50, 51), (1, 64), (21, 2000)]


@pytest.mark.parametrize("kind", ["bilinear", "bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize(("resize", "size"), [(256, 224), (232, 224), (40, 64)])
def test_torchvision_to_the_bit_however_long_the_photo(resize: int, size: int, kind: str) -> None:
    from torchvision import transforms

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    theirs = transforms.Compose(
        [
            transforms.Resize(resize, transforms.InterpolationMode(kind)),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    ours = Preprocessing((size, size), "resize_crop", resize, kind, 255.0, mean, std)
    for height, width in LONG:
        photo = noise(height, width)
        assert np.array_equal(ours(photo), theirs(Image.fromarray(photo)).numpy()), (height, width)


def test_of_a_photo_too_long_to_resize_the_centre_is_resized() -> None:
    preprocessing = Preprocessing((224, 224), "resize_crop", 256)
    assert preprocessing.view(3, 512 * 3).columns.length == 512 * 3
    assert preprocessing.view(3, 512 * 3 + 1).columns.length == 8 * 3
    assert preprocessing.view(8192, 8192 * 8).rows.length == 8192


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20_000), (20_000, 1)])
@pytest.mark.parametrize("geometry", ["crop_resize", "resize_crop", "squash"])
def test_extreme_shapes_cost_nothing(height: int, width: int, geometry: str) -> None:
    photo = noise(height, width)
    photo.setflags(write=False)
    preprocessing = Preprocessing((224, 224), geometry, 32 if geometry == "crop_resize" else 256, "bicubic")
    preprocessing(photo)
    tracemalloc.start()
    x = preprocessing(photo)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert x.shape == (3, 224, 224)
    assert peak < 4_000_000


@pytest.mark.parametrize(
    "photo",
    [np.zeros((8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)],
)
def test_what_is_no_photo_is_refused(photo: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match="H, W, 3"):
        lite(224)(photo)


def test_round_trip_through_json() -> None:
    for preprocessing in (lite(224), Preprocessing((8, 8)), Preprocessing((8, 9), mean=(0.5,), std=(0.25,))):
        assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


def test_wrong_dicts_are_refused() -> None:
    good = lite(224).to_dict()
    with pytest.raises(UnknownName, match="geometry"):
        Preprocessing.from_dict(good | {"geometry": "shuffle"})
    with pytest.raises(ConvAtlasError, match="values of the wrong type"):
        Preprocessing.from_dict(good | {"size": 7})
    for wrong in ({key: good[key] for key in good if key != "mean"}, good | {"colour": "BGR"}):
        with pytest.raises(ConvAtlasError, match="size, geometry, resize, interpolation, scale, mean, std, order"):
            Preprocessing.from_dict(wrong)


def test_wrong_values_are_refused() -> None:
    with pytest.raises(SizeError, match="224 x 240"):
        Preprocessing.from_dict(lite(224).to_dict() | {"size": [224, 240]})
    with pytest.raises(SizeError, match="0 x 0"):
        lite(0)
    with pytest.raises(UnknownName, match="bicubic"):
        Preprocessing.from_dict(lite(224).to_dict() | {"interpolation": "bicubik"})


def test_grey_photos_for_nets_with_one_channel() -> None:
    colour = Preprocessing((4, 4), "squash", 4, mean=(0.3, 0.4, 0.5), std=(0.1, 0.2, 0.3))
    assert colour.for_channels(3) is colour
    grey = colour.for_channels(1)
    assert (grey.mean, grey.std) == (pytest.approx((0.4,)), pytest.approx((0.2,)))
    x = grey(np.full((9, 7, 3), 51, np.uint8))
    assert x.shape == (1, 4, 4)
    assert x == pytest.approx((0.2 - 0.4) / 0.2)


def test_blue_comes_first_where_caffe_trained() -> None:
    photo = np.zeros((2, 2, 3), np.uint8) + np.array([1, 2, 3], np.uint8)
    caffe = Preprocessing((2, 2), "squash", 2, "nearest", 1.0, (0.5, 1.0, 2.0), (1.0, 1.0, 1.0), "bgr")
    assert caffe(photo)[:, 0, 0].tolist() == [2.5, 1.0, -1.0]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("scale", "mean", "std"),
    [
        (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (1.0, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
        (127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    ],
)
def test_every_level_to_the_bit(scale: float, mean: tuple, std: tuple, order: str) -> None:
    """(pixel / scale - mean) / std, each step rounded to float32, whatever else is done to be quick."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    photo = np.stack([levels, levels.T, levels[::-1]], 2)  # (16, 16, 3): each level in each channel
    x = Preprocessing((16, 16), "squash", 16, scale=scale, mean=mean, std=std, order=order)(photo)
    for channel, place in enumerate((0, 1, 2) if order == "rgb" else (2, 1, 0)):
        steps = (np.float32(scale), np.float32(mean[channel]), np.float32(std[channel]))
        right = [[(np.float32(level) / steps[0] - steps[1]) / steps[2] for level in row] for row in photo[:, :, place]]
        assert np.array_equal(x[channel], right)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous


INK = Preprocessing((28, 28), "resize_crop", 28, "bilinear", 255.0, (0.1,), (0.5,), polarity="light on dark")


def digit(height: int, width: int, paper: int, ink: int) -> NDArray[np.uint8]:
    """A thick stroke of ink in the middle of the paper, which has some grain."""
    photo = np.full((height, width, 3), paper, np.uint8)
    photo[height // 4 : -height // 4, width * 2 // 5 : width * 3 // 5] = ink
    return photo + np.random.default_rng(0).integers(0, 4, photo.shape, dtype=np.uint8)


@pytest.mark.parametrize(("paper", "ink"), [(250, 0), (250, 90), (120, 20), (180, 60)])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (200, 300), (41, 29), (28, 27)])
@pytest.mark.parametrize("size", [28, 32])
def test_dark_ink_on_light_paper_is_inverted(height: int, width: int, size: int, paper: int, ink: int) -> None:
    dark_on_light = digit(height, width, paper, ink)
    preprocessing = replace(INK, size=(size, size))
    as_is = replace(preprocessing, polarity="as is")
    assert np.array_equal(preprocessing(dark_on_light), preprocessing(255 - dark_on_light))
    # The paper becomes black but for its grain, and the ink white.
    for photo in (dark_on_light, digit(height, width, ink, paper)):
        levels = preprocessing.pixels(photo)[:, :, 0]
        assert np.median(levels[[0, -1]]) <= 255 * 3 / (paper - ink - 3)
        assert levels.max() == 255
    light_on_black = np.where(digit(height, width, 0, paper) < 4, 0, paper).astype(np.uint8)
    assert np.array_equal(preprocessing(light_on_black), as_is(light_on_black))
    assert preprocessing.view(height, width) == as_is.view(height, width)


def test_red_ink_on_yellow_paper_is_white_on_black() -> None:
    photo = np.full((28, 28, 3), (255, 255, 0), np.uint8)
    photo[8:20, 12:16] = 255, 0, 0
    expected = np.zeros((28, 28), np.uint8)
    expected[8:20, 12:16] = 255
    assert np.array_equal(INK.pixels(photo)[:, :, 0], expected)


def test_blank_paper_becomes_black() -> None:
    for level in (0, 90, 252):
        grain = np.random.default_rng(0).integers(0, 4, (28, 28, 3), dtype=np.uint8)
        assert not INK.pixels((level + grain * (level > 0)).astype(np.uint8)).any()


def test_polarity_is_kept_with_the_preprocessing() -> None:
    assert INK.to_dict()["polarity"] == "light on dark"
    assert Preprocessing.from_dict(json.loads(json.dumps(INK.to_dict()))) == INK
    assert "polarity" not in lite(224).to_dict()  # as files have it that were written before there was one
    with pytest.raises(UnknownName, match="light on dark"):
        Preprocessing.from_dict(INK.to_dict() | {"polarity": "dark"})


@pytest.mark.sweep
def test_digits_of_mnist_stay_as_they_are(store) -> None:
    for photo in np.concatenate([(data := digits("mnist")).train, data.test]):
        assert not _is_dark_on_light(photo)
        assert _border_level(photo) == 0
