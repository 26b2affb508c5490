"""Canvases with handwritten digits of several sizes, some of which overlap, among strokes, scribbles and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convatlas.images.boxed.photo import BoxedPhoto, BoxedSplits
from convatlas.images.digits import DATA_SETS
from convatlas.images.download import digits

SIDE = 160
"""Height and width of a canvas in pixels."""

MOST = 6
"""Most digits on a canvas; there is at least one."""

HEIGHTS = 20, 60
"""Least and largest height of a digit's ink in pixels."""

MARGIN = 0.1
"""Margin of a box around the ink, relative to the height of the ink."""

OVERLAP = 0.3
"""Largest IoU of two digits' boxes on a canvas."""

TRAINING = 50_000
"""Digits of MNIST's training set that the training canvases are made of; the others are for validation."""

Grey = NDArray[np.uint8]
Canvas = NDArray[np.float64]


def make_canvases(train: int, validation: int, test: int, seed: int = 0) -> BoxedSplits:
    """Make canvases of MNIST's digits; equal arguments give equal canvases.

    Digits of the test canvases are those of the test set; no digit is in two splits.

    Args:
        train: Number of training canvases.
        validation: Number of validation canvases.
        test: Number of test canvases.
        seed: Seed of everything that is drawn.
    """
    source = digits("mnist")
    parts = {
        "train": (source.train[:TRAINING], source.train_labels[:TRAINING], train),
        "validation": (source.train[TRAINING:], source.train_labels[TRAINING:], validation),
        "test": (source.test, source.test_labels, test),
    }
    photos = {}
    for number, (split, (shapes, labels, count)) in enumerate(parts.items()):
        generators = [np.random.default_rng([seed, number, index]) for index in range(count)]
        photos[split] = tuple(make_canvas(shapes, labels, random) for random in generators)
    return BoxedSplits(photos, DATA_SETS["mnist"].classes)


def make_canvas(shapes: Grey, labels: NDArray[Any], random: np.random.Generator) -> BoxedPhoto:
    """Make one canvas of 1 to `MOST` of the digits (count, 28, 28) with these labels (count,)."""
    is_dark = random.random() < 0.5
    paper = random.uniform(0, 80, 3) if is_dark else random.uniform(175, 255, 3)
    canvas = _paper(paper, random)
    for _ in range(int(random.integers(1, 6))):
        canvas = _blend(canvas, _distractor(random), _ink(is_dark, random))
    boxes: list[tuple[float, float, float, float]] = []
    kinds: list[float] = []
    for index in random.integers(0, len(shapes), int(random.integers(1, MOST + 1))).tolist():
        ink = _resized(shapes[index], random)
        if (place := _place(ink.shape[1], ink.shape[0], boxes, random)) is None:
            continue
        left, top, box = place
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
        canvas = _blend(canvas, mask, _ink(is_dark, random))
        boxes.append(box)
        kinds.append(float(labels[index]))
    rows = np.array([(kind, *box) for kind, box in zip(kinds, boxes, strict=True)]).reshape(-1, 5)
    pixels = np.rint(canvas + random.normal(0, random.uniform(0, 10), canvas.shape)).clip(0, 255).astype(np.uint8)
    return BoxedPhoto(pixels, rows / np.array([1, SIDE, SIDE, SIDE, SIDE]), (SIDE, SIDE))


def _paper(colour: NDArray[np.float64], random: np.random.Generator) -> Canvas:
    """Paper of one colour, a little brighter on one side."""
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    slope = random.uniform(-12, 12) * down + random.uniform(-12, 12) * across
    canvas: Canvas = colour + slope[:, :, None]
    return canvas


def _ink(is_dark: bool, random: np.random.Generator) -> NDArray[np.float64]:
    return random.uniform(150, 255, 3) if is_dark else random.uniform(0, 110, 3)


def _blend(canvas: Canvas, mask: Grey, ink: NDArray[np.float64]) -> Canvas:
    share = mask[:, :, None] / 255
    return canvas * (1 - share) + ink * share


def _distractor(random: np.random.Generator) -> Grey:
    """Mask of a long stroke, an arc, a scribble of a few straight strokes as in letters, or a patch of dots."""
    image = Image.new("L", (SIDE, SIDE))
    draw, kind, width = ImageDraw.Draw(image), int(random.integers(4)), int(random.integers(1, 5))
    if kind == 0:
        angle, length = random.uniform(0, np.pi), random.uniform(80, 180)
        x, y = random.uniform(0, SIDE, 2)
        dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
        draw.line((x - dx, y - dy, x + dx, y + dy), 255, width)
    elif kind == 1:
        x, y = random.uniform(-20, SIDE - 60, 2)
        wide, tall = random.uniform(60, 120, 2)
        start = random.uniform(0, 360)
        draw.arc((x, y, x + wide, y + tall), start, start + random.uniform(60, 300), 255, width)
    elif kind == 2:
        corner, size = random.uniform(0, SIDE - 40, 2), random.uniform(20, 50)
        points = corner + random.uniform(0, size, (int(random.integers(4, 8)), 2))
        draw.line([(float(px), float(py)) for px, py in points], 255, width, joint="curve")
    else:
        corner, size = random.uniform(0, SIDE - 40, 2), random.uniform(15, 40)
        for px, py in corner + random.uniform(0, size, (30, 2)):
            draw.ellipse((px - 1, py - 1, px + 1, py + 1), 255)
    return np.array(image)


def _resized(shape: Grey, random: np.random.Generator) -> Grey:
    """Cut a digit out to its ink, and resize it to a random height, with a width that differs by up to a fifth."""
    rows, columns = np.nonzero(shape > 40)
    ink = shape[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height = random.uniform(*HEIGHTS)
    width = height * ink.shape[1] / ink.shape[0] * 1.2 ** random.uniform(-1, 1)
    size = max(3, min(round(width), 80)), round(height)
    return np.array(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC))


def _place(
    width: int, height: int, boxes: list[tuple[float, float, float, float]], random: np.random.Generator
) -> tuple[int, int, tuple[float, float, float, float]] | None:
    """Return left and top of a digit's ink and its box, where it overlaps no other one too much; None for no place."""
    margin = MARGIN * height
    for _ in range(20):
        left, top = int(random.integers(0, SIDE - width + 1)), int(random.integers(0, SIDE - height + 1))
        corners = left - margin, top - margin, left + width + margin, top + height + margin
        box = (max(corners[0], 0.0), max(corners[1], 0.0), min(corners[2], float(SIDE)), min(corners[3], float(SIDE)))
        if all(iou(box, other) <= OVERLAP for other in boxes):
            return left, top, box
    return None


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return the intersection over union of two boxes."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(tall, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
