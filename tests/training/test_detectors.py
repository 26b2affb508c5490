"""Detectors are trained by the same loop: to the same bits when resumed, on augmented boxes, judged by precision."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tests.training.boxed import scene, scenes, slim, write_coco, write_yolo
from tests.training.toys import toy_net
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base import extras
from convatlas.base.errors import ConvAtlasError, ImageError, TrainingError
from convatlas.cli.app import app
from convatlas.images.boxed.photo import BoxedSplits
from convatlas.images.darknet import DarknetPreprocessing
from convatlas.nets.build import build
from convatlas.training.detectors.average_precision import average_precisions, mean_average_precision
from convatlas.training.detectors.dataset import BoxDataset
from convatlas.training.detectors.splits import load_boxed_splits, prepare_splits
from convatlas.training.detectors.window import Window, draw_window
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe
from convatlas.training.run_folder import read_lines

SIZE = (64, 96)
RECIPE = Recipe(epochs=2, batch_size=4, lr=1e-3, scale=0.7, hflip=0.5, checkpoint_steps=1, seed=4)


def overlap(a, b):
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(tall, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def precision_by_hand(truths, detections, kind):
    """Average precision of a class: match boxes in order of score, then average the best precision at 101 recalls."""
    objects = [[row[1:5] for row in photo if row[0] == kind] for photo in truths]
    total = sum(map(len, objects))
    if not total:
        return None
    listed = [(row[5], photo, row[1:5]) for photo, rows in enumerate(detections) for row in rows if row[0] == kind]
    taken, hits = set(), []
    for _, photo, box in sorted(listed, key=lambda entry: -entry[0]):
        free = [
            (overlap(box, thing), index) for index, thing in enumerate(objects[photo]) if (photo, index) not in taken
        ]
        best = max(free, default=(0.0, -1))
        hits.append(best[0] >= 0.5)
        if hits[-1]:
            taken.add((photo, best[1]))
    right = np.cumsum(hits)
    precision, recall = right / np.arange(1, len(hits) + 1), right / total
    return np.mean([max(precision[recall >= at - 1e-12], default=0.0) for at in np.linspace(0, 1, 101)])


def test_average_precision_of_random_boxes():
    random = np.random.default_rng(3)
    truths, detections = [], []
    for _ in range(12):
        count = int(random.integers(0, 5))
        corners = np.sort(random.integers(0, 60, (count, 2, 2)), 1).reshape(count, 4)
        corners[:, 2:] += 5
        boxes = np.concatenate([random.integers(0, 3, (count, 1)), corners], 1).astype(float)
        near = np.repeat(boxes, 2, 0)
        near[:, 1:] += random.normal(0, 3, (2 * count, 4))
        near = near[(near[:, 1] < near[:, 3]) & (near[:, 2] < near[:, 4])]
        near = np.concatenate([near, random.random((len(near), 1))], 1)
        near[random.random(len(near)) < 0.2, 0] = 2
        truths.append(boxes)
        detections.append(near)
    measured = average_precisions(truths, detections, 4)
    assert measured == pytest.approx([precision_by_hand(truths, detections, kind) for kind in range(4)])
    assert measured[3] is None
    assert mean_average_precision(measured) == pytest.approx(sum(measured[:3]) / 3)


def test_average_precision_without_detections_and_of_perfect_ones():
    truths = [np.array([[0, 1, 1, 9, 9], [1, 20, 20, 30, 30]], float), np.zeros((0, 5))]
    nothing = [np.zeros((0, 6)), np.zeros((0, 6))]
    assert average_precisions(truths, nothing, 2) == [0, 0]
    perfect = [np.concatenate([photo, np.ones((len(photo), 1))], 1) for photo in truths]
    assert average_precisions(truths, perfect, 2) == pytest.approx([1, 1])
    assert average_precisions(nothing, perfect, 2) == [None, None]
    assert mean_average_precision([None, None]) == 0


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("place", [(10, 5, 50, 40), (-20, -8, 140, 90), (40, -5, 90, 40), (0, 0, 96, 64)])
def test_boxes_move_as_the_pixels_do(place, flipped):
    photo = np.zeros((64, 96, 3), np.uint8)
    corners = [(20, 10, 44, 30), (50, 2, 90, 20), (80, 50, 96, 64)]
    boxes = np.array([(0, *box) for box in corners]) / np.array([1, 96, 64, 96, 64])
    window = Window(*place, flipped)
    moved = window.move(boxes, (64, 96))
    expected = []
    for left, top, right, bottom in corners:
        alone = photo.copy()
        alone[top:bottom, left:right] = 255
        pixels = window.cut(alone)
        rows, columns = np.nonzero(pixels[:, :, 0] == 255)
        x, y = (left + right) / 2 - window.left, (top + bottom) / 2 - window.top
        if 0 <= x < window.width and 0 <= y < window.height:
            expected.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        outside = np.all(window.cut(np.full_like(photo, 255)) == 128, axis=2)
        assert (pixels[outside] == 128).all()
    shape = np.array([window.width, window.height] * 2)
    assert moved[:, 1:] * shape == pytest.approx(np.array(expected).reshape(-1, 4))


def test_windows_are_as_large_as_the_scale_says():
    random = np.random.default_rng(0)
    windows = [draw_window((100, 200), 0.5, 0.3, random) for _ in range(2000)]
    areas = np.array([window.width * window.height / 20000 for window in windows])
    assert (areas.min(), areas.max()) == pytest.approx((0.5, 2), rel=0.02)
    assert np.log(areas).mean() == pytest.approx(0, abs=0.05)
    assert np.mean([window.flipped for window in windows]) == pytest.approx(0.3, abs=0.05)
    assert all(min(0, 200 - window.width) <= window.left <= max(0, 200 - window.width) for window in windows)
    assert draw_window((64, 96), 1.0, 0.0, random) == Window(0, 0, 96, 64, False)


@pytest.mark.parametrize("kind", ["letterbox", "stretch"])
def test_boxes_are_where_the_preprocessing_puts_them(kind):
    photo = scene(1, 60, 180)
    shown = DarknetPreprocessing((96, 96), kind)
    boxes = photo.boxes * np.array([1, 180, 60, 180, 60])
    data = BoxDataset([photo], shown, Recipe())
    ((x, truth),) = data.eval_batches([torch.tensor([0])])
    assert x.shape == (1, 3, 96, 96)
    assert shown.boxes_to_photo(truth[0, :, 1:].double().numpy(), 60, 180) == pytest.approx(boxes[:, 1:], abs=1e-4)
    left, top, right, bottom = truth[0, 0, 1:].round().int().tolist()
    assert x[0, :, top + 1 : bottom - 1, left + 1 : right - 1].mean() > 0.8


def test_the_same_photos_whoever_reads_them():
    boxed = scenes(6)
    plan = [torch.tensor([0, 3]), torch.tensor([5])]
    here, there = (BoxDataset(boxed.photos["train"], DarknetPreprocessing(SIZE), RECIPE, many) for many in (0, 1))
    for pair in zip(here.train_batches(plan, 3), there.train_batches(plan, 3), strict=True):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(*pair, strict=True))
    ((x, truth),) = here.subset(torch.tensor([3])).train_batches([torch.tensor([0])], 3)
    assert x.shape == (1, 3, *SIZE)
    assert truth.shape[2] == 5


def trained(folder, boxed, recipe=RECIPE, resume=False, net="yolo_v2_tiny"):
    module = build(net, classes=2, size=SIZE, seed=recipe.seed)
    splits = prepare_splits(boxed, "scenes", module, recipe, SIZE)
    return fit(module, splits, recipe, folder, resume=resume, device="cpu")


class Stopped(Exception):
    pass


def test_resumed_to_the_same_bits(tmp_path, monkeypatch):
    slim(monkeypatch, "yolo_v2_tiny", 16)
    boxed = scenes(6, 2)
    whole = trained(tmp_path / "whole", boxed)
    module = build("yolo_v2_tiny", classes=2, size=SIZE, seed=RECIPE.seed)
    splits = prepare_splits(boxed, "scenes", module, RECIPE, SIZE)
    steps = fit.steps(module, splits, RECIPE, tmp_path / "parts", device="cpu")
    for done, _, _ in steps:
        if done == 3:
            break
    steps.close()
    again = trained(tmp_path / "parts", boxed, resume=True)
    assert (again.sha256, again.validation_map50) == (whole.sha256, whole.validation_map50)
    assert (whole.validation_top1, whole.test_map50, whole.confusion) == (None, None, None)
    assert len(whole.precisions) == 2
    lines = read_lines(tmp_path / "whole" / "metrics.jsonl")
    assert max(line["validation_map50"] for line in lines) == whole.validation_map50
    with pytest.raises(TrainingError, match="its data is"):
        trained(tmp_path / "parts", scenes(6, 1), resume=True)


def test_the_command_trains_on_a_folder_and_detect_draws(tmp_path, monkeypatch):
    slim(monkeypatch, "yolo_v3_tiny", 16)
    monkeypatch.chdir(tmp_path)
    write_yolo(scenes(4, 2), tmp_path / "photos")
    words = ["train", "yolo_v3_tiny", "--data", "photos", "--size", "64x96", "--epochs", "1", "-b", "2", "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["classes"] == ["bar", "disc"]
    assert 0 <= result["validation_map50"] <= 100
    assert (tmp_path / "runs" / "yolo_v3_tiny-photos" / "curves.png").is_file()
    net = ca.load(result["weights"])
    assert net.lineage.preprocessing == DarknetPreprocessing(SIZE, "letterbox")
    photo = tmp_path / "photos" / "images" / "train" / "0.png"
    found = ca.detect(photo, net, threshold=0.001)
    assert {thing.label for thing in found.objects} <= {"bar", "disc"}
    assert found.draw().size == (96, 64)


def test_version_1_learns_too(tmp_path, monkeypatch):
    slim(monkeypatch, "yolo_v1_tiny", 16)
    recipe = dataclasses.replace(RECIPE, epochs=1)
    result = trained(tmp_path / "run", scenes(4, 2), recipe, net="yolo_v1_tiny")
    assert ca.load(result.weights).lineage.preprocessing == DarknetPreprocessing(SIZE, "stretch")


@pytest.mark.parametrize("name", ["smoothing", "mixup", "aa", "distort", "class_weights"])
def test_settings_for_photos_of_one_class_are_refused(name):
    recipe = Recipe(**{name: {"aa": 3, "class_weights": "balanced"}.get(name, 0.5)})
    net = build("yolo_v2_tiny", classes=2, size=SIZE)
    with pytest.raises(TrainingError, match=f"{name} is for photos of one class"):
        prepare_splits(scenes(2), "scenes", net, recipe, SIZE)


def test_data_and_net_are_of_one_kind(tmp_path):
    detector = build("yolo_v2_tiny", classes=3, size=SIZE)
    splits = prepare_splits(scenes(2), "scenes", detector, Recipe(), SIZE)
    with pytest.raises(TrainingError, match="all other nets from photos with one class each"):
        fit(toy_net(), splits, Recipe(), tmp_path / "a", device="cpu")
    with pytest.raises(TrainingError, match="the net has 3 classes; the data have 2"):
        fit(detector, splits, Recipe(), tmp_path / "b", device="cpu")


def test_a_photo_of_another_size_than_its_boxes(tmp_path):
    file = write_coco(scenes(2).photos["train"], tmp_path)
    Image.new("RGB", (64, 96)).save(tmp_path / "1.png")
    net = build("yolo_v2_tiny", classes=2, size=SIZE)
    splits = load_boxed_splits(file, net, Recipe(), SIZE)
    with pytest.raises(ImageError, match=re.escape("has 64 x 96 pixels; its boxes were drawn on 96 x 64")):
        list(splits.train.eval_batches([torch.tensor([1])]))


def test_without_pycocotools(monkeypatch):
    monkeypatch.setattr(extras, "installed", lambda package: False)
    net = build("yolo_v2_tiny", classes=2, size=SIZE)
    with pytest.raises(ConvAtlasError, match=re.escape("pip install 'convatlas[detectors]'")):
        prepare_splits(scenes(2), "scenes", net, Recipe(), SIZE)


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["yolo_v2_tiny", "yolo_v3_tiny"])
def test_four_photos_are_learnt_by_heart(tmp_path, monkeypatch, name):
    slim(monkeypatch, name, 4)
    photos = scenes(4).photos["train"]
    boxed = BoxedSplits({"train": photos * 40, "validation": photos}, ("bar", "disc"))
    recipe = Recipe(epochs=12, batch_size=8, lr=2e-3, warmup_epochs=1.0, clip_grad=10.0)
    result = trained(tmp_path / "run", boxed, recipe, net=name)
    assert result.validation_map50 == pytest.approx(100)
    net = ca.load(result.weights)
    for photo in photos:
        objects = ca.detect(photo.source, net, threshold=0.3).objects
        boxes = {thing.index: thing.box for thing in objects}
        assert len(objects) == 2
        for kind, *corners in (photo.boxes * np.array([1, 96, 64, 96, 64])).tolist():
            assert overlap(boxes[int(kind)], corners) > 0.5
