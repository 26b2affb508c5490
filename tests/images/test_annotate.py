"""Boxes on photos: where the lines and letters lie, in which colours, and how pictures are saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convatlas.base.errors import ImageError
from convatlas.images.annotate import LabelledBox, colour, draw_boxes, output_paths, save

GREY = 128


def photo(height: int = 200, width: int = 300) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def drawn(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels that are no longer the photo's."""
    return np.nonzero((np.asarray(image) != GREY).any(2))


def test_a_box_has_its_lines_and_leaves_its_inside():
    image = draw_boxes(photo(), [LabelledBox((50, 80, 250, 180), "dog 0.98", 16)])
    pixels = np.asarray(image)
    assert image.size == (300, 200)
    for y, x in [(80, 200), (180, 100), (130, 50), (130, 250)]:
        assert tuple(pixels[y, x]) == colour(16)
    assert (pixels[85:175, 55:245] == GREY).all()
    # The words stand above, on a ground of the same colour.
    label = pixels[60:80, 50:90].reshape(-1, 3)
    assert (label == colour(16)).all(1).sum() > 100
    assert ((label != colour(16)).any(1) & (label != GREY).any(1)).sum() > 50
    assert (np.asarray(draw_boxes(photo(), [])) == photo()).all()


@pytest.mark.parametrize(
    "box", [(0, 0, 300, 200), (280, 0, 300, 20), (0, 190, 20, 200), (290, 190, 300, 200), (100, 3, 160, 90)]
)
@pytest.mark.parametrize("size", [(200, 300), (20, 30), (1000, 40), (1, 1)])
def test_words_lie_inside_of_the_photo(box, size):
    """Their whole ground does, if it is not larger than the photo."""
    height, width = size
    sides = tuple(side * scale for side, scale in zip(box, (width / 300, height / 200) * 2, strict=True))
    image = draw_boxes(photo(height, width), [LabelledBox(sides, "traffic light 0.33", 9)])
    assert image.size == (width, height)
    if size == (200, 300):
        pixels = np.asarray(image)
        ground = (pixels == colour(9)).all(2).sum() + (pixels == 0).all(2).sum() + (pixels == 255).all(2).sum()
        # 100 x 12 pixels at least: nothing was cut off.
        assert ground > 1200


def test_letters_grow_with_the_photo():
    heights = []
    for scale in (1, 4):
        image = draw_boxes(
            photo(400 * scale, 400 * scale), [LabelledBox((0, 200 * scale, 1, 201 * scale), "person", 0)]
        )
        rows, _ = drawn(image)
        heights.append(rows.max() - rows.min())
    assert heights[1] > 3 * heights[0]


def test_the_surest_box_lies_on_top():
    marks = [LabelledBox((10, 50, 100, 150), "a", 1), LabelledBox((10, 50, 100, 150), "b", 2)]
    assert tuple(np.asarray(draw_boxes(photo(), marks))[150, 60]) == colour(1)


def test_colours_of_eighty_classes_differ():
    colours = np.array([colour(number) for number in range(80)], float)
    apart = np.abs(colours[:, None] - colours[None]).sum(2) + 1e9 * np.eye(80)
    assert apart.min() > 15
    assert all(np.abs(colours[number] - colours[number + 1]).sum() > 150 for number in range(79))


def test_places():
    files = [Path("a/dog.jpg"), Path("b/dog.png"), Path("cat.gif")]
    assert output_paths(files[:1], "out.png") == [Path("out.png")]
    assert output_paths(files[:1], "out.JPG") == [Path("out.JPG")]
    assert output_paths(files, "out") == [Path("out/dog.png"), Path("out/dog_2.png"), Path("out/cat.png")]
    with pytest.raises(ImageError, match="one picture, but there are 3 photos: name a folder"):
        output_paths(files, "out.png")


def test_saving(tmp_path):
    image = draw_boxes(photo(), [LabelledBox((50, 80, 250, 180), "dog", 16)])
    for name in ("a.png", "new/b.jpg", "c.webp"):
        save(image, tmp_path / name)
        with Image.open(tmp_path / name) as again:
            assert again.size == (300, 200)
            assert again.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[name.split(".")[1]]
    assert not list(tmp_path.rglob(".*"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ImageError, match=r"cannot be written"):
        save(image, tmp_path / "file" / "d.png")
