"""The study of detectors: its canvases, its table and a whole run at a tiny size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tests.training.boxed import slim

from convatlas.base.errors import TrainingError, UnknownName
from convatlas.images.digits import Digits
from convatlas.studies.detectors import canvases, plots, runs
from convatlas.studies.detectors.canvases import OVERLAP, SIDE, iou, make_canvas, make_canvases
from convatlas.studies.detectors.runs import Task, list_tasks, run
from convatlas.studies.detectors.study import page
from convatlas.studies.detectors.table import DetectorTable, summarize


def toy_digits() -> Digits:
    """Digits that are filled rectangles, higher for higher classes."""
    labels = np.arange(200, dtype=np.uint8) % 10
    photos = np.zeros((200, 28, 28), np.uint8)
    for photo, label in zip(photos, labels, strict=True):
        photo[4 : 14 + label, 8:20] = 255
    return Digits("mnist", photos, labels, photos, labels, tuple("0123456789"))


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(canvases, "digits", lambda name: toy_digits())
    monkeypatch.setattr(canvases, "TRAINING", 100)


def test_canvases_are_functions_of_seed_and_index(toys):
    made, again, other = make_canvases(4, 2, 3), make_canvases(3, 1, 1), make_canvases(1, 0, 0, seed=1)
    assert [len(made.photos[split]) for split in ("train", "validation", "test")] == [4, 2, 3]
    for photo, same in zip(made.photos["train"], again.photos["train"], strict=False):
        assert np.array_equal(photo.source, same.source)
        assert np.array_equal(photo.boxes, same.boxes)
    assert not np.array_equal(made.photos["train"][0].source, other.photos["train"][0].source)
    assert not np.array_equal(made.photos["train"][0].source, made.photos["test"][0].source)


def test_boxes_hold_the_ink_and_overlap_little(monkeypatch):
    digits = toy_digits()
    blank = np.zeros((SIDE, SIDE), np.uint8)
    monkeypatch.setattr(canvases, "_distractor", lambda random: blank)
    counts = set()
    for seed in range(8):
        photo = make_canvas(digits.train, digits.train_labels, np.random.default_rng(seed))
        boxes = photo.boxes[:, 1:] * SIDE
        counts.add(len(boxes))
        assert photo.source.shape == (SIDE, SIDE, 3)
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert all(iou(a, b) <= OVERLAP + 1e-9 for i, a in enumerate(boxes) for b in boxes[:i])
        outside = np.ones((SIDE, SIDE), bool)
        for left, top, right, bottom in boxes.round().astype(int):
            outside[top:bottom, left:right] = False
        paper = np.median(photo.source[outside], axis=0)
        # Outside of the boxes there is only paper, with its slope and its noise.
        assert np.abs(photo.source[outside] - paper).mean() < 25
    assert len(counts) > 1
    assert counts <= {1, 2, 3, 4, 5, 6}


def outcome(net: str, seed: int, value: float) -> dict:
    return {
        "net": net,
        "seed": seed,
        "canvases": [6, 5, 4],
        "recipe": runs.RECIPE.to_dict() | {"seed": seed},
        "map50": value,
        "precisions": [*[value] * 9, None],
        "validation": [10.0, value],
        "parameters": 1000,
        "seconds": 60.0,
        "sha256": "ab",
    }


def test_the_table(tmp_path):
    three = ("yolo_v3_tiny", 0, 92.0), ("yolo_v2_tiny", 1, 90.0), ("yolo_v2_tiny", 0, 94.0)
    rows = summarize([outcome(*each) for each in three])
    assert [(row["net"], row["mean"], row["map50"]) for row in rows] == [
        ("yolo_v2_tiny", 92.0, [94.0, 90.0]),
        ("yolo_v3_tiny", 92.0, [92.0]),
    ]
    assert rows[0]["precisions"] == [*[92.0] * 9, None]
    result = DetectorTable(rows=tuple(rows), seeds=2, quick=False, threads=1)
    assert "92.00 ± 2.83" in result.table().markdown()
    (tmp_path / "detectors.json").write_text(result.to_json())
    assert DetectorTable.read(tmp_path / "detectors.json") == result
    assert "mAP is COCO's" in page(result)
    plots.precisions(rows).picture().png()
    (tmp_path / "detectors.json").write_text("[]")
    with pytest.raises(TrainingError, match="reproduce"):
        DetectorTable.read(tmp_path / "detectors.json")


def test_tasks():
    assert [task.net for task in list_tasks(False, 2, ())] == [*runs.NETS] * 2
    assert [task.net for task in list_tasks(True, 1, ["yolo_v3_tiny"])] == ["yolo_v3_tiny"]
    with pytest.raises(UnknownName, match="yolo_v3_tiny"):
        list_tasks(False, 1, ["yolo_v3"])


@pytest.mark.sweep
def test_a_run(toys, tmp_path, monkeypatch):
    slim(monkeypatch, "yolo_v2_tiny", 16)
    monkeypatch.setattr(runs, "QUICK_CANVASES", (20, 4, 4))
    monkeypatch.setattr(runs, "RECIPE", runs.Recipe(epochs=2, batch_size=10))
    task = Task("yolo_v2_tiny", 0, True)
    once = run(task, tmp_path)
    assert run(task, tmp_path) == once
    rows = summarize([once])
    pictures = plots.draw(tmp_path, rows, "-quick")
    assert Image.open(pictures[1]).size == (plots.SHOWN * SIDE * plots.ENLARGED, SIDE * plots.ENLARGED)
    monkeypatch.setattr(runs, "RECIPE", runs.Recipe(epochs=3, batch_size=10))
    with pytest.raises(TrainingError, match="another recipe"):
        run(task, tmp_path)
    path = task.folder(tmp_path) / "detector.json"
    path.write_text(json.dumps({"map50": "high"}))
    with pytest.raises(TrainingError, match="is damaged"):
        run(task, tmp_path)
