"""Which boxes count: thresholds, overlaps within a class, how many; and what decoding does at its edges."""

from __future__ import annotations

import math

import pytest
import torch

from convatlas.nets.boxes import decode, select_boxes
from convatlas.nets.build import skeleton

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 10, 10]])
SCORES = torch.tensor([[0.9, 0.1], [0.8, 0.7], [0.3, 0.2], [0.2, 0.6]])


def chosen(threshold: float = 0.25, overlap: float = 0.45, limit: int = 100) -> list[tuple[list[float], float, int]]:
    corners, scores, classes = select_boxes(BOXES, SCORES, threshold, overlap, limit)
    return list(zip(corners.tolist(), [round(score, 6) for score in scores.tolist()], classes.tolist(), strict=True))


def test_a_better_box_of_the_same_class_takes_its_neighbours_away():
    # The second box is lost for class 0, whose first box it overlaps by 0.9, but leads in class 1.
    assert chosen() == [([0, 0, 10, 10], 0.9, 0), ([0, 0, 10, 9], 0.7, 1), ([20, 20, 30, 30], 0.3, 0)]
    assert len(chosen(overlap=0.95)) == 5
    assert chosen(limit=1) == [([0, 0, 10, 10], 0.9, 0)]


def test_a_score_has_to_exceed_the_threshold():
    assert [score for _, score, _ in chosen(threshold=0.3)] == [0.9, 0.7]
    assert [score for _, score, _ in chosen(threshold=SCORES[2, 0].item() - 1e-6)] == [0.9, 0.7, 0.3]
    assert chosen(threshold=0.95) == []
    assert select_boxes(torch.zeros(0, 4), torch.zeros(0, 3), 0.1, 0.4, 5)[0].shape == (0, 4)


@pytest.mark.parametrize(("name", "place"), [("yolo_v3", 5), ("yolo_v2", 5), ("yolo_v3_tiny", 5)])
def test_zeros_are_anchors_in_the_middle_of_their_cells(name, place):
    net = skeleton(name, classes=4, size=(96, 64))
    rows = sum((96 // one.stride) * (64 // one.stride) * len(one.anchors) for one in net.priors)
    boxes, scores = decode(net, torch.zeros(1, rows, 9, dtype=torch.float64), (96, 64))
    assert boxes.shape == (1, rows, 4)
    assert boxes.dtype == torch.float64
    count = len(net.priors[0].anchors)
    cell = 3  # row 1, column 1 of 3 x 2
    for number, (width, height) in enumerate(net.priors[0].anchors):
        left, top, right, bottom = boxes[0, cell * count + number].tolist()
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((48, 48))
        assert (right - left, bottom - top) == pytest.approx((width, height))
    assert scores[0, 0].tolist() == pytest.approx([0.5 * (0.25 if "v2" in name else 0.5)] * 4)


def test_classes_exclude_each_other_in_version_2_alone():
    raw = torch.zeros(1, 4 * 5, 5 + 3, dtype=torch.float64)
    raw[..., 4], raw[..., 5], raw[..., 6] = 2, 3, 3
    two = decode(skeleton("yolo_v2_tiny", classes=3, size=64), raw, (64, 64))[1]
    assert two.sum(-1).max().item() == pytest.approx(1 / (1 + math.exp(-2)))
    raw = torch.zeros(1, (4 + 16) * 3, 5 + 3, dtype=torch.float64)
    raw[..., 4], raw[..., 5], raw[..., 6] = 2, 3, 3
    three = decode(skeleton("yolo_v3_tiny", classes=3, size=64), raw, (64, 64))[1]
    assert three.sum(-1).min().item() > 1


def test_version_1_by_the_numbers_of_the_paper():
    """Cell (3, 2) of 7 x 7; x, y within it, roots of width and height as shares of the photo."""
    net = skeleton("yolo_v1")
    raw = torch.zeros(1, 49 * 35)
    cell, box = 3 * 7 + 2, 1
    raw[0, cell * 20 + 11] = 0.9
    raw[0, 49 * 20 + cell * 3 + box] = 0.8
    raw[0, 49 * 23 + (cell * 3 + box) * 4 :][:4] = torch.tensor([0.5, 0.25, 0.5, -0.5])
    boxes, scores = decode(net, raw, (448, 448))
    assert boxes.shape == (1, 147, 4)
    corners, sure, classes = select_boxes(boxes[0], scores[0], 0.25, 0.4, 10)
    assert (sure.tolist(), classes.tolist()) == ([pytest.approx(0.72)], [11])
    x, y = 2.5 * 64, 3.25 * 64
    assert corners[0].tolist() == pytest.approx([x - 56, y - 56, x + 56, y + 56])


def test_boxes_beyond_all_measure_are_no_numbers_that_stop_anything():
    net = skeleton("yolo_v3_tiny", classes=3, size=64)
    raw = torch.full((1, 60, 8), 1e4)
    boxes, scores = decode(net, raw, (64, 64))
    assert torch.isinf(boxes).any()
    assert len(select_boxes(boxes[0], scores[0], 0.25, 0.45, 10)[0]) <= 10
