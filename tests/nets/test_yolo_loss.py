"""The detectors' losses: closed forms, sums written out box by box, and the assignment against a search."""

from __future__ import annotations

import math

import pytest
import torch

from convatlas.nets.build import skeleton
from convatlas.nets.yolo_loss import assign, detection_loss

SIZE = (64, 96)
CLASSES = 3


def net(name):
    return skeleton(name, classes=CLASSES, size=SIZE)


def outputs(detector, photos, seed=0):
    shape = detector(torch.empty(photos, 3, *SIZE, device="meta")).shape
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def true_boxes(*photos):
    most = max(map(len, photos))
    rows = [[*photo, *[(-1.0, 0.0, 0.0, 0.0, 0.0)] * (most - len(photo))] for photo in photos]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(photos), most, 5)


TRUTH = true_boxes(
    [(1, 3, 5, 21, 33), (0, 40, 8, 95, 60), (2, 70, 0, 96, 30)],
    [],
    [(2, 10, 34, 26, 62)],
)


def iou(a, b):
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(tall, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def logistic(value):
    return 1 / (1 + math.exp(-value))


def cross_entropy(value, target):
    return -target * math.log(logistic(value)) - (1 - target) * math.log(1 - logistic(value))


def places(detector):
    """Column, line, stride and anchor of each row of the output."""
    for boxes in detector.priors:
        for line in range(SIZE[0] // boxes.stride):
            for column in range(SIZE[1] // boxes.stride):
                for anchor in boxes.anchors:
                    yield column, line, boxes.stride, anchor


def predicted(row, column, line, stride, anchor):
    x, y = (column + logistic(row[0])) * stride, (line + logistic(row[1])) * stride
    w, h = math.exp(row[2]) * anchor[0], math.exp(row[3]) * anchor[1]
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def searched(detector, box):
    """Row for a box: of all rows whose cell holds its centre, the one whose anchor overlaps it most, both centred."""
    x, y, w, h = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
    best, at = -1.0, -1
    for index, (column, line, stride, (wide, tall)) in enumerate(places(detector)):
        if (x // stride, y // stride) == (column, line):
            here = iou((-w / 2, -h / 2, w / 2, h / 2), (-wide / 2, -tall / 2, wide / 2, tall / 2))
            best, at = max((best, at), (here, index), key=lambda pair: pair[0])
    return at


def by_hand(detector, raw, truth):
    """Loss of version 2 or 3, with a loop over all boxes of all photos."""
    softmax, total = detector.config.softmax, 0.0
    for rows, objects in zip(raw.tolist(), truth.tolist(), strict=True):
        objects = [thing for thing in objects if thing[0] >= 0]
        owner = {searched(detector, thing[1:]): thing for thing in objects}
        for index, (row, place) in enumerate(zip(rows, places(detector), strict=True)):
            column, line, stride, anchor = place
            box = predicted(row, *place)
            if index not in owner:
                if max((iou(box, thing[1:]) for thing in objects), default=0.0) <= (0.6 if softmax else 0.5):
                    total += logistic(row[4]) ** 2 / 2 if softmax else cross_entropy(row[4], 0)
                continue
            kind, left, top, right, bottom = owner[index]
            w, h = right - left, bottom - top
            x, y = (left + right) / 2 / stride - column, (top + bottom) / 2 / stride - line
            errors = (logistic(row[0]) - x) ** 2 + (logistic(row[1]) - y) ** 2
            errors += (row[2] - math.log(w / anchor[0])) ** 2 + (row[3] - math.log(h / anchor[1])) ** 2
            total += (2 - w * h / (SIZE[0] * SIZE[1])) * errors / 2
            if softmax:
                total += 5 * (logistic(row[4]) - iou(box, (left, top, right, bottom))) ** 2 / 2
                total += math.log(sum(map(math.exp, row[5:]))) - row[5 + int(kind)]
            else:
                total += cross_entropy(row[4], 1)
                total += sum(cross_entropy(value, number == kind) for number, value in enumerate(row[5:]))
    return total / len(raw)


@pytest.mark.parametrize("name", ["yolo_v2_tiny", "yolo_v3_tiny"])
def test_versions_2_and_3_written_out(name):
    detector = net(name)
    raw = outputs(detector, 3)
    assert float(detection_loss(detector, raw, TRUTH, SIZE)) == pytest.approx(by_hand(detector, raw, TRUTH), rel=1e-12)


@pytest.mark.parametrize("name", ["yolo_v2_tiny", "yolo_v3_tiny"])
def test_a_box_that_overlaps_an_object_without_owning_it_is_ignored(name):
    detector = net(name)
    raw = torch.full_like(outputs(detector, 1), -9.0)
    thing = true_boxes([(0, 40, 8, 76, 40)])
    own = searched(detector, (40, 8, 76, 40))
    # Another anchor of the same cell predicts nearly the same box.
    listed = list(places(detector))
    other = next(index for index in (own - 1, own + 1) if listed[index][:3] == listed[own][:3])
    column, line, stride, anchor = listed[other]
    x, y = 58 / stride - column, 24 / stride - line
    raw[0, other, :4] = torch.tensor(
        [math.log(x / (1 - x)), math.log(y / (1 - y)), math.log(36 / anchor[0]), math.log(32 / anchor[1])]
    )
    losses = []
    for objectness in (-9.0, 4.0):
        raw[0, other, 4] = objectness
        losses.append(float(detection_loss(detector, raw, thing, SIZE)))
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    raw[0, other, 2] += 2.0
    assert float(detection_loss(detector, raw, thing, SIZE)) > losses[1] + 0.4


def test_without_objects_only_objectness_counts():
    empty = true_boxes([], [])
    for name, each in (("yolo_v2_tiny", 1 / 8), ("yolo_v3_tiny", math.log(2))):
        detector = net(name)
        zeros = torch.zeros_like(outputs(detector, 2))
        assert float(detection_loss(detector, zeros, empty, SIZE)) == pytest.approx(each * zeros.shape[1])


def test_version_1_written_out():
    detector = net("yolo_v1_tiny")  # 1 x 2 cells with 2 boxes each
    raw = outputs(detector, 3, seed=4)
    width, height, total = 2, 1, 0.0
    cells = width * height
    for row, objects in zip(raw.tolist(), TRUTH.tolist(), strict=True):
        things = {}
        for thing in objects:
            if thing[0] >= 0:
                things[int((thing[1] + thing[3]) / 2 / SIZE[1] * width)] = thing
        for cell in range(cells):
            best, at = -1.0, -1
            boxes = []
            for box in range(2):
                x, y, w, h = row[cells * (CLASSES + 2) + 4 * (2 * cell + box) :][:4]
                centre = (x + cell) / width * SIZE[1], y / height * SIZE[0]
                sides = w * w * SIZE[1], h * h * SIZE[0]
                low = centre[0] - sides[0] / 2, centre[1] - sides[1] / 2
                corners = (*low, low[0] + sides[0], low[1] + sides[1])
                boxes.append((x, y, w, h))
                if cell in things and iou(corners, things[cell][1:]) > best:
                    best, at = iou(corners, things[cell][1:]), box
            for box in range(2):
                confidence = row[cells * CLASSES + 2 * cell + box]
                if at != box:
                    total += 0.5 * confidence**2 / 2
                    continue
                kind, left, top, right, bottom = things[cell]
                x, y, w, h = boxes[box]
                total += (confidence - best) ** 2 / 2
                total += 5 * (x - ((left + right) / 2 / SIZE[1] * width - cell)) ** 2 / 2
                total += 5 * (y - (top + bottom) / 2 / SIZE[0] * height) ** 2 / 2
                total += 5 * (w - math.sqrt((right - left) / SIZE[1])) ** 2 / 2
                total += 5 * (h - math.sqrt((bottom - top) / SIZE[0])) ** 2 / 2
                for number in range(CLASSES):
                    total += (row[cell * CLASSES + number] - (number == kind)) ** 2 / 2
    assert float(detection_loss(detector, raw, TRUTH, SIZE)) == pytest.approx(total / 3, rel=1e-12)


@pytest.mark.parametrize("name", ["yolo_v2_tiny", "yolo_v3_tiny"])
def test_the_assignment_against_a_search(name):
    detector, random = net(name), torch.Generator().manual_seed(1)
    low = torch.rand(60, 2, generator=random) * torch.tensor([90.0, 60.0])
    high = low + 2 + torch.rand(60, 2, generator=random) * torch.tensor([60.0, 50.0])
    boxes = torch.cat([low, torch.minimum(high, torch.tensor([96.0, 64.0]))], 1)
    truth = torch.cat([torch.zeros(60, 1), boxes], 1)[:, None]  # a photo for each
    assigned = assign(detector, truth, SIZE)
    assert assigned.photos.tolist() == list(range(60))
    assert assigned.rows.tolist() == [searched(detector, box) for box in boxes.tolist()]
    assert bool(((assigned.offset >= 0) & (assigned.offset <= 1)).all())


def test_the_last_of_two_objects_with_one_place_has_it():
    detector = net("yolo_v2_tiny")
    truth = true_boxes([(0, 8, 8, 24, 26), (2, 9, 8, 25, 26)])
    assigned = assign(detector, truth, SIZE)
    assert (assigned.photos.tolist(), assigned.truths.tolist()) == ([0], [1])


def test_a_box_at_the_edge_belongs_to_the_last_cell():
    detector = net("yolo_v2_tiny")
    assigned = assign(detector, true_boxes([(0, 95.99, 63.99, 96, 64)]), SIZE)
    assert assigned.rows.tolist() == [5 * 5]
